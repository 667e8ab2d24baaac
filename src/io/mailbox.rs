//! How the rest of the daemon talks to a worker thread, and how a worker is woken from epoll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::error::Error;
use super::tun::Tun;
use crate::dataplane::EniIdx;

/// A change that a worker makes between two batches.
#[derive(Debug)]
pub(super) enum Message {
    /// Packets to this interface go to this TUN.
    Add {
        eni: EniIdx,
        tun: Arc<Tun>,
        /// Is this the one worker that reads it?
        reads: bool,
    },
    /// The interface is gone. Every worker that lets go of the TUN drops its end of the channel.
    Remove {
        eni: EniIdx,
        _passed: Option<Sender<()>>,
    },
    /// Look at the newest snapshot and its deadlines.
    Wake,
}

/// The messages for one worker. They are only kept while it is open: a worker that has failed has no use for them, as the
/// one in its place begins with what the [`Roster`](super::roster::Roster) says.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// Is there a message? Read once per round, so that a busy worker takes no lock.
    waiting: AtomicBool,
    /// `None` while there is no worker.
    messages: Mutex<Option<Vec<Message>>>,
    /// Is the worker to end, and no other to come?
    stopping: AtomicBool,
    bell: OwnedFd,
}

impl Mailbox {
    pub(super) fn new() -> Result<Self, Error> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|errno| {
            Error::Thread {
                doing: "make an eventfd",
                source: errno.into(),
            }
        })?;
        Ok(Self {
            waiting: AtomicBool::new(false),
            messages: Mutex::new(None),
            stopping: AtomicBool::new(false),
            bell,
        })
    }

    /// Leaves a message and wakes the worker; without a worker the message is dropped. Was there one?
    pub(super) fn post(&self, message: Message) -> bool {
        match &mut *self.messages.lock() {
            Some(messages) => messages.push(message),
            None => return false,
        }
        self.waiting.store(true, Ordering::Release);
        self.ring();
        true
    }

    /// Has the worker end, and no other come in its place.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.waiting.store(true, Ordering::Release);
        self.ring();
    }

    /// Is it to end? Asked when messages were [taken](Mailbox::take).
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// A worker begins: messages are kept for it.
    pub(super) fn open(&self) {
        *self.messages.lock() = Some(Vec::new());
    }

    /// Is there a message, or is it to [end](Mailbox::is_stopping)?
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The worker has ended or failed: what waited for it need not wait.
    pub(super) fn close(&self) {
        *self.messages.lock() = None;
    }

    /// Without a worker: waits for so long; `false`: there is to be none.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        while !self.is_stopping() {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [PollFd::new(&self.bell, PollFlags::IN)];
            if left.is_zero() || matches!(poll(&mut fds, Some(&timeout)), Ok(0)) {
                return true;
            }
            self.silence();
        }
        false
    }

    /// Stops the bell, once epoll has heard it. The messages' flag stays.
    pub(super) fn silence(&self) {
        // It fails only when the bell is silent already.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    fn ring(&self) {
        // It fails only when the counter is full: then the bell is ringing already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Every message so far, oldest first.
    #[cold]
    pub(super) fn take(&self) -> Vec<Message> {
        // The flag before the messages: what is posted meanwhile raises it again.
        self.waiting.swap(false, Ordering::AcqRel);
        self.messages
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

impl AsFd for Mailbox {
    /// Readable while a message waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
