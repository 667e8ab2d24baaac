//! Resources that are domain names: where a name leads, as long as the answers' TTLs say.
//!
//! A name is looked up when it appears, when its TTL ends, and after each change of the configuration, in its own view: at once out of
//! that view's zones, else by asking upstream. Packets see what is known ([`Known`]) without waiting for anything; a new flow gets the next
//! of the addresses, and an old one stays where it is.
//!
//! Invariant: an address outside the ranges that the resource allows is never used, whoever has answered it (rebinding). What was
//! known stays known while resolution fails.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;
use parking_lot::Mutex;

use super::config::{Resource, ResourceIdx, ResourceTarget, View};
use super::dns::{Query, Resolution, Response};
use super::idx::Table;
use super::resolver::{Waiting, Who};
use super::schedule::{Due, Schedule};
use super::snapshot::Snapshot;
use super::time::Instant;
use super::{Dataplane, Event};
use crate::net::Addr;

/// Names looked up in one go: some microseconds each.
const MOST: usize = 16;
/// How often a name is looked up at most, whatever its TTL, and at least.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Until a name is looked up again that could not be resolved.
const RETRY: Duration = Duration::from_secs(5);
/// Addresses of one answer that are used.
const MOST_ADDRESSES: usize = 64;
/// Addresses that a name has led to whose flows may live on.
const MOST_SEEN: usize = 1024;

/// A resource's domain name, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceName {
    /// The resource.
    pub resource: ResourceIdx,
    /// Its name.
    pub name: Name,
    /// In whose view it is looked up.
    pub view: View,
    /// Where new flows go, in the addresses' order; what was last known, while resolution fails.
    pub addresses: Vec<Addr>,
    /// Why it could not be resolved when it was last looked up.
    pub failure: Option<NameFailure>,
    /// How many answered addresses have been refused, as the resource does not allow them.
    pub refused: u64,
    /// When it is looked up again; `None` while it is.
    pub next: Option<Instant>,
}

/// What has come of looking up a resource's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceNameOutcome {
    /// It leads to these addresses.
    Resolved(Vec<Addr>),
    /// It could not be resolved; flows go where it was last known to lead.
    Failed(NameFailure),
}

/// Why a name could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFailure {
    /// The response has no address, and this code: NOERROR, if the name has records of other types only.
    Response(ResponseCode),
    /// The resource allows none of these addresses.
    NotAllowed(Vec<IpAddr>),
}

/// Where a name leads, as packets see it. It lives as long as the resource, its name and its view, across snapshots.
#[derive(Default)]
pub(super) struct Known {
    addresses: ArcSwap<Vec<Addr>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// The addresses that there have been, the oldest first.
    seen: Mutex<VecDeque<Addr>>,
}

/// All resources that are names.
#[derive(Default)]
pub(super) struct Names {
    due: Due,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    names: BTreeMap<ResourceIdx, Named>,
    schedule: Schedule<ResourceIdx>,
}

/// What is known of a name, and done about it.
struct Named {
    name: Name,
    view: View,
    allowed: Vec<IpNet>,
    known: Arc<Known>,
    /// Its place in the schedule; `None` while upstream is asked.
    wake: Option<Instant>,
    failure: Option<NameFailure>,
    refused: u64,
    /// What has been told of it.
    told: Option<ResourceNameOutcome>,
}

/// What is known of the names among these resources, whose names and views are those of `before`.
pub(super) fn known(resources: &Table<Resource>, before: &Snapshot) -> Table<Resource, Arc<Known>> {
    let mut table = Table::new();
    for (idx, resource) in resources.iter() {
        if let ResourceTarget::Name { name, view, .. } = &resource.target {
            let is_same = |old: &&Resource| match &old.target {
                ResourceTarget::Name {
                    name: old_name,
                    view: old_view,
                    ..
                } => (old_name, old_view) == (name, view),
                ResourceTarget::Address(_) => false,
            };
            let old = before.resources.get(idx).filter(is_same);
            let known = old.and_then(|_| before.names.get(idx).cloned());
            table.insert(idx, known.unwrap_or_default());
        }
    }
    table
}

