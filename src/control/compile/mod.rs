//! What the operator wants, as the data plane's configuration: dense indices and values, no strings but the names that
//! resolvers answer.

mod endpoint_names;
mod names;

use super::id::SecurityGroupId;
use super::model::*;
use super::{ControlState, ipam};
use crate::dataplane::config::{
    self, DataplaneConfig, Destination, GroupIdx, Peer, ResourceTarget, Role, Rule, Zone,
};
use crate::net::Addr;

/// The data plane's configuration for `state`: equal for equal states, and every index that `state` has had before
/// still names the same object.
pub fn compile(state: &ControlState) -> DataplaneConfig {
    let mut config = DataplaneConfig {
        public_zones: endpoint_names::public_zones(state),
        ..DataplaneConfig::default()
    };
    let mut resolvers = names::resolvers(state);
    for vpc in state.vpcs() {
        let compiled = config::Vpc {
            cidrs: vec![vpc.cidr_block.into()],
            reserved: reserved(state, vpc),
            resolver: resolvers.remove(&vpc.vpc_id),
        };
        config.vpcs.insert(vpc.idx, compiled);
    }
    for group in state.security_groups() {
        let rules = |rules: &[SecurityGroupRule]| {
            let mut compiled = Vec::with_capacity(rules.len());
            compiled.extend(rules.iter().filter_map(|rule| self::rule(state, rule)));
            compiled
        };
        let compiled = config::SecurityGroup {
            ingress: rules(&group.ingress),
            egress: rules(&group.egress),
        };
        config.groups.insert(group.idx, compiled);
    }
    for configuration in state.resource_configurations() {
        if let Some(compiled) = resource(state, configuration) {
            config.resources.insert(configuration.idx, compiled);
        }
    }
    load_balancing(state, &mut config);
    for interface in state.network_interfaces() {
        if let Some(compiled) = self::interface(state, interface) {
            config.enis.insert(interface.idx, compiled);
        }
        if let Attachment::VpcEndpoint(id) = interface.attachment
            && let Some(text) = id.to_string().as_bytes().first_chunk()
        {
            config.endpoint_ids.insert(interface.idx, *text);
        }
    }
    config
}

/// The addresses that no instance of this VPC may have.
fn reserved(state: &ControlState, vpc: &Vpc) -> Vec<Addr> {
    let subnets = vpc.subnets.values().filter_map(|id| state.subnet(id));
    let [resolver, _] = vpc.resolver_addresses();
    subnets
        .flat_map(|subnet| ipam::reserved(subnet.cidr_block))
        .chain([resolver, vpc.cidr_block.broadcast()])
        .map(Addr::from)
        .collect()
}

/// `None` only for a reference that does not resolve, which a state never has.
fn resource(
    state: &ControlState,
    configuration: &ResourceConfiguration,
) -> Option<config::Resource> {
    let target = match &configuration.definition {
        ResourceDefinition::IpResource(address) => ResourceTarget::Address((*address).into()),
        ResourceDefinition::DnsResource(name) => {
            let gateway = state.resource_gateway(&configuration.resource_gateway_id)?;
            names::resource_target(state, gateway, name)?
        }
    };
    Some(config::Resource {
        target,
        ports: configuration.port_ranges.clone(),
        protocols: configuration.protocols,
        idle_timeout: configuration.idle_timeout,
        proxy_protocol: configuration.proxy_protocol,
    })
}

/// `None` only for a reference that does not resolve, which a state never has.
fn interface(state: &ControlState, interface: &NetworkInterface) -> Option<config::Interface> {
    let role = match interface.attachment {
        Attachment::Instance(_) => Role::Instance {
            source_dest_check: interface.source_dest_check,
        },
        Attachment::ResourceGateway(_) => Role::Gateway,
        Attachment::VpcEndpoint(id) => {
            let endpoint = state.vpc_endpoint(&id)?;
            Role::Endpoint(destination(state, endpoint, interface))
        }
        Attachment::LoadBalancer(id) => Role::Node {
            load_balancer: state.load_balancer(&id)?.idx,
            zone: zone(&interface.availability_zone),
        },
    };
    Some(config::Interface {
        vpc: state.vpc(&interface.vpc_id)?.idx,
        addresses: interface
            .private_ip_addresses
            .iter()
            .map(|address| (*address).into())
            .collect(),
        groups: interface
            .groups
            .iter()
            .filter_map(|id| group(state, id))
            .collect(),
        role,
    })
}

