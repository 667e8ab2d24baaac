//! NAT at the resource gateway: which of its addresses and ports stands for a consumer's flow towards a target.
//!
//! Mapping is endpoint-dependent: a gateway address and port may serve several flows when their targets differ, never two
//! at once to one target. The flow table keeps that: a binding is free when the target's flow key is. The consumer keeps
//! its gateway address where it can (RFC 4787 REQ-2), and ports are unpredictable (RFC 6056).

use std::hash::BuildHasher;
use std::iter;

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::config::{EniIdx, PortRange};
use super::dropped::Dropped;
use super::first::{Provider, Target};
use super::flow::FlowKey;
use super::groups::Direction;
use super::snapshot::Snapshot;
use super::verdict::DropReason;
use crate::net::{Addr, FiveTuple, Headers, Protocol};

/// Ports that a gateway uses towards targets.
const PORTS: PortRange = PortRange {
    first: 1024,
    last: u16::MAX,
};
/// Identifiers that it uses. With 0 an echo's request and reply would have the same five-tuple.
const IDENTIFIERS: PortRange = PortRange {
    first: 1,
    last: u16::MAX,
};
/// Random ports tried per gateway address. With nine of ten in use, all fail once in 700,000 times.
const TRIES_PER_ADDRESS: usize = 128;

/// Candidates for the target's side of a new flow, best first: the keys of the target's answers, each with a gateway
/// address that the target's groups admit and a random port.
pub(super) fn bind<'a>(
    snapshot: &'a Snapshot,
    provider: &Provider<'a>,
    target: &Target<'a>,
    headers: &'a Headers,
    random: &'a mut ChaCha8Rng,
) -> Result<impl Iterator<Item = FlowKey> + 'a, Dropped> {
    let target_groups = &target.eni.interface.groups;
    let admits = |address: &Addr| {
        snapshot
            .groups
            .admit(target_groups, Direction::Ingress, headers, *address)
    };
    let addresses = &provider.gateway.interface.addresses;
    let consumer = FixedState::default().hash_one((headers.tuple.src, provider.endpoint.idx));
    let preferred = (consumer % addresses.len().max(1) as u64) as usize;
    let mut admitted = addresses
        .iter()
        .cycle()
        .skip(preferred)
        .take(addresses.len())
        .copied()
        .filter(admits);
    let denied = Dropped::at(target.eni.idx, DropReason::IngressDenied);
    let first = admitted.next().ok_or(denied)?;
    let answers = Answers {
        ingress: target.eni.idx,
        target: target.address,
        first: headers.tuple,
    };
    let tries = iter::once(first)
        .chain(admitted)
        .flat_map(|address| iter::repeat_n(address, TRIES_PER_ADDRESS));
    Ok(tries.map(move |address| answers.to(address, random_port(headers.tuple.protocol, random))))
}

/// What the target's answers have in common, whichever gateway address and port they go to.
#[derive(Clone, Copy)]
struct Answers {
    ingress: EniIdx,
    target: Addr,
    first: FiveTuple,
}

impl Answers {
    fn to(self, gateway: Addr, port: u16) -> FlowKey {
        FlowKey {
            ingress: self.ingress,
            tuple: FiveTuple {
                protocol: self.first.protocol,
                src: self.target,
                src_port: self.first.dst_port,
                dst: gateway,
                dst_port: port,
            },
        }
    }
}

/// A port, or for ICMP an identifier, of which every value will do.
fn random_port(protocol: Protocol, random: &mut ChaCha8Rng) -> u16 {
    let range = if protocol == Protocol::ICMP {
        IDENTIFIERS
    } else {
        PORTS
    };
    let count = u64::from(range.last - range.first) + 1;
    range.first + ((u64::from(random.next_u32()) * count) >> 32) as u16
}
