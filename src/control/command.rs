//! Everything that changes a [`ControlState`](super::ControlState): one struct per AWS operation.
//!
//! A command carries what the caller wrote, in AWS's names and wire types: ids are parsed, everything else
//! (CIDRs, zones, protocols, port ranges) is text or a number that `execute` checks. `client_token` stands for the
//! object and decides its id; the template loader gives the logical id. Source: EC2 and VPC Lattice API references,
//! CloudFormation's resource types; what AWS has no word for says so.

mod load_balancing;
mod private_link;
mod route53;

use super::id::*;
use super::model::Tags;

pub use load_balancing::*;
pub use private_link::*;
pub use route53::*;

/// One change. It happens as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a VPC with its `default` security group.
    CreateVpc(CreateVpc),
    /// Makes a subnet in a VPC.
    CreateSubnet(CreateSubnet),
    /// Makes a security group that lets nothing in and everything out.
    CreateSecurityGroup(CreateSecurityGroup),
    /// Adds an ingress rule to a group.
    AuthorizeSecurityGroupIngress(AuthorizeSecurityGroupIngress),
    /// Adds an egress rule to a group.
    AuthorizeSecurityGroupEgress(AuthorizeSecurityGroupEgress),
    /// Makes an instance with one network interface.
    RunInstance(RunInstance),
    /// Makes a resource gateway with a network interface in each of its subnets.
    CreateResourceGateway(CreateResourceGateway),
    /// Makes a resource configuration behind a gateway.
    CreateResourceConfiguration(CreateResourceConfiguration),
    /// Makes a VPC endpoint with a network interface in each of its subnets.
    CreateVpcEndpoint(CreateVpcEndpoint),
    /// Makes a network load balancer with a node in each of its subnets.
    CreateLoadBalancer(CreateLoadBalancer),
    /// Makes a target group without targets.
    CreateTargetGroup(CreateTargetGroup),
    /// Makes a listener of a load balancer.
    CreateListener(CreateListener),
    /// Makes an endpoint service of load balancers.
    CreateVpcEndpointServiceConfiguration(CreateVpcEndpointServiceConfiguration),
    /// Makes a private hosted zone without record sets.
    CreateHostedZone(CreateHostedZone),
    /// Makes a record set in a hosted zone.
    CreateRecordSet(CreateRecordSet),

    /// Adds targets to a group.
    RegisterTargets(RegisterTargets),
    /// Lets targets of a group drain.
    DeregisterTargets(DeregisterTargets),
    /// Accepts endpoints of a service; its provider's.
    AcceptVpcEndpointConnections(VpcEndpointConnections),
    /// Rejects endpoints of a service, also available ones; its provider's.
    RejectVpcEndpointConnections(VpcEndpointConnections),
    /// Changes an endpoint's subnets and groups; its consumer's.
    ModifyVpcEndpoint(ModifyVpcEndpoint),
    /// Changes a service.
    ModifyVpcEndpointServiceConfiguration(ModifyVpcEndpointServiceConfiguration),
    /// Changes who may ask for a service's endpoints.
    ModifyVpcEndpointServicePermissions(ModifyVpcEndpointServicePermissions),
    /// Has the proof of a service's private DNS name looked for; its provider's.
    StartVpcEndpointServicePrivateDnsVerification(StartVpcEndpointServicePrivateDnsVerification),

    /// Deletes a VPC that nothing is left in but its default group.
    DeleteVpc(VpcId),
    /// Deletes a subnet without interfaces.
    DeleteSubnet(SubnetId),
    /// Deletes a group that no interface carries and no other group's rule names.
    DeleteSecurityGroup(SecurityGroupId),
    /// Takes a rule out of its group (`RevokeSecurityGroupIngress` and `...Egress`).
    RevokeSecurityGroupRule(SecurityGroupRuleId),
    /// Deletes an instance with its interface; target groups no longer have it.
    TerminateInstance(InstanceId),
    /// Deletes a gateway without resource configurations.
    DeleteResourceGateway(ResourceGatewayId),
    /// Deletes a configuration without endpoints.
    DeleteResourceConfiguration(ResourceConfigurationId),
    /// Deletes an endpoint; its consumer's.
    DeleteVpcEndpoint(VpcEndpointId),
    /// Deletes a load balancer without services, and its listeners.
    DeleteLoadBalancer(LoadBalancerId),
    /// Deletes a target group without listeners.
    DeleteTargetGroup(TargetGroupId),
    /// Deletes a listener.
    DeleteListener(ListenerId),
    /// Deletes a service without live endpoints; its provider's.
    DeleteVpcEndpointServiceConfiguration(VpcEndpointServiceId),
    /// Deletes a hosted zone without record sets.
    DeleteHostedZone(HostedZoneId),
    /// Deletes a record set.
    DeleteRecordSet(RecordSetId),
}

