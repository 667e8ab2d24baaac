//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use super::{Addr, Protocol};

/// A change to the words that a checksum covers: the sum of what went away, complemented, and what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u64);

impl Delta {
    /// One 16-bit word changes.
    #[inline]
    pub const fn word(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// An IPv4 address changes (its 16 meaningful bits at a time).
    #[inline]
    pub const fn v4(self, old: [u8; 4], new: [u8; 4]) -> Self {
        let (old, new) = (u32::from_be_bytes(old), u32::from_be_bytes(new));
        Self(
            self.0
                + (!old >> 16) as u64
                + (!old & 0xffff) as u64
                + (new >> 16) as u64
                + (new & 0xffff) as u64,
        )
    }

    /// Both changes.
    #[inline]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum after the change: RFC 1624, equation 3.
    #[inline]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(self.0 + !checksum as u64)
    }

    /// The *uncomplemented* sum after the change: what the field of a packet marked `NEEDS_CSUM` holds.
    #[inline]
    pub const fn apply_partial(self, sum: u16) -> u16 {
        fold(self.0 + sum as u64)
    }
}

/// Folds a sum of 16-bit words to 16 bits with end-around carry.
#[inline]
pub const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The uncomplemented sum of `bytes` as big-endian words, an odd last byte padded with zero.
pub fn sum(bytes: &[u8]) -> u16 {
    // smoltcp's is the fastest found; it returns the sum folded and not complemented.
    smoltcp::wire::checksum::data(bytes)
}

/// The uncomplemented sum of the pseudo-header (RFC 9293, 3.1): addresses, protocol and transport length.
pub fn pseudo_header(src: Addr, dst: Addr, protocol: Protocol, len: usize) -> u16 {
    let words = |addr: Addr| match addr.octets_v4() {
        Some([a, b, c, d]) => {
            u64::from(u16::from_be_bytes([a, b])) + u64::from(u16::from_be_bytes([c, d]))
        }
        None => addr
            .to_words()
            .iter()
            .map(|w| (w >> 48) + (w >> 32 & 0xffff) + (w >> 16 & 0xffff) + (w & 0xffff))
            .sum(),
    };
    fold(words(src) + words(dst) + u64::from(protocol.0) + len as u64)
}

/// The checksum of a transport segment (header and payload, its checksum field zero) under its pseudo-header.
pub fn transport(src: Addr, dst: Addr, protocol: Protocol, segment: &[u8]) -> u16 {
    !fold(u64::from(pseudo_header(src, dst, protocol, segment.len())) + u64::from(sum(segment)))
}
