//! A resource configuration: what of a provider VPC is offered, and through which gateway.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::{EndpointDestination, ResourceGateway, Tags, VpcEndpoint};
use crate::control::checks::{All, each, unused};
use crate::control::command::{CreateResourceConfiguration, ResourceConfigurationDefinition};
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{Id, ResourceConfigurationId, ResourceGatewayId};
use crate::control::{ControlState, DomainName, parse};
use crate::dataplane::config::{PortRange, Protocols, ResourceIdx};

/// A VPC Lattice resource configuration of type SINGLE.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourceConfiguration {
    /// Its id.
    pub id: ResourceConfigurationId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: ResourceIdx,
    /// Its ARN, by which endpoints name it.
    pub arn: String,
    /// 3 to 40 characters, unique in the account.
    pub name: String,
    /// The gateway that leads to it.
    pub resource_gateway_id: ResourceGatewayId,
    /// Where it is.
    #[serde(skip)]
    pub definition: ResourceDefinition,
    /// The ports that are offered, for TCP and UDP.
    #[serde(skip)]
    pub port_ranges: Vec<PortRange>,
    /// The protocols that are offered.
    #[serde(skip)]
    pub protocols: Protocols,
    /// How long a flow may be idle; `None`: the protocol's own default.
    pub idle_timeout: Option<Duration>,
    /// Does a TCP connection begin with a PROXY header?
    pub proxy_protocol: bool,
    /// The name to which consumers' endpoints may answer.
    pub custom_domain_name: Option<DomainName>,
    /// AWS's status.
    pub status: ResourceConfigurationStatus,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

/// What a configuration of type SINGLE leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceDefinition {
    /// An address in the gateway's VPC.
    IpResource(Ipv4Addr),
    /// Whatever addresses this name has, of those that an `IpResource` may have.
    DnsResource(DomainName),
}

impl fmt::Display for ResourceDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpResource(address) => address.fmt(f),
            Self::DnsResource(name) => name.fmt(f),
        }
    }
}

/// What a configuration is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResourceConfigurationStatus {
    /// Endpoints may lead to it.
    Active,
}

const GATEWAY: &str = "ResourceGatewayId";

/// The protocols and ports that are offered.
type Offer = (Protocols, Vec<PortRange>);
/// The gateway, and what is behind it.
type Target = (ResourceGatewayId, ResourceDefinition);
/// What is offered, where it leads, and how long a flow may be idle.
type Single = (Offer, Target, Option<Duration>);

impl ControlState {
    pub(in crate::control) fn create_resource_configuration(
        &mut self,
        command: CreateResourceConfiguration,
    ) -> Result<ResourceConfigurationId, ControlErrors> {
        self.fresh::<ResourceConfigurationId>(&command.client_token)?;
        // Another type would have other properties: they are judged only when it is right.
        let single = check_type(&command.resource_configuration_type)
            .map_err(ControlErrors::from)
            .and_then(|()| self.single(&command));
        let ((), (offer, target, idle_timeout), custom_domain_name) = (
            self.check_configuration_name(&command.name),
            single,
            custom_domain_name(command.custom_domain_name.as_deref()),
        )
            .all()?;
        let (protocols, port_ranges) = offer;
        check_proxy_protocol(command.proxy_protocol, protocols)?;
        let (resource_gateway_id, definition) = target;

        let id = self.mint.mint(&self.owner, &command.client_token);
        self.configuration_names
            .insert(self.owner.named(&command.name), id);
        let configuration = ResourceConfiguration {
            id,
            idx: self.indices.resources.allocate(id),
            arn: self
                .owner
                .arn("vpc-lattice", &format!("resourceconfiguration/{id}")),
            name: command.name,
            resource_gateway_id,
            definition,
            port_ranges,
            protocols,
            idle_timeout,
            proxy_protocol: command.proxy_protocol.unwrap_or(false),
            custom_domain_name,
            status: ResourceConfigurationStatus::Active,
            tags: command.tags,
            client_token: command.client_token,
        };
        self.resource_configurations.insert(id, configuration);
        Ok(id)
    }

    pub(in crate::control) fn delete_resource_configuration(
        &mut self,
        id: ResourceConfigurationId,
    ) -> Result<(), ControlErrors> {
        const PROPERTY: &str = "ResourceConfigurationIdentifier";
        self.own(id, PROPERTY)?;
        let leads_here = |endpoint: &&VpcEndpoint| {
            endpoint.destination == EndpointDestination::ResourceConfiguration(id)
        };
        let by = self
            .vpc_endpoints
            .iter()
            .filter(leads_here)
            .map(|endpoint| {
                let name = self.named_vpc_endpoint(endpoint.vpc_endpoint_id);
                format!("VPC endpoint {name}")
            });
        let what = format!(
            "resource configuration {}",
            self.named_resource_configuration(id)
        );
        unused("ConflictException", what, by, "delete that first")?;
        if let Some(configuration) = self.resource_configurations.remove(&id) {
            self.indices.resources.release(configuration.idx);
            self.configuration_names
                .remove(&self.owner.named(&configuration.name));
        }
        self.mint.release(id);
        Ok(())
    }

