//! TCP (RFC 9293): the header fields that a stateful NAT looks at, and the two segments that it changes or makes.

use super::checksum::{self, Delta};
use super::{FiveTuple, Headers, Packet, Protocol};

/// The fields of one TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; meaningful with [`Segment::ACK`].
    pub ack: u32,
    /// The low eight flag bits.
    pub flags: u8,
    /// The window as it stands in the header, not scaled.
    pub window: u16,
    /// Payload, in bytes.
    pub payload_len: u32,
}

impl Segment {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;

    /// Does it carry this flag?
    #[inline]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Does it open a connection: SYN without ACK?
    #[inline]
    pub const fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK) == Self::SYN
    }

    /// The sequence number behind its last byte; SYN and FIN count as one each.
    #[inline]
    pub const fn seq_end(&self) -> u32 {
        let controls = self.has(Self::SYN) as u32 + self.has(Self::FIN) as u32;
        self.seq
            .wrapping_add(self.payload_len)
            .wrapping_add(controls)
    }

    /// No state of TCP sends SYN with FIN or RST, RST with FIN, or nothing at all.
    #[inline]
    pub(super) const fn flags_make_sense(&self) -> bool {
        let exclusive =
            self.has(Self::SYN) as u8 + self.has(Self::FIN) as u8 + self.has(Self::RST) as u8;
        exclusive <= 1 && (exclusive == 1 || self.has(Self::ACK))
    }
}

/// Is `a` at or before `b` in sequence space?
#[inline]
pub const fn seq_le(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) >= 0
}

/// The options of a SYN, or of a connection's last segments, that a NAT cares about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynOptions {
    /// Offset of the maximum segment size's value in the packet, and the value, in bytes.
    pub mss: Option<(usize, u16)>,
    /// The window scale's shift count, at most 14 (RFC 7323).
    pub window_scale: Option<u8>,
    /// The sender's timestamp (RFC 7323).
    pub timestamp: Option<u32>,
}

/// Reads the options of the TCP header at `transport_at`; stops at the first malformed one.
pub fn syn_options(bytes: &[u8], transport_at: usize) -> SynOptions {
    let mut found = SynOptions::default();
    let Some(header) = bytes.get(transport_at..) else {
        return found;
    };
    let header_len = header
        .get(12)
        .map_or(0, |offset| usize::from(offset >> 4) * 4);
    let Some(options) = header.get(20..header_len) else {
        return found;
    };
    let mut at = 0;
    while let Some(rest) = options.get(at..) {
        match *rest {
            [0, ..] | [] | [_] => break,
            [1, ..] => at += 1,
            [2, 4, hi, lo, ..] => {
                found.mss = Some((transport_at + 20 + at + 2, u16::from_be_bytes([hi, lo])));
                at += 4;
            }
            [3, 3, shift, ..] => {
                found.window_scale = Some(shift.min(14));
                at += 3;
            }
            [8, 10, t0, t1, t2, t3, ..] => {
                found.timestamp = Some(u32::from_be_bytes([t0, t1, t2, t3]));
                at += 10;
            }
            [_, len, ..] if len >= 2 => at += usize::from(len),
            _ => break,
        }
    }
    found
}

/// Lowers a SYN's maximum segment size to what fits `mtu`; a SYN without one promises 536, which always fits.
pub fn clamp_mss(packet: &mut Packet<'_>, headers: &Headers, options: &SynOptions, mtu: u16) {
    let limit = mtu.saturating_sub(40);
    let Some((at, mss)) = options.mss.filter(|(_, mss)| *mss > limit) else {
        return;
    };
    // A field at an odd offset lies across two checksum words; both bytes of each then change place.
    let delta = match (at - headers.transport_at) % 2 {
        0 => Delta::default().word(mss, limit),
        _ => Delta::default().word(mss.swap_bytes(), limit.swap_bytes()),
    };
    if let Some(field) = packet.field::<2>(at) {
        *field = limit.to_be_bytes();
    }
    // With NEEDS_CSUM the field holds the pseudo-header's sum only, which this does not change.
    if !packet.vnet.needs_csum()
        && let Some(field) = packet.field::<2>(headers.transport_at + 16)
    {
        *field = delta.apply(u16::from_be_bytes(*field)).to_be_bytes();
    }
}

/// The RST that answers `segment` (RFC 9293, 3.10.7.1): an IPv4 packet back to its sender, `None` for a RST.
pub fn reset(headers: &Headers, segment: &Segment) -> Option<[u8; 40]> {
    if segment.has(Segment::RST) {
        return None;
    }
    let (seq, ack) = match segment.has(Segment::ACK) {
        true => (segment.ack, None),
        false => (0, Some(segment.seq_end())),
    };
    reset_between(&headers.tuple.reversed(), seq, ack)
}

/// A RST from the source to the destination of `tuple`, with these numbers: an IPv4 packet.
pub fn reset_between(tuple: &FiveTuple, seq: u32, ack: Option<u32>) -> Option<[u8; 40]> {
    let flags = match ack {
        Some(_) => Segment::RST | Segment::ACK,
        None => Segment::RST,
    };
    let (src, dst) = (tuple.src.octets_v4()?, tuple.dst.octets_v4()?);
    let ([s0, s1], [d0, d1]) = (tuple.src_port.to_be_bytes(), tuple.dst_port.to_be_bytes());
    let [q0, q1, q2, q3] = seq.to_be_bytes();
    let [a0, a1, a2, a3] = ack.unwrap_or(0).to_be_bytes();
    let mut tcp = [
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        5 << 4,
        flags,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let [c0, c1] = checksum::transport(tuple.src, tuple.dst, Protocol::TCP, &tcp).to_be_bytes();
    (tcp[16], tcp[17]) = (c0, c1);
    let mut packet = [0; 40];
    let (ip, rest) = packet.split_at_mut(20);
    ip.copy_from_slice(&super::icmp::ipv4_header(
        src,
        dst,
        Protocol::TCP,
        tcp.len(),
    ));
    rest.copy_from_slice(&tcp);
    Some(packet)
}
