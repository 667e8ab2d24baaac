//! Fragments wait here until their datagram is complete, which then takes the way of every packet.
//!
//! Whole datagrams are what leaves: fragments of two senders behind one address never meet in a receiver
//! (`docs/design/0013`). A worker keeps the fragments that its own TUNs bring.
//!
//! Invariant: what is kept for an interface is bounded in number and in time, and, but for a single datagram, never more
//! than is left for all others. What exceeds that takes the place of the interface's own oldest.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::Dataplane;
use super::config::EniIdx;
use super::dropped::Dropped;
use super::eni::Counters;
use super::schedule::Schedule;
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::{
    Addr, Assembly, Fragment, FragmentError, Packet, ParseError, Protocol, VnetHeader, identify,
};

/// How long a datagram waits for its last fragment, from the first that has arrived.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams of one interface that wait at once.
const MOST_OF_ONE: usize = 64;
/// Datagrams that wait at once, of all interfaces of all workers, if none has only one. Each takes 64 KiB, and four bytes
/// per fragment.
const MOST: usize = 1024;

/// What all workers share.
#[derive(Default)]
pub(super) struct Shared {
    /// How many datagrams wait.
    waiting: AtomicUsize,
    /// The next identification.
    id: AtomicU16,
}

/// What a worker keeps.
pub(super) struct Fragments {
    shared: Arc<Shared>,
    senders: HashMap<EniIdx, Sender, FixedState>,
    /// When the senders' oldest datagrams are to be given up.
    schedule: Schedule<EniIdx>,
}

/// An interface whose fragments wait.
#[derive(Default)]
struct Sender {
    /// Oldest first.
    datagrams: VecDeque<Datagram>,
    /// Its place in the schedule.
    due: Option<Instant>,
}

/// A datagram that is not complete.
struct Datagram {
    key: Key,
    until: Instant,
    /// `None`: its fragments overlap. Those that still come belong to nothing.
    assembly: Option<Assembly>,
    _place: Place,
}

/// What fragments of one datagram have in common (RFC 791), beside the interface.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    src: Addr,
    dst: Addr,
    protocol: Protocol,
    id: u16,
}

/// One of [`MOST`] places, given back when it is dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl From<FragmentError> for DropReason {
    fn from(error: FragmentError) -> Self {
        match error {
            FragmentError::Header(error) => error.into(),
            FragmentError::Malformed => Self::BadFragment,
            FragmentError::Tiny => Self::TinyFragment,
            FragmentError::Duplicate => Self::DuplicateFragment,
            FragmentError::Overlap => Self::OverlappingFragment,
        }
    }
}

impl Dataplane {
    /// Takes a packet that `error` says is none by itself. Keeps a fragment, or sends the datagram that it completes on its
    /// way; any other ends here.
    #[cold]
    pub(super) fn take_fragment(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &Packet<'_>,
        error: ParseError,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        if error != ParseError::Fragment {
            return Err(Dropped::at(from, error));
        }
        let fragment = Fragment::parse(packet).map_err(|error| Dropped::at(from, error))?;
        worker.count_sent(from, fragment.headers.len);
        self.fits(from, &fragment.headers, self.settings.mtu)?;
        // At once: what is forged takes no room.
        let source = worker.snapshot.source_check(from, &fragment.headers)?;
        let counters = source.counters(worker.id);
        let complete = worker.fragments.add(from, &fragment, counters, now);
        match complete.map_err(|reason| Dropped::at(from, reason))? {
            Some(datagram) => Ok(self.send_whole(worker, from, datagram, now)),
            None => Ok(Verdict::Answered),
        }
    }

    /// Sends a datagram that its fragments have made.
    fn send_whole(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        mut datagram: Vec<u8>,
        now: Instant,
    ) -> Verdict {
        let mut vnet = VnetHeader::default();
        let mut packet = Packet::new(&mut vnet, &mut datagram);
        let verdict = match self.carry_whole(worker, from, &mut packet, now) {
            Ok(verdict) => verdict,
            Err(dropped) => worker.drop_packet(from, &mut packet, dropped),
        };
        worker.send_on(verdict, datagram)
    }

    fn carry_whole(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let mut headers = packet.parse().map_err(|error| Dropped::at(from, error))?;
        self.hide_options(worker, from, packet, &headers);
        // Each fragment has fitted, and it may be fragmented again on its way.
        headers.wire_len = 0;
        let verdict = self.carry(worker, from, packet, &headers, now)?;
        let src = headers.tuple.src.octets_v4();
        if packet.bytes().get(12..16) != src.as_ref().map(<[u8; 4]>::as_slice) {
            // Others send from this address too, and may have chosen the same identification.
            identify(packet, self.fragments.id.fetch_add(1, Relaxed));
        }
        Ok(verdict)
    }

