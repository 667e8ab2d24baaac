//! What the data plane shows of itself: counters and flows.

use std::ops::Range;
use std::sync::atomic::{Ordering::Acquire, fence};
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
    /// The gateway's or node's interface whose address its target sees; `None` without either.
    pub gateway: Option<EniIdx>,
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
    /// One more than the last place of the flow table that is in use.
    pub fn flow_places(&self) -> usize {
        self.flows.extent()
    }

    /// The flows alive at `now` in these places of the flow table, each with its place, which it keeps for life. Those that
    /// change meanwhile may be seen half-way.
    pub fn flows(
        &self,
        places: Range<usize>,
        now: Instant,
    ) -> impl Iterator<Item = (usize, FlowView)> {
        let snapshot = self.snapshot.load_full();
        self.flows.live(places).filter_map(move |(place, flow)| {
            let opened = flow.opened();
            let state = flow.state();
            let view = view(&snapshot, flow, now);
            // What has been read is one flow's if that is still there.
            fence(Acquire);
            let is_whole = flow.is_live() && flow.opened() == opened;
            let is_alive = !flow.expired(Side::Initiator, now) && !state.has(State::REPLACED);
            (is_whole && is_alive).then_some((place, view))
        })
    }

    /// The counters of every interface, in index order.
    pub fn counters(&self) -> Vec<(EniIdx, EniCounters)> {
        let snapshot = self.snapshot.load();
        let mut counters: Vec<_> = snapshot
            .enis
            .iter()
            .map(|(idx, eni)| (idx, eni.totals()))
            .collect();
        for (_, flow) in self.flows.live(0..self.flows.extent()) {
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
        let (endpoint, gateway) = between(snapshot, flow.via());
        let (initiator, target) = (Side::Initiator, Side::Target);
        let endpoint = endpoint.map(|idx| (idx, initiator, target));
        endpoint
            .into_iter()
            .chain(gateway.map(|idx| (idx, target, initiator)))
    }
}

fn view(snapshot: &Snapshot, flow: &Flow, now: Instant) -> FlowView {
    let side = |side| SideView {
        key: flow.key(side),
        packets: flow.packets(side),
        bytes: flow.bytes(side),
    };
    let via = flow.via();
    FlowView {
        initiator: side(Side::Initiator),
        target: side(Side::Target),
        via,
        gateway: between(snapshot, via).1,
        state: flow.state(),
        age: now.since(flow.opened()),
        idle: now.since(
            flow.last_seen(Side::Initiator)
                .max(flow.last_seen(Side::Target)),
        ),
    }
}

/// The endpoint's interface of a flow that came through `via`, and the gateway's or node's.
fn between(snapshot: &Snapshot, via: Option<EniIdx>) -> (Option<EniIdx>, Option<EniIdx>) {
    let role = |idx| snapshot.eni(idx).ok().map(|eni| eni.interface.role);
    match via.and_then(role) {
        Some(Role::Endpoint(destination)) => (via, destination.gateway()),
        Some(Role::Node { .. }) => (None, via),
        _ => (via, None),
    }
}
