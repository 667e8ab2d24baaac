//! A flow's states, and what moves it between them (RFC 5382 for TCP, RFC 4787 for UDP, RFC 5508 for ICMP).
//!
//! | state | bits | lives for |
//! |---|---|---|
//! | half-open: the target has not answered, or the initiator has not acknowledged its SYN | none, or one of the next two | `transitory` |
//! | open | `ANSWERED` and `ACKNOWLEDGED` | `idle` |
//! | closing: FIN both ways, or a RST that its receiver takes | `FIN_*` both, or `RESET` | `transitory`; a SYN opens a new flow |
//! | replaced: a new flow has taken its initiator's five-tuple | `REPLACED` | `transitory`; no packet passes |
//! | cut: the topology no longer allows it | `REPLACED`, `CUT` | until both sides have been told; no packet passes |
//!
//! A closed connection rests: nothing more is to come, but its target may be in TIME-WAIT and refuse a SYN from the same gateway
//! address and port. It yields those to a SYN that such a target takes (RFC 6191), and to any once the target has reset it.

use std::iter;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::super::time::Instant;
use super::slot::{Activity, Flow, Side, Terms};
use crate::net::proxy;
use crate::net::tcp::{self, seq_le};
use crate::net::{Headers, Packet, Protocol, Segment, Transport};

/// A set of state bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub(super) u32);

impl State {
    /// The target has answered (TCP: with a SYN-ACK).
    pub const ANSWERED: Self = Self(1);
    /// TCP: the initiator has sent its FIN.
    pub const FIN_INITIATOR: Self = Self(2);
    /// TCP: the target has sent its FIN.
    pub const FIN_TARGET: Self = Self(4);
    const BOTH_FINS: Self = Self(Self::FIN_INITIATOR.0 | Self::FIN_TARGET.0);
    /// TCP: one side has sent a RST that the other takes.
    pub const RESET: Self = Self(8);
    /// A new flow has taken over the initiator's five-tuple, or it has been cut: no packet passes.
    pub const REPLACED: Self = Self(16);
    /// It is in the table: set when both its keys lead to it, gone when it is swept.
    pub(super) const LIVE: Self = Self(32);
    /// TCP: the initiator's last segments carried timestamps.
    pub(super) const TIMESTAMPS: Self = Self(64);
    /// TCP: the target has no connection any more: it, or a RST that it takes, has reset it.
    pub(super) const GONE: Self = Self(128);
    /// Both sides are to be told that it has ended.
    const CUT: Self = Self(256);
    /// TCP: the target is told who the initiator is by a PROXY header, and numbers around it are translated (`header`).
    pub(in crate::dataplane) const PROXIED: Self = Self(512);
    /// TCP: the header has been sent.
    pub(in crate::dataplane) const HEADER_SENT: Self = Self(1024);
    /// TCP: the header has been sent more than once.
    pub(in crate::dataplane) const HEADER_REPEATED: Self = Self(2048);
    /// TCP: the target has acknowledged all of the header.
    pub(in crate::dataplane) const HEADER_ACKED: Self = Self(4096);
    /// TCP: the initiator's first data has followed the header.
    pub(super) const DATA_FOLLOWED: Self = Self(8192);
    /// Its initiator is a probe of a load balancer's node.
    pub(in crate::dataplane) const PROBE: Self = Self(16384);
    /// TCP: the initiator has acknowledged the target's SYN. Without handshakes: with [`State::ANSWERED`].
    pub(super) const ACKNOWLEDGED: Self = Self(32768);
    /// Both sides take part.
    const OPEN: Self = Self(Self::ANSWERED.0 | Self::ACKNOWLEDGED.0);

    /// Are all of `bits` set?
    #[inline]
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Does a packet along it go to the other side's instance, with nothing but addresses and ports changed?
    #[inline]
    pub(in crate::dataplane) const fn is_plain(self) -> bool {
        self.0 & (Self::PROXIED.0 | Self::PROBE.0) == 0
    }

    /// Has the conversation ended?
    #[inline]
    pub const fn closing(self) -> bool {
        self.has(Self::BOTH_FINS) || self.has(Self::RESET) || self.has(Self::REPLACED)
    }