    fn check_configuration_name(&self, name: &str) -> Result<(), ControlError> {
        parse::lattice_name(name, ResourceConfigurationId::PREFIX)?;
        match self.configuration_names.get(&self.owner.named(name)) {
            None => Ok(()),
            Some(by) => Err(ControlError::NameTaken {
                code: "ConflictException",
                name: name.to_owned(),
                by: format!(
                    "resource configuration {}",
                    self.named_resource_configuration(*by)
                ),
            }),
        }
    }

    /// What a configuration of type SINGLE says: what is offered, where it leads, and for how long a flow may be idle.
    fn single(&self, command: &CreateResourceConfiguration) -> Result<Single, ControlErrors> {
        let ((), offer, target, idle_timeout) = (
            check_protocol_type(command.protocol_type.as_deref()),
            offer(command),
            self.target(command),
            command.idle_timeout.map(idle_timeout).transpose(),
        )
            .all()?;
        Ok((offer, target, idle_timeout))
    }

    /// The gateway, and what is behind it.
    fn target(&self, command: &CreateResourceConfiguration) -> Result<Target, ControlErrors> {
        let (gateway, definition) = (
            self.gateway_of(command),
            definition(command.resource_configuration_definition.as_ref()),
        )
            .all()?;
        match definition {
            ResourceDefinition::IpResource(target) => self.check_target(gateway, target)?,
            // Its addresses are judged when they are known.
            ResourceDefinition::DnsResource(_) => {}
        }
        Ok((gateway.id, definition))
    }

    fn gateway_of(
        &self,
        command: &CreateResourceConfiguration,
    ) -> Result<&ResourceGateway, ControlError> {
        let gateway_id = command
            .resource_gateway_id
            .ok_or_else(|| ControlError::Missing {
                property: GATEWAY.to_owned(),
                wanted: "type SINGLE is reached through a gateway",
            })?;
        self.own(gateway_id, GATEWAY)?;
        self.resource_gateways.require(gateway_id, GATEWAY)
    }

    /// Is it an address of the gateway's VPC?
    fn check_target(
        &self,
        gateway: &ResourceGateway,
        target: Ipv4Addr,
    ) -> Result<(), ControlError> {
        let vpc = self.vpcs.require(gateway.vpc_identifier, GATEWAY)?;
        match vpc.cidr_block.contains(&target) {
            true => Ok(()),
            false => Err(ControlError::TargetOutsideVpc {
                given: target,
                gateway: self.named_resource_gateway(gateway.id),
                vpc: self.named_vpc(vpc.vpc_id),
                vpc_cidr: vpc.cidr_block,
            }),
        }
    }
}

/// What the command defines; the other kinds come later.
fn definition(
    given: Option<&ResourceConfigurationDefinition>,
) -> Result<ResourceDefinition, ControlError> {
    const PROPERTY: &str = "ResourceConfigurationDefinition";
    let not_yet = |kind: &str| ControlError::NotYet {
        property: format!("{PROPERTY}.{kind}"),
        what: format!("{kind} as a resource configuration's definition"),
        wanted: "IpResource or DnsResource",
    };
    match given {
        Some(ResourceConfigurationDefinition::IpResource(given)) => {
            let target = parse::ipv4_address(&format!("{PROPERTY}.IpResource"), given)?;
            match is_private(target) {
                true => Ok(ResourceDefinition::IpResource(target)),
                false => Err(ControlError::TargetNotPrivate { given: target }),
            }
        }
        Some(ResourceConfigurationDefinition::DnsResource {
            domain_name,
            ip_address_type,
        }) => dns_resource(domain_name, ip_address_type),
        Some(ResourceConfigurationDefinition::ArnResource(_)) => Err(not_yet("ArnResource")),
        None => Err(ControlError::Missing {
            property: PROPERTY.to_owned(),
            wanted: "type SINGLE leads to an IpResource or a DnsResource",
        }),
    }
}

fn dns_resource(
    domain_name: &str,
    ip_address_type: &str,
) -> Result<ResourceDefinition, ControlError> {
    const PROPERTY: &str = "ResourceConfigurationDefinition.DnsResource";
    let name = parse::name(
        &format!("{PROPERTY}.DomainName"),
        domain_name,
        DomainName::parse,
    );
    let property = format!("{PROPERTY}.IpAddressType");
    match ip_address_type {
        "IPV4" => name.map(ResourceDefinition::DnsResource),
        "IPV6" | "DUALSTACK" => Err(ControlError::NotYet {
            property,
            what: format!("IP address type {ip_address_type} of a DNS resource"),
            wanted: "IPV4",
        }),
        _ => Err(ControlError::Malformed {
            property,
            given: ip_address_type.to_owned(),
            wanted: "an IP address type",
            example: "IPV4",
        }),
    }
}

