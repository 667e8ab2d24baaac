//! A worker thread: it reads its TUNs, has the core decide, and writes what it has read, several packets at a time where several
//! wait.
//!
//! Recently busy TUNs are polled with non-blocking reads, for a bounded budget of empty rounds after their traffic stops;
//! the others wait in epoll. With no busy TUN the thread sleeps there.
//! Invariants: a TUN is read by one worker, so that
//! packets keep their order; a worker that sleeps holds nothing of the core's.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Once, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;
use zerocopy::FromBytes;

use super::aio::Aio;
use super::clock::Clock;
use super::error::Error;
use super::event::IoEvent;
use super::mailbox::{Mailbox, Message};
use super::outlet::{Failure, Kernel, Outlet, Unwritten};
use super::polling::{Pollers, Polling};
use super::roster::{Entry, Roster};
use super::suspects::Suspects;
use super::tun::Tun;
use crate::dataplane::config::Interface;
use crate::dataplane::{Dataplane, EniIdx, Instant, Table, Verdict, Worker};
use crate::net::{Packet, VnetHeader};

/// Packets from one TUN before the next has its turn; fewer, if as much as can wait to be written has come.
const BATCH: usize = 64;
/// Rounds between two looks at the TUNs that wait in epoll, while others are busy.
const EPOLL_EVERY: u32 = 8;
/// The longest sleep, in microseconds: far below what epoll's milliseconds can count.
const LONGEST_SLEEP: u64 = 60 * 60 * 1_000_000;
/// What epoll says of the mailbox; no interface has this index.
const MAILBOX: u64 = u64::MAX;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mailboxes: Vec<Mailbox>,
    /// Its lock is held while messages about it are posted, so that no worker begins in between.
    pub(super) roster: Mutex<Roster>,
    pub(super) pollers: Pollers,
    pub(super) events: UnboundedSender<IoEvent>,
}

impl Shared {
    /// Has every worker write to an interface's TUN, and one of them read it.
    pub(super) fn add(&self, eni: EniIdx, tun: Arc<Tun>) {
        let mut roster = self.roster.lock();
        let reader = roster.add(eni, tun.clone());
        for (id, mailbox) in self.mailboxes.iter().enumerate() {
            mailbox.post(Message::Add {
                eni,
                tun: tun.clone(),
                reads: id == reader,
            });
        }
    }

    /// Has every worker let go of an interface's TUN.
    pub(super) fn remove(&self, eni: EniIdx, passed: Option<mpsc::Sender<()>>) {
        let mut roster = self.roster.lock();
        roster.remove(eni);
        for mailbox in &self.mailboxes {
            mailbox.post(Message::Remove {
                eni,
                _passed: passed.clone(),
            });
        }
    }

    pub(super) fn report(&self, event: IoEvent) {
        // Nobody listens any more once the daemon is on its way out.
        let _ = self.events.send(event);
    }
}

/// Where a worker's thread sits: what stays when it fails and another takes its place.
pub(super) struct Seat {
    pub(super) id: usize,
    pub(super) dataplane: Arc<Dataplane>,
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) kernel: Arc<Kernel>,
    /// Whose TUN has its turn.
    pub(super) turn: Cell<Option<EniIdx>>,
    pub(super) suspects: RefCell<Suspects>,
}

impl Seat {
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.shared.mailboxes[self.id]
    }

    /// The worker has ended, as it should or not: nothing waits for it, and nothing is held for it.
    pub(super) fn leave(&self, worker: &mut Worker) {
        self.dataplane.park(worker);
        self.shared.pollers.forget(self.id);
        self.mailbox().close();
    }

    /// Waits before the next worker, unless it is a TUN that is to be left alone; `false`: there is to be none.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let mut suspects = self.suspects.borrow_mut();
        let culprit = self.turn.take();
        let spared = culprit.is_some_and(|eni| suspects.accuse(eni, self.clock.now()));
        let duration = if spared { Duration::ZERO } else { duration };
        self.mailbox().pause(duration)
    }
}

