//! The worker threads as the daemon sees them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::aio::Aio;
use super::clock::Clock;
use super::error::Error;
use super::event::IoEvent;
use super::mailbox::{Mailbox, Message};
use super::outlet::{Kernel, Outlet};
use super::polling::Pollers;
use super::tun::Tun;
use super::watch::Watch;
use super::worker::{Shared, Thread};
use crate::dataplane::config::Interface;
use crate::dataplane::{Dataplane, EniIdx, Table};

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
    readers: Mutex<Readers>,
    threads: Vec<JoinHandle<()>>,
}

/// Wakes a worker, from any thread; after the last one has ended, nobody.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

/// Which worker reads which TUN.
#[derive(Debug)]
struct Readers {
    of: Table<Interface, usize>,
    counts: Vec<usize>,
}

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
            pollers: Pollers::default(),
            events,
        });
        let mut workers = Self {
            shared: shared.clone(),
            watch: Arc::new(Watch::new()?),
            readers: Mutex::new(Readers {
                of: Table::new(),
                counts: vec![0; count],
            }),
            threads: Vec::new(),
        };
        for (eni, tun) in tuns {
            workers.add(eni, tun);
        }
        let kernel = Arc::new(Kernel::default());
        let mut no_aio = None;
        for id in 0..count {
            let aio = Aio::new().map_err(|errno| no_aio = Some(errno));
            let outlet = Outlet::new(kernel.clone(), aio.ok());
            let thread = Thread::new(id, dataplane.clone(), options.clock, shared.clone(), outlet)?;
            workers.spawn(format!("worker-{id}"), move |shared| {
                guard(shared, id, || thread.run())
            })?;
        }
        if let Some(errno) = no_aio {
            tracing::warn!(
                error = %errno,
                "the kernel gives no AIO context (fs.aio-max-nr, CONFIG_AIO): packets are written one by one"
            );
        }
        let watch = workers.watch.clone();
        workers.spawn("netns-watch".to_owned(), move |shared| watch.run(shared))?;
        Ok((workers, receiver))
    }

    /// Lets packets through to and from another interface's TUN.
    pub fn add(&self, eni: EniIdx, tun: Arc<Tun>) {
        let reader = self.readers.lock().choose(eni);
        for (id, mailbox) in self.shared.mailboxes.iter().enumerate() {
            mailbox.post(Message::Add {
                eni,
                tun: tun.clone(),
                reads: id == reader,
            });
        }
        self.watch.add(eni, &tun);
    }

    /// Takes an interface's TUN away. When this returns no worker reads or writes it any more; its link goes as soon as the
    /// caller has dropped its own `Arc<Tun>` too.
    pub fn remove(&self, eni: EniIdx) {
        self.watch.remove(eni);
        self.readers.lock().release(eni);
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
        run: impl FnOnce(&Shared) + Send + 'static,
    ) -> Result<(), Error> {
        let shared = self.shared.clone();
        let thread = Builder::new()
            .name(name)
            .spawn(move || run(&shared))
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
            mailbox.post(Message::Stop);
        }
        self.watch.stop();
        for thread in self.threads.drain(..) {
            // A worker's panic has been reported as an event.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Has every worker let go of an interface's TUN.
    pub(super) fn remove(&self, eni: EniIdx, passed: Option<mpsc::Sender<()>>) {
        for mailbox in &self.mailboxes {
            mailbox.post(Message::Remove {
                eni,
                _passed: passed.clone(),
            });
        }
    }
}

impl Readers {
    /// The worker that reads the fewest TUNs gets this one.
    fn choose(&mut self, eni: EniIdx) -> usize {
        let fewest = (0..self.counts.len()).min_by_key(|id| self.counts[*id]);
        let reader = fewest.unwrap_or_default();
        self.counts[reader] += 1;
        self.of.insert(eni, reader);
        reader
    }

    fn release(&mut self, eni: EniIdx) {
        if let Some(reader) = self.of.take(eni) {
            self.counts[reader] -= 1;
        }
    }
}

/// Runs a worker's thread; that it ended early does not stay unnoticed.
fn guard(shared: &Shared, worker: usize, run: impl FnOnce() -> Result<(), Error>) {
    let result = catch_unwind(AssertUnwindSafe(run));
    shared.mailboxes[worker].close();
    let reason = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error}: {:?}", std::error::Error::source(&error)),
        Err(_) => "it panicked".to_owned(),
    };
    tracing::error!(worker, reason, "a worker thread ended");
    shared.report(IoEvent::WorkerFailed { worker, reason });
}
