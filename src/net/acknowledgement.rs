//! Acknowledgements that do nothing else: of those that wait together, a flow's last says what all of them say.
//!
//! ACK filtering (RFC 3449, 5.2.1), under stricter conditions than those of the kernel's `cake` (`ack-filter`): one that acknowledges no
//! more than the one before it puts nothing out, and one that tells of a loss (SACK) or of congestion (ECN), or carries anything but
//! timestamps, is left alone. Only those whose TCP checksum is still to be completed are looked at: nobody has to vouch for one that a
//! sender may have got wrong.

use std::ops::Range;

use zerocopy::FromBytes;

use super::checksum::Delta;
use super::segment::take16;
use super::tcp::seq_le;
use super::{Protocol, Segment, VnetHeader};

/// IPv4 and TCP headers without options, and with timestamps as every host lays them out (RFC 7323, appendix A).
const BARE: usize = 40;
const WITH_TIMESTAMPS: usize = 52;
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// A pure acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement<'a> {
    packet: &'a [u8],
}

impl<'a> Acknowledgement<'a> {
    /// The [vnet header][packet], if it is one.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (vnet, packet) = VnetHeader::ref_from_prefix(bytes).ok()?;
        let headers = packet.first_chunk::<BARE>()?;
        let [0x45, _, _, _, _, _, fragment, offset, _, protocol, ..] = *headers else {
            return None;
        };
        let [length, flags] = *headers.get(32..34)?.first_chunk()?;
        let options = packet.get(BARE..)?;
        let has_shape = match packet.len() {
            BARE => length == 0x50,
            WITH_TIMESTAMPS => length == 0x80 && options.starts_with(&TIMESTAMPS),
            _ => false,
        };
        let is_one = has_shape
            && flags == Segment::ACK
            && Protocol(protocol) == Protocol::TCP
            && (fragment & 0x3f, offset) == (0, 0)
            && vnet.needs_csum()
            && vnet.gso_type == 0;
        is_one.then_some(Self { packet })
    }

    /// Can the [vnet header][packet] be of the same flow, in the same direction? So is held whatever has the same addresses
    /// and does not show its ports.
    #[inline]
    pub fn may_be_of_flow(&self, bytes: &[u8]) -> bool {
        let packet = bytes.get(VnetHeader::LEN..).unwrap_or_default();
        let shows_ports = packet.first() == Some(&0x45)
            && packet.get(6).is_some_and(|fragment| fragment & 0x3f == 0)
            && packet.get(7) == Some(&0);
        self.is_like(packet, 12..20) && (!shows_ports || self.is_like(packet, 20..24))
    }

    /// Does it acknowledge more than one before it, and is it otherwise like that one, but for its window?
    #[inline]
    pub fn supersedes(&self, before: &Self) -> bool {
        // Version, type of service, length; don't fragment, time to live, protocol; addresses, ports, sequence number; length of
        // the header, flags; urgent pointer. All but identification, acknowledgement, window and the checksums.
        let alike = [0..4, 6..10, 12..28, 32..34, 38..40];
        alike.into_iter().all(|range| self.is_like(before.packet, range))
            && self.has_as_right_a_header(before)
            && self.number(28) != before.number(28)
            // Timestamps: the sender's own, the one that it echoes.
            && [28, 44, 48].iter().all(|&at| match (before.number(at), self.number(at)) {
                (Some(old), Some(new)) => seq_le(old, new),
                (old, new) => old == new,
            })
    }

    /// Whether its IP header's checksum differs from the other's by what its identification does: that both are right, or wrong.
    #[inline]
    fn has_as_right_a_header(&self, before: &Self) -> bool {
        let words = |at| take16(before.packet, at).zip(take16(self.packet, at));
        words(4)
            .zip(words(10))
            .is_some_and(|((old_id, id), (old_sum, sum))| {
                Delta::default().word(old_id, id).apply(old_sum) == sum
            })
    }

    #[inline]
    fn is_like(&self, packet: &[u8], range: Range<usize>) -> bool {
        self.packet.get(range.clone()) == packet.get(range)
    }

    #[inline]
    fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.packet.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use etherparse::PacketBuilder;
    use zerocopy::IntoBytes;

    use super::*;

    const VNET: usize = VnetHeader::LEN;

    /// [vnet header][packet] of a TCP segment with flag ACK.
    fn segment(number: u32, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            ..VnetHeader::default()
        };
        let mut packet = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(80, 40_000, 7, 512)
            .ack(number)
            .options_raw(options)
            .unwrap()
            .write(&mut packet, payload)
            .unwrap();
        [vnet.as_bytes(), &packet].concat()
    }

    /// One that acknowledges up to `number`, sent at `value` and echoing `echo`.
    fn ack(number: u32, value: u32, echo: u32) -> Vec<u8> {
        let stamps = [value.to_be_bytes(), echo.to_be_bytes()].concat();
        segment(number, &[&TIMESTAMPS[..], &stamps].concat(), &[])
    }

    fn supersedes(new: &[u8], old: &[u8]) -> bool {
        let both = Acknowledgement::of(new).zip(Acknowledgement::of(old));
        both.is_some_and(|(new, before)| new.may_be_of_flow(old) && new.supersedes(&before))
    }

    /// Flips one bit, behind the vnet header.
    fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[VNET + bit / 8] ^= 1 << (bit % 8);
        bytes
    }

    #[test]
    fn only_one_that_acknowledges_more_says_all_that_another_says() {
        let old = ack(1000, 50, 60);
        for (new, expected) in [
            (ack(1001, 50, 60), true),
            (ack(1001, 51, 61), true),
            // It repeats the number: a sign of loss, an answer to a keep-alive or a probe, a new window.
            (ack(1000, 51, 61), false),
            (ack(999, 51, 61), false),
            (ack(1001, 49, 60), false),
            (ack(1001, 50, 59), false),
            (segment(1001, &[], &[]), false),
        ] {
            assert_eq!(supersedes(&new, &old), expected, "{new:?}");
        }
        assert!(supersedes(
            &ack(5, 3, 3),
            &ack(u32::MAX - 5, u32::MAX, u32::MAX)
        ));
        assert!(supersedes(&segment(2, &[], &[]), &segment(1, &[], &[])));
    }

    #[test]
    fn nothing_else_may_differ() {
        // Acknowledgement; window and TCP's checksum; timestamps. Identification and IP's checksum differ together only.
        let free = [28..32, 34..38, 44..52];
        let (old, new) = (
            ack(1000, 50, 60),
            ack(0x7fff_0000, 0x7fff_0000, 0x7fff_0000),
        );
        for bit in 0..52 * 8 {
            let may_differ = free.iter().any(|range| range.contains(&(bit / 8)));
            if !may_differ {
                assert!(!supersedes(&flipped(&new, bit), &old), "byte {}", bit / 8);
                assert!(!supersedes(&new, &flipped(&old, bit)), "byte {}", bit / 8);
            }
        }
        let mut window = new.clone();
        window[VNET + 34..VNET + 36].fill(0);
        assert!(supersedes(&window, &old));
        let mut later = new.clone();
        later[VNET + 4..VNET + 6].copy_from_slice(&[0, 7]);
        assert!(
            !supersedes(&later, &old),
            "its IP header's checksum is wrong"
        );
        later[VNET + 10..VNET + 12].fill(0);
        let sum = !crate::net::checksum::sum(&later[VNET..VNET + 20]);
        later[VNET + 10..VNET + 12].copy_from_slice(&sum.to_be_bytes());
        assert!(supersedes(&later, &old));
    }

    #[test]
    fn what_says_more_than_an_acknowledgement_is_none() {
        let is_one = |bytes: &[u8]| Acknowledgement::of(bytes).is_some();
        assert!(is_one(&ack(1, 2, 3)) && is_one(&segment(1, &[], &[])));
        let sack = [&[1, 1, 5, 10][..], &[0; 8]].concat();
        assert!(!is_one(&segment(1, &sack, &[])));
        assert!(!is_one(&segment(1, &[], &[1])));
        assert!(!is_one(&segment(1, &[], &[1; 12])));
        for flag in 0..8 {
            // FIN, SYN, RST, PSH, ACK, URG, ECE, CWR.
            assert!(!is_one(&flipped(&ack(1, 2, 3), 33 * 8 + flag)), "{flag}");
        }
        let finished = [&[0; VNET][..], &ack(1, 2, 3)[VNET..]].concat();
        assert!(!is_one(&finished));
        let mut to_cut = ack(1, 2, 3);
        to_cut[1] = 1;
        assert!(!is_one(&to_cut));
        for short in 0..ack(1, 2, 3).len() {
            assert!(!is_one(&ack(1, 2, 3)[..short]), "{short}");
        }
    }

    #[test]
    fn what_does_not_show_its_ports_may_be_of_the_flow() {
        let bytes = ack(1, 2, 3);
        let ack = Acknowledgement::of(&bytes).unwrap();
        let with_byte = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[VNET + at] = value;
            bytes
        };
        assert!(ack.may_be_of_flow(&bytes));
        let (address, port) = (with_byte(19, 9), with_byte(21, 9));
        assert!(!ack.may_be_of_flow(&address) && !ack.may_be_of_flow(&port));
        for (at, value) in [(0, 0x46), (6, 0x20), (6, 0x01), (7, 1)] {
            let mut hidden = with_byte(at, value);
            hidden[VNET + 21] = 9;
            assert!(ack.may_be_of_flow(&hidden), "byte {at}");
        }
        assert!(!ack.may_be_of_flow(&[]));
    }
}
