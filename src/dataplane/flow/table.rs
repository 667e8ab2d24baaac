//! The flow table: shared by all workers, looked up without locks or shared writes.
//!
//! Invariant: both keys of a flow lead to it from [`FlowTable::open`] until it is swept, unless a newer flow has taken one
//! of them over ([`State::REPLACED`]). A key is unique, so the target's key is also the NAT binding's reservation: a gateway
//! address and port are free towards a target exactly when that key is not in the table.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hasher};

use super::super::epoch::Epochs;
use super::super::time::Instant;
use super::buckets::{Buckets, Crowded, Place, Shard, find};
use super::key::{FlowKey, Words};
use super::slot::{Flow, Side, Terms};
use super::state::{Newcomer, State};

/// A shard grows in one go, while its lock is held: with two million flows it moves about 8,000 entries.
const SHARD_BITS: u32 = 9;
/// Flows come in chunks of 256 KiB, made when they are first needed and kept.
const CHUNK: usize = 1024;
/// Not a place.
const NONE: u32 = u32::MAX;

/// All flows.
pub struct FlowTable {
    hasher: FixedState,
    shards: Box<[Shard]>,
    /// Rises when a shard grows.
    version: AtomicU64,
    chunks: Box<[OnceLock<Box<[Flow]>>]>,
    places: Mutex<Places>,
    live: AtomicUsize,
    limit: usize,
}

/// Which places are free. Those that have been used form a list, which lies in the places themselves: each has the epoch that
/// every worker must reach before it is free, and the oldest comes first.
struct Places {
    /// The first that has never been used.
    fresh: u32,
    first: u32,
    last: u32,
}

/// A worker's view of the table's buckets; refreshed when a shard has grown.
pub(in crate::dataplane) struct FlowCache {
    version: u64,
    buckets: Vec<Buckets>,
}

/// The flow that a first packet asks for.
pub(in crate::dataplane) struct Request {
    pub(in crate::dataplane) initiator: FlowKey,
    pub(in crate::dataplane) terms: Terms,
    /// TCP: what its SYN says.
    pub(in crate::dataplane) syn: Option<Newcomer>,
}

/// A flow that has opened.
pub(in crate::dataplane) struct Opened<'a> {
    pub(in crate::dataplane) flow: &'a Flow,
    /// Its place in the table.
    pub(in crate::dataplane) place: u32,
}

/// On what terms a flow may have a key for its target's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Claim {
    /// If it leads nowhere.
    Unused,
    /// Also if the flow that has it has the same initiator, and so is the same connection's.
    Own,
    /// Also if a resting flow yields it.
    Yielded,
    /// Only if a resting flow through the same endpoint yields it.
    EndpointYielded,
    /// Only if a resting flow of the same interface through the same endpoint yields it.
    InterfaceYielded,
    /// It follows from the initiator's key, inside a VPC: also if the flow that has it has ended, or has the same initiator.
    Implied,
}

/// Why a flow did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum OpenError {
    /// The table is full, or too many keys have (nearly) the same hash.
    Full,
    /// None of the candidate keys for the target's side is to be had.
    NoBinding,
}

impl Request {
    /// May it have the key that leads to this side of `old`?
    fn takes_over(&self, claim: Claim, old: &Flow, side: Side, now: Instant) -> bool {
        let is_yielded = || side == Side::Target && self.syn.is_some_and(|syn| old.yields_to(&syn));
        match claim {
            Claim::Unused => false,
            Claim::Own => old.is(side.other(), &self.initiator.to_words()),
            Claim::Yielded => is_yielded(),
            Claim::EndpointYielded => old.via() == self.terms.via && is_yielded(),
            Claim::InterfaceYielded => {
                old.via() == self.terms.via
                    && old.key(Side::Initiator).ingress == self.initiator.ingress
                    && is_yielded()
            }
            Claim::Implied => {
                old.is(side.other(), &self.initiator.to_words()) || old.ended(side, now)
            }
        }
    }
}

/// What became of a key that was to lead to a new flow.
enum Published {
    /// It led nowhere before.
    New,
    /// It led to this place, whose flow has been replaced.
    Over(u32),
    /// It leads to a flow that keeps it, or nowhere, and may be had from a flow only.
    Taken,
    /// There is no room for it.
    Crowded,
}

impl FlowTable {
    pub(in crate::dataplane) fn new(limit: usize, seed: u64) -> Self {
        let limit = limit.min(u32::MAX as usize / 2);
        Self {
            hasher: FixedState::with_seed(seed),
            shards: (0..1 << SHARD_BITS).map(|_| Shard::new()).collect(),
            version: AtomicU64::new(0),
            chunks: (0..limit.div_ceil(CHUNK))
                .map(|_| OnceLock::new())
                .collect(),
            places: Mutex::new(Places {
                fresh: 0,
                first: NONE,
                last: NONE,
            }),
            live: AtomicUsize::new(0),
            limit,
        }
    }

