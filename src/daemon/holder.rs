//! Which daemon has a state directory, also where that was removed underneath it: the process that has the lock open.
//!
//! Invariant: a process counts only if the lock says its number, which is gone before the lock is.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::state_dir::StateDir;

/// What the kernel appends to the name of an open file that was removed.
const DELETED: &[u8] = b" (deleted)";

/// A daemon that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Was its lock removed, and with it everything by which it could be reached?
    pub is_bereft: bool,
    /// Its process.
    pub pid: u32,
}

impl StateDir {
    /// The daemon that runs here, if the caller may see it; rather one that has its lock.
    pub fn holder(&self) -> Option<Holder> {
        let lock = real_path(&self.lock_file());
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| holds(pid, &lock)).min()
    }
}

impl Holder {
    /// That it cannot be reached, in a sentence.
    pub fn out_of_reach(&self, dir: &StateDir) -> String {
        let (pid, path) = (self.pid, dir.path().display());
        let end = format!("`privlink down --state-dir {path}` ends it");
        match self.is_bereft {
            true => format!(
                "the daemon in {path} (pid {pid}) runs, but its state directory was removed: {end} and cleans up"
            ),
            false => format!(
                "the daemon in {path} (pid {pid}) is starting or ending, or its control socket was removed: {end}"
            ),
        }
    }
}

/// Its directory may be a link, or may be gone.
fn real_path(lock: &Path) -> PathBuf {
    let directory = lock.parent().unwrap_or(lock);
    let real = fs::canonicalize(directory).or_else(|_| {
        let above = directory.parent().unwrap_or(directory);
        let name = directory.file_name().unwrap_or_default();
        fs::canonicalize(above).map(|above| above.join(name))
    });
    let name = lock.file_name().unwrap_or_default();
    real.unwrap_or_else(|_| directory.to_owned()).join(name)
}

fn holds(pid: u32, lock: &Path) -> Option<Holder> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let mut descriptors = descriptors.map(|entry| entry.path());
    descriptors.find_map(|descriptor| {
        let target = fs::read_link(&descriptor).ok()?;
        let target = target.as_os_str().as_bytes();
        let lock = lock.as_os_str().as_bytes();
        let is_bereft = target.strip_suffix(DELETED) == Some(lock);
        if !is_bereft && target != lock {
            return None;
        }
        let said = fs::read_to_string(descriptor).ok()?;
        (said.trim().parse() == Ok(pid)).then_some(Holder { is_bereft, pid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::state_dir::LockAttempt;

    #[test]
    fn a_daemon_is_found_until_it_gives_its_lock_back_even_if_that_was_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let link = tmp.path().join("link");
        std::os::unix::fs::symlink(tmp.path(), &link).unwrap();
        let dir = StateDir::new(&link.join("state")).unwrap();
        assert_eq!(dir.holder(), None);
        dir.create().unwrap();
        let LockAttempt::Taken(mut lock) = dir.try_lock().unwrap() else {
            panic!("it is taken")
        };
        assert_eq!(dir.holder(), None, "it has not said its number");
        lock.write_pid().unwrap();
        let pid = std::process::id();
        let holder = |is_bereft| Some(Holder { is_bereft, pid });
        assert_eq!(dir.holder(), holder(false));
        fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(dir.holder(), holder(true));
        let said = holder(true).unwrap().out_of_reach(&dir);
        assert!(said.contains("its state directory was removed"), "{said}");
        lock.clear(true).unwrap();
        assert_eq!(dir.holder(), None);
    }
}
