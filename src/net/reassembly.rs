//! IPv4 fragments, and the datagram that they make (RFC 791, 3.2).
//!
//! Invariant: each byte of a datagram arrives once. A fragment that has arrived before changes nothing, any other overlap
//! is the datagram's end (RFC 5722 has the same rule for IPv6). The transport header lies in the first
//! fragment as a whole (RFC 1858, RFC 3128). So nothing that was checked is written over afterwards.

use std::mem;
use std::ops::Range;

use super::checksum::{self, Delta};
use super::{
    Addr, FiveTuple, GsoType, Headers, Packet, ParseError, Protocol, Transport, VnetHeader,
};

/// The longest IPv4 packet, in bytes.
const LONGEST: usize = u16::MAX as usize;
/// An IPv4 header without options, in bytes.
const PLAIN_HEADER: usize = 20;

/// Why a fragment, or the datagram that it completes, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// What stands before its payload.
    #[error(transparent)]
    Header(#[from] ParseError),
    /// Of no bytes, of no multiple of eight bytes though others follow, or reaching beyond the longest packet.
    #[error("fragment with an impossible place or length")]
    Malformed,
    /// A first one without its whole transport header, or another that begins inside of that.
    #[error("transport header in pieces")]
    Tiny,
    /// It has arrived before.
    #[error("duplicate fragment")]
    Duplicate,
    /// It overlaps what has arrived, or contradicts it about the datagram's end.
    #[error("overlapping fragments")]
    Overlap,
}

/// A fragment of an IPv4 datagram.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// The fragment's own: there are no ports, and the transport is [`Transport::Other`].
    pub headers: Headers,
    /// The datagram's identification.
    pub id: u16,
    header: &'a [u8],
    payload: &'a [u8],
    /// Where in the datagram's payload its own begins, in bytes.
    start: usize,
    is_last: bool,
}

impl<'a> Fragment<'a> {
    /// Reads a packet of which [`Packet::parse`] says that it is a fragment.
    pub fn parse(packet: &'a Packet<'_>) -> Result<Self, FragmentError> {
        check_vnet(&packet.vnet())?;
        let bytes = packet.bytes();
        let &[
            first,
            _,
            _,
            _,
            i0,
            i1,
            f0,
            f1,
            _,
            protocol,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ] = bytes.first_chunk().ok_or(ParseError::Truncated)?;
        let (header, payload) = bytes
            .split_at_checked(usize::from(first & 0xf) * 4)
            .ok_or(ParseError::Truncated)?;
        // The datagram gets a new checksum, which must not hide that this one was wrong.
        if checksum::sum(header) != u16::MAX {
            return Err(ParseError::BadIpHeader.into());
        }
        let place = u16::from_be_bytes([f0, f1]);
        let tuple = FiveTuple {
            protocol: Protocol(protocol),
            src: Addr::v4([s0, s1, s2, s3]),
            src_port: 0,
            dst: Addr::v4([d0, d1, d2, d3]),
            dst_port: 0,
        };
        let fragment = Self {
            headers: Headers {
                tuple,
                transport: Transport::Other,
                transport_at: header.len(),
                len: bytes.len(),
                wire_len: bytes.len(),
                payload_len: payload.len(),
            },
            id: u16::from_be_bytes([i0, i1]),
            header,
            payload,
            start: usize::from(place & 0x1fff) * 8,
            is_last: place & 0x2000 == 0,
        };
        fragment.check().map(|()| fragment)
    }

    fn check(&self) -> Result<(), FragmentError> {
        let len = self.payload.len();
        let is_aligned = self.is_last || len.is_multiple_of(8);
        if len == 0 || !is_aligned || self.header.len() + self.place().end > LONGEST {
            return Err(FragmentError::Malformed);
        }
        let protocol = self.headers.tuple.protocol;
        let is_tiny = match self.start {
            0 => len < transport_header_len(protocol, self.payload),
            start => start < transport_header_len(protocol, &[]),
        };
        match is_tiny {
            true => Err(FragmentError::Tiny),
            false => Ok(()),
        }
    }

    /// The part of the datagram's payload that it holds.
    fn place(&self) -> Range<usize> {
        self.start..self.start + self.payload.len()
    }

    /// Congestion has been experienced (RFC 3168): both ECN bits are set.
    fn is_marked(&self) -> bool {
        self.header.get(1).is_some_and(|tos| tos & 3 == 3)
    }
}

/// Linux finishes a checksum before it fragments, and cuts no super-packet into fragments.
fn check_vnet(vnet: &VnetHeader) -> Result<(), ParseError> {
    if vnet.gso_type != GsoType::None as u8 {
        return Err(ParseError::VnetGsoType);
    }
    match vnet.flags & !VnetHeader::DATA_VALID {
        0 => Ok(()),
        _ => Err(ParseError::VnetFlags),
    }
}

