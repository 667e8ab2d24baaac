//! The types of `AWS::Route53`.

use super::Attribute::{Later, Placeholder, Real};
use super::Kind::{Any, Boolean, Integer, List, Object, Text};
use super::*;

const ROUTING: &str =
    "routing policies are not supported yet; a record set has one answer for everybody";

pub(super) const HOSTED_ZONE: Schema = Schema {
    name: "AWS::Route53::HostedZone",
    kind: Type::HostedZone,
    properties: &[
        required("Name", Text),
        optional(
            "VPCs",
            List(&Object(&[
                required("VPCId", Text),
                required("VPCRegion", Text),
            ])),
        ),
        optional("HostedZoneConfig", Object(&[optional("Comment", Text)])),
        optional("HostedZoneTags", TAGS),
        ignored("HostedZoneFeatures", Any),
        ignored("QueryLoggingConfig", Any),
        read_only("Id"),
        read_only("NameServers"),
    ],
    privlink: &[],
    attributes: &[
        ("Id", Real),
        (
            "NameServers",
            Later("a private hosted zone has no name servers, as on AWS"),
        ),
    ],
};

const ALIAS_TARGET: Kind = Object(&[
    required("DNSName", Text),
    required("HostedZoneId", Text),
    // Endpoints' names leave unhealthy zones out by themselves.
    ignored("EvaluateTargetHealth", Boolean),
]);

macro_rules! record_set {
    ($($more:expr),*) => {
        &[
            required("Name", Text),
            required("Type", Text),
            optional("HostedZoneId", Text),
            optional("HostedZoneName", Text),
            optional("TTL", Integer),
            optional("ResourceRecords", List(&Text)),
            optional("AliasTarget", ALIAS_TARGET),
            later("CidrRoutingConfig", Any, ROUTING),
            later("Failover", Text, ROUTING),
            later("GeoLocation", Any, ROUTING),
            later("GeoProximityLocation", Any, ROUTING),
            later("HealthCheckId", Text, ROUTING),
            later("MultiValueAnswer", Boolean, ROUTING),
            later("Region", Text, ROUTING),
            later("SetIdentifier", Text, ROUTING),
            later("Weight", Integer, ROUTING),
            $($more),*
        ]
    };
}

pub(super) const RECORD_SET: Schema = Schema {
    name: "AWS::Route53::RecordSet",
    kind: Type::RecordSet,
    properties: record_set!(ignored("Comment", Text)),
    privlink: &[],
    attributes: &[],
};

pub(super) const RECORD_SET_GROUP: Schema = Schema {
    name: "AWS::Route53::RecordSetGroup",
    kind: Type::RecordSetGroup,
    properties: &[
        optional("HostedZoneId", Text),
        optional("HostedZoneName", Text),
        required("RecordSets", List(&Object(record_set!()))),
        ignored("Comment", Text),
    ],
    privlink: &[],
    attributes: &[("Id", Placeholder(""))],
};
