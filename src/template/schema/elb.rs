//! The types of `AWS::ElasticLoadBalancingV2`.

use super::Attribute::{Placeholder, Real};
use super::Kind::{Any, Attributes, Boolean, Integer, List, Object, Text};
use super::*;
use crate::control;

const TLS: &str = "TLS is not supported yet; take protocol TCP";
const APPLICATION: &str = "this is for application load balancers, which are not supported";

pub(super) const LOAD_BALANCER: Schema = Schema {
    name: "AWS::ElasticLoadBalancingV2::LoadBalancer",
    kind: Type::LoadBalancer,
    properties: &[
        optional("Name", Text),
        optional("Type", Text),
        optional("Scheme", Text),
        optional("IpAddressType", Text),
        optional("Subnets", List(&Text)),
        optional(
            "SubnetMappings",
            List(&Object(&[
                required("SubnetId", Text),
                optional("PrivateIPv4Address", Text),
                later(
                    "AllocationId",
                    Text,
                    "elastic addresses are for internet-facing load balancers, which are not supported",
                ),
                later("IPv6Address", Text, IPV6),
                later("SourceNatIpv6Prefix", Text, IPV6),
            ])),
        ),
        optional("SecurityGroups", List(&Text)),
        optional("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", Text),
        optional(
            "LoadBalancerAttributes",
            Attributes(control::LoadBalancer::IGNORED_ATTRIBUTES),
        ),
        optional("Tags", TAGS),
        ignored("EnableCapacityReservationProvisionStabilize", Boolean),
        ignored("EnablePrefixForIpv6SourceNat", Text),
        ignored("MinimumLoadBalancerCapacity", Any),
        later("Ipv4IpamPoolId", Text, "IPAM pools are not supported"),
        read_only("CanonicalHostedZoneID"),
        read_only("DNSName"),
        read_only("LoadBalancerArn"),
        read_only("LoadBalancerFullName"),
        read_only("LoadBalancerName"),
    ],
    privlink: &[],
    attributes: &[
        ("LoadBalancerArn", Real),
        ("LoadBalancerFullName", Real),
        ("LoadBalancerName", Real),
        ("DNSName", Real),
        // A region's own, by which Route 53 names it; us-east-1's.
        ("CanonicalHostedZoneID", Placeholder("Z26RNL4JYFTOTI")),
    ],
};

pub(super) const TARGET_GROUP: Schema = Schema {
    name: "AWS::ElasticLoadBalancingV2::TargetGroup",
    kind: Type::TargetGroup,
    properties: &[
        optional("Name", Text),
        optional("Protocol", Text),
        optional("Port", Integer),
        optional("VpcId", Text),
        optional("TargetType", Text),
        optional("IpAddressType", Text),
        optional(
            "Targets",
            List(&Object(&[
                required("Id", Text),
                optional("Port", Integer),
                optional("AvailabilityZone", Text),
                later("QuicServerId", Text, "QUIC is not supported"),
            ])),
        ),
        optional("HealthCheckEnabled", Boolean),
        optional("HealthCheckProtocol", Text),
        optional("HealthCheckPort", Text),
        optional("HealthCheckPath", Text),
        optional("HealthCheckIntervalSeconds", Integer),
        optional("HealthCheckTimeoutSeconds", Integer),
        optional("HealthyThresholdCount", Integer),
        optional("UnhealthyThresholdCount", Integer),
        optional(
            "Matcher",
            Object(&[
                optional("HttpCode", Text),
                later("GrpcCode", Text, APPLICATION),
            ]),
        ),
        optional(
            "TargetGroupAttributes",
            Attributes(control::TargetGroup::IGNORED_ATTRIBUTES),
        ),
        optional("Tags", TAGS),
        later("ProtocolVersion", Text, APPLICATION),
        later("TargetControlPort", Integer, APPLICATION),
        read_only("LoadBalancerArns"),
        read_only("TargetGroupArn"),
        read_only("TargetGroupFullName"),
        read_only("TargetGroupName"),
    ],
    privlink: &[],
    attributes: &[
        ("TargetGroupArn", Real),
        ("TargetGroupFullName", Real),
        ("TargetGroupName", Real),
        // Its listeners are made after it.
        ("LoadBalancerArns", Placeholder("")),
    ],
};

pub(super) const LISTENER: Schema = Schema {
    name: "AWS::ElasticLoadBalancingV2::Listener",
    kind: Type::Listener,
    properties: &[
        required("LoadBalancerArn", Text),
        optional("Port", Integer),
        optional("Protocol", Text),
        required(
            "DefaultActions",
            List(&Object(&[
                required("Type", Text),
                optional("TargetGroupArn", Text),
                optional(
                    "ForwardConfig",
                    Object(&[
                        optional(
                            "TargetGroups",
                            List(&Object(&[
                                optional("TargetGroupArn", Text),
                                // There is only one.
                                ignored("Weight", Integer),
                            ])),
                        ),
                        later("TargetGroupStickinessConfig", Any, APPLICATION),
                    ]),
                ),
                ignored("Order", Integer),
                later("AuthenticateCognitoConfig", Any, APPLICATION),
                later("AuthenticateOidcConfig", Any, APPLICATION),
                later("FixedResponseConfig", Any, APPLICATION),
                later("JwtValidationConfig", Any, APPLICATION),
                later("RedirectConfig", Any, APPLICATION),
            ])),
        ),
        optional("ListenerAttributes", Attributes(&[])),
        later("AlpnPolicy", List(&Text), TLS),
        later("Certificates", Any, TLS),
        later("MutualAuthentication", Any, TLS),
        later("SslPolicy", Text, TLS),
        read_only("ListenerArn"),
    ],
    privlink: &[],
    attributes: &[("ListenerArn", Real)],
};
