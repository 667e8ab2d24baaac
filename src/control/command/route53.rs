//! Commands of Route 53.

use crate::control::id::*;
use crate::control::model::Tags;

/// `AWS::Route53::HostedZone`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateHostedZone {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Its domain name.
    pub name: String,
    /// The VPCs that see it. None, a public hosted zone, is refused.
    pub vpcs: Vec<ZoneVpc>,
    /// Up to 256 characters.
    pub comment: Option<String>,
    /// `HostedZoneTags`.
    pub tags: Tags,
}

/// A VPC that a hosted zone is associated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneVpc {
    /// Of the same account.
    pub vpc_id: VpcId,
    /// The region, of which there is one.
    pub vpc_region: String,
}

/// `AWS::Route53::RecordSet`: the action CREATE of `ChangeResourceRecordSets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateRecordSet {
    /// Decides the id; the logical id.
    pub client_token: String,
    /// Whose record set; either this or its name.
    pub hosted_zone_id: Option<HostedZoneId>,
    /// The name of the account's only hosted zone of this name.
    pub hosted_zone_name: Option<String>,
    /// The domain name that it is of; it may begin with `*.`.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, `MX`, `PTR`, `SRV` or `TXT`.
    pub record_type: String,
    /// Seconds that an answer may be kept.
    pub ttl: Option<i64>,
    /// The values, as a zone file has them.
    pub resource_records: Vec<String>,
    /// Instead of values: the name whose addresses they are.
    pub alias_target: Option<AliasTarget>,
}

/// What an alias leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasTarget {
    /// The name.
    pub dns_name: String,
    /// The hosted zone of the name: one of the account, or what AWS calls the zone of its own names.
    pub hosted_zone_id: String,
}
