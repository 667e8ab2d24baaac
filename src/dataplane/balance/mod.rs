//! Network load balancing: which target a new flow gets. The flow itself keeps it for its life.
//!
//! Everything that does not change with the packet is prepared when the snapshot is made: a node's listeners, and for each of
//! them the [`Pool`] of targets that the node may choose from. What changes in between is targets' [`Health`].

mod health;
mod pool;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;

use super::config::{
    DataplaneConfig, EniIdx, Interface, ListenerProtocol, LoadBalancerIdx, Role, Target,
    TargetGroupIdx, TargetIdx, Zone,
};
use super::eni::Eni;
use super::flow::FlowKey;
use super::health::TargetHealth;
use super::idx::Table;
use super::verdict::DropReason;
use crate::net::{Addr, Headers, Protocol, Transport};
use health::Health;
pub(super) use pool::Member;
use pool::{Place, Pool};

/// Every node of every load balancer.
#[derive(Default)]
pub(super) struct Balancers {
    nodes: Table<Interface, Node>,
    load_balancers: HashMap<(LoadBalancerIdx, Zone), EniIdx>,
    targets: Table<Target>,
    draining: Vec<(TargetGroupIdx, TargetIdx, Place)>,
    /// Where targets were whose flows have outlived their draining.
    drained: HashMap<TargetGroupIdx, HashSet<Place>>,
    hasher: FixedState,
}

/// What a load balancer does in one zone.
pub(super) struct Node {
    listeners: Box<[Listener]>,
    /// Do its groups' ingress rules count for what comes through an endpoint?
    pub(super) enforces_inbound_rules_on_private_link: bool,
    /// What the node's health checks have found; it outlives the snapshot.
    health: Arc<Health>,
}

/// A listener, as one node has it.
pub(super) struct Listener {
    protocol: ListenerProtocol,
    port: u16,
    pub(super) tcp_idle_timeout: Duration,
    pub(super) proxy_protocol: bool,
    pool: Arc<Pool>,
}

/// Pools that have been made; nodes that may choose from the same targets share one.
type Pools = HashMap<(LoadBalancerIdx, TargetGroupIdx, Option<Zone>), Arc<Pool>>;

impl Balancers {
    /// The nodes of `config`; those that were there `before` keep what they know of their targets' health.
    pub(super) fn new(config: &DataplaneConfig, seed: u64, before: &Self) -> Self {
        let mut zones = HashMap::<_, BTreeSet<_>>::new();
        for (_, load_balancer, zone) in nodes(config) {
            zones.entry(load_balancer).or_default().insert(zone);
        }
        let mut balancers = Self {
            nodes: Table::new(),
            load_balancers: HashMap::new(),
            targets: config.targets.clone(),
            draining: draining(config).collect(),
            drained: drained(config, before),
            hasher: FixedState::with_seed(seed),
        };
        let mut pools = Pools::new();
        for (idx, load_balancer, zone) in nodes(config) {
            let enabled = zones.get(&load_balancer);
            let listeners = listeners(config, load_balancer, zone, |group, only: Option<Zone>| {
                let is_in_scope = |zone| match only {
                    Some(only) => zone == only,
                    None => enabled.is_some_and(|enabled| enabled.contains(&zone)),
                };
                let made = pools.entry((load_balancer, group, only));
                let drained = balancers.drained.get(&group).into_iter().flatten();
                let pool = || Pool::new(config, group, drained.copied(), is_in_scope);
                Arc::clone(made.or_insert_with(|| Arc::new(pool())))
            });
            let health = before.nodes.get(idx).map(|node| Arc::clone(&node.health));
            let node = Node {
                listeners,
                enforces_inbound_rules_on_private_link: config
                    .load_balancers
                    .get(load_balancer)
                    .is_some_and(|it| it.enforces_inbound_rules_on_private_link),
                health: health.unwrap_or_default(),
            };
            node.forget(|target| before.targets.get(target).is_none());
            balancers.nodes.insert(idx, node);
            balancers.load_balancers.insert((load_balancer, zone), idx);
        }
        balancers
    }

    /// The node at this interface.
    pub(super) fn node(&self, idx: EniIdx) -> Option<&Node> {
        self.nodes.get(idx)
    }

    /// The target of a new flow; `None` if the node has none to choose from.
    ///
    /// TCP is spread by protocol, addresses, ports and the SYN's sequence number, UDP by all but that. With stickiness only the
    /// client counts: its address, in its own VPC.
    pub(super) fn select<'a>(
        &self,
        node: &Node,
        listener: &'a Listener,
        client: &Eni,
        headers: &Headers,
    ) -> Option<&'a Member> {
        let first = FlowKey {
            ingress: client.idx,
            tuple: headers.tuple,
        };
        let hash = match &headers.transport {
            _ if listener.pool.is_sticky() => self
                .hasher
                .hash_one((client.interface.vpc, first.tuple.src)),
            Transport::Tcp(segment) => self.hasher.hash_one((first.to_words(), segment.seq)),
            _ => self.hasher.hash_one(first.to_words()),
        };
        listener.pool.select(&node.health, hash)
    }

    /// Notes what a node's health checks say of a target. May there be flows that are to end because of it?
    pub(super) fn record_health(
        &self,
        node: EniIdx,
        target: TargetIdx,
        health: TargetHealth,
    ) -> bool {
        let Some(node) = self.nodes.get(node) else {
            return false;
        };
        let pools = || node.listeners.iter().map(|listener| &listener.pool);
        let failed_open = pools().any(|pool| !pool.has_healthy(&node.health));
        node.health.set(target, health.is_in_service());
        node.health.set_failed(target, health.has_failed());
        (failed_open || health.has_failed()) && pools().any(|pool| pool.ends_flows(&node.health))
    }

    /// Has the node in this zone a healthy target for each of its listeners?
    pub(super) fn is_zone_healthy(&self, load_balancer: LoadBalancerIdx, zone: Zone) -> bool {
        let node = self.load_balancers.get(&(load_balancer, zone));
        let Some(node) = node.and_then(|idx| self.nodes.get(*idx)) else {
            return false;
        };
        let mut listeners = node.listeners.iter();
        listeners.all(|listener| listener.pool.has_healthy(&node.health))
    }
}

