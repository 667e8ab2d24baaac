//! Which node probes which target, by the configuration: those that it may send flows to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::balance::nodes;
use super::super::config::{
    DataplaneConfig, EniIdx, HealthCheck, Role, Target, TargetGroup, TargetGroupIdx, TargetIdx,
    VpcIdx, Zone,
};
use super::state::TargetHealth;
use crate::net::Addr;

/// A target, and the node that has an opinion of it; without one no load balancer uses it.
pub(super) type Key = (TargetIdx, Option<EniIdx>);

/// Every target with each of its nodes.
pub(in crate::dataplane) type Plan = BTreeMap<Key, Planned>;

/// A target as one node has it.
#[derive(Clone, Debug)]
pub(in crate::dataplane) struct Planned {
    pub(super) group: TargetGroupIdx,
    pub(super) address: Addr,
    pub(super) port: u16,
    /// The node's.
    pub(super) zone: Option<Zone>,
    pub(super) duty: Duty,
}

/// Whether it is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// In this way, to this port, behind a PROXY header if its group has those.
    Probe {
        check: Arc<HealthCheck>,
        port: u16,
        proxy_protocol: bool,
    },
    /// It is not: this is all that is to be said.
    Rest(TargetHealth),
}

/// A node that sends flows to a target group.
#[derive(Clone, Copy)]
struct User<'a> {
    node: EniIdx,
    vpc: VpcIdx,
    zone: Zone,
    /// The zones of the targets that it may choose from.
    scope: &'a BTreeSet<Zone>,
}

/// The plan for `config`, where `role` tells who stands behind an address.
pub(in crate::dataplane) fn plan(
    config: &DataplaneConfig,
    role: impl Fn(VpcIdx, Addr) -> Option<Role>,
) -> Plan {
    let mut zones = HashMap::<_, BTreeSet<_>>::new();
    for (_, load_balancer, zone) in nodes(config) {
        zones.entry(load_balancer).or_default().insert(zone);
    }
    let own: BTreeMap<_, _> = nodes(config)
        .map(|(_, _, zone)| (zone, BTreeSet::from([zone])))
        .collect();
    let mut users = HashMap::<TargetGroupIdx, BTreeMap<EniIdx, User<'_>>>::new();
    for (node, idx, zone) in nodes(config) {
        let (Some(load_balancer), Some(interface)) =
            (config.load_balancers.get(idx), config.enis.get(node))
        else {
            continue;
        };
        let listeners = load_balancer.listeners.iter();
        for listener in listeners.filter_map(|idx| config.listeners.get(*idx)) {
            let Some(group) = config.target_groups.get(listener.target_group) else {
                continue;
            };
            let scope = match group.cross_zone.unwrap_or(load_balancer.cross_zone) {
                true => zones.get(&idx),
                false => own.get(&zone),
            };
            if let Some(scope) = scope {
                let vpc = interface.vpc;
                let user = User {
                    node,
                    vpc,
                    zone,
                    scope,
                };
                let users = users.entry(listener.target_group).or_default();
                users.insert(node, user);
            }
        }
    }
    let mut plan = Plan::new();
    for (idx, group) in config.target_groups.iter() {
        let check = group.health_check.clone().map(Arc::new);
        let users: Vec<_> = users
            .get(&idx)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        let targets = group.targets.iter();
        for (target_idx, target) in targets.filter_map(|it| Some((*it, config.targets.get(*it)?))) {
            let planned = |zone, duty| Planned {
                group: idx,
                address: target.address,
                port: target.port,
                zone,
                duty,
            };
            let in_scope = users.iter().filter(|it| it.scope.contains(&target.zone));
            let with_nodes = in_scope.map(|user| {
                let role = role(user.vpc, target.address);
                let duty = duty(group, target, check.as_ref(), role);
                (
                    (target_idx, Some(user.node)),
                    planned(Some(user.zone), duty),
                )
            });
            let before = plan.len();
            plan.extend(with_nodes);
            if plan.len() == before {
                let health = match target.draining {
                    true => TargetHealth::Draining,
                    false => TargetHealth::NotInUse,
                };
                plan.insert((target_idx, None), planned(None, Duty::Rest(health)));
            }
        }
    }
    plan
}

/// What is to be done about a target in use at whose address `role` stands.
fn duty(
    group: &TargetGroup,
    target: &Target,
    check: Option<&Arc<HealthCheck>>,
    role: Option<Role>,
) -> Duty {
    let health = match (role, check) {
        _ if target.draining => TargetHealth::Draining,
        (Some(Role::Node { .. }), _) => TargetHealth::IpUnusable,
        (Some(Role::Instance { .. }), Some(check)) => {
            return Duty::Probe {
                check: Arc::clone(check),
                port: check.port.unwrap_or(target.port),
                proxy_protocol: group.proxy_protocol,
            };
        }
        (Some(Role::Instance { .. }), None) => TargetHealth::HealthCheckDisabled,
        _ => TargetHealth::InvalidState,
    };
    Duty::Rest(health)
}
