//! The daemon's answers as JSON: AWS's nouns in PascalCase, raw numbers. The command line reads the same types.
//!
//! Invariant: a field that is here once keeps its name and meaning; new ones may come beside it.

mod changes;
mod flows;
mod names;

use serde::{Deserialize, Serialize};

pub use changes::*;
pub use flows::*;
pub use names::*;

/// `GET /v1/daemon`: who answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Daemon {
    /// Its release.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The templates of its stacks, as the user named them, separated by spaces.
    pub template: String,
    /// The AWS region it plays.
    pub region: String,
    /// The cgroup (as a path in the file system) of what `exec` and UserData start.
    pub cgroup: Option<String>,
    /// Why there is none.
    pub no_cgroup_because: Option<String>,
    /// Milliseconds from its start until packets could flow.
    pub ready_after_ms: u64,
}

/// `GET /v1/topology`: what stands, as `up` prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Topology {
    /// Who answers.
    pub daemon: Daemon,
    /// Every stack.
    pub stacks: Vec<Stack>,
    /// Every instance.
    pub instances: Vec<Instance>,
    /// Every VPC endpoint.
    pub vpc_endpoints: Vec<VpcEndpoint>,
    /// The templates' outputs.
    pub outputs: Vec<Output>,
    /// What the operator should know: ignored resource types and the like.
    pub notes: Vec<String>,
}

/// `GET /v1/stacks`: a template that was loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stack {
    /// Its name: that of the file.
    pub stack_name: String,
    /// The account that everything in it belongs to.
    pub owner_id: String,
    /// The template, as the user named it.
    pub template: String,
    /// The exports of other stacks that it uses.
    pub imports: Vec<Import>,
}

/// What a stack uses of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Import {
    /// The export.
    pub export_name: String,
    /// The stack that exports it.
    pub stack: String,
}

/// `GET /v1/instances`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// Its name in the template.
    pub logical_id: String,
    /// The stack that it is part of.
    pub stack: String,
    /// The account that it belongs to.
    pub owner_id: String,
    /// `i-...`
    pub instance_id: String,
    /// Its `Name` tag.
    pub name: Option<String>,
    /// The network namespace that stands for it.
    pub namespace: String,
    /// Did privlink create that namespace?
    pub namespace_created: bool,
    /// Its primary address.
    pub private_ip_address: String,
    /// `vpc-...`
    pub vpc_id: String,
    /// The VPC's name in the template.
    pub vpc: String,
    /// The VPC's first CIDR.
    pub cidr_block: String,
    /// The subnet's name in the template.
    pub subnet: String,
    /// The subnet's zone.
    pub availability_zone: String,
}

/// `GET /v1/vpc-endpoints`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcEndpoint {
    /// Its name in the template.
    pub logical_id: String,
    /// The stack that it is part of.
    pub stack: String,
    /// The account that it belongs to.
    pub owner_id: String,
    /// `vpce-...`
    pub vpc_endpoint_id: String,
    /// `Resource`, `Interface`, ...
    pub vpc_endpoint_type: String,
    /// `available`, ...
    pub state: String,
    /// `vpc-...`
    pub vpc_id: String,
    /// The VPC's name in the template.
    pub vpc: String,
    /// What one of type Resource leads to: the resource configuration's name in the template.
    pub resource: String,
    /// The stack of that resource configuration.
    pub resource_stack: String,
    /// That resource's address in the provider's VPC.
    pub resource_address: String,
    /// What one of type Interface leads to: the service's name in its template.
    pub service: Option<String>,
    /// The stack of that service.
    pub service_stack: Option<String>,
    /// `vpce-svc-...`
    pub service_id: Option<String>,
    /// `com.amazonaws.vpce.<region>.vpce-svc-...`
    pub service_name: Option<String>,
    /// The ports that are offered: `80`, `1-65535`.
    pub port_ranges: Vec<String>,
    /// The protocols that are offered: `TCP`, `UDP`, `ICMP`.
    pub protocols: Vec<String>,
    /// One per subnet.
    pub network_interfaces: Vec<EndpointInterface>,
    /// Does it answer to its provider's name in its VPC?
    pub private_dns_enabled: bool,
    /// Its names: regional, one per zone, and the private one.
    pub dns_entries: Vec<DnsEntry>,
}

/// A name of an endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DnsEntry {
    /// Without a dot at its end.
    pub dns_name: String,
    /// The hosted zone that it stands in.
    pub hosted_zone_id: String,
}

/// An endpoint's interface in one subnet, and the gateway's or load balancer's of the same zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointInterface {
    /// `eni-...`
    pub network_interface_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its subnet's name in the template.
    pub subnet: String,
    /// The address that consumers connect to.
    pub private_ip_address: String,
    /// `eni-...` of the resource gateway or load balancer in the same zone.
    pub gateway_network_interface_id: String,
    /// The addresses that the target sees as clients: `172.18.0.80-172.18.0.95`.
    pub gateway_addresses: String,
}

/// `GET /v1/vpc-endpoint-services`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcEndpointService {
    /// Its name in the template.
    pub logical_id: String,
    /// The stack that it is part of.
    pub stack: String,
    /// The account that it belongs to.
    pub owner_id: String,
    /// `vpce-svc-...`
    pub service_id: String,
    /// What endpoints name it by.
    pub service_name: String,
    /// `Available`, ...
    pub service_state: String,
    /// Must each endpoint be accepted?
    pub acceptance_required: bool,
    /// Who may ask for endpoints: `*` or ARNs.
    pub allowed_principals: Vec<String>,
    /// Its load balancers' names in the template.
    pub load_balancers: Vec<String>,
    /// By which consumers' endpoints may answer, once it is verified: `db.example.com`, `*.example.com`.
    pub private_dns_name: Option<String>,
    /// What proves that its domain is the provider's.
    pub private_dns_name_configuration: Option<PrivateDnsNameConfiguration>,
    /// How many endpoints lead to it, whatever their states.
    pub endpoints: usize,
    /// Through how many of them traffic passes.
    pub available_endpoints: usize,
}

