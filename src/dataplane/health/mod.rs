//! Health checks: every node of a load balancer probes the targets that it may choose, from its own address.
//!
//! A probe is a host behind the node's interface (`probe`), which sends half a handshake (`handshake`) or a request (`exchange`). Its
//! packets go the way of any packet: as the node's they pass the security groups and open a flow, and what comes back along that
//! is handed to the host. So a packet costs nothing for there being health checks, and finds its probe by its flow's key. What
//! probes find (`state`) goes to the bits that [`Balancers`] choose by.
//!
//! The first worker begins probes, a few at a time and spread over their interval; whichever worker reads a target's answer
//! goes on with the probe that it belongs to.
//!
//! [`Balancers`]: super::balance::Balancers

mod exchange;
mod handshake;
mod http;
mod plan;
mod probe;
mod state;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use rand_chacha::rand_core::Rng;

use super::Dataplane;
use super::config::{EniIdx, LoadBalancerIdx, TargetGroupIdx, TargetIdx, Zone};
use super::dropped::Dropped;
use super::flow::{Flow, FlowKey, Side, State};
use super::schedule::{Due, Schedule};
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::{Addr, FiveTuple, Headers, Packet, Protocol, Transport, VnetHeader, tcp};
use plan::{Duty, Key};
pub(super) use plan::{Plan, plan};
use probe::Probe;
use state::Tally;
pub use state::{Failure, TargetHealth};

/// The worker that begins probes: more would wake one another.
const PROBER: usize = 0;
/// Targets looked after in one go: some microseconds each.
const MOST: usize = 8;
/// Targets compared with a change in one go, while no probe goes on.
const PIECE: usize = 64;
/// Within which a new target is probed first.
const FIRST: Duration = Duration::from_secs(1);
/// Ports tried for a probe.
const TRIES: usize = 32;
/// Until a probe that found no port, or no room for its flow, is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The ports that probes come from.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;

/// A target's health, as one node of a load balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetHealthView {
    /// The group that it is registered with.
    pub target_group: TargetGroupIdx,
    /// The target.
    pub target: TargetIdx,
    /// Its address.
    pub address: Addr,
    /// Its port.
    pub port: u16,
    /// The node, and its zone; `None` where no load balancer uses the target.
    pub node: Option<(EniIdx, Zone)>,
    /// Its health.
    pub health: TargetHealth,
}

/// All health checks.
#[derive(Default)]
pub(super) struct Checks {
    due: Due,
    /// Is there something to be told?
    has_news: AtomicBool,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    checks: BTreeMap<Key, Check>,
    /// When each check is to be looked after; those of targets that rest are not here.
    schedule: Schedule<Key>,
    /// Probes under way, by their flow's initiator.
    probes: HashMap<[u64; 6], Key, FixedState>,
    /// What is to be told.
    news: VecDeque<TargetHealthView>,
}

/// What is known of a target, and done about it.
struct Check {
    planned: plan::Planned,
    tally: Tally,
    /// What has been told of it.
    told: Option<TargetHealth>,
    /// When the next probe begins; `None` until that has been decided.
    next: Option<Instant>,
    /// Its place in the schedule.
    wake: Option<Instant>,
    has_begun: bool,
    probe: Option<Box<Probe>>,
}

impl Checks {
    /// Takes up a change. What is known of the targets that it leaves as they are stays.
    pub(super) fn follow(&self, plan: Plan) {
        let mut after = Bound::Unbounded;
        while let Some(last) = self.with(|ledger| ledger.forget(after, &plan)) {
            after = Bound::Excluded(last);
        }
        let mut plan = plan.into_iter().peekable();
        while plan.peek().is_some() {
            self.with(|ledger| {
                for (key, planned) in plan.by_ref().take(PIECE) {
                    ledger.put(key, planned);
                }
            });
        }
    }

    /// Every target with each of its nodes.
    fn views(&self) -> Vec<TargetHealthView> {
        let mut views = Vec::new();
        let mut after = Bound::Unbounded;
        loop {
            let ledger = self.ledger.lock();
            let piece = ledger.checks.range((after, Bound::Unbounded)).take(PIECE);
            let before = views.len();
            for (key, check) in piece {
                views.push(check.view(*key));
                after = Bound::Excluded(*key);
            }
            if views.len() == before {
                return views;
            }
        }
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
        self.has_news.store(!ledger.news.is_empty(), Relaxed);
    }

