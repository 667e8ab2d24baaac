//! ICMP errors (RFC 792, 1191): making them, reading what they quote, and translating both (RFC 5508, 4.2).

use super::checksum::{self, Delta};
use super::renumber::renumber_quote;
use super::segment::{put16, take16};
use super::{
    Addr, FiveTuple, Headers, Packet, Protocol, Segment, Transport, VnetHeader, options, rewrite,
};

/// An error that the data plane itself reports to a packet's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Larger than the path's MTU, given in bytes (type 3, code 4; RFC 1191).
    FragmentationNeeded {
        /// What would fit.
        mtu: u16,
    },
    /// Resources to forward it are exhausted (type 3, code 13, as RFC 6888 REQ-8 wants it).
    AdministrativelyProhibited,
}

/// How many bytes behind the quoted IP header an error carries (RFC 792).
const QUOTED_TRANSPORT: usize = 8;

/// Length of an IPv4 header without options, in bytes.
const PLAIN_HEADER: usize = 20;
/// Where an error says how many words of 32 bits it quotes, if an extension stands behind them (RFC 4884).
const LENGTH: usize = 5;
/// How many bytes an error quotes at least, if an extension stands behind them; before RFC 4884 always.
const QUOTED_BEFORE_EXTENSION: usize = 128;

/// An IPv4 header without options, TTL 64, its checksum right.
pub(super) fn ipv4_header(
    src: [u8; 4],
    dst: [u8; 4],
    protocol: Protocol,
    payload_len: usize,
) -> [u8; 20] {
    let ([l0, l1], [s0, s1, s2, s3], [d0, d1, d2, d3]) =
        (((20 + payload_len) as u16).to_be_bytes(), src, dst);
    let mut header = [
        0x45, 0, l0, l1, 0, 0, 0x40, 0, 64, protocol.0, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
    ];
    let [c0, c1] = (!checksum::sum(&header)).to_be_bytes();
    (header[10], header[11]) = (c0, c1);
    header
}

/// The error about `packet`, from the address it was sent to (or `from`), back to its sender; `None` if it is an error itself.
pub fn unreachable(packet: &Packet<'_>, headers: &Headers, error: Unreachable) -> Option<Vec<u8>> {
    if headers.transport == Transport::IcmpError {
        return None;
    }
    let quoted = packet
        .bytes
        .get(..headers.len.min(headers.transport_at + QUOTED_TRANSPORT))?;
    let (code, [m0, m1]) = match error {
        Unreachable::FragmentationNeeded { mtu } => (4, mtu.to_be_bytes()),
        Unreachable::AdministrativelyProhibited => (13, [0, 0]),
    };
    let mut icmp = Vec::with_capacity(20 + 8 + quoted.len());
    let (src, dst) = (
        headers.tuple.dst.octets_v4()?,
        headers.tuple.src.octets_v4()?,
    );
    icmp.extend_from_slice(&ipv4_header(src, dst, Protocol::ICMP, 8 + quoted.len()));
    icmp.extend_from_slice(&[3, code, 0, 0, 0, 0, m0, m1]);
    icmp.extend_from_slice(quoted);
    set_checksum(icmp.get_mut(20..)?);
    Some(icmp)
}

/// The tuple of the packet that an ICMP error quotes, as it was on this wire; `None` if the quote is unusable.
pub fn quoted(packet: &Packet<'_>, headers: &Headers) -> Option<FiveTuple> {
    Some(quoted_headers(packet.bytes.get(headers.transport_at + 8..headers.len)?)?.tuple)
}

/// A router's report that a packet did not fit its next link (type 3, code 4; RFC 1191).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentationNeeded {
    /// What would fit, in bytes; 0 from a router that does not say.
    pub mtu: u16,
    /// Length of the packet that did not, in bytes; of a super-packet that of the whole.
    pub length: u16,
    /// If it was TCP: its sequence number.
    pub seq: u32,
}

