//! What an interface counts: per worker, each written by one thread only, summed when read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::verdict::DropReason;

/// One worker's share of an interface's counters.
#[repr(align(128))]
pub(in crate::dataplane) struct Counters {
    packets_in: AtomicU64,
    bytes_in: AtomicU64,
    packets_out: AtomicU64,
    bytes_out: AtomicU64,
    drops: [AtomicU64; DropReason::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            packets_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            drops: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
        }
    }
}

/// Adds without a locked instruction: this thread is the only writer.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed) + amount, Relaxed);
}

impl Counters {
    /// Packets that the interface's owner received.
    #[inline]
    pub(in crate::dataplane) fn received(&self, packets: u64, bytes: u64) {
        add(&self.packets_in, packets);
        add(&self.bytes_in, bytes);
    }

    /// Packets that the interface's owner sent.
    #[inline]
    pub(in crate::dataplane) fn sent(&self, packets: u64, bytes: u64) {
        add(&self.packets_out, packets);
        add(&self.bytes_out, bytes);
    }

    /// A packet that ended here.
    pub(in crate::dataplane) fn dropped(&self, reason: DropReason) {
        if let Some(counter) = self.drops.get(reason as usize) {
            add(counter, 1);
        }
    }

    pub(super) fn add_to(&self, totals: &mut EniCounters) {
        totals.packets_in += self.packets_in.load(Relaxed);
        totals.bytes_in += self.bytes_in.load(Relaxed);
        totals.packets_out += self.packets_out.load(Relaxed);
        totals.bytes_out += self.bytes_out.load(Relaxed);
        for (total, counter) in totals.drops.iter_mut().zip(&self.drops) {
            *total += counter.load(Relaxed);
        }
    }
}

/// An interface's counters, as its owner sees them: *in* is what it received, *out* what it sent.
///
/// A super-packet counts as one packet and as all its bytes of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EniCounters {
    /// Packets delivered to the interface's owner.
    pub packets_in: u64,
    /// Bytes of IP in them.
    pub bytes_in: u64,
    /// Packets that the interface's owner sent.
    pub packets_out: u64,
    /// Bytes of IP in them.
    pub bytes_out: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Default for EniCounters {
    fn default() -> Self {
        Self {
            packets_in: 0,
            bytes_in: 0,
            packets_out: 0,
            bytes_out: 0,
            drops: [0; DropReason::ALL.len()],
        }
    }
}

impl EniCounters {
    /// How many packets ended at this interface for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason for which packets ended at this interface, with their number, in the order of the packet's way.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.dropped(*reason)))
            .filter(|(_, count)| *count > 0)
    }
}
