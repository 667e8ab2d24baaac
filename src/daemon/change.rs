//! What can be asked of the running topology: that its stacks become others, and the commands of providers and consumers.
//!
//! Invariant: a request happens as a whole or is refused; it is judged by the state that it changes.

use super::describe::Fabric;
use super::events::since_epoch;
use super::live::{Live, Next, Running};
use super::refusal::Refusal;
use super::stacks::Wanted;
use super::tell::tell;
use super::view::{self, Plan};
use super::{TemplateFile, Templates, resolve};
use crate::control::command::{
    DeregisterTargets, RegisterTargets, StartVpcEndpointServicePrivateDnsVerification,
    VpcEndpointConnections,
};
use crate::control::id::{Id, TargetGroupId, VpcEndpointId, VpcEndpointServiceId};
use crate::control::{ChangeAction, Command, ControlState, Owner, VpcEndpoint, plan};
use crate::template::Stacks;

/// A command and in whose name it is given.
type Given = (Owner, Command);

/// A provider's answer, or a consumer's end, to endpoints.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    /// The provider accepts them.
    Accept,
    /// The provider rejects them.
    Reject,
    /// Their consumers delete them.
    Delete,
}

/// What becomes of targets.
#[derive(Clone, Copy, Debug)]
pub enum Registration {
    /// They are to have flows.
    Register,
    /// They are to have no new ones.
    Deregister,
}

impl Live {
    /// Has the stacks of `templates` run as those say; what that changes. As a dry run only the latter.
    pub fn apply(&self, templates: &Templates, dry_run: bool) -> Result<Plan, Refusal> {
        self.change(|running, fabric| applied(running, fabric, templates, dry_run))
    }

    /// Takes the stacks of these names away; what that changes. As a dry run only the latter.
    pub fn delete(&self, names: &[String], dry_run: bool) -> Result<Plan, Refusal> {
        self.change(|running, fabric| {
            if names.is_empty() {
                return Err(Refusal::malformed("StackNames names no stack"));
            }
            let unknown = |name: &&String| running.wanted.stacks().all(|s| s.name != **name);
            if let Some(name) = names.iter().find(unknown) {
                let known = running.wanted.stacks().map(|stack| stack.name.as_str());
                return Err(resolve::unknown_stack(name, known));
            }
            let next = running.wanted.without(names, &fabric.state);
            let next = next.map_err(Refusal::in_use)?;
            Ok(planned(running, fabric, next, &[], dry_run))
        })
    }

    /// Applies all stacks' files as they are now, and tells the operator what became of it.
    pub fn reload(&self) {
        match self.apply_files() {
            Ok(plan) => tell(format_args!("SIGHUP: {}", plan.summary())),
            Err(refusal) => {
                let said = refusal.view().to_string();
                said.lines().for_each(|line| match line.starts_with(' ') {
                    true => tell(format_args!("{line}")),
                    false => tell(format_args!("error: SIGHUP: {line}")),
                });
            }
        }
    }

    fn apply_files(&self) -> Result<Plan, Refusal> {
        self.change(|running, fabric| {
            let templates = Templates {
                files: running.wanted.read_again().map_err(Refusal::Failed)?,
                parameters: Vec::new(),
                region: None,
                default_region: None,
            };
            applied(running, fabric, &templates, false)
        })
    }

    /// Does `verb` to all endpoints of these names; they, as they are then.
    pub fn answer(&self, verb: Verb, names: &[String]) -> Result<Vec<view::VpcEndpoint>, Refusal> {
        let before = self.fabric();
        let mut ids = Vec::new();
        self.execute(|state| {
            let found = names.iter().map(|name| resolve::vpc_endpoint(state, name));
            let found: Vec<_> = found.collect::<Result<_, _>>()?;
            if found.is_empty() {
                return Err(Refusal::malformed("VpcEndpointIds names no endpoint"));
            }
            ids = found
                .iter()
                .map(|e| e.vpc_endpoint_id.to_string())
                .collect();
            commands(state, verb, &found)
        })?;
        let find = |fabric: &Fabric| {
            let mut endpoints = fabric.topology().vpc_endpoints;
            endpoints.retain(|endpoint| ids.contains(&endpoint.vpc_endpoint_id));
            endpoints
        };
        Ok(match verb {
            Verb::Accept | Verb::Reject => find(&self.fabric()),
            Verb::Delete => {
                let mut gone = find(&before);
                for endpoint in &mut gone {
                    endpoint.state = "deleted".to_owned();
                }
                gone
            }
        })
    }

    /// Adds targets to a group or lets them drain; the group, as it is then.
    pub fn register(
        &self,
        registration: Registration,
        asked: &view::Targets,
    ) -> Result<view::TargetGroup, Refusal> {
        let mut group = None;
        self.execute(|state| {
            let found = resolve::target_group(state, &asked.target_group)?;
            group = Some(found.target_group_arn.clone());
            let targets = resolve::targets(state, found, &asked.targets)?;
            let target_group = found.id;
            let command = match registration {
                Registration::Register => Command::RegisterTargets(RegisterTargets {
                    target_group,
                    targets,
                }),
                Registration::Deregister => Command::DeregisterTargets(DeregisterTargets {
                    target_group,
                    targets,
                }),
            };
            Ok(vec![(owner(state, target_group)?, command)])
        })?;
        let groups = self.fabric().target_groups();
        let is_it = |found: &view::TargetGroup| Some(&found.target_group_arn) == group.as_ref();
        let found = groups.into_iter().find(is_it);
        found.ok_or_else(|| Refusal::Unknown(TargetGroupId::NOT_FOUND, "it is gone".to_owned()))
    }

