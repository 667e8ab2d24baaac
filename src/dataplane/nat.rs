//! NAT at the resource gateway, or at a load balancer's node: which of its addresses and ports stands for a consumer's flow
//! towards a target.
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
use super::flow::{Claim, FlowKey, OpenError};
use super::groups::Direction;
use super::snapshot::Snapshot;
use super::verdict::DropReason;
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
    /// may goes on with those of its own.
    pub(super) fn bind<'a>(
        &'a self,
        snapshot: &'a Snapshot,
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
            let share = self.share(snapshot, provider, &answers.to(address, 0));
            share.claims().map(move |claim| (address, claim))
        });
        Ok(tries
            .map(move |(address, claim)| (answers.to(address, random_port(range, random)), claim)))
    }

    /// How much of a gateway address towards one target this endpoint has.
    fn share(&self, snapshot: &Snapshot, provider: &Provider<'_>, target: &FlowKey) -> Share {
        let ports = range(target.tuple.protocol).count();
        let left = ports.saturating_sub(self.holdings.of_all(target));
        match snapshot.is_shared(provider.gateway.idx) {
            true if self.holdings.of(provider.endpoint.idx, target) >= left => Share::AtLimit,
            false if left == 0 => Share::AllUsed,
            _ => Share::Below,
        }
    }

    /// Where and why a flow did not open: for want of a binding, it is either the endpoint that has as many as it may, or the
    /// gateway that has no more.
    #[cold]
    pub(super) fn unbound(
        &self,
        snapshot: &Snapshot,
        provider: &Provider<'_>,
        target: &Target<'_>,
        error: OpenError,
    ) -> Dropped {
        let answers = Answers::new(target);
        let is_at_limit =
            |address| self.share(snapshot, provider, &answers.to(address, 0)) == Share::AtLimit;
        match error {
            OpenError::NoBinding if admitted(snapshot, provider, target).any(is_at_limit) => {
                Dropped::exhausted(provider.endpoint.idx, DropReason::EndpointPortLimit)
            }
            _ => error.at(provider.gateway),
        }
    }
}

/// How much an endpoint has of a gateway address towards one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Less than it may.
    Below,
    /// It is the only one, and every port is in use.
    AllUsed,
    /// As much as is left for all others.
    AtLimit,
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
            Self::AtLimit => (0, Claim::OwnYielded, RESTING_TRIES),
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
