//! What the resolver of a VPC answers by itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use hickory_proto::rr::{LowerName, Name, RData};

use super::{LoadBalancerIdx, VpcIdx, Zone};
use crate::net::Addr;

/// The resolver of a VPC (Amazon Route 53 VPC Resolver).
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Where it is asked: the VPC's base address + 2, and 169.254.169.253.
    pub addresses: Vec<Addr>,
    /// The zones of this VPC's view, besides [`DataplaneConfig::public_zones`](super::DataplaneConfig::public_zones). Of several with
    /// one name the first counts.
    pub zones: Vec<Arc<DnsZone>>,
}

/// A zone: for every name in it nobody else is asked.
#[derive(Clone)]
pub struct DnsZone {
    /// Its apex, fully qualified.
    pub name: LowerName,
    /// Whose it is.
    pub origin: Origin,
    /// Its records by their owner, fully qualified; a wildcard's owner begins with the label `*`. All names in between exist
    /// (RFC 4592, empty non-terminals), as do the apex's SOA and NS, which are not in here.
    pub records: HashMap<LowerName, Vec<RecordSet>>,
}

/// Its records by their names, so that equal zones print alike.
impl fmt::Debug for DnsZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: BTreeMap<_, _> = self.records.iter().collect();
        let mut zone = f.debug_struct("DnsZone");
        zone.field("name", &self.name);
        zone.field("origin", &self.origin);
        zone.field("records", &records).finish()
    }
}

/// Where a zone comes from, with the id that AWS gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A private hosted zone: its id.
    HostedZone(Arc<str>),
    /// An endpoint's private DNS name: the endpoint's id.
    PrivateDns(Arc<str>),
    /// The own names of the endpoints that lead to a service or a resource configuration: its id.
    Endpoint(Arc<str>),
    /// The names, or addresses, of a VPC's instances: the VPC's id.
    Instances(Arc<str>),
    /// A special-use name, as `localhost` (RFC 6761); every view has these.
    SpecialUse,
}

/// The records of one name and one type.
#[derive(Clone, Debug)]
pub struct RecordSet {
    /// How long an answer may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

/// What a record set says.
#[derive(Clone, Debug)]
pub enum RecordData {
    /// These, all of one type.
    Plain(Vec<RData>),
    /// Addresses (A) of an endpoint's interfaces.
    Endpoint(Vec<EndpointAddress>),
    /// Whatever addresses (A, AAAA) this name has in the same view (Route 53's alias).
    Alias(Name),
}

/// An address that an endpoint's name may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The interface's address.
    pub address: Addr,
    /// Its load balancer's zone: left out while that has no healthy target and another one has.
    pub zone: Option<(LoadBalancerIdx, Zone)>,
}

/// Whose view of names is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// What everybody sees: the public zones, and upstream.
    Public,
    /// What the instances of a VPC see.
    Vpc(VpcIdx),
}
