//! One flow in memory: two sides, and what both share. 256 bytes, all of it atomics.
//!
//! Invariants. The identity (keys and terms) of a published flow never changes until no worker can see it any more
//! (`table` retires its place through `epoch`). Each side's [`Activity`] is written only by the worker that reads that
//! side's interface (its MTU, which is lowered once or twice in a flow's life, by the other side's), and lies on a cache line of its
//! own: two workers on the two directions share no line that is written per packet.

use std::sync::atomic::{
    AtomicU16, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::time::Duration;

use super::super::config::EniIdx;
use super::super::time::Instant;
use super::key::{FlowKey, Words};
use super::state::State;

/// A side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who sent the first packet.
    Initiator = 0,
    /// Who answers.
    Target = 1,
}

impl Side {
    /// The side across.
    #[inline]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Target,
            Self::Target => Self::Initiator,
        }
    }
}

/// What is agreed when a flow opens, for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The endpoint's interface that it came through, or that of the load balancer in its own VPC; `None` without either.
    pub via: Option<EniIdx>,
    /// How long it may be silent once the target has answered; whole seconds.
    pub idle: Duration,
    /// How long it may be silent before that, and after its close; whole seconds.
    pub transitory: Duration,
    /// MTU of its path, in bytes.
    pub mtu: u16,
    /// Largest packet that its target's side may send, in bytes: the path's MTU, or less where the initiator is known to stand
    /// behind a smaller link.
    pub target_mtu: u16,
    /// Is its target told who the initiator is, by a PROXY header?
    pub proxied: bool,
    /// Is its initiator a probe of a load balancer's node?
    pub probe: bool,
}

/// One flow.
#[repr(align(64))]
#[derive(Default)]
pub struct Flow {
    keys: [[AtomicU64; 6]; 2],
    state: AtomicU32,
    pub(super) mtu: AtomicU16,
    transitory: AtomicU16,
    idle: AtomicU32,
    /// While the place is free: the next free one.
    next: AtomicU32,
    via: AtomicU64,
    /// When it opened; while the place is free, the epoch that every worker must reach before it is used.
    opened: AtomicU64,
    activity: [Activity; 2],
}

/// What changes with every packet of one side.
#[repr(align(64))]
#[derive(Default)]
pub(super) struct Activity {
    packets: AtomicU64,
    bytes: AtomicU64,
    last_seen: AtomicU64,
    /// TCP: the highest sequence number sent, behind its last byte.
    pub(super) seq_end: AtomicU32,
    /// TCP: the highest acknowledgement sent.
    pub(super) ack: AtomicU32,
    /// TCP: the window offered with it, scaled, in bytes; [`Activity::SILENT`] before the first acknowledgement.
    pub(super) window: AtomicU32,
    /// TCP: the shift count of this side's windows.
    pub(super) window_scale: AtomicU32,
    /// TCP: the last timestamp sent while the connection was closing, or its PROXY header under way; the initiator's counts with
    /// [`State::TIMESTAMPS`].
    pub(super) timestamp: AtomicU32,
    /// TCP: the sequence number of the first byte; of the target, and, with [`State::PROXIED`], of the initiator.
    pub(super) first: AtomicU32,
    /// TCP, of the target, with [`State::PROXIED`]: the maximum segment size that it has asked for, in bytes.
    pub(super) mss: AtomicU32,
    /// Largest packet that this side may send, in bytes. The worker that reads the other side's interface lowers it.
    pub(super) mtu: AtomicU16,
}

impl Activity {
    /// The value of `window` on a side that has acknowledged nothing yet.
    pub(super) const SILENT: u32 = u32::MAX;
    /// The value of `mss` on a side that has asked for none (RFC 9293, 3.7.1).
    pub(super) const DEFAULT_MSS: u32 = 536;
}

const NO_VIA: u64 = u64::MAX;

impl Flow {
    /// Fills a place that no worker sees.
    pub(super) fn fill(&self, initiator: &FlowKey, terms: &Terms, now: Instant) {
        self.store_key(Side::Initiator, initiator);
        let state = match (terms.proxied, terms.probe) {
            (true, _) => State::PROXIED.0,
            (_, true) => State::PROBE.0,
            _ => 0,
        };
        self.state.store(state, Relaxed);
        self.mtu.store(terms.mtu, Relaxed);
        self.idle.store(terms.idle.as_secs() as u32, Relaxed);
        self.transitory
            .store(terms.transitory.as_secs() as u16, Relaxed);
        let via = terms.via.map_or(NO_VIA, |via| {
            u64::from(via.index()) << 32 | u64::from(via.generation())
        });
        self.via.store(via, Relaxed);
        self.opened.store(now.0, Relaxed);
        let mtus = [terms.mtu, terms.target_mtu];
        for (activity, limit) in self.activity.iter().zip(mtus) {
            let Activity {
                packets,
                bytes,
                last_seen,
                seq_end,
                ack,
                window,
                window_scale,
                timestamp: _,
                first: _,
                mss,
                mtu,
            } = activity;
            packets.store(0, Relaxed);
            bytes.store(0, Relaxed);
            last_seen.store(now.0, Relaxed);
            seq_end.store(0, Relaxed);
            ack.store(0, Relaxed);
            window.store(Activity::SILENT, Relaxed);
            window_scale.store(0, Relaxed);
            mss.store(Activity::DEFAULT_MSS, Relaxed);
            mtu.store(limit, Relaxed);
        }
    }

