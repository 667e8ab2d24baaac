//! The concurrent index from key hashes to flow sides: open addressing over atomics, read without locks.
//!
//! Invariant: a reader may miss an entry that is being moved or has just come, or find one as it was before the shard grew (the
//! caller then asks again under the shard's lock), but what it finds it verifies against the flow itself. So writers may shift
//! and grow freely.
//!
//! An entry is a word: 31 bits of hash above a 33-bit place (flow number and side, plus one; zero is empty). The index of an
//! entry's home bucket comes from those 31 bits, so growing reads no flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::slot::Side;

/// A flow's number and one of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) flow: u32,
    pub(super) side: Side,
}

const PLACE_BITS: u32 = 33;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// Longest run that a look-up walks; an insertion that would need a longer one grows the shard.
const MAX_PROBES: usize = 64;
const FIRST_CAPACITY: usize = 8;
/// Buckets per entry beyond which growing does not help: the entries have one and the same hash.
const SPARSE: usize = 16;

#[inline]
const fn encode(hash: u64, place: Place) -> u64 {
    (hash & !PLACE_MASK) | (((place.flow as u64) << 1 | place.side as u64) + 1)
}

#[inline]
const fn place_of(entry: u64) -> Place {
    let place = (entry & PLACE_MASK) - 1;
    Place {
        flow: (place >> 1) as u32,
        side: if place & 1 == 0 {
            Side::Initiator
        } else {
            Side::Target
        },
    }
}

#[inline]
const fn home(entry: u64, mask: usize) -> usize {
    (entry >> PLACE_BITS) as usize & mask
}

/// More entries have (nearly) this hash than a look-up walks past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

/// The buckets of a shard: a power of two of them.
pub(super) type Buckets = Arc<[AtomicU64]>;

fn empty(capacity: usize) -> Buckets {
    (0..capacity).map(|_| AtomicU64::new(0)).collect()
}

/// The entry with this hash for whose place `is_it` says yes.
#[inline]
pub(super) fn find(
    buckets: &[AtomicU64],
    hash: u64,
    mut is_it: impl FnMut(Place) -> bool,
) -> Option<Place> {
    let mask = buckets.len().wrapping_sub(1);
    let mut at = home(hash, mask);
    for _ in 0..MAX_PROBES {
        // Acquire: the flow was written before its entry was.
        let entry = buckets.get(at)?.load(Ordering::Acquire);
        if entry == 0 {
            return None;
        }
        if (entry ^ hash) & !PLACE_MASK == 0 && is_it(place_of(entry)) {
            return Some(place_of(entry));
        }
        at = (at + 1) & mask;
    }
    None
}

/// The writer's side of a shard.
#[derive(Debug)]
pub(super) struct Shard {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    buckets: Buckets,
    len: usize,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                buckets: empty(FIRST_CAPACITY),
                len: 0,
            }),
        }
    }

    /// The current buckets, for a reader's cache.
    pub(super) fn buckets(&self) -> Buckets {
        Arc::clone(&self.inner.lock().buckets)
    }

    /// The authoritative look-up, and changes that depend on it.
    pub(super) fn lock(&self) -> impl std::ops::DerefMut<Target = Inner> + '_ {
        self.inner.lock()
    }
}

