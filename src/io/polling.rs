//! Whether a worker polls, for how long, on which CPU, and whether it may preempt others when it wakes up.
//!
//! A packet that comes while its worker polls costs no wake-up, neither the worker's nor that of a CPU that had gone to sleep:
//! half the time of a round trip. But a round of polling that finds nothing is CPU time lost to the hosts. So polling is
//! bounded, follows the length of the pauses, yields between rounds, stops where packets come several at a time and where
//! strangers want the CPU, and is spread over the CPUs. What was tried and measured: `docs/design/0004-polling.md`.
//!
//! A packet wakes its worker in the middle of its sender's work, which may be another worker's. So a worker waits until who has
//! the CPU sleeps or has had its slice (`SCHED_BATCH`), and finds more then; beside a stranger, who would not soon be done, it
//! does not wait (`docs/design/0009-waking-without-preempting.md`).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity, sched_yield};

use super::clock::Clock;
use crate::dataplane::Instant;

/// The most empty rounds, with a yield between them, before a TUN goes back to epoll; shared among the busy ones.
const EMPTY_ROUNDS: usize = 50;
/// A pause worth polling through: as long as an answer takes whose host has to be woken.
const SHORT_PAUSE: Duration = Duration::from_micros(100);
/// A pause that nobody should poll into; what lies between tells nothing, as the scheduler makes such pauses too.
const LONG_PAUSE: Duration = Duration::from_micros(500);
/// A yield that takes longer than this was somebody's whole time slice. If it was a stranger's, and not that of an instance
/// which sent meanwhile, the CPU is not ours to spend: polling does not pay there.
const CONTENDED: Duration = Duration::from_millis(1);
/// So many packets after such a yield come from an instance that had the CPU for itself: one alone may only be late.
const BURST: usize = 2;
/// How often a worker then sleeps at once, without polling, before it tries again; twice as often each time within
/// [`LASTING`], for somebody stays.
const SLEEPS_WHEN_CONTENDED: u32 = 100;
const MOST_SLEEPS_WHEN_CONTENDED: u32 = 12_800;
const LASTING: Duration = Duration::from_secs(2);
/// Packets that a read brings on average, from which on nothing is polled: what comes together pays for its wake-up, and while
/// the worker sleeps more comes together, and the hosts have the CPU. In [`UNIT`]s.
const TOGETHER: usize = UNIT * 3 / 2;
const UNIT: usize = 256;
/// How many reads that average is over, about.
const READS: usize = 8;
/// How long a worker that has moved to another CPU stays where the scheduler takes it.
const SETTLED: Duration = Duration::from_millis(1);

/// Which worker polls on which CPU. Where it matters there is one on each, so that no CPU has to be woken for a host.
#[derive(Debug)]
pub(super) struct Pollers([AtomicUsize; 256]);

const NOBODY: usize = usize::MAX;

impl Default for Pollers {
    fn default() -> Self {
        Self([const { AtomicUsize::new(NOBODY) }; 256])
    }
}

impl Pollers {
    fn of(&self, cpu: usize) -> &AtomicUsize {
        let Self(pollers) = self;
        &pollers[cpu % pollers.len()]
    }

    /// Makes this worker the one that polls on `cpu`, if none does.
    fn claim(&self, cpu: usize, worker: usize) -> bool {
        self.of(cpu)
            .compare_exchange(NOBODY, worker, Relaxed, Relaxed)
            .is_ok()
    }

    fn release(&self, cpu: usize) {
        self.of(cpu).store(NOBODY, Relaxed);
    }

    /// A worker has failed: it polls nowhere.
    pub(super) fn forget(&self, worker: usize) {
        let Self(pollers) = self;
        for poller in pollers {
            // It fails where it is another's, or none's.
            let _ = poller.compare_exchange(worker, NOBODY, Relaxed, Relaxed);
        }
    }
}

/// A worker's polling.
#[derive(Debug)]
pub(super) struct Polling {
    worker: usize,
    /// Empty rounds that it is good for at present.
    rounds: usize,
    /// Packets that a read brings, on average, in [`UNIT`]s.
    together: usize,
    /// When packets came last.
    packets_at: Instant,
    /// The CPU on which it is the poller.
    cpu: Option<usize>,
    moved_at: Instant,
    /// When a yield ended that was somebody's whole time slice, if it was the last.
    long_yield: Option<Instant>,
    /// Sleeps without polling that are still to come, and how many they were at first.
    suspended: u32,
    suspension: u32,
    contended_at: Instant,
    /// Does its waking up leave the CPU to who has it? `None`: as somebody else has said (chrt(1)).
    is_batch: Option<bool>,
}

