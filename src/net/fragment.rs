//! Making a packet fit a smaller MTU: TCP by its segment size, everything else by fragments (RFC 791, 3.2).
//!
//! Invariant: the pieces together are the packet. A complete checksum is replaced only after
//! [`Packet::is_unharmed`] has verified it.

use super::segment::{Cutter, TCP_CHECKSUM, complete, put16, take16};
use super::tcp::Segment;
use super::{GsoType, Headers, Packet, Transport, VnetHeader, checksum};

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
/// What a fragment's offset is counted in, in bytes.
const UNIT: usize = 8;

impl Packet<'_> {
    /// Whether the checksums of the IP header and of its payload are right, as far as they are complete.
    pub fn is_unharmed(&self, headers: &Headers) -> bool {
        let header = self.bytes.get(..headers.transport_at).unwrap_or_default();
        checksum::sum(header) == u16::MAX && self.is_intact(headers)
    }

    /// Whether smaller segments can carry a TCP packet. A SYN or RST with data cannot be cut, as each segment would be one,
    /// nor can urgent data, whose pointer counts from its own segment; but in a super-packet the sender has allowed it.
    pub fn can_be_segmented(&self, headers: &Headers) -> bool {
        const WHOLE: u8 = Segment::SYN | Segment::RST | Segment::URG;
        match &headers.transport {
            Transport::Tcp(segment) => self.vnet.gso_type != 0 || segment.flags & WHOLE == 0,
            _ => false,
        }
    }

    /// Makes a TCP packet a super-packet of segments that fit `mtu`: the receiver's kernel, or the shell, cuts it. It keeps "don't
    /// fragment".
    pub fn segment_to_fit(&mut self, headers: &Headers, mtu: u16) -> Option<()> {
        let headers_len = headers.len - headers.payload_len;
        let size = usize::from(mtu)
            .checked_sub(headers_len)
            .filter(|size| *size > 0)?;
        if !self.vnet.needs_csum() {
            let tuple = &headers.tuple;
            let segment = self.bytes.get_mut(headers.transport_at..headers.len)?;
            let sum = checksum::pseudo_header(tuple.src, tuple.dst, tuple.protocol, segment.len());
            put16(segment, TCP_CHECKSUM, sum)?;
        }
        let gso_type = match self.vnet.gso_type {
            0 => GsoType::TcpV4 as u8 | ecn(headers),
            gso_type => gso_type,
        };
        *self.vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type,
            hdr_len: headers_len as u16,
            gso_size: size as u16,
            csum_start: headers.transport_at as u16,
            csum_offset: TCP_CHECKSUM as u16,
        };
        Some(())
    }

    /// Gives the IP packets of at most `mtu` bytes that it becomes, in their order, their checksums complete: fragments without
    /// "don't fragment", with one identification for each datagram. Datagrams of a super-packet that fit stay whole.
    pub fn fragment(
        &mut self,
        headers: &Headers,
        mtu: u16,
        mut identification: impl FnMut() -> u16,
        mut give: impl FnMut(Vec<u8>),
    ) -> Option<()> {
        let mut give_all = |datagram: &[u8]| match datagram.len() <= usize::from(mtu) {
            true => {
                give(datagram.to_vec());
                Some(())
            }
            false => fragments(datagram, mtu, identification(), &mut give),
        };
        if self.vnet.gso_type == 0 {
            complete(self.vnet, self.bytes).ok()?;
            return give_all(self.bytes);
        }
        let headers_len = headers.len - headers.payload_len;
        let mut scratch = vec![0; headers_len + usize::from(self.vnet.gso_size)];
        let mut cutter = Cutter::new(self.vnet, self.bytes, &mut scratch).ok()?;
        while let Some(datagram) = cutter.next() {
            give_all(datagram)?;
        }
        Some(())
    }
}

/// The bit that says that only the first segment is to carry ECN's CWR.
fn ecn(headers: &Headers) -> u8 {
    match &headers.transport {
        Transport::Tcp(segment) if segment.has(Segment::CWR) => VnetHeader::GSO_ECN,
        _ => 0,
    }
}

/// Cuts one IPv4 packet. All pieces have its header with its options: behind an endpoint those are nothing but padding.
fn fragments(
    packet: &[u8],
    mtu: u16,
    identification: u16,
    give: &mut impl FnMut(Vec<u8>),
) -> Option<()> {
    let header_len = usize::from(packet.first()? & 0xf) * 4;
    let (header, payload) = packet.split_at_checked(header_len)?;
    let room = usize::from(mtu).checked_sub(header_len)? / UNIT * UNIT;
    let last = payload.len().checked_sub(1)?.checked_div(room)?;
    let flags = take16(header, 6)? & !(DONT_FRAGMENT | MORE_FRAGMENTS);
    for (number, piece) in payload.chunks(room).enumerate() {
        let more = match number < last {
            true => MORE_FRAGMENTS,
            false => 0,
        };
        let mut fragment = Vec::with_capacity(header_len + piece.len());
        fragment.extend_from_slice(header);
        fragment.extend_from_slice(piece);
        let length = fragment.len() as u16;
        put16(&mut fragment, 2, length)?;
        put16(&mut fragment, 4, identification)?;
        let offset = (number * room / UNIT) as u16;
        put16(&mut fragment, 6, flags | more | offset)?;
        put16(&mut fragment, 10, 0)?;
        let sum = !checksum::sum(fragment.get(..header_len)?);
        put16(&mut fragment, 10, sum)?;
        give(fragment);
    }
    Some(())
}

#[cfg(test)]
mod tests;
