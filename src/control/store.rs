//! Objects by id, listed in the order of their creation.

use std::collections::{BTreeMap, HashMap};

use super::error::ControlError;
use super::id::Id;

/// All objects of one kind.
#[derive(Clone, Debug)]
pub(super) struct Store<I, T> {
    /// By the number of their creation.
    objects: BTreeMap<u64, T>,
    by_id: HashMap<I, u64>,
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

impl<I, T> Default for Store<I, T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            by_id: HashMap::new(),
            next: 0,
        }
    }
}
