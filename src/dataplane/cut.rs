//! Cutting the flows that a change of the topology no longer allows, a bounded piece at a time.
//!
//! Each change, and each target that fails a health check, is followed by a walk over the flows, in two rounds. The first marks those that the newest snapshot does not
//! allow: it begins when every worker has that snapshot, so that none of them opens such a flow behind it. The second begins when
//! every worker has seen the marks. No packet is on its way along a marked flow then, all that were have been written, and its
//! numbers stand still: so each side gets a RST with the very number that it expects, and the flow leaves the table.
//!
//! Security groups are not asked: a flow that has been admitted is tracked, and outlives its rule (AWS: "Security group
//! connection tracking").

use std::ops::Range;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

use parking_lot::Mutex;

use super::Dataplane;
use super::eni::Eni;
use super::first::is_instance;
use super::flow::{Flow, Side};
use super::snapshot::Snapshot;
use super::time::Instant;
use super::worker::Worker;

/// Places looked at in one go, with half a dozen look-ups for each flow: some ten microseconds.
const PIECE: usize = 256;
/// Flows cut in one go.
const MOST: usize = 128;
/// How long until workers that have not begun a new batch are asked again.
const RETRY: Duration = Duration::from_millis(1);

/// How far the walk has come; whichever worker is awake does the next piece.
#[derive(Default)]
pub(super) struct Cut {
    /// The epoch of the newest change.
    changed: AtomicU64,
    /// The epoch of the newest change whose walk has ended.
    done: AtomicU64,
    due: AtomicU64,
    walk: Mutex<Walk>,
}

#[derive(Default)]
struct Walk {
    round: Round,
    /// The epoch of the change that it follows.
    change: u64,
    /// The epoch that every worker must have reached before the round begins.
    begins: u64,
    next: usize,
}

#[derive(Clone, Copy, Default)]
enum Round {
    #[default]
    Mark,
    Tell,
}

impl Cut {
    /// The topology, or a target's health, has changed, in this epoch.
    pub(super) fn follow(&self, change: u64) {
        self.due.store(0, Relaxed);
        self.changed.store(change, Release);
    }

    /// When the next piece is due; `None` once all changes have been followed.
    pub(super) fn due(&self) -> Option<Instant> {
        let is_behind = self.changed.load(Acquire) != self.done.load(Relaxed);
        is_behind.then(|| Instant(self.due.load(Relaxed)))
    }
}

impl Dataplane {
    /// Does the next piece of the walk.
    pub(super) fn cut(&self, worker: &mut Worker, now: Instant) {
        let cut = &self.cut;
        if cut.due().is_none_or(|due| now < due) {
            return;
        }
        let Some(mut walk) = cut.walk.try_lock() else {
            return;
        };
        cut.due.store((now + RETRY).0, Relaxed);
        if matches!(walk.round, Round::Mark) && walk.next == 0 {
            walk.change = cut.changed.load(Acquire);
            walk.begins = walk.change;
        }
        if self.epochs.reached() < walk.begins {
            return;
        }
        let extent = self.flows.extent();
        let piece = walk.next..extent.min(walk.next + PIECE);
        walk.next = match walk.round {
            Round::Mark => self.mark(piece, now),
            Round::Tell => self.tell(worker, piece),
        };
        if walk.next >= extent {
            *walk = match walk.round {
                Round::Mark => Walk {
                    round: Round::Tell,
                    begins: self.epochs.retire(),
                    next: 0,
                    ..*walk
                },
                Round::Tell => {
                    cut.done.store(walk.change, Relaxed);
                    Walk::default()
                }
            };
        }
        // The next piece is due as soon as packets have had their turn.
        cut.due.store(now.0, Relaxed);
    }

    /// Marks the flows that the newest snapshot does not allow. Gives the first place that has not been visited.
    fn mark(&self, places: Range<usize>, now: Instant) -> usize {
        let end = places.end;
        let snapshot = self.snapshot.load();
        for (_, flow) in self.flows.live(places) {
            if !flow.expired(Side::Initiator, now) && !snapshot.allows(flow) {
                flow.cut();
            }
        }
        end
    }

    /// Takes marked flows out of the table, and tells both sides. Gives the first place that has not been visited.
    fn tell(&self, worker: &mut Worker, places: Range<usize>) -> usize {
        let is_cut = |flow: &Flow| flow.state().is_cut();
        self.flows
            .sweep(places, MOST, &self.epochs, is_cut, |flow| {
                self.settle(&worker.snapshot, worker.id, flow);
                for side in [Side::Initiator, Side::Target] {
                    let to = flow.key(side).ingress;
                    for reset in flow.resets(side) {
                        worker.tell(to, reset);
                    }
                }
            })
    }
}

impl Snapshot {
    /// Is everything that this flow leads through still there, and still offered?
    fn allows(&self, flow: &Flow) -> bool {
        let [initiator, target] = [Side::Initiator, Side::Target].map(|side| flow.key(side));
        let (Ok(source), Ok(_)) = (self.eni(initiator.ingress), self.eni(target.ingress)) else {
            return false;
        };
        let Ok(destination) = self.lookup(source.interface.vpc, initiator.tuple.dst) else {
            return false;
        };
        match flow.via() {
            None => destination.idx == target.ingress,
            Some(via) => destination.idx == via && self.allows_through(destination, flow),
        }
    }

    /// Does this endpoint still lead to the flow's target, through the gateway whose address the flow has?
    fn allows_through(&self, endpoint: &Eni, flow: &Flow) -> bool {
        let [initiator, target] = [Side::Initiator, Side::Target].map(|side| flow.key(side).tuple);
        let Ok((gateway, offer)) = self.offer(endpoint, initiator.protocol, initiator.dst_port)
        else {
            return false;
        };
        let leads_there = self
            .lookup(gateway.interface.vpc, target.src)
            .is_ok_and(|eni| eni.idx == flow.key(Side::Target).ingress && is_instance(eni));
        gateway.owns(target.dst) && leads_there && offer.leads_to(target.src, target.src_port)
    }
}
