//! The zones of one view.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hickory_proto::rr::Name;

use super::special;
use super::tree::Tree;
use crate::dataplane::config::DnsZone;

/// The zones of one view, found by their names.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    own: Trees,
    public: Arc<Trees>,
}

/// Zones by their apexes.
type Trees = HashMap<Box<[u8]>, Arc<Tree>, FixedState>;

impl Zones {
    /// The zones that everybody sees, and those of special-use names.
    pub fn public(zones: &[Arc<DnsZone>]) -> Self {
        let mut public = trees(zones);
        for tree in special::trees() {
            public
                .entry(tree.apex().into())
                .or_insert_with(|| Arc::clone(tree));
        }
        Self {
            own: Trees::default(),
            public: Arc::new(public),
        }
    }

    /// The same, and `own` before them: of several with one name the first counts.
    pub fn with(&self, own: &[Arc<DnsZone>]) -> Self {
        Self {
            own: trees(own),
            public: Arc::clone(&self.public),
        }
    }

    /// The zone that decides about a name: the one with the longest apex of those that it lies in.
    pub(super) fn find(&self, name: &Key) -> Option<&Tree> {
        name.upwards()
            .find_map(|apex| self.own.get(apex).or_else(|| self.public.get(apex)))
            .map(Arc::as_ref)
    }
}

fn trees(zones: &[Arc<DnsZone>]) -> Trees {
    let mut trees = Trees::default();
    for zone in zones {
        let tree = Tree::new(zone);
        trees
            .entry(tree.apex().into())
            .or_insert_with(|| Arc::new(tree));
    }
    trees
}

/// A name as it is looked up: its labels in lower case, each behind its length, without the root's. Names above it are its ends, so
/// that looking for them copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new(name: &Name) -> Self {
        let mut key = Vec::with_capacity(name.len());
        for label in name {
            // A label has at most 63 bytes (RFC 1035).
            key.push(label.len() as u8);
            key.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        Self(key)
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.0
    }

    /// The name itself, and each one above it; the last is the root.
    pub(super) fn upwards(&self) -> impl Iterator<Item = &[u8]> {
        successors(Some(self.name()), |name| {
            let (length, rest) = name.split_first()?;
            rest.get(usize::from(*length)..)
        })
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
