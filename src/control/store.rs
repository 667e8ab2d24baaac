//! Objects by id, listed in the order of their creation; and their places in the data plane.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::error::ControlError;
use super::id::Id;
use crate::dataplane::{Idx, IdxAllocator};

/// All objects of one kind.
#[derive(Clone, Debug)]
pub(super) struct Store<I, T> {
    /// By the number of their creation.
    objects: BTreeMap<u64, T>,
    by_id: HashMap<I, u64, RandomState>,
    next: u64,
}

impl<I: Id, T> Store<I, T> {
    pub(super) fn insert(&mut self, id: I, object: T) {
        self.by_id.insert(id, self.next);
        self.objects.insert(self.next, object);
        self.next += 1;
    }

    pub(super) fn find(&self, id: &I) -> Option<&T> {
        self.objects.get(self.by_id.get(id)?)
    }

    pub(super) fn find_mut(&mut self, id: &I) -> Option<&mut T> {
        self.objects.get_mut(self.by_id.get(id)?)
    }

    pub(super) fn remove(&mut self, id: &I) -> Option<T> {
        self.objects.remove(&self.by_id.remove(id)?)
    }

    /// The object that the property of a command names.
    pub(super) fn require(&self, id: I, property: impl Into<String>) -> Result<&T, ControlError> {
        self.find(&id)
            .ok_or_else(|| ControlError::not_found(id, property))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.objects.values_mut()
    }
}

/// Which object stands at which place of one of the data plane's tables.
#[derive(Clone, Debug)]
pub(super) struct Places<I, K> {
    allocator: IdxAllocator<K>,
    /// Of the objects that had a place before and are still to be made.
    kept: HashMap<I, Idx<K>, RandomState>,
}

impl<I: Copy + Eq + Hash, K> Places<I, K> {
    /// The same places, each kept for the object that has it.
    pub(super) fn keep(&self, objects: impl Iterator<Item = (I, Idx<K>)>) -> Self {
        Self {
            allocator: self.allocator.clone(),
            kept: objects.collect(),
        }
    }

    /// The place kept for this object, or one that nothing else has had.
    pub(super) fn allocate(&mut self, id: I) -> Idx<K> {
        let kept = self.kept.remove(&id);
        kept.unwrap_or_else(|| self.allocator.allocate())
    }

    pub(super) fn release(&mut self, idx: Idx<K>) {
        self.allocator.release(idx);
    }

    /// Gives back the places of what has not been made again.
    pub(super) fn release_kept(&mut self) {
        let mut kept: Vec<_> = self.kept.drain().map(|(_, idx)| idx).collect();
        kept.sort_unstable_by_key(|idx| idx.index());
        kept.into_iter().for_each(|idx| self.release(idx));
    }
}

impl<I, K> Default for Places<I, K> {
    fn default() -> Self {
        Self {
            allocator: IdxAllocator::new(),
            kept: HashMap::default(),
        }
    }
}

impl<I, T> Default for Store<I, T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            by_id: HashMap::default(),
            next: 0,
        }
    }
}
