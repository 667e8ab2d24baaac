//! The state directory: one daemon's lock, control socket, record and logs.
//!
//! Invariants: whoever holds the lock is the only daemon here; the record names a thing before it is created, so
//! that after SIGKILL nothing is left that the record does not name; nobody else may write here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::resolv_conf::ResolvConf;
use crate::io::NamespaceId;

/// How the names of UserData's files begin.
const USER_DATA: &str = "user-data-";

/// `sizeof(sun_path)`, see unix(7).
const SOCKET_PATH_MAX: usize = 108;

/// A state directory, not necessarily in use.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// The right to be this directory's daemon, until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    dir: StateDir,
}

/// What became of an attempt to take the lock.
pub enum LockAttempt {
    /// It is ours.
    Taken(Lock),
    /// This process has it (`None`: it has not written its number yet).
    HeldBy(Option<u32>),
}

/// What the daemon made on this machine, for whoever must clean up after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The kernel's name for its own run: process numbers and inodes mean nothing in another.
    pub boot_id: String,
    /// The daemon's process.
    pub pid: u32,
    /// Was the state directory missing?
    pub state_dir_created: bool,
    /// Network namespaces.
    pub namespaces: Vec<NamespaceRecord>,
    /// The cgroup's directory.
    pub cgroup: Option<PathBuf>,
    /// Files in `/etc/netns`.
    pub resolv_confs: Vec<ResolvConfRecord>,
    /// Was `/etc/netns` missing?
    pub etc_netns_created: bool,
}

/// A namespace that was missing and is (about to be) created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NamespaceRecord {
    /// Its name under `/run/netns`.
    pub name: String,
    /// What tells it from another one of that name; `None`: about to be created.
    pub id: Option<NamespaceId>,
}

/// An `/etc/netns/NAME/resolv.conf` that was missing and is (about to be) written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResolvConfRecord {
    /// Whose, and what it says.
    #[serde(flatten)]
    pub file: ResolvConf,
    /// Was the namespace's directory in `/etc/netns` missing?
    pub directory_created: bool,
}

impl StateDir {
    /// The directory at `path`, made absolute.
    pub fn new(path: &Path) -> Result<Self> {
        let path = super::absolute(path)?;
        let dir = Self { path };
        let length = dir.closed_directory().join("s").as_os_str().len();
        ensure!(
            length < SOCKET_PATH_MAX,
            "the state directory {} has too long a path: at most {} bytes, so that its socket's fits",
            dir.path.display(),
            SOCKET_PATH_MAX - 1 - (length - dir.path.as_os_str().len()),
        );
        Ok(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("daemon.sock")
    }

    /// Where the socket is made: in a directory that only we may enter.
    pub fn closed_directory(&self) -> PathBuf {
        self.path.join(".daemon.sock.new")
    }

    /// The log of a detached daemon.
    pub fn log(&self) -> PathBuf {
        self.path.join("daemon.log")
    }

    /// Where the output of an instance's UserData goes.
    pub fn user_data_log(&self, instance: &str) -> PathBuf {
        self.path.join(format!("{USER_DATA}{instance}.log"))
    }

    /// Where an instance's UserData lies while it may run.
    pub fn user_data_script(&self, instance: &str) -> PathBuf {
        self.path.join(format!("{USER_DATA}{instance}"))
    }

    /// The lock, which says whose it is.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn record_file(&self) -> PathBuf {
        self.path.join("record.json")
    }

    /// The next record, while it is being written.
    fn new_record_file(&self) -> PathBuf {
        self.record_file().with_extension("json.new")
    }

    /// Is it there?
    pub fn exists(&self) -> Result<bool> {
        self.path
            .try_exists()
            .with_context(|| format!("state directory {}", self.path.display()))
    }

    /// Makes the directory, for its owner only. Was it missing?
    pub fn create(&self) -> Result<bool> {
        let missing = !self.exists()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .with_context(|| {
                format!("cannot create the state directory {}", self.path.display())
            })?;
        self.ensure_ours()?;
        Ok(missing)
    }

