//! Names for which nobody upstream is ever asked (RFC 6761, RFC 6303): they mean this host, or nothing.
//!
//! AWS's resolver has autodefined rules for the same.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData};

use super::tree::{Tree, literal};
use crate::dataplane::config::{DnsZone, Origin, RecordData, RecordSet};

/// RFC 6303, 3: its zones live for so long.
const TTL: u32 = 10_800;

static TREES: LazyLock<Vec<Arc<Tree>>> = LazyLock::new(|| {
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
        tree(
            literal("localhost."),
            &[literal("localhost."), literal("*.localhost.")],
            &addresses,
        ),
        tree(literal("invalid."), &[], &[]),
        tree(literal("127.in-addr.arpa."), &[v4], &name),
        tree(literal("254.169.in-addr.arpa."), &[], &[]),
        tree(v6.clone(), &[v6], &name),
    ]
});

/// The zones of special-use names.
pub(super) fn trees() -> &'static [Arc<Tree>] {
    &TREES
}

fn tree(apex: Name, owners: &[Name], data: &[Vec<RData>]) -> Arc<Tree> {
    let set = |data: &Vec<RData>| RecordSet {
        ttl: TTL,
        data: RecordData::Plain(data.clone()),
    };
    let sets: Vec<_> = data.iter().map(set).collect();
    let records: HashMap<_, _> = owners
        .iter()
        .map(|owner| (owner.into(), sets.clone()))
        .collect();
    let name = apex.into();
    let origin = Origin::SpecialUse;
    Arc::new(Tree::new(&DnsZone {
        name,
        origin,
        records,
    }))
}
