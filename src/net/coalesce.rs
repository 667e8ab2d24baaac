//! Coalescing: packets of one flow that follow each other become one super-packet, to be written at once.
//!
//! The reverse of [`segment`](super::segment), under the rules of the kernel's GRO: what cutting the super-packet gives back are
//! the packets that went in. Only packets whose checksum is still to be completed are taken: nobody has to vouch for
//! one that a sender may have got wrong. Source: the kernel's `inet_gro_receive`, `tcp_gro_receive`, `udp_gro_receive`.

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

/// One packet, or several that have become one, not yet written.
#[derive(Debug)]
pub struct Coalescer {
    /// [vnet header][packet]; as it was taken, but for what has been appended, until [`Coalescer::take`] corrects the headers.
    buffer: Box<[u8]>,
    held: Option<Held>,
}

/// What is in the buffer.
#[derive(Clone, Copy, Debug)]
struct Held {
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

impl Default for Coalescer {
    fn default() -> Self {
        Self {
            buffer: vec![0; VnetHeader::LEN + MAX_LEN].into(),
            held: None,
        }
    }
}

impl Coalescer {
    /// Takes a [vnet header][packet] that others may follow; `false` if it is not of such a kind, if no super-packet of that kind
    /// `is_wanted`, or if the place is taken.
    #[inline]
    pub fn hold(&mut self, bytes: &[u8], is_wanted: impl FnOnce(GsoType) -> bool) -> bool {
        if self.held.is_some() {
            return false;
        }
        let Some((gso_type, headers)) = shape(bytes) else {
            return false;
        };
        let size = bytes.len() - VnetHeader::LEN - headers;
        let enough = match gso_type {
            GsoType::UdpL4 => 1,
            _ => usize::from(MIN_TCP_GSO_SIZE),
        };
        if size < enough || pushes(gso_type, bytes) || !is_wanted(gso_type) {
            return false;
        }
        let Some(place) = self.buffer.get_mut(..bytes.len()) else {
            return false;
        };
        place.copy_from_slice(bytes);
        self.held = Some(Held {
            gso_type,
            headers,
            size,
            packets: 1,
            len: bytes.len(),
            complete: false,
        });
        true
    }

    /// Appends a [vnet header][packet] to what is held, if it continues it.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        self.try_append(bytes).is_some()
    }

    #[inline]
    fn try_append(&mut self, bytes: &[u8]) -> Option<()> {
        let held = self.held.as_mut()?;
        if held.complete || shape(bytes) != Some((held.gso_type, held.headers)) {
            return None;
        }
        let first = self.buffer.get(..VnetHeader::LEN + held.headers)?;
        let (headers, payload) = bytes.split_at_checked(first.len())?;
        let end = held.len + payload.len();
        let fits = end <= VnetHeader::LEN + MAX_LEN
            && (held.gso_type != GsoType::UdpL4 || held.packets < MAX_UDP_SEGMENTS);
        if payload.is_empty() || payload.len() > held.size || !fits {
            return None;
        }
        let before = (held.packets, held.len - first.len());
        if !continues(
            held.gso_type,
            first.get(VnetHeader::LEN..)?,
            headers.get(VnetHeader::LEN..)?,
            before,
        )? {
            return None;
        }
        self.buffer.get_mut(held.len..end)?.copy_from_slice(payload);
        held.complete = payload.len() < held.size;
        if pushes(held.gso_type, bytes) {
            held.complete = true;
            *self.buffer.get_mut(VnetHeader::LEN + IP + TCP_FLAGS)? |= Segment::PSH;
        }
        held.len = end;
        held.packets += 1;
        Some(())
    }

    /// Gives out what is held, as [vnet header][packet], and how many packets it was; the place is free again.
    #[inline]
    pub fn take(&mut self) -> Option<(&mut [u8], usize)> {
        let held = self.held.take()?;
        let bytes = self.buffer.get_mut(..held.len)?;
        if held.packets > 1 {
            finish(&held, bytes)?;
        }
        Some((bytes, held.packets))
    }
}

/// Makes one super-packet's headers of its first packet's.
fn finish(held: &Held, bytes: &mut [u8]) -> Option<()> {
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
