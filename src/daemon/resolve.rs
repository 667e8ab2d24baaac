//! Objects by the names that people give them: an id, a logical id, or a stack and a logical id.
//!
//! Invariant: a name that may mean two things means none.

use axum::http::StatusCode;

use super::refusal::Refusal;
use super::view;
use crate::control::id::{
    Id, InstanceId, NetworkInterfaceId, TargetGroupId, VpcEndpointId, VpcEndpointServiceId,
};
use crate::control::{
    ControlState, Instance, NetworkInterface, Owner, TargetGroup, TargetType, VpcEndpoint,
    VpcEndpointService, command,
};
use crate::template::nearest;

/// Something that a name may mean.
struct Candidate<'a, T> {
    object: T,
    /// All but the logical id.
    names: Vec<String>,
    stack: &'a str,
    logical_id: &'a str,
}

impl<'a, T> Candidate<'a, T> {
    fn new<I: Id>(
        state: &'a ControlState,
        id: I,
        logical_id: &'a str,
        names: Vec<String>,
        object: T,
    ) -> Self {
        let stack = state.owner_of(id).and_then(|owner| owner.stack());
        Self {
            object,
            names,
            stack: stack.unwrap_or_default(),
            logical_id,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
            || self.logical_id == name
            || name.split_once(':') == Some((self.stack, self.logical_id))
    }
}

/// The endpoint that `name` means.
pub fn vpc_endpoint<'a>(state: &'a ControlState, name: &str) -> Result<&'a VpcEndpoint, Refusal> {
    let candidates = state.vpc_endpoints().map(|endpoint| {
        let id = endpoint.vpc_endpoint_id;
        Candidate::new(
            state,
            id,
            &endpoint.client_token,
            vec![id.to_string()],
            endpoint,
        )
    });
    find::<VpcEndpointId, _>(name, candidates.collect(), "privlink endpoints list")
}

/// The endpoint service that `name` means.
pub fn vpc_endpoint_service<'a>(
    state: &'a ControlState,
    name: &str,
) -> Result<&'a VpcEndpointService, Refusal> {
    let candidates = state.vpc_endpoint_services().map(|service| {
        let id = service.service_id;
        let names = vec![id.to_string(), service.service_name.clone()];
        Candidate::new(state, id, &service.client_token, names, service)
    });
    find::<VpcEndpointServiceId, _>(name, candidates.collect(), "privlink services list")
}

/// The target group that `name` means.
pub fn target_group<'a>(state: &'a ControlState, name: &str) -> Result<&'a TargetGroup, Refusal> {
    let candidates = state.target_groups().map(|group| {
        let names = vec![
            group.target_group_arn.clone(),
            group.target_group_name.clone(),
        ];
        Candidate::new(state, group.id, &group.client_token, names, group)
    });
    find::<TargetGroupId, _>(name, candidates.collect(), "privlink targets list")
}

/// The instance that `name` means.
pub fn instance<'a>(state: &'a ControlState, name: &str) -> Result<&'a Instance, Refusal> {
    let candidates = state.instances().map(|instance| {
        let id = instance.instance_id;
        let names = [Some(id.to_string()), instance.tags.name().map(Into::into)];
        let names = names.into_iter().flatten();
        let names = names.chain([instance.namespace.clone()]).collect();
        Candidate::new(state, id, &instance.client_token, names, instance)
    });
    find::<InstanceId, _>(name, candidates.collect(), "privlink show interfaces")
}

/// The network interface with this id.
pub fn network_interface<'a>(
    state: &'a ControlState,
    id: &str,
) -> Result<&'a NetworkInterface, Refusal> {
    let candidates = state.network_interfaces().map(|eni| {
        let known = eni.network_interface_id;
        Candidate::new(state, known, "", vec![known.to_string()], eni)
    });
    find::<NetworkInterfaceId, _>(id, candidates.collect(), "privlink show interfaces")
}

/// Targets as the control plane wants them: instances by their ids.
pub fn targets(
    state: &ControlState,
    group: &TargetGroup,
    asked: &[view::TargetDescription],
) -> Result<Vec<command::TargetDescription>, Refusal> {
    let target = |asked: &view::TargetDescription| {
        let id = match group.target_type {
            TargetType::Instance => own_instance(state, group, &asked.id)?.to_string(),
            TargetType::Ip => asked.id.clone(),
        };
        Ok(command::TargetDescription {
            id,
            port: asked.port.map(i64::from),
            availability_zone: None,
        })
    };
    asked.iter().map(target).collect()
}

/// No stack is called so; in CloudFormation's words.
pub fn unknown_stack<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Refusal {
    let known: Vec<_> = known.collect();
    let instead = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => "there is none at all".to_owned(),
        None => format!("there are {}", known.join(", ")),
    };
    let message = format!("Stack with id {name} does not exist; {instead}");
    Refusal::Unknown("ValidationError", message)
}

/// An instance of the group's own account: another's cannot be its target, whatever it is called.
fn own_instance(
    state: &ControlState,
    group: &TargetGroup,
    name: &str,
) -> Result<InstanceId, Refusal> {
    let own = account(state, group.id);
    let candidates = state.instances().map(|instance| {
        let id = instance.instance_id;
        Candidate::new(state, id, &instance.client_token, vec![id.to_string()], id)
    });
    let (ours, others): (Vec<_>, Vec<_>) =
        candidates.partition(|found| account(state, found.object) == own);
    let is_ours = ours.iter().any(|found| found.is_called(name));
    let other = others.into_iter().find(|found| found.is_called(name));
    match other.filter(|_| !is_ours) {
        Some(other) => {
            let theirs = account(state, other.object);
            let message = format!(
                "{}:{} ({}) is an instance of account {theirs}; a target belongs to the target group's own, {own}",
                other.stack, other.logical_id, other.object
            );
            Err(Refusal::Unknown("InvalidTarget", message))
        }
        None => find::<InstanceId, _>(name, ours, "privlink show interfaces"),
    }
}

fn account<I: Id>(state: &ControlState, id: I) -> &str {
    let owner = state.owner_of(id);
    owner.map(Owner::account_id).unwrap_or_default()
}

/// The one candidate of this name.
fn find<I: Id, T>(name: &str, candidates: Vec<Candidate<'_, T>>, list: &str) -> Result<T, Refusal> {
    let noun = I::NOUN;
    let unknown = |instead: String| {
        let message = format!("there is no {noun} `{name}`{instead}");
        Refusal::Unknown(I::NOT_FOUND, message)
    };
    let (mut called, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|c| c.is_called(name));
    match (called.len(), called.pop()) {
        (1, Some(one)) => Ok(one.object),
        (0, _) | (_, None) => {
            let names = others.iter().flat_map(|candidate| {
                let names = candidate.names.iter().map(String::as_str);
                names.chain([candidate.logical_id])
            });
            Err(match nearest(name, names) {
                Some(near) => unknown(format!("; did you mean {near}?")),
                None if others.is_empty() => unknown(": there is none at all".to_owned()),
                None => unknown(format!("; `{list}` shows all")),
            })
        }
        (_, Some(last)) => {
            called.push(last);
            let names = called.iter().map(|candidate| {
                let id = candidate.names.first().map_or("", String::as_str);
                format!("{}:{} ({id})", candidate.stack, candidate.logical_id)
            });
            let names = names.collect::<Vec<_>>().join(", ");
            let message = format!(
                "`{name}` may mean several: {names}; name one by its id or STACK:LOGICAL-ID"
            );
            Err(Refusal::Malformed(StatusCode::BAD_REQUEST, message))
        }
    }
}