/// A thread's own state. The core's part is only lent to it: its randomness goes on where it was.
pub(super) struct Thread<'a> {
    id: usize,
    dataplane: Arc<Dataplane>,
    worker: &'a mut Worker,
    clock: Clock,
    shared: Arc<Shared>,
    epoll: OwnedFd,
    /// The TUNs that this worker reads.
    readers: Table<Interface, Arc<Tun>>,
    reader_count: usize,
    /// Those of them that are polled.
    busy: Vec<Busy>,
    /// Those that are left alone for a while.
    held: Vec<Held>,
    turn: &'a Cell<Option<EniIdx>>,
    polling: Polling,
    outlet: Outlet,
}

/// A TUN in whose turn a worker has failed.
struct Held {
    eni: EniIdx,
    tun: Arc<Tun>,
    until: Instant,
}

/// A TUN with recent traffic.
struct Busy {
    eni: EniIdx,
    tun: Arc<Tun>,
    empty_rounds: usize,
}

/// What a TUN's turn has brought.
struct Turn {
    packets: usize,
    /// Does more wait? It may: nobody has looked.
    more: bool,
}

impl<'a> Thread<'a> {
    /// Begins with the TUNs that there are.
    pub(super) fn new(seat: &'a Seat, worker: &'a mut Worker) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::Thread {
            doing: "set up epoll",
            source: errno.into(),
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        let data = epoll::EventData::new_u64(MAILBOX);
        epoll::add(&epoll, seat.mailbox(), data, epoll::EventFlags::IN).map_err(failed)?;
        let mut thread = Self {
            id: seat.id,
            worker,
            dataplane: seat.dataplane.clone(),
            clock: seat.clock,
            shared: seat.shared.clone(),
            epoll,
            readers: Table::new(),
            reader_count: 0,
            busy: Vec::new(),
            held: Vec::new(),
            turn: &seat.turn,
            polling: Polling::new(seat.id),
            outlet: Outlet::new(seat.kernel.clone(), aio()),
        };
        let roster = seat.shared.roster.lock();
        seat.mailbox().open();
        let entries: Vec<_> = roster
            .entries()
            .map(|(eni, it)| (eni, it.clone()))
            .collect();
        drop(roster);
        let suspects = seat.suspects.borrow();
        for (eni, Entry { tun, reader }) in entries {
            thread.outlet.add(eni, tun.clone());
            match suspects.held_until(eni) {
                _ if reader != seat.id => {}
                Some(until) => thread.held.push(Held { eni, tun, until }),
                None => thread.start_reading(eni, tun)?,
            }
        }
        drop(suspects);
        Ok(thread)
    }

