//! What the operator wants, as the data plane's configuration: dense indices and values, no strings.

use super::ControlState;
use super::id::SecurityGroupId;
use super::lifecycle::State;
use super::model::*;
use crate::dataplane::config::{self, DataplaneConfig, Destination, GroupIdx, Peer, Role, Rule};

/// The data plane's configuration for `state`: equal for equal states, and every index that `state` has had before
/// still names the same object.
pub fn compile(state: &ControlState) -> DataplaneConfig {
    let mut config = DataplaneConfig::default();
    for vpc in state.vpcs() {
        let cidrs = vec![vpc.cidr_block.into()];
        config.vpcs.insert(vpc.idx, config::Vpc { cidrs });
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
        let resource = config::Resource {
            target: configuration.ip_resource.into(),
            ports: configuration.port_ranges.clone(),
            protocols: configuration.protocols,
            idle_timeout: configuration.idle_timeout,
        };
        config.resources.insert(configuration.idx, resource);
    }
    for interface in state.network_interfaces() {
        if let Some(compiled) = self::interface(state, interface) {
            config.enis.insert(interface.idx, compiled);
        }
    }
    config
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
            Role::Endpoint(match endpoint.state {
                State::Available => destination(state, endpoint, interface)?,
                _ => Destination::Nothing,
            })
        }
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

/// What this interface of an endpoint leads to: through the gateway's interface of its own zone.
fn destination(
    state: &ControlState,
    endpoint: &VpcEndpoint,
    interface: &NetworkInterface,
) -> Option<Destination> {
    let configuration = state.resource_configuration(&endpoint.resource_configuration_id)?;
    let gateway = state.resource_gateway(&configuration.resource_gateway_id)?;
    let mut interfaces = gateway
        .network_interface_ids
        .iter()
        .filter_map(|id| state.network_interface(id));
    Some(Destination::Resource {
        resource: configuration.idx,
        gateway: interfaces
            .find(|gateway| gateway.availability_zone == interface.availability_zone)?
            .idx,
    })
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
