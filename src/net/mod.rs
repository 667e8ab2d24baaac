//! Values and wire formats: addresses, the packet view, five-tuples, rewriting, checksums, ICMP.
//!
//! Nothing here has state or a clock. Every function is total: hostile bytes end in an `Err`, never in a panic.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unsafe_code
)]

mod acknowledgement;
mod addr;
pub mod checksum;
mod coalesce;
mod fragment;
pub mod icmp;
mod options;
mod packet;
mod parse;
pub mod proxy;
mod reassembly;
mod renumber;
mod rewrite;
pub mod segment;
pub mod tcp;
mod tuple;
mod vnet;

pub use acknowledgement::Acknowledgement;
pub use addr::Addr;
pub use coalesce::Coalesced;
pub use packet::Packet;
pub use parse::{Headers, ParseError, Transport};
pub use reassembly::{Assembly, Fragment, FragmentError, identify};
pub use renumber::{forget_sacks, renumber_ack, renumber_seq, without_payload};
pub use rewrite::rewrite;
pub use tcp::Segment;
pub use tuple::{FiveTuple, Protocol};
pub use vnet::{GsoType, VnetHeader};
