//! What one worker thread owns: its view of the topology and the flow table, its randomness, its transmit queue.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::config::EniIdx;
use super::dropped::Dropped;
use super::eni::{Counters, Eni};
use super::first::is_instance;
use super::flow::FlowCache;
use super::fragments::Fragments;
use super::proxy_protocol::Reminder;
use super::snapshot::Snapshot;
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use crate::net::{Headers, Packet};

/// The `&mut` part of the data plane's grammar; see [`Dataplane`](super::Dataplane).
pub struct Worker {
    pub(super) id: usize,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) flows: FlowCache,
    pub(super) random: ChaCha8Rng,
    pub(super) fragments: Fragments,
    transmits: VecDeque<Transmit>,
    reminders: BinaryHeap<Reminder>,
}

/// A packet that the core itself originates: plain IP, its checksums complete, to be written to an interface's TUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Whose TUN.
    pub to: EniIdx,
    /// The IP packet.
    pub bytes: Vec<u8>,
}

impl Worker {
    pub(super) fn new(
        id: usize,
        seed: u64,
        snapshot: Arc<Snapshot>,
        flows: FlowCache,
        fragments: Fragments,
    ) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(id as u64);
        Self {
            id,
            snapshot,
            flows,
            random,
            fragments,
            transmits: VecDeque::new(),
            reminders: BinaryHeap::new(),
        }
    }

    /// This worker's counters of an interface.
    #[inline]
    pub(super) fn counters<'a>(&self, eni: &'a Eni) -> Option<&'a Counters> {
        eni.counters(self.id)
    }

    /// Counts a packet that an instance sent.
    #[inline]
    pub(super) fn count_sent(&self, from: EniIdx, len: usize) {
        if let Some(counters) = self
            .snapshot
            .eni(from)
            .ok()
            .and_then(|eni| self.counters(eni))
        {
            counters.sent(1, len as u64);
        }
    }

    /// Counts a packet that an instance is about to receive, if it is still there.
    #[inline]
    pub(super) fn count_received(&self, to: EniIdx, len: usize) -> Result<(), Dropped> {
        let eni = self
            .snapshot
            .eni(to)
            .map_err(|reason| Dropped::at(to, reason))?;
        if let Some(counters) = self.counters(eni) {
            counters.received(1, len as u64);
        }
        Ok(())
    }

    /// Counts a packet that ended at an interface.
    pub(super) fn count_drop(&self, at: EniIdx, reason: DropReason) {
        if let Some(counters) = self
            .snapshot
            .eni(at)
            .ok()
            .and_then(|eni| self.counters(eni))
        {
            counters.dropped(reason);
        }
    }

    /// Queues a packet for an instance, if it is still there; a node of a load balancer knows what becomes of its own flows.
    pub(super) fn tell(&mut self, to: EniIdx, bytes: Vec<u8>) {
        if self.snapshot.eni(to).is_ok_and(is_instance) {
            self.transmit(to, bytes);
        }
    }

    /// Queues a packet for an instance.
    pub(super) fn transmit(&mut self, to: EniIdx, bytes: Vec<u8>) {
        if let Some(counters) = self
            .snapshot
            .eni(to)
            .ok()
            .and_then(|eni| self.counters(eni))
        {
            counters.received(1, bytes.len() as u64);
        }
        self.queue(to, bytes);
    }

    /// Queues a packet that has been counted.
    pub(super) fn queue(&mut self, to: EniIdx, bytes: Vec<u8>) {
        self.transmits.push_back(Transmit { to, bytes });
    }

    /// Queues a packet that has a buffer of its own, if its verdict is to forward it.
    pub(super) fn send_on(&mut self, verdict: Verdict, bytes: Vec<u8>) -> Verdict {
        match verdict {
            Verdict::Forward(to) | Verdict::ForwardAfter(to) => {
                self.queue(to, bytes);
                Verdict::Answered
            }
            Verdict::Answered | Verdict::Drop(_) => verdict,
        }
    }

    /// The host behind an interface takes an echo request; what it answers goes back to the sender.
    pub(super) fn answer(
        &mut self,
        source: &Eni,
        host: &Eni,
        (packet, headers): (&Packet<'_>, &Headers),
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        if !packet.is_unharmed(headers) {
            return Err(Dropped::at(host.idx, DropReason::BadTransportHeader));
        }
        if let Some(counters) = self.counters(host) {
            counters.received(1, packet.bytes().len() as u64);
        }
        for bytes in host.answer(packet.bytes(), now) {
            if let Some(counters) = self.counters(host) {
                counters.sent(1, bytes.len() as u64);
            }
            self.transmit(source.idx, bytes);
        }
        Ok(Verdict::Answered)
    }

    /// A flow is to be looked at again.
    pub(super) fn remind(&mut self, reminder: Reminder) {
        self.reminders.push(reminder);
    }

    /// When the first flow is to be looked at again.
    pub(super) fn reminded_at(&self) -> Option<Instant> {
        self.reminders.peek().map(|reminder| reminder.at)
    }

    /// A flow that is to be looked at by now.
    pub(super) fn due_reminder(&mut self, now: Instant) -> Option<Reminder> {
        match self.reminded_at()? <= now {
            true => self.reminders.pop(),
            false => None,
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }
}
