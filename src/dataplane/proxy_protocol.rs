//! The PROXY header's way to the target: before the initiator's first byte, and again until it is acknowledged.
//!
//! `flow::header` decides; here its decisions become packets and deadlines. A flow is looked after in this way until its target has
//! acknowledged the header, and nothing is under way any more that speaks of it; from then on it costs what any flow costs.

use std::cmp::Ordering;
use std::time::Duration;

use super::Dataplane;
use super::dropped::Dropped;
use super::flow::{Flow, FlowKey, Passage, Side, State};
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::proxy::Header;
use crate::net::{
    Headers, Packet, Segment, Transport, VnetHeader, forget_sacks, renumber_ack, renumber_seq, tcp,
    without_payload,
};

/// Until the header is sent again the first time; it doubles (RFC 6298). Linux's shortest, for paths of no length.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How often it is sent again before the connection is given up: 51 seconds.
const REPEATS: u32 = 7;
/// How long what speaks of a repeated header may still be under way after its acknowledgement.
const LINGER: Duration = Duration::from_secs(1);

/// A flow that is to be looked at again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reminder {
    pub(super) at: Instant,
    initiator: FlowKey,
    /// Which of the flows that have had this key.
    opened: Instant,
    repeats: u32,
}

/// The earliest is the greatest: what a heap gives first.
impl Ord for Reminder {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialEq for Reminder {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Reminder {}

impl PartialOrd for Reminder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Dataplane {
    /// Sends a packet along a flow whose target is told who the initiator is.
    #[cold]
    pub(super) fn forward_proxied(
        &self,
        worker: &mut Worker,
        (flow, side): (&Flow, Side),
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let found = (flow, side);
        let Transport::Tcp(segment) = &headers.transport else {
            return self.cross(worker, found, packet, headers);
        };
        // The header's segment stands for the initiator's, and its checksum is right.
        if !packet.is_unharmed(headers) {
            let from = flow.key(side).ingress;
            return Err(Dropped::at(from, DropReason::BadTransportHeader));
        }
        let options = tcp::syn_options(packet.bytes(), headers.transport_at);
        flow.note_options(side, segment, &options);
        if side == Side::Target {
            let reading = flow.read(segment);
            if let Some((ack, window)) = reading.ack {
                renumber_ack(packet, headers, ack, window);
            }
            forget_sacks(packet, headers, flow.first());
            if reading.lost {
                self.send_header(worker, flow)?;
            }
            return self.cross(worker, found, packet, headers);
        }
        let is_first = !flow.state().has(State::HEADER_SENT);
        let passage = flow.precede(segment);
        if let Passage::Renumbered(seq) = passage {
            renumber_seq(packet, headers, seq);
            return match segment.has(Segment::SYN) && segment.payload_len > 0 {
                true => self.forward_bare_syn(worker, found, packet, headers),
                false => self.cross(worker, found, packet, headers),
            };
        }
        if passage == Passage::Plain {
            return self.cross(worker, found, packet, headers);
        }
        self.send_header(worker, flow)?;
        if is_first {
            worker.remind(Reminder::new(flow, now));
        }
        if passage == Passage::AsHeader {
            return Ok(Verdict::Answered);
        }
        match self.cross(worker, found, packet, headers)? {
            Verdict::Forward(to) => Ok(Verdict::ForwardAfter(to)),
            verdict => Ok(verdict),
        }
    }

    /// Data in a SYN has no place behind the header: it stays here. The target does not acknowledge it, and it comes again
    /// (RFC 7413, 4.2.2).
    fn forward_bare_syn(
        &self,
        worker: &mut Worker,
        found: (&Flow, Side),
        packet: &Packet<'_>,
        headers: &Headers,
    ) -> Result<Verdict, Dropped> {
        let from = found.0.key(found.1).ingress;
        let mut bytes = without_payload(packet, headers)
            .ok_or(Dropped::at(from, DropReason::BadTransportHeader))?;
        let mut vnet = VnetHeader::default();
        let mut packet = Packet::new(&mut vnet, &mut bytes);
        let headers = packet.parse().map_err(|error| Dropped::at(from, error))?;
        let verdict = self.cross(worker, found, &mut packet, &headers)?;
        Ok(worker.send_on(verdict, bytes))
    }

    /// Queues the header for the flow's target.
    fn send_header(&self, worker: &mut Worker, flow: &Flow) -> Result<(), Dropped> {
        let Some(endpoint) = flow.via() else {
            return Ok(());
        };
        let id = worker.snapshot.endpoint_id(endpoint)?;
        let header = Header::proxy(&flow.client(), id);
        let to = flow.key(Side::Target).ingress;
        for segment in flow.header_segments(header.as_bytes()) {
            if let Some(bytes) = segment.build() {
                worker.transmit(to, bytes);
            }
        }
        Ok(())
    }

    /// Looks after the flows whose header has been under way for long.
    pub(super) fn repeat_headers(&self, worker: &mut Worker, now: Instant) {
        while let Some(reminder) = worker.due_reminder(now) {
            let Some((flow, Side::Initiator)) =
                self.flows.lookup(&worker.flows, &reminder.initiator)
            else {
                continue;
            };
            if flow.opened() == reminder.opened && flow.state().has(State::PROXIED) {
                self.look_after(worker, flow, reminder, now);
            }
        }
    }

    fn look_after(&self, worker: &mut Worker, flow: &Flow, reminder: Reminder, now: Instant) {
        let Reminder { repeats, .. } = reminder;
        let state = flow.state();
        if state.has(State::RESET) {
            return flow.settle_header();
        }
        if state.has(State::HEADER_ACKED) {
            return match state.has(State::HEADER_REPEATED) && repeats < REPEATS {
                true => worker.remind(reminder.last(now + LINGER)),
                false => flow.settle_header(),
            };
        }
        if repeats == REPEATS {
            self.give_up(worker, flow);
            return flow.settle_header();
        }
        flow.repeat_header();
        // Its endpoint may have gone, and the flow will follow.
        let _ = self.send_header(worker, flow);
        worker.remind(reminder.next(now));
    }

    /// The target does not take the header: nobody shall wait for it.
    fn give_up(&self, worker: &mut Worker, flow: &Flow) {
        for side in [Side::Initiator, Side::Target] {
            for reset in flow.resets(side) {
                worker.tell(flow.key(side).ingress, reset);
            }
        }
        flow.reset();
    }
}

impl Reminder {
    fn new(flow: &Flow, now: Instant) -> Self {
        Self {
            at: now + FIRST_WAIT,
            initiator: flow.key(Side::Initiator),
            opened: flow.opened(),
            repeats: 0,
        }
    }

    fn next(self, now: Instant) -> Self {
        let repeats = self.repeats + 1;
        Self {
            at: now + FIRST_WAIT * (1 << repeats),
            repeats,
            ..self
        }
    }

    fn last(self, at: Instant) -> Self {
        Self {
            at,
            repeats: REPEATS,
            ..self
        }
    }
}