/// What the address of a resource may be of: RFC 1918's ranges, and RFC 6598's.
pub(in crate::control) const PRIVATE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

fn is_private(address: Ipv4Addr) -> bool {
    PRIVATE.iter().any(|range| range.contains(&address))
}

fn check_type(given: &str) -> Result<(), ControlError> {
    let property = "ResourceConfigurationType".to_owned();
    match given {
        "SINGLE" => Ok(()),
        "GROUP" | "CHILD" | "ARN" | "CIDR" => Err(ControlError::NotYet {
            property,
            what: format!("resource configuration type {given}"),
            wanted: "SINGLE",
        }),
        _ => Err(ControlError::Malformed {
            property,
            given: given.to_owned(),
            wanted: "a type of resource configuration",
            example: "SINGLE",
        }),
    }
}

fn check_protocol_type(given: Option<&str>) -> Result<(), ControlError> {
    match given {
        None | Some("TCP") => Ok(()),
        Some(other) => Err(ControlError::Malformed {
            property: "ProtocolType".to_owned(),
            given: other.to_owned(),
            wanted: "a protocol type of a SINGLE resource configuration \
                     (beyond AWS: Metadata: privlink: Protocols)",
            example: "TCP",
        }),
    }
}

/// What is offered: what `Protocols` lists, or else TCP, which is AWS's only `ProtocolType`.
fn protocols(listed: Option<&[String]>) -> Result<Protocols, ControlErrors> {
    const LIST: &str = "Metadata.privlink.Protocols";
    let mut protocols = Protocols {
        tcp: listed.is_none(),
        udp: false,
        icmp: false,
    };
    if listed.is_some_and(<[String]>::is_empty) {
        return Err(ControlError::Missing {
            property: LIST.to_owned(),
            wanted: "list at least one of TCP, UDP and ICMP",
        }
        .into());
    }
    each(
        listed
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let property = parse::item(LIST, index);
                let given = name.clone();
                let offered = match name.as_str() {
                    "TCP" => &mut protocols.tcp,
                    "UDP" => &mut protocols.udp,
                    "ICMP" => &mut protocols.icmp,
                    _ => {
                        return Err(ControlError::Malformed {
                            property,
                            given,
                            wanted: "one of TCP, UDP and ICMP",
                            example: "TCP",
                        });
                    }
                };
                if std::mem::replace(offered, true) {
                    return Err(ControlError::Repeated { property, given });
                }
                Ok(())
            }),
    )?;
    Ok(protocols)
}

fn idle_timeout(seconds: i64) -> Result<Duration, ControlError> {
    const PROPERTY: &str = "Metadata.privlink.IdleTimeout";
    parse::number(PROPERTY, seconds, (1, 432_000), "1 to 432000 seconds").map(Duration::from_secs)
}

fn custom_domain_name(given: Option<&str>) -> Result<Option<DomainName>, ControlError> {
    let name = |given| parse::domain_name("CustomDomainName", given, DomainName::parse);
    given.map(name).transpose()
}

/// A PROXY header stands at the beginning of a stream.
fn check_proxy_protocol(asked: Option<bool>, protocols: Protocols) -> Result<(), ControlError> {
    match asked == Some(true) && !protocols.tcp {
        true => Err(ControlError::Combination {
            property: "Metadata.privlink.ProxyProtocol".to_owned(),
            what: "ProxyProtocol without TCP".to_owned(),
            wanted: "add TCP to Protocols, or leave ProxyProtocol out",
        }),
        false => Ok(()),
    }
}

/// Protocols and `PortRanges`; nothing but ICMP does without ports.
fn offer(command: &CreateResourceConfiguration) -> Result<Offer, ControlErrors> {
    let (protocols, port_ranges) = (
        protocols(command.protocols.as_deref()),
        port_ranges(&command.port_ranges),
    )
        .all()?;
    if port_ranges.is_empty() && (protocols.tcp || protocols.udp) {
        return Err(ControlError::Missing {
            property: "PortRanges".to_owned(),
            wanted: "list the ports on offer, for example 443 or 1-65535",
        }
        .into());
    }
    Ok((protocols, port_ranges))
}

fn port_ranges(given: &[String]) -> Result<Vec<PortRange>, ControlErrors> {
    each(given.iter().enumerate().map(|(index, text)| {
        port_range(text).ok_or_else(|| ControlError::Malformed {
            property: parse::item("PortRanges", index),
            given: text.clone(),
            wanted: "a port or a range of ports from 1 to 65535",
            example: "443 or 1-65535",
        })
    }))
}

fn port_range(text: &str) -> Option<PortRange> {
    let port = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u16>().ok().filter(|port| *port > 0),
        false => None,
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(PortRange { first, last })
}