impl FragmentationNeeded {
    /// What an ICMP error with a usable quote reports; `None` if it is another error.
    pub fn of(packet: &Packet<'_>, headers: &Headers) -> Option<Self> {
        let message = packet.bytes.get(headers.transport_at..headers.len)?;
        let (&[3, 4, _, _, _, _, m0, m1], quote) = message.split_first_chunk::<8>()? else {
            return None;
        };
        let &[first, _, l0, l1] = quote.first_chunk::<4>()?;
        let transport = quote.get(usize::from(first & 0xf) * 4..)?;
        let &[_, _, _, _, s0, s1, s2, s3] = transport.first_chunk::<QUOTED_TRANSPORT>()?;
        Some(Self {
            mtu: u16::from_be_bytes([m0, m1]),
            length: u16::from_be_bytes([l0, l1]),
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
        })
    }
}

/// Whether an ICMP error's checksums are right: its own, those of its IP header and of the one that it quotes (RFC 5508,
/// REQ-3). A quoted header with options is not verified: Linux records its route there and leaves the checksum as it was.
pub fn is_unharmed(packet: &Packet<'_>, headers: &Headers) -> bool {
    let quote = packet.bytes.get(headers.transport_at + 8..headers.len);
    let quoted = quote.and_then(|quote| quote.first_chunk::<PLAIN_HEADER>());
    packet.is_unharmed(headers)
        && quoted.is_none_or(|header| header[0] != 0x45 || checksum::sum(header) == u16::MAX)
}

/// Translates an ICMP error across a flow: the quoted packet becomes `quote`, of TCP with the sequence number that `seq` makes of
/// its own, and the error travels against it.
pub fn translate(
    packet: &mut Packet<'_>,
    headers: &Headers,
    quote: &FiveTuple,
    seq: impl FnOnce(u32) -> u32,
) {
    let outer = FiveTuple {
        src: quote.dst,
        dst: quote.src,
        ..headers.tuple
    };
    rewrite(packet, headers, &outer);
    let Some(message) = packet.bytes.get_mut(headers.transport_at..headers.len) else {
        return;
    };
    let before = checksum::sum(message);
    if let Some(inner) = message.get_mut(8..)
        && let Some(inner_headers) = quoted_headers(inner)
    {
        if let Transport::Tcp(_) = inner_headers.transport {
            // A quote may end before the checksum that goes with it.
            let _ = renumber_quote(inner, inner_headers.transport_at, seq);
        }
        rewrite(
            &mut Packet::new(&mut VnetHeader::default(), inner),
            &inner_headers,
            quote,
        );
    }
    adjust_checksum(message, before);
}

/// Overwrites the IP options of an ICMP error and of the packet that it quotes, before [`translate`].
pub fn hide_options(packet: &mut Packet<'_>, headers: &Headers) {
    packet.hide_options(headers);
    if let Some(quote) = packet.bytes.get_mut(headers.transport_at + 8..headers.len)
        && let Some(quoted) = quoted_headers(quote)
        && let Some(header) = quote.get_mut(..quoted.transport_at)
    {
        let _ = options::hide(header);
    }
}

/// The ICMP error without what stands behind the datagram that it quotes: an extension (RFC 4884), whose objects hold
/// addresses and names of the sender's side, and padding. `None` if nothing stands there.
pub fn without_extension(packet: &Packet<'_>, headers: &Headers) -> Option<Vec<u8>> {
    let (at, end) = (headers.transport_at, headers.len);
    let message = packet.bytes.get(at..end)?;
    let (words, quote) = (*message.get(LENGTH)?, message.get(8..)?);
    let kept = quoted_len(quote, words)?;
    if words == 0 && kept == quote.len() {
        return None;
    }
    let mut bytes = packet.bytes.get(..at + 8 + kept)?.to_vec();
    let (old, new) = (take16(&bytes, 2)?, bytes.len() as u16);
    let checksum = Delta::default().word(old, new).apply(take16(&bytes, 10)?);
    put16(&mut bytes, 2, new)?;
    put16(&mut bytes, 10, checksum)?;
    let before = checksum::sum(message);
    *bytes.get_mut(at + LENGTH)? = 0;
    adjust_checksum(bytes.get_mut(at..)?, before);
    Some(bytes)
}

