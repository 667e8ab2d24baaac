//! The names of endpoints: their own, which everybody sees, and the private ones that each answers in its VPC.
//!
//! Invariant: for every name below a service or a resource that is there nobody else is asked. Source: AWS PrivateLink guide,
//! "DNS hostnames".

use std::collections::BTreeMap;
use std::sync::Arc;

use super::names::{Views, key, name};
use super::zone;
use crate::control::{
    Attachment, ControlState, DomainName, EndpointDestination, NetworkInterface, VpcEndpoint,
};
use crate::dataplane::config::{
    DnsZone, EndpointAddress, LoadBalancerIdx, Origin, RecordData, RecordSet,
};

/// How long an endpoint's addresses may be kept, in seconds.
const TTL: u32 = 60;

/// The zones that everybody sees: one for each service and resource configuration, with the names of all endpoints that lead
/// there.
pub(super) fn public_zones(state: &ControlState) -> Vec<Arc<DnsZone>> {
    let services = state.vpc_endpoint_services();
    let services = services.map(|service| EndpointDestination::Service(service.service_id));
    let resources = state.resource_configurations();
    let resources = resources.map(|c| EndpointDestination::ResourceConfiguration(c.id));
    let region = state.owner().region();
    let zones = services.chain(resources).filter_map(|destination| {
        let apex = DomainName::parse(&destination.domain(region)).ok()?;
        let id = match destination {
            EndpointDestination::Service(id) => id.to_string(),
            EndpointDestination::ResourceConfiguration(id) => id.to_string(),
        };
        let zone = DnsZone::new(name(&apex)?, Origin::Endpoint(id.into()));
        Some((destination, zone))
    });
    let mut zones: BTreeMap<_, _> = zones.collect();
    for endpoint in state.vpc_endpoints() {
        if let Some(zone) = zones.get_mut(&endpoint.destination) {
            own_names(state, endpoint, zone);
        }
    }
    zones.into_values().map(Arc::new).collect()
}

/// The private names that endpoints answer, in their VPCs.
pub(super) fn private_zones(state: &ControlState, views: &mut Views) {
    for endpoint in state.vpc_endpoints() {
        let name = state.answered_name(endpoint);
        let zone = name.and_then(|name| private_zone(state, endpoint, name));
        if let Some(zone) = zone {
            views.entry(endpoint.vpc_id).or_default().push(zone);
        }
    }
}

fn private_zone(
    state: &ControlState,
    endpoint: &VpcEndpoint,
    name: &DomainName,
) -> Option<Arc<DnsZone>> {
    let origin = Origin::PrivateDns(endpoint.vpc_endpoint_id.to_string().into());
    let mut zone = DnsZone::new(self::name(&name.base())?, origin);
    zone.add(key(name), [answer(addresses(state, endpoint))]);
    Some(Arc::new(zone))
}

/// An endpoint's regional name and its zonal ones; all names below one mean the same.
fn own_names(state: &ControlState, endpoint: &VpcEndpoint, zone: &mut DnsZone) {
    zone.add_wide(&endpoint.label(), answer(addresses(state, endpoint)));
    for interface in state.interfaces_of(endpoint) {
        if let Some(label) = endpoint.zonal_label(&interface.availability_zone) {
            let way = way(state, endpoint, interface);
            let address = address(interface, way.flatten());
            zone.add_wide(&label, answer(address.into_iter().collect()));
        }
    }
}

fn answer(addresses: Vec<EndpointAddress>) -> RecordSet {
    RecordSet {
        ttl: TTL,
        data: RecordData::Endpoint(addresses),
    }
}

/// The addresses of an endpoint's interfaces: of those that lead somewhere, or if none does of all.
fn addresses(state: &ControlState, endpoint: &VpcEndpoint) -> Vec<EndpointAddress> {
    let interfaces = || state.interfaces_of(endpoint);
    let leading = interfaces()
        .filter_map(|interface| address(interface, way(state, endpoint, interface)?))
        .collect::<Vec<_>>();
    match leading.is_empty() {
        false => leading,
        true => interfaces().filter_map(|i| address(i, None)).collect(),
    }
}

fn address(interface: &NetworkInterface, node: Option<LoadBalancerIdx>) -> Option<EndpointAddress> {
    Some(EndpointAddress {
        address: interface.private_ip_address()?.into(),
        zone: node.map(|idx| (idx, zone(&interface.availability_zone))),
    })
}

/// Where an interface of an endpoint leads: to a load balancer, or (`Some(None)`) to a resource; `None`: nowhere.
fn way(
    state: &ControlState,
    endpoint: &VpcEndpoint,
    interface: &NetworkInterface,
) -> Option<Option<LoadBalancerIdx>> {
    let zone = &interface.availability_zone;
    match endpoint.destination {
        EndpointDestination::Service(id) => match state.service_node_in(id, zone)?.attachment {
            Attachment::LoadBalancer(id) => Some(Some(state.load_balancer(&id)?.idx)),
            _ => None,
        },
        EndpointDestination::ResourceConfiguration(id) => {
            state.gateway_interface_in(id, zone).map(|_| None)
        }
    }
}
