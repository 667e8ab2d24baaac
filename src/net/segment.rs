//! The software split: a super-packet and its vnet header become single packets with complete checksums.
//!
//! For targets that take no super-packets: a TUN without vnet headers, a kernel that refuses them. Invariant: the
//! payloads of the pieces, in order, are the payload of the whole; nothing is allocated per packet.
//! Source: the kernel's `tcp_gso_segment`, `__udp_gso_segment` and `inet_gso_segment`.

use super::checksum::{Delta, fold, sum};
use super::vnet::{GsoType, VnetHeader};

/// Why a super-packet cannot be cut or completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// It ends before its headers do.
    #[error("the packet ends before its headers do")]
    Truncated,
    /// The vnet header's type does not fit the IP version and protocol.
    #[error("the segmentation type does not fit the packet")]
    Mismatch,
    /// A segment size of zero.
    #[error("the segment size is zero")]
    SegmentSize,
    /// The caller's scratch buffer does not hold one piece.
    #[error("a piece of {needed} bytes does not fit the scratch buffer")]
    Scratch {
        /// Bytes that the scratch buffer must have.
        needed: usize,
    },
}

const TCP: u8 = 6;
const UDP: u8 = 17;
pub(super) const TCP_CHECKSUM: usize = 16;
pub(super) const UDP_CHECKSUM: usize = 6;
pub(super) const TCP_FLAGS: usize = 13;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Completes the checksum that `header` says is missing, in place.
pub fn complete(header: &VnetHeader, packet: &mut [u8]) -> Result<(), SegmentError> {
    if !header.needs_csum() {
        return Ok(());
    }
    let (start, offset) = (
        usize::from(header.csum_start),
        usize::from(header.csum_offset),
    );
    let segment = packet.get_mut(start..).ok_or(SegmentError::Truncated)?;
    // The field holds the pseudo-header's sum already, so that one pass over the segment gives the whole.
    let checksum = match !sum(segment) {
        // UDP's zero means "none"; for TCP both zeros are right.
        0 => u16::MAX,
        checksum => checksum,
    };
    put16(segment, offset, checksum).ok_or(SegmentError::Truncated)
}

/// Cuts one super-packet; [`Cutter::next`] gives the pieces.
#[derive(Debug)]
pub struct Cutter<'a> {
    layout: Layout,
    headers: &'a [u8],
    payload: &'a [u8],
    scratch: &'a mut [u8],
    /// Payload bytes per piece.
    size: usize,
    /// Payload bytes that have gone out.
    done: usize,
    /// Pieces that have gone out.
    pieces: u16,
}

/// Where in the packet what stands.
#[derive(Clone, Copy, Debug)]
struct Layout {
    v4: bool,
    protocol: u8,
    /// Length of the IP header: the transport header's offset.
    ip: usize,
    /// Length of IP and transport header.
    headers: usize,
}

impl<'a> Cutter<'a> {
    /// A cutter for `packet`, an IP packet without its vnet header. `scratch` takes one piece at a time.
    pub fn new(
        header: &VnetHeader,
        packet: &'a [u8],
        scratch: &'a mut [u8],
    ) -> Result<Self, SegmentError> {
        let layout = Layout::of(packet)?;
        match (
            GsoType::from_wire(header.gso_type),
            layout.v4,
            layout.protocol,
        ) {
            (Some(GsoType::TcpV4), true, TCP)
            | (Some(GsoType::TcpV6), false, TCP)
            | (Some(GsoType::UdpL4), _, UDP) => {}
            _ => return Err(SegmentError::Mismatch),
        }
        let size = usize::from(header.gso_size);
        let needed = layout.headers + size;
        match () {
            () if size == 0 => return Err(SegmentError::SegmentSize),
            () if scratch.len() < needed => return Err(SegmentError::Scratch { needed }),
            () => {}
        }
        let (headers, payload) = packet
            .split_at_checked(layout.headers)
            .ok_or(SegmentError::Truncated)?;
        Ok(Self {
            layout,
            headers,
            payload,
            scratch,
            size,
            done: 0,
            pieces: 0,
        })
    }

