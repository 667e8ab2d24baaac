//! A TCP probe: the first half of a handshake.
//!
//! Its verdict is that of `connect()`, by what a host in SYN-SENT takes (RFC 9293, 3.10.7.3). The SYN-ACK that would complete the
//! handshake is answered with a RST instead, so that no `accept()` returns and no server notices (docs/design/0015).

use std::time::Duration;

use super::super::time::Instant;
use super::probe::Step;
use super::state::Failure;
use crate::net::tcp::{self, Draft};
use crate::net::{FiveTuple, Headers, Segment};

/// Until the SYN is sent again the first time; each time after that it is twice as long (RFC 6298, 2.1 and 5.5).
const RESEND: Duration = Duration::from_secs(1);
/// The window that the SYN offers; no data is taken.
const WINDOW: u16 = 1024;

/// A SYN under way.
pub(super) struct Handshake {
    /// Of its packets.
    tuple: FiveTuple,
    /// Its sequence number.
    seq: u32,
    /// When it is sent again, and how long after that once more.
    resend: Instant,
    wait: Duration,
    deadline: Instant,
}

impl Handshake {
    /// Begins; the first [`step`](Self::step) sends the SYN.
    pub(super) fn new(tuple: &FiveTuple, timeout: Duration, seed: u64, now: Instant) -> Self {
        Self {
            tuple: *tuple,
            seq: seed as u32,
            resend: now,
            wait: RESEND,
            deadline: now + timeout,
        }
    }

    /// Takes a segment in, if there is one, and goes on.
    pub(super) fn step(&mut self, received: Option<(&Headers, &Segment)>, now: Instant) -> Step {
        let step = received.map_or_else(Step::default, |(headers, segment)| {
            self.receive(headers, segment)
        });
        if step.is_over {
            return step;
        }
        if now >= self.deadline {
            // What the target may still have of it ends with it.
            let reset = tcp::reset_between(&self.tuple, self.seq.wrapping_add(1), None);
            return Step::over(reset, Err(Failure::Timeout));
        }
        self.resend(step, now)
    }

    /// When to go on, at the latest.
    pub(super) fn due(&self) -> Instant {
        self.resend.min(self.deadline)
    }

    fn receive(&self, headers: &Headers, segment: &Segment) -> Step {
        let is_answer = segment.has(Segment::ACK) && segment.ack == self.seq.wrapping_add(1);
        match (is_answer, segment.has(Segment::RST)) {
            (true, true) => Step::over(None, Err(Failure::Failed)),
            (true, false) if segment.has(Segment::SYN) => {
                Step::over(tcp::reset(headers, segment), Ok(()))
            }
            // Of an older connection between these ports, which the RST ends; then the SYN is taken.
            (false, false) if segment.has(Segment::ACK) => Step {
                packets: tcp::reset(headers, segment).into_iter().collect(),
                ..Step::default()
            },
            _ => Step::default(),
        }
    }

    fn resend(&mut self, mut step: Step, now: Instant) -> Step {
        if now >= self.resend {
            let syn = Draft {
                tuple: self.tuple,
                seq: self.seq,
                ack: 0,
                flags: Segment::SYN,
                window: WINDOW,
                timestamps: None,
                payload: &[],
            };
            step.packets.extend(syn.build());
            self.resend = now + self.wait;
            self.wait *= 2;
        }
        step
    }
}

impl Step {
    /// The last one.
    fn over(packet: Option<Vec<u8>>, result: Result<(), Failure>) -> Self {
        Self {
            packets: packet.into_iter().collect(),
            result: Some(result),
            is_over: true,
        }
    }
}
