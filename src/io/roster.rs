//! Which interface has which TUN, and which worker reads it.
//!
//! Invariant: with this a worker begins, be it the first or one in the place of another that has failed; what changes from then
//! on it receives as messages.

use std::sync::Arc;

use super::tun::Tun;
use crate::dataplane::config::Interface;
use crate::dataplane::{EniIdx, Table};

/// Every interface's TUN.
#[derive(Debug)]
pub(super) struct Roster {
    entries: Table<Interface, Entry>,
    /// How many each worker reads.
    counts: Vec<usize>,
}

/// An interface's TUN, and the number of the worker that reads it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) tun: Arc<Tun>,
    pub(super) reader: usize,
}

impl Roster {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            entries: Table::new(),
            counts: vec![0; workers],
        }
    }

    /// Gives the interface this TUN; the worker that reads the fewest gets it.
    pub(super) fn add(&mut self, eni: EniIdx, tun: Arc<Tun>) -> usize {
        self.remove(eni);
        let fewest = (0..self.counts.len()).min_by_key(|id| self.counts[*id]);
        let reader = fewest.unwrap_or_default();
        self.counts[reader] += 1;
        self.entries.insert(eni, Entry { tun, reader });
        reader
    }

    pub(super) fn remove(&mut self, eni: EniIdx) {
        if let Some(entry) = self.entries.take(eni) {
            self.counts[entry.reader] -= 1;
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (EniIdx, &Entry)> {
        self.entries.iter()
    }
}