    /// The next piece, complete; `None` after the last. (Not an `Iterator`: each piece lies in the one scratch buffer.)
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.done >= self.payload.len() && self.pieces > 0 {
            return None;
        }
        let rest = self.payload.get(self.done..)?;
        let (payload, after) = rest.split_at(self.size.min(rest.len()));
        let piece = self.scratch.get_mut(..self.headers.len() + payload.len())?;
        let (headers, body) = piece.split_at_mut_checked(self.headers.len())?;
        headers.copy_from_slice(self.headers);
        body.copy_from_slice(payload);
        self.layout.finish_ip(piece, self.pieces)?;
        let place = Place {
            offset: self.done,
            first: self.pieces == 0,
            last: after.is_empty(),
        };
        self.layout.finish_transport(piece, place)?;
        self.done += payload.len();
        self.pieces = self.pieces.wrapping_add(1);
        Some(piece)
    }
}

/// A piece's place in the whole.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    first: bool,
    last: bool,
}

impl Layout {
    fn of(packet: &[u8]) -> Result<Self, SegmentError> {
        let byte = |at: usize| packet.get(at).copied().ok_or(SegmentError::Truncated);
        let version_and_length = byte(0)?;
        let (v4, ip, protocol) = match version_and_length >> 4 {
            4 => (true, usize::from(version_and_length & 0xf) * 4, byte(9)?),
            6 => (false, 40, byte(6)?),
            _ => return Err(SegmentError::Mismatch),
        };
        let transport = match protocol {
            TCP => usize::from(byte(ip + 12)? >> 4) * 4,
            UDP => 8,
            _ => return Err(SegmentError::Mismatch),
        };
        let headers = ip + transport;
        let shortest = (ip >= 20) && (transport >= if protocol == TCP { 20 } else { 8 });
        match shortest && headers <= packet.len() {
            true => Ok(Self {
                v4,
                protocol,
                ip,
                headers,
            }),
            false => Err(SegmentError::Truncated),
        }
    }

    /// Length, and for IPv4 identification (counting up, as the kernel does) and header checksum.
    fn finish_ip(self, piece: &mut [u8], pieces: u16) -> Option<()> {
        let length = piece.len();
        if !self.v4 {
            return put16(piece, 4, u16::try_from(length - self.ip).ok()?);
        }
        let (old_length, old_id) = (take16(piece, 2)?, take16(piece, 4)?);
        let (length, id) = (u16::try_from(length).ok()?, old_id.wrapping_add(pieces));
        put16(piece, 2, length)?;
        put16(piece, 4, id)?;
        // Adjusted, so that a wrong one stays wrong.
        let delta = Delta::default().word(old_length, length).word(old_id, id);
        put16(piece, 10, delta.apply(take16(piece, 10)?))
    }

    /// Sequence number and flags, or length; then the checksum.
    fn finish_transport(self, piece: &mut [u8], place: Place) -> Option<()> {
        let addresses = match self.v4 {
            true => sum(piece.get(12..20)?),
            false => sum(piece.get(8..40)?),
        };
        let segment = piece.get_mut(self.ip..)?;
        let length = segment.len();
        let field = match self.protocol {
            TCP => {
                let sequence = segment.get_mut(4..8)?.first_chunk_mut()?;
                // Sequence numbers are modulo 2^32, so that the offset may be cut to it.
                *sequence = u32::from_be_bytes(*sequence)
                    .wrapping_add(place.offset as u32)
                    .to_be_bytes();
                let flags = segment.get_mut(TCP_FLAGS)?;
                *flags &= !(if place.last { 0 } else { FIN | PSH });
                *flags &= !(if place.first { 0 } else { CWR });
                TCP_CHECKSUM
            }
            _ => {
                put16(segment, 4, u16::try_from(length).ok()?)?;
                UDP_CHECKSUM
            }
        };
        put16(segment, field, 0)?;
        let pseudo = u64::from(addresses) + u64::from(self.protocol) + length as u64;
        let checksum = match !fold(pseudo + u64::from(sum(segment))) {
            0 => u16::MAX,
            checksum => checksum,
        };
        put16(segment, field, checksum)
    }
}

#[inline]
pub(super) fn take16(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*field))
}

#[inline]
pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

#[cfg(test)]
mod tests;
