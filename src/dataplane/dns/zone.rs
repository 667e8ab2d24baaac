//! What a zone says about a name (RFC 1034, 4.3.2; wildcards: RFC 4592).

use std::net::IpAddr;
use std::sync::LazyLock;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Source;
use crate::dataplane::config::{
    DnsZone, EndpointAddress, LoadBalancerIdx, NameKey, RecordData, RecordSet, Zone,
};

/// How long a negative answer may be kept: the SOA's TTL, which is less than its minimum (RFC 2308, 5).
const SOA_TTL: u32 = 900;
const NS_TTL: u32 = 172_800;
/// Of the HINFO record that stands for all that there is; its value is ours.
const ANY_TTL: u32 = 3600;

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
    /// These are the records.
    Records { ttl: u32, data: Vec<RData> },
    /// Another name is to be asked for.
    Cname { ttl: u32, target: &'a Name },
    /// The same, and nobody is to see it.
    Alias { target: &'a Name },
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

    /// What is there for a name in this zone. All that ANY gets is the CNAME, or one HINFO (RFC 8482, 4.2).
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
        let is_apex = name == self.apex();
        match (record_type, sets.iter().find_map(cname)) {
            (RecordType::SOA, _) if is_apex => records(SOA_TTL, [RData::SOA(AUTHORITY.clone())]),
            (RecordType::NS, _) if is_apex => records(
                NS_TTL,
                NAME_SERVERS.iter().cloned().map(|name| RData::NS(NS(name))),
            ),
            (RecordType::CNAME | RecordType::ANY, Some((ttl, target))) => {
                records(ttl, [RData::CNAME(CNAME(target.clone()))])
            }
            (_, Some((ttl, target))) => Answer::Cname { ttl, target },
            (RecordType::ANY, None) => {
                let hinfo = HINFO::new("RFC8482".to_owned(), String::new());
                records(ANY_TTL, [RData::HINFO(hinfo)])
            }
            (_, None) => of_type(sets, record_type, is_zone_healthy, rotation),
        }
    }
}

fn records<'a>(ttl: u32, data: impl IntoIterator<Item = RData>) -> Answer<'a> {
    let data = data.into_iter().collect();
    Answer::Records { ttl, data }
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

/// The set of one type; where there is none an alias's, if addresses are asked for.
fn of_type<'a>(
    sets: &'a [RecordSet],
    record_type: RecordType,
    is_zone_healthy: &impl Fn(LoadBalancerIdx, Zone) -> bool,
    rotation: u32,
) -> Answer<'a> {
    for set in sets {
        let is_asked = |data: &RData| data.record_type() == record_type;
        let mut data: Vec<_> = match &set.data {
            RecordData::Plain(data) => data.iter().filter(|data| is_asked(data)).cloned().collect(),
            RecordData::Endpoint(addresses) => in_use(addresses, is_zone_healthy),
            RecordData::Alias(_) => continue,
        };
        data.retain(is_asked);
        if !data.is_empty() {
            if record_type.is_ip_addr() {
                let first = rotation as usize % data.len();
                data.rotate_left(first);
            }
            return records(set.ttl, data);
        }
    }
    let alias = sets.iter().find_map(|set| match &set.data {
        RecordData::Alias(target) if record_type.is_ip_addr() => Some(target),
        _ => None,
    });
    alias.map_or(Answer::NoData, |target| Answer::Alias { target })
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
