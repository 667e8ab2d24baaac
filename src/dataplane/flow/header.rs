//! A PROXY header before the initiator's data: who has seen it, and which numbers both sides see meanwhile.
//!
//! The target's stream is longer than the initiator's, by the header. All of the difference lies before the data: the SYN goes
//! on with a sequence number that is lower by the header's length, and the header takes the numbers from there to the
//! initiator's first byte. So the data has the same numbers on both sides, and once the target has acknowledged the header
//! nothing is translated any more (docs/design/0005).
//!
//! | state | bits | the initiator's segments | the target's |
//! |---|---|---|---|
//! | not yet sent | `PROXIED` | SYN: renumbered; the first ACK: the header goes first | renumbered |
//! | under way | and `HEADER_SENT` | its first data sent again, or a RST: the header goes first | renumbered; it goes again, once |
//! | acknowledged | and `HEADER_ACKED` | | late ones: renumbered |
//! | settled | none | | |

use std::sync::atomic::Ordering::Relaxed;

use super::slot::{Activity, Flow, Side};
use super::state::State;
use crate::net::tcp::{Draft, SynOptions, seq_le};
use crate::net::{FiveTuple, Segment, proxy};

/// The smallest maximum segment size that a target may ask for: Linux's.
const LEAST_MSS: u32 = 88;
/// What a timestamp option takes of that.
const TIMESTAMPS_LEN: u32 = 12;

/// What becomes of an initiator's segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Passage {
    /// It goes on as it is.
    Plain,
    /// It goes on with this sequence number.
    Renumbered(u32),
    /// The header goes first.
    AfterHeader,
    /// The header goes in its place: it says nothing that the header's own segment does not.
    AsHeader,
}

/// What becomes of a target's segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dataplane) struct Reading {
    /// It goes on with this acknowledgement and this window.
    pub(in crate::dataplane) ack: Option<(u32, u16)>,
    /// It shows that the header has been lost: it goes again.
    pub(in crate::dataplane) lost: bool,
}

impl Flow {
    /// Decides about a segment of the initiator's, of a flow in state `PROXIED`.
    pub(in crate::dataplane) fn precede(&self, segment: &Segment) -> Passage {
        let state = self.state();
        let is_sent = state.has(State::HEADER_SENT);
        if state.has(State::HEADER_ACKED) {
            return Passage::Plain;
        }
        if segment.has(Segment::SYN) {
            if !is_sent {
                let own = self.activity(Side::Initiator);
                let first = segment.seq.wrapping_add(1);
                own.first.store(first, Relaxed);
                // Data in the SYN does not go on.
                own.seq_end.store(first, Relaxed);
            }
            return Passage::Renumbered(segment.seq.wrapping_sub(self.header_len()));
        }
        if segment.has(Segment::RST) {
            return match is_sent {
                true => self.again(),
                false => Passage::Renumbered(self.rst_seq(segment.seq)),
            };
        }
        let first = self.first();
        let carries = segment.payload_len > 0 || segment.has(Segment::FIN);
        let carries_first = carries && seq_le(segment.seq, first);
        match (is_sent, carries_first) {
            (false, _) if !segment.has(Segment::ACK) => Passage::Plain,
            (false, false) if !carries => {
                self.enter(State::HEADER_SENT);
                Passage::AsHeader
            }
            (false, _) => {
                self.enter(State::HEADER_SENT);
                if carries_first {
                    self.enter(State::DATA_FOLLOWED);
                }
                Passage::AfterHeader
            }
            // A keepalive or a probe of the window, or the second time.
            _ if segment.seq == first.wrapping_sub(1) => self.again(),
            (true, true) if state.has(State::DATA_FOLLOWED) => self.again(),
            (true, true) => {
                self.enter(State::DATA_FOLLOWED);
                Passage::Plain
            }
            (true, false) => Passage::Plain,
        }
    }

    /// Decides about a segment of the target's, of a flow in state `PROXIED`.
    pub(in crate::dataplane) fn read(&self, segment: &Segment) -> Reading {
        if !segment.has(Segment::ACK) {
            return Reading::default();
        }
        let state = self.state();
        let ack = self.initiator_seq(segment.ack);
        if ack != segment.ack {
            let lost = state.has(State::HEADER_SENT)
                && !segment.has(Segment::RST)
                && !state.has(State::HEADER_ACKED)
                && !state.has(State::HEADER_REPEATED);
            if lost {
                self.enter(State::HEADER_REPEATED);
            }
            // The window ends where it did.
            let scale = match segment.has(Segment::SYN) {
                true => 0,
                false => self.activity(Side::Target).window_scale.load(Relaxed),
            };
            let window =
                (u32::from(segment.window) << scale).saturating_sub(ack.wrapping_sub(segment.ack));
            return Reading {
                ack: Some((ack, (window >> scale) as u16)),
                lost,
            };
        }
        let sent = self.activity(Side::Initiator).seq_end.load(Relaxed);
        if state.has(State::HEADER_SENT) && seq_le(self.first(), ack) && seq_le(ack, sent) {
            self.enter(State::HEADER_ACKED);
        }
        Reading::default()
    }

