//! The shell around the pure core: network namespaces, TUN devices, worker threads and the clock.
//!
//! ```text
//! privileged::open_namespace(name) -> Namespace        existing ones are used, missing ones made
//! privileged::open_tun(&namespace, &spec) -> Tun       `eni0`, configured and up
//! Workers::start(dataplane, tuns, options)             packets flow; IoEvents come out
//!   workers.add(eni, tun) / remove(eni) / wake()       changes; wake after Dataplane::apply
//!   workers.stop()
//! privileged::delete_namespace(name, id)               only what we made
//! ```
//!
//! Nothing here knows what AWS would do with a packet: it carries bytes between descriptors and the core.

mod aio;
mod clock;
mod enter;
mod error;
mod etc_netns;
mod event;
mod link;
mod mailbox;
mod netns;
mod outlet;
mod polling;
pub mod privileged;
mod roster;
mod supervise;
mod suspects;
mod tun;
mod watch;
mod worker;
mod workers;

pub use clock::Clock;
pub use enter::enter;
pub use error::Error;
pub use etc_netns::Standing;
pub use event::IoEvent;
pub use netns::{NETNS_DIR, Namespace, NamespaceId, Removal};
pub use supervise::caught;
pub use tun::{LINK_NAME, Offload, TX_QUEUE_LEN, Tun, TunSpec};
pub use workers::{Waker, WorkerOptions, Workers};