    /// Has it been cut, and are its sides to be told?
    pub(in crate::dataplane) const fn is_cut(self) -> bool {
        self.has(Self::CUT)
    }

    /// Has either side said that its end is near?
    #[inline]
    const fn ending(self) -> bool {
        self.0 & (Self::BOTH_FINS.0 | Self::RESET.0) != 0
    }

    /// Does the idle timeout count, and not the transitory one?
    #[inline]
    pub const fn lasting(self) -> bool {
        self.has(Self::OPEN) && !self.closing()
    }

    /// The names of the states of flows along which packets pass.
    pub const NAMES: [&str; 4] = ["half-open", "established", "closing", "reset"];

    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            _ if self.has(Self::REPLACED) => "replaced",
            _ if self.has(Self::RESET) => "reset",
            _ if self.closing() => "closing",
            _ if self.has(Self::OPEN) => "established",
            _ => "half-open",
        }
    }
}

/// What a packet that hit a flow may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It belongs to the flow.
    Pass,
    /// It opens a new conversation over a closing one: treat it as a first packet.
    Reopens,
    /// The flow has expired, or the packet only looks like an answer: it belongs to none.
    Expired,
    /// The target tries to open a connection along a flow.
    Reversed,
}

/// How a SYN shows a target in TIME-WAIT that it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Its sequence number.
    pub seq: u32,
    /// Its timestamp option's value.
    pub timestamp: Option<u32>,
}

impl Newcomer {
    /// Of a SYN, as the target of a flow on these terms gets it.
    pub(in crate::dataplane) fn of(
        packet: &Packet<'_>,
        headers: &Headers,
        terms: &Terms,
    ) -> Option<Self> {
        let Transport::Tcp(segment) = &headers.transport else {
            return None;
        };
        let ahead = match terms.proxied {
            true => proxy::header_len(&headers.tuple) as u32,
            false => 0,
        };
        segment.opens().then(|| Self {
            seq: segment.seq.wrapping_sub(ahead),
            timestamp: tcp::syn_options(packet.bytes(), headers.transport_at).timestamp,
        })
    }
}

impl Flow {
    /// Decides whether a packet of `side` may pass along this flow, which has not been replaced; if so counts it and lets it move
    /// the state.
    #[inline]
    pub fn admit(&self, side: Side, headers: &Headers, now: Instant) -> Admission {
        if self.expired(side, now) {
            return Admission::Expired;
        }
        if let Transport::Tcp(segment) = &headers.transport
            && segment.opens()
        {
            // Inside a VPC both sides may open connections; through an endpoint only the consumer.
            match (side, self.state().closing(), self.via()) {
                (Side::Target, _, Some(_)) => return Admission::Reversed,
                (_, true, _) => return Admission::Reopens,
                _ => {}
            }
        }
        // With identifier 0 a request has its reply's five-tuple.
        if side == Side::Target
            && headers.transport == Transport::EchoRequest
            && headers.tuple.src_port == headers.tuple.dst_port
        {
            return Admission::Expired;
        }
        self.count(side, headers.len, now);
        match &headers.transport {
            Transport::Tcp(segment) => self.track(side, segment),
            _ if side == Side::Target => self.enter(State::OPEN),
            _ => {}
        }
        Admission::Pass
    }

    /// Follows a connection's sequence numbers and state.
    #[inline]
    pub(super) fn track(&self, side: Side, segment: &Segment) {
        if segment.has(Segment::RST) {
            if self.is_taken(side, segment) {
                self.enter(State::RESET);
                // Of the initiator's only one that the target takes, whatever may be on its way to it (RFC 5961, 3.2).
                let sent = self.activity(side).seq_end.load(Relaxed);
                if side == Side::Target
                    || sent == segment.seq && self.next_expected(side) == Some(sent)
                {
                    self.enter(State::GONE);
                }
            }
            return;
        }
        let own = self.activity(side);
        let (before, end) = (own.seq_end.load(Relaxed), segment.seq_end());
        let is_news = before == 0 || before != end && seq_le(before, end);
        if is_news {
            if before == 0 && side == Side::Target {
                own.first.store(segment.first_byte(), Relaxed);
            }
            own.seq_end.store(end, Relaxed);
        }
        if segment.has(Segment::ACK) {
            let scale = if segment.has(Segment::SYN) {
                0
            } else {
                own.window_scale.load(Relaxed)
            };
            own.ack.store(segment.ack, Relaxed);
            own.window
                .store(u32::from(segment.window) << scale, Relaxed);
        }
        match side {
            Side::Target if segment.has(Segment::ACK) => self.enter(State::ANSWERED),
            Side::Initiator if !self.state().has(State::ACKNOWLEDGED) => {
                self.follow_opening(segment)
            }
            _ => {}
        }
        // One behind what the other side has already is nothing to it.
        if is_news && segment.has(Segment::FIN) {
            self.enter(match side {
                Side::Initiator => State::FIN_INITIATOR,
                Side::Target => State::FIN_TARGET,
            });
        }
    }