/// `AWS::EC2::VPC`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateVpc {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// `/16` to `/28`.
    pub cidr_block: String,
    /// Does the resolver answer? Default: yes.
    pub enable_dns_support: Option<bool>,
    /// Do instances have DNS names? Default: no.
    pub enable_dns_hostnames: Option<bool>,
    /// `Name` and others.
    pub tags: Tags,
}

/// `AWS::EC2::Subnet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSubnet {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Whose part it is.
    pub vpc_id: VpcId,
    /// `/16` to `/28`, inside the VPC's.
    pub cidr_block: String,
    /// For example `ap-northeast-1a`. Default: the region's `a`.
    pub availability_zone: Option<String>,
    /// `Name` and others.
    pub tags: Tags,
}

/// `AWS::EC2::SecurityGroup`, without its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSecurityGroup {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Unique in the VPC. Default: the client token.
    pub group_name: Option<String>,
    /// What it is for.
    pub group_description: String,
    /// Whose interfaces may carry it.
    pub vpc_id: VpcId,
    /// `Name` and others.
    pub tags: Tags,
}

/// `AWS::EC2::SecurityGroupIngress`, or one element of a group's `SecurityGroupIngress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeSecurityGroupIngress {
    /// Decides the rule's id; the logical id, or for a group's own rule for example `Group/SecurityGroupIngress.0`.
    pub client_token: String,
    /// Whose rule it is.
    pub group_id: SecurityGroupId,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a protocol number, or `-1` for all.
    pub ip_protocol: String,
    /// The first port, or the ICMP type (-1: any).
    pub from_port: Option<i64>,
    /// The last port, or the ICMP code (-1: any).
    pub to_port: Option<i64>,
    /// The peer: exactly one of this and the next three.
    pub cidr_ip: Option<String>,
    /// The peer, an IPv6 range.
    pub cidr_ipv6: Option<String>,
    /// The peer, a group of the same VPC.
    pub source_security_group_id: Option<SecurityGroupId>,
    /// The peer, a prefix list; refused until prefix lists come.
    pub source_prefix_list_id: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// `AWS::EC2::SecurityGroupEgress`, or one element of a group's `SecurityGroupEgress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeSecurityGroupEgress {
    /// Decides the rule's id; the logical id, or for a group's own rule for example `Group/SecurityGroupEgress.0`.
    pub client_token: String,
    /// Whose rule it is.
    pub group_id: SecurityGroupId,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a protocol number, or `-1` for all.
    pub ip_protocol: String,
    /// The first port, or the ICMP type (-1: any).
    pub from_port: Option<i64>,
    /// The last port, or the ICMP code (-1: any).
    pub to_port: Option<i64>,
    /// The peer: exactly one of this and the next three.
    pub cidr_ip: Option<String>,
    /// The peer, an IPv6 range.
    pub cidr_ipv6: Option<String>,
    /// The peer, a group of the same VPC.
    pub destination_security_group_id: Option<SecurityGroupId>,
    /// The peer, a prefix list; refused until prefix lists come.
    pub destination_prefix_list_id: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Take away the rules that let everything out, with which the group began? CloudFormation does so as soon as a
    /// template has an egress rule for the group; the EC2 API keeps them.
    pub replaces_default: bool,
}

/// `AWS::EC2::Instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInstance {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Where its interface stands.
    pub subnet_id: SubnetId,
    /// Default: a free one.
    pub private_ip_address: Option<String>,
    /// Up to 5. None: the VPC's default group.
    pub security_group_ids: Vec<SecurityGroupId>,
    /// May it send from its own address only? Default: yes.
    pub source_dest_check: Option<bool>,
    /// The script, decoded.
    pub user_data: Option<Vec<u8>>,
    /// Beyond AWS: its network namespace. Default: the `Name` tag, else the client token.
    pub namespace: Option<String>,
    /// `Name` and others.
    pub tags: Tags,
}

