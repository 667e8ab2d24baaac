//! Objects by id, listed in the order of their creation.

use std::collections::HashMap;

use super::error::ControlError;
use super::id::Id;

/// All objects of one kind.
#[derive(Clone, Debug)]
pub(super) struct Store<I, T> {
    objects: Vec<T>,
    by_id: HashMap<I, usize>,
}

impl<I: Id, T> Store<I, T> {
    pub(super) fn insert(&mut self, id: I, object: T) {
        self.by_id.insert(id, self.objects.len());
        self.objects.push(object);
    }

    pub(super) fn find(&self, id: &I) -> Option<&T> {
        self.objects.get(*self.by_id.get(id)?)
    }

    pub(super) fn find_mut(&mut self, id: &I) -> Option<&mut T> {
        self.objects.get_mut(*self.by_id.get(id)?)
    }

    /// The object that the property of a command names.
    pub(super) fn require(&self, id: I, property: impl Into<String>) -> Result<&T, ControlError> {
        self.find(&id)
            .ok_or_else(|| ControlError::not_found(id, property))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.objects.iter()
    }
}

impl<I, T> Default for Store<I, T> {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
            by_id: HashMap::new(),
        }
    }
}
