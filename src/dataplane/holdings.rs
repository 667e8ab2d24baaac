//! Who holds how many of a gateway's ports: counted for every gateway address and target, of all endpoints and of each one.
//!
//! A flow holds its port until it leaves the table: also while its connection rests. The counters are few and found by hash, so their
//! memory is bounded whatever is counted; each count stands in two of them, of which the smaller is right unless both are shared.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use foldhash::fast::FixedState;

use super::config::EniIdx;
use super::flow::{Flow, FlowKey, Side};

const COUNTERS: usize = 1 << 16;

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
        self.count(target, None)
    }

    /// How many of them flows through this endpoint hold.
    pub(super) fn of(&self, endpoint: EniIdx, target: &FlowKey) -> usize {
        self.count(target, Some(endpoint))
    }

    /// A flow has been bound.
    pub(super) fn take(&self, flow: &Flow) {
        self.each(flow, |counter| {
            counter.fetch_add(1, Relaxed);
        });
    }

    /// A flow has left the table.
    pub(super) fn give_back(&self, flow: &Flow) {
        self.each(flow, |counter| {
            counter.fetch_sub(1, Relaxed);
        });
    }

    fn each(&self, flow: &Flow, change: impl Fn(&AtomicU32)) {
        let towards = self.towards(&flow.key(Side::Target));
        for holder in [None, flow.via()] {
            self.counters(towards, holder).for_each(&change);
        }
    }

    fn count(&self, target: &FlowKey, holder: Option<EniIdx>) -> usize {
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

    fn counters(&self, towards: u64, holder: Option<EniIdx>) -> impl Iterator<Item = &AtomicU32> {
        let holder = holder.map_or(0, |idx| 1 + u64::from(idx.index()));
        let hash = (towards ^ holder).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let places = [hash >> 32, hash >> 48].map(|place| place as usize % COUNTERS);
        self.rows
            .iter()
            .zip(places)
            .filter_map(|(row, place)| row.get(place))
    }
}