/// `AWS::VpcLattice::ResourceGateway`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateResourceGateway {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// 3 to 40 characters.
    pub name: String,
    /// The provider VPC.
    pub vpc_identifier: VpcId,
    /// At least one, each in a zone of its own.
    pub subnet_ids: Vec<SubnetId>,
    /// Up to 5. None: the VPC's default group.
    pub security_group_ids: Vec<SecurityGroupId>,
    /// `IPV4`, the default; others are refused until IPv6 comes.
    pub ip_address_type: Option<String>,
    /// 1 to 62. Default: 16.
    pub ipv4_addresses_per_eni: Option<i64>,
    /// Where names of resource configurations are looked up: `PUBLIC`, the default, or `IN_VPC`.
    pub resource_config_dns_resolution: Option<String>,
    /// `Name` and others.
    pub tags: Tags,
}

/// `AWS::VpcLattice::ResourceConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateResourceConfiguration {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// 3 to 40 characters.
    pub name: String,
    /// `SINGLE`; others are refused until they come.
    pub resource_configuration_type: String,
    /// Through which gateway; SINGLE needs one.
    pub resource_gateway_id: Option<ResourceGatewayId>,
    /// What it leads to; SINGLE needs one.
    pub resource_configuration_definition: Option<ResourceConfigurationDefinition>,
    /// Each `443` or `1-65535`.
    pub port_ranges: Vec<String>,
    /// `TCP`, the default.
    pub protocol_type: Option<String>,
    /// Beyond AWS: `TCP`, `UDP`, `ICMP`. Default: what `protocol_type` says.
    pub protocols: Option<Vec<String>>,
    /// Beyond AWS: seconds that a flow may be idle, 1 to 432,000. Default: the protocol's own.
    pub idle_timeout: Option<i64>,
    /// Does a TCP connection begin with a PROXY header? Beyond AWS.
    pub proxy_protocol: Option<bool>,
    /// The name to which consumers' endpoints may answer.
    pub custom_domain_name: Option<String>,
    /// `Name` and others.
    pub tags: Tags,
}

/// What a resource configuration leads to: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceConfigurationDefinition {
    /// `IpResource`: an address of the gateway's VPC.
    IpResource(String),
    /// `DnsResource`: whatever addresses a name has.
    DnsResource {
        /// The name.
        domain_name: String,
        /// `IPV4`; others are refused until IPv6 comes.
        ip_address_type: String,
    },
    /// `ArnResource`; refused until it comes.
    ArnResource(String),
}

/// The object that a command was about: it has made it, changed it or deleted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Created {
    /// By `CreateVpc`.
    Vpc(VpcId),
    /// By `CreateSubnet`.
    Subnet(SubnetId),
    /// By `CreateSecurityGroup`.
    SecurityGroup(SecurityGroupId),
    /// By `AuthorizeSecurityGroupIngress` and `AuthorizeSecurityGroupEgress`.
    SecurityGroupRule(SecurityGroupRuleId),
    /// By `RunInstance`.
    Instance(InstanceId),
    /// By `CreateResourceGateway`.
    ResourceGateway(ResourceGatewayId),
    /// By `CreateResourceConfiguration`.
    ResourceConfiguration(ResourceConfigurationId),
    /// By `CreateVpcEndpoint`.
    VpcEndpoint(VpcEndpointId),
    /// By `CreateLoadBalancer`.
    LoadBalancer(LoadBalancerId),
    /// By `CreateTargetGroup`.
    TargetGroup(TargetGroupId),
    /// By `CreateListener`.
    Listener(ListenerId),
    /// By `CreateVpcEndpointServiceConfiguration`.
    VpcEndpointService(VpcEndpointServiceId),
    /// By `CreateHostedZone`.
    HostedZone(HostedZoneId),
    /// By `CreateRecordSet`.
    RecordSet(RecordSetId),
}

impl std::fmt::Display for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vpc(id) => id.fmt(f),
            Self::Subnet(id) => id.fmt(f),
            Self::SecurityGroup(id) => id.fmt(f),
            Self::SecurityGroupRule(id) => id.fmt(f),
            Self::Instance(id) => id.fmt(f),
            Self::ResourceGateway(id) => id.fmt(f),
            Self::ResourceConfiguration(id) => id.fmt(f),
            Self::VpcEndpoint(id) => id.fmt(f),
            Self::LoadBalancer(id) => id.fmt(f),
            Self::TargetGroup(id) => id.fmt(f),
            Self::Listener(id) => id.fmt(f),
            Self::VpcEndpointService(id) => id.fmt(f),
            Self::HostedZone(id) => id.fmt(f),
            Self::RecordSet(id) => id.fmt(f),
        }
    }
}
