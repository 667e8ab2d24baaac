//! How many packets one interface may send to its resolver (Amazon VPC, "DNS quotas": 1,024 per second and network interface).
//!
//! Invariant: in no second more than that, however they are spread; whoever sends less is never refused. (A bucket of tokens that
//! admits such a burst would admit it, and a second's worth besides.)

use super::super::time::Instant;

/// Packets in any second.
const MOST: u32 = 1024;
/// Part of a second, in microseconds.
const SLOT: u64 = 1_000_000 / (SLOTS as u64 - 1);
/// A second's parts, and the one that has only begun.
const SLOTS: usize = 65;

/// What one interface has sent within the last second.
pub(in crate::dataplane) struct Rate {
    counts: [u16; SLOTS],
    total: u32,
    /// The number of the newest part.
    newest: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            counts: [0; SLOTS],
            total: 0,
            newest: 0,
        }
    }
}

impl Rate {
    /// May these packets pass? If so they count.
    pub(super) fn admit(&mut self, packets: usize, now: Instant) -> bool {
        self.forget(now.0 / SLOT);
        let packets = u32::try_from(packets).unwrap_or(MOST + 1);
        let fits = self.total + packets.min(MOST + 1) <= MOST;
        if fits && let Some(count) = self.counts.get_mut(place(self.newest)) {
            *count += packets as u16;
            self.total += packets;
        }
        fits
    }

    /// What lies more than a second back does not count any more.
    fn forget(&mut self, newest: u64) {
        let passed = newest.saturating_sub(self.newest).min(SLOTS as u64);
        for slot in newest.saturating_sub(passed)..newest {
            if let Some(count) = self.counts.get_mut(place(slot + 1)) {
                self.total -= u32::from(std::mem::take(count));
            }
        }
        self.newest = self.newest.max(newest);
    }
}

const fn place(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_1024_and_a_burst_may_have_them_all() {
        let mut rate = Rate::default();
        // A burst, and then a packet each millisecond: what has been sent, by its time.
        let mut admitted = Vec::new();
        for time in (0..1500)
            .map(|_| 40_000)
            .chain((41..4000).map(|ms| ms * 1000))
        {
            if rate.admit(1, Instant(time)) {
                admitted.push(time);
            }
        }
        let in_a_second = |from: &u64| {
            let within = admitted
                .iter()
                .filter(|at| (*from..from + 1_000_000).contains(*at));
            within.count()
        };
        assert_eq!(admitted.iter().filter(|at| **at == 40_000).count(), 1024);
        assert_eq!(admitted.iter().map(in_a_second).max(), Some(1024));
        assert!(admitted.len() > 1024 + 2800, "{}", admitted.len());
    }

    #[test]
    fn whoever_stays_below_is_never_refused() {
        let mut rate = Rate::default();
        assert!((0..100_000).all(|n| rate.admit(1, Instant(n * 1000))));
        assert!(!rate.admit(1000, Instant(100_000_000)));
        assert!(rate.admit(1000, Instant(200_000_000)));
    }
}
