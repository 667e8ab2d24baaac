//! The ENI layer: an elastic network interface owns its addresses, its groups, its counters and, where it has to be a
//! host, a smoltcp stack. What the data plane does, it does between two of them.
//!
//! Invariant: an [`Eni`]'s counters and stack live as long as its [`EniIdx`], across snapshots.

mod counters;
mod stack;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

pub(super) use counters::Counters;
pub use counters::EniCounters;
pub(super) use stack::Stack;

use super::config::{EniIdx, Interface, Role};
use super::half_open::Openings;
use super::path_mtu::Paths;
use super::resolver::Rate;
use super::time::Instant;
use crate::net::Addr;

/// An elastic network interface.
pub(super) struct Eni {
    pub(super) idx: EniIdx,
    pub(super) interface: Interface,
    /// One per worker.
    counters: Arc<[Counters]>,
    /// How many flows it has opened that are still in the table.
    opened: Arc<AtomicUsize>,
    /// The connections through endpoints that it has begun.
    pub(super) openings: Arc<Mutex<Openings>>,
    /// What it has asked its VPC's resolver of late.
    pub(super) asked: Arc<Mutex<Rate>>,
    /// What is known of the paths behind it.
    pub(super) paths: Arc<Paths>,
    /// The host behind an address that no instance answers for.
    stack: Option<Arc<Mutex<Stack>>>,
}

impl Eni {
    /// The interface as `interface` describes it; what `before` has counted and holds goes on.
    pub(super) fn new(
        idx: EniIdx,
        interface: Interface,
        workers: usize,
        before: Option<&Self>,
    ) -> Self {
        let counters = match before {
            Some(before) => Arc::clone(&before.counters),
            None => (0..workers).map(|_| Counters::default()).collect(),
        };
        let stack = match (&interface.role, before) {
            (
                Role::Endpoint(_),
                Some(Self {
                    stack: Some(stack),
                    interface: same,
                    ..
                }),
            ) if same.addresses == interface.addresses => Some(Arc::clone(stack)),
            (Role::Endpoint(_), _) => {
                // What has come in fragments is answered whole.
                let stack = Stack::new(&interface.addresses, u16::MAX, 0);
                Some(Arc::new(Mutex::new(stack)))
            }
            (Role::Instance { .. } | Role::Gateway | Role::Node { .. }, _) => None,
        };
        Self {
            idx,
            interface,
            counters,
            opened: before.map_or_else(Arc::default, |before| Arc::clone(&before.opened)),
            openings: before.map_or_else(Arc::default, |before| Arc::clone(&before.openings)),
            asked: before.map_or_else(Arc::default, |before| Arc::clone(&before.asked)),
            paths: before.map_or_else(Arc::default, |before| Arc::clone(&before.paths)),
            stack,
        }
    }

    /// How many flows it has opened that are still in the table.
    pub(super) fn opened(&self) -> usize {
        self.opened.load(Relaxed)
    }

    /// It has opened a flow.
    pub(super) fn count_opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A flow that it had opened has left the table.
    pub(super) fn count_closed(&self) {
        self.opened.fetch_sub(1, Relaxed);
    }

    /// Is this one of its addresses?
    pub(super) fn owns(&self, address: Addr) -> bool {
        self.interface.addresses.contains(&address)
    }

    /// A load balancer may have no security groups: then everything passes it.
    pub(super) fn has_no_groups_to_ask(&self) -> bool {
        self.interface.groups.is_empty() && matches!(self.interface.role, Role::Node { .. })
    }

    /// What worker `worker` has counted here.
    #[inline]
    pub(super) fn counters(&self, worker: usize) -> Option<&Counters> {
        self.counters.get(worker)
    }

    /// What all workers have counted here.
    pub(super) fn totals(&self) -> EniCounters {
        let mut totals = EniCounters::default();
        for counters in self.counters.iter() {
            counters.add_to(&mut totals);
        }
        totals
    }

    /// Hands a packet to the interface's own stack; gives the packets with which it answers.
    pub(super) fn answer(&self, packet: &[u8], now: Instant) -> Vec<Vec<u8>> {
        match &self.stack {
            Some(stack) => stack.lock().exchange(packet, now),
            None => Vec::new(),
        }
    }
}
