//! What is asked to be changed, what a change does, and what has happened.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::control::{Change, ChangeAction, PropertyChange};
use crate::template::Diagnostic;

/// Body of `POST /v1/apply`: templates whose stacks shall run as they say; other stacks stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Apply {
    /// The templates, each a stack.
    pub templates: Vec<Template>,
    /// Values of their parameters; those that are not given stay as they were.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Only say what would be changed?
    #[serde(default)]
    pub dry_run: bool,
}

/// A template.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Template {
    /// Its file, by which errors call it; the stack is called like it, without its extension.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
    /// Where the file is, absolute: SIGHUP reads it again. `None`: SIGHUP is refused while this stack runs.
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// A parameter's value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Parameter {
    /// Which stack's; `None`: for each of the templates that has such a parameter.
    #[serde(default)]
    pub stack: Option<String>,
    /// Its name.
    pub parameter_key: String,
    /// Its value.
    pub parameter_value: String,
}

/// Body of `POST /v1/delete`: stacks that shall run no longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Delete {
    /// All of them or none.
    pub stack_names: Vec<String>,
    /// Only say what would be changed?
    #[serde(default)]
    pub dry_run: bool,
}

/// What an apply or a delete changes (or, as a dry run, would).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    /// Is it done?
    pub applied: bool,
    /// One per resource that is not as it was.
    pub changes: Vec<Change>,
    /// What the operator should know of the stacks that were given: ignored resource types and the like.
    pub notes: Vec<String>,
}

impl Plan {
    /// `2 to add, 1 to modify, 3 to remove`, or in the past.
    pub fn summary(&self) -> String {
        if self.changes.is_empty() {
            return "no changes".to_owned();
        }
        let to = if self.applied { "" } else { "to " };
        let words = match self.applied {
            true => ["added", "modified", "removed"],
            false => ["add", "modify", "remove"],
        };
        let count = |action| self.changes.iter().filter(|c| c.action == action).count();
        let counts = [
            ChangeAction::Add,
            ChangeAction::Modify,
            ChangeAction::Remove,
        ]
        .map(count);
        let parts = counts.iter().zip(words);
        let parts = parts.map(|(count, word)| format!("{count} {to}{word}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Body of `POST /v1/vpc-endpoints/accept`, `reject` and `delete`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct VpcEndpointIds {
    /// All of them or none: each `vpce-...`, a logical id, or `STACK:LOGICAL-ID`.
    pub vpc_endpoint_ids: Vec<String>,
}

/// Body of `POST /v1/vpc-endpoint-services/start-private-dns-verification`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StartPrivateDnsVerification {
    /// `vpce-svc-...`, the service's name, its logical id, or `STACK:LOGICAL-ID`.
    pub service_id: String,
}

/// Body of `POST /v1/target-groups/register-targets` and `deregister-targets`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Targets {
    /// Whose: an ARN, the group's name, its logical id, or `STACK:LOGICAL-ID`.
    pub target_group: String,
    /// All of them or none.
    pub targets: Vec<TargetDescription>,
}

/// A target that is to be (de)registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TargetDescription {
    /// An instance's id or logical id, or an address, as the group's target type says.
    pub id: String,
    /// Its port. Default: the group's, or when it is deregistered every port of the id.
    #[serde(default)]
    pub port: Option<u16>,
}

