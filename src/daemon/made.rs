//! What this daemon has made on the machine, and the one way to undo it.
//!
//! Invariant: a thing stands in the record on disk before it is made.

use std::path::Path;

use anyhow::{Result, bail};

use super::resolv_conf::{self, Place, ResolvConf};
use super::state_dir::{
    Lock, LockAttempt, NamespaceRecord, Record, ResolvConfRecord, StateDir, boot_id,
};
use super::{cgroup, privileges, stop};
use crate::io::{NamespaceId, Removal, privileged};

/// A claimed state directory and everything that was made since.
pub struct Made {
    lock: Lock,
    record: Record,
    no_cgroup: Option<String>,
}

/// Makes the state directory if nobody has it; was it missing? The first thing that `up` does.
pub fn prepare(dir: &StateDir) -> Result<bool> {
    privileges::require("`privlink up`")?;
    if let Some(holder) = dir.holder().filter(|holder| holder.is_bereft) {
        bail!("{}", holder.out_of_reach(dir));
    }
    let created = dir.create()?;
    claim(dir)?;
    Ok(created)
}

fn claim(dir: &StateDir) -> Result<Lock> {
    let path = dir.path().display();
    match dir.try_lock()? {
        LockAttempt::Taken(lock) => Ok(lock),
        LockAttempt::HeldBy(pid) => {
            let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            bail!(
                "a daemon is running in {path} already{who}: stop it with `privlink down --state-dir {path}`, \
                 or give this one a --state-dir of its own"
            );
        }
    }
}

impl Made {
    /// Takes the state directory, after cleaning up what a daemon that was killed there has left.
    pub fn claim(path: &Path, state_dir_created: bool) -> Result<Self> {
        let dir = StateDir::new(path)?;
        let mut lock = claim(&dir)?;
        lock.write_pid()?;
        let left = stop::clean_up(&lock)?;
        let record = Record {
            boot_id: boot_id()?,
            pid: std::process::id(),
            state_dir_created: state_dir_created || left.is_some_and(|left| left.state_dir_created),
            ..Record::default()
        };
        lock.write_record(&record)?;
        Ok(Self {
            lock,
            record,
            no_cgroup: None,
        })
    }

    /// The state directory.
    pub fn dir(&self) -> &StateDir {
        self.lock.dir()
    }

    /// The cgroup for what runs in the topology, or why there is none.
    pub fn cgroup(&self) -> Result<&Path, &str> {
        match (&self.record.cgroup, &self.no_cgroup) {
            (Some(path), None) => Ok(path),
            (_, reason) => Err(reason.as_deref().unwrap_or("it has not been made")),
        }
    }

    /// Makes that cgroup. Without one all works but `exec` and UserData, so a failure is only remembered.
    pub fn create_cgroup(&mut self) -> Result<()> {
        let path = match cgroup::path_for(self.dir().path())? {
            Some(path) => path,
            None => {
                self.no_cgroup = Some("no cgroup v2 is mounted".into());
                return Ok(());
            }
        };
        self.record.cgroup = Some(path.clone());
        self.lock.write_record(&self.record)?;
        if let Err(error) = cgroup::create(&path) {
            self.no_cgroup = Some(format!("{error:#}"));
        }
        Ok(())
    }

    /// Before these namespaces, which are missing, are created.
    pub fn will_create(&mut self, names: impl IntoIterator<Item = String>) -> Result<()> {
        self.record.namespaces.extend(
            names
                .into_iter()
                .map(|name| NamespaceRecord { name, id: None }),
        );
        self.lock.write_record(&self.record)
    }

    /// After they were: what tells each from others; `None` if somebody else was faster and it is not ours.
    pub fn have_created(&mut self, created: &[(String, Option<NamespaceId>)]) -> Result<()> {
        for (name, id) in created {
            self.record.namespaces.retain(|record| record.name != *name);
            if id.is_some() {
                self.record.namespaces.push(NamespaceRecord {
                    name: name.clone(),
                    id: *id,
                });
            }
        }
        self.lock.write_record(&self.record)
    }