    /// Has the proof of a service's private DNS name looked for; the service, as it is then.
    pub fn start_private_dns_verification(
        &self,
        name: &str,
    ) -> Result<view::VpcEndpointService, Refusal> {
        let mut id = String::new();
        self.execute(|state| {
            let service_id = resolve::vpc_endpoint_service(state, name)?.service_id;
            id = service_id.to_string();
            let command = StartVpcEndpointServicePrivateDnsVerification { service_id };
            let command = Command::StartVpcEndpointServicePrivateDnsVerification(command);
            Ok(vec![(owner(state, service_id)?, command)])
        })?;
        let services = self.fabric().vpc_endpoint_services();
        let found = services.into_iter().find(|found| found.service_id == id);
        found.ok_or_else(|| {
            Refusal::Unknown(VpcEndpointServiceId::NOT_FOUND, "it is gone".to_owned())
        })
    }

    /// The answer to one of [`ControlState::private_dns_look_ups`]: the texts of the TXT records that are there.
    pub fn verify_private_dns_name(
        &self,
        service_id: VpcEndpointServiceId,
        found: &[String],
    ) -> Result<(), Refusal> {
        self.change(|running, fabric| {
            let mut state = fabric.state.clone();
            state.advance(since_epoch());
            let changed = state.verify_private_dns_name(service_id, found);
            let next = changed.then(|| running.with(state));
            Ok(((), next))
        })
    }

    /// Time has passed: requests expire, targets have drained.
    pub fn tick(&self) -> Result<(), Refusal> {
        self.execute(|_| Ok(Vec::new()))
    }

    fn execute(
        &self,
        commands: impl FnOnce(&ControlState) -> Result<Vec<Given>, Refusal>,
    ) -> Result<(), Refusal> {
        self.change(|running: &Running, fabric| {
            let commands = commands(&fabric.state)?;
            let mut next = fabric.state.clone();
            let operator = next.owner().clone();
            next.advance(since_epoch());
            for (owner, command) in commands {
                next.act_as(owner);
                next.execute(command)?;
            }
            next.act_as(operator);
            Ok(((), Some(running.with(next))))
        })
    }
}

impl Running {
    /// The same templates, and what has become of them since.
    pub fn with(&self, state: ControlState) -> Next {
        Next {
            wanted: None,
            stacks: Stacks {
                state,
                list: self.wanted.stacks().cloned().collect(),
            },
        }
    }
}

fn applied(
    running: &Running,
    fabric: &Fabric,
    templates: &Templates,
    dry_run: bool,
) -> Result<(Plan, Option<Next>), Refusal> {
    let next = running.wanted.with(templates, Some(&fabric.state));
    let next = next.map_err(|errors| Refusal::of(templates, errors))?;
    let names = templates.files.iter().map(TemplateFile::stack_name);
    let names: Vec<_> = names.collect();
    Ok(planned(running, fabric, next, &names, dry_run))
}

/// What `next` changes, and, unless as a dry run, that it shall run. The operator is told of the stacks of these names.
fn planned(
    running: &Running,
    fabric: &Fabric,
    (wanted, stacks): (Wanted, Stacks),
    names: &[String],
    dry_run: bool,
) -> (Plan, Option<Next>) {
    let mut changes = plan(&fabric.state, &stacks.state);
    // A VPC's default group comes and goes with it.
    changes.retain(|change| {
        let is_part = change.logical_resource_id.contains('/');
        !is_part || change.action == ChangeAction::Modify
    });
    let plan = Plan {
        applied: !dry_run,
        changes,
        notes: running.notes(fabric, &stacks, names),
    };
    let wanted = Some(wanted);
    (plan, (!dry_run).then_some(Next { wanted, stacks }))
}

/// One command for each service, or for each endpoint that is to be deleted.
fn commands(
    state: &ControlState,
    verb: Verb,
    endpoints: &[&VpcEndpoint],
) -> Result<Vec<Given>, Refusal> {
    if let Verb::Delete = verb {
        let delete = |id: VpcEndpointId| Ok((owner(state, id)?, Command::DeleteVpcEndpoint(id)));
        return endpoints
            .iter()
            .map(|e| delete(e.vpc_endpoint_id))
            .collect();
    }
    let mut services: Vec<VpcEndpointConnections> = Vec::new();
    for endpoint in endpoints {
        let (id, name) = (endpoint.vpc_endpoint_id, &endpoint.client_token);
        let service_id = endpoint.service_id().ok_or_else(|| {
            Refusal::malformed(format!(
                "VPC endpoint `{name}` ({id}) is of type Resource: nobody has to accept it, and its consumer can delete it"
            ))
        })?;
        match services.iter_mut().find(|s| s.service_id == service_id) {
            Some(service) => service.vpc_endpoint_ids.push(id),
            None => services.push(VpcEndpointConnections {
                service_id,
                vpc_endpoint_ids: vec![id],
            }),
        }
    }
    let command = |connections: VpcEndpointConnections| {
        let provider = owner(state, connections.service_id)?;
        let command = match verb {
            Verb::Accept => Command::AcceptVpcEndpointConnections(connections),
            Verb::Reject | Verb::Delete => Command::RejectVpcEndpointConnections(connections),
        };
        Ok((provider, command))
    };
    services.into_iter().map(command).collect()
}

/// In whose name an object is changed: its own account's. Whoever may use the control socket may act for all.
fn owner<I: Id>(state: &ControlState, id: I) -> Result<Owner, Refusal> {
    let owner = state.owner_of(id).cloned();
    owner.ok_or_else(|| Refusal::Unknown(I::NOT_FOUND, format!("there is no {} {id}", I::NOUN)))
}
