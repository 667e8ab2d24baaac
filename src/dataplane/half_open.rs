//! TCP connections that an interface has begun and not completed: bounded, so that their ports are not all in use.
//!
//! A SYN costs its sender one packet, and holds a gateway's port until the handshake is completed or the transitory time is over.
//! Each interface has a record of its newest connections through endpoints, in their order. Of those that leave it, the ones that
//! are still half-open stay in a second, bounded one, whose oldest is given up for the next: it leaves the table, and its target
//! gets a RST, so that neither keeps it for longer than the other (RFC 4987, 3.3: "recycling the oldest half-open TCB").
//!
//! Invariant: touched when a connection opens, by nothing else. Connections that have been completed or have ended meanwhile are
//! found to be so when their turn comes.

use std::collections::VecDeque;

use super::Dataplane;
use super::config::EniIdx;
use super::eni::Eni;
use super::flow::{Flow, Opened, Side};
use super::time::Instant;
use super::worker::Worker;
use crate::net::Protocol;

/// Connections that are looked at only when as many newer ones have opened: nearly all are completed by then.
const NEWEST: usize = 512;
/// Half-open connections behind those: with them a quarter of a gateway address's ports towards one target.
const HALF_OPEN: usize = 15_872;

/// What an interface has begun.
#[derive(Default)]
pub(super) struct Openings {
    newest: VecDeque<Opening>,
    half_open: VecDeque<Opening>,
}

/// A connection, by its place in the flow table and the time at which that place got it.
#[derive(Clone, Copy)]
struct Opening {
    place: u32,
    opened: Instant,
}

impl Openings {
    /// Takes in a connection that opens; gives the oldest half-open one where there are too many.
    fn add(&mut self, new: Opening, is_half_open: impl Fn(Opening) -> bool) -> Option<Opening> {
        self.newest.push_back(new);
        if self.newest.len() <= NEWEST {
            return None;
        }
        let seasoned = self.newest.pop_front().filter(|it| is_half_open(*it))?;
        self.half_open.push_back(seasoned);
        if self.half_open.len() <= HALF_OPEN {
            return None;
        }
        self.half_open.pop_front().filter(|it| is_half_open(*it))
    }
}

impl Dataplane {
    /// Records a flow that `source` has opened through an endpoint and bound at `gateway`, and gives up its oldest half-open
    /// connection if it has too many.
    pub(super) fn record_opening(
        &self,
        worker: &mut Worker,
        source: &Eni,
        gateway: EniIdx,
        opened: &Opened<'_>,
        now: Instant,
    ) {
        self.count_bound(gateway, opened.flow, now);
        if opened.flow.key(Side::Initiator).tuple.protocol != Protocol::TCP {
            return;
        }
        let new = Opening {
            place: opened.place,
            opened: opened.flow.opened(),
        };
        let is_half_open = |it: Opening| {
            self.flows.flow(it.place).is_some_and(|flow| {
                flow.opened() == it.opened
                    && flow.key(Side::Initiator).ingress == source.idx
                    && flow.is_half_open()
            })
        };
        let oldest = source.openings.lock().add(new, is_half_open);
        if let Some(oldest) = oldest {
            self.recycle(worker, oldest.place);
        }
    }

    /// Takes a half-open connection out of the table, and resets it at its target. Its numbers stand still: the worker that
    /// reads its initiator's packets is the one that gives it up.
    fn recycle(&self, worker: &mut Worker, place: u32) {
        self.flows.remove(place, &self.epochs, |flow: &Flow| {
            self.settle(&worker.snapshot, worker.id, flow);
            let target = flow.key(Side::Target).ingress;
            for reset in flow.resets(Side::Target) {
                worker.tell(target, reset);
            }
        });
    }
}
