//! A network load balancer: where an endpoint service takes its consumers' flows, in a node per zone.

use std::net::Ipv4Addr;

use super::attribute::{self, Attributes};
use super::network_interface::{Holder, Place, SubnetsOf};
use super::{Attachment, Listener, Subnet, Tags, Vpc};
use crate::control::ControlState;
use crate::control::checks::{All, each, unused};
use crate::control::command::{CreateLoadBalancer, SubnetMapping};
use crate::control::error::{ControlError, ControlErrors, Named};
use crate::control::id::*;
use crate::dataplane::config::LoadBalancerIdx;

/// A network load balancer.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoadBalancer {
    /// Its id, the end of its ARN.
    #[serde(skip)]
    pub id: LoadBalancerId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: LoadBalancerIdx,
    /// Its ARN.
    pub load_balancer_arn: String,
    /// Unique in the account.
    pub load_balancer_name: String,
    /// The name that answers with its nodes' addresses.
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    /// The provider VPC.
    pub vpc_id: VpcId,
    /// One per zone.
    pub subnets: Vec<SubnetId>,
    /// Its nodes: one per subnet, in the order of `subnets`.
    pub network_interface_ids: Vec<NetworkInterfaceId>,
    /// What its nodes carry, perhaps none.
    pub security_groups: Vec<SecurityGroupId>,
    /// Do the groups' ingress rules count for what comes through an endpoint?
    pub enforce_security_group_inbound_rules_on_private_link_traffic: bool,
    /// May a node choose targets of other zones?
    pub cross_zone: bool,
    /// Is it kept from being deleted?
    pub deletion_protection: bool,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

impl LoadBalancer {
    /// The attributes that mean nothing for packets here.
    pub const IGNORED_ATTRIBUTES: &[&str] = &[
        "access_logs.s3.bucket",
        "access_logs.s3.enabled",
        "access_logs.s3.prefix",
        "dns_record.client_routing_policy",
        "ipv6.deny_all_igw_traffic",
        "zonal_shift.config.enabled",
    ];

    /// The end of its ARN, by which metrics and listeners name it: `net/provider-NLB/0123456789abcdef`.
    pub fn full_name(&self) -> String {
        format!("net/{}/{}", self.load_balancer_name, self.id)
    }
}

const ATTRIBUTES: Attributes = Attributes {
    list: "LoadBalancerAttributes",
    used: &[CROSS_ZONE, DELETION_PROTECTION, SECONDARY_IPS],
    ignored: LoadBalancer::IGNORED_ATTRIBUTES,
};
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
const DELETION_PROTECTION: &str = "deletion_protection.enabled";
const SECONDARY_IPS: &str = "secondary_ips.auto_assigned.per_subnet";

/// What the attributes say.
struct Settings {
    cross_zone: bool,
    deletion_protection: bool,
    secondary_ips: u8,
}

impl ControlState {
    pub(in crate::control) fn create_load_balancer(
        &mut self,
        command: CreateLoadBalancer,
    ) -> Result<LoadBalancerId, ControlErrors> {
        self.fresh::<LoadBalancerId>(&command.client_token)?;
        // Another kind would have other properties: they are judged only when it is right.
        check_kind(&command)?;
        let (vpc, place, given) = self.load_balancer_subnets(&command)?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let name = elb_name(command.name.as_deref(), &command.client_token);
        let (name, enforce, security_groups, (settings, places)) = (
            name.and_then(|name| self.check_load_balancer_name(name)),
            on_or_off(
                "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic",
                command
                    .enforce_security_group_inbound_rules_on_private_link_traffic
                    .as_deref(),
            ),
            self.groups_of(vpc, &command.security_groups, &vpc_name, "SecurityGroups"),
            settings(&command).and_then(|settings| {
                let token = &command.client_token;
                let places = self.node_places(vpc, token, place, &given, settings.secondary_ips)?;
                Ok((settings, places))
            }),
        )
            .all()?;
        let vpc_id = vpc.vpc_id;

        let id: LoadBalancerId = self.mint.mint(&self.owner, &command.client_token);
        let holder = Holder {
            token: &command.client_token,
            noun: "load balancer",
            id: format!("net/{name}/{id}"),
            groups: &security_groups,
            source_dest_check: false,
            attachment: Attachment::LoadBalancer(id),
        };
        let places = places.into_iter();
        let network_interface_ids = places.map(|place| self.place(&holder, place)).collect();
        self.load_balancer_names.insert(self.owner.named(&name), id);
        let load_balancer = LoadBalancer {
            id,
            idx: self.indices.load_balancers.allocate(id),
            load_balancer_arn: self.owner.arn(
                "elasticloadbalancing",
                &format!("loadbalancer/net/{name}/{id}"),
            ),
            dns_name: format!("{name}-{id}.elb.{}.amazonaws.com", self.owner.region()),
            load_balancer_name: name,
            vpc_id,
            subnets: given.iter().map(|mapping| mapping.subnet_id).collect(),
            network_interface_ids,
            security_groups,
            enforce_security_group_inbound_rules_on_private_link_traffic: enforce,
            cross_zone: settings.cross_zone,
            deletion_protection: settings.deletion_protection,
            tags: command.tags,
            client_token: command.client_token,
        };
        self.load_balancers.insert(id, load_balancer);
        Ok(id)
    }

