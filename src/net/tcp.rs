//! TCP (RFC 9293): the header fields that a stateful NAT looks at, and the two segments that it changes or makes.

use std::iter;

use super::checksum::{self, Delta};
use super::segment::TCP_CHECKSUM;
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
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// The sender has reduced its congestion window (ECN, RFC 3168).
    pub const CWR: u8 = 0x80;

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

    /// The sequence number of its first byte: a SYN stands before it.
    #[inline]
    pub const fn first_byte(&self) -> u32 {
        self.seq.wrapping_add(self.has(Self::SYN) as u32)
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
    for (at, option) in self::options(options) {
        match *option {
            [2, 4, hi, lo] => {
                found.mss = Some((transport_at + 20 + at + 2, u16::from_be_bytes([hi, lo])));
            }
            [3, 3, shift] => found.window_scale = Some(shift.min(14)),
            [8, 10, t0, t1, t2, t3, ..] => {
                found.timestamp = Some(u32::from_be_bytes([t0, t1, t2, t3]));
            }
            _ => {}
        }
    }
    found
}

/// The options behind a TCP header, each with its offset there; stops at the first malformed one.
pub(super) fn options(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0;
    iter::from_fn(move || {
        loop {
            let (at, rest) = (next, bytes.get(next..)?);
            match *rest {
                [1, _, ..] => next += 1,
                [kind, len, ..] if kind > 1 && len >= 2 => {
                    next += usize::from(len);
                    return Some((at, rest.get(..len.into())?));
                }
                _ => return None,
            }
        }
    })
}

/// Lowers a SYN's maximum segment size to `limit` bytes; a SYN without one promises 536, which always fits.
pub fn clamp_mss(packet: &mut Packet<'_>, headers: &Headers, options: &SynOptions, limit: u16) {
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

/// A segment that the data plane itself sends.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// From whom, to whom.
    pub tuple: FiveTuple,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// The flags.
    pub flags: u8,
    /// The window as it stands in the header, not scaled.
    pub window: u16,
    /// The timestamp option's value and echo (RFC 7323).
    pub timestamps: Option<(u32, u32)>,
    /// The data.
    pub payload: &'a [u8],
}

/// What Linux puts around a timestamp option, so that its words are aligned: two no-operations.
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

impl Draft<'_> {
    /// The IPv4 packet, its checksums complete; `None` for IPv6.
    pub fn build(&self) -> Option<Vec<u8>> {
        let Self {
            tuple,
            timestamps,
            payload,
            ..
        } = self;
        let (src, dst) = (tuple.src.octets_v4()?, tuple.dst.octets_v4()?);
        let header_len = 20 + timestamps.map_or(0, |_| TIMESTAMPS.len() + 8);
        let segment_len = header_len + payload.len();
        let mut packet = Vec::with_capacity(20 + segment_len);
        packet.extend(super::icmp::ipv4_header(
            src,
            dst,
            Protocol::TCP,
            segment_len,
        ));
        packet.extend(tuple.src_port.to_be_bytes());
        packet.extend(tuple.dst_port.to_be_bytes());
        packet.extend(self.seq.to_be_bytes());
        packet.extend(self.ack.to_be_bytes());
        packet.extend([(header_len as u8 / 4) << 4, self.flags]);
        packet.extend(self.window.to_be_bytes());
        packet.extend([0; 4]);
        if let Some((value, echo)) = timestamps {
            packet.extend(TIMESTAMPS);
            packet.extend(value.to_be_bytes());
            packet.extend(echo.to_be_bytes());
        }
        packet.extend(*payload);
        let segment = packet.get_mut(20..)?;
        let sum = checksum::transport(tuple.src, tuple.dst, Protocol::TCP, segment);
        *segment.get_mut(TCP_CHECKSUM..)?.first_chunk_mut()? = sum.to_be_bytes();
        Some(packet)
    }
}

/// The RST that answers `segment` (RFC 9293, 3.10.7.1): a packet back to its sender, `None` for a RST.
pub fn reset(headers: &Headers, segment: &Segment) -> Option<Vec<u8>> {
    if segment.has(Segment::RST) {
        return None;
    }
    let (seq, ack) = match segment.has(Segment::ACK) {
        true => (segment.ack, None),
        false => (0, Some(segment.seq_end())),
    };
    reset_between(&headers.tuple.reversed(), seq, ack)
}

/// A RST from the source to the destination of `tuple`, with these numbers.
pub fn reset_between(tuple: &FiveTuple, seq: u32, ack: Option<u32>) -> Option<Vec<u8>> {
    let flags = match ack {
        Some(_) => Segment::RST | Segment::ACK,
        None => Segment::RST,
    };
    let draft = Draft {
        tuple: *tuple,
        seq,
        ack: ack.unwrap_or(0),
        flags,
        window: 0,
        timestamps: None,
        payload: &[],
    };
    draft.build()
}
