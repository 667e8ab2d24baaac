//! Names: what resolvers count, and what is asked of them.

use serde::{Deserialize, Serialize};

/// `GET /v1/resolvers`: the resolver of a VPC.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resolver {
    /// The VPC's name in the template.
    pub vpc: String,
    /// `vpc-...`
    pub vpc_id: String,
    /// The stack that the VPC is part of.
    pub stack: String,
    /// The account that the VPC belongs to.
    pub owner_id: String,
    /// Where it is asked, besides 169.254.169.253.
    pub address: String,
    /// Whom it asks what none of its zones says.
    pub upstream: Vec<String>,
    /// Queries by UDP.
    pub queries_udp: u64,
    /// Queries by TCP.
    pub queries_tcp: u64,
    /// Answers out of private hosted zones, positive or negative.
    pub from_hosted_zones: u64,
    /// Answers by endpoints' private DNS names.
    pub from_private_dns: u64,
    /// Answers by endpoints' own names.
    pub from_endpoints: u64,
    /// Answers by instances' names and addresses.
    pub from_instances: u64,
    /// Answers of upstream.
    pub from_upstream: u64,
    /// Answers that there is no such name.
    pub nxdomain: u64,
    /// Answers that the name has no such record.
    pub nodata: u64,
    /// Answers that resolution has failed.
    pub servfail: u64,
    /// Answers that the question is refused: by upstream, or as one that is not for a resolver.
    pub refused: u64,
    /// Queries that could not be read, or ask for what no resolver does.
    pub formerr: u64,
    /// Answers by UDP that were cut short.
    pub truncated: u64,
    /// Packets over the limits.
    pub limited: u64,
}

/// Body of `POST /v1/dig`: a question, asked as an instance asks its VPC's resolver.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DigQuestion {
    /// Which instance: `i-...`, a logical id, or `STACK:LOGICAL-ID`.
    pub instance: String,
    /// The name, which is taken as fully qualified.
    pub name: String,
    /// `A`, `AAAA`, `TXT`, ...
    #[serde(default = "DigQuestion::default_type")]
    pub record_type: String,
}

impl DigQuestion {
    fn default_type() -> String {
        "A".to_owned()
    }
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dig {
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL` or `REFUSED`.
    pub status: String,
    /// The name that was asked for.
    pub name: String,
    /// The type that was asked for.
    pub record_type: String,
    /// The instance's name in the template.
    pub instance: String,
    /// Its VPC's name in the template.
    pub vpc: String,
    /// Where the VPC's resolver is asked.
    pub resolver: String,
    /// The answer.
    pub answers: Vec<DnsRecord>,
    /// What stands behind an answer without records: the SOA of its zone.
    pub authorities: Vec<DnsRecord>,
    /// Where the answer, or the end of its chain of CNAMEs, was found.
    pub source: DigSource,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DnsRecord {
    /// Its owner.
    pub name: String,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// `A`, `CNAME`, ...
    pub record_type: String,
    /// What it says, as zone files have it.
    pub data: String,
}

/// Where an answer was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DigSource {
    /// `HostedZone`, `PrivateDns`, `Endpoint`, `Instances`, `SpecialUse`, `Upstream` or `None`.
    pub kind: String,
    /// The id of what the zone belongs to.
    pub id: Option<String>,
    /// The zone's apex.
    pub zone: Option<String>,
    /// The servers upstream.
    pub upstream: Vec<String>,
}