impl Polling {
    pub(super) fn new(worker: usize) -> Self {
        Self {
            worker,
            rounds: EMPTY_ROUNDS,
            together: UNIT,
            packets_at: Instant::START,
            cpu: None,
            moved_at: Instant::START,
            long_yield: None,
            suspended: 0,
            suspension: 0,
            contended_at: Instant::START,
            is_batch: None,
        }
    }

    /// Its worker begins, on the calling thread.
    pub(super) fn start(&mut self) {
        // SAFETY: It asks for the calling thread's policy, and nothing else.
        if unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER {
            self.is_batch = Some(false);
            self.be_batch(true);
        }
    }

    /// How many empty rounds each of so many busy TUNs gets.
    #[inline]
    pub(super) fn budget(&self, busy: usize) -> usize {
        match self.suspended {
            0 if self.together < TOGETHER => self.rounds.div_ceil(busy.max(1)),
            _ => 0,
        }
    }

    /// A TUN that was read until it was empty, or for a whole turn, has brought so many packets.
    #[inline]
    pub(super) fn read(&mut self, count: usize) {
        if count > 0 {
            self.together = self.together - self.together / READS + count * UNIT / READS;
        }
    }

    /// So many packets have come in one round.
    #[inline]
    pub(super) fn packets(&mut self, count: usize, now: Instant) {
        self.packets_at = now;
        if let Some(yielded_at) = self.long_yield.take()
            && count < BURST
        {
            self.suspend(yielded_at);
        }
    }

    /// After the empty round that began `now`: lets others run before the next.
    pub(super) fn pause(&mut self, pollers: &Pollers, clock: &Clock, now: Instant) {
        let cpu = sched_getcpu();
        if self.cpu != Some(cpu) {
            self.release(pollers);
            self.cpu = pollers.claim(cpu, self.worker).then_some(cpu);
        }
        if self.cpu.is_none() && now.since(self.moved_at) > SETTLED {
            self.moved_at = now;
            leave(cpu);
        }
        sched_yield();
        let after = clock.now();
        if let Some(yielded_at) = self.long_yield.take() {
            self.suspend(yielded_at);
        }
        if after.since(now) > CONTENDED {
            self.long_yield = Some(after);
        }
    }

    fn suspend(&mut self, now: Instant) {
        self.suspension = match now.since(self.contended_at) < LASTING {
            true => (self.suspension * 2).clamp(SLEEPS_WHEN_CONTENDED, MOST_SLEEPS_WHEN_CONTENDED),
            false => SLEEPS_WHEN_CONTENDED,
        };
        self.suspended = self.suspension;
        self.contended_at = now;
        self.be_batch(false);
    }

    fn be_batch(&mut self, is_batch: bool) {
        if self.is_batch == Some(!is_batch) {
            self.is_batch = Some(is_batch);
            let policy = match is_batch {
                true => libc::SCHED_BATCH,
                false => libc::SCHED_OTHER,
            };
            let priority = libc::sched_param { sched_priority: 0 };
            // SAFETY: It reads `priority`, and concerns the calling thread only. Where it is forbidden the thread stays as it
            // was, which is correct as well.
            unsafe { libc::sched_setscheduler(0, policy, &priority) };
        }
    }

    /// The worker is about to sleep.
    pub(super) fn stop(&mut self, pollers: &Pollers) {
        self.release(pollers);
        self.suspended = self.suspended.saturating_sub(1);
    }

    fn release(&mut self, pollers: &Pollers) {
        if let Some(cpu) = self.cpu.take() {
            pollers.release(cpu);
        }
    }

    /// It has woken up: polling is good for twice as long after a short pause, for half as long after a long one.
    pub(super) fn woke(&mut self, now: Instant) {
        if self.suspended == 0 && now.since(self.contended_at) > LASTING {
            self.be_batch(true);
        }
        let pause = now.since(self.packets_at);
        if pause < SHORT_PAUSE {
            self.rounds = (self.rounds * 2).min(EMPTY_ROUNDS);
        } else if pause > LONG_PAUSE {
            self.rounds = (self.rounds / 2).max(1);
        }
    }
}

impl Drop for Polling {
    /// The thread is as it was before, for the next worker on it.
    fn drop(&mut self) {
        self.be_batch(false);
    }
}

