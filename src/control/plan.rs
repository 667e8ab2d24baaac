//! What a change of the state would do: the difference between two states, object by object.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::id::Id;
use super::model::*;
use super::state::ControlState;
use crate::dataplane::config::{HealthCheckProtocol, ListenerProtocol, PortRange, Protocols};

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// To be made, changed or taken away?
    pub action: ChangeAction,
    /// CloudFormation's type, for example `AWS::EC2::Instance`.
    pub resource_type: String,
    /// Its id.
    pub physical_resource_id: String,
    /// What its template calls it.
    pub logical_resource_id: String,
    /// Whose it is, if it is a stack's.
    pub stack_name: Option<String>,
    /// What changes; of lists only the elements that go and come.
    pub properties: Vec<PropertyChange>,
}

/// What is to be done (CloudFormation's change sets' `ChangeAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ChangeAction {
    /// Make it.
    Add,
    /// Change it.
    Modify,
    /// Take it away.
    Remove,
}

/// A property's change.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PropertyChange {
    /// Its name.
    pub name: String,
    /// `null`: it was not there.
    pub before: Value,
    /// `null`: it is not there any more.
    pub after: Value,
}

/// An object as it is compared.
struct Object {
    resource_type: &'static str,
    id: String,
    /// Where people know it by something else.
    known_as: Option<String>,
    logical_id: String,
    stack_name: Option<String>,
    properties: Map<String, Value>,
}

/// What must be done to `before` to make `after` of it: what goes, in the reverse order of its making, then what is changed,
/// then what comes. Objects are the same if they have the same id.
pub fn plan(before: &ControlState, after: &ControlState) -> Vec<Change> {
    let (old, new) = (before.objects(), after.objects());
    let ids = |objects: &[Object]| -> HashMap<String, usize> {
        let ids = objects.iter().enumerate();
        ids.map(|(place, object)| (object.id.clone(), place))
            .collect()
    };
    let (in_old, in_new) = (ids(&old), ids(&new));
    let gone = old
        .iter()
        .rev()
        .filter(|object| !in_new.contains_key(&object.id));
    let changed = new.iter().filter_map(|object| {
        let before = old.get(*in_old.get(&object.id)?)?;
        let properties = differences(&before.properties, &object.properties);
        (!properties.is_empty()).then(|| object.change(ChangeAction::Modify, properties))
    });
    let come = new.iter().filter(|object| !in_old.contains_key(&object.id));
    let gone = gone.map(|object| object.change(ChangeAction::Remove, Vec::new()));
    gone.chain(changed)
        .chain(come.map(|object| object.change(ChangeAction::Add, Vec::new())))
        .collect()
}

impl Object {
    fn change(&self, action: ChangeAction, properties: Vec<PropertyChange>) -> Change {
        Change {
            action,
            resource_type: self.resource_type.to_owned(),
            physical_resource_id: self.known_as.as_ref().unwrap_or(&self.id).clone(),
            logical_resource_id: self.logical_id.clone(),
            stack_name: self.stack_name.clone(),
            properties,
        }
    }
}

/// The properties in which two objects differ.
fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<PropertyChange> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let names = after.keys().chain(gone);
    let both = names.map(|name| (name, before.get(name), after.get(name)));
    both.filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| {
            let (before, after) = match (before, after) {
                (Some(Value::Array(before)), Some(Value::Array(after))) => {
                    (without(before, after), without(after, before))
                }
                (before, after) => (before.cloned(), after.cloned()),
            };
            PropertyChange {
                name: name.clone(),
                before: before.unwrap_or_default(),
                after: after.unwrap_or_default(),
            }
        })
        .collect()
}

/// The elements of a list that another does not have; the whole list, if they differ in their order only.
fn without(list: &[Value], other: &[Value]) -> Option<Value> {
    let has_the_same = |a: &[Value], b: &[Value]| a.iter().all(|value| b.contains(value));
    let rest = match has_the_same(list, other) && has_the_same(other, list) {
        true => list.to_vec(),
        false => list
            .iter()
            .filter(|value| !other.contains(value))
            .cloned()
            .collect(),
    };
    (!rest.is_empty()).then_some(Value::Array(rest))
}

macro_rules! objects {
    ($($all:ident: $id:ident is $type:literal;)+) => {
        impl ControlState {
            /// Everything that a template can name, noun by noun.
            fn objects(&self) -> Vec<Object> {
                let mut objects = Vec::new();
                $(objects.extend(self.$all().map(|object| {
                    self.object($type, object.$id, &object.client_token, object)
                }));)+
                objects
            }
        }
    };
}

objects! {
    vpcs: vpc_id is "AWS::EC2::VPC";
    subnets: subnet_id is "AWS::EC2::Subnet";
    security_groups: group_id is "AWS::EC2::SecurityGroup";
    instances: instance_id is "AWS::EC2::Instance";
    resource_gateways: id is "AWS::VpcLattice::ResourceGateway";
    resource_configurations: id is "AWS::VpcLattice::ResourceConfiguration";
    load_balancers: id is "AWS::ElasticLoadBalancingV2::LoadBalancer";
    target_groups: id is "AWS::ElasticLoadBalancingV2::TargetGroup";
    listeners: id is "AWS::ElasticLoadBalancingV2::Listener";
    vpc_endpoint_services: service_id is "AWS::EC2::VPCEndpointService";
    vpc_endpoints: vpc_endpoint_id is "AWS::EC2::VPCEndpoint";
    hosted_zones: id is "AWS::Route53::HostedZone";
    record_sets: id is "AWS::Route53::RecordSet";
}