    pub(in crate::control) fn delete_load_balancer(
        &mut self,
        id: LoadBalancerId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "LoadBalancerArn")?;
        let load_balancer = self.load_balancers.require(id, "LoadBalancerArn")?;
        let what = format!("load balancer {}", self.named_load_balancer(id));
        if load_balancer.deletion_protection {
            return Err(ControlError::NotPermitted {
                code: "OperationNotPermitted",
                what: format!("{what} has deletion protection"),
                instead: "set its attribute deletion_protection.enabled to false first",
            }
            .into());
        }
        let services = self.vpc_endpoint_services.iter();
        let by = services
            .filter(|service| service.load_balancers.contains(&id))
            .map(|service| {
                let name = self.named_vpc_endpoint_service(service.service_id);
                format!("VPC endpoint service {name}")
            });
        unused("ResourceInUse", what, by, "take it out there first")?;
        let listeners: Vec<_> = self.listeners_of(id).map(|listener| listener.id).collect();
        listeners
            .into_iter()
            .for_each(|id| self.remove_listener(id));
        if let Some(load_balancer) = self.load_balancers.remove(&id) {
            for interface in load_balancer.network_interface_ids {
                self.displace(interface);
            }
            self.indices.load_balancers.release(load_balancer.idx);
            self.load_balancer_names
                .remove(&self.owner.named(&load_balancer.load_balancer_name));
        }
        self.mint.release(id);
        Ok(())
    }

    /// The listeners of a load balancer.
    pub fn listeners_of(&self, id: LoadBalancerId) -> impl Iterator<Item = &Listener> {
        let all = self.listeners.iter();
        all.filter(move |listener| listener.load_balancer_id == id)
    }

    /// A load balancer's node in this zone.
    pub fn node_in(&self, id: LoadBalancerId, zone: &str) -> Option<&super::NetworkInterface> {
        let nodes = self.load_balancer(&id)?.network_interface_ids.iter();
        let mut nodes = nodes.filter_map(|id| self.network_interface(id));
        nodes.find(|node| node.availability_zone == zone)
    }

    /// How messages name it.
    pub(in crate::control) fn named_load_balancer(&self, id: LoadBalancerId) -> Named {
        let load_balancer = self.load_balancer(&id);
        let name = load_balancer.map_or_else(|| id.to_string(), LoadBalancer::full_name);
        self.named(id, load_balancer.map(|l| l.client_token.as_str()), name)
    }

    fn check_load_balancer_name(&self, name: String) -> Result<String, ControlError> {
        if name.starts_with("internal-") {
            return Err(ControlError::Malformed {
                property: "Name".to_owned(),
                given: name,
                wanted: "a name that does not begin with internal-",
                example: "provider-NLB",
            });
        }
        match self.load_balancer_names.get(&self.owner.named(&name)) {
            None => Ok(name),
            Some(by) => Err(ControlError::NameTaken {
                code: "DuplicateLoadBalancerName",
                name,
                by: format!("load balancer {}", self.named_load_balancer(*by)),
            }),
        }
    }

    /// The VPC of the first subnet, and all subnets with their addresses, from wherever they are listed.
    fn load_balancer_subnets(
        &self,
        command: &CreateLoadBalancer,
    ) -> Result<(&Vpc, SubnetsOf, Vec<SubnetMapping>), ControlErrors> {
        let (place, given) = match (&*command.subnets, &*command.subnet_mappings) {
            ([], mappings) => (SubnetsOf::SubnetMappings, mappings.to_vec()),
            (subnets, []) => {
                let mapping = |subnet_id: &SubnetId| SubnetMapping {
                    subnet_id: *subnet_id,
                    private_ipv4_address: None,
                };
                (SubnetsOf::Subnets, subnets.iter().map(mapping).collect())
            }
            _ => {
                return Err(ControlError::Combination {
                    property: "SubnetMappings".to_owned(),
                    what: "Subnets and SubnetMappings".to_owned(),
                    wanted: "give one of them; SubnetMappings can choose addresses",
                }
                .into());
            }
        };
        let Some(first) = given.first() else {
            return Err(ControlError::Missing {
                property: "Subnets".to_owned(),
                wanted: "name at least one subnet, there or in SubnetMappings",
            }
            .into());
        };
        let property = place.item(0);
        self.own(first.subnet_id, &property)?;
        let subnet = self.subnets.require(first.subnet_id, property.as_str())?;
        let vpc = self.vpcs.require(subnet.vpc_id, property)?;
        Ok((vpc, place, given))
    }

    /// A place for a node in each subnet: its own address, and so many secondary ones.
    fn node_places(
        &self,
        vpc: &Vpc,
        token: &str,
        place: SubnetsOf,
        given: &[SubnetMapping],
        secondary_ips: u8,
    ) -> Result<Vec<Place>, ControlErrors> {
        let ids: Vec<_> = given.iter().map(|mapping| mapping.subnet_id).collect();
        let subnets = self.subnets_for(vpc, &ids, place)?;
        each(subnets.into_iter().zip(given).enumerate().map(
            |(index, (subnet, mapping))| -> Result<Place, ControlError> {
                let chosen = mapping.private_ipv4_address.as_deref();
                let property = match chosen {
                    Some(_) => format!("SubnetMappings.{index}.PrivateIPv4Address"),
                    None => place.item(index),
                };
                let primary = self.choose_address(subnet, token, chosen, &property)?;
                let addresses =
                    self.node_addresses(subnet, token, primary, secondary_ips, &property)?;
                Ok(Place::new(subnet, addresses))
            },
        ))
    }

    fn node_addresses(
        &self,
        subnet: &Subnet,
        token: &str,
        primary: Ipv4Addr,
        secondary_ips: u8,
        property: &str,
    ) -> Result<Vec<Ipv4Addr>, ControlError> {
        let count = usize::from(secondary_ips) + 1;
        let interface = self.interface_in(subnet, token);
        let block = subnet.addresses.block(count, interface);
        let block = block.ok_or_else(|| self.exhausted(subnet, count, property))?;
        let secondary = block
            .into_iter()
            .rev()
            .filter(|address| *address != primary);
        let mut addresses = vec![primary];
        addresses.extend(secondary.take(count - 1));
        Ok(addresses)
    }
}

