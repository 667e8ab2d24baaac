//! The pure core: packets and time in; packets, events and deadlines out. No sockets, no files, no clock.
//!
//! The grammar. A [`Dataplane`] is shared by all threads; each worker thread owns one [`Worker`].
//!
//! ```text
//! apply(config)                                            the topology, once per change
//! resume(&mut worker)                                      before each batch: see the newest snapshot
//!   handle_packet(&mut worker, from, &mut packet, now)     -> Verdict: rewritten in place, and where to
//!   handle_timeout(&mut worker, now)                       when poll_timeout's deadline has come
//!   poll_transmit(&mut worker)                             -> packets that the core itself originates
//!   poll_timeout(&worker)                                  -> Deadline { at, reason }
//! park(&mut worker)                                        before sleeping: it holds nothing any more
//! poll_event()                                             -> what people may want to know, and upstream is asked
//! handle_resolved(id, upstream, now)                       what upstream has said; a worker goes on with it
//! ```
//!
//! Invariant: a run is reproducible. Time comes as an argument and randomness from the seed in [`Settings`].
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unsafe_code
)]

mod balance;
pub mod config;
mod cut;
pub mod dns;
mod dropped;
mod eni;
mod epoch;
mod event_queue;
mod first;
pub mod flow;
mod fragments;
mod groups;
mod half_open;
mod health;
mod holdings;
mod icmp_error;
mod idx;
mod names;
mod nat;
mod options;
mod path_mtu;
mod pipeline;
mod proxy_protocol;
mod resolver;
mod schedule;
mod snapshot;
mod sweep;
mod terms;
mod time;
mod verdict;
mod view;
mod worker;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use config::{DataplaneConfig, EniIdx, TargetIdx};
pub use eni::EniCounters;
pub use health::{Failure, TargetHealth, TargetHealthView};
pub use idx::{Idx, IdxAllocator, Table};
pub use names::{NameFailure, ResourceName, ResourceNameOutcome};
pub use nat::PortUsage;
pub use resolver::{AskId, Asker, QueryLog, Quota, ResolverCounters};
pub use time::Instant;
pub use verdict::{DropReason, Verdict};
pub use view::{FlowView, SideView};
pub use worker::{Transmit, Worker};

use config::{ResourceIdx, View};
use cut::Cut;
use epoch::Epochs;
use event_queue::EventQueue;
use flow::FlowTable;
use fragments::Fragments;
use health::Checks;
use holdings::Holdings;
use names::Names;
use nat::PortWarnings;
use resolver::Resolvers;
use snapshot::Snapshot;
use sweep::Sweep;

/// What is fixed for the life of a data plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers there will be.
    pub workers: usize,
    /// Seeds hashing, port choice and sequence numbers.
    pub seed: u64,
    /// MTU of the instances' interfaces, in bytes.
    pub mtu: u16,
    /// How many flows may live at once.
    pub max_flows: usize,
    /// Is each query to a resolver an [`Event::Query`]?
    pub query_log: bool,
}

/// When the core wants to be called again, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// What is due then.
    pub reason: Reason,
}

/// What a [`Deadline`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Reclaiming expired flows.
    Sweep,
    /// Cutting flows that the topology no longer allows.
    Cut,
    /// Sending a PROXY header again.
    ProxyHeader,
    /// Probing targets.
    HealthCheck,
    /// Going on with questions of which upstream has said something, or has been given up.
    Resolved,
    /// Attending to TCP connections to resolvers.
    ResolverConnection,
    /// Looking up the names of resources.
    ResourceName,
    /// Giving up datagrams whose fragments have not all arrived.
    Fragments,
}

/// The VPC fabric: every VPC, interface, security group and flow.
pub struct Dataplane {
    settings: Settings,
    snapshot: ArcSwap<Snapshot>,
    /// Snapshots that workers may still hold.
    replaced: Mutex<Vec<Arc<Snapshot>>>,
    flows: FlowTable,
    holdings: Holdings,
    epochs: Epochs,
    sweep: Sweep,
    cut: Cut,
    checks: Checks,
    resolvers: Resolvers,
    names: Names,
    events: EventQueue,
    port_warnings: PortWarnings,
    fragments: Arc<fragments::Shared>,
}

