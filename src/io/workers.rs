//! The worker threads as the daemon sees them.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::clock::Clock;
use super::error::Error;
use super::event::IoEvent;
use super::mailbox::{Mailbox, Message};
use super::outlet::Kernel;
use super::polling::Pollers;
use super::roster::Roster;
use super::supervise::{attempt, caught, supervise};
use super::tun::Tun;
use super::watch::Watch;
use super::worker::{Seat, Shared, Thread};
use crate::dataplane::{Dataplane, EniIdx};

/// How the threads are to be run.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// How many; the data plane's `Settings` must say the same.
    pub workers: usize,
    /// The clock that the data plane's `now` comes from, also in `apply`.
    pub clock: Clock,
}

/// The running threads. They end with [`Workers::stop`], or when this is dropped.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    threads: Vec<JoinHandle<()>>,
}

/// Wakes a worker, from any thread; after the last one has ended, nobody.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

impl Workers {
    /// Starts the threads; packets flow from now on. What happens underneath comes out of the receiver.
    pub fn start(
        dataplane: Arc<Dataplane>,
        tuns: Vec<(EniIdx, Arc<Tun>)>,
        options: WorkerOptions,
    ) -> Result<(Self, UnboundedReceiver<IoEvent>), Error> {
        let (events, receiver) = unbounded_channel();
        let count = options.workers.max(1);
        let mailboxes = (0..count).map(|_| Mailbox::new());
        let shared = Arc::new(Shared {
            mailboxes: mailboxes.collect::<Result<_, _>>()?,
            roster: Mutex::new(Roster::new(count)),
            pollers: Pollers::default(),
            events,
        });
        let mut workers = Self {
            shared: shared.clone(),
            watch: Arc::new(Watch::new()?),
            threads: Vec::new(),
        };
        for (eni, tun) in tuns {
            workers.add(eni, tun);
        }
        let kernel = Arc::new(Kernel::default());
        let (began, begins) = mpsc::channel();
        for id in 0..count {
            let seat = Seat {
                id,
                dataplane: dataplane.clone(),
                clock: options.clock,
                shared: shared.clone(),
                kernel: kernel.clone(),
                turn: Cell::default(),
                suspects: RefCell::default(),
            };
            let began = began.clone();
            workers.spawn(format!("worker-{id}"), move |name| work(&seat, name, began))?;
        }
        // Ends when the last of them has dropped its sender.
        drop(began);
        begins.iter().collect::<Result<(), _>>()?;
        let watch = workers.watch.clone();
        workers.spawn("netns-watch".to_owned(), move |name| {
            let run = || caught(|| watch.run(&shared));
            supervise(&shared, name, |duration| watch.pause(duration), run);
        })?;
        Ok((workers, receiver))
    }

    /// Lets packets through to and from another interface's TUN.
    pub fn add(&self, eni: EniIdx, tun: Arc<Tun>) {
        self.shared.add(eni, tun.clone());
        self.watch.add(eni, &tun);
    }

    /// The interfaces that have a TUN.
    pub fn interfaces(&self) -> HashSet<EniIdx> {
        let roster = self.shared.roster.lock();
        roster.entries().map(|(eni, _)| eni).collect()
    }

    /// Takes an interface's TUN away. When this returns no worker reads or writes it any more; its link goes as soon as the
    /// caller has dropped its own `Arc<Tun>` too.
    pub fn remove(&self, eni: EniIdx) {
        self.watch.remove(eni);
        let (passed, all_passed) = mpsc::channel();
        self.shared.remove(eni, Some(passed));
        // Ends when the last worker has dropped its sender.
        let _ = all_passed.recv();
    }

    /// Has every worker look at the newest snapshot and its deadlines: call it after `Dataplane::apply`.
    pub fn wake(&self) {
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Message::Wake);
        }
    }

    /// Wakes one of them, whoever changes them meanwhile.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// Ends the threads and waits for them.
    pub fn stop(self) {
        drop(self);
    }

    fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce(&str) + Send + 'static,
    ) -> Result<(), Error> {
        let thread = Builder::new()
            .name(name.clone())
            .spawn(move || run(&name))
            .map_err(|source| Error::Thread {
                doing: "start a thread",
                source,
            })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Waker {
    /// Has one worker look at its deadlines: call it after `Dataplane::handle_resolved`.
    pub fn wake(&self) {
        let mut mailboxes = self.0.mailboxes.iter();
        // Posted to the first that has a worker.
        let _ = mailboxes.any(|mailbox| mailbox.post(Message::Wake));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for mailbox in &self.shared.mailboxes {
            mailbox.stop();
        }
        self.watch.stop();
        for thread in self.threads.drain(..) {
            // A panic has been reported as an event.
            let _ = thread.join();
        }
    }
}

/// A worker's thread: its first worker, and each that takes the place of one that has failed. `began` receives whether there
/// can be a first.
fn work(seat: &Seat, name: &str, began: mpsc::Sender<Result<(), Error>>) {
    let mut worker = seat.dataplane.worker(seat.id);
    let mut began = Some(began);
    let live = || {
        let outcome = attempt(|| match (Thread::new(seat, &mut worker), began.take()) {
            (Ok(mut thread), began) => {
                began.map(|began| began.send(Ok(())));
                thread.run()
            }
            (Err(error), None) => Err(error),
            (Err(error), Some(began)) => {
                let _ = began.send(Err(error));
                Ok(())
            }
        });
        seat.leave(&mut worker);
        outcome
    };
    supervise(&seat.shared, name, |duration| seat.pause(duration), live);
}

#[cfg(test)]
mod tests;
