//! Other sequence numbers for a TCP segment, its checksum updated: for a stream that has become longer on one side of a NAT.

use super::checksum::{self, Delta};
use super::segment::TCP_CHECKSUM;
use super::tcp::{self, seq_le};
use super::{Addr, Headers, Packet, Protocol};

const SEQ: usize = 4;
const ACK: usize = 8;
const WINDOW: usize = 14;
/// Where options begin.
const OPTIONS: usize = 20;
const NO_OPERATION: u8 = 1;
const SACK: u8 = 5;

/// Gives a segment another sequence number.
pub fn renumber_seq(packet: &mut Packet<'_>, headers: &Headers, seq: u32) {
    edit(packet, headers, |header| put32(header, SEQ, seq));
}

/// Gives a segment another acknowledgement, and the window that goes with it.
pub fn renumber_ack(packet: &mut Packet<'_>, headers: &Headers, ack: u32, window: u16) {
    edit(packet, headers, |header| {
        put32(header, ACK, ack)?;
        *header.get_mut(WINDOW..)?.first_chunk_mut()? = window.to_be_bytes();
        Some(())
    });
}

/// Takes out of a segment's selective acknowledgements what lies before `first` (RFC 2018; RFC 2883 for what came twice).
pub fn forget_sacks(packet: &mut Packet<'_>, headers: &Headers, first: u32) {
    edit(packet, headers, |header| {
        let options = header.get_mut(OPTIONS..)?;
        let (at, len) = tcp::options(options)
            .find(|(_, option)| option.first() == Some(&SACK))
            .map(|(at, option)| (at, option.len()))?;
        let blocks = options.get_mut(at + 2..at + len)?;
        let mut kept = 0;
        for from in (0..blocks.len() / 8 * 8).step_by(8) {
            let block = *blocks.get(from..)?.first_chunk::<8>()?;
            let [s0, s1, s2, s3, e0, e1, e2, e3] = block;
            let (start, end) = ([s0, s1, s2, s3], [e0, e1, e2, e3]);
            if seq_le(u32::from_be_bytes(end), first) {
                continue;
            }
            let start = match seq_le(first, u32::from_be_bytes(start)) {
                true => start,
                false => first.to_be_bytes(),
            };
            *blocks.get_mut(kept..)?.first_chunk_mut()? = start;
            *blocks.get_mut(kept + 4..)?.first_chunk_mut()? = end;
            kept += 8;
        }
        blocks.get_mut(kept..)?.fill(NO_OPERATION);
        match kept {
            0 => options.get_mut(at..at + 2)?.fill(NO_OPERATION),
            kept => *options.get_mut(at + 1)? = 2 + kept as u8,
        }
        Some(())
    });
}

/// The segment alone, without the data that came with it; its checksums complete.
pub fn without_payload(packet: &Packet<'_>, headers: &Headers) -> Option<Vec<u8>> {
    let header_len = usize::from(packet.bytes.get(headers.transport_at + 12)? >> 4) * 4;
    let mut bytes = packet
        .bytes
        .get(..headers.transport_at + header_len)?
        .to_vec();
    let len = bytes.len() as u16;
    let (ip, segment) = bytes.split_at_mut_checked(headers.transport_at)?;
    *ip.get_mut(2..)?.first_chunk_mut()? = len.to_be_bytes();
    ip.get_mut(10..12)?.fill(0);
    let sum = !checksum::sum(ip);
    *ip.get_mut(10..)?.first_chunk_mut()? = sum.to_be_bytes();
    let address = |at: usize| Some(Addr::v4(*ip.get(at..)?.first_chunk()?));
    let (src, dst) = (address(12)?, address(16)?);
    segment.get_mut(TCP_CHECKSUM..TCP_CHECKSUM + 2)?.fill(0);
    let sum = checksum::transport(src, dst, Protocol::TCP, segment);
    *segment.get_mut(TCP_CHECKSUM..)?.first_chunk_mut()? = sum.to_be_bytes();
    Some(bytes)
}

/// As [`renumber_seq`], for the quote in an ICMP error, which may end behind the sequence number.
pub(super) fn renumber_quote(
    quote: &mut [u8],
    transport_at: usize,
    seq: impl FnOnce(u32) -> u32,
) -> Option<()> {
    let field = quote.get_mut(transport_at + SEQ..)?.first_chunk_mut()?;
    let old = *field;
    *field = seq(u32::from_be_bytes(old)).to_be_bytes();
    let delta = Delta::default().v4(old, *field);
    let sum = quote
        .get_mut(transport_at + TCP_CHECKSUM..)?
        .first_chunk_mut()?;
    *sum = delta.apply(u16::from_be_bytes(*sum)).to_be_bytes();
    Some(())
}

/// Changes a TCP header, and the checksum by the difference.
fn edit(
    packet: &mut Packet<'_>,
    headers: &Headers,
    change: impl FnOnce(&mut [u8]) -> Option<()>,
) -> Option<()> {
    let is_partial = packet.vnet.needs_csum();
    let segment = packet.bytes.get_mut(headers.transport_at..)?;
    let len = usize::from(*segment.get(12)? >> 4) * 4;
    let header = segment.get_mut(..len)?;
    let before = checksum::sum(header);
    change(header)?;
    let delta = Delta::default().word(before, checksum::sum(header));
    // With NEEDS_CSUM the field holds the pseudo-header's sum only, which this does not change.
    if !is_partial {
        let field = header.get_mut(TCP_CHECKSUM..)?.first_chunk_mut()?;
        *field = delta.apply(u16::from_be_bytes(*field)).to_be_bytes();
    }
    Some(())
}

fn put32(bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}
