//! The shell around the pure core: network namespaces, TUN devices, worker threads and the clock.
//!
//! ```text
//! privileged::open_namespace(name) -> Namespace        existing ones are used, missing ones made
//! privileged::open_tun(&namespace, &spec) -> Tun       `eni0`, configured and up
//! privileged::delete_namespace(name, id)               only what we made
//! ```
//!
//! Nothing here knows what AWS would do with a packet: it carries bytes between descriptors and the core.

mod clock;
mod error;
mod link;
mod netns;
pub mod privileged;
mod tun;

pub use clock::Clock;
pub use error::Error;
pub use netns::{NETNS_DIR, Namespace, NamespaceId, Removal};
pub use tun::{LINK_NAME, Offload, TX_QUEUE_LEN, Tun, TunSpec};
