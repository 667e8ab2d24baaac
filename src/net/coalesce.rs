//! Coalescing: packets of one flow that follow each other become one super-packet, to be written at once.
//!
//! The reverse of [`segment`](super::segment), under the rules of the kernel's GRO: what cutting the super-packet gives back are
//! the packets that went in. Only packets whose checksum is still to be completed are taken: nobody has to vouch for
//! one that a sender may have got wrong. Source: the kernel's `inet_gro_receive`, `tcp_gro_receive`, `udp_gro_receive`.

use std::ops::Range;

use zerocopy::FromBytes;

use super::checksum::Delta;
use super::parse::{MAX_UDP_SEGMENTS, MIN_TCP_GSO_SIZE};
use super::segment::{TCP_CHECKSUM, TCP_FLAGS, UDP_CHECKSUM, put16, take16};
use super::{GsoType, Protocol, Segment, VnetHeader};

/// The largest IP packet, in bytes.
const MAX_LEN: usize = 65_535;
/// An IPv4 header without options.
const IP: usize = 20;
const DONT_FRAGMENT: u8 = 0x40;

/// One packet, or several that have become one, in a buffer of its owner's: [vnet header][packet] as the first was taken, but
/// for what has been appended, until [`Coalesced::finish`] corrects the headers.
#[derive(Clone, Copy, Debug)]
pub struct Coalesced {
    gso_type: GsoType,
    /// Length of the IP and transport headers, in bytes.
    headers: usize,
    /// Payload of every packet, in bytes; only the last may have less.
    size: usize,
    /// How many packets.
    packets: usize,
    /// Length of all, in bytes.
    len: usize,
    /// A short packet, or one with PSH, has been the last.
    complete: bool,
}

impl Coalesced {
    /// A [vnet header][packet] that others may follow, if it is of such a kind.
    #[inline]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let (gso_type, headers) = shape(bytes)?;
        let size = bytes.len() - VnetHeader::LEN - headers;
        let enough = match gso_type {
            GsoType::UdpL4 => 1,
            _ => usize::from(MIN_TCP_GSO_SIZE),
        };
        (size >= enough && !pushes(gso_type, bytes)).then_some(Self {
            gso_type,
            headers,
            size,
            packets: 1,
            len: bytes.len(),
            complete: false,
        })
    }

    /// What kind of super-packet it is, or is to become.
    #[inline]
    pub fn gso_type(&self) -> GsoType {
        self.gso_type
    }

    /// Appends the [vnet header][packet] at `next` of `buffer`, which begins with this one, if it continues it; the new length
    /// of all.
    #[inline]
    pub fn append(&mut self, buffer: &mut [u8], next: Range<usize>) -> Option<usize> {
        let bytes = buffer.get(next.clone())?;
        if self.complete || shape(bytes) != Some((self.gso_type, self.headers)) {
            return None;
        }
        let first = buffer.get(..VnetHeader::LEN + self.headers)?;
        let (headers, payload) = bytes.split_at_checked(first.len())?;
        let end = self.len + payload.len();
        let fits = end <= VnetHeader::LEN + MAX_LEN
            && (self.gso_type != GsoType::UdpL4 || self.packets < MAX_UDP_SEGMENTS);
        if payload.is_empty() || payload.len() > self.size || !fits {
            return None;
        }
        let before = (self.packets, self.len - first.len());
        if !continues(
            self.gso_type,
            first.get(VnetHeader::LEN..)?,
            headers.get(VnetHeader::LEN..)?,
            before,
        )? {
            return None;
        }
        self.complete = payload.len() < self.size;
        let pushes = pushes(self.gso_type, bytes);
        let payload = next.start + first.len()..next.end;
        // It is moved towards the front: there is room.
        buffer.get(self.len..end)?;
        buffer.copy_within(payload, self.len);
        if pushes {
            self.complete = true;
            *buffer.get_mut(VnetHeader::LEN + IP + TCP_FLAGS)? |= Segment::PSH;
        }
        self.len = end;
        self.packets += 1;
        Some(end)
    }

    /// Makes one packet's headers of those of the first, if others have been appended; how many packets it is made of.
    #[inline]
    pub fn finish(self, buffer: &mut [u8]) -> usize {
        if self.packets > 1
            && let Some(bytes) = buffer.get_mut(..self.len)
        {
            // The headers have been read before, so that they can be written.
            let _ = finish(&self, bytes);
        }
        self.packets
    }
}

