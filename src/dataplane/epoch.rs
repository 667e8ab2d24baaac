//! When may memory that workers could still be looking at be used again? When every worker has begun a new batch, or sleeps.
//!
//! Quiescent-state reclamation: a worker announces the epoch in which it begins a batch, and [`PARKED`] while it sleeps. What
//! was taken out of the tables in epoch E is unreachable once every worker has announced a later one. One fence per
//! batch, nothing per packet.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam_utils::CachePadded;

/// Announced by a worker that holds nothing.
const PARKED: u64 = u64::MAX;

/// The epochs of all workers.
#[derive(Debug)]
pub(super) struct Epochs {
    current: AtomicU64,
    workers: Box<[CachePadded<AtomicU64>]>,
}

impl Epochs {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            current: AtomicU64::new(0),
            workers: (0..workers)
                .map(|_| CachePadded::new(AtomicU64::new(PARKED)))
                .collect(),
        }
    }

    /// The worker begins a batch: it holds nothing from before.
    #[inline]
    pub(super) fn resume(&self, worker: usize) {
        self.announce(worker, self.current.load(Ordering::SeqCst));
    }

    /// The worker holds nothing and looks at nothing until it resumes.
    pub(super) fn park(&self, worker: usize) {
        self.announce(worker, PARKED);
    }

    #[inline]
    fn announce(&self, worker: usize, epoch: u64) {
        if let Some(slot) = self.workers.get(worker) {
            slot.store(epoch, Ordering::Release);
        }
        // The announcement must be seen before anything that the worker goes on to read.
        fence(Ordering::SeqCst);
    }

    /// Call after taking something out of reach; gives the epoch to wait for before it is used again.
    pub(super) fn retire(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.current.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Everything retired at or before this epoch is out of every worker's sight.
    pub(super) fn reached(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.workers
            .iter()
            .map(|worker| worker.load(Ordering::Acquire))
            .min()
            .unwrap_or(PARKED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_thing_waits_for_every_worker_that_is_awake() {
        let epochs = Epochs::new(2);
        epochs.resume(0);
        let retired = epochs.retire();
        assert!(
            epochs.reached() < retired,
            "worker 0 may still look at it, worker 1 sleeps"
        );
        epochs.resume(1);
        assert!(epochs.reached() < retired);
        epochs.resume(0);
        assert!(epochs.reached() >= retired);
        epochs.park(0);
        assert!(epochs.reached() >= retired);
    }
}
