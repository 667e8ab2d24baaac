//! NAT at the resource gateway: which of its addresses and ports stands for a consumer's flow towards a target.
//!
//! Mapping is endpoint-dependent: a gateway address and port may serve several flows when their targets differ, never two
//! at once to one target. The flow table keeps that: a binding is free when the target's flow key is, or when the connection
//! that has it rests and yields (`flow::state`). The consumer keeps its gateway address where it can (RFC 4787 REQ-2), and
//! ports are unpredictable (RFC 6056).

use std::hash::BuildHasher;
use std::iter;

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::Dataplane;
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

impl Dataplane {
    /// Candidates for the target's side of a new flow, best first: the keys of the target's answers, each with a gateway
    /// address that the target's groups admit and a random port.
    ///
    /// Nobody may hold more of a gateway's ports than are left for everybody else: of those of one address towards one target an
    /// endpoint gets half at most, if the gateway serves another one too; where two have taken a third each, a newcomer finds
    /// a third.
    pub(super) fn bind<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        provider: &Provider<'a>,
        target: &Target<'a>,
        headers: &'a Headers,
        random: &'a mut ChaCha8Rng,
    ) -> Result<impl Iterator<Item = FlowKey> + 'a, Dropped> {
        let mut admitted = admitted(snapshot, provider, target, headers).peekable();
        if admitted.peek().is_none() {
            return Err(Dropped::at(target.eni.idx, DropReason::IngressDenied));
        }
        let answers = Answers {
            ingress: target.eni.idx,
            target: target.address,
            first: headers.tuple,
        };
        let range = range(headers.tuple.protocol);
        let endpoint = provider.endpoint.idx;
        let gateway = provider.gateway.idx;
        let is_shared = snapshot.is_shared(gateway);
        let left = move |address| {
            let held = self.holdings.of_all(&answers.to(address, 0));
            range.count().saturating_sub(held)
        };
        let all = admitted.clone();
        let mut open = admitted
            .filter(move |address| match left(*address) {
                0 => false,
                _ if !is_shared => true,
                left => self.holdings.of(endpoint, &answers.to(*address, 0)) < left,
            })
            .peekable();
        if open.peek().is_none() {
            return Err(match all.map(left).any(|left| left > 0) {
                true => Dropped::exhausted(endpoint, DropReason::EndpointPortLimit),
                false => Dropped::exhausted(gateway, DropReason::PortsExhausted),
            });
        }
        let tries = open.flat_map(|address| iter::repeat_n(address, TRIES_PER_ADDRESS));
        Ok(tries.map(move |address| answers.to(address, random_port(range, random))))
    }
}

/// The gateway's addresses that the target's groups admit; the one that this consumer always gets comes first.
fn admitted<'a>(
    snapshot: &'a Snapshot,
    provider: &Provider<'a>,
    target: &Target<'a>,
    headers: &'a Headers,
) -> impl Iterator<Item = Addr> + Clone + 'a {
    let groups = &target.eni.interface.groups;
    let addresses = &provider.gateway.interface.addresses;
    let consumer = FixedState::default().hash_one((headers.tuple.src, provider.endpoint.idx));
    let preferred = (consumer % addresses.len().max(1) as u64) as usize;
    addresses
        .iter()
        .cycle()
        .skip(preferred)
        .take(addresses.len())
        .copied()
        .filter(|address| {
            snapshot
                .groups
                .admit(groups, Direction::Ingress, headers, *address)
        })
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

/// The ports, or for ICMP identifiers, that a gateway uses.
const fn range(protocol: Protocol) -> PortRange {
    match protocol {
        Protocol::ICMP => IDENTIFIERS,
        _ => PORTS,
    }
}

/// Any of them, as likely as every other.
fn random_port(range: PortRange, random: &mut ChaCha8Rng) -> u16 {
    range.first + ((u64::from(random.next_u32()) * range.count() as u64) >> 32) as u16
}
