//! What runs and is not to be there any more, though others use it: a service with live endpoints.
//!
//! An object stays if its stack, in the same account, still has a resource of its logical id and type: of these its id is made.
//! Exports that are in use are refused where they are imported, by [`super::exports`].
//! Source: EC2 API, `DeleteVpcEndpointServiceConfigurations`.

use super::Running;
use super::diagnostic::{Position, Report};
use super::document::Resource;
use super::load::Prepared;
use crate::control::Owner;

const SERVICE: &str = "AWS::EC2::VPCEndpointService";
const ENDPOINT: &str = "AWS::EC2::VPCEndpoint";

/// Refuses that services go whose endpoints stay.
pub(super) fn check(
    running: &Running,
    next: &[Prepared],
    beside: &mut Report,
    reports: &mut [Report],
) {
    let state = running.state;
    let stays = |owner: Option<&Owner>, type_name: &str, logical_id: &str| {
        let mut stacks = next.iter().filter(|stack| Some(&stack.owner) == owner);
        stacks.any(|stack| resource(stack, logical_id).is_some_and(|r| r.type_name == type_name))
    };
    for service in state.vpc_endpoint_services() {
        let (id, logical_id) = (service.service_id, &service.client_token);
        let owner = state.owner_of(id);
        if stays(owner, SERVICE, logical_id) {
            continue;
        }
        let refused = state.check_service_deletion(id, |endpoint| {
            let owner = state.owner_of(endpoint.vpc_endpoint_id);
            stays(owner, ENDPOINT, &endpoint.client_token)
        });
        let Err(error) = refused else { continue };
        let name = owner.and_then(Owner::stack);
        let mut stacks = next.iter().zip(&mut *reports);
        match stacks.find(|(stack, _)| stack.owner.stack() == name) {
            Some((stack, report)) => {
                let path = format!("Resources.{logical_id}");
                report.error(place(stack, logical_id), &path, error.to_string());
            }
            None => {
                let stack = format!("stack {}", name.unwrap_or_default());
                beside.error_beside(&stack, error.to_string());
            }
        }
    }
}

/// The resource of this logical id, if it is made.
fn resource<'l>(stack: &Prepared<'l>, logical_id: &str) -> Option<&'l Resource> {
    let mut resources = stack.document.resources.iter();
    let found = resources.find(|resource| resource.logical_id == logical_id)?;
    let conditions = &stack.scope.conditions;
    let is_made = found.condition.as_ref();
    is_made
        .is_none_or(|(name, _)| conditions.get(name) == Some(&true))
        .then_some(found)
}

/// Where its going is to be blamed: on another account, or on the resource that has its name.
fn place(stack: &Prepared, logical_id: &str) -> Position {
    let account = stack.document.privlink.as_ref().map(|entry| entry.key_at);
    let resource = resource(stack, logical_id);
    match resource {
        Some(resource) if resource.type_name != SERVICE => resource.at,
        Some(_) => account.unwrap_or(Position::START),
        None => Position::START,
    }
}