impl ControlState {
    fn object<I: Id>(
        &self,
        resource_type: &'static str,
        id: I,
        logical_id: &str,
        object: &(impl serde::Serialize + Compared),
    ) -> Object {
        let mut properties = match serde_json::to_value(object) {
            Ok(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        let more = object.more().into_iter();
        properties.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Object {
            resource_type,
            id: id.to_string(),
            known_as: object.known_as(),
            logical_id: logical_id.to_owned(),
            stack_name: self
                .owner_of(id)
                .and_then(|owner| owner.stack().map(str::to_owned)),
            properties,
        }
    }
}

/// What is compared beside an object's own serialisation, which is that of EC2's `Describe...`: what AWS shows elsewhere.
trait Compared {
    fn more(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// What people call it, unless its id.
    fn known_as(&self) -> Option<String> {
        None
    }
}

impl Compared for Vpc {}
impl Compared for Subnet {}
impl Compared for ResourceGateway {}
impl Compared for LoadBalancer {}
impl Compared for VpcEndpoint {}
impl Compared for HostedZone {}

impl Compared for Instance {
    fn more(&self) -> Vec<(&'static str, Value)> {
        let text = |script: &Vec<u8>| String::from_utf8_lossy(script).into_owned();
        vec![("UserData", json!(self.user_data.as_ref().map(text)))]
    }
}

impl Compared for SecurityGroup {
    fn more(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("SecurityGroupIngress", texts(&self.ingress)),
            ("SecurityGroupEgress", texts(&self.egress)),
        ]
    }
}

impl Compared for ResourceConfiguration {
    fn more(&self) -> Vec<(&'static str, Value)> {
        let Protocols { tcp, udp, icmp } = self.protocols;
        let protocols = [(tcp, "TCP"), (udp, "UDP"), (icmp, "ICMP")];
        let protocols = protocols.into_iter().filter(|(offered, _)| *offered);
        let ports = self.port_ranges.iter();
        let (kind, target) = match &self.definition {
            ResourceDefinition::IpResource(address) => ("IpResource", json!(address)),
            ResourceDefinition::DnsResource(name) => ("DnsResource", json!(name)),
        };
        vec![
            (kind, target),
            (
                "Protocols",
                protocols.map(|(_, name)| Value::from(name)).collect(),
            ),
            ("PortRanges", ports.map(ports_text).collect()),
        ]
    }
}

impl Compared for Listener {
    fn more(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Protocol", protocol(self.protocol)),
            ("TargetGroup", json!(self.target_group_id.to_string())),
        ]
    }
}

impl Compared for TargetGroup {
    fn more(&self) -> Vec<(&'static str, Value)> {
        let targets = self.targets.iter().map(|target| {
            let draining = match target.draining_since {
                Some(_) => " (draining)",
                None => "",
            };
            format!("{}:{}{draining}", target.id, target.port)
        });
        let check = &self.health_check;
        let (check_protocol, path, matcher) = match &check.protocol {
            HealthCheckProtocol::Tcp => ("TCP", Value::Null, Value::Null),
            HealthCheckProtocol::Http { path, matcher } => {
                let codes = matcher
                    .iter()
                    .map(|range| match range.start() == range.end() {
                        true => range.start().to_string(),
                        false => format!("{}-{}", range.start(), range.end()),
                    });
                ("HTTP", json!(path), codes.map(Value::from).collect())
            }
        };
        vec![
            ("Protocol", protocol(self.protocol)),
            ("Targets", targets.map(Value::from).collect()),
            ("HealthCheckProtocol", json!(check_protocol)),
            ("HealthCheckPath", path),
            ("Matcher", matcher),
            ("HealthCheckPort", json!(check.port)),
            (
                "HealthCheckIntervalSeconds",
                json!(check.interval.as_secs()),
            ),
            ("HealthCheckTimeoutSeconds", json!(check.timeout.as_secs())),
            ("HealthyThresholdCount", json!(check.healthy_threshold)),
            ("UnhealthyThresholdCount", json!(check.unhealthy_threshold)),
        ]
    }
}

impl Compared for VpcEndpointService {
    fn more(&self) -> Vec<(&'static str, Value)> {
        let private_dns_name = self.private_dns_name.as_ref();
        vec![
            ("PrivateDnsName", json!(private_dns_name.map(|n| &n.name))),
            ("NetworkLoadBalancers", texts(&self.load_balancers)),
            ("AllowedPrincipals", texts(&self.allowed_principals)),
        ]
    }
}

impl Compared for RecordSet {
    fn more(&self) -> Vec<(&'static str, Value)> {
        let (ttl, values, alias) = match &self.answer {
            Answer::Records { ttl, values } => (json!(ttl), texts(values), Value::Null),
            Answer::Alias(target) => (Value::Null, Value::Null, json!(target)),
        };
        vec![
            ("Type", json!(self.record_type.name())),
            ("TTL", ttl),
            ("ResourceRecords", values),
            ("AliasTarget", alias),
        ]
    }

    fn known_as(&self) -> Option<String> {
        Some(format!("{} {}", self.name, self.record_type.name()))
    }
}

fn texts<T: ToString>(list: &[T]) -> Value {
    list.iter()
        .map(|item| Value::from(item.to_string()))
        .collect()
}

fn ports_text(range: &PortRange) -> Value {
    match range.first == range.last {
        true => Value::from(range.first.to_string()),
        false => Value::from(format!("{}-{}", range.first, range.last)),
    }
}

fn protocol(protocol: ListenerProtocol) -> Value {
    Value::from(match protocol {
        ListenerProtocol::Tcp => "TCP",
        ListenerProtocol::Udp => "UDP",
        ListenerProtocol::TcpUdp => "TCP_UDP",
    })
}
