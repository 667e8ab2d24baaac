//! privlink: AWS PrivateLink for Linux, in userspace.
//!
//! Layers, each knowing only what stands to its left (`tests/layers.rs` enforces it):
//!
//! ```text
//! net  <-  dataplane  <-  { io , control::compile }  <-  daemon  <-  cli
//! ```
//!
//! Start reading at `dataplane/pipeline.rs`: the packet's way on one screen.

// They panic where they cannot write, and wait where nothing is read: `daemon/tell.rs` and `cli/output.rs` print.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro)]

pub mod cli;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod io;
pub mod net;
pub mod sim;
pub mod template;