    /// Follows the initiator until it has acknowledged the target's SYN: with data or without, also if the target has sent
    /// data behind its SYN (RFC 7413), or has sent its SYN by itself (RFC 9293, 3.5).
    #[cold]
    fn follow_opening(&self, segment: &Segment) {
        let target = self.activity(Side::Target);
        let (first, end) = (target.first.load(Relaxed), target.seq_end.load(Relaxed));
        let is_answered = end != 0;
        if segment.has(Segment::ACK)
            && is_answered
            && seq_le(first, segment.ack)
            && seq_le(segment.ack, end)
        {
            self.enter(State::ACKNOWLEDGED);
        }
    }

    /// In the table, not ended, and its initiator has not acknowledged the target's SYN.
    pub(in crate::dataplane) fn is_half_open(&self) -> bool {
        let state = self.state();
        state.has(State::LIVE) && !state.has(State::ACKNOWLEDGED) && !state.closing()
    }

    /// What the other side expects of this one next, as far as it has said.
    fn next_expected(&self, side: Side) -> Option<u32> {
        let other = self.activity(side.other());
        (other.window.load(Relaxed) != Activity::SILENT).then(|| other.ack.load(Relaxed))
    }

    /// Is the connection over for both sides: reset, or both FINs acknowledged?
    fn rests(&self) -> bool {
        let acknowledged = |side: Side| {
            let end = self.activity(side).seq_end.load(Relaxed);
            self.next_expected(side) == Some(end)
        };
        self.state().has(State::GONE)
            || self.state().has(State::BOTH_FINS)
                && acknowledged(Side::Initiator)
                && acknowledged(Side::Target)
    }

    /// Has it rested for as long as this?
    pub(in crate::dataplane) fn has_rested(&self, time: Duration, now: Instant) -> bool {
        let silent = |side| now >= self.last_seen(side) + time;
        self.rests() && silent(Side::Initiator) && silent(Side::Target)
    }

    /// Would its target, in TIME-WAIT or gone, take this SYN from its gateway address and port (RFC 6191)? Stricter than
    /// that where Linux is: of two timestamps the older never passes, and one timestamp alone says nothing.
    pub(super) fn yields_to(&self, syn: &Newcomer) -> bool {
        if self.state().has(State::GONE) {
            return true;
        }
        let expected = self.activity(Side::Target).ack.load(Relaxed);
        let newer = syn.seq != expected && seq_le(expected, syn.seq);
        let last = self.activity(Side::Initiator).timestamp.load(Relaxed);
        let passes = match syn.timestamp {
            Some(timestamp) if self.state().has(State::TIMESTAMPS) => match timestamp == last {
                true => newer,
                false => seq_le(last, timestamp),
            },
            _ => newer,
        };
        passes && self.rests()
    }

    /// Follows the end of a connection, after [`Flow::admit`]: remembers the initiator's last timestamp.
    #[inline]
    pub(in crate::dataplane) fn follow_end(
        &self,
        side: Side,
        packet: &Packet<'_>,
        headers: &Headers,
    ) {
        if side == Side::Initiator && self.state().ending() {
            self.follow_timestamp(packet, headers);
        }
    }

    #[cold]
    fn follow_timestamp(&self, packet: &Packet<'_>, headers: &Headers) {
        if let Some(timestamp) = tcp::syn_options(packet.bytes(), headers.transport_at).timestamp {
            let first = !self.state().has(State::TIMESTAMPS);
            self.remember_timestamp(Side::Initiator, first, timestamp);
        }
    }