/// Something that people may want to know, or upstream is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node has found that a target's health has changed, or the reason for it.
    TargetHealth(TargetHealthView),
    /// A resolver has to ask upstream; [`Dataplane::handle_resolved`] takes what that says.
    Ask {
        /// Names the question.
        id: AskId,
        /// In whose view it is.
        view: View,
        /// For whom.
        asker: Asker,
        /// The question.
        ask: dns::Ask,
    },
    /// A resolver has answered a query; only with [`Settings::query_log`].
    Query(Box<QueryLog>),
    /// Four of five ports of a gateway address are in use towards one target.
    PortsRunShort(PortUsage),
    /// What is known of where a resource's domain name leads has changed.
    ResourceName {
        /// The resource.
        resource: ResourceIdx,
        /// What it is now.
        outcome: ResourceNameOutcome,
    },
}

impl Dataplane {
    /// A fabric without a VPC.
    pub fn new(settings: Settings) -> Self {
        Self {
            snapshot: ArcSwap::default(),
            replaced: Mutex::default(),
            flows: FlowTable::new(settings.max_flows, settings.seed),
            holdings: Holdings::new(settings.seed),
            epochs: Epochs::new(settings.workers),
            sweep: Sweep::default(),
            cut: Cut::default(),
            checks: Checks::default(),
            resolvers: Resolvers::new(settings.seed),
            names: Names::default(),
            events: EventQueue::default(),
            port_warnings: PortWarnings::default(),
            fragments: Arc::default(),
            settings,
        }
    }

    /// The worker with this number, below [`Settings::workers`]; each number is for one thread only.
    pub fn worker(&self, number: usize) -> Worker {
        Worker::new(
            number,
            self.settings.seed,
            self.snapshot.load_full(),
            self.flows.cache(),
            Fragments::new(&self.fragments),
        )
    }

    /// Replaces the topology; workers see it from their next batch. Flows that it does not concern go on, those that it no
    /// longer allows are cut by [`Dataplane::handle_timeout`], which is due at once: workers that sleep should be woken.
    pub fn apply(&self, config: DataplaneConfig) {
        let mut replaced = self.replaced.lock();
        // Taking a large one apart takes milliseconds, which no worker has: it happens here, when none holds it any more.
        replaced.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        let (next, plan) = Snapshot::new(config, &self.settings, &self.snapshot.load());
        let next = Arc::new(next);
        replaced.push(self.snapshot.swap(Arc::clone(&next)));
        self.names.follow(&next);
        self.cut.follow(self.epochs.retire());
        self.checks.follow(plan);
    }

    /// Begins a batch: the worker takes up the newest topology.
    #[inline]
    pub fn resume(&self, worker: &mut Worker) {
        self.epochs.resume(worker.id);
        let newest = self.snapshot.load();
        if !Arc::ptr_eq(&newest, &worker.snapshot) {
            worker.snapshot = Arc::clone(&newest);
        }
        self.flows.refresh(&mut worker.flows);
    }

    /// The worker is about to sleep: it holds nothing that others would have to wait for.
    pub fn park(&self, worker: &mut Worker) {
        self.epochs.park(worker.id);
    }

    /// The next packet that the core itself originates.
    pub fn poll_transmit(&self, worker: &mut Worker) -> Option<Transmit> {
        worker.poll_transmit()
    }

    /// The next thing that people may want to know, those of a kind in the order in which they happened; to be asked after each
    /// batch, and after [`Dataplane::apply`].
    #[inline]
    pub fn poll_event(&self) -> Option<Event> {
        match self.checks.poll_event() {
            Some(view) => Some(Event::TargetHealth(view)),
            None => self.events.poll(),
        }
    }

    /// Counts a packet that the shell could not read or write at this interface.
    pub fn count_drop(&self, worker: &mut Worker, at: EniIdx, reason: DropReason) {
        worker.count_drop(at, reason);
    }
}
