//! What the data plane shows of itself: counters and flows.

use std::time::Duration;

use super::Dataplane;
use super::config::{EniIdx, Role};
use super::eni::EniCounters;
use super::flow::{Flow, FlowKey, Side, State};
use super::snapshot::Snapshot;
use super::time::Instant;

/// A flow at one moment.
#[derive(Clone, Copy, Debug)]
pub struct FlowView {
    /// The side that opened it.
    pub initiator: SideView,
    /// The side that answers.
    pub target: SideView,
    /// The endpoint's interface that it came through, or that of the load balancer in its own VPC; `None` without either.
    pub via: Option<EniIdx>,
    /// Where in its life it is.
    pub state: State,
    /// Time since it opened.
    pub age: Duration,
    /// Time since either side sent something.
    pub idle: Duration,
}

/// One side of a flow.
#[derive(Clone, Copy, Debug)]
pub struct SideView {
    /// Where its packets enter, and their five-tuple there.
    pub key: FlowKey,
    /// Packets that it sent.
    pub packets: u64,
    /// Bytes of IP in them.
    pub bytes: u64,
}

impl Dataplane {
    /// The flows alive at `now`, in no order. Those that change meanwhile may be seen half-way.
    pub fn flows(&self, now: Instant) -> Vec<FlowView> {
        let alive = |flow: &&Flow| {
            !flow.expired(Side::Initiator, now) && !flow.state().has(State::REPLACED)
        };
        self.flows
            .iter()
            .filter(alive)
            .map(|flow| view(flow, now))
            .collect()
    }

    /// The counters of every interface, in index order.
    pub fn counters(&self) -> Vec<(EniIdx, EniCounters)> {
        let snapshot = self.snapshot.load();
        let mut counters: Vec<_> = snapshot
            .enis
            .iter()
            .map(|(idx, eni)| (idx, eni.totals()))
            .collect();
        for flow in self.flows.iter() {
            for (idx, received, sent) in self.passed_through(&snapshot, flow) {
                if let Ok(at) = counters.binary_search_by_key(&idx, |(idx, _)| *idx)
                    && let Some((_, counters)) = counters.get_mut(at)
                {
                    counters.packets_in += flow.packets(received);
                    counters.bytes_in += flow.bytes(received);
                    counters.packets_out += flow.packets(sent);
                    counters.bytes_out += flow.bytes(sent);
                }
            }
        }
        counters
    }

    /// The interfaces between a flow's two ends, each with the side whose packets it receives and the side whose packets it
    /// sends on: the endpoint's (towards the consumer's VPC) and the gateway's or node's (towards the provider's).
    pub(super) fn passed_through(
        &self,
        snapshot: &Snapshot,
        flow: &Flow,
    ) -> impl Iterator<Item = (EniIdx, Side, Side)> {
        let role = |idx| snapshot.eni(idx).ok().map(|eni| eni.interface.role);
        let (endpoint, gateway) = match (flow.via(), flow.via().and_then(role)) {
            (via, Some(Role::Endpoint(destination))) => (via, destination.gateway()),
            (via, Some(Role::Node { .. })) => (None, via),
            (via, _) => (via, None),
        };
        let (initiator, target) = (Side::Initiator, Side::Target);
        let endpoint = endpoint.map(|idx| (idx, initiator, target));
        endpoint
            .into_iter()
            .chain(gateway.map(|idx| (idx, target, initiator)))
    }
}

fn view(flow: &Flow, now: Instant) -> FlowView {
    let side = |side| SideView {
        key: flow.key(side),
        packets: flow.packets(side),
        bytes: flow.bytes(side),
    };
    FlowView {
        initiator: side(Side::Initiator),
        target: side(Side::Target),
        via: flow.via(),
        state: flow.state(),
        age: now.since(flow.opened()),
        idle: now.since(
            flow.last_seen(Side::Initiator)
                .max(flow.last_seen(Side::Target)),
        ),
    }
}
