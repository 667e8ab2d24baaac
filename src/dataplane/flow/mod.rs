//! Flows: a conversation with two sides, of which NAT is the difference.
//!
//! The flow *is* the security groups' state: what hits one has been admitted. `table` finds it, `slot` is its memory,
//! `state` its life, `header` what a PROXY header does to it, `path` which packets fit, `buckets` the concurrent index.

mod buckets;
mod header;
mod key;
mod path;
mod slot;
mod state;
mod table;

pub(super) use header::Passage;
pub use key::FlowKey;
pub use slot::{Flow, Side, Terms};
pub use state::{Admission, Newcomer, State};
pub use table::FlowTable;
pub(super) use table::{Claim, FlowCache, OpenError, Opened, Request};
