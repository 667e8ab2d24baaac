//! What people should know of private DNS names that nobody has proved yet.

use super::view;
use crate::control::id::Id;
use crate::control::{ControlState, DnsNameState, VpcEndpoint, VpcEndpointService};

/// A sentence for each service of these stacks whose name is not verified, and for each endpoint of theirs that waits for one.
/// With `several` stacks around, things are told apart by theirs.
pub fn notes(state: &ControlState, names: &[&str], several: bool) -> Vec<String> {
    let services = state.vpc_endpoint_services();
    let services = services.filter(|service| is_of(state, service.service_id, names));
    let services = services.filter_map(|service| service_note(state, service, several));
    let endpoints = state.vpc_endpoints();
    let endpoints = endpoints.filter(|endpoint| is_of(state, endpoint.vpc_endpoint_id, names));
    let endpoints = endpoints.filter_map(|endpoint| endpoint_note(state, endpoint, several));
    services.chain(endpoints).collect()
}

/// `None`: it has no name, or one that is verified.
fn service_note(
    state: &ControlState,
    service: &VpcEndpointService,
    several: bool,
) -> Option<String> {
    let name = service.private_dns_name.as_ref();
    let name = name.filter(|name| name.state != DnsNameState::Verified)?;
    let record = name.configuration(service.service_id);
    let known_as = called(state, service.service_id, &service.client_token, several);
    Some(format!(
        "the private DNS name {} of {known_as} is {}: publish TXT {} with the value {}, then `privlink services verify {known_as}`",
        name.name, name.state, record.name, record.value
    ))
}

/// `None`: it waits for no name.
fn endpoint_note(state: &ControlState, endpoint: &VpcEndpoint, several: bool) -> Option<String> {
    let service = state.vpc_endpoint_service(&endpoint.service_id()?)?;
    let name = service.private_dns_name.as_ref();
    let name = name.filter(|name| name.state != DnsNameState::Verified)?;
    let (id, token) = (endpoint.vpc_endpoint_id, &endpoint.client_token);
    endpoint.private_dns_enabled.then(|| {
        let known_as = called(state, id, token, several);
        format!(
            "{known_as} answers to {} once its provider has proved whose that name is",
            name.name
        )
    })
}

fn stack<I: Id>(state: &ControlState, id: I) -> &str {
    let owner = state.owner_of(id);
    owner.and_then(|owner| owner.stack()).unwrap_or_default()
}

pub(super) fn is_of<I: Id>(state: &ControlState, id: I, names: &[&str]) -> bool {
    names.contains(&stack(state, id))
}

pub(super) fn called<I: Id>(
    state: &ControlState,
    id: I,
    logical_id: &str,
    several: bool,
) -> String {
    view::in_stack(stack(state, id), logical_id, several)
}