/// The DNS record that proves whose the domain of a private DNS name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PrivateDnsNameConfiguration {
    /// The record's name: `_<token>.example.com`.
    pub name: String,
    /// `TXT`
    #[serde(rename = "Type")]
    pub record_type: String,
    /// What it says: `vpce:<token>`.
    pub value: String,
    /// `pendingVerification`, `verified` or `failed`.
    pub state: String,
}

/// `GET /v1/load-balancers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoadBalancer {
    /// Its name in the template.
    pub logical_id: String,
    /// The stack that it is part of.
    pub stack: String,
    /// The account that it belongs to.
    pub owner_id: String,
    /// Its ARN.
    pub load_balancer_arn: String,
    /// Its own name.
    pub load_balancer_name: String,
    /// The name of its nodes' addresses.
    pub dns_name: String,
    /// `vpc-...`
    pub vpc_id: String,
    /// The VPC's name in the template.
    pub vpc: String,
    /// May a node choose targets of other zones?
    pub cross_zone: bool,
    /// One per zone.
    pub nodes: Vec<LoadBalancerNode>,
    /// Where it takes flows.
    pub listeners: Vec<Listener>,
}

/// A load balancer's interface in one zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoadBalancerNode {
    /// `eni-...`
    pub network_interface_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its subnet's name in the template.
    pub subnet: String,
    /// The addresses that targets see as clients.
    pub private_ip_addresses: String,
}

/// A port of a load balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listener {
    /// Its name in the template.
    pub logical_id: String,
    /// Its ARN.
    pub listener_arn: String,
    /// `TCP`, `UDP` or `TCP_UDP`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// The target group's name in the template.
    pub target_group: String,
    /// How long a TCP flow may be idle.
    pub tcp_idle_timeout_seconds: u64,
}

/// `GET /v1/target-groups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetGroup {
    /// Its name in the template.
    pub logical_id: String,
    /// The stack that it is part of.
    pub stack: String,
    /// The account that it belongs to.
    pub owner_id: String,
    /// Its ARN.
    pub target_group_arn: String,
    /// Its own name.
    pub target_group_name: String,
    /// `TCP`, `UDP` or `TCP_UDP`.
    pub protocol: String,
    /// The port of targets that have none of their own.
    pub port: u16,
    /// `vpc-...`
    pub vpc_id: String,
    /// The VPC's name in the template.
    pub vpc: String,
    /// `TCP traffic-port`, `HTTP 8080/health`.
    pub health_check: String,
    /// Its targets.
    pub targets: Vec<Target>,
}

/// A target of a target group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    /// `i-...`, or an address.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// Its address.
    pub private_ip_address: String,
    /// Its zone.
    pub availability_zone: String,
    /// Has it been deregistered, and keeps its flows for a while?
    pub is_draining: bool,
    /// What each of the load balancers' nodes that may choose it has found; one without a zone if none may.
    pub target_health: Vec<TargetHealth>,
}

/// The health of a target, in AWS's words.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetHealth {
    /// The load balancer's node that says so.
    pub network_interface_id: Option<String>,
    /// The node's zone.
    pub availability_zone: Option<String>,
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining` or `unavailable`.
    pub state: String,
    /// `Target.Timeout`, ...; nothing of a healthy one.
    pub reason: Option<String>,
    /// One sentence.
    pub description: Option<String>,
}

/// An output of the template.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    /// Its stack.
    pub stack: String,
    /// Its name.
    pub output_key: String,
    /// Its value.
    pub output_value: String,
    /// What the template says of it.
    pub description: Option<String>,
    /// The name by which other stacks import it.
    pub export_name: Option<String>,
}

/// `GET /v1/network-interfaces`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInterface {
    /// `eni-...`
    pub network_interface_id: String,
    /// `instance`, `vpc_endpoint`, `resource_gateway` or `network_load_balancer`.
    pub interface_type: String,
    /// The name in the template of what it belongs to.
    pub owner: String,
    /// The stack that it is part of.
    pub stack: String,
    /// The account that it belongs to.
    pub owner_id: String,
    /// The VPC's name in the template.
    pub vpc: String,
    /// `vpc-...`
    pub vpc_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its addresses, primary first.
    pub private_ip_addresses: Vec<String>,
    /// The network namespace, for an instance's.
    pub namespace: Option<String>,
    /// `in-use`, or what became of its namespace or device.
    pub status: String,
    /// Packets that were delivered to its owner.
    pub packets_in: u64,
    /// Their bytes, IP headers included.
    pub bytes_in: u64,
    /// Packets that its owner sent.
    pub packets_out: u64,
    /// Their bytes, IP headers included.
    pub bytes_out: u64,
    /// Packets that were dropped.
    pub packets_dropped: u64,
}

/// `GET /v1/drops`: one reason at one interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Drop {
    /// `eni-...` at which the packets entered.
    pub network_interface_id: String,
    /// The name in the template of the interface's owner.
    pub owner: String,
    /// The stack that the interface is part of.
    pub stack: String,
    /// The reason's name.
    pub reason: String,
    /// How many.
    pub packets: u64,
    /// The reason in a sentence.
    pub description: String,
}

/// How people tell a thing from others: `EC2A`, and where there are `several` stacks `consumer:EC2A`.
pub fn in_stack(stack: &str, logical_id: &str, several: bool) -> String {
    match several {
        true => format!("{stack}:{logical_id}"),
        false => logical_id.to_owned(),
    }
}