    /// Remembers a timestamp of this side's, its `first` or a later one.
    pub(super) fn remember_timestamp(&self, side: Side, first: bool, timestamp: u32) {
        let last = &self.activity(side).timestamp;
        if first || seq_le(last.load(Relaxed), timestamp) {
            last.store(timestamp, Relaxed);
        }
        if side == Side::Initiator {
            self.enter(State::TIMESTAMPS);
        }
    }

    /// Both sides have been sent a RST.
    pub(in crate::dataplane) fn reset(&self) {
        self.enter(State::RESET);
        self.enter(State::GONE);
    }

    /// Lets no packet pass any more. A connection that rests goes on resting, as its target may be in TIME-WAIT; of any other the
    /// sides are to be told.
    pub(in crate::dataplane) fn cut(&self) {
        if !self.state().has(State::REPLACED) {
            self.enter(match self.rests() {
                true => State::REPLACED,
                false => State(State::REPLACED.0 | State::CUT.0),
            });
        }
    }

    /// The RSTs that end `side`'s connection, when no packet is on its way to it any more. It takes the one with the number that
    /// it expects next (RFC 5961, 3.2): behind all that has been forwarded to it or, if some of that has been lost, what it has
    /// acknowledged.
    pub(in crate::dataplane) fn resets(&self, side: Side) -> impl Iterator<Item = Vec<u8>> {
        let key = self.key(side);
        let is_tcp = key.tuple.protocol == Protocol::TCP;
        let end = |side| self.activity(side).seq_end.load(Relaxed);
        let ack = (end(side) != 0).then_some(end(side));
        let sent = match side == Side::Target && self.state().has(State::PROXIED) {
            true => self.rst_seq(end(Side::Initiator)),
            false => end(side.other()),
        };
        let acknowledged = self
            .next_expected(side.other())
            .filter(|next| *next != sent);
        iter::once(sent)
            .chain(acknowledged)
            .filter(move |_| is_tcp)
            .filter_map(move |seq| tcp::reset_between(&key.tuple.reversed(), seq, ack))
    }

    /// The other side takes a RST only with the number that it expects next (RFC 5961, 3.2): behind all that has been forwarded
    /// to it, or what it has acknowledged last. To any other it answers with an acknowledgement, which brings an exact one.
    fn is_taken(&self, side: Side, rst: &Segment) -> bool {
        let (own, other) = (self.activity(side), self.activity(side.other()));
        let sent = own.seq_end.load(Relaxed);
        if sent != 0 && rst.seq == sent {
            return true;
        }
        let is_proxied = self.state().has(State::PROXIED);
        if other.window.load(Relaxed) != Activity::SILENT {
            let seq = match side == Side::Initiator && is_proxied {
                true => self.rst_seq(rst.seq),
                false => rst.seq,
            };
            return seq == other.ack.load(Relaxed);
        }
        // SYN-SENT: the initiator takes what acknowledges its SYN (RFC 9293, 3.10.7.3).
        let ack = match is_proxied {
            true => self.initiator_seq(rst.ack),
            false => rst.ack,
        };
        side == Side::Target && rst.has(Segment::ACK) && ack == other.seq_end.load(Relaxed)
    }

    /// Reads the options of a SYN of `side`, and lowers its maximum segment size to the flow's.
    #[inline]
    pub fn adjust_syn(&self, side: Side, packet: &mut Packet<'_>, headers: &Headers) {
        if let Transport::Tcp(segment) = &headers.transport
            && segment.has(Segment::SYN)
        {
            let options = tcp::syn_options(packet.bytes(), headers.transport_at);
            let own = self.activity(side);
            own.window_scale
                .store(options.window_scale.unwrap_or(0).into(), Relaxed);
            // A target that keeps no state answers each SYN with another number (RFC 4987, 3.6).
            if side == Side::Target && self.is_half_open() {
                own.first.store(segment.first_byte(), Relaxed);
                own.seq_end.store(segment.seq_end(), Relaxed);
            }
            tcp::clamp_mss(packet, headers, &options, self.mss(side));
        }
    }
}
