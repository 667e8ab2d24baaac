//! What Route 53 refuses, in its words where they are known.

use super::Named;

/// One thing that is wrong with a hosted zone or a record set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum Route53Error {
    #[error(
        "ConflictingDomainExists: VPC {vpc} is associated with hosted zone {by} of the same name {name} already; put the \
         records into that one"
    )]
    ConflictingDomain {
        property: String,
        name: String,
        vpc: Named,
        by: Named,
    },
    #[error(
        "ConflictingDomainExists: VPC {vpc} has the name {name} already, as the private DNS of VPC endpoint {by}; put \
         PrivateDnsEnabled: false there, or the records into a hosted zone below that name"
    )]
    ConflictingPrivateDns {
        property: String,
        name: String,
        vpc: Named,
        by: Named,
    },
    #[error(
        "NotAuthorizedException: VPC {vpc} belongs to account {account}, and to associate it has not been authorized, which \
         is not there yet; make the hosted zone in a stack of that account"
    )]
    VpcOfOtherAccount {
        property: String,
        vpc: String,
        account: String,
    },
    #[error(
        "NoSuchHostedZone: there is no hosted zone {name}; where the same template makes it, give its HostedZoneId"
    )]
    NoZoneOfName { name: String },
    #[error("InvalidInput: hosted zones {} have the name {name}; give the HostedZoneId of one of them", .zones.join(" and "))]
    SeveralZones { name: String, zones: Vec<String> },
    #[error(
        "InvalidChangeBatch: RRSet with DNS name {name}. is not permitted in zone {zone}.; its name must be {zone} or end in .{zone}"
    )]
    OutsideZone { name: String, zone: String },
    #[error(
        "InvalidChangeBatch: RRSet of type CNAME with DNS name {name}. is not permitted at apex in zone {name}.; take an alias \
         (AliasTarget) of type A"
    )]
    CnameAtApex { name: String },
    #[error(
        "InvalidChangeBatch: RRSet of type {record_type} with DNS name {name}. is not permitted because record set {by} with \
         the same DNS name is there already, and a CNAME stands alone"
    )]
    CnameBesideOthers {
        record_type: &'static str,
        name: String,
        by: Named,
    },
    #[error(
        "InvalidChangeBatch: Tried to create resource record set [name='{name}.', type='{record_type}'] but it already \
         exists: {by}; one record set has all the values"
    )]
    RecordSetExists {
        name: String,
        record_type: &'static str,
        by: Named,
    },
    #[error(
        "InvalidChangeBatch: Invalid Resource Record: `{given}` is not {wanted}, as type {record_type} has; one looks like \
         {example}"
    )]
    Value {
        property: String,
        given: String,
        record_type: &'static str,
        wanted: &'static str,
        example: &'static str,
    },
    #[error("InvalidChangeBatch: `{given}` is a second value; a CNAME has one")]
    SecondTarget { property: String, given: String },
    #[error(
        "InvalidChangeBatch: Tried to create an alias that targets {target}., type {record_type} in zone {zone}, but the alias \
         target name does not lie within the target zone"
    )]
    AliasOutsideZone {
        target: String,
        record_type: &'static str,
        zone: Named,
    },
    #[error(
        "InvalidInput: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]], but found {found}"
    )]
    OneAnswer {
        property: &'static str,
        found: &'static str,
    },
}

impl Route53Error {
    /// As [`ControlError::property`](super::ControlError::property).
    pub(super) fn property(&self) -> &str {
        match self {
            Self::ConflictingDomain { property, .. }
            | Self::ConflictingPrivateDns { property, .. }
            | Self::VpcOfOtherAccount { property, .. }
            | Self::SecondTarget { property, .. }
            | Self::Value { property, .. } => property,
            Self::NoZoneOfName { .. } | Self::SeveralZones { .. } => "HostedZoneName",
            Self::OutsideZone { .. } | Self::RecordSetExists { .. } => "Name",
            Self::CnameAtApex { .. } | Self::CnameBesideOthers { .. } => "Type",
            Self::AliasOutsideZone { .. } => "AliasTarget.DNSName",
            Self::OneAnswer { property, .. } => property,
        }
    }
}
