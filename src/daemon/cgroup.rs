//! The cgroup of what runs *in* the topology (UserData, `privlink exec`), so that it ends with the topology.
//!
//! Invariant: only a cgroup that we created is killed and removed. Source: Documentation/admin-guide/cgroup-v2.rst.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::io::NamespaceId;

/// How long the kernel may take to end what was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Where the cgroup of the daemon in `state_dir` belongs; `None` where no cgroup v2 is mounted.
pub fn path_for(state_dir: &Path) -> Result<Option<PathBuf>> {
    let mounts =
        fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let name = format!(
        "privlink-{:016x}",
        fnv1a(state_dir.as_os_str().as_encoded_bytes())
    );
    Ok(find_mount(&mounts).map(|mount| mount.join(name)))
}

/// Creates the cgroup; one that is there already belongs to a daemon that was killed, and is emptied.
pub fn create(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => kill(path),
        other => other.with_context(|| format!("cannot create the cgroup {}", path.display())),
    }
}

/// Moves process `pid` (0: the calling one) into the cgroup.
pub fn join(path: &Path, pid: u32) -> Result<()> {
    let procs = path.join("cgroup.procs");
    fs::write(&procs, pid.to_string())
        .with_context(|| format!("cannot enter the cgroup {}", path.display()))
}

/// Kills every process in the cgroup and in those that they made below it, waits for their end, and removes all of them.
/// It may be gone already.
pub fn remove(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    kill(path)?;
    for cgroup in below(path)? {
        fs::remove_dir(&cgroup)
            .with_context(|| format!("cannot remove the cgroup {}", cgroup.display()))?;
    }
    Ok(())
}

/// Kills what runs in the cgroup and in this network namespace, and waits for its end.
pub fn kill_in(path: &Path, namespace: NamespaceId) -> Result<()> {
    let patience = Instant::now() + KILL_PATIENCE;
    let is_there = |pid: Pid| {
        let namespace_of = fs::metadata(format!("/proc/{}/ns/net", pid.as_raw_nonzero()));
        // One that has ended meanwhile is nowhere.
        namespace_of.is_ok_and(|of| (of.dev(), of.ino()) == (namespace.dev, namespace.ino))
    };
    while kill_those(path, is_there)? {
        if Instant::now() > patience {
            bail!("processes in the cgroup {} do not end", path.display());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn kill(path: &Path) -> Result<()> {
    let patience = Instant::now() + KILL_PATIENCE;
    while is_populated(path)? {
        let kill = path.join("cgroup.kill");
        match fs::write(&kill, "1") {
            Ok(()) => {}
            // Before Linux 5.14. Whoever forked in between is seen in the next round.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                kill_those(path, |_| true)?;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", kill.display()));
            }
        }
        if Instant::now() > patience {
            bail!("processes in the cgroup {} do not end", path.display());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Does anything live in the cgroup or below it?
fn is_populated(path: &Path) -> Result<bool> {
    let events = read(&path.join("cgroup.events"))?;
    Ok(events.lines().any(|line| line == "populated 1"))
}

/// Kills these processes of the cgroup and of those below it, one by one. Were there any?
fn kill_those(path: &Path, which: impl Fn(Pid) -> bool) -> Result<bool> {
    let mut any = false;
    for cgroup in below(path)? {
        for line in read(&cgroup.join("cgroup.procs"))?.lines() {
            if let Some(pid) = line.parse().ok().and_then(Pid::from_raw)
                && which(pid)
            {
                any = true;
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
    Ok(any)
}

/// The cgroup and all below it, the innermost first.
fn below(path: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let failed = || format!("cannot list the cgroup {}", path.display());
    for entry in fs::read_dir(path).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if entry.file_type().with_context(failed)?.is_dir() {
            all.extend(below(&entry.path())?);
        }
    }
    all.push(path.to_owned());
    Ok(all)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The first cgroup2 mount in a `/proc/PID/mountinfo`: `/sys/fs/cgroup`, or `.../unified` on hybrid systems.
fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?;
        (right.split(' ').next()? == "cgroup2").then(|| PathBuf::from(unescape(point)))
    })
}

/// Octal escapes (`\040`) of mountinfo.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|octal| u8::from_str_radix(octal, 8).ok())
        {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

/// FNV-1a: the same name for the same directory in every release, which `std`'s hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_on_unified_hybrid_and_escaped_systems() {
        let cases = [
            (
                "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
                Some("/sys/fs/cgroup"),
            ),
            (
                "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                 41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                Some("/sys/fs/cgroup/unified"),
            ),
            (
                "41 31 0:38 / /mnt/c\\040g rw - cgroup2 none rw\n",
                Some("/mnt/c g"),
            ),
            (
                "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
                None,
            ),
        ];
        for (mountinfo, expected) in cases {
            assert_eq!(
                find_mount(mountinfo),
                expected.map(PathBuf::from),
                "{mountinfo}"
            );
        }
    }

    #[test]
    fn inner_cgroups_come_before_outer_ones() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let outer = root.path().join("outer");
        assert_eq!(below(&outer).unwrap(), [inner, outer.clone()]);
    }

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
