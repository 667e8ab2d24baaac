//! Notices that a namespace has lost its name.
//!
//! A TUN's descriptor keeps its namespace alive: after `ip netns delete` packets would go on as if nothing had happened.
//! Invariant: the inode decides, not the event; a namespace deleted and made anew between two looks is found out.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::error::Error;
use super::event::IoEvent;
use super::netns::{self, NETNS_DIR, NamespaceId};
use super::tun::Tun;
use super::worker::Shared;
use crate::dataplane::EniIdx;

/// A namespace whose name is to be kept in sight.
#[derive(Debug)]
struct Watched {
    namespace: String,
    id: NamespaceId,
    enis: Vec<EniIdx>,
}

/// What the watcher thread and its owner share.
#[derive(Debug)]
pub(super) struct Watch {
    watched: Mutex<Vec<Watched>>,
    stopping: AtomicBool,
    bell: OwnedFd,
    inotify: OwnedFd,
}

impl Watch {
    pub(super) fn new() -> Result<Self, Error> {
        let failed = |errno: Errno| Error::Thread {
            doing: "watch /run/netns",
            source: errno.into(),
        };
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(failed)?;
        watch_directory(&inotify).map_err(failed)?;
        Ok(Self {
            watched: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?,
            inotify,
        })
    }

    /// Keeps the namespace of this TUN in sight, and looks at it at once.
    pub(super) fn add(&self, eni: EniIdx, tun: &Tun) {
        let mut watched = self.watched.lock();
        match watched
            .iter_mut()
            .find(|watched| watched.id == tun.namespace_id())
        {
            Some(entry) => entry.enis.push(eni),
            None => watched.push(Watched {
                namespace: tun.namespace().to_owned(),
                id: tun.namespace_id(),
                enis: vec![eni],
            }),
        }
        drop(watched);
        // The first namespace may have made the directory. If it cannot be watched any more, that was said at the start.
        let _ = watch_directory(&self.inotify);
        self.ring();
    }

    /// Forgets an interface.
    pub(super) fn remove(&self, eni: EniIdx) {
        let mut watched = self.watched.lock();
        for entry in watched.iter_mut() {
            entry.enis.retain(|other| *other != eni);
        }
        watched.retain(|entry| !entry.enis.is_empty());
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.ring();
    }

    /// Waits for so long before [`Watch::run`] begins anew; `false`: it is to end.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        std::thread::sleep(duration);
        !self.stopping.load(Ordering::Acquire)
    }

    /// The thread: sleeps until a name in /run/netns changes.
    pub(super) fn run(&self, shared: &Shared) {
        while !self.stopping.load(Ordering::Acquire) {
            for lost in self.take_lost() {
                for eni in &lost.enis {
                    shared.remove(*eni, None);
                }
                shared.report(IoEvent::NamespaceGone {
                    namespace: lost.namespace,
                    enis: lost.enis,
                });
            }
            let mut fds = [
                PollFd::new(&self.inotify, PollFlags::IN),
                PollFd::new(&self.bell, PollFlags::IN),
            ];
            // Interrupted or not: looking once more does no harm.
            let _ = poll(&mut fds, None);
            // Which name it was does not matter, the inodes are compared.
            while rustix::io::read(&self.inotify, &mut [0u8; 4096]).is_ok() {}
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
    }

    fn take_lost(&self) -> Vec<Watched> {
        let mut watched = self.watched.lock();
        // A look that fails says nothing about the namespace.
        let is_lost = |entry: &mut Watched| {
            netns::identify(&entry.namespace).is_ok_and(|found| found != Some(entry.id))
        };
        watched.extract_if(.., is_lost).collect()
    }

    fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

/// Has changes of the names in /run/netns told; once is as good as twice.
fn watch_directory(inotify: &OwnedFd) -> Result<(), Errno> {
    use inotify::WatchFlags as Flags;
    let flags = Flags::DELETE | Flags::CREATE | Flags::MOVED_FROM | Flags::MOVED_TO;
    match inotify::add_watch(inotify, NETNS_DIR, flags) {
        // No namespace has ever been made: then there is none to lose.
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
