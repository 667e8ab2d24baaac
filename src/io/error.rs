//! What can go wrong between the daemon and the kernel: each variant names the thing and what would be right.

use std::io;

/// An operation on a namespace, a link or a worker thread failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel wants a capability that this process lacks.
    #[error(
        "{doing} needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN): run privlink as root, for example with sudo"
    )]
    NotPermitted {
        /// What was tried, as the subject of a sentence.
        doing: String,
    },
    /// A name that cannot be a file in /run/netns.
    #[error(
        "`{name}` cannot name a network namespace: 1 to 255 bytes, no `/`, not `.` or `..`, no NUL"
    )]
    BadNamespaceName {
        /// The name.
        name: String,
    },
    /// A file of that name is there, but no namespace is mounted on it.
    #[error(
        "/run/netns/{name} is a plain file, not a network namespace: remove it with `ip netns delete {name}`"
    )]
    NotANamespace {
        /// The namespace's name.
        name: String,
    },
    /// A system call on a namespace failed.
    #[error("network namespace `{name}`: cannot {doing}")]
    Namespace {
        /// The namespace's name.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The link that we want to create exists.
    #[error(
        "network namespace `{namespace}` has a link `{link}` already: if another privlink daemon made it, end that one with \
         `privlink down`; if it is a leftover, delete it with `ip -n {namespace} link delete {link}`"
    )]
    LinkExists {
        /// The namespace's name.
        namespace: String,
        /// The link's name.
        link: String,
    },
    /// The TUN driver is not there.
    #[error("/dev/net/tun is missing: load the driver with `modprobe tun`")]
    NoTunDriver,
    /// A system call on a TUN failed.
    #[error("link `{link}` in network namespace `{namespace}`: cannot {doing}")]
    Link {
        /// The namespace's name.
        namespace: String,
        /// The link's name.
        link: String,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("link `{link}` in network namespace `{namespace}`: cannot {doing}")]
    Netlink {
        /// The namespace's name.
        namespace: String,
        /// The link's name.
        link: String,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// A worker or watcher thread could not be set up.
    #[error("cannot {doing}")]
    Thread {
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// A failed system call on a namespace.
    pub(super) fn namespace(name: &str, doing: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted {
                doing: format!("to {doing} (network namespace `{name}`)"),
            },
            _ => Self::Namespace {
                name: name.to_owned(),
                doing,
                source,
            },
        }
    }
}
