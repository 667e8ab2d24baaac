//! Stable indices: a place in a dense table and the generation that filled it.
//!
//! Invariant: an [`Idx`] names the same object in every snapshot in which it resolves. A place that is
//! given to another object gets the next generation, so that what still holds the old index (a flow, a
//! packet in flight) finds nothing instead of a stranger.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// The place of a `T` in its [`Table`]. Control hands it out, the data plane resolves it.
pub struct Idx<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Idx<T> {
    /// An index from its parts.
    #[inline]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self {
            index,
            generation,
            of: PhantomData,
        }
    }

    /// The place in the table.
    #[inline]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many objects held this place before.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl<T> Clone for Idx<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Idx<T> {}
impl<T> PartialEq for Idx<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}
impl<T> Eq for Idx<T> {}
impl<T> Hash for Idx<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (u64::from(self.generation) << 32 | u64::from(self.index)).hash(state);
    }
}
impl<T> PartialOrd for Idx<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Idx<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<T> fmt::Debug for Idx<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

/// A dense table of `V`, addressed by the `Idx<K>` of what it describes.
#[derive(Clone, Debug)]
pub struct Table<K, V = K> {
    places: Vec<Option<(u32, V)>>,
    of: PhantomData<fn() -> K>,
}

impl<K, V> Table<K, V> {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            of: PhantomData,
        }
    }

    /// Puts `value` at `idx`, over whatever stood there.
    pub fn insert(&mut self, idx: Idx<K>, value: V) {
        let place = idx.index() as usize;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.places.get_mut(place) {
            *slot = Some((idx.generation(), value));
        }
    }

    /// What stands at `idx`, if it is of the same generation.
    #[inline]
    pub fn get(&self, idx: Idx<K>) -> Option<&V> {
        match self.places.get(idx.index() as usize) {
            Some(Some((generation, value))) if *generation == idx.generation() => Some(value),
            _ => None,
        }
    }

    /// As [`Table::get`], to be changed.
    pub fn get_mut(&mut self, idx: Idx<K>) -> Option<&mut V> {
        match self.places.get_mut(idx.index() as usize) {
            Some(Some((generation, value))) if *generation == idx.generation() => Some(value),
            _ => None,
        }
    }

    /// Takes what stands at `idx` out of the table.
    pub fn take(&mut self, idx: Idx<K>) -> Option<V> {
        self.get(idx)?;
        self.places
            .get_mut(idx.index() as usize)?
            .take()
            .map(|(_, value)| value)
    }

    /// All entries by value, in index order.
    pub fn into_entries(self) -> impl Iterator<Item = (Idx<K>, V)> {
        self.places
            .into_iter()
            .enumerate()
            .filter_map(|(index, place)| {
                place.map(|(generation, value)| (Idx::new(index as u32, generation), value))
            })
    }

    /// All entries, in index order.
    pub fn iter(&self) -> impl Iterator<Item = (Idx<K>, &V)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            place
                .as_ref()
                .map(|(generation, value)| (Idx::new(index as u32, *generation), value))
        })
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Hands out the indices of one table and takes them back.
#[derive(Debug)]
pub struct IdxAllocator<T> {
    next: u32,
    free: Vec<(u32, u32)>,
    of: PhantomData<fn() -> T>,
}

impl<T> IdxAllocator<T> {
    /// An allocator that has handed out nothing yet.
    pub const fn new() -> Self {
        Self {
            next: 0,
            free: Vec::new(),
            of: PhantomData,
        }
    }

    /// An index that names nothing else, now or before.
    pub fn allocate(&mut self) -> Idx<T> {
        match self.free.pop() {
            Some((index, generation)) => Idx::new(index, generation),
            None => {
                let index = self.next;
                self.next += 1;
                Idx::new(index, 0)
            }
        }
    }

    /// Takes `idx` back; its place is handed out again with the next generation.
    pub fn release(&mut self, idx: Idx<T>) {
        self.free
            .push((idx.index(), idx.generation().wrapping_add(1)));
    }
}

// Not derived: what is indexed need not be cloned.
impl<T> Clone for IdxAllocator<T> {
    fn clone(&self) -> Self {
        Self {
            next: self.next,
            free: self.free.clone(),
            of: PhantomData,
        }
    }
}

impl<T> Default for IdxAllocator<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_place_does_not_answer_to_its_old_index() {
        let mut allocator = IdxAllocator::<()>::new();
        let mut table = Table::new();
        let old = allocator.allocate();
        table.insert(old, "old");
        allocator.release(old);
        let new = allocator.allocate();
        table.insert(new, "new");
        assert_eq!(old.index(), new.index());
        assert_eq!(table.get(old), None);
        assert_eq!(table.get(new), Some(&"new"));
    }
}
