//! What the shell tells the daemon unasked.

use crate::dataplane::{EniIdx, Event};
use crate::net::GsoType;

/// Something happened underneath; the packets of other interfaces go on.
#[derive(Debug)]
pub enum IoEvent {
    /// An instance's link was deleted. Packets to it are dropped as `InterfaceGone`.
    LinkGone {
        /// Whose link.
        eni: EniIdx,
        /// The namespace that it stood in.
        namespace: String,
        /// What reading it ended with.
        error: std::io::Error,
    },
    /// A namespace lost its name (`ip netns delete`). The links of its interfaces were closed.
    NamespaceGone {
        /// The name.
        namespace: String,
        /// Whose links were in it.
        enis: Vec<EniIdx>,
    },
    /// The kernel refuses super-packets of this kind, which costs much of the throughput; they are cut in software now.
    SplitFallback {
        /// The kind.
        kind: GsoType,
    },
    /// The data plane has something to tell.
    Core(Event),
    /// A thread has failed. Its work begins anew within a second; a worker reads its TUNs again.
    ThreadFailed {
        /// Its name: `worker-0`, `netns-watch`.
        thread: String,
        /// Why.
        reason: String,
    },
}