    /// Carries packets until it is told to stop.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        self.polling.start();
        let mut woken = Vec::with_capacity(64);
        let mut round = 0u32;
        loop {
            round = round.wrapping_add(1);
            if self.mailbox().is_waiting() {
                let messages = self.mailbox().take();
                if self.mailbox().is_stopping() {
                    return Ok(());
                }
                for message in messages {
                    self.change(message)?;
                }
            }
            self.dataplane.resume(self.worker);
            let now = self.clock.now();
            if !self.held.is_empty() {
                self.release(now)?;
            }
            let packets = self.read_busy(now);
            self.run_timers(now);
            self.transmit();
            if packets > 0 {
                self.polling.packets(packets, now);
            } else if !self.busy.is_empty() {
                let Shared { pollers, .. } = &*self.shared;
                self.polling.pause(pollers, &self.clock, now);
            }
            if self.busy.is_empty() {
                self.sleep(&mut woken)?;
                continue;
            }
            if self.busy.len() < self.reader_count && round.is_multiple_of(EPOLL_EVERY) {
                self.wait(&mut woken, Some(Timespec::default()))?;
            }
        }
    }

    fn mailbox(&self) -> &Mailbox {
        &self.shared.mailboxes[self.id]
    }

    fn change(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Add { eni, tun, reads } => {
                self.outlet.add(eni, tun.clone());
                if reads {
                    self.start_reading(eni, tun)?;
                }
            }
            Message::Remove { eni, .. } => {
                self.stop_reading(eni);
                self.outlet.remove(eni);
            }
            Message::Wake => {}
        }
        Ok(())
    }

    fn start_reading(&mut self, eni: EniIdx, tun: Arc<Tun>) -> Result<(), Error> {
        let token = u64::from(eni.generation()) << 32 | u64::from(eni.index());
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.epoll, &*tun, data, epoll::EventFlags::IN).map_err(|errno| {
            Error::Thread {
                doing: "watch a TUN",
                source: errno.into(),
            }
        })?;
        self.readers.insert(eni, tun);
        self.reader_count += 1;
        Ok(())
    }

    fn stop_reading(&mut self, eni: EniIdx) {
        if let Some(tun) = self.readers.take(eni) {
            // It fails only if epoll has lost it already.
            let _ = epoll::delete(&self.epoll, &*tun);
            self.reader_count -= 1;
        }
        self.busy.retain(|busy| busy.eni != eni);
        self.held.retain(|held| held.eni != eni);
    }

    /// Reads again what was left alone for long enough.
    #[cold]
    fn release(&mut self, now: Instant) -> Result<(), Error> {
        let due: Vec<_> = self.held.extract_if(.., |held| held.until <= now).collect();
        due.into_iter()
            .try_for_each(|held| self.start_reading(held.eni, held.tun))
    }

    /// Waits until there is something to read or to do.
    fn sleep(&mut self, woken: &mut Vec<epoll::Event>) -> Result<(), Error> {
        self.polling.stop(&self.shared.pollers);
        let deadline = self.until_deadline();
        self.dataplane.park(self.worker);
        self.wait(woken, deadline)?;
        self.polling.woke(self.clock.now());
        Ok(())
    }

    /// Gives each busy TUN its turn; the number of packets read.
    fn read_busy(&mut self, now: Instant) -> usize {
        let mut packets = 0;
        let mut at = 0;
        while at < self.busy.len() {
            self.turn.set(Some(self.busy[at].eni));
            match self.read_batch(at, now) {
                Ok(turn) => {
                    packets += turn.packets;
                    self.polling.read(turn.packets);
                    let budget = self.polling.budget(self.busy.len());
                    let busy = &mut self.busy[at];
                    busy.empty_rounds = match turn.packets {
                        0 => busy.empty_rounds + 1,
                        _ => 0,
                    };
                    match !turn.more && busy.empty_rounds >= budget {
                        true => drop(self.busy.swap_remove(at)),
                        false => at += 1,
                    }
                }
                Err(errno) => self.lose(at, errno),
            }
        }
        self.turn.set(None);
        packets
    }

    /// Reads one TUN until it is empty or its turn is over, and writes what has come. An error: its link is gone.
    #[inline]
    fn read_batch(&mut self, at: usize, now: Instant) -> Result<Turn, Errno> {
        let mut turn = Turn {
            packets: 0,
            more: true,
        };
        let mut gone = None;
        while turn.packets < BATCH && !self.outlet.is_full() {
            let Busy { eni, tun, .. } = &self.busy[at];
            let buffer = self.outlet.room();
            let length = match tun.read(buffer) {
                Ok(length) => length,
                Err(Errno::AGAIN | Errno::INTR) => {
                    turn.more = false;
                    break;
                }
                Err(errno) => {
                    gone = Some(errno);
                    break;
                }
            };
            turn.packets += 1;
            let Ok((header, bytes)) = VnetHeader::mut_from_prefix(&mut buffer[..length]) else {
                continue;
            };
            let mut packet = Packet::new(header, bytes);
            let verdict = self
                .dataplane
                .handle_packet(self.worker, *eni, &mut packet, now);
            match verdict {
                Verdict::Forward(to) => self.outlet.queue(to, length),
                Verdict::ForwardAfter(to) => {
                    self.transmit();
                    self.outlet.queue(to, length);
                }
                // What is said on a connection comes before its next packet.
                Verdict::Answered => self.transmit(),
                Verdict::Drop(_) => {}
            }
        }
        self.flush();
        gone.map_or(Ok(turn), Err)
    }

    /// Writes what waits.
    #[inline]
    fn flush(&mut self) {
        let Self {
            outlet,
            dataplane,
            worker,
            shared,
            ..
        } = self;
        outlet.flush(|unwritten| note(dataplane, worker, shared, unwritten));
    }

    /// The link under a TUN has been deleted: nobody may write to it any more, and somebody should know.
    fn lose(&mut self, at: usize, errno: Errno) {
        let Busy { eni, tun, .. } = self.busy.swap_remove(at);
        self.stop_reading(eni);
        self.shared.remove(eni, None);
        self.shared.report(IoEvent::LinkGone {
            eni,
            namespace: tun.namespace().to_owned(),
            error: errno.into(),
        });
    }

    fn run_timers(&mut self, now: Instant) {
        if let Some(deadline) = self.dataplane.poll_timeout(self.worker)
            && deadline.at <= now
        {
            self.dataplane.handle_timeout(self.worker, now);
        }
    }

    /// Writes what the core itself has to say, to instances and to people; to instances after what they are sent already.
    fn transmit(&mut self) {
        while let Some(event) = self.dataplane.poll_event() {
            self.shared.report(IoEvent::Core(event));
        }
        while let Some(transmit) = self.dataplane.poll_transmit(self.worker) {
            self.flush();
            if let Err(failure) = self.outlet.send_bare(transmit.to, &transmit.bytes) {
                let unwritten = Unwritten {
                    to: transmit.to,
                    packets: 1,
                    failure,
                };
                note(&self.dataplane, self.worker, &self.shared, unwritten);
            }
        }
    }

    /// How long until the core's next deadline, or a TUN's that is left alone; `None`: until something happens.
    fn until_deadline(&self) -> Option<Timespec> {
        let deadline = self
            .dataplane
            .poll_timeout(self.worker)
            .map(|deadline| deadline.at);
        let held = self.held.iter().map(|held| held.until);
        let micros = held
            .chain(deadline)
            .min()?
            .0
            .saturating_sub(self.clock.now().0);
        // Up to the next millisecond: waking just before the deadline would be a second waking.
        let millis = micros.min(LONGEST_SLEEP).div_ceil(1000);
        Some(Timespec {
            tv_sec: (millis / 1000) as i64,
            tv_nsec: (millis % 1000) as i64 * 1_000_000,
        })
    }

    /// Waits in epoll; what has something to read is busy from now on.
    fn wait(
        &mut self,
        woken: &mut Vec<epoll::Event>,
        timeout: Option<Timespec>,
    ) -> Result<(), Error> {
        woken.clear();
        match epoll::wait(&self.epoll, spare_capacity(woken), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(Error::Thread {
                    doing: "wait in epoll",
                    source: errno.into(),
                });
            }
        }
        for event in woken {
            let token = event.data.u64();
            if token == MAILBOX {
                self.mailbox().silence();
                continue;
            }
            let eni = EniIdx::new(token as u32, (token >> 32) as u32);
            if let Some(tun) = self.readers.get(eni)
                && self.busy.iter().all(|busy| busy.eni != eni)
            {
                self.busy.push(Busy {
                    eni,
                    tun: tun.clone(),
                    empty_rounds: 0,
                });
            }
        }
        Ok(())
    }
}

/// An AIO context, where the kernel gives one.
fn aio() -> Option<Aio> {
    static MISSING: Once = Once::new();
    let aio = Aio::new();
    if let Err(errno) = &aio {
        MISSING.call_once(|| {
            tracing::warn!(
                error = %errno,
                "the kernel gives no AIO context (fs.aio-max-nr, CONFIG_AIO): packets are written one by one"
            );
        });
    }
    aio.ok()
}

/// Counts or reports a write that did not simply succeed.
#[cold]
fn note(dataplane: &Dataplane, worker: &mut Worker, shared: &Shared, unwritten: Unwritten) {
    match unwritten.failure {
        Failure::Lost(reason) => {
            for _ in 0..unwritten.packets {
                dataplane.count_drop(worker, unwritten.to, reason);
            }
        }
        Failure::Fallback(kind) => {
            tracing::warn!(
                ?kind,
                "the kernel refuses super-packets: cutting them in software"
            );
            shared.report(IoEvent::SplitFallback { kind });
        }
    }
}
