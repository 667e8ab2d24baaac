//! Named network namespaces, the way `ip netns` keeps them: a file in /run/netns with the namespace bind-mounted on it.
//!
//! Invariant: the process's own threads never change namespace. Whatever has to happen inside of one happens on a thread
//! made for it ([`Namespace::run`]), which ends there. Source: iproute2's ip/ipnetns.c.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive};
use rustix::mount::{mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use serde::{Deserialize, Serialize};

use super::error::Error;

/// Where `ip netns` keeps named namespaces.
pub const NETNS_DIR: &str = "/run/netns";

/// `f_type` of the file system that namespaces live on (include/uapi/linux/magic.h).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// What tells a namespace from another that has taken its name: the inode on nsfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamespaceId {
    /// The nsfs device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

/// An open network namespace. The descriptor keeps it alive, whatever becomes of its name.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    id: NamespaceId,
    created: bool,
    fd: OwnedFd,
}

/// What a deletion found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was there and is gone now.
    Removed,
    /// There was nothing to delete.
    AlreadyGone,
    /// Another object has the name by now; it was left alone.
    NotOurs,
}

impl Namespace {
    /// Opens the namespace of this name; `None` if there is none.
    pub fn open(name: &str) -> Result<Option<Self>, Error> {
        let path = path_of(name)?;
        let fd = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Error::namespace(name, "open it", errno)),
        };
        let stat_failed = |errno| Error::namespace(name, "stat it", errno);
        if rustix::fs::fstatfs(&fd).map_err(stat_failed)?.f_type as i64 != NSFS_MAGIC {
            return Err(Error::NotANamespace {
                name: name.to_owned(),
            });
        }
        let stat = rustix::fs::fstat(&fd).map_err(stat_failed)?;
        Ok(Some(Self {
            name: name.to_owned(),
            id: NamespaceId {
                dev: stat.st_dev,
                ino: stat.st_ino,
            },
            created: false,
            fd,
        }))
    }

    /// Opens the namespace of this name, creating it if there is none.
    pub(super) fn open_or_create(name: &str) -> Result<Self, Error> {
        if let Some(existing) = Self::open(name)? {
            return Ok(existing);
        }
        create(name)?;
        match Self::open(name)? {
            Some(namespace) => Ok(Self {
                created: true,
                ..namespace
            }),
            None => Err(Error::namespace(name, "open it", Errno::NOENT)),
        }
    }

    /// Its name in /run/netns.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity, for the record of what is to be cleaned up.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// Was it missing, so that we made it and will remove it?
    pub fn created(&self) -> bool {
        self.created
    }

    /// Moves the calling thread into the namespace, for good. For a process that is about to `exec`.
    pub fn enter(&self) -> Result<(), Error> {
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| Error::namespace(&self.name, "enter it", errno))
    }

    /// Runs `work` on a thread of its own inside the namespace.
    pub(super) fn run<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        on_own_thread(|| {
            self.enter()?;
            work()
        })
    }
}

/// Deletes the name, if it still stands for the namespace `id`. What runs inside keeps the namespace alive until it ends.
pub(super) fn delete(name: &str, id: NamespaceId) -> Result<Removal, Error> {
    match Namespace::open(name) {
        Ok(Some(found)) if found.id != id => return Ok(Removal::NotOurs),
        Ok(Some(_)) => {}
        other => return remove_unfinished(name, other),
    }
    remove_name(name)?;
    Ok(Removal::Removed)
}

/// Deletes a name that was free, in whatever state a creation that was cut off has left it.
pub(super) fn delete_unfinished(name: &str) -> Result<Removal, Error> {
    match Namespace::open(name) {
        Ok(Some(_)) => {}
        other => return remove_unfinished(name, other),
    }
    remove_name(name)?;
    Ok(Removal::Removed)
}

/// What a creation or a deletion leaves if it is cut off half-way: an empty file on which nothing is mounted.
fn remove_unfinished(
    name: &str,
    opened: Result<Option<Namespace>, Error>,
) -> Result<Removal, Error> {
    match opened {
        Err(Error::NotANamespace { .. }) => {}
        other => return other.map(|_| Removal::AlreadyGone),
    }
    let path = path_of(name)?;
    let found = fs::symlink_metadata(&path)
        .map_err(|source| Error::namespace(name, "look at its file", source))?;
    if !found.is_file() || found.len() > 0 {
        return Ok(Removal::NotOurs);
    }
    remove_name(name)?;
    Ok(Removal::Removed)
}

/// Which namespace has this name now? `None`: none has.
pub(super) fn identify(name: &str) -> Result<Option<NamespaceId>, Error> {
    match Namespace::open(name) {
        Ok(namespace) => Ok(namespace.map(|namespace| namespace.id)),
        Err(Error::NotANamespace { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn path_of(name: &str) -> Result<PathBuf, Error> {
    check_name(name)?;
    Ok(Path::new(NETNS_DIR).join(name))
}

/// Can it be a file's name, in /run/netns and elsewhere?
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    match name {
        "" | "." | ".." => {}
        _ if name.len() > 255 || name.contains(['/', '\0']) => {}
        _ => return Ok(()),
    }
    Err(Error::BadNamespaceName {
        name: name.to_owned(),
    })
}

/// `ip netns add`: a mount point, and a fresh namespace mounted on it.
fn create(name: &str) -> Result<(), Error> {
    let path = path_of(name)?;
    prepare_directory(name)?;
    rustix::fs::open(
        &path,
        OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| Error::namespace(name, "create its file in /run/netns", errno))?;
    let mounted = on_own_thread(|| {
        // SAFETY: CLONE_NEWNET changes nothing that Rust code or another thread relies on (unlike CLONE_FILES).
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
            .map_err(|errno| Error::namespace(name, "unshare it", errno))?;
        mount_bind("/proc/thread-self/ns/net", &path)
            .map_err(|errno| Error::namespace(name, "mount it", errno))
    });
    if mounted.is_err() {
        // An empty file would stand in the way of the next attempt.
        let _ = fs::remove_file(&path);
    }
    mounted
}

/// Makes /run/netns a shared mount, so that namespaces that come and go show in every mount namespace.
fn prepare_directory(name: &str) -> Result<(), Error> {
    let failed = |errno| Error::namespace(name, "prepare /run/netns", errno);
    fs::create_dir_all(NETNS_DIR)
        .map_err(|source| Error::namespace(name, "create /run/netns", source))?;
    let directory = rustix::fs::open(
        NETNS_DIR,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(failed)?;
    // As iproute2 does: two of us at once must not both mount it.
    flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
    let share = || {
        let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
        mount_change(NETNS_DIR, flags)
    };
    match share() {
        Err(Errno::INVAL) => {
            mount_bind_recursive(NETNS_DIR, NETNS_DIR).map_err(failed)?;
            share().map_err(failed)
        }
        result => result.map_err(failed),
    }
}

fn remove_name(name: &str) -> Result<(), Error> {
    let path = path_of(name)?;
    match unmount(&path, UnmountFlags::DETACH) {
        // Not mounted here: another mount namespace has removed it under us; the file is what remains.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(Error::namespace(name, "unmount it", errno)),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::namespace(name, "delete its name", error))
        }
        _ => Ok(()),
    }
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "a\0b", &"x".repeat(256)] {
            assert!(matches!(
                Namespace::open(name),
                Err(Error::BadNamespaceName { .. })
            ));
        }
    }

    #[test]
    fn a_missing_namespace_is_none() {
        assert!(Namespace::open("io-never-created").unwrap().is_none());
        assert_eq!(identify("io-never-created").unwrap(), None);
    }
}
