//! The largest packets that a flow's path takes, by direction.

use std::sync::atomic::Ordering::Relaxed;

use super::slot::{Activity, Flow, Side};
use crate::net::tcp::seq_le;

/// Largest TCP segment through an endpoint, in bytes; AWS does not say its own. Of those that fit the path's 8500 bytes only seven go
/// into a super-packet of Linux's (65,536 bytes less `MAX_TCP_HEADER` and one: 65,215 where cache lines have 64); of these, eight
/// (`docs/design/0008-eight-segments.md`).
const ENDPOINT_MSS: u16 = 8148;
/// IPv4 and TCP headers without options, in bytes.
const HEADERS: u16 = 40;

impl Flow {
    /// MTU of the path as it was when the flow opened, in bytes: its own links, without those behind its ends.
    #[inline]
    pub fn path_mtu(&self) -> u16 {
        self.mtu.load(Relaxed)
    }

    /// Largest packet that reaches the other side from this one, in bytes; the path's MTU, or less.
    #[inline]
    pub fn mtu(&self, side: Side) -> u16 {
        self.activity(side).mtu.load(Relaxed)
    }

    /// A link behind the other side takes packets of this side's up to `mtu` bytes only.
    pub(in crate::dataplane) fn lower_mtu(&self, side: Side, mtu: u16) {
        self.activity(side).mtu.fetch_min(mtu, Relaxed);
    }

    /// Largest TCP segment that the other side may send, in bytes, as this side's SYN announces it.
    #[inline]
    pub fn mss(&self, side: Side) -> u16 {
        let fits = self.mtu(side.other()).saturating_sub(HEADERS);
        match self.via() {
            Some(_) => fits.min(ENDPOINT_MSS),
            None => fits,
        }
    }

    /// TCP: whether a segment with this number may be on its way, sent by this side and not yet acknowledged (RFC 5927, 4.1).
    pub(in crate::dataplane) fn is_under_way(&self, side: Side, seq: u32) -> bool {
        let (own, other) = (self.activity(side), self.activity(side.other()));
        let (acknowledged, end) = (other.ack.load(Relaxed), own.seq_end.load(Relaxed));
        other.window.load(Relaxed) != Activity::SILENT
            && seq_le(acknowledged, seq)
            && seq != end
            && seq_le(seq, end)
    }
}
