//! Which targets a node has found unhealthy: a bit for each, written by health checks and read without a lock by packets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::config::TargetIdx;

/// Words in one piece: the bits of 4,096 targets.
const PIECE: usize = 64;
/// Pieces: of a million targets. What lies beyond counts as healthy.
const PIECES: usize = 256;

/// A bit for every [`TargetIdx`], in pieces that are made when they are first needed and stay where they are.
pub(super) struct Health {
    unhealthy: Box<[OnceLock<Box<[AtomicU64; PIECE]>>]>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            unhealthy: (0..PIECES).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Health {
    /// Bits to a word.
    pub(super) const BITS: u32 = u64::BITS;

    /// The unhealthy ones of the 64 targets in this word.
    #[inline]
    pub(super) fn unhealthy(&self, word: u32) -> u64 {
        let piece = self.unhealthy.get(word as usize / PIECE);
        piece
            .and_then(OnceLock::get)
            .and_then(|words| words.get(word as usize % PIECE))
            .map_or(0, |word| word.load(Relaxed))
    }

    /// Is this target healthy?
    pub(super) fn is_healthy(&self, target: TargetIdx) -> bool {
        let (word, bit) = (target.index() / Self::BITS, target.index() % Self::BITS);
        self.unhealthy(word) & (1 << bit) == 0
    }

    /// Notes that a target is healthy, or is not.
    pub(super) fn set(&self, target: TargetIdx, healthy: bool) {
        let word = (target.index() / Self::BITS) as usize;
        let bit = 1 << (target.index() % Self::BITS);
        let Some(piece) = self.unhealthy.get(word / PIECE) else {
            return;
        };
        if healthy && piece.get().is_none() {
            return;
        }
        let words = piece.get_or_init(|| Box::new([const { AtomicU64::new(0) }; PIECE]));
        if let Some(word) = words.get(word % PIECE) {
            match healthy {
                true => word.fetch_and(!bit, Relaxed),
                false => word.fetch_or(bit, Relaxed),
            };
        }
    }
}