/// How many bytes the transport header at the beginning of `segment` has at least.
fn transport_header_len(protocol: Protocol, segment: &[u8]) -> usize {
    match protocol {
        Protocol::TCP => {
            let offset = segment.get(12).copied().unwrap_or_default();
            (usize::from(offset >> 4) * 4).max(20)
        }
        Protocol::UDP | Protocol::ICMP => 8,
        _ => 0,
    }
}

/// A datagram of which some fragments have arrived.
#[derive(Debug)]
pub struct Assembly {
    /// The first fragment's IP header, once that has arrived.
    header: Vec<u8>,
    /// Room for a header without options, and the payload as far as it has arrived.
    bytes: Vec<u8>,
    /// Where in the payload the fragments lie, in order.
    places: Vec<Range<u16>>,
    /// How many bytes of payload have arrived.
    arrived: usize,
    /// The payload's length, once the last fragment has arrived.
    len: Option<usize>,
    is_marked: bool,
}

impl Default for Assembly {
    /// Its buffer has room for every datagram, so that it never moves.
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.resize(PLAIN_HEADER, 0);
        Self {
            header: Vec::new(),
            bytes,
            places: Vec::new(),
            arrived: 0,
            len: None,
            is_marked: false,
        }
    }
}

impl Assembly {
    /// Adds a fragment; gives the datagram as one IP packet if it is complete now. After an error other than
    /// [`FragmentError::Duplicate`] there is nothing more to be made of it.
    pub fn add(&mut self, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, FragmentError> {
        let at = self.vacancy(fragment)?;
        let place = fragment.place();
        self.places.insert(at, to_words(&place));
        self.arrived += place.len();
        self.is_marked |= fragment.is_marked();
        if fragment.start == 0 {
            self.header = fragment.header.to_vec();
        }
        if fragment.is_last {
            self.len = Some(place.end);
        }
        let end = PLAIN_HEADER + place.end;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(bytes) = self.bytes.get_mut(PLAIN_HEADER + place.start..end) {
            bytes.copy_from_slice(fragment.payload);
        }
        match self.len == Some(self.arrived) {
            true => self.finish().map(Some),
            false => Ok(None),
        }
    }

    /// Where among the others its place is, if none overlaps it.
    fn vacancy(&self, fragment: &Fragment<'_>) -> Result<usize, FragmentError> {
        let (place, is_last) = (fragment.place(), fragment.is_last);
        let is_beyond_end = self.len.is_some_and(|len| place.end > len);
        let others_are = |last: &Range<u16>| usize::from(last.end) > place.end;
        if is_beyond_end || is_last && self.places.last().is_some_and(others_are) {
            return Err(FragmentError::Overlap);
        }
        let before = |other: &Range<u16>| usize::from(other.end) <= place.start;
        let at = self.places.partition_point(before);
        match self.places.get(at) {
            Some(other) if usize::from(other.start) < place.end => {
                let is_same = *other == to_words(&place)
                    && is_last == (self.len == Some(place.end))
                    && self.payload(place) == Some(fragment.payload);
                Err(match is_same {
                    true => FragmentError::Duplicate,
                    false => FragmentError::Overlap,
                })
            }
            _ => Ok(at),
        }
    }

    fn payload(&self, place: Range<usize>) -> Option<&[u8]> {
        self.bytes.get(PLAIN_HEADER..)?.get(place)
    }

    /// The whole datagram: the first fragment's header, as that of a packet which is none.
    fn finish(&mut self) -> Result<Vec<u8>, FragmentError> {
        let total = self.header.len() + self.arrived;
        let total = u16::try_from(total).map_err(|_| FragmentError::Malformed)?;
        if let Some([_, tos, l0, l1, _, _, f0, f1, _, _, c0, c1]) = self.header.first_chunk_mut() {
            [*l0, *l1] = total.to_be_bytes();
            [*f0, *f1, *c0, *c1] = [0; 4];
            if self.is_marked {
                *tos |= 3;
            }
        }
        let sum = !checksum::sum(&self.header);
        if let Some([_, _, _, _, _, _, _, _, _, _, c0, c1]) = self.header.first_chunk_mut() {
            [*c0, *c1] = sum.to_be_bytes();
        }
        let mut bytes = mem::take(&mut self.bytes);
        bytes.splice(..PLAIN_HEADER, self.header.drain(..));
        Ok(bytes)
    }
}

/// A place in a payload, which is shorter than 65,536 bytes.
const fn to_words(place: &Range<usize>) -> Range<u16> {
    place.start as u16..place.end as u16
}

/// Gives a packet another identification.
pub fn identify(packet: &mut Packet<'_>, id: u16) {
    if let Some([i0, i1, _, _, _, _, c0, c1]) = packet.field::<8>(4) {
        [*c0, *c1] = Delta::default()
            .word(u16::from_be_bytes([*i0, *i1]), id)
            .apply(u16::from_be_bytes([*c0, *c1]))
            .to_be_bytes();
        [*i0, *i1] = id.to_be_bytes();
    }
}
