//! How the rest of the daemon talks to a worker thread, and how a worker is woken from epoll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

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
    /// End.
    Stop,
}

/// The messages for one worker.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// Is there a message? Read once per round, so that a busy worker takes no lock.
    waiting: AtomicBool,
    /// `None` once the worker has ended.
    messages: Mutex<Option<Vec<Message>>>,
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
            messages: Mutex::new(Some(Vec::new())),
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
        // It fails only when the counter is full: then the bell is ringing already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        true
    }

    /// Every message so far, oldest first.
    #[inline]
    pub(super) fn take(&self) -> Vec<Message> {
        match self.waiting.load(Ordering::Relaxed) {
            false => Vec::new(),
            true => self.take_waiting(),
        }
    }

    /// The worker has ended: nobody waits for it any more.
    pub(super) fn close(&self) {
        *self.messages.lock() = None;
    }

    /// Stops the bell, once epoll has heard it. The messages' flag stays.
    pub(super) fn silence(&self) {
        // It fails only when the bell is silent already.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    #[cold]
    fn take_waiting(&self) -> Vec<Message> {
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
