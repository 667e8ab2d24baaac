//! Objects by id, listed in the order of their creation; and their places in the data plane.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::error::ControlError;
use super::id::Id;
use crate::dataplane::{Idx, IdxAllocator};

/// All objects of one kind.
#[derive(Clone, Debug)]
pub(super) struct Store<I, T> {
    /// In the order of their creation, with a gap for each that has been removed.
    objects: Vec<Option<(I, T)>>,
    /// Where they stand.
    places: HashMap<I, usize, RandomState>,
}

impl<I: Id, T> Store<I, T> {
    pub(super) fn insert(&mut self, id: I, object: T) {
        self.places.insert(id, self.objects.len());
        self.objects.push(Some((id, object)));
    }

    pub(super) fn find(&self, id: &I) -> Option<&T> {
        let (_, object) = self.objects.get(*self.places.get(id)?)?.as_ref()?;
        Some(object)
    }

    pub(super) fn find_mut(&mut self, id: &I) -> Option<&mut T> {
        let (_, object) = self.objects.get_mut(*self.places.get(id)?)?.as_mut()?;
        Some(object)
    }

    pub(super) fn remove(&mut self, id: &I) -> Option<T> {
        let (_, object) = self.objects.get_mut(self.places.remove(id)?)?.take()?;
        if 2 * self.places.len() < self.objects.len() {
            self.close_gaps();
        }
        Some(object)
    }

    fn close_gaps(&mut self) {
        self.objects.retain(Option::is_some);
        let ids = self.objects.iter().flatten().map(|(id, _)| *id);
        self.places = ids.enumerate().map(|(place, id)| (id, place)).collect();
    }

    /// The object that the property of a command names.
    pub(super) fn require(&self, id: I, property: impl Into<String>) -> Result<&T, ControlError> {
        self.find(&id)
            .ok_or_else(|| ControlError::not_found(id, property))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.objects.iter().flatten().map(|(_, object)| object)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.objects.iter_mut().flatten().map(|(_, object)| object)
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
            objects: Vec::new(),
            places: HashMap::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::id::{Mint, Owner, VpcId};

    #[test]
    fn whatever_is_removed_the_others_are_found_and_keep_their_order() {
        let owner = Owner::new("000000000000", "us-east-1").unwrap();
        let mut mint = Mint::default();
        let ids: Vec<VpcId> = (0..100)
            .map(|n| mint.mint(&owner, &format!("{n}")))
            .collect();
        let mut store = Store::default();
        for (number, id) in ids.iter().enumerate() {
            store.insert(*id, number);
        }
        let mut left: Vec<_> = (0..100).collect();
        // Every third, then the first of those that are left, until none is.
        for gone in (0..100)
            .step_by(3)
            .chain((0..100).filter(|number| number % 3 > 0))
        {
            assert_eq!(store.remove(&ids[gone]), Some(gone));
            assert_eq!(store.remove(&ids[gone]), None);
            left.retain(|number| *number != gone);
            assert!(store.iter().eq(&left));
            for (number, id) in ids.iter().enumerate() {
                let expected = left.contains(&number).then_some(number);
                assert_eq!(store.find(id), expected.as_ref());
            }
        }
        assert_eq!(store.objects.len(), 0);
    }
}