    #[inline]
    pub(super) fn poll_event(&self) -> Option<TargetHealthView> {
        match self.has_news.load(Relaxed) {
            true => self.with(|ledger| ledger.news.pop_front()),
            false => None,
        }
    }
}

impl Ledger {
    /// Drops the next checks that are not planned any more. Gives the last one that it has looked at.
    fn forget(&mut self, after: Bound<Key>, plan: &Plan) -> Option<Key> {
        let piece = self.checks.range((after, Bound::Unbounded)).take(PIECE);
        let piece: Vec<_> = piece.map(|(key, _)| *key).collect();
        for key in piece.iter().filter(|key| !plan.contains_key(key)) {
            self.stop(*key);
            self.schedule_at(*key, None);
            if let Some(check) = self.checks.remove(key) {
                self.news.push_back(TargetHealthView {
                    health: TargetHealth::NotRegistered,
                    ..check.view(*key)
                });
            }
        }
        piece.last().copied()
    }

    /// Takes up what is planned for a target; it is looked after at once.
    fn put(&mut self, key: Key, planned: plan::Planned) {
        let health = match &planned.duty {
            Duty::Rest(health) => *health,
            Duty::Probe { .. } => TargetHealth::RegistrationInProgress,
        };
        let is_same = |check: &Check| {
            let (old, new) = (&check.planned, &planned);
            (old.address, old.port, old.group) == (new.address, new.port, new.group)
        };
        match self.checks.get_mut(&key) {
            Some(check) if is_same(check) => {
                let has_changed = check.planned.duty != planned.duty;
                check.planned = planned;
                if !has_changed {
                    return;
                }
                // Another way of probing leaves what is known as it is.
                if !(health.is_probed() && check.tally.health.is_probed()) {
                    check.tally = Tally::new(health);
                }
                (check.next, check.has_begun) = (None, false);
                if !health.is_probed() {
                    self.stop(key);
                }
            }
            _ => {
                self.stop(key);
                self.schedule_at(key, None);
                let told = self.checks.get(&key).and_then(|check| check.told);
                let check = Check {
                    planned,
                    tally: Tally::new(health),
                    told,
                    next: None,
                    wake: None,
                    has_begun: false,
                    probe: None,
                };
                self.checks.insert(key, check);
            }
        }
        self.schedule_at(key, Some(Instant::START));
    }

    /// Gives up a probe under way.
    fn stop(&mut self, key: Key) {
        let probe = self
            .checks
            .get_mut(&key)
            .and_then(|check| check.probe.take());
        if let Some(probe) = probe {
            self.probes.remove(&probe.key.to_words());
        }
    }

    fn schedule_at(&mut self, key: Key, at: Option<Instant>) {
        let Some(check) = self.checks.get_mut(&key) else {
            return;
        };
        self.schedule.put(key, &mut check.wake, at);
    }
}

impl Check {
    fn view(&self, (target, node): Key) -> TargetHealthView {
        TargetHealthView {
            target_group: self.planned.group,
            target,
            address: self.planned.address,
            port: self.planned.port,
            node: node.zip(self.planned.zone),
            health: self.tally.health,
        }
    }

    /// Decides when the next probe begins, behind the one that begins `now`, if one does. Probes are spread over their interval by
    /// when the second one comes.
    fn plan_next(&mut self, interval: Duration, begins: bool, random: u32, now: Instant) {
        let share = |of: Duration| of.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.next = Some(match (begins, self.next, self.has_begun) {
            (false, ..) => now + share(FIRST.min(interval)),
            (true, Some(next), true) if next + interval > now => next + interval,
            (true, _, true) => now + interval,
            (true, _, false) => now + share(interval),
        });
        self.has_begun |= begins;
    }
}

impl Dataplane {
    /// Every target with each of the nodes that may choose it, in the targets' order.
    pub fn target_health(&self) -> Vec<TargetHealthView> {
        self.checks.views()
    }

    /// Has the node in this zone a healthy target for each of its listeners? A zone without is left out of names.
    pub fn is_zone_healthy(&self, load_balancer: LoadBalancerIdx, zone: Zone) -> bool {
        self.snapshot
            .load()
            .balancers
            .is_zone_healthy(load_balancer, zone)
    }

