//! Into a namespace for good, with the file systems that belong to it: what `ip netns exec` does before its `exec`.
//!
//! Source: iproute2's lib/namespace.c.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::error::Error;
use super::etc_netns::ETC_NETNS;
use super::netns::Namespace;

/// Moves the calling thread into the namespace and a mount namespace of its own, in which `/sys` shows the network
/// namespace's links and `/etc/netns/NAME/*` stands over `/etc/*`. For a process that is about to `exec`.
pub fn enter(namespace: &Namespace) -> Result<(), Error> {
    namespace.enter()?;
    let failed = |doing| move |errno: Errno| Error::namespace(namespace.name(), doing, errno);
    // SAFETY: CLONE_NEWNS shares no memory or descriptor table anew; only this thread's view of paths changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(failed("unshare its mounts"))?;
    // Else our mounts would show outside.
    mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
    .map_err(failed("keep its mounts apart"))?;
    remount_sys().map_err(failed("remount /sys"))?;
    bind_etc(namespace)
}

/// A sysfs shows the network namespace of whoever mounts it.
fn remount_sys() -> Result<(), Errno> {
    let read_only = statvfs("/sys")?.f_flag.contains(StatVfsMountFlags::RDONLY);
    match unmount("/sys", UnmountFlags::DETACH) {
        // Not mounted.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let flags = if read_only {
        flags | MountFlags::RDONLY
    } else {
        flags
    };
    mount("sysfs", "/sys", "sysfs", flags, None::<&std::ffi::CStr>)
}

fn bind_etc(namespace: &Namespace) -> Result<(), Error> {
    let name = namespace.name();
    let list = match fs::read_dir(Path::new(ETC_NETNS).join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        list => {
            list.map_err(|error| Error::namespace(name, "list its files in /etc/netns", error))?
        }
    };
    for entry in list {
        let entry =
            entry.map_err(|error| Error::namespace(name, "list its files in /etc/netns", error))?;
        let target = Path::new("/etc").join(entry.file_name());
        match mount_bind(entry.path(), &target) {
            Ok(()) => {}
            // iproute2 goes on as well: there is nothing in /etc to stand over.
            Err(Errno::NOENT) => tracing::warn!(file = ?entry.path(), "has no counterpart in /etc"),
            Err(errno) => {
                return Err(Error::namespace(
                    name,
                    "bind its files of /etc/netns",
                    errno,
                ));
            }
        }
    }
    Ok(())
}