/// How many bytes of a quote are the quoted datagram's, where the error's length field says `words`.
fn quoted_len(quote: &[u8], words: u8) -> Option<usize> {
    let stated = match words {
        0 if quote
            .get(QUOTED_BEFORE_EXTENSION..)
            .is_some_and(is_extension) =>
        {
            QUOTED_BEFORE_EXTENSION
        }
        0 => quote.len(),
        words => usize::from(words) * 4,
    };
    let datagram = usize::from(take16(quote, 2)?);
    // What `translate` needs is there, whatever the two lengths say.
    let least = quoted_headers(quote)?.transport_at + QUOTED_TRANSPORT;
    Some(stated.min(datagram).max(least).min(quote.len()))
}

/// Whether the bytes are an extension structure: version 2, and a checksum that is right or left out.
fn is_extension(bytes: &[u8]) -> bool {
    matches!(bytes, [0x20..=0x2f, _, 0, 0, ..])
        || matches!(bytes, [0x20..=0x2f, _, _, _, ..] if checksum::sum(bytes) == u16::MAX)
}

/// Adjusts the checksum of an ICMP message that has changed, and whose bytes had the sum `before`: a wrong one stays wrong.
fn adjust_checksum(message: &mut [u8], before: u16) {
    let delta = Delta::default().word(before, checksum::sum(message));
    if let Some(checksum) = take16(message, 2) {
        let _ = put16(message, 2, delta.apply(checksum));
    }
}

/// Completes an ICMP message's checksum.
fn set_checksum(message: &mut [u8]) {
    if let Some([_, _, c0, c1]) = message.first_chunk_mut::<4>() {
        (*c0, *c1) = (0, 0);
    }
    let checksum = !checksum::sum(message);
    if let Some([_, _, c0, c1]) = message.first_chunk_mut::<4>() {
        [*c0, *c1] = checksum.to_be_bytes();
    }
}

/// The headers of a quoted, and therefore truncated, packet: enough for [`rewrite`].
fn quoted_headers(bytes: &[u8]) -> Option<Headers> {
    let &[
        first,
        _,
        _,
        _,
        _,
        _,
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
    ] = bytes.first_chunk::<20>()?;
    let transport_at = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || transport_at < 20 || u16::from_be_bytes([f0, f1]) & 0x1fff != 0 {
        return None;
    }
    let &[p0, p1, p2, p3, i0, i1, _, _] = bytes
        .get(transport_at..)?
        .first_chunk::<QUOTED_TRANSPORT>()?;
    let (port0, port1) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([p2, p3]));
    let id = u16::from_be_bytes([i0, i1]);
    let (src_port, dst_port, transport) = match (Protocol(protocol), p0) {
        (Protocol::TCP, _) => (port0, port1, Transport::Tcp(NO_SEGMENT)),
        (Protocol::UDP, _) => (port0, port1, Transport::Udp),
        (Protocol::ICMP, 8) => (id, 0, Transport::EchoRequest),
        (Protocol::ICMP, 0) => (0, id, Transport::EchoReply),
        _ => return None,
    };
    Some(Headers {
        tuple: FiveTuple {
            protocol: Protocol(protocol),
            src: Addr::v4([s0, s1, s2, s3]),
            src_port,
            dst: Addr::v4([d0, d1, d2, d3]),
            dst_port,
        },
        transport,
        transport_at,
        len: bytes.len(),
        wire_len: bytes.len(),
        payload_len: 0,
    })
}

/// A quote ends before the fields that a [`Segment`] would describe.
const NO_SEGMENT: Segment = Segment {
    seq: 0,
    ack: 0,
    flags: 0,
    window: 0,
    payload_len: 0,
};