    /// When [`Dataplane::check_health`] has something to do for this worker.
    pub(super) fn due_check(&self, worker: &Worker) -> Option<Instant> {
        self.checks.due.at().filter(|_| worker.id == PROBER)
    }

    /// Attends to a few of the targets that are due.
    pub(super) fn check_health(&self, worker: &mut Worker, now: Instant) {
        if self.due_check(worker).is_none_or(|due| now < due) {
            return;
        }
        let Some(mut ledger) = self.checks.ledger.try_lock() else {
            return;
        };
        for _ in 0..MOST {
            let Some(key) = ledger.schedule.next_due(now) else {
                break;
            };
            self.attend(worker, &mut ledger, key, now);
        }
        self.checks.note(&ledger);
    }

    /// Goes on with a probe, or begins one, or decides when to.
    fn attend(&self, worker: &mut Worker, ledger: &mut Ledger, key: Key, now: Instant) {
        ledger.schedule_at(key, None);
        let Some(check) = ledger.checks.get_mut(&key) else {
            return;
        };
        self.publish_news(&mut ledger.news, key, check);
        if check.probe.is_some() {
            return self.go_on(worker, ledger, key, None, now);
        }
        let Duty::Probe { check: how, .. } = &check.planned.duty else {
            return;
        };
        let interval = how.interval;
        match check.next {
            Some(next) if next <= now => self.begin(worker, ledger, key, now),
            Some(next) => ledger.schedule_at(key, Some(next)),
            None => {
                check.plan_next(interval, false, worker.random.next_u32(), now);
                let next = check.next;
                ledger.schedule_at(key, next);
            }
        }
    }

    /// Begins a probe.
    fn begin(&self, worker: &mut Worker, ledger: &mut Ledger, key: Key, now: Instant) {
        let (Some(check), Some(node)) = (ledger.checks.get_mut(&key), key.1) else {
            return;
        };
        let Duty::Probe {
            check: how,
            port,
            proxy_protocol,
        } = &check.planned.duty
        else {
            return;
        };
        let (how, port, proxy_protocol) = (Arc::clone(how), *port, *proxy_protocol);
        let interface = worker
            .snapshot
            .eni(node)
            .map(|eni| &eni.interface.addresses);
        let Some(address) = interface
            .ok()
            .and_then(|addresses| addresses.first().copied())
        else {
            // The worker does not know the node yet.
            return ledger.schedule_at(key, Some(now + RETRY));
        };
        let Some(flow) = self.free_flow(worker, (node, address), (check.planned.address, port))
        else {
            check.next = Some(now + RETRY);
            let due = check.next;
            return ledger.schedule_at(key, due);
        };
        let settings = (self.settings.mtu, worker.random.next_u64());
        check.tally.begin();
        check.plan_next(how.interval, true, worker.random.next_u32(), now);
        let probe = Probe::new(flow, &how, proxy_protocol, settings, now);
        self.publish_news(&mut ledger.news, key, check);
        let mut due = check.next;
        if let Some(mut probe) = probe {
            let step = probe.step(None, now);
            let mut sent = step
                .packets
                .into_iter()
                .map(|it| self.send_own(worker, node, it, now));
            // That says nothing of the target.
            let is_lost = |sent| {
                matches!(
                    sent,
                    Err(DropReason::TupleTaken | DropReason::FlowTableFull)
                )
            };
            if sent.any(is_lost) {
                check.next = Some(now + RETRY);
                due = check.next;
            } else {
                due = Some(probe.due(now));
                check.probe = Some(Box::new(probe));
                ledger.probes.insert(flow.to_words(), key);
            }
        }
        ledger.schedule_at(key, due);
    }

    /// The flow of a new probe from a node's address to a target, at a port that no other flow has towards that.
    fn free_flow(
        &self,
        worker: &mut Worker,
        (node, from): (EniIdx, Addr),
        (to, port): (Addr, u16),
    ) -> Option<FlowKey> {
        let snapshot = Arc::clone(&worker.snapshot);
        let vpc = snapshot.eni(node).ok()?.interface.vpc;
        let target = snapshot.lookup(vpc, to).ok()?.idx;
        (0..TRIES).find_map(|_| {
            let tuple = FiveTuple {
                protocol: Protocol::TCP,
                src: from,
                src_port: PORTS.start() + (worker.random.next_u32() % PORTS.len() as u32) as u16,
                dst: to,
                dst_port: port,
            };
            let answers = FlowKey {
                ingress: target,
                tuple: tuple.reversed(),
            };
            let is_free = self.flows.lookup(&worker.flows, &answers).is_none();
            is_free.then_some(FlowKey {
                ingress: node,
                tuple,
            })
        })
    }