/// What this interface of an endpoint leads to: through the gateway's interface or the node of its own zone; to nothing
/// where the endpoint is not available, or the zone has no way.
fn destination(
    state: &ControlState,
    endpoint: &VpcEndpoint,
    interface: &NetworkInterface,
) -> Destination {
    let zone = &interface.availability_zone;
    let leads_to = || match endpoint.destination {
        EndpointDestination::ResourceConfiguration(id) => Some(Destination::Resource {
            resource: state.resource_configuration(&id)?.idx,
            gateway: state.gateway_interface_in(id, zone)?.idx,
        }),
        EndpointDestination::Service(id) => Some(Destination::LoadBalancer {
            node: state.service_node_in(id, zone)?.idx,
        }),
    };
    match endpoint.state.passes() {
        true => leads_to().unwrap_or(Destination::Nothing),
        false => Destination::Nothing,
    }
}

/// Load balancers with their listeners, target groups and targets.
fn load_balancing(state: &ControlState, config: &mut DataplaneConfig) {
    for load_balancer in state.load_balancers() {
        let compiled = config::LoadBalancer {
            listeners: Vec::new(),
            cross_zone: load_balancer.cross_zone,
            enforces_inbound_rules_on_private_link: load_balancer
                .enforce_security_group_inbound_rules_on_private_link_traffic,
        };
        config.load_balancers.insert(load_balancer.idx, compiled);
    }
    for group in state.target_groups() {
        let compiled = target_group(group);
        config.target_groups.insert(group.idx, compiled);
        for target in &group.targets {
            let compiled = config::Target {
                address: target.address.into(),
                port: target.port,
                zone: zone(&target.availability_zone),
                draining: target.draining_since.is_some(),
            };
            config.targets.insert(target.idx, compiled);
        }
    }
    for listener in state.listeners() {
        let (Some(load_balancer), Some(group)) = (
            state.load_balancer(&listener.load_balancer_id),
            state.target_group(&listener.target_group_id),
        ) else {
            continue;
        };
        let compiled = config::Listener {
            protocol: listener.protocol,
            port: listener.port,
            target_group: group.idx,
            tcp_idle_timeout: listener.tcp_idle_timeout,
        };
        config.listeners.insert(listener.idx, compiled);
        if let Some(compiled) = config.load_balancers.get_mut(load_balancer.idx) {
            compiled.listeners.push(listener.idx);
        }
    }
}

fn target_group(group: &TargetGroup) -> config::TargetGroup {
    config::TargetGroup {
        targets: group.targets.iter().map(|target| target.idx).collect(),
        stickiness: group.stickiness,
        cross_zone: group.cross_zone,
        deregistration_delay: group.deregistration_delay,
        terminates_on_deregistration: group.terminates_on_deregistration,
        terminates_on_unhealthy: group.terminates_on_unhealthy,
        proxy_protocol: group.proxy_protocol_v2,
        health_check: Some(group.health_check.clone()),
    }
}

/// The zone's number: one per letter, as all are of one region.
fn zone(name: &str) -> Zone {
    Zone(name.bytes().next_back().map_or(0, u16::from))
}

fn rule(state: &ControlState, rule: &SecurityGroupRule) -> Option<Rule> {
    Some(Rule {
        traffic: rule.traffic,
        peer: match &rule.peer {
            RulePeer::Cidr(range) => Peer::Cidr(*range),
            RulePeer::Group(id) => Peer::Group(group(state, id)?),
        },
    })
}

fn group(state: &ControlState, id: &SecurityGroupId) -> Option<GroupIdx> {
    state.security_group(id).map(|group| group.idx)
}