/// Is this address in one of these ranges?
pub(super) fn is_allowed(allowed: &[IpNet], address: Addr) -> bool {
    allowed.iter().any(|range| range.contains(&address.ip()))
}

impl Known {
    /// The address that the next flow gets.
    pub(super) fn next(&self) -> Option<Addr> {
        let addresses = self.addresses.load();
        let turn = self.turn.fetch_add(1, Relaxed);
        let place = turn.checked_rem(addresses.len())?;
        addresses.get(place).copied()
    }

    /// Has the name led there, now or before?
    pub(super) fn has_led_to(&self, address: Addr) -> bool {
        self.seen.lock().contains(&address)
    }

    /// New flows go there from now on.
    fn publish(&self, addresses: Vec<Addr>) {
        let mut seen = self.seen.lock();
        seen.retain(|address| !addresses.contains(address));
        seen.extend(&addresses);
        let too_many = seen.len().saturating_sub(MOST_SEEN);
        seen.drain(..too_many);
        self.addresses.store(Arc::new(addresses));
    }
}

impl Names {
    /// Takes up a change. What is known of the names that it leaves stays; all are looked up again.
    pub(super) fn follow(&self, snapshot: &Snapshot) {
        self.with(|ledger| {
            let mut before = std::mem::take(ledger).names;
            for (idx, known) in snapshot.names.iter() {
                let target = snapshot.resources.get(idx).map(|resource| &resource.target);
                let Some(ResourceTarget::Name {
                    name,
                    view,
                    allowed,
                }) = target
                else {
                    continue;
                };
                let same = before
                    .remove(&idx)
                    .filter(|it| Arc::ptr_eq(&it.known, known));
                let named = match same {
                    Some(mut named) => {
                        named.allow(allowed);
                        named
                    }
                    None => Named::new(name, *view, allowed, known),
                };
                ledger.names.insert(idx, named);
                ledger.schedule_at(idx, Some(Instant::START));
            }
        });
    }

    fn with<R>(&self, act: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut ledger = self.ledger.lock();
        let result = act(&mut ledger);
        self.note(&ledger);
        result
    }

    /// Shows what there is to do without the lock.
    fn note(&self, ledger: &Ledger) {
        self.due.note(ledger.schedule.first());
    }
}

impl Ledger {
    fn schedule_at(&mut self, idx: ResourceIdx, at: Option<Instant>) {
        let Some(named) = self.names.get_mut(&idx) else {
            return;
        };
        self.schedule.put(idx, &mut named.wake, at);
    }
}

impl Named {
    fn new(name: &Name, view: View, allowed: &[IpNet], known: &Arc<Known>) -> Self {
        Self {
            name: name.clone(),
            view,
            allowed: allowed.to_vec(),
            known: Arc::clone(known),
            wake: None,
            failure: None,
            refused: 0,
            told: None,
        }
    }

    /// Takes up the ranges that are allowed now.
    fn allow(&mut self, allowed: &[IpNet]) {
        self.wake = None;
        if self.allowed == allowed {
            return;
        }
        self.allowed = allowed.to_vec();
        let mut addresses = self.known.addresses.load().to_vec();
        addresses.retain(|address| is_allowed(allowed, *address));
        self.known.publish(addresses);
    }

