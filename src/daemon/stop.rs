//! The end of a daemon, seen from outside: asking it to go, and cleaning up after one that could not.
//!
//! Invariant: only what the record names is removed, and a namespace or a file only while it is still the one that we made.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

use super::holder::Holder;
use super::resolv_conf::ResolvConf;
use super::state_dir::{
    Lock, LockAttempt, NamespaceRecord, Record, ResolvConfRecord, StateDir, boot_id,
};
use super::tell::tell;
use super::{cgroup, privileges};
use crate::io::{Removal, privileged};

/// How long a daemon may take to clean up after itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// What [`stop`] found and did.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub enum Stopped {
    /// There was no daemon, and nothing left of one.
    Nothing,
    /// A daemon ran and has ended.
    #[serde(rename_all = "PascalCase")]
    Daemon {
        /// Its process.
        pid: u32,
    },
    /// A daemon had been killed; what it left behind is gone now.
    #[serde(rename_all = "PascalCase")]
    CleanedUp {
        /// Its process, long gone.
        pid: u32,
        /// What was removed, for people.
        removed: Vec<String>,
    },
}

/// Ends the daemon of `dir` and waits for it, or cleans up after one that was killed.
pub fn stop(dir: &StateDir) -> Result<Stopped> {
    let deadline = Instant::now() + PATIENCE;
    let mut stopped = None;
    loop {
        if let Some(Holder { pid, .. }) = dir.holder().filter(|holder| holder.is_bereft) {
            tell(format_args!(
                "warning: the state directory {} was removed while its daemon (pid {pid}) ran",
                dir.path().display()
            ));
            terminate(pid, deadline)?;
            stopped = Some(Stopped::Daemon { pid });
        }
        if !dir.exists()? {
            return Ok(stopped.unwrap_or(Stopped::Nothing));
        }
        match dir.try_lock()? {
            LockAttempt::HeldBy(Some(pid)) => {
                terminate(pid, deadline)?;
                stopped = Some(Stopped::Daemon { pid });
            }
            // It has the lock and has not said its number yet.
            LockAttempt::HeldBy(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10))
            }
            LockAttempt::HeldBy(None) => bail!(
                "another process holds the lock in {} and does not say its number",
                dir.path().display()
            ),
            LockAttempt::Taken(lock) => {
                return Ok(clear(lock)?.or(stopped).unwrap_or(Stopped::Nothing));
            }
        }
    }
}

/// Cleans up after a daemon that was killed, if the record says that one was.
fn clear(lock: Lock) -> Result<Option<Stopped>> {
    let Some(record) = lock.dir().read_record()? else {
        lock.clear(false)?;
        return Ok(None);
    };
    privileges::require("cleaning up after a daemon that was killed")?;
    let removed = remove_leftovers(&record)?;
    lock.remove_logs()?;
    lock.clear(record.state_dir_created)?;
    Ok(Some(Stopped::CleanedUp {
        pid: record.pid,
        removed,
    }))
}

/// Removes what a dead daemon made, before a new one starts in its place.
pub fn clean_up(lock: &Lock) -> Result<Option<Record>> {
    let Some(record) = lock.dir().read_record()? else {
        return Ok(None);
    };
    let removed = remove_leftovers(&record)?;
    tracing::warn!(
        pid = record.pid,
        ?removed,
        "cleaned up after a daemon that was killed"
    );
    lock.remove_logs()?;
    Ok(Some(record))
}

/// Removes what `record` names, as far as it is there; says what was.
pub fn remove_leftovers(record: &Record) -> Result<Vec<String>> {
    let mut removed = remove_resolv_confs(record)?;
    if record.boot_id != boot_id()? {
        // The machine has started anew since: what has these names and numbers now is somebody else's.
        return Ok(removed);
    }
    if let Some(path) = &record.cgroup
        && path.exists()
    {
        cgroup::remove(path)?;
        removed.push(format!("cgroup {}", path.display()));
    }
    for namespace in &record.namespaces {
        if remove_namespace(namespace)? == Removal::Removed {
            removed.push(format!("namespace {}", namespace.name));
        }
    }
    Ok(removed)
}

/// Files in `/etc` outlive the machine's run, and each is told by what stands in it.
fn remove_resolv_confs(record: &Record) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for conf in &record.resolv_confs {
        match remove_resolv_conf(conf)? {
            Removal::Removed => removed.push(conf.file.path()),
            Removal::NotOurs => tell(format_args!("warning: {}", conf.file.is_replaced())),
            Removal::AlreadyGone => {}
        }
    }
    if record.etc_netns_created {
        privileged::remove_etc_netns().context("cannot remove /etc/netns")?;
    }
    Ok(removed)
}

fn terminate(pid: u32, deadline: Instant) -> Result<()> {
    let raw = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("the lock names an impossible process")?;
    let process = match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot reach the daemon (pid {pid})"));
        }
    };
    let sent = pidfd_send_signal(&process, Signal::TERM);
    // One that is stopped (SIGSTOP) goes on, so that it can end.
    match sent.and_then(|()| pidfd_send_signal(&process, Signal::CONT)) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(rustix::io::Errno::PERM) => {
            bail!("the daemon (pid {pid}) belongs to another user: try sudo")
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot stop the daemon (pid {pid})"));
        }
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => bail!(
                "the daemon (pid {pid}) has not ended within {} s; `kill -9 {pid}` and `privlink down` again",
                PATIENCE.as_secs()
            ),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the daemon"),
        }
    }
}

/// Removes a namespace, as far as it is the one that we created.
pub fn remove_namespace(record: &NamespaceRecord) -> Result<Removal> {
    Ok(match record.id {
        Some(id) => privileged::delete_namespace(&record.name, id)?,
        // It was missing, and the daemon was killed in the moment of its creation.
        None => privileged::delete_unfinished_namespace(&record.name)?,
    })
}

/// Removes a resolv.conf, as far as it is still the one that we wrote.
pub fn remove_resolv_conf(record: &ResolvConfRecord) -> Result<Removal> {
    let ResolvConf { namespace, text } = &record.file;
    Ok(privileged::remove_resolv_conf(
        namespace,
        text,
        record.directory_created,
    )?)
}