impl Inner {
    /// As [`find`], with nothing moving meanwhile.
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        find(&self.buckets, hash, is_it)
    }

    /// Adds an entry that is not there; says whether the shard grew, so that readers must take the new buckets.
    pub(super) fn insert(&mut self, hash: u64, place: Place) -> Result<bool, Crowded> {
        let entry = encode(hash, place);
        let grows = (self.len + 1) * 4 > self.buckets.len() * 3 || !self.try_insert(entry);
        if grows {
            self.grow_for(entry)?;
        }
        self.len += 1;
        Ok(grows)
    }

    fn try_insert(&self, entry: u64) -> bool {
        let mask = self.buckets.len() - 1;
        let mut at = home(entry, mask);
        for _ in 0..MAX_PROBES {
            let Some(bucket) = self.buckets.get(at) else {
                return false;
            };
            if bucket.load(Ordering::Relaxed) == 0 {
                bucket.store(entry, Ordering::Release);
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }

    /// Doubles the buckets and adds `newcomer`; doubles again if the entries crowd even then.
    fn grow_for(&mut self, newcomer: u64) -> Result<(), Crowded> {
        let mut capacity = self.buckets.len() * 2;
        while capacity <= SPARSE * (self.len + 1) {
            let next = Self {
                buckets: empty(capacity),
                len: self.len,
            };
            let entries = self.buckets.iter().map(|b| b.load(Ordering::Relaxed));
            let mut entries = entries.filter(|entry| *entry != 0);
            if next.try_insert(newcomer) && entries.all(|entry| next.try_insert(entry)) {
                self.buckets = next.buckets;
                return Ok(());
            }
            capacity *= 2;
        }
        Err(Crowded)
    }

    /// Points the entry of `old` at `new`, whose key is the same.
    pub(super) fn replace(&self, hash: u64, old: Place, new: Place) {
        if let Some(bucket) = self.position(hash, old).and_then(|at| self.buckets.get(at)) {
            bucket.store(encode(hash, new), Ordering::Release);
        }
    }

    /// Removes the entry of `place`, if it is there, and closes the gap.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        let Some(mut gap) = self.position(hash, place) else {
            return;
        };
        let mask = self.buckets.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let entry = self
                .buckets
                .get(at)
                .map_or(0, |b| b.load(Ordering::Relaxed));
            if entry == 0 {
                break;
            }
            // It may move into the gap unless its home lies between the gap and itself.
            let distance_home = at.wrapping_sub(home(entry, mask)) & mask;
            let distance_gap = at.wrapping_sub(gap) & mask;
            if distance_home >= distance_gap {
                self.set(gap, entry);
                gap = at;
            }
        }
        self.set(gap, 0);
        self.len -= 1;
    }

    fn set(&self, at: usize, entry: u64) {
        if let Some(bucket) = self.buckets.get(at) {
            bucket.store(entry, Ordering::Release);
        }
    }

    fn position(&self, hash: u64, place: Place) -> Option<usize> {
        let mask = self.buckets.len() - 1;
        let wanted = encode(hash, place);
        let mut at = home(hash, mask);
        for _ in 0..MAX_PROBES {
            match self.buckets.get(at)?.load(Ordering::Relaxed) {
                0 => return None,
                entry if entry == wanted => return Some(at),
                _ => at = (at + 1) & mask,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn entries_of_one_hash_are_refused_in_the_end_and_the_others_stay() {
        let mut shard = Inner {
            buckets: empty(8),
            len: 0,
        };
        let place = |flow| Place {
            flow,
            side: Side::Initiator,
        };
        for flow in 0..MAX_PROBES as u32 {
            shard.insert(u64::MAX, place(flow)).unwrap();
        }
        let capacity = shard.buckets.len();
        assert_eq!(shard.insert(u64::MAX, place(1000)), Err(Crowded));
        assert_eq!((shard.len, shard.buckets.len()), (MAX_PROBES, capacity));
        for flow in 0..MAX_PROBES as u32 {
            let found = shard.find(u64::MAX, |place| place.flow == flow);
            assert_eq!(found, Some(place(flow)));
        }
        shard.insert(1 << PLACE_BITS, place(1000)).unwrap();
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0u32..200), 1..800)) {
            let mut shard = Inner { buckets: empty(8), len: 0 };
            let mut model = HashMap::new();
            // Few distinct hashes, so that runs overlap and wrap round.
            let hash = |flow: u32| u64::from(flow / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for (insert, flow) in ops {
                let place = Place { flow, side: Side::Target };
                if insert && !model.contains_key(&flow) {
                    shard.insert(hash(flow), place).unwrap();
                    model.insert(flow, place);
                } else if !insert {
                    shard.remove(hash(flow), place);
                    model.remove(&flow);
                }
                prop_assert_eq!(shard.len, model.len());
                for flow in 0..200 {
                    let found = shard.find(hash(flow), |place| place.flow == flow);
                    prop_assert_eq!(found, model.get(&flow).copied());
                }
            }
        }
    }
}
