//! Names for which nobody upstream is ever asked (RFC 6761, RFC 6303): they mean this host, or nothing.
//!
//! AWS's resolver has autodefined rules for the same.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData};

use super::zone::literal;
use crate::dataplane::config::{DnsZone, NameKey, Origin, RecordData, RecordSet};

/// RFC 6303, 3: its zones live for so long.
const TTL: u32 = 10_800;

static ZONES: LazyLock<Vec<Arc<DnsZone>>> = LazyLock::new(|| {
    let addresses = [
        vec![RData::A(A(Ipv4Addr::LOCALHOST))],
        vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))],
    ];
    let name = [vec![RData::PTR(PTR(literal("localhost.")))]];
    let (v4, v6) = (
        Name::from(Ipv4Addr::LOCALHOST),
        Name::from(Ipv6Addr::LOCALHOST),
    );
    vec![
        zone(
            literal("localhost."),
            &[literal("localhost."), literal("*.localhost.")],
            &addresses,
        ),
        zone(literal("invalid."), &[], &[]),
        zone(literal("127.in-addr.arpa."), &[v4], &name),
        zone(literal("254.169.in-addr.arpa."), &[], &[]),
        zone(v6.clone(), &[v6], &name),
    ]
});

/// The zones of special-use names.
pub(super) fn zones() -> &'static [Arc<DnsZone>] {
    &ZONES
}

fn zone(apex: Name, owners: &[Name], data: &[Vec<RData>]) -> Arc<DnsZone> {
    let set = |data: &Vec<RData>| RecordSet {
        ttl: TTL,
        data: RecordData::Plain(data.clone()),
    };
    let mut zone = DnsZone::new(apex, Origin::SpecialUse);
    for owner in owners {
        zone.add(NameKey::from(owner), data.iter().map(set));
    }
    Arc::new(zone)
}
