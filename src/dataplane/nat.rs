//! NAT at the resource gateway, or at a load balancer's node: which of its addresses and ports stands for a consumer's flow
//! towards a target.
//!
//! Mapping is endpoint-dependent: a gateway address and port may serve several flows when their targets differ, never two
//! at once to one target. The flow table keeps that: a binding is free when the target's flow key is, or when the connection
//! that has it rests and yields (`flow::state`). The consumer keeps its gateway address where it can (RFC 4787 REQ-2), and
//! ports are unpredictable (RFC 6056).

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::iter;
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::config::{EniIdx, PortRange};
use super::dropped::Dropped;
use super::eni::Eni;
use super::first::{Provider, Target};
use super::flow::{Claim, Flow, FlowKey, OpenError, Side};
use super::groups::Direction;
use super::snapshot::Snapshot;
use super::time::Instant;
use super::verdict::DropReason;
use super::{Dataplane, Event};
use crate::net::{Addr, FiveTuple, Protocol};

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
/// Of them, those for an unused one before a resting connection has to yield.
const UNUSED_FIRST: usize = 2;
/// Tries for a resting connection where nothing else is left.
const RESTING_TRIES: usize = 16;

impl Dataplane {
    /// Candidates for the target's side of a new flow, best first: the keys of the target's answers, each with a gateway
    /// address that the target's groups admit and a random port.
    ///
    /// Nobody may hold more of a gateway's ports than are left for everybody else: of those of one address towards one target an
    /// endpoint gets half at most, if the gateway serves another one too; where two have taken a third each, a newcomer finds
    /// a third. Resting connections hold theirs as well, since they yield to some newcomers only; so an endpoint that has what it
    /// may goes on with those of its own. The same holds among the interfaces that use one endpoint, for what is left to it.
    pub(super) fn bind<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        source: &'a Eni,
        provider: &'a Provider<'a>,
        target: &'a Target<'a>,
        random: &'a mut ChaCha8Rng,
    ) -> Result<impl Iterator<Item = (FlowKey, Claim)> + 'a, Dropped> {
        let mut admitted = admitted(snapshot, provider, target).peekable();
        if admitted.peek().is_none() {
            return Err(Dropped::at(target.eni.idx, DropReason::IngressDenied));
        }
        let answers = Answers::new(target);
        let range = range(target.headers.tuple.protocol);
        let tries = admitted.flat_map(move |address| {
            let share = self.share(snapshot, source, provider, &answers.to(address, 0));
            share.claims().map(move |claim| (address, claim))
        });
        Ok(tries
            .map(move |(address, claim)| (answers.to(address, random_port(range, random)), claim)))
    }

    /// How much of a gateway address towards one target this endpoint has, and this interface by it.
    fn share(
        &self,
        snapshot: &Snapshot,
        source: &Eni,
        provider: &Provider<'_>,
        target: &FlowKey,
    ) -> Share {
        let endpoint = provider.endpoint.idx;
        let ports = range(target.tuple.protocol).count();
        let left = ports.saturating_sub(self.holdings.of_all(target));
        let (is_at_limit, left_here) = match snapshot.is_shared(provider.gateway.idx) {
            true => {
                let held = self.holdings.of_endpoint(endpoint, target);
                (held >= left, left.saturating_sub(held).div_ceil(2))
            }
            false => (false, left),
        };
        let has_neighbours = || snapshot.has_neighbours(source);
        let held_by_source = || self.holdings.of_interface(source.idx, endpoint, target);
        match left {
            _ if is_at_limit => Share::EndpointAtLimit,
            _ if has_neighbours() && held_by_source() >= left_here => Share::InterfaceAtLimit,
            0 => Share::AllUsed,
            _ => Share::Below,
        }
    }

    /// Where and why a flow did not open: for want of a binding, it is the endpoint or the interface that has as many as it
    /// may, or the gateway that has no more.
    #[cold]
    pub(super) fn unbound(
        &self,
        snapshot: &Snapshot,
        source: &Eni,
        provider: &Provider<'_>,
        target: &Target<'_>,
        error: OpenError,
    ) -> Dropped {
        let answers = Answers::new(target);
        let mut shares = admitted(snapshot, provider, target)
            .map(|address| self.share(snapshot, source, provider, &answers.to(address, 0)));
        let limit = match error {
            OpenError::NoBinding => shares.find_map(|share| match share {
                Share::EndpointAtLimit => {
                    Some((provider.endpoint.idx, DropReason::EndpointPortLimit))
                }
                Share::InterfaceAtLimit => Some((source.idx, DropReason::InterfacePortLimit)),
                Share::Below | Share::AllUsed => None,
            }),
            OpenError::Full => None,
        };
        match limit {
            Some((at, reason)) => Dropped::exhausted(at, reason),
            None => error.at(provider.gateway),
        }
    }

    /// Counts a flow that has been bound at `gateway`. Where four of five ports are in use then, there is an event.
    pub(super) fn count_bound(&self, gateway: EniIdx, flow: &Flow, now: Instant) {
        let FiveTuple {
            protocol,
            src,
            src_port,
            dst,
            ..
        } = flow.key(Side::Target).tuple;
        let (used, ports) = (self.holdings.take(flow), range(protocol).count());
        if used == ports * 4 / 5
            && self
                .port_warnings
                .is_due((dst, src, src_port, protocol), now)
        {
            self.events.push(Event::PortsRunShort(PortUsage {
                gateway,
                address: dst,
                target: src,
                port: src_port,
                protocol,
                used,
                ports,
            }));
        }
    }
}

