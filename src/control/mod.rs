//! The control plane: what the operator wants, in AWS's words.
//!
//! Invariant: a [`ControlState`] changes only by a [`Command`], which happens as a whole or is refused with
//! [`ControlErrors`]; what stands in it is valid, and every reference in it resolves. [`compile`] makes the data plane's
//! configuration of it: pure, and equal for equal commands.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod checks;
pub mod command;
mod compile;
mod domain_name;
mod error;
mod hash;
pub mod id;
mod ipam;
pub mod lifecycle;
pub mod model;
mod parse;
mod plan;
mod state;
mod store;
mod successor;
pub mod verification;

pub use command::{Command, Created};
pub use compile::compile;
pub use domain_name::DomainName;
pub use error::{ControlError, ControlErrors, Named, Route53Error};
pub use id::Owner;
pub use lifecycle::{ServiceState, State};
pub use model::*;
pub use plan::{Change, ChangeAction, PropertyChange, plan};
pub use state::ControlState;
pub use verification::DnsNameState;

#[cfg(test)]
mod tests;