    /// Takes up a response: what has come of it, and for how long that counts.
    fn note(&mut self, response: &Response) -> (ResourceNameOutcome, Duration) {
        let addresses = response
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) => Some(Addr::from(address.0)),
                _ => None,
            });
        let answered: BTreeSet<_> = addresses.collect();
        let is_allowed = |address: &Addr| is_allowed(&self.allowed, *address);
        let (mut good, bad): (Vec<_>, Vec<_>) = answered.into_iter().partition(is_allowed);
        good.truncate(MOST_ADDRESSES);
        self.refused += bad.len() as u64;
        if !good.is_empty() && response.code == ResponseCode::NoError {
            let ttls = response.answers.iter().map(|record| record.ttl);
            let ttl = Duration::from_secs(ttls.min().unwrap_or(0).into());
            self.failure = None;
            if **self.known.addresses.load() != good {
                self.known.publish(good.clone());
            }
            let outcome = ResourceNameOutcome::Resolved(good);
            return (outcome, ttl.clamp(SOONEST, LATEST));
        }
        let failure = match bad.is_empty() || response.code != ResponseCode::NoError {
            true => NameFailure::Response(response.code),
            false => NameFailure::NotAllowed(bad.into_iter().map(Addr::ip).collect()),
        };
        self.failure = Some(failure.clone());
        (ResourceNameOutcome::Failed(failure), RETRY)
    }
}

impl Dataplane {
    /// Every resource that is a domain name, and where it leads, in index order.
    pub fn resource_names(&self) -> Vec<ResourceName> {
        let ledger = self.names.ledger.lock();
        let names = ledger.names.iter();
        let names = names.map(|(resource, named)| ResourceName {
            resource: *resource,
            name: named.name.clone(),
            view: named.view,
            addresses: named.known.addresses.load().to_vec(),
            failure: named.failure.clone(),
            refused: named.refused,
            next: named.wake,
        });
        names.collect()
    }

    /// When [`Dataplane::look_up_names`] has something to do.
    pub(super) fn due_names(&self) -> Option<Instant> {
        self.names.due.at()
    }

    /// Looks up a few of the names that are due.
    pub(super) fn look_up_names(&self, now: Instant) {
        if self.due_names().is_none_or(|due| now < due) {
            return;
        }
        let Some(mut ledger) = self.names.ledger.try_lock() else {
            return;
        };
        for _ in 0..MOST {
            let Some(idx) = ledger.schedule.next_due(now) else {
                break;
            };
            self.look_up(&mut ledger, idx, now);
        }
        self.names.note(&ledger);
    }

    fn look_up(&self, ledger: &mut Ledger, idx: ResourceIdx, now: Instant) {
        ledger.schedule_at(idx, None);
        let Some(named) = ledger.names.get(&idx) else {
            return;
        };
        let query = Query::new(named.name.clone(), RecordType::A);
        let waiting = Waiting {
            view: named.view,
            resolution: Resolution::new(&query),
            who: Who::Resource(idx, Arc::clone(&named.known)),
        };
        // The newest, which a worker may not have seen yet: the next look may be long after it.
        let snapshot = self.snapshot.load();
        if let Some((_, response)) = self.pursue(&snapshot, waiting, now) {
            self.take_up(ledger, idx, &response, now);
        }
    }

    /// Upstream has said what it was to say of a resource's name.
    pub(super) fn name_resolved(
        &self,
        idx: ResourceIdx,
        known: &Arc<Known>,
        response: &Response,
        now: Instant,
    ) {
        self.names.with(|ledger| {
            let named = ledger.names.get(&idx);
            // It may have another name by now.
            if named.is_some_and(|named| Arc::ptr_eq(&named.known, known)) {
                self.take_up(ledger, idx, response, now);
            }
        });
    }

    fn take_up(&self, ledger: &mut Ledger, idx: ResourceIdx, response: &Response, now: Instant) {
        let Some(named) = ledger.names.get_mut(&idx) else {
            return;
        };
        let (outcome, counts) = named.note(response);
        if named.told.as_ref() != Some(&outcome) {
            named.told = Some(outcome.clone());
            let resource = idx;
            self.events.push(Event::ResourceName { resource, outcome });
        }
        ledger.schedule_at(idx, Some(now + counts));
    }
}
