//! Commands on endpoints and endpoint services: how they are made is one thing, what becomes of a connection another.

use crate::control::id::*;
use crate::control::model::Tags;

/// `AWS::EC2::VPCEndpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateVpcEndpoint {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// `Interface` or `Resource`; others, also CloudFormation's default `Gateway`, are refused until they come.
    pub vpc_endpoint_type: Option<String>,
    /// The consumer VPC.
    pub vpc_id: VpcId,
    /// What it leads to; a Resource endpoint needs one.
    pub resource_configuration_arn: Option<ResourceConfigurationId>,
    /// What it leads to; an Interface endpoint needs one: `com.amazonaws.vpce.<region>.vpce-svc-<id>`.
    pub service_name: Option<String>,
    /// One per zone in which it shall be reachable.
    pub subnet_ids: Vec<SubnetId>,
    /// Up to 5. None: the VPC's default group.
    pub security_group_ids: Vec<SecurityGroupId>,
    /// `ipv4`, the default; others are refused until IPv6 comes.
    pub ip_address_type: Option<String>,
    /// Does it answer to its provider's name in its VPC? Default: no.
    pub private_dns_enabled: Option<bool>,
    /// `DnsOptions`.
    pub dns_options: DnsOptions,
    /// Beyond CloudFormation (the API's `SubnetConfigurations`): chosen addresses. Others are automatic.
    pub addresses: Vec<(SubnetId, String)>,
    /// Who asks, for a service's permissions: the ARN of a user or role of the account. Default: the account itself.
    pub principal: Option<String>,
    /// `Name` and others.
    pub tags: Tags,
}

/// Changes an endpoint; its consumer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModifyVpcEndpoint {
    /// Which.
    pub vpc_endpoint_id: VpcEndpointId,
    /// Where it shall have interfaces as well.
    pub add_subnet_ids: Vec<SubnetId>,
    /// Where it shall have none any more.
    pub remove_subnet_ids: Vec<SubnetId>,
    /// What its interfaces shall carry as well.
    pub add_security_group_ids: Vec<SecurityGroupId>,
    /// What they shall carry no longer. One must be left.
    pub remove_security_group_ids: Vec<SecurityGroupId>,
    /// Chosen addresses in `add_subnet_ids`.
    pub addresses: Vec<(SubnetId, String)>,
    /// Shall it answer to its provider's name? `None`: as before.
    pub private_dns_enabled: Option<bool>,
}

/// What names an endpoint has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// `ipv4`, the default; others are refused until IPv6 comes.
    pub dns_record_ip_type: Option<String>,
    /// `AllResolvers`, the default.
    pub private_dns_only_for_inbound_resolver_endpoint: Option<String>,
    /// Of a resource endpoint: `ALL_DOMAINS`, the default here; others are refused, as nobody verifies a resource's domain.
    pub private_dns_preference: Option<String>,
}

/// `AWS::EC2::VPCEndpointService`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateVpcEndpointServiceConfiguration {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// What it offers: at least one load balancer of the same account.
    pub network_load_balancer_arns: Vec<LoadBalancerId>,
    /// Must each endpoint be accepted? Default: yes.
    pub acceptance_required: Option<bool>,
    /// Beyond AWS, which does not publish it: seconds after which a request that nobody has accepted expires.
    /// Default: 7 days.
    pub acceptance_timeout: Option<i64>,
    /// By which consumers' endpoints may answer, once it is verified: `db.example.com` or `*.example.com`.
    pub private_dns_name: Option<String>,
    /// `Name` and others.
    pub tags: Tags,
}

/// Changes what a service offers, and whether it asks; its provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModifyVpcEndpointServiceConfiguration {
    /// Which.
    pub service_id: VpcEndpointServiceId,
    /// Must each endpoint that comes be accepted? `None`: as before.
    pub acceptance_required: Option<bool>,
    /// What it shall offer as well.
    pub add_network_load_balancer_arns: Vec<LoadBalancerId>,
    /// What it shall offer no longer. One must be left.
    pub remove_network_load_balancer_arns: Vec<LoadBalancerId>,
}

/// `AWS::EC2::VPCEndpointServicePermissions`: changes who may ask for endpoints; its provider's. Endpoints whose principal
/// is no longer allowed are rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModifyVpcEndpointServicePermissions {
    /// Which.
    pub service_id: VpcEndpointServiceId,
    /// Each `*`, or the ARN of an account, a user or a role.
    pub add_allowed_principals: Vec<String>,
    /// As listed before.
    pub remove_allowed_principals: Vec<String>,
}

/// Says that the TXT record is there that proves whose the domain of a service's private DNS name is; its provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartVpcEndpointServicePrivateDnsVerification {
    /// Which.
    pub service_id: VpcEndpointServiceId,
}

/// `AcceptVpcEndpointConnections` and `RejectVpcEndpointConnections`: the provider's answer to endpoints of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcEndpointConnections {
    /// Whose.
    pub service_id: VpcEndpointServiceId,
    /// Which: at least one, and all of them or none.
    pub vpc_endpoint_ids: Vec<VpcEndpointId>,
}