/// How many ports of a gateway address, or identifiers of ICMP, are in use towards one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortUsage {
    /// The resource gateway's interface, or the load balancer's node.
    pub gateway: EniIdx,
    /// The gateway's address.
    pub address: Addr,
    /// The target's address.
    pub target: Addr,
    /// The target's port; 0 for ICMP.
    pub port: u16,
    /// The flows' protocol.
    pub protocol: Protocol,
    /// How many are in use.
    pub used: usize,
    /// How many there are.
    pub ports: usize,
}

/// Whose ports ran short of late: there is one event in ten minutes about the ports towards one target.
#[derive(Default)]
pub(super) struct PortWarnings(Mutex<VecDeque<(Instant, Ports)>>);

/// A gateway address's ports towards a target: the gateway's address, the target's, its port, and the protocol.
type Ports = (Addr, Addr, u16, Protocol);

impl PortWarnings {
    const PERIOD: Duration = Duration::from_secs(600);
    /// How many are remembered.
    const MOST: usize = 1024;

    fn is_due(&self, ports: Ports, now: Instant) -> bool {
        let mut given = self.0.lock();
        let is_over = |at: Instant| now >= at + Self::PERIOD;
        while given.len() >= Self::MOST || given.front().is_some_and(|(at, _)| is_over(*at)) {
            given.pop_front();
        }
        let is_due = given.iter().all(|(_, other)| *other != ports);
        if is_due {
            given.push_back((now, ports));
        }
        is_due
    }
}

/// How much there is of a gateway address towards one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// The endpoint and the interface have less than they may.
    Below,
    /// The endpoint is the only one, and every port is in use.
    AllUsed,
    /// The endpoint has as much as is left for all others.
    EndpointAtLimit,
    /// The interface has as much as is left to the endpoint for all others.
    InterfaceAtLimit,
}

impl Share {
    /// What it may try, one random port each.
    fn claims(self) -> impl Iterator<Item = Claim> {
        let (unused, other, tries) = match self {
            Self::Below => (
                UNUSED_FIRST,
                Claim::Yielded,
                TRIES_PER_ADDRESS - UNUSED_FIRST,
            ),
            Self::AllUsed => (0, Claim::Yielded, RESTING_TRIES),
            Self::EndpointAtLimit => (0, Claim::EndpointYielded, RESTING_TRIES),
            Self::InterfaceAtLimit => (0, Claim::InterfaceYielded, RESTING_TRIES),
        };
        iter::repeat_n(Claim::Unused, unused).chain(iter::repeat_n(other, tries))
    }
}

/// The gateway's addresses that the target's groups admit; the one that this consumer always gets comes first.
fn admitted<'a>(
    snapshot: &'a Snapshot,
    provider: &Provider<'a>,
    target: &'a Target<'a>,
) -> impl Iterator<Item = Addr> + Clone + 'a {
    let groups = &target.eni.interface.groups;
    let addresses = &provider.gateway.interface.addresses;
    let consumer =
        FixedState::default().hash_one((target.headers.tuple.src, provider.endpoint.idx));
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
                .admit(groups, Direction::Ingress, &target.headers, *address)
        })
}

/// What the target's answers have in common, whichever gateway address and port they go to.
#[derive(Clone, Copy)]
struct Answers {
    ingress: EniIdx,
    first: FiveTuple,
}

impl Answers {
    fn new(target: &Target<'_>) -> Self {
        Self {
            ingress: target.eni.idx,
            first: target.headers.tuple,
        }
    }

    fn to(self, gateway: Addr, port: u16) -> FlowKey {
        FlowKey {
            ingress: self.ingress,
            tuple: FiveTuple {
                protocol: self.first.protocol,
                src: self.first.dst,
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