    /// Goes on with a probe: a packet has come for it, or its time has.
    fn go_on(
        &self,
        worker: &mut Worker,
        ledger: &mut Ledger,
        key: Key,
        received: Option<(&Packet<'_>, &Headers)>,
        now: Instant,
    ) {
        let Some(check) = ledger.checks.get_mut(&key) else {
            return;
        };
        let Some(probe) = check.probe.as_mut() else {
            return;
        };
        let node = probe.key.ingress;
        let step = probe.step(received, now);
        let due = match step.is_over {
            true => check.next.map(|next| next.max(now)),
            false => Some(probe.due(now)),
        };
        for packet in step.packets {
            // What is lost is lost, as on a wire.
            let _ = self.send_own(worker, node, packet, now);
        }
        if let Some(result) = step.result
            && let Duty::Probe { check: how, .. } = &check.planned.duty
        {
            check.tally.note(result, how);
            self.publish_news(&mut ledger.news, key, check);
        }
        if step.is_over {
            ledger.stop(key);
        }
        ledger.schedule_at(key, due);
    }

    /// Lets packets know of a target's health, and people.
    fn publish_news(&self, news: &mut VecDeque<TargetHealthView>, key: Key, check: &mut Check) {
        let (target, node) = key;
        let health = check.tally.health;
        if check.told.is_some_and(|told| !health.is_news_after(told)) {
            return;
        }
        let before = check.told.replace(health);
        news.push_back(check.view(key));
        // A new target without health checks may have been found unhealthy by others.
        if let Some(node) = node.filter(|_| before.is_some() || health.is_probed()) {
            let snapshot = self.snapshot.load();
            if snapshot.balancers.record_health(node, target, health) {
                // The flows of one that has failed are reset, or no longer spared.
                self.cut.follow(self.epochs.retire());
            }
        }
    }

    /// A packet of a node's own goes its way, as any packet.
    fn send_own(
        &self,
        worker: &mut Worker,
        node: EniIdx,
        mut bytes: Vec<u8>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let mut vnet = VnetHeader::default();
        let mut packet = Packet::new(&mut vnet, &mut bytes);
        let verdict = self.handle_packet(worker, node, &mut packet, now);
        match worker.send_on(verdict, bytes) {
            Verdict::Drop(reason) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Sends a packet along a flow whose initiator is a probe, or whose target is told who the initiator is.
    #[cold]
    pub(super) fn forward_otherwise(
        &self,
        worker: &mut Worker,
        (flow, side): (&Flow, Side),
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        match side {
            _ if flow.state().has(State::PROXIED) => {
                self.forward_proxied(worker, (flow, side), packet, headers, now)
            }
            Side::Initiator => self.cross(worker, (flow, side), packet, headers),
            Side::Target => self.answer_probe(worker, flow, packet, headers, now),
        }
    }

    /// Hands what came back along a probe's flow to the probe. If that is over, the node refuses it as a host does.
    fn answer_probe(
        &self,
        worker: &mut Worker,
        flow: &Flow,
        packet: &Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let own = flow.key(Side::Initiator);
        if !packet.is_unharmed(headers) {
            let from = flow.key(Side::Target).ingress;
            return Err(Dropped::at(from, DropReason::BadTransportHeader));
        }
        if worker.count_received(own.ingress, headers.len).is_ok() {
            let probe = self.checks.with(|ledger| {
                let key = ledger.probes.get(&own.to_words()).copied()?;
                self.go_on(worker, ledger, key, Some((packet, headers)), now);
                Some(key)
            });
            if probe.is_none()
                && let Transport::Tcp(segment) = &headers.transport
                && let Some(reset) = tcp::reset(headers, segment)
            {
                // What is lost is lost, as on a wire.
                let _ = self.send_own(worker, own.ingress, reset, now);
            }
        }
        Ok(Verdict::Answered)
    }
}