    fn again(&self) -> Passage {
        self.repeat_header();
        Passage::AfterHeader
    }

    /// The header is sent again.
    pub(in crate::dataplane) fn repeat_header(&self) {
        self.enter(State::HEADER_REPEATED);
    }

    /// Nothing is translated any more.
    pub(in crate::dataplane) fn settle_header(&self) {
        self.drop_bits(State::PROXIED);
    }

    /// Remembers what a segment's options say to whoever makes the header's segment.
    pub(in crate::dataplane) fn note_options(
        &self,
        side: Side,
        segment: &Segment,
        options: &SynOptions,
    ) {
        let is_syn = segment.has(Segment::SYN);
        // The initiator's SYN only offers timestamps.
        if let Some(timestamp) = options.timestamp
            && !(is_syn && side == Side::Initiator)
        {
            let first = is_syn || !self.state().has(State::TIMESTAMPS);
            self.remember_timestamp(side, first, timestamp);
        }
        if is_syn {
            let mss = options
                .mss
                .map_or(Activity::DEFAULT_MSS, |(_, mss)| mss.into());
            self.activity(side).mss.store(mss, Relaxed);
        }
    }

    /// The initiator's number for what the target calls `seq`: what lies in the header is before the initiator's first byte.
    pub(in crate::dataplane) fn initiator_seq(&self, seq: u32) -> u32 {
        let first = self.first();
        match (1..=self.header_len()).contains(&first.wrapping_sub(seq)) {
            true => first,
            false => seq,
        }
    }

    /// The initiator's number for what an error quotes out of a segment that the target has got.
    pub(in crate::dataplane) fn quoted_seq(&self, seq: u32) -> u32 {
        let syn = self.first().wrapping_sub(1);
        match seq == syn.wrapping_sub(self.header_len()) {
            true => syn,
            false => self.initiator_seq(seq),
        }
    }

    /// The target's number for that of an initiator's RST: before the header has been sent, the target expects the header.
    pub(super) fn rst_seq(&self, seq: u32) -> u32 {
        match seq == self.first() && !self.state().has(State::HEADER_SENT) {
            true => seq.wrapping_sub(self.header_len()),
            false => seq,
        }
    }

    /// The segments that bring the header to the target, as if the initiator had sent them.
    pub(in crate::dataplane) fn header_segments<'a>(
        &self,
        header: &'a [u8],
    ) -> impl Iterator<Item = Draft<'a>> {
        let (own, target) = (self.activity(Side::Initiator), self.activity(Side::Target));
        let timestamps = self.state().has(State::TIMESTAMPS).then(|| {
            let [value, echo] = [own, target].map(|side| side.timestamp.load(Relaxed));
            (value, echo)
        });
        let options = timestamps.map_or(0, |_| TIMESTAMPS_LEN);
        let mss = target.mss.load(Relaxed).max(LEAST_MSS) - options;
        let draft = Draft {
            tuple: self.key(Side::Target).tuple.reversed(),
            seq: self.first().wrapping_sub(self.header_len()),
            ack: own.ack.load(Relaxed),
            flags: Segment::ACK | Segment::PSH,
            window: (own.window.load(Relaxed) >> own.window_scale.load(Relaxed)) as u16,
            timestamps,
            payload: &[],
        };
        let mut seq = draft.seq;
        header.chunks(mss as usize).map(move |payload| {
            let piece = Draft {
                seq,
                payload,
                ..draft
            };
            seq = seq.wrapping_add(payload.len() as u32);
            piece
        })
    }

    /// Number of the initiator's first byte.
    pub(in crate::dataplane) fn first(&self) -> u32 {
        self.activity(Side::Initiator).first.load(Relaxed)
    }

    fn header_len(&self) -> u32 {
        proxy::header_len(&self.client()) as u32
    }

    /// The connection as the initiator's VPC knows it.
    pub(in crate::dataplane) fn client(&self) -> FiveTuple {
        self.key(Side::Initiator).tuple
    }
}