    pub(in crate::dataplane) fn cache(&self) -> FlowCache {
        FlowCache {
            version: self.version.load(Ordering::Acquire),
            buckets: self.shards.iter().map(Shard::buckets).collect(),
        }
    }

    /// Takes up the buckets of shards that have grown; once per batch.
    #[inline]
    pub(in crate::dataplane) fn refresh(&self, cache: &mut FlowCache) {
        if cache.version != self.version.load(Ordering::Acquire) {
            *cache = self.cache();
        }
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// How many more there may be.
    pub(in crate::dataplane) fn room(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The flow and side that this key belongs to, unless it has been replaced. The table itself is asked where the worker's
    /// view, which may be old, has nothing, or a flow that another one has replaced.
    #[inline]
    pub(in crate::dataplane) fn lookup(
        &self,
        cache: &FlowCache,
        key: &FlowKey,
    ) -> Option<(&Flow, Side)> {
        let words = key.to_words();
        let hash = self.hash(&words);
        let buckets = cache.buckets.get(shard_of(hash))?;
        let found = find(buckets, hash, |place| self.holds(place, &words));
        let found = found.and_then(|place| Some((self.flow(place.flow)?, place.side)));
        match found {
            Some((flow, _)) if !flow.state().has(State::REPLACED) => found,
            _ => self.lookup_locked(&words, hash),
        }
    }

    #[cold]
    fn lookup_locked(&self, words: &Words, hash: u64) -> Option<(&Flow, Side)> {
        let place = self
            .shards
            .get(shard_of(hash))?
            .lock()
            .find(hash, |place| self.holds(place, words))?;
        let flow = self.flow(place.flow)?;
        (!flow.state().has(State::REPLACED)).then_some((flow, place.side))
    }

    /// Opens a flow; the target's side gets the first of `targets` that may be had as claimed.
    ///
    /// A flow that the initiator's key leads to (expired, or closing) is replaced. A flow whose target's key is taken leaves the
    /// table at once, and goes to `settle`. From a live flow of another interface it is never taken, whatever source address
    /// that one may claim.
    pub(in crate::dataplane) fn open(
        &self,
        request: &Request,
        targets: impl Iterator<Item = (FlowKey, Claim)>,
        epochs: &Epochs,
        now: Instant,
        settle: impl FnOnce(&Flow),
    ) -> Result<Opened<'_>, OpenError> {
        let Request {
            initiator, terms, ..
        } = request;
        let number = self.take_place(epochs).ok_or(OpenError::Full)?;
        let flow = self.make_flow(number).ok_or(OpenError::Full)?;
        flow.fill(initiator, terms, now);
        let place = |side| Place { flow: number, side };
        let mut published = Published::Taken;
        for (key, claim) in targets {
            flow.store_key(Side::Target, &key);
            let may_be_new = !matches!(claim, Claim::EndpointYielded | Claim::InterfaceYielded);
            published = self.publish(&key, place(Side::Target), may_be_new, |old, side| {
                request.takes_over(claim, old, side, now)
            });
            if matches!(published, Published::New | Published::Over(_)) {
                break;
            }
        }
        match published {
            Published::New => {}
            Published::Over(old) => self.remove(old, epochs, settle),
            Published::Taken | Published::Crowded => {
                // No worker has seen it.
                self.free_first(number, flow);
                return Err(match published {
                    Published::Crowded => OpenError::Full,
                    _ => OpenError::NoBinding,
                });
            }
        }
        let place_here = place(Side::Initiator);
        if let Published::Crowded = self.publish(initiator, place_here, true, |_, _| true) {
            self.withdraw(place(Side::Target), flow);
            self.free_last(number, flow, epochs.retire());
            return Err(OpenError::Full);
        }
        flow.enter(State::LIVE);
        self.live.fetch_add(1, Ordering::Relaxed);
        Ok(Opened {
            flow,
            place: number,
        })
    }

    /// Makes `key` lead to `place`. A key that leads to another flow's side is taken over if `take_over` says so, one that leads
    /// nowhere is had if it `may_be_new`.
    fn publish(
        &self,
        key: &FlowKey,
        place: Place,
        may_be_new: bool,
        take_over: impl Fn(&Flow, Side) -> bool,
    ) -> Published {
        let words = key.to_words();
        let hash = self.hash(&words);
        let Some(shard) = self.shards.get(shard_of(hash)) else {
            return Published::Taken;
        };
        let mut shard = shard.lock();
        match shard.find(hash, |place| self.holds(place, &words)) {
            Some(old) => match self.flow(old.flow) {
                Some(flow) if take_over(flow, old.side) => {
                    shard.replace(hash, old, place);
                    flow.enter(State::REPLACED);
                    Published::Over(old.flow)
                }
                _ => Published::Taken,
            },
            None if !may_be_new => Published::Taken,
            None => match shard.insert(hash, place) {
                Ok(grew) => {
                    if grew {
                        self.version.fetch_add(1, Ordering::Release);
                    }
                    Published::New
                }
                Err(Crowded) => Published::Crowded,
            },
        }
    }

    /// Visits `places`; removes the flows for which `ended` says so, `most` of them at most, and hands each to `settle` once,
    /// whoever else sweeps the same places. Gives the first place that has not been visited.
    pub(in crate::dataplane) fn sweep(
        &self,
        places: Range<usize>,
        most: usize,
        epochs: &Epochs,
        ended: impl Fn(&Flow) -> bool,
        mut settle: impl FnMut(&Flow),
    ) -> usize {
        let mut removed = 0;
        for number in places.clone() {
            if removed == most {
                return number;
            }
            if let Some(flow) = self.flow(number as u32)
                && flow.is_live()
                && ended(flow)
            {
                self.remove(number as u32, epochs, &mut settle);
                removed += 1;
            }
        }
        places.end
    }

    /// Takes a flow out of the table, and hands it to `settle`; nothing if somebody else does.
    pub(in crate::dataplane) fn remove(
        &self,
        number: u32,
        epochs: &Epochs,
        settle: impl FnOnce(&Flow),
    ) {
        let Some(flow) = self.flow(number).filter(|flow| flow.leave()) else {
            return;
        };
        settle(flow);
        for side in [Side::Initiator, Side::Target] {
            self.withdraw(Place { flow: number, side }, flow);
        }
        self.live.fetch_sub(1, Ordering::Relaxed);
        self.free_last(number, flow, epochs.retire());
    }

    /// The flows in these places, each with its place.
    pub(in crate::dataplane) fn live(
        &self,
        places: Range<usize>,
    ) -> impl Iterator<Item = (usize, &Flow)> {
        let end = places.end.min(self.extent());
        (places.start..end).filter_map(|number| {
            let flow = self.flow(number as u32)?;
            flow.is_live().then_some((number, flow))
        })
    }

    /// One more than the highest place ever used.
    pub(in crate::dataplane) fn extent(&self) -> usize {
        self.places.lock().fresh as usize
    }

    fn withdraw(&self, place: Place, flow: &Flow) {
        let hash = self.hash(&flow.key(place.side).to_words());
        if let Some(shard) = self.shards.get(shard_of(hash)) {
            shard.lock().remove(hash, place);
        }
    }

    fn take_place(&self, epochs: &Epochs) -> Option<u32> {
        let mut places = self.places.lock();
        if let Some(flow) = self.flow(places.first)
            && flow.free_from() <= epochs.reached()
        {
            let number = places.first;
            places.first = flow.next_free();
            return Some(number);
        }
        let number = places.fresh;
        ((number as usize) < self.limit).then(|| {
            places.fresh += 1;
            number
        })
    }

    /// Gives back a place that no worker has seen.
    fn free_first(&self, number: u32, flow: &Flow) {
        let mut places = self.places.lock();
        flow.set_free_from(0);
        flow.set_next_free(places.first);
        if places.first == NONE {
            places.last = number;
        }
        places.first = number;
    }

    /// Gives back a place that every worker must have lost sight of.
    fn free_last(&self, number: u32, flow: &Flow, epoch: u64) {
        let mut places = self.places.lock();
        flow.set_free_from(epoch);
        flow.set_next_free(NONE);
        match self.flow(places.last).filter(|_| places.first != NONE) {
            Some(last) => last.set_next_free(number),
            None => places.first = number,
        }
        places.last = number;
    }

    /// The flow that has this place now, or had it last.
    #[inline]
    pub(in crate::dataplane) fn flow(&self, number: u32) -> Option<&Flow> {
        self.chunks
            .get(number as usize / CHUNK)?
            .get()?
            .get(number as usize % CHUNK)
    }

    fn make_flow(&self, number: u32) -> Option<&Flow> {
        let chunk = self.chunks.get(number as usize / CHUNK)?;
        chunk
            .get_or_init(|| (0..CHUNK).map(|_| Flow::default()).collect())
            .get(number as usize % CHUNK)
    }

    #[inline]
    fn holds(&self, place: Place, words: &Words) -> bool {
        self.flow(place.flow)
            .is_some_and(|flow| flow.is(place.side, words))
    }

    #[inline]
    fn hash(&self, words: &Words) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for word in words {
            hasher.write_u64(*word);
        }
        hasher.finish()
    }
}

/// The low bits choose the shard; the entry keeps the high ones.
#[inline]
const fn shard_of(hash: u64) -> usize {
    (hash & ((1 << SHARD_BITS) - 1)) as usize
}
