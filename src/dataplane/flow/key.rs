//! What a flow side is found by.

use super::super::config::EniIdx;
use crate::net::{Addr, FiveTuple, Protocol};

/// One side of a flow: where its packets enter, and their five-tuple there.
///
/// The interface is part of the key, so a neighbour that forges the five-tuple of somebody else's flow finds nothing: a
/// hit *is* the source check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The interface through which the packets of this side enter.
    pub ingress: EniIdx,
    /// Their protocol, addresses and ports.
    pub tuple: FiveTuple,
}

/// A [`FlowKey`] in the form in which it is hashed, compared and stored.
pub(in crate::dataplane) type Words = [u64; 6];

impl FlowKey {
    #[inline]
    pub(in crate::dataplane) const fn to_words(self) -> Words {
        let Self { ingress, tuple } = self;
        let ([s0, s1], [d0, d1]) = (tuple.src.to_words(), tuple.dst.to_words());
        let place =
            (ingress.index() as u64) << 32 | (tuple.src_port as u64) << 16 | tuple.dst_port as u64;
        let kind = (ingress.generation() as u64) << 32 | tuple.protocol.0 as u64;
        [s0, s1, d0, d1, place, kind]
    }

    #[inline]
    pub(super) const fn from_words([s0, s1, d0, d1, place, kind]: Words) -> Self {
        Self {
            ingress: EniIdx::new((place >> 32) as u32, (kind >> 32) as u32),
            tuple: FiveTuple {
                protocol: Protocol(kind as u8),
                src: Addr::from_words([s0, s1]),
                src_port: (place >> 16) as u16,
                dst: Addr::from_words([d0, d1]),
                dst_port: place as u16,
            },
        }
    }
}
