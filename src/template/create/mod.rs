//! One resource -> the commands that make it, with its errors at the properties that they speak of.
//!
//! Invariant: only properties that have passed [`super::schema`] are read here.

mod ec2;
mod elb;
mod lattice;
mod place;
mod route53;

use std::str::FromStr;

use self::place::{Place, list};
use super::StackResource;
use super::diagnostic::{Position, Report};
use super::node::{Node, Value};
use super::schema::Type;
use crate::control::id::{IdError, SubnetId};
use crate::control::{Command, ControlError, ControlState, Created};

/// A resource whose functions are evaluated.
pub(super) struct Creation<'a, 's> {
    pub(super) logical_id: &'a str,
    pub(super) kind: Type,
    /// Where the logical id stands.
    pub(super) at: Position,
    pub(super) properties: &'a Node,
    /// The map under `Metadata: privlink:`, functions evaluated.
    pub(super) privlink: Option<&'a Node>,
    /// The subnets that the keys of `Addresses` name, in their order.
    pub(super) address_subnets: Vec<SubnetId>,
    /// What has been made before, for messages.
    pub(super) known: &'a [StackResource],
    pub(super) path: String,
    pub(super) report: &'a mut Report<'s>,
}

impl<'a> Creation<'a, '_> {
    /// Makes the resource; `None` after errors that `report` has.
    pub(super) fn run(mut self, state: &mut ControlState) -> Option<Created> {
        let own = Place {
            node: self.properties,
            prefix: "",
        };
        match self.kind {
            Type::SecurityGroup => self.security_group(own, state),
            Type::Instance => self.instance(own, state),
            Type::TargetGroup => self.target_group(own, state),
            Type::RecordSetGroup => self.record_set_group(own, state),
            Type::Vpc => {
                let command = self.vpc(own)?;
                self.execute(Command::CreateVpc(command), own, state)
            }
            Type::Subnet => {
                let command = self.subnet(own)?;
                self.execute(Command::CreateSubnet(command), own, state)
            }
            Type::SecurityGroupIngress => {
                let group = self.id(own, "GroupId")?;
                let command = self.ingress(own, group, self.logical_id.to_owned())?;
                self.execute(Command::AuthorizeSecurityGroupIngress(command), own, state)
            }
            Type::SecurityGroupEgress => {
                let group = self.id(own, "GroupId")?;
                let command = self.egress(own, group, self.logical_id.to_owned())?;
                self.execute(Command::AuthorizeSecurityGroupEgress(command), own, state)
            }
            Type::VpcEndpoint => {
                let command = self.vpc_endpoint(own)?;
                self.execute(Command::CreateVpcEndpoint(command), own, state)
            }
            Type::VpcEndpointService => {
                let command = self.vpc_endpoint_service(own)?;
                let command = Command::CreateVpcEndpointServiceConfiguration(command);
                self.execute(command, own, state)
            }
            Type::VpcEndpointServicePermissions => {
                let command = self.vpc_endpoint_service_permissions(own)?;
                let command = Command::ModifyVpcEndpointServicePermissions(command);
                self.execute(command, own, state)
            }
            Type::LoadBalancer => {
                let command = self.load_balancer(own)?;
                self.execute(Command::CreateLoadBalancer(command), own, state)
            }
            Type::Listener => {
                let command = self.listener(own)?;
                self.execute(Command::CreateListener(command), own, state)
            }
            Type::ResourceGateway => {
                let command = self.resource_gateway(own)?;
                self.execute(Command::CreateResourceGateway(command), own, state)
            }
            Type::ResourceConfiguration => {
                let command = self.resource_configuration(own)?;
                self.execute(Command::CreateResourceConfiguration(command), own, state)
            }
            Type::HostedZone => {
                let command = self.hosted_zone(own)?;
                self.execute(Command::CreateHostedZone(command), own, state)
            }
            Type::RecordSet => {
                let command = self.record_set(own)?;
                self.execute(Command::CreateRecordSet(command), own, state)
            }
        }
    }

    fn execute(
        &mut self,
        command: Command,
        place: Place,
        state: &mut ControlState,
    ) -> Option<Created> {
        match state.execute(command) {
            Ok(created) => Some(created),
            Err(errors) => {
                errors.iter().for_each(|error| self.refused(error, place));
                None
            }
        }
    }

    fn refused(&mut self, error: &ControlError, place: Place) {
        let property = match self.interface_property(error.property()) {
            Some(moved) => moved,
            None => error.property().to_owned(),
        };
        let (at, property) = self.locate(place, &property);
        let path = format!("{}.{}{property}", self.path, place.prefix);
        self.report
            .error(at, path.trim_end_matches('.'), error.to_string());
    }

    /// Properties of an instance may stand in the only entry of its NetworkInterfaces instead.
    fn interface_property(&self, property: &str) -> Option<String> {
        if self.kind != Type::Instance {
            return None;
        }
        let interface = self.properties.child("NetworkInterfaces")?.as_list()?;
        let [interface] = interface else { return None };
        let (first, rest) = match property.split_once('.') {
            Some((first, rest)) => (first, format!(".{rest}")),
            None => (property, String::new()),
        };
        let name = match first {
            "SubnetId" => "SubnetId",
            "SecurityGroupIds" => "GroupSet",
            "PrivateIpAddress" if interface.entry("PrivateIpAddresses").is_some() => {
                "PrivateIpAddresses"
            }
            "PrivateIpAddress" => "PrivateIpAddress",
            _ => return None,
        };
        Some(format!("NetworkInterfaces.0.{name}{rest}"))
    }

    /// The place of the deepest part of a property's path that was written, and the path in the user's names.
    fn locate(&self, place: Place, property: &str) -> (Position, String) {
        const PRIVLINK: &str = "Metadata.privlink.";
        let (mut node, path, mut at) = match (property.strip_prefix(PRIVLINK), self.privlink) {
            (Some(path), Some(privlink)) => (privlink, path, privlink.at),
            _ if place.prefix.is_empty() => (place.node, property, self.at),
            _ => (place.node, property, place.node.at),
        };
        let mut named = property[..property.len() - path.len()].to_owned();
        for (i, part) in path.split('.').enumerate() {
            let index = part.parse::<usize>().ok();
            let (name, child) = match (&node.value, index) {
                (Value::List(list), Some(i)) => (part, list.get(i)),
                // Control counts the entries of Addresses; the user has written names.
                (Value::Map(entries), Some(i)) => match entries.get(i) {
                    Some(entry) => (entry.key.as_str(), Some(&entry.value)),
                    None => (part, None),
                },
                _ => (part, node.child(part)),
            };
            if i > 0 {
                named.push('.');
            }
            named.push_str(name);
            // What was not written is reported at what stands around it.
            if let Some(child) = child {
                node = child;
                at = child.at;
            }
        }
        (at, named)
    }

    fn privlink_text(&self, key: &str) -> Option<String> {
        let text = self.privlink?.child(key)?.as_text()?;
        Some(text.to_owned())
    }

    /// A required id.
    fn id<T: FromStr<Err = IdError>>(&mut self, place: Place, key: &str) -> Option<T> {
        let node = place.node.child(key)?;
        self.parse_id(node, &format!("{}{key}", place.prefix))
    }

    /// The outer `None`: an error.
    fn optional_id<T: FromStr<Err = IdError>>(
        &mut self,
        place: Place,
        key: &str,
    ) -> Option<Option<T>> {
        match place.node.entry(key) {
            Some(_) => self.id(place, key).map(Some),
            None => Some(None),
        }
    }

    /// A list of ids, none if the property is not there.
    fn ids<T: FromStr<Err = IdError>>(&mut self, place: Place, key: &str) -> Option<Vec<T>> {
        let nodes = list(place, key);
        let parsed: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| self.parse_id(node, &format!("{}{key}.{i}", place.prefix)))
            .collect();
        parsed.into_iter().collect()
    }

    fn parse_id<T: FromStr<Err = IdError>>(&mut self, node: &Node, path: &str) -> Option<T> {
        match node.as_text()?.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                let given = node.as_text()?;
                // An ARN ends in the id.
                let is_given = |r: &&StackResource| given.ends_with(&r.physical_id.to_string());
                let message = error.to_string();
                match self.known.iter().find(is_given) {
                    Some(r) => {
                        let help = format!("{} is an {}", r.logical_id, r.type_name);
                        self.fail_with_help(node.at, path, &message, &help)
                    }
                    None => self.fail(node.at, path, &message),
                }
            }
        }
    }

    fn fail<T>(&mut self, at: Position, property: &str, message: &str) -> Option<T> {
        let path = format!("{}.{property}", self.path);
        self.report.error(at, &path, message);
        None
    }

    fn fail_with_help<T>(
        &mut self,
        at: Position,
        property: &str,
        message: &str,
        help: &str,
    ) -> Option<T> {
        let path = match property.is_empty() {
            true => self.path.clone(),
            false => format!("{}.{property}", self.path),
        };
        self.report.error_with_help(at, &path, message, help);
        None
    }
}