    /// Removes the namespace of this name if it is ours. It leaves the record when it is gone.
    pub fn remove_namespace(&mut self, name: &str) -> Result<()> {
        let mut records = self.record.namespaces.iter();
        let Some(place) = records.position(|record| record.name == name) else {
            return Ok(());
        };
        stop::remove_namespace(&self.record.namespaces[place])?;
        self.record.namespaces.remove(place);
        self.lock.write_record(&self.record)
    }

    /// The namespaces that are ours.
    pub fn namespaces(&self) -> Vec<String> {
        self.record
            .namespaces
            .iter()
            .map(|record| record.name.clone())
            .collect()
    }

    /// Has these stand in `/etc/netns`, and no others of ours; why one does not, for people. The rest works without them, so
    /// that nothing of it is an error.
    pub fn keep_resolv_confs(&mut self, wanted: &[ResolvConf]) -> Vec<String> {
        let (mut notes, mut free) = (Vec::new(), Vec::new());
        self.remove_other_resolv_confs(wanted, &mut notes);
        for file in wanted {
            let stands = |record: &ResolvConfRecord| record.file == *file;
            if self.record.resolv_confs.iter().any(stands) {
                continue;
            }
            match resolv_conf::free_place(file) {
                Ok(Some(place)) => free.push((file.clone(), place)),
                Ok(None) => notes.push(file.is_in_the_way()),
                Err(error) => notes.push(format!("{error:#}")),
            }
        }
        if !free.is_empty() {
            self.write_resolv_confs(free, &mut notes);
        }
        notes
    }

    fn remove_other_resolv_confs(&mut self, wanted: &[ResolvConf], notes: &mut Vec<String>) {
        let before = self.record.resolv_confs.len();
        self.record.resolv_confs.retain(|record| {
            if wanted.contains(&record.file) {
                return true;
            }
            match stop::remove_resolv_conf(record) {
                Ok(Removal::NotOurs) => {
                    notes.push(record.file.is_replaced());
                    false
                }
                Ok(Removal::Removed | Removal::AlreadyGone) => false,
                Err(error) => {
                    notes.push(format!("{error:#}"));
                    true
                }
            }
        });
        if self.record.resolv_confs.len() < before
            && let Err(error) = self.lock.write_record(&self.record)
        {
            notes.push(format!("{error:#}"));
        }
    }

    fn write_resolv_confs(&mut self, files: Vec<(ResolvConf, Place)>, notes: &mut Vec<String>) {
        let before = self.record.clone();
        for (file, place) in &files {
            self.record.etc_netns_created |= place.no_etc_netns;
            self.record.resolv_confs.push(ResolvConfRecord {
                file: file.clone(),
                directory_created: place.no_directory,
            });
        }
        if let Err(error) = self.lock.write_record(&self.record) {
            self.record = before;
            notes.push(format!("no resolv.conf was written: {error:#}"));
            return;
        }
        for (file, _) in files {
            match privileged::write_resolv_conf(&file.namespace, &file.text) {
                Ok(true) => {}
                // Somebody was faster.
                Ok(false) => {
                    self.record
                        .resolv_confs
                        .retain(|record| record.file != file);
                    notes.push(file.is_in_the_way());
                }
                Err(error) => notes.push(format!("{:#}", anyhow::Error::from(error))),
            }
        }
    }

    /// Removes everything again. The logs stay if they say why the daemon `failed`.
    pub fn undo(self, failed: bool) -> Result<()> {
        let removed = stop::remove_leftovers(&self.record)?;
        tracing::info!(?removed, "cleaned up");
        if !failed {
            self.lock.remove_logs()?;
        }
        self.lock.clear(self.record.state_dir_created)
    }
}
