//! What a node knows of its targets' health: two bits for each, written by health checks and read without a lock by packets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::config::TargetIdx;

/// Words in one piece: the bits of 4,096 targets.
const PIECE: usize = 64;
/// Pieces: of a million targets. What lies beyond counts as healthy.
const PIECES: usize = 256;

/// Which targets are not in service, and which of them because they have failed: the others have yet to pass.
#[derive(Default)]
pub(super) struct Health {
    unhealthy: Bits,
    failed: Bits,
}

/// A bit for every [`TargetIdx`], in pieces that are made when they are first needed and stay where they are.
struct Bits {
    pieces: Box<[OnceLock<Box<[AtomicU64; PIECE]>>]>,
}

impl Default for Bits {
    fn default() -> Self {
        Self {
            pieces: (0..PIECES).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Health {
    /// Bits to a word.
    pub(super) const BITS: u32 = u64::BITS;

    /// The unhealthy ones of the 64 targets in this word.
    #[inline]
    pub(super) fn unhealthy(&self, word: u32) -> u64 {
        self.unhealthy.word(word)
    }

    /// Is this target healthy?
    pub(super) fn is_healthy(&self, target: TargetIdx) -> bool {
        !self.unhealthy.has(target)
    }

    /// Has this target been found unhealthy?
    pub(super) fn has_failed(&self, target: TargetIdx) -> bool {
        self.failed.has(target)
    }

    /// Notes that a target is healthy, or is not.
    pub(super) fn set(&self, target: TargetIdx, healthy: bool) {
        self.unhealthy.set(target, !healthy);
    }

    /// Notes that a target has failed, or has not.
    pub(super) fn set_failed(&self, target: TargetIdx, failed: bool) {
        self.failed.set(target, failed);
    }
}

impl Bits {
    #[inline]
    fn word(&self, word: u32) -> u64 {
        let piece = self.pieces.get(word as usize / PIECE);
        piece
            .and_then(OnceLock::get)
            .and_then(|words| words.get(word as usize % PIECE))
            .map_or(0, |word| word.load(Relaxed))
    }

    fn has(&self, target: TargetIdx) -> bool {
        let bit = 1 << (target.index() % Health::BITS);
        self.word(target.index() / Health::BITS) & bit != 0
    }

    fn set(&self, target: TargetIdx, value: bool) {
        let word = (target.index() / Health::BITS) as usize;
        let bit = 1 << (target.index() % Health::BITS);
        let Some(piece) = self.pieces.get(word / PIECE) else {
            return;
        };
        if !value && piece.get().is_none() {
            return;
        }
        let words = piece.get_or_init(|| Box::new([const { AtomicU64::new(0) }; PIECE]));
        if let Some(word) = words.get(word % PIECE) {
            match value {
                true => word.fetch_or(bit, Relaxed),
                false => word.fetch_and(!bit, Relaxed),
            };
        }
    }
}
