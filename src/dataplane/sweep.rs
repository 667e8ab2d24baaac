//! Reclaiming flows whose time is over, a bounded piece at a time.
//!
//! Whether a flow has expired is decided when a packet asks ([`Flow::admit`](super::flow::Flow::admit)), to the microsecond.
//! Sweeping only takes the memory back: so there are no timers, nothing to do per packet, and no pause.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::flow::{Flow, Side};
use super::snapshot::Snapshot;
use super::time::Instant;
use super::worker::Worker;
use super::{Dataplane, Deadline, Reason};

/// Places looked at in one go: some ten microseconds.
const PIECE: usize = 1024;
/// Flows taken back in one go: each costs up to a microsecond, with none of it in the cache.
const MOST: usize = 128;
/// How long a closed connection rests at least, even when its opener is about to run out of flows: as long as Linux stays in
/// TIME-WAIT.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// How often every place is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// How far the sweep has come; whichever worker is awake does the next piece.
#[derive(Default)]
pub(super) struct Sweep {
    due: AtomicU64,
    next: AtomicUsize,
}

impl Dataplane {
    /// When [`Dataplane::handle_timeout`] has something to do; `None` while nothing is under way.
    pub fn poll_timeout(&self, worker: &Worker) -> Option<Deadline> {
        let deadline = |at, reason| Deadline { at, reason };
        let of_flows = [
            (Reason::Sweep, Some(Instant(self.sweep.due.load(Relaxed)))),
            (Reason::Cut, self.cut.due()),
            (Reason::ProxyHeader, worker.reminded_at()),
        ];
        let of_others = [
            (Reason::HealthCheck, self.due_check(worker)),
            (Reason::Resolved, self.due_answers()),
            (Reason::ResolverConnection, self.due_connections()),
            (Reason::ResourceName, self.due_names()),
            (Reason::Fragments, worker.fragments.due()),
        ];
        let has_flows = !self.flows.is_empty();
        let of_flows = of_flows.into_iter().filter(|_| has_flows);
        of_flows
            .chain(of_others)
            .filter_map(|(reason, at)| Some(deadline(at?, reason)))
            .min_by_key(|deadline| deadline.at)
    }

    /// Does what is due.
    pub fn handle_timeout(&self, worker: &mut Worker, now: Instant) {
        self.cut(worker, now);
        self.repeat_headers(worker, now);
        self.check_health(worker, now);
        self.answer_askers(worker, now);
        self.tend_connections(worker, now);
        self.look_up_names(now);
        self.give_up_fragments(worker, now);
        self.sweep(worker, now);
    }

    fn sweep(&self, worker: &Worker, now: Instant) {
        let due = self.sweep.due.load(Relaxed);
        if now.0 < due {
            return;
        }
        let extent = self.flows.extent();
        let pieces = extent.div_ceil(PIECE).max(1);
        let next_due = now + PERIOD / pieces as u32;
        if self
            .sweep
            .due
            .compare_exchange(due, next_due.0, Relaxed, Relaxed)
            .is_err()
        {
            return;
        }
        let from = match self.sweep.next.load(Relaxed) {
            next if next < extent => next,
            _ => 0,
        };
        let end = extent.min(from + PIECE);
        let next = self.flows.sweep(
            from..end,
            MOST,
            &self.epochs,
            |flow| {
                let is_over =
                    flow.expired(Side::Initiator, now) || self.gives_way(worker, flow, now);
                // One that has been cut is still to tell its sides.
                is_over && !flow.state().is_cut()
            },
            |flow| self.settle(&worker.snapshot, worker.id, flow),
        );
        self.sweep.next.store(next, Relaxed);
        if next < end {
            // The rest of the piece is due as soon as packets have had their turn.
            self.sweep.due.store(now.0, Relaxed);
        }
    }

    /// Has it rested long enough to make room for another flow of an opener that has taken more than half of what it may?
    fn gives_way(&self, worker: &Worker, flow: &Flow, now: Instant) -> bool {
        flow.has_rested(TIME_WAIT, now)
            && worker
                .snapshot
                .eni(flow.key(Side::Initiator).ingress)
                .is_ok_and(|opener| opener.opened() > self.flows.room() / 2)
    }

    /// Adds what a flow has carried to the counters of the interfaces that it passed through on its way, and gives its
    /// opener the place back.
    pub(super) fn settle(&self, snapshot: &Snapshot, worker: usize, flow: &Flow) {
        if flow.via().is_some() {
            self.holdings.give_back(flow);
        }
        if let Ok(opener) = snapshot.eni(flow.key(Side::Initiator).ingress) {
            opener.count_closed();
        }
        for (idx, received, sent) in self.passed_through(snapshot, flow) {
            if let Some(counters) = snapshot.eni(idx).ok().and_then(|eni| eni.counters(worker)) {
                counters.received(flow.packets(received), flow.bytes(received));
                counters.sent(flow.packets(sent), flow.bytes(sent));
            }
        }
    }
}