fn check_kind(command: &CreateLoadBalancer) -> Result<(), ControlErrors> {
    let one_of = |property: &str, given: Option<&str>, right: &'static str, default: &str| {
        match given {
            Some(given) if given == right => Ok(()),
            given => Err(ControlError::NotYet {
                property: property.to_owned(),
                what: match given {
                    Some(given) => format!("a load balancer of {property} {given}"),
                    None => format!(
                        "a load balancer of {property} {default}, which CloudFormation takes where none is given,"
                    ),
                },
                wanted: right,
            }),
        }
    };
    let scheme = command.scheme.as_deref();
    let address_type = command.ip_address_type.as_deref().or(Some("ipv4"));
    (
        one_of(
            "Type",
            command.load_balancer_type.as_deref(),
            "network",
            "application",
        ),
        one_of("Scheme", scheme, "internal", "internet-facing"),
        one_of("IpAddressType", address_type, "ipv4", "ipv4"),
    )
        .all()?;
    Ok(())
}

fn settings(command: &CreateLoadBalancer) -> Result<Settings, ControlErrors> {
    ATTRIBUTES.check(&command.attributes)?;
    let attribute = |key| ATTRIBUTES.find(&command.attributes, key);
    let (cross_zone, deletion_protection, secondary_ips) = (
        attribute(CROSS_ZONE).map(attribute::boolean).transpose(),
        attribute(DELETION_PROTECTION)
            .map(attribute::boolean)
            .transpose(),
        attribute(SECONDARY_IPS)
            .map(|given| attribute::number(given, (0, 7), "0 to 7"))
            .transpose(),
    )
        .all()?;
    Ok(Settings {
        cross_zone: cross_zone.unwrap_or(false),
        deletion_protection: deletion_protection.unwrap_or(false),
        secondary_ips: secondary_ips.unwrap_or(0),
    })
}

fn on_or_off(property: &str, given: Option<&str>) -> Result<bool, ControlError> {
    match given {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => Err(ControlError::Malformed {
            property: property.to_owned(),
            given: other.to_owned(),
            wanted: "on or off",
            example: "on",
        }),
    }
}

/// A name of Elastic Load Balancing: 1 to 32 letters, digits and inner hyphens. None given: the beginning of the token.
pub(super) fn elb_name(given: Option<&str>, token: &str) -> Result<String, ControlError> {
    let default: String = token
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(32)
        .collect();
    let name = given.map_or(default, str::to_owned);
    let valid = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    match valid {
        true => Ok(name),
        false => Err(ControlError::Malformed {
            property: "Name".to_owned(),
            given: name,
            wanted: "a name of 1 to 32 letters, digits and hyphens between them",
            example: "provider-NLB",
        }),
    }
}
