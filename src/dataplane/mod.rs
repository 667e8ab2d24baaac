//! The pure core: packets and time in; packets, events and deadlines out. No sockets, no files, no clock.
//!
//! The grammar. A [`Dataplane`] is shared by all threads; each worker thread owns one [`Worker`].
//!
//! ```text
//! apply(config, now)                                       the topology, once per change
//! resume(&mut worker)                                      before each batch: see the newest snapshot
//!   handle_packet(&mut worker, from, &mut packet, now)     -> Verdict: rewritten in place, and where to
//!   handle_timeout(&mut worker, now)                       when poll_timeout's deadline has come
//!   poll_transmit(&mut worker)                             -> packets that the core itself originates
//!   poll_timeout(&worker)                                  -> Deadline { at, reason }
//! park(&mut worker)                                        before sleeping: it holds nothing any more
//! ```
//!
//! Invariant: a run is reproducible. Time comes as an argument and randomness from the seed in [`Settings`].
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

pub mod config;
mod idx;
mod time;
mod verdict;

pub use config::{DataplaneConfig, EniIdx};
pub use idx::{Idx, IdxAllocator, Table};
pub use time::Instant;
pub use verdict::{DropReason, Verdict};

/// What is fixed for the life of a data plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers there will be.
    pub workers: usize,
    /// Seeds hashing, port choice and sequence numbers.
    pub seed: u64,
    /// MTU of the instances' interfaces, in bytes.
    pub mtu: u16,
    /// How many flows may live at once.
    pub max_flows: usize,
}