/// Has the scheduler take the calling thread to any other of the CPUs that it may run on.
fn leave(cpu: usize) {
    // Without the right to do so the thread stays, which is no more than it would have done.
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut others = allowed;
    others.unset(cpu);
    if others.count() > 0 && sched_setaffinity(None, &others).is_ok() {
        let _ = sched_setaffinity(None, &allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant(1_000_000 + micros)
    }

    #[test]
    fn the_budget_follows_the_length_of_the_pauses() {
        let mut polling = Polling::new(0);
        let budget_after = |polling: &mut Polling, pause: u64| {
            polling.packets(1, at(0));
            polling.woke(at(pause));
            polling.budget(1)
        };
        assert_eq!(polling.budget(1), EMPTY_ROUNDS);
        let long: Vec<_> = (0..7).map(|_| budget_after(&mut polling, 1000)).collect();
        assert_eq!(long, [25, 12, 6, 3, 1, 1, 1]);
        let short: Vec<_> = (0..7).map(|_| budget_after(&mut polling, 60)).collect();
        assert_eq!(short, [2, 4, 8, 16, 32, 50, 50]);
        assert_eq!(budget_after(&mut polling, 300), 50);
    }

    #[test]
    fn a_long_yield_in_which_a_sender_ran_stops_no_polling() {
        let mut polling = Polling::new(0);
        let mut budget_after = |packets: usize| {
            polling.long_yield = Some(at(0));
            polling.packets(packets, at(1));
            polling.budget(1)
        };
        assert_eq!(budget_after(BURST), EMPTY_ROUNDS);
        assert_eq!(budget_after(BURST - 1), 0);
    }

    #[test]
    fn the_longer_others_want_the_cpu_the_less_is_polled() {
        let mut polling = Polling::new(0);
        let mut sleeps_after = |millis: u64| {
            polling.suspend(at(millis * 1000));
            let sleeps = polling.suspended;
            assert_eq!(polling.budget(1), 0);
            (0..sleeps).for_each(|_| polling.stop(&Pollers::default()));
            assert_eq!(polling.budget(1), EMPTY_ROUNDS);
            sleeps
        };
        assert_eq!([0, 10, 20, 30].map(&mut sleeps_after), [100, 200, 400, 800]);
        assert_eq!([5_000, 5_010].map(&mut sleeps_after), [100, 200]);
    }

    #[test]
    fn where_packets_come_together_nothing_is_polled_until_they_come_alone() {
        let mut polling = Polling::new(0);
        let mut budget_after = |counts: &[usize]| {
            counts.iter().for_each(|count| polling.read(*count));
            polling.budget(1)
        };
        assert_eq!(budget_after(&[1; 100]), EMPTY_ROUNDS);
        // Now and then two are not a bulk transfer; rounds that find nothing say nothing.
        assert_eq!(budget_after(&[2, 1, 1, 2, 1]), EMPTY_ROUNDS);
        assert_eq!(budget_after(&[3; 8]), 0);
        assert_eq!(budget_after(&[0; 100]), 0);
        assert_eq!(budget_after(&[1; 16]), EMPTY_ROUNDS);
        assert_eq!(budget_after(&[64]), 0);
    }

    #[test]
    fn it_preempts_nobody_unless_a_stranger_wants_the_cpu() {
        // SAFETY: It only asks for the calling thread's policy.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let mut polling = Polling::new(0);
        polling.start();
        assert_eq!(policy(), libc::SCHED_BATCH);
        polling.suspend(at(0));
        assert_eq!(policy(), libc::SCHED_OTHER);
        // Not while it still sleeps without polling, however long that takes, and not before the stranger is gone.
        let long_after = at(3_000_000);
        polling.woke(long_after);
        assert_eq!(policy(), libc::SCHED_OTHER);
        (0..polling.suspended).for_each(|_| polling.stop(&Pollers::default()));
        polling.woke(at(1_000_000));
        assert_eq!(policy(), libc::SCHED_OTHER);
        polling.woke(long_after);
        assert_eq!(policy(), libc::SCHED_BATCH);
    }

    #[test]
    fn busy_tuns_share_the_budget() {
        let polling = Polling::new(0);
        assert_eq!(polling.budget(2), EMPTY_ROUNDS / 2);
        assert_eq!(polling.budget(64), 1);
    }

    #[test]
    fn a_cpu_has_one_poller() {
        let pollers = Pollers::default();
        assert!(pollers.claim(1, 0));
        assert!(!pollers.claim(1, 1));
        assert!(pollers.claim(0, 1));
        pollers.release(1);
        assert!(pollers.claim(1, 1));
    }

    #[test]
    fn a_worker_that_has_failed_polls_nowhere() {
        let pollers = Pollers::default();
        assert!(pollers.claim(1, 7) && pollers.claim(2, 8));
        pollers.forget(7);
        assert!(pollers.claim(1, 9) && !pollers.claim(2, 9));
    }

    #[test]
    fn a_poller_leaves_its_place_to_others_when_it_sleeps() {
        let (pollers, clock) = (Pollers::default(), Clock::start());
        let mut polling = Polling::new(1);
        polling.pause(&pollers, &clock, at(0));
        let cpu = polling.cpu.expect("no other polls");
        assert!(!pollers.claim(cpu, 0));
        polling.stop(&pollers);
        assert!(pollers.claim(cpu, 0));
    }

    #[test]
    fn a_moved_thread_keeps_the_cpus_that_it_may_run_on() {
        let before = sched_getaffinity(None).unwrap();
        leave(sched_getcpu());
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