    pub(super) fn store_key(&self, side: Side, key: &FlowKey) {
        for (slot, word) in self.key_words(side).iter().zip(key.to_words()) {
            slot.store(word, Relaxed);
        }
    }

    #[inline]
    fn key_words(&self, side: Side) -> &[AtomicU64; 6] {
        let [initiator, target] = &self.keys;
        match side {
            Side::Initiator => initiator,
            Side::Target => target,
        }
    }

    #[inline]
    pub(super) fn activity(&self, side: Side) -> &Activity {
        let [initiator, target] = &self.activity;
        match side {
            Side::Initiator => initiator,
            Side::Target => target,
        }
    }

    /// Is `words` the key of this side?
    #[inline]
    pub(super) fn is(&self, side: Side, words: &Words) -> bool {
        let [a, b, c, d, e, f] = self.key_words(side);
        let [u, v, w, x, y, z] = words;
        // Not short-circuited: six loads of one or two lines and a single branch.
        (a.load(Relaxed) ^ u)
            | (b.load(Relaxed) ^ v)
            | (c.load(Relaxed) ^ w)
            | (d.load(Relaxed) ^ x)
            | (e.load(Relaxed) ^ y)
            | (f.load(Relaxed) ^ z)
            == 0
    }

    /// Where this side's packets enter, and their five-tuple there.
    #[inline]
    pub fn key(&self, side: Side) -> FlowKey {
        let [a, b, c, d, e, f] = self.key_words(side);
        FlowKey::from_words([
            a.load(Relaxed),
            b.load(Relaxed),
            c.load(Relaxed),
            d.load(Relaxed),
            e.load(Relaxed),
            f.load(Relaxed),
        ])
    }

    /// The endpoint's interface that it came through, or that of the load balancer in its own VPC; `None` without either.
    #[inline]
    pub fn via(&self) -> Option<EniIdx> {
        match self.via.load(Relaxed) {
            NO_VIA => None,
            via => Some(EniIdx::new((via >> 32) as u32, via as u32)),
        }
    }

    /// When it opened.
    pub fn opened(&self) -> Instant {
        Instant(self.opened.load(Relaxed))
    }

    /// Its state's bits now.
    #[inline]
    pub fn state(&self) -> State {
        State(self.state.load(Relaxed))
    }

    /// Adds bits to the state; writes only if one of them is new.
    #[inline]
    pub(super) fn enter(&self, bits: State) {
        if !self.state().has(bits) {
            // Release: for LIVE, what `fill` wrote comes before it.
            self.state.fetch_or(bits.0, Release);
        }
    }

    /// Takes bits off the state.
    pub(super) fn drop_bits(&self, bits: State) {
        self.state.fetch_and(!bits.0, Release);
    }

    /// Is it in the table?
    pub(in crate::dataplane) fn is_live(&self) -> bool {
        State(self.state.load(Acquire)).has(State::LIVE)
    }

    /// Leaves the table: no packet passes any more; what it was is still to be read. True for the one caller that made it so.
    pub(super) fn leave(&self) -> bool {
        self.enter(State::REPLACED);
        State(self.state.fetch_and(!State::LIVE.0, AcqRel)).has(State::LIVE)
    }

    /// Free from this epoch on.
    pub(super) fn set_free_from(&self, epoch: u64) {
        self.opened.store(epoch, Relaxed);
    }

    /// The epoch that every worker must have reached before the place is used again.
    pub(super) fn free_from(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// The place after this one in the list of free places.
    pub(super) fn next_free(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// Puts it before `next` in the list of free places.
    pub(super) fn set_next_free(&self, next: u32) {
        self.next.store(next, Relaxed);
    }

    /// Packets that this side sent.
    pub fn packets(&self, side: Side) -> u64 {
        self.activity(side).packets.load(Relaxed)
    }

    /// Bytes of IP that this side sent.
    pub fn bytes(&self, side: Side) -> u64 {
        self.activity(side).bytes.load(Relaxed)
    }

    /// When this side last sent something (or the flow's opening).
    #[inline]
    pub fn last_seen(&self, side: Side) -> Instant {
        Instant(self.activity(side).last_seen.load(Relaxed))
    }

    /// Has it been silent for longer than its state allows? Looks at `side`'s line first, which is the caller's own.
    #[inline]
    pub fn expired(&self, side: Side, now: Instant) -> bool {
        let lifetime = match self.state().lasting() {
            true => self.idle.load(Relaxed),
            false => self.transitory.load(Relaxed).into(),
        };
        let lifetime = Duration::from_secs(lifetime.into());
        now >= self.last_seen(side) + lifetime && now >= self.last_seen(side.other()) + lifetime
    }

    /// Is its conversation over: closed, replaced or expired?
    pub(super) fn ended(&self, side: Side, now: Instant) -> bool {
        self.state().closing() || self.expired(side, now)
    }

    /// Counts a packet that this side sent; only the worker that reads the side's interface does.
    #[inline]
    pub(super) fn count(&self, side: Side, len: usize, now: Instant) {
        let Activity {
            packets,
            bytes,
            last_seen,
            ..
        } = self.activity(side);
        packets.store(packets.load(Relaxed) + 1, Relaxed);
        bytes.store(bytes.load(Relaxed) + len as u64, Relaxed);
        last_seen.store(now.0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_takes_four_cache_lines_and_shares_none_between_its_sides() {
        assert_eq!(size_of::<Flow>(), 256);
        let flow = Flow::default();
        let line = |side| std::ptr::from_ref(flow.activity(side)) as usize / 64;
        assert_ne!(line(Side::Initiator), line(Side::Target));
    }
}
