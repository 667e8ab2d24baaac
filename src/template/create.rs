//! One resource -> the commands that make it, with its errors at the properties that they speak of.
//!
//! Invariant: only properties that have passed [`super::schema`] are read here.

use std::str::FromStr;

use super::diagnostic::{Position, Report};
use super::node::{Entry, Node, Value};
use super::schema::{self, Type};
use super::{StackResource, base64};
use crate::control::command::*;
use crate::control::id::{IdError, SecurityGroupId, SubnetId};
use crate::control::{ControlState, Tag, Tags};

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

/// Where the properties of one command stand: usually the resource's, or one element of a list of them.
#[derive(Clone, Copy)]
struct Place<'a> {
    node: &'a Node,
    /// From the resource, with a dot at the end; empty for the resource's own.
    prefix: &'a str,
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
            Type::ResourceGateway => {
                let command = self.resource_gateway(own)?;
                self.execute(Command::CreateResourceGateway(command), own, state)
            }
            Type::ResourceConfiguration => {
                let command = self.resource_configuration(own)?;
                self.execute(Command::CreateResourceConfiguration(command), own, state)
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
            Err(error) => {
                let property = match self.interface_property(error.property()) {
                    Some(moved) => moved,
                    None => error.property().to_owned(),
                };
                let (at, property) = self.locate(place, &property);
                let path = format!("{}.{}{property}", self.path, place.prefix);
                self.report
                    .error(at, path.trim_end_matches('.'), error.to_string());
                None
            }
        }
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

    fn vpc(&mut self, place: Place) -> Option<CreateVpc> {
        Some(CreateVpc {
            client_token: self.logical_id.to_owned(),
            cidr_block: text(place, "CidrBlock")?,
            enable_dns_support: boolean(place, "EnableDnsSupport"),
            enable_dns_hostnames: boolean(place, "EnableDnsHostnames"),
            tags: tags(place),
        })
    }

    fn subnet(&mut self, place: Place) -> Option<CreateSubnet> {
        Some(CreateSubnet {
            client_token: self.logical_id.to_owned(),
            vpc_id: self.id(place, "VpcId")?,
            cidr_block: text(place, "CidrBlock")?,
            availability_zone: text(place, "AvailabilityZone"),
            tags: tags(place),
        })
    }

    fn security_group(&mut self, place: Place, state: &mut ControlState) -> Option<Created> {
        let command = CreateSecurityGroup {
            client_token: self.logical_id.to_owned(),
            group_name: text(place, "GroupName"),
            group_description: text(place, "GroupDescription")?,
            vpc_id: self.id(place, "VpcId")?,
            tags: tags(place),
        };
        let created = self.execute(Command::CreateSecurityGroup(command), place, state)?;
        let Created::SecurityGroup(group) = created else {
            return None;
        };
        let before = self.report.count();
        for (property, is_ingress) in [
            ("SecurityGroupIngress", true),
            ("SecurityGroupEgress", false),
        ] {
            for (i, node) in list(place, property).iter().enumerate() {
                let prefix = &format!("{property}.{i}.");
                let rule = Place { node, prefix };
                let token = format!("{}/{property}.{i}", self.logical_id);
                let command = match is_ingress {
                    true => self
                        .ingress(rule, group, token)
                        .map(Command::AuthorizeSecurityGroupIngress),
                    false => self
                        .egress(rule, group, token)
                        .map(Command::AuthorizeSecurityGroupEgress),
                };
                if let Some(command) = command {
                    self.execute(command, rule, state);
                }
            }
        }
        (self.report.count() == before).then_some(created)
    }

    fn ingress(
        &mut self,
        place: Place,
        group_id: SecurityGroupId,
        client_token: String,
    ) -> Option<AuthorizeSecurityGroupIngress> {
        Some(AuthorizeSecurityGroupIngress {
            client_token,
            group_id,
            ip_protocol: text(place, "IpProtocol")?,
            from_port: integer(place, "FromPort"),
            to_port: integer(place, "ToPort"),
            cidr_ip: text(place, "CidrIp"),
            cidr_ipv6: text(place, "CidrIpv6"),
            source_security_group_id: self.optional_id(place, "SourceSecurityGroupId")?,
            source_prefix_list_id: text(place, "SourcePrefixListId"),
            description: text(place, "Description"),
        })
    }

    fn egress(
        &mut self,
        place: Place,
        group_id: SecurityGroupId,
        client_token: String,
    ) -> Option<AuthorizeSecurityGroupEgress> {
        Some(AuthorizeSecurityGroupEgress {
            client_token,
            group_id,
            ip_protocol: text(place, "IpProtocol")?,
            from_port: integer(place, "FromPort"),
            to_port: integer(place, "ToPort"),
            cidr_ip: text(place, "CidrIp"),
            cidr_ipv6: text(place, "CidrIpv6"),
            destination_security_group_id: self.optional_id(place, "DestinationSecurityGroupId")?,
            destination_prefix_list_id: text(place, "DestinationPrefixListId"),
            description: text(place, "Description"),
            replaces_default: true,
        })
    }

    fn instance(&mut self, own: Place<'a>, state: &mut ControlState) -> Option<Created> {
        let (place, groups) = self.interface(own)?;
        let address = self.instance_address(place)?;
        let subnet_id = match place.node.entry("SubnetId") {
            Some(_) => self.id(place, "SubnetId"),
            None => {
                let help = "there is no default VPC here";
                let message = "the required SubnetId is missing";
                self.fail_with_help(self.at, "", message, help)
            }
        };
        let command = RunInstance {
            client_token: self.logical_id.to_owned(),
            subnet_id: subnet_id?,
            private_ip_address: address,
            security_group_ids: self.ids(place, groups)?,
            source_dest_check: boolean(own, "SourceDestCheck"),
            user_data: self.user_data(own)?,
            namespace: self.privlink_text("Namespace"),
            tags: tags(own),
        };
        self.execute(Command::RunInstance(command), own, state)
    }

    /// Where the interface's properties stand, and how its groups are called there.
    fn interface(&mut self, own: Place<'a>) -> Option<(Place<'a>, &'static str)> {
        let Some(entry) = own.node.entry("NetworkInterfaces") else {
            return Some((own, "SecurityGroupIds"));
        };
        let at = entry.value.at;
        let node = match entry.value.as_list() {
            Some([node]) => node,
            _ => {
                return self.fail(
                    at,
                    "NetworkInterfaces",
                    "an instance has one interface here",
                );
            }
        };
        for rival in ["SubnetId", "SecurityGroupIds", "PrivateIpAddress"] {
            if let Some(entry) = own.node.entry(rival) {
                let message = "cannot stand beside NetworkInterfaces; write it there";
                return self.fail(entry.key_at, rival, message);
            }
        }
        let prefix = "NetworkInterfaces.0.";
        Some((Place { node, prefix }, "GroupSet"))
    }

    /// The outer `None`: an error.
    fn instance_address(&mut self, place: Place) -> Option<Option<String>> {
        let Some(entry) = place.node.entry("PrivateIpAddresses") else {
            return Some(text(place, "PrivateIpAddress"));
        };
        let one = match entry.value.as_list() {
            Some([only]) if place.node.entry("PrivateIpAddress").is_none() => {
                only.child("PrivateIpAddress").and_then(Node::as_text)
            }
            _ => None,
        };
        match one {
            Some(address) => Some(Some(address.to_owned())),
            None => {
                let path = format!("{}PrivateIpAddresses", place.prefix);
                self.fail(entry.value.at, &path, "an instance has one address here")
            }
        }
    }

    /// The outer `None`: an error.
    fn user_data(&mut self, place: Place) -> Option<Option<Vec<u8>>> {
        let Some(node) = place.node.child("UserData") else {
            return Some(None);
        };
        match node.as_text().and_then(base64::decode) {
            Some(script) => Some(Some(script)),
            None => {
                let help = "write it as Fn::Base64: the script";
                self.fail_with_help(node.at, "UserData", "UserData is not base64", help)
            }
        }
    }

    fn vpc_endpoint(&mut self, place: Place) -> Option<CreateVpcEndpoint> {
        if let Some(entry) = place.node.entry("ServiceName")
            && text(place, "VpcEndpointType").as_deref() == Some("Resource")
        {
            let message = "an endpoint of type Resource leads to a ResourceConfigurationArn";
            return self.fail(entry.key_at, "ServiceName", message);
        }
        let addresses = self.addresses();
        let is_resource = text(place, "VpcEndpointType").as_deref() == Some("Resource");
        let configuration = match is_resource {
            true => self.optional_id(place, "ResourceConfigurationArn")?,
            false => None,
        };
        Some(CreateVpcEndpoint {
            client_token: self.logical_id.to_owned(),
            vpc_endpoint_type: text(place, "VpcEndpointType"),
            vpc_id: self.id(place, "VpcId")?,
            resource_configuration_arn: configuration,
            subnet_ids: self.ids(place, "SubnetIds")?,
            security_group_ids: self.ids(place, "SecurityGroupIds")?,
            ip_address_type: text(place, "IpAddressType"),
            private_dns_enabled: boolean(place, "PrivateDnsEnabled"),
            addresses,
            tags: tags(place),
        })
    }

    fn addresses(&self) -> Vec<(SubnetId, String)> {
        let entries: &[Entry] = self
            .privlink
            .and_then(|p| p.child("Addresses"))
            .and_then(Node::as_map)
            .unwrap_or_default();
        let addresses = entries.iter().filter_map(|e| e.value.as_text());
        let subnets = self.address_subnets.iter().copied();
        subnets.zip(addresses.map(str::to_owned)).collect()
    }

    fn resource_gateway(&mut self, place: Place) -> Option<CreateResourceGateway> {
        Some(CreateResourceGateway {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name")?,
            vpc_identifier: self.id(place, "VpcIdentifier")?,
            subnet_ids: self.ids(place, "SubnetIds")?,
            security_group_ids: self.ids(place, "SecurityGroupIds")?,
            ip_address_type: text(place, "IpAddressType"),
            ipv4_addresses_per_eni: integer(place, "Ipv4AddressesPerEni"),
            tags: tags(place),
        })
    }

    fn resource_configuration(&mut self, place: Place) -> Option<CreateResourceConfiguration> {
        let privlink = self.privlink.map(|node| Place { node, prefix: "" });
        Some(CreateResourceConfiguration {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name")?,
            resource_configuration_type: text(place, "ResourceConfigurationType")?,
            resource_gateway_id: self.optional_id(place, "ResourceGatewayId")?,
            resource_configuration_definition: self.definition(place)?,
            port_ranges: texts(place, "PortRanges"),
            protocol_type: text(place, "ProtocolType"),
            protocols: privlink
                .filter(|p| p.node.entry("Protocols").is_some())
                .map(|p| texts(p, "Protocols")),
            idle_timeout: privlink.and_then(|p| integer(p, "IdleTimeout")),
            tags: tags(place),
        })
    }

    /// The outer `None`: an error.
    fn definition(&mut self, place: Place) -> Option<Option<ResourceConfigurationDefinition>> {
        let Some(node) = place.node.child("ResourceConfigurationDefinition") else {
            return Some(None);
        };
        let [entry] = node.as_map().unwrap_or_default() else {
            let path = "ResourceConfigurationDefinition";
            let message = "exactly one of IpResource, DnsResource and ArnResource must be here";
            return self.fail(node.at, path, message);
        };
        let within = |key: &str| {
            let text = entry.value.child(key).and_then(Node::as_text);
            text.unwrap_or_default().to_owned()
        };
        let whole = || entry.value.as_text().unwrap_or_default().to_owned();
        Some(Some(match entry.key.as_str() {
            "DnsResource" => ResourceConfigurationDefinition::DnsResource {
                domain_name: within("DomainName"),
                ip_address_type: within("IpAddressType"),
            },
            "ArnResource" => ResourceConfigurationDefinition::ArnResource(whole()),
            _ => ResourceConfigurationDefinition::IpResource(whole()),
        }))
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
                let is_given = |r: &&StackResource| r.physical_id.to_string() == given;
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

fn text(place: Place, key: &str) -> Option<String> {
    Some(place.node.child(key)?.as_text()?.to_owned())
}

fn integer(place: Place, key: &str) -> Option<i64> {
    schema::integer(place.node.child(key)?.as_text()?)
}

fn boolean(place: Place, key: &str) -> Option<bool> {
    schema::boolean(place.node.child(key)?.as_text()?)
}

fn list<'n>(place: Place<'n>, key: &str) -> &'n [Node] {
    let list = place.node.child(key).and_then(Node::as_list);
    list.unwrap_or_default()
}

fn texts(place: Place, key: &str) -> Vec<String> {
    let texts = list(place, key).iter().filter_map(Node::as_text);
    texts.map(str::to_owned).collect()
}

fn tags(place: Place) -> Tags {
    let tag = |node: &Node| {
        let part = |key| node.child(key).and_then(Node::as_text).map(str::to_owned);
        Some(Tag {
            key: part("Key")?,
            value: part("Value").unwrap_or_default(),
        })
    };
    Tags(list(place, "Tags").iter().filter_map(tag).collect())
}