/// Every node, with its load balancer and its zone.
pub(super) fn nodes(
    config: &DataplaneConfig,
) -> impl Iterator<Item = (EniIdx, LoadBalancerIdx, Zone)> {
    let interfaces = config.enis.iter();
    interfaces.filter_map(|(idx, interface)| match interface.role {
        Role::Node {
            load_balancer,
            zone,
        } => Some((idx, load_balancer, zone)),
        _ => None,
    })
}

/// The targets that drain, and leave their flows behind when that ends.
fn draining(config: &DataplaneConfig) -> impl Iterator<Item = (TargetGroupIdx, TargetIdx, Place)> {
    let groups = config.target_groups.iter();
    let lasting = groups.filter(|(_, group)| !group.terminates_on_deregistration);
    lasting.flat_map(move |(group_idx, group)| {
        group.targets.iter().filter_map(move |idx| {
            let target = config.targets.get(*idx).filter(|target| target.draining)?;
            Some((group_idx, *idx, (target.address, target.port)))
        })
    })
}

/// Where targets were that have drained, `before` or just now, as long as somebody has their address.
fn drained(
    config: &DataplaneConfig,
    before: &Balancers,
) -> HashMap<TargetGroupIdx, HashSet<Place>> {
    let mut drained = before.drained.clone();
    for (group, idx, place) in &before.draining {
        if config.targets.get(*idx).is_none() {
            drained.entry(*group).or_default().insert(*place);
        }
    }
    if drained.is_empty() {
        return drained;
    }
    let interfaces = config.enis.iter().map(|(_, interface)| interface);
    let addresses: HashSet<_> = interfaces.flat_map(|it| &it.addresses).collect();
    drained.retain(|group, places| {
        places.retain(|(address, _)| addresses.contains(address));
        let group = config.target_groups.get(*group);
        !places.is_empty() && group.is_some_and(|group| !group.terminates_on_deregistration)
    });
    drained
}

/// The listeners of a load balancer as its node in `zone` has them, their pools by target group and zone, `None` for all zones.
fn listeners(
    config: &DataplaneConfig,
    load_balancer: LoadBalancerIdx,
    zone: Zone,
    mut pool: impl FnMut(TargetGroupIdx, Option<Zone>) -> Arc<Pool>,
) -> Box<[Listener]> {
    let Some(load_balancer) = config.load_balancers.get(load_balancer) else {
        return Box::default();
    };
    let listeners = load_balancer.listeners.iter();
    let listeners = listeners.filter_map(|idx| {
        let listener = config.listeners.get(*idx)?;
        let group = config.target_groups.get(listener.target_group)?;
        let cross_zone = group.cross_zone.unwrap_or(load_balancer.cross_zone);
        Some(Listener {
            protocol: listener.protocol,
            port: listener.port,
            tcp_idle_timeout: listener.tcp_idle_timeout,
            proxy_protocol: group.proxy_protocol,
            pool: pool(listener.target_group, (!cross_zone).then_some(zone)),
        })
    });
    listeners.collect()
}

impl Node {
    /// The listener that takes this protocol at this port.
    pub(super) fn listener(&self, protocol: Protocol, port: u16) -> Result<&Listener, DropReason> {
        let takes: fn(ListenerProtocol) -> bool = match protocol {
            Protocol::TCP => ListenerProtocol::tcp,
            Protocol::UDP => ListenerProtocol::udp,
            _ => return Err(DropReason::ProtocolNotOffered),
        };
        let listeners = self.listeners.iter();
        let mut offered = listeners.filter(|it| takes(it.protocol)).peekable();
        if offered.peek().is_none() {
            return Err(DropReason::ProtocolNotOffered);
        }
        offered
            .find(|listener| listener.port == port)
            .ok_or(DropReason::PortNotOffered)
    }

    /// What was known of a target that had the place of a new one says nothing of that; where there are health checks, it has yet
    /// to pass.
    fn forget(&self, is_new: impl Fn(TargetIdx) -> bool) {
        for pool in self.listeners.iter().map(|listener| &listener.pool) {
            for member in pool.members().filter(|member| is_new(member.idx)) {
                self.health.set(member.idx, !pool.is_probed);
                self.health.set_failed(member.idx, false);
            }
        }
    }

    /// Do flows through this listener to this address and port live on?
    pub(super) fn keeps(&self, listener: &Listener, address: Addr, port: u16) -> bool {
        listener.pool.keeps(&self.health, (address, port))
    }
}