    /// Gives up the datagrams whose fragments have not all arrived by now.
    pub(super) fn give_up_fragments(&self, worker: &mut Worker, now: Instant) {
        let Worker {
            id,
            snapshot,
            fragments,
            ..
        } = worker;
        while let Some(from) = fragments.schedule.next_due(now) {
            let sender = snapshot.eni(from).ok();
            fragments.give_up(from, sender.and_then(|eni| eni.counters(*id)), now);
        }
    }
}

impl Fragments {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            senders: HashMap::default(),
            schedule: Schedule::default(),
        }
    }

    /// When [`Dataplane::give_up_fragments`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.schedule.first()
    }

    /// Adds a fragment to its datagram; gives that if it is complete now.
    fn add(
        &mut self,
        from: EniIdx,
        fragment: &Fragment<'_>,
        counters: Option<&Counters>,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        let sender = self.senders.entry(from).or_default();
        sender.give_up_late(counters, now);
        let key = Key::of(fragment);
        let known = sender.datagrams.iter().rposition(|it| it.key == key);
        let at = match known {
            Some(at) => at,
            None => {
                let place = sender.make_room(&self.shared, counters);
                sender.datagrams.push_back(Datagram {
                    key,
                    until: now + PATIENCE,
                    assembly: Some(Assembly::default()),
                    _place: place,
                });
                sender.datagrams.len() - 1
            }
        };
        if sender.due.is_none() {
            let at = Some(now + PATIENCE);
            self.schedule.put(from, &mut sender.due, at);
        }
        sender.add_to(at, fragment)
    }

    /// Gives up what has waited for too long at one interface.
    fn give_up(&mut self, from: EniIdx, counters: Option<&Counters>, now: Instant) {
        let Some(sender) = self.senders.get_mut(&from) else {
            return;
        };
        sender.give_up_late(counters, now);
        let next = sender.datagrams.front().map(|oldest| oldest.until);
        self.schedule.put(from, &mut sender.due, next);
        if next.is_none() {
            self.senders.remove(&from);
        }
    }
}

impl Sender {
    /// Adds a fragment to the datagram at this place.
    fn add_to(
        &mut self,
        at: usize,
        fragment: &Fragment<'_>,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        let datagram = self.datagrams.get_mut(at);
        let Some(Datagram { assembly, .. }) = datagram else {
            return Ok(None);
        };
        let whole = match assembly {
            Some(assembly) => assembly.add(fragment),
            None => Err(FragmentError::Overlap),
        };
        match whole {
            Ok(Some(_)) => drop(self.datagrams.remove(at)),
            Ok(None) | Err(FragmentError::Duplicate) => {}
            Err(_) => *assembly = None,
        }
        whole.map_err(DropReason::from)
    }

    /// A place for one more datagram, for which its own oldest ones make room. The only one needs none.
    fn make_room(&mut self, shared: &Arc<Shared>, counters: Option<&Counters>) -> Place {
        let has_too_many = |this: &Self| {
            let left = MOST.saturating_sub(shared.waiting.load(Relaxed));
            this.datagrams.len() >= left.min(MOST_OF_ONE)
        };
        while has_too_many(self)
            && let Some(oldest) = self.datagrams.pop_front()
        {
            oldest.count(DropReason::FragmentLimit, counters);
        }
        shared.waiting.fetch_add(1, Relaxed);
        Place(Arc::clone(shared))
    }

    fn give_up_late(&mut self, counters: Option<&Counters>, now: Instant) {
        let is_late = |datagram: &mut Datagram| datagram.until <= now;
        while let Some(late) = self.datagrams.pop_front_if(is_late) {
            late.count(DropReason::FragmentTimeout, counters);
        }
    }
}

impl Datagram {
    /// Counts its end, unless that has been counted.
    fn count(&self, reason: DropReason, counters: Option<&Counters>) {
        if let (Some(_), Some(counters)) = (&self.assembly, counters) {
            counters.dropped(reason);
        }
    }
}

impl Key {
    fn of(fragment: &Fragment<'_>) -> Self {
        let tuple = &fragment.headers.tuple;
        Self {
            src: tuple.src,
            dst: tuple.dst,
            protocol: tuple.protocol,
            id: fragment.id,
        }
    }
}