    /// Fails unless it is ours, and ours alone to write. Anybody else could put a link in the place of a file that we open,
    /// or a record that says what we are to remove.
    pub fn ensure_ours(&self) -> Result<()> {
        let path = self.path.display();
        let cannot_look = || format!("cannot look at the state directory {path}");
        let directory = fs::metadata(&self.path).with_context(cannot_look)?;
        // A symbolic link leads where its owner wants.
        let named = fs::symlink_metadata(&self.path).with_context(cannot_look)?;
        let user = rustix::process::geteuid();
        ensure!(
            directory.uid() == user.as_raw() && named.uid() == user.as_raw(),
            "{path} is another user's: {}",
            if user.is_root() {
                "name another --state-dir"
            } else {
                "try sudo"
            }
        );
        ensure!(
            directory.mode() & 0o022 == 0,
            "others may write in {path}: name another --state-dir, or `chmod go-w` this one"
        );
        Ok(())
    }

    /// Takes the lock if nobody has it. The directory must exist.
    pub fn try_lock(&self) -> Result<LockAttempt> {
        self.ensure_ours()?;
        loop {
            let path = self.lock_file();
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut pid = String::new();
                    file.read_to_string(&mut pid)
                        .with_context(|| format!("cannot read {}", path.display()))?;
                    return Ok(LockAttempt::HeldBy(pid.trim().parse().ok()));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            // A daemon that ended has unlinked the file that we opened: that lock protects nothing.
            let same = fs::metadata(&path).is_ok_and(|on_disk| {
                file.metadata()
                    .is_ok_and(|ours| ours.ino() == on_disk.ino() && ours.dev() == on_disk.dev())
            });
            if same {
                return Ok(LockAttempt::Taken(Lock {
                    file,
                    dir: self.clone(),
                }));
            }
        }
    }

