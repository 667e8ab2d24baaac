//! Who holds how many of a gateway's ports: counted for every gateway address and target, of all endpoints, of each one, and of
//! each interface that uses it.
//!
//! A flow holds its port until it leaves the table: also while its connection rests. The counters are few and found by hash, so their
//! memory is bounded whatever is counted; each count stands in two of them, of which the smaller is right unless both are shared.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use foldhash::fast::FixedState;

use super::config::EniIdx;
use super::flow::{Flow, FlowKey, Side};

const COUNTERS: usize = 1 << 16;

/// Whose ports are counted.
#[derive(Clone, Copy)]
enum Holder {
    All,
    Endpoint(EniIdx),
    /// An interface, by an endpoint.
    Interface(EniIdx, EniIdx),
}

/// The counts of all gateways.
pub(super) struct Holdings {
    hasher: FixedState,
    rows: [Box<[AtomicU32]>; 2],
}

impl Holdings {
    pub(super) fn new(seed: u64) -> Self {
        let row = || (0..COUNTERS).map(|_| AtomicU32::new(0)).collect();
        Self {
            hasher: FixedState::with_seed(seed),
            rows: [row(), row()],
        }
    }

    /// How many ports of the gateway address in `target` are held towards that target.
    pub(super) fn of_all(&self, target: &FlowKey) -> usize {
        self.count(target, Holder::All)
    }

    /// How many of them flows through this endpoint hold.
    pub(super) fn of_endpoint(&self, endpoint: EniIdx, target: &FlowKey) -> usize {
        self.count(target, Holder::Endpoint(endpoint))
    }

    /// How many of those flows that this interface has opened through this endpoint hold.
    pub(super) fn of_interface(
        &self,
        interface: EniIdx,
        endpoint: EniIdx,
        target: &FlowKey,
    ) -> usize {
        self.count(target, Holder::Interface(interface, endpoint))
    }

    /// A flow through an endpoint has been bound. Gives how many ports are held towards its target from its gateway address now.
    pub(super) fn take(&self, flow: &Flow) -> usize {
        self.change(flow, |counter| {
            counter.fetch_add(1, Relaxed).wrapping_add(1)
        })
    }

    /// A flow through an endpoint has left the table.
    pub(super) fn give_back(&self, flow: &Flow) {
        self.change(flow, |counter| {
            counter.fetch_sub(1, Relaxed).wrapping_sub(1)
        });
    }

    /// Changes what a flow's holders have; gives what all have then. Another worker may give back before this one has taken.
    fn change(&self, flow: &Flow, change: impl Fn(&AtomicU32) -> u32) -> usize {
        let towards = self.towards(&flow.key(Side::Target));
        let of = |holder| {
            let counts = self.counters(towards, holder).map(&change);
            // Each of them has to change.
            counts.fold(u32::MAX, u32::min) as usize
        };
        if let Some(via) = flow.via() {
            of(Holder::Endpoint(via));
            of(Holder::Interface(flow.key(Side::Initiator).ingress, via));
        }
        of(Holder::All)
    }

    fn count(&self, target: &FlowKey, holder: Holder) -> usize {
        let counters = self.counters(self.towards(target), holder);
        let counts = counters.map(|counter| counter.load(Relaxed));
        counts.min().unwrap_or(0) as usize
    }

    /// A hash of the target and the gateway's address, whatever the port there.
    fn towards(&self, target: &FlowKey) -> u64 {
        let mut key = *target;
        key.tuple.dst_port = 0;
        self.hasher.hash_one(key.to_words())
    }

    fn counters(&self, towards: u64, holder: Holder) -> impl Iterator<Item = &AtomicU32> {
        let hash = (towards ^ holder.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let places = [hash >> 32, hash >> 48].map(|place| place as usize % COUNTERS);
        self.rows
            .iter()
            .zip(places)
            .filter_map(|(row, place)| row.get(place))
    }
}

impl Holder {
    /// No two holders have the same.
    fn number(self) -> u64 {
        let number = |idx: EniIdx| 1 + u64::from(idx.index());
        match self {
            Self::All => 0,
            Self::Endpoint(endpoint) => number(endpoint),
            Self::Interface(interface, endpoint) => number(interface) << 32 | number(endpoint),
        }
    }
}