/// The body of an answer that is not 2xx.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Error {
    /// What went wrong, and what to do.
    pub message: String,
    /// AWS's code, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong with the templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Diagnostic>,
    /// How many errors were too many to list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for error in &self.errors {
            write!(f, "\n{error}")?;
        }
        match self.omitted {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more errors"),
        }
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// From 1, ascending.
    pub sequence: u64,
    /// `2026-11-22T15:30:00.123Z`
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened; its name is the event's `Event`. The first four are the `ConnectionEvents` of AWS's notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Event")]
pub enum Happening {
    /// A consumer has asked for an endpoint.
    Connect(Connection),
    /// The provider has accepted it.
    Accept(Connection),
    /// The provider has rejected it, or taken away the permission.
    Reject(Connection),
    /// Its consumer has deleted it.
    Delete(Connection),
    /// Beyond AWS: nobody accepted in time.
    Expire(Connection),
    /// Beyond AWS: its consumer has changed it, or the provider what stands behind it.
    Modify(Connection),
    /// Beyond AWS: a load balancer's node has found that a target's health has changed, or the reason for it.
    TargetHealth(TargetHealthChange),
    /// Beyond AWS: the state of a service's private DNS name has changed.
    PrivateDnsName(PrivateDnsNameChange),
    /// Beyond AWS: what is known of where a resource's domain name leads has changed.
    ResourceName(ResourceNameChange),
    /// Beyond AWS: four of five ports of a gateway's address are in use towards one target.
    PortsRunShort(PortsRunShort),
    /// Beyond AWS: a thread of the daemon has failed, by an error in privlink, and has begun anew.
    ThreadReplaced(ThreadReplacement),
    /// Beyond AWS: a change was given up in the middle, by an error in privlink; what stood before stands again.
    ChangeFailed(ChangeFailure),
    /// The reader was too slow, and these are forgotten.
    #[serde(rename_all = "PascalCase")]
    Missed {
        /// How many.
        count: u64,
    },
}

/// A thread that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ThreadReplacement {
    /// Its name: `worker-0` carries packets, `netns-watch` watches `/run/netns`.
    pub thread: String,
    /// Why.
    pub reason: String,
}

/// A change that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChangeFailure {
    /// Why.
    pub reason: String,
}

/// Where a resource's domain name leads now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourceNameChange {
    /// The provider's stack.
    pub stack: String,
    /// The resource configuration's name in the template.
    pub logical_id: String,
    /// Its ARN.
    pub resource_configuration_arn: String,
    /// The name.
    pub domain_name: String,
    /// Where new flows go; where they went before, if it could not be resolved.
    pub addresses: Vec<String>,
    /// Why it could not be resolved.
    pub reason: Option<String>,
}

/// How many ports of a gateway's address are in use towards one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortsRunShort {
    /// The provider's stack.
    pub stack: String,
    /// The resource gateway's or load balancer's name in the template.
    pub logical_id: String,
    /// `eni-...` of the gateway or node.
    pub network_interface_id: String,
    /// The gateway's address.
    pub address: String,
    /// The target's address.
    pub target: String,
    /// The target's port; 0 for ICMP.
    pub port: u16,
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// How many are in use.
    pub used: usize,
    /// How many there are.
    pub ports: usize,
}

/// What a node has found of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetHealthChange {
    /// The provider's stack.
    pub stack: String,
    /// The target group's name in the template.
    pub logical_id: String,
    /// Its ARN.
    pub target_group_arn: String,
    /// The target: `i-...`, or an address.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// `eni-...` of the node; `None`: no load balancer uses the target.
    pub network_interface_id: Option<String>,
    /// The node's zone.
    pub availability_zone: Option<String>,
    /// `initial`, `healthy`, `unhealthy`, ...
    pub state: String,
    /// `Target.Timeout`, ...; a healthy one needs none.
    pub reason: Option<String>,
    /// The reason in a sentence.
    pub description: Option<String>,
}

/// What has become of the proof of a private DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PrivateDnsNameChange {
    /// The provider's stack.
    pub stack: String,
    /// The service's name in the template.
    pub logical_id: String,
    /// `vpce-svc-...`
    pub service_id: String,
    /// `com.amazonaws.vpce.<region>.vpce-svc-...`
    pub service_name: String,
    /// The name.
    pub private_dns_name: String,
    /// `pendingVerification`, `verified` or `failed`.
    pub state: String,
}

/// The endpoint that something happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Connection {
    /// `vpce-...`
    pub vpc_endpoint_id: String,
    /// The consumer's account.
    pub vpc_endpoint_owner: String,
    /// The state since: `pendingAcceptance`, `available`, ...
    pub vpc_endpoint_state: String,
    /// The consumer's stack.
    pub stack: String,
    /// Its name in the template.
    pub logical_id: String,
    /// `vpce-svc-...`, for one that leads to a service.
    pub service_id: Option<String>,
    /// `com.amazonaws.vpce.<region>.vpce-svc-...`
    pub service_name: Option<String>,
}
