//! Commands of Elastic Load Balancing.

use crate::control::id::*;
use crate::control::model::Tags;

/// A key and its value: of `LoadBalancerAttributes`, `TargetGroupAttributes` or `ListenerAttributes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// For example `load_balancing.cross_zone.enabled`.
    pub key: String,
    /// For example `true`.
    pub value: String,
}

/// `AWS::ElasticLoadBalancingV2::LoadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateLoadBalancer {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Up to 32 characters, unique in the account. Default: the client token's first 32.
    pub name: Option<String>,
    /// `network`; others, also CloudFormation's default `application`, are refused.
    pub load_balancer_type: Option<String>,
    /// `internal`; CloudFormation's default `internet-facing` is refused.
    pub scheme: Option<String>,
    /// `ipv4`, the default; others are refused until IPv6 comes.
    pub ip_address_type: Option<String>,
    /// One per zone; either these or `subnet_mappings`.
    pub subnets: Vec<SubnetId>,
    /// One per zone, with chosen addresses.
    pub subnet_mappings: Vec<SubnetMapping>,
    /// Up to 5. None: its nodes have no group at all, and everything passes them.
    pub security_groups: Vec<SecurityGroupId>,
    /// `on`, the default, or `off`: do the groups' ingress rules count for what comes through an endpoint?
    pub enforce_security_group_inbound_rules_on_private_link_traffic: Option<String>,
    /// `load_balancing.cross_zone.enabled` and others.
    pub attributes: Vec<Attribute>,
    /// `Name` and others.
    pub tags: Tags,
}

/// A subnet and the address in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetMapping {
    /// Where a node shall stand.
    pub subnet_id: SubnetId,
    /// Default: a free one.
    pub private_ipv4_address: Option<String>,
}

/// `AWS::ElasticLoadBalancingV2::TargetGroup`, without its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTargetGroup {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Up to 32 characters, unique in the account. Default: the client token's first 32.
    pub name: Option<String>,
    /// `TCP`, `UDP` or `TCP_UDP`.
    pub protocol: Option<String>,
    /// The port of targets that are registered without one.
    pub port: Option<i64>,
    /// Where its targets stand.
    pub vpc_id: Option<VpcId>,
    /// `instance`, the default, or `ip`.
    pub target_type: Option<String>,
    /// `ipv4`, the default; others are refused until IPv6 comes.
    pub ip_address_type: Option<String>,
    /// How targets are probed.
    pub health_check: HealthCheckProperties,
    /// `deregistration_delay.timeout_seconds` and others.
    pub attributes: Vec<Attribute>,
    /// `Name` and others.
    pub tags: Tags,
}

/// The properties `HealthCheck...`, `...ThresholdCount` and `Matcher` of a target group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthCheckProperties {
    /// Always true.
    pub enabled: Option<bool>,
    /// `TCP`, the default, or `HTTP`.
    pub protocol: Option<String>,
    /// A port, or `traffic-port`, the default.
    pub port: Option<String>,
    /// HTTP only. Default: `/`.
    pub path: Option<String>,
    /// HTTP only: `200`, `200,202` or `200-399`, the default.
    pub matcher: Option<String>,
    /// 5 to 300. Default: 30.
    pub interval_seconds: Option<i64>,
    /// 2 to 120, and no more than the interval. Default: 10, for HTTP 6.
    pub timeout_seconds: Option<i64>,
    /// 2 to 10. Default: 5.
    pub healthy_threshold_count: Option<i64>,
    /// 2 to 10. Default: 2.
    pub unhealthy_threshold_count: Option<i64>,
}

/// Adds targets to a group; those that it has already stay, and no longer drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterTargets {
    /// Whose targets.
    pub target_group: TargetGroupId,
    /// At least one.
    pub targets: Vec<TargetDescription>,
}

/// Lets targets drain; after the group's deregistration delay they are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeregisterTargets {
    /// Whose targets.
    pub target_group: TargetGroupId,
    /// At least one; without a port every port of the id.
    pub targets: Vec<TargetDescription>,
}

/// A target as the caller writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetDescription {
    /// An instance's id or an address, as the group's target type says.
    pub id: String,
    /// Default: the group's.
    pub port: Option<i64>,
    /// Default, and the only right one: the zone of the id.
    pub availability_zone: Option<String>,
}

/// `AWS::ElasticLoadBalancingV2::Listener`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateListener {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Whose listener.
    pub load_balancer: LoadBalancerId,
    /// 1 to 65535.
    pub port: Option<i64>,
    /// `TCP`, `UDP` or `TCP_UDP`.
    pub protocol: Option<String>,
    /// One, of type `forward`.
    pub default_actions: Vec<Action>,
    /// `tcp.idle_timeout.seconds`.
    pub attributes: Vec<Attribute>,
}

/// What a listener does with a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// `forward`.
    pub action_type: String,
    /// `TargetGroupArn`, or those of `ForwardConfig.TargetGroups`: one.
    pub target_groups: Vec<TargetGroupId>,
}