/// Makes one super-packet's headers of its first packet's.
fn finish(held: &Coalesced, bytes: &mut [u8]) -> Option<()> {
    let (vnet, packet) = VnetHeader::mut_from_prefix(bytes).ok()?;
    vnet.gso_type = held.gso_type as u8;
    vnet.gso_size = held.size as u16;
    vnet.hdr_len = held.headers as u16;
    let (old, new) = ((held.headers + held.size) as u16, packet.len() as u16);
    put16(packet, 2, new)?;
    change(packet, 10, |sum| Delta::default().word(old, new).apply(sum))?;
    // The transport's length is part of its pseudo-header's sum.
    let (old, new) = (old - IP as u16, new - IP as u16);
    let sum_at = match held.gso_type {
        GsoType::UdpL4 => {
            put16(packet, IP + 4, new)?;
            IP + UDP_CHECKSUM
        }
        _ => IP + TCP_CHECKSUM,
    };
    change(packet, sum_at, |sum| {
        Delta::default().word(old, new).apply_partial(sum)
    })
}

/// The kind and the headers' length of a packet that can be part of a super-packet: IPv4 without options, UDP or TCP with
/// no other flags than ACK and PSH, its checksum still to be completed.
#[inline]
fn shape(bytes: &[u8]) -> Option<(GsoType, usize)> {
    let (vnet, packet) = VnetHeader::ref_from_prefix(bytes).ok()?;
    let header = packet.first_chunk::<IP>()?;
    if !vnet.needs_csum() || vnet.gso_type != 0 || header.first() != Some(&0x45) {
        return None;
    }
    let transport = packet.get(IP..)?;
    match Protocol(*header.get(9)?) {
        Protocol::UDP if transport.len() >= 8 => Some((GsoType::UdpL4, IP + 8)),
        Protocol::TCP => {
            let length = usize::from(transport.get(12)? >> 4) * 4;
            let flags = transport.get(TCP_FLAGS)?;
            let plain = flags & !Segment::PSH == Segment::ACK && length <= transport.len();
            plain.then_some((GsoType::TcpV4, IP + length))
        }
        _ => None,
    }
}

/// Does a TCP segment carry PSH?
#[inline]
fn pushes(gso_type: GsoType, bytes: &[u8]) -> bool {
    gso_type == GsoType::TcpV4
        && bytes
            .get(VnetHeader::LEN + IP + TCP_FLAGS)
            .is_some_and(|flags| flags & Segment::PSH != 0)
}

/// Do the `next` headers continue the packets that began with `first`, so many of which, with so much payload, came before?
#[inline]
fn continues(gso_type: GsoType, first: &[u8], next: &[u8], before: (usize, usize)) -> Option<bool> {
    let (packets, payload) = before;
    let (ip, transport) = first.split_at_checked(IP)?;
    let (next_ip, next_transport) = next.split_at_checked(IP)?;
    // Version, length of the header, type of service; don't fragment; time to live, protocol; addresses.
    let same = |range: std::ops::Range<usize>| ip.get(range.clone()) == next_ip.get(range);
    if !(same(0..2) && same(6..10) && same(12..20)) {
        return Some(false);
    }
    // Nobody looks at the identification of a packet that must not be fragmented (RFC 6864, 4.1).
    let counts_up = take16(next_ip, 4)? == take16(ip, 4)?.wrapping_add(packets as u16);
    if ip.get(6)? & DONT_FRAGMENT == 0 && !counts_up {
        return Some(false);
    }
    // Under the first one's checksum a wrong one would become right.
    let word = |at| Some((take16(ip, at)?, take16(next_ip, at)?));
    let ((old_len, len), (old_id, id), (old_sum, sum)) = (word(2)?, word(4)?, word(10)?);
    let delta = Delta::default().word(old_len, len).word(old_id, id);
    if delta.apply(old_sum) != sum {
        return Some(false);
    }
    Some(match gso_type {
        GsoType::UdpL4 => transport.get(..4) == next_transport.get(..4),
        _ => {
            let sequence = |header: &[u8]| {
                header
                    .get(4..)?
                    .first_chunk()
                    .copied()
                    .map(u32::from_be_bytes)
            };
            transport.get(..4) == next_transport.get(..4)
                && sequence(next_transport)? == sequence(transport)?.wrapping_add(payload as u32)
                // Acknowledgement, length of the header; window; urgent pointer, options.
                && transport.get(8..13) == next_transport.get(8..13)
                && transport.get(14..16) == next_transport.get(14..16)
                && transport.get(18..) == next_transport.get(18..)
        }
    })
}

#[inline]
fn change(bytes: &mut [u8], at: usize, to: impl FnOnce(u16) -> u16) -> Option<()> {
    put16(bytes, at, to(take16(bytes, at)?))
}

#[cfg(test)]
mod tests;