    /// The record that a daemon left, if there is one.
    pub fn read_record(&self) -> Result<Option<Record>> {
        let path = self.record_file();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!(
                    "{} is damaged: remove it once what it names is gone",
                    path.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

impl Lock {
    /// The directory that it locks.
    pub fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Tells others who has the lock.
    pub fn write_pid(&mut self) -> Result<()> {
        let path = self.dir.lock_file();
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{}", std::process::id())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Replaces the record, atomically.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        let (path, new) = (self.dir.record_file(), self.dir.new_record_file());
        let write = || -> Result<()> {
            fs::write(&new, serde_json::to_vec_pretty(record)?)?;
            fs::rename(&new, &path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes the logs and scripts: they are of use only to those who can still read why a daemon failed.
    pub fn remove_logs(&self) -> Result<()> {
        remove(&self.dir.log())?;
        let failed = || format!("cannot list {}", self.dir.path.display());
        let entries = match fs::read_dir(&self.dir.path) {
            // It was removed underneath.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(failed)?,
        };
        for entry in entries {
            let entry = entry.with_context(failed)?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(USER_DATA.as_bytes())
            {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Gives the directory back: removes all but the logs, and the directory too if it `was_created` and is empty.
    pub fn clear(self, was_created: bool) -> Result<()> {
        // From here on it is no daemon's, also to those that find it open.
        let _ = self.file.set_len(0);
        for path in [
            self.dir.socket(),
            self.dir.record_file(),
            self.dir.new_record_file(),
            self.dir.lock_file(),
        ] {
            remove(&path)?;
        }
        // Left by a daemon that was killed in that moment.
        let _ = fs::remove_file(self.dir.closed_directory().join("s"));
        let _ = fs::remove_dir(self.dir.closed_directory());
        if !was_created {
            return Ok(());
        }
        let is_expected = |kind| matches!(kind, ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound);
        match fs::remove_dir(self.dir.path()) {
            Err(error) if is_expected(error.kind()) => Ok(()),
            other => other.with_context(|| format!("cannot remove {}", self.dir.path.display())),
        }
    }
}

/// What tells this run of the kernel from others.
pub fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim().to_owned())
}

/// Removes a file that may be there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_dir() -> (tempfile::TempDir, StateDir) {
        let tmp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(&tmp.path().join("state")).unwrap();
        dir.create().unwrap();
        (tmp, dir)
    }

    fn lock(dir: &StateDir) -> Lock {
        match dir.try_lock().unwrap() {
            LockAttempt::Taken(lock) => lock,
            LockAttempt::HeldBy(pid) => panic!("held by {pid:?}"),
        }
    }

    #[test]
    fn a_second_daemon_learns_who_is_there() {
        let (_tmp, dir) = state_dir();
        let mut first = lock(&dir);
        first.write_pid().unwrap();
        match dir.try_lock().unwrap() {
            LockAttempt::HeldBy(pid) => assert_eq!(pid, Some(std::process::id())),
            LockAttempt::Taken(_) => panic!("two daemons"),
        }
        drop(first);
        lock(&dir);
    }

    #[test]
    fn clearing_keeps_logs_and_removes_an_empty_directory() {
        let (_tmp, dir) = state_dir();
        fs::write(dir.log(), "log").unwrap();
        fs::write(dir.user_data_log("A"), "log").unwrap();
        lock(&dir).clear(true).unwrap();
        assert!(dir.log().exists() && !dir.lock_file().exists());
        let again = lock(&dir);
        again.remove_logs().unwrap();
        assert!(!dir.log().exists() && !dir.user_data_log("A").exists());
        again.clear(false).unwrap();
        assert!(dir.path().exists());
        lock(&dir).clear(true).unwrap();
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let (tmp, dir) = state_dir();
        let allow = |mode| {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        };
        // What another user has prepared there: root would empty the file that this leads to.
        let victim = tmp.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, dir.lock_file()).unwrap();
        for mode in [0o777, 0o1777, 0o770, 0o722] {
            allow(mode);
            assert!(dir.create().is_err() && dir.try_lock().is_err(), "{mode:o}");
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        allow(0o755);
        dir.ensure_ours().unwrap();
    }

    #[test]
    fn a_record_survives_its_daemon() {
        let (_tmp, dir) = state_dir();
        assert_eq!(dir.read_record().unwrap(), None);
        let record = Record {
            boot_id: boot_id().unwrap(),
            pid: 7,
            state_dir_created: true,
            namespaces: vec![NamespaceRecord {
                name: "ec2-a".into(),
                id: Some(NamespaceId {
                    dev: 4,
                    ino: 4026532000,
                }),
            }],
            cgroup: Some("/sys/fs/cgroup/privlink-1".into()),
            resolv_confs: vec![ResolvConfRecord {
                file: ResolvConf {
                    namespace: "ec2-a".into(),
                    text: "nameserver 172.18.0.2\n".into(),
                },
                directory_created: true,
            }],
            etc_netns_created: false,
        };
        lock(&dir).write_record(&record).unwrap();
        assert_eq!(dir.read_record().unwrap(), Some(record));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused_with_the_limit() {
        let limit = 107 - "/.daemon.sock.new/s".len();
        let path = |length| format!("/{}", "x".repeat(length - 1));
        assert!(StateDir::new(Path::new(&path(limit))).is_ok());
        let error = StateDir::new(Path::new(&path(limit + 1)))
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("at most {limit} bytes")), "{error}");
    }

    #[test]
    fn a_record_whose_writing_was_cut_off_does_not_keep_the_directory() {
        let (_tmp, dir) = state_dir();
        let lock = lock(&dir);
        fs::write(dir.new_record_file(), "{").unwrap();
        lock.clear(true).unwrap();
        assert!(!dir.path().exists());
    }

    #[test]
    fn a_damaged_record_is_an_error_and_not_nothing() {
        let (_tmp, dir) = state_dir();
        fs::write(dir.record_file(), "{").unwrap();
        assert!(dir.read_record().is_err());
    }
}
