//! What is to be looked after when: targets, connections to resolvers, resources' names, questions to upstream.
//!
//! Invariant: a key has one place in a [`Schedule`] at most; whoever it is of remembers which.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::time::Instant;

/// When something is due, to be read without the lock that what is due lies behind.
pub(super) struct Due(AtomicU64);

/// Nothing is due.
const NEVER: u64 = u64::MAX;

impl Default for Due {
    fn default() -> Self {
        Self(AtomicU64::new(NEVER))
    }
}

impl Due {
    /// The moment; `None` while nothing is due.
    pub(super) fn at(&self) -> Option<Instant> {
        let due = self.0.load(Relaxed);
        (due != NEVER).then_some(Instant(due))
    }

    /// Shows what has become of it.
    pub(super) fn note(&self, at: Option<Instant>) {
        self.0.store(at.map_or(NEVER, |at| at.0), Relaxed);
    }
}

/// Keys, in the order in which they are due.
pub(super) struct Schedule<K>(BTreeSet<(Instant, K)>);

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Copy + Ord> Schedule<K> {
    /// Moves `key` from its `place` to this one; `None`: it is not there.
    pub(super) fn put(&mut self, key: K, place: &mut Option<Instant>, at: Option<Instant>) {
        if let Some(before) = mem::replace(place, at) {
            self.0.remove(&(before, key));
        }
        self.0.extend(at.map(|at| (at, key)));
    }

    /// When the first one is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next one that is due.
    pub(super) fn next_due(&self, now: Instant) -> Option<K> {
        let (at, key) = self.0.first()?;
        (*at <= now).then_some(*key)
    }
}
