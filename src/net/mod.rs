//! Values and wire formats: addresses, the packet view, five-tuples, rewriting, checksums, ICMP.
//!
//! Nothing here has state or a clock. Every function is total: hostile bytes end in an `Err`, never in a panic.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod addr;
mod vnet;

pub use addr::Addr;
pub use vnet::{GsoType, VnetHeader};
