//! Network load balancing: which target a new flow gets. The flow itself keeps it for its life.
//!
//! Everything that does not change with the packet is prepared when the snapshot is made: a node's listeners, and for each of
//! them the [`Pool`] of targets that the node may choose from. What changes in between is targets' [`Health`].

mod health;
mod pool;

use std::collections::{BTreeSet, HashMap};
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
use super::idx::Table;
use super::verdict::DropReason;
use crate::net::{Addr, Headers, Protocol, Transport};
use health::Health;
pub(super) use pool::Member;
use pool::Pool;

/// Every node of every load balancer.
#[derive(Default)]
pub(super) struct Balancers {
    nodes: Table<Interface, Node>,
    targets: Table<Target>,
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
        let nodes = || {
            let nodes = config.enis.iter();
            nodes.filter_map(|(idx, interface)| match interface.role {
                Role::Node {
                    load_balancer,
                    zone,
                } => Some((idx, load_balancer, zone)),
                _ => None,
            })
        };
        let mut zones = HashMap::<_, BTreeSet<_>>::new();
        for (_, load_balancer, zone) in nodes() {
            zones.entry(load_balancer).or_default().insert(zone);
        }
        let mut balancers = Self {
            nodes: Table::new(),
            targets: config.targets.clone(),
            hasher: FixedState::with_seed(seed),
        };
        let mut pools = Pools::new();
        for (idx, load_balancer, zone) in nodes() {
            let enabled = zones.get(&load_balancer);
            let listeners = listeners(config, load_balancer, zone, |group, only: Option<Zone>| {
                let is_in_scope = |zone| match only {
                    Some(only) => zone == only,
                    None => enabled.is_some_and(|enabled| enabled.contains(&zone)),
                };
                let made = pools.entry((load_balancer, group, only));
                let made = made.or_insert_with(|| Arc::new(Pool::new(config, group, is_in_scope)));
                Arc::clone(made)
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

    /// Notes what a node's health checks have found; not of a node or target that is gone.
    pub(super) fn set_health(&self, node: EniIdx, target: TargetIdx, healthy: bool) {
        if let Some(node) = self.nodes.get(node)
            && self.targets.get(target).is_some()
        {
            node.health.set(target, healthy);
        }
    }
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

    /// What was known of a target that had the place of a new one says nothing of that.
    fn forget(&self, is_new: impl Fn(TargetIdx) -> bool) {
        let members = self.listeners.iter().flat_map(|it| it.pool.members());
        for member in members.filter(|member| is_new(member.idx)) {
            self.health.set(member.idx, true);
        }
    }
}

impl Listener {
    /// Is this a target of its group, wherever it stands, and whether or not it drains?
    pub(super) fn has_target(&self, address: Addr, port: u16) -> bool {
        self.pool.has_target(address, port)
    }
}
