//! The TUNs in whose turn a worker has failed: each is left alone for a while, so that what its instance sends costs its
//! neighbours on that worker no more than a moment.

use std::time::Duration;

use super::supervise::{STEADY, next_pause};
use crate::dataplane::{EniIdx, Instant};

/// More of them than this, and it is the worker that pauses.
const MOST: usize = 8;

/// Those of one worker, which outlive it.
#[derive(Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Debug)]
struct Suspect {
    eni: EniIdx,
    failed_at: Instant,
    pause: Duration,
}

impl Suspects {
    /// The worker has failed in the turn of this interface's TUN. May it go on with the others at once?
    pub(super) fn accuse(&mut self, eni: EniIdx, now: Instant) -> bool {
        let Self(suspects) = self;
        suspects.retain(|it| now.since(it.failed_at) < STEADY);
        let known = suspects.iter_mut().find(|it| it.eni == eni);
        match known {
            Some(known) => {
                known.pause = next_pause(known.pause, now.since(known.failed_at));
                known.failed_at = now;
            }
            None => suspects.push(Suspect {
                eni,
                failed_at: now,
                pause: next_pause(Duration::ZERO, Duration::ZERO),
            }),
        }
        suspects.len() <= MOST
    }

    /// When its TUN is to be read again, if it is one.
    pub(super) fn held_until(&self, eni: EniIdx) -> Option<Instant> {
        let Self(suspects) = self;
        let it = suspects.iter().find(|it| it.eni == eni)?;
        Some(it.failed_at + it.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_holds_a_tun_longer_and_a_steady_while_clears_it() {
        let (mut suspects, eni) = (Suspects::default(), EniIdx::new(3, 0));
        let at = |millis: u64| Instant(millis * 1000);
        assert_eq!(suspects.held_until(eni), None);
        for (failed_at, until) in [(0, 10), (20, 40), (40, 80), (9_000, 9_080)] {
            assert!(suspects.accuse(eni, at(failed_at)));
            assert_eq!(suspects.held_until(eni), Some(at(until)));
        }
        assert!(suspects.accuse(eni, at(30_000)));
        assert_eq!(suspects.held_until(eni), Some(at(30_010)));
    }

    #[test]
    fn where_many_fail_it_is_the_worker_that_pauses() {
        let mut suspects = Suspects::default();
        let accuse = |suspects: &mut Suspects, number: u32, seconds: u64| {
            suspects.accuse(EniIdx::new(number, 0), Instant(seconds * 1_000_000))
        };
        assert!((0..8).all(|number| accuse(&mut suspects, number, 1)));
        assert!(!accuse(&mut suspects, 8, 1));
        assert!(accuse(&mut suspects, 9, 20));
    }
}
