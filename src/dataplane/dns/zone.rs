//! What a zone says about a name (RFC 1034, 4.3.2; wildcards: RFC 4592).

use std::net::IpAddr;
use std::sync::LazyLock;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Source;
use crate::dataplane::config::{
    DnsZone, EndpointAddress, LoadBalancerIdx, NameKey, Origin, RecordData, RecordSet, Zone,
};

/// How long a negative answer may be kept: the SOA's TTL, which is less than its minimum (RFC 2308, 5).
const SOA_TTL: u32 = 900;
const NS_TTL: u32 = 172_800;

/// The name servers of Route 53's private hosted zones.
static NAME_SERVERS: LazyLock<Vec<Name>> = LazyLock::new(|| {
    [
        "ns-0.awsdns-00.com.",
        "ns-512.awsdns-00.net.",
        "ns-1024.awsdns-00.org.",
        "ns-1536.awsdns-00.co.uk.",
    ]
    .map(literal)
    .into()
});

/// Their SOA record.
static AUTHORITY: LazyLock<SOA> = LazyLock::new(|| {
    let responsible = literal("awsdns-hostmaster.amazon.com.");
    let server = literal("ns-0.awsdns-00.com.");
    SOA::new(server, responsible, 1, 7200, 900, 1_209_600, 86_400)
});

/// A name that stands in this program's text.
pub(super) fn literal(text: &str) -> Name {
    Name::from_ascii(text).unwrap_or_default()
}

/// What a zone says about a name.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// These are the records, with their TTLs.
    Records(Vec<(u32, RData)>),
    /// Another name is to be asked for.
    Cname { ttl: u32, target: &'a Name },
    /// The same for addresses, and nobody is to see it; ANY gets these records besides.
    Alias {
        target: &'a Name,
        beside: Vec<(u32, RData)>,
    },
    /// There is such a name, and no such record (NODATA).
    NoData,
    /// There is no such name (NXDOMAIN).
    NoName,
}

impl DnsZone {
    /// Where its answers come from.
    pub(super) fn source(&self) -> Source {
        Source::Zone {
            name: self.name.clone(),
            origin: self.origin.clone(),
        }
    }

    /// The record that says for how long a negative answer holds.
    pub(super) fn soa(&self) -> Record {
        let data = RData::SOA(AUTHORITY.clone());
        Record::from_rdata(self.name.clone().into(), SOA_TTL, data)
    }

    /// What is there for a name in this zone. ANY gets all records of the name, or its CNAME, as from Route 53.
    pub(super) fn answer(
        &self,
        name: &NameKey,
        record_type: RecordType,
        is_zone_healthy: &impl Fn(LoadBalancerIdx, Zone) -> bool,
        rotation: u32,
    ) -> Answer<'_> {
        let Some(sets) = self.find(name) else {
            return Answer::NoName;
        };
        let mut found = match (record_type, &self.origin) {
            // On AWS an endpoint's name is no apex, but one in a zone of all endpoints.
            (RecordType::ANY, Origin::Endpoint(_)) => Vec::new(),
            _ if name == self.apex() => authority(record_type),
            _ => Vec::new(),
        };
        match (record_type, sets.iter().find_map(cname)) {
            (RecordType::CNAME | RecordType::ANY, Some((ttl, target))) => {
                Answer::Records(vec![(ttl, RData::CNAME(CNAME(target.clone())))])
            }
            (_, Some((ttl, target))) if found.is_empty() => Answer::Cname { ttl, target },
            _ => {
                for set in sets {
                    let mut data = set_of(set, record_type, is_zone_healthy);
                    turn(&mut data, rotation);
                    found.extend(data.into_iter().map(|data| (set.ttl, data)));
                }
                with_alias(sets, record_type, found)
            }
        }
    }
}

/// Is a record of this type asked for?
fn is_asked(asked: RecordType, data: &RData) -> bool {
    asked == RecordType::ANY || data.record_type() == asked
}

/// The records at a zone's apex that are in no set.
fn authority(record_type: RecordType) -> Vec<(u32, RData)> {
    let mut found = Vec::new();
    if matches!(record_type, RecordType::SOA | RecordType::ANY) {
        found.push((SOA_TTL, RData::SOA(AUTHORITY.clone())));
    }
    if matches!(record_type, RecordType::NS | RecordType::ANY) {
        let servers = NAME_SERVERS.iter().cloned();
        found.extend(servers.map(|name| (NS_TTL, RData::NS(NS(name)))));
    }
    found
}

fn cname(set: &RecordSet) -> Option<(u32, &Name)> {
    let RecordData::Plain(data) = &set.data else {
        return None;
    };
    match data.first()? {
        RData::CNAME(CNAME(target)) => Some((set.ttl, target)),
        _ => None,
    }
}

/// The records of a set that are asked for.
fn set_of(
    set: &RecordSet,
    record_type: RecordType,
    is_zone_healthy: &impl Fn(LoadBalancerIdx, Zone) -> bool,
) -> Vec<RData> {
    let mut data = match &set.data {
        RecordData::Plain(data) => {
            let asked = data.iter().filter(|data| is_asked(record_type, data));
            asked.cloned().collect()
        }
        RecordData::Endpoint(addresses) => in_use(addresses, is_zone_healthy),
        RecordData::Alias(_) => Vec::new(),
    };
    data.retain(|data| is_asked(record_type, data));
    data
}

/// Addresses are answered in turn.
fn turn(data: &mut [RData], rotation: u32) {
    if data
        .first()
        .is_some_and(|first| first.record_type().is_ip_addr())
    {
        let first = rotation as usize % data.len();
        data.rotate_left(first);
    }
}

/// Where addresses are asked for and there are none of the name's own, its alias has them.
fn with_alias<'a>(
    sets: &'a [RecordSet],
    record_type: RecordType,
    found: Vec<(u32, RData)>,
) -> Answer<'a> {
    let is_address = |(_, data): &(u32, RData)| data.record_type().is_ip_addr();
    let wants_alias = record_type.is_ip_addr() || record_type == RecordType::ANY;
    let alias = sets.iter().find_map(|set| match &set.data {
        RecordData::Alias(target) => Some(target),
        _ => None,
    });
    match alias.filter(|_| wants_alias && !found.iter().any(is_address)) {
        Some(target) => Answer::Alias {
            target,
            beside: found,
        },
        None if found.is_empty() => Answer::NoData,
        None => Answer::Records(found),
    }
}

/// The addresses in healthy zones; all of them where none is.
fn in_use(
    addresses: &[EndpointAddress],
    is_zone_healthy: &impl Fn(LoadBalancerIdx, Zone) -> bool,
) -> Vec<RData> {
    let is_healthy = |address: &&EndpointAddress| {
        let zone = address.zone;
        zone.is_none_or(|(load_balancer, zone)| is_zone_healthy(load_balancer, zone))
    };
    let mut chosen: Vec<_> = addresses.iter().filter(is_healthy).collect();
    if chosen.is_empty() {
        chosen = addresses.iter().collect();
    }
    let address = |chosen: &EndpointAddress| match chosen.address.ip() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    chosen.into_iter().map(address).collect()
}
