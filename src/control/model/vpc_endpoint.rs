//! A VPC endpoint: where a consumer VPC reaches a resource or a service of another VPC.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::network_interface::{Holder, Place, SubnetsOf};
use super::private_dns::check_dns_options;
use super::{Attachment, ConnectionEventKind, NetworkInterface, Principal, Subnet, Tags, Vpc};
use crate::control::checks::{All, each};
use crate::control::command::{CreateVpcEndpoint, ModifyVpcEndpoint};
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::*;
use crate::control::lifecycle::{Event, ServiceState, State};
use crate::control::{ControlState, DomainName, parse};

/// A VPC endpoint of type Interface or Resource.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcEndpoint {
    /// Its id.
    pub vpc_endpoint_id: VpcEndpointId,
    /// The consumer VPC.
    pub vpc_id: VpcId,
    /// The account that it belongs to.
    pub owner_id: String,
    /// Who has asked for it.
    #[serde(skip)]
    pub principal: Principal,
    /// When, since the UNIX epoch.
    #[serde(skip)]
    pub requested_at: Duration,
    /// May traffic pass?
    pub state: State,
    /// What it leads to; that is gone only if the endpoint is not live.
    #[serde(flatten)]
    pub destination: EndpointDestination,
    /// One per zone.
    pub subnet_ids: Vec<SubnetId>,
    /// What its interfaces carry. Only their ingress rules count.
    pub groups: Vec<SecurityGroupId>,
    /// One per subnet, in the order of `subnet_ids`.
    pub network_interface_ids: Vec<NetworkInterfaceId>,
    /// Does it answer to its provider's name in its VPC?
    pub private_dns_enabled: bool,
    /// What it claims of its VPC's names.
    #[serde(skip)]
    pub(in crate::control) private_domain: Option<DomainName>,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

impl VpcEndpoint {
    /// AWS's word for its type.
    pub const fn vpc_endpoint_type(&self) -> &'static str {
        match self.destination {
            EndpointDestination::ResourceConfiguration(_) => "Resource",
            EndpointDestination::Service(_) => "Interface",
        }
    }

    /// Is the other what was asked for here? Its addresses do not count: those that nobody chose may be others each time.
    pub(in crate::control) fn is_same_as(&self, other: &Self) -> bool {
        let asked = |endpoint: &Self| {
            let endpoint = endpoint.clone();
            (
                (endpoint.vpc_id, endpoint.principal, endpoint.destination),
                (endpoint.subnet_ids, endpoint.groups, endpoint.tags),
            )
        };
        asked(self) == asked(other)
    }

    /// The service that it leads to, if it does.
    pub const fn service_id(&self) -> Option<VpcEndpointServiceId> {
        match self.destination {
            EndpointDestination::Service(id) => Some(id),
            EndpointDestination::ResourceConfiguration(_) => None,
        }
    }
}

/// What an endpoint leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum EndpointDestination {
    /// One resource configuration: type Resource.
    #[serde(rename = "ResourceConfigurationId")]
    ResourceConfiguration(ResourceConfigurationId),
    /// An endpoint service: type Interface.
    #[serde(rename = "ServiceId")]
    Service(VpcEndpointServiceId),
}

/// Where chosen addresses stand.
const ADDRESSES: &str = "Metadata.privlink.Addresses";
const PRINCIPAL: &str = "Metadata.privlink.Principal";
const CONFIGURATION: &str = "ResourceConfigurationArn";
const SERVICE: &str = "ServiceName";

/// An address for each of some subnets.
type Addresses = [(SubnetId, String)];

impl ControlState {
    pub(in crate::control) fn create_vpc_endpoint(
        &mut self,
        command: CreateVpcEndpoint,
    ) -> Result<VpcEndpointId, ControlErrors> {
        self.fresh::<VpcEndpointId>(&command.client_token)?;
        // Another type would have other properties: they are judged only when it is right.
        let leads_to_service = check_type(command.vpc_endpoint_type.as_deref())?;
        self.own(command.vpc_id, "VpcId")?;
        let vpc = self.vpcs.require(command.vpc_id, "VpcId")?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let destination = self.principal(&command).and_then(|principal| {
            let destination = match leads_to_service {
                true => self.service_of(&command, &principal),
                false => self.configuration_of(&command),
            };
            Ok((principal, destination?))
        });
        let private_dns_enabled = command.private_dns_enabled == Some(true);
        let private_domain = match &destination {
            _ if !private_dns_enabled => Ok(None),
            Ok((_, (destination, _))) => {
                let id = self.mint.next(&self.owner, &command.client_token);
                self.private_domain(vpc, id, *destination)
            }
            Err(_) => self.check_dns_attributes(vpc).map(|()| None),
        };
        let (
            private_domain,
            (),
            (),
            groups,
            (principal, (destination, acceptance_required), places),
        ) = (
            private_domain,
            check_dns_options(&command.dns_options, leads_to_service),
            check_ip_address_type(&command),
            self.groups_for(vpc, &command.security_group_ids, &vpc_name),
            self.create_places(vpc, &command, destination),
        )
            .all()?;

        let token = command.client_token;
        let vpc_endpoint_id: VpcEndpointId = self.mint.mint(&self.owner, &token);
        let network_interface_ids = self.place_endpoint(&token, vpc_endpoint_id, &groups, places);
        let endpoint = VpcEndpoint {
            vpc_endpoint_id,
            vpc_id: command.vpc_id,
            owner_id: self.owner.account_id().to_owned(),
            principal,
            requested_at: self.now,
            state: State::requested(acceptance_required),
            destination,
            subnet_ids: command.subnet_ids,
            groups,
            network_interface_ids,
            private_dns_enabled,
            private_domain: None,
            tags: command.tags,
            client_token: token,
        };
        self.vpc_endpoints.insert(vpc_endpoint_id, endpoint);
        self.claim_domain(vpc_endpoint_id, private_domain);
        self.remember(vpc_endpoint_id, ConnectionEventKind::Connect);
        self.provision(vpc_endpoint_id);
        Ok(vpc_endpoint_id)
    }

    pub(in crate::control) fn modify_vpc_endpoint(
        &mut self,
        command: ModifyVpcEndpoint,
    ) -> Result<VpcEndpointId, ControlErrors> {
        let id = command.vpc_endpoint_id;
        self.own(id, "VpcEndpointId")?;
        self.endpoint_after(id, Event::Modify)?;
        let endpoint = self.vpc_endpoints.require(id, "VpcEndpointId")?;
        let vpc = self.vpcs.require(endpoint.vpc_id, "VpcId")?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let subnet_ids = changed(
            &endpoint.subnet_ids,
            &command.add_subnet_ids,
            &command.remove_subnet_ids,
        );
        let group_ids = changed(
            &endpoint.groups,
            &command.add_security_group_ids,
            &command.remove_security_group_ids,
        );
        if group_ids.is_empty() {
            return Err(ControlError::Missing {
                property: "RemoveSecurityGroupIds".to_owned(),
                wanted: "an endpoint keeps at least one security group; add another",
            }
            .into());
        }
        let stays = |subnet: &Subnet| endpoint.subnet_ids.contains(&subnet.subnet_id);
        let private_dns_enabled = command
            .private_dns_enabled
            .unwrap_or(endpoint.private_dns_enabled);
        let private_domain = match private_dns_enabled {
            true => self.private_domain(vpc, id, endpoint.destination),
            false => Ok(None),
        };
        let (private_domain, groups, chosen, subnets) = (
            private_domain,
            self.groups_of(vpc, &group_ids, &vpc_name, "SecurityGroupIds"),
            self.chosen(&endpoint.client_token, &subnet_ids, &command.addresses),
            self.endpoint_subnets(vpc, &subnet_ids, endpoint.destination),
        )
            .all()?;
        let fresh = subnets.into_iter().enumerate().filter(|(_, s)| !stays(s));
        let places = self.endpoint_places(&endpoint.client_token, fresh, &chosen)?;

        let (token, old) = (
            endpoint.client_token.clone(),
            endpoint.network_interface_ids.clone(),
        );
        for interface in &old {
            let gone = |eni: &NetworkInterface| !subnet_ids.contains(&eni.subnet_id);
            if self.network_interface(interface).is_some_and(gone) {
                self.displace(*interface);
            } else if let Some(interface) = self.network_interfaces.find_mut(interface) {
                interface.groups.clone_from(&groups);
            }
        }
        let new = self.place_endpoint(&token, id, &groups, places);
        let interface_in = |subnet_id: &SubnetId| {
            let mut all = old.iter().chain(&new).copied();
            all.find(|id| {
                let interface = self.network_interface(id);
                interface.is_some_and(|eni| eni.subnet_id == *subnet_id)
            })
        };
        let network_interface_ids = subnet_ids.iter().filter_map(interface_in).collect();
        if let Some(endpoint) = self.vpc_endpoints.find_mut(&id) {
            endpoint.subnet_ids = subnet_ids;
            endpoint.groups = groups;
            endpoint.network_interface_ids = network_interface_ids;
            endpoint.private_dns_enabled = private_dns_enabled;
        }
        self.claim_domain(id, private_domain);
        self.happen(id, Event::Modify)?;
        self.provision(id);
        Ok(id)
    }

    /// Makes an endpoint's interfaces.
    fn place_endpoint(
        &mut self,
        token: &str,
        id: VpcEndpointId,
        groups: &[SecurityGroupId],
        places: Vec<Place>,
    ) -> Vec<NetworkInterfaceId> {
        let holder = Holder {
            token,
            noun: "VPC endpoint",
            id: id.to_string(),
            groups,
            source_dest_check: true,
            attachment: Attachment::VpcEndpoint(id),
        };
        let places = places.into_iter();
        places.map(|place| self.place(&holder, place)).collect()
    }

    /// Who asks: a user or role of the account, or the account itself.
    fn principal(&self, command: &CreateVpcEndpoint) -> Result<Principal, ControlError> {
        let account = self.owner.account_id();
        let Some(given) = &command.principal else {
            return Ok(Principal::Account(account.to_owned()));
        };
        let principal = Principal::parse(PRINCIPAL, given)?;
        match principal.account() == Some(account) {
            true => Ok(principal),
            false => Err(ControlError::Malformed {
                property: PRINCIPAL.to_owned(),
                given: given.clone(),
                wanted: "a user or role of the endpoint's own account",
                example: "arn:aws:iam::111122223333:role/network",
            }),
        }
    }

    /// The resource configuration that the command names. Whoever can name it may use it.
    fn configuration_of(
        &self,
        command: &CreateVpcEndpoint,
    ) -> Result<(EndpointDestination, bool), ControlError> {
        check_absent(
            SERVICE,
            command.service_name.is_some(),
            "Resource",
            CONFIGURATION,
        )?;
        let id = command
            .resource_configuration_arn
            .ok_or_else(|| ControlError::Missing {
                property: CONFIGURATION.to_owned(),
                wanted: "an endpoint of type Resource leads to a resource configuration",
            })?;
        self.resource_configurations.require(id, CONFIGURATION)?;
        Ok((EndpointDestination::ResourceConfiguration(id), false))
    }

    /// The service that the command names, and whether the endpoint must be accepted. To those who may not ask for it
    /// there is no such service.
    fn service_of(
        &self,
        command: &CreateVpcEndpoint,
        principal: &Principal,
    ) -> Result<(EndpointDestination, bool), ControlError> {
        let given = command.resource_configuration_arn.is_some();
        check_absent(CONFIGURATION, given, "Interface", SERVICE)?;
        let name = command
            .service_name
            .as_deref()
            .ok_or_else(|| ControlError::Missing {
                property: SERVICE.to_owned(),
                wanted: "an endpoint of type Interface leads to an endpoint service",
            })?;
        let id = self.mint.next(&self.owner, &command.client_token);
        let service = self.service_named(name).filter(|service| {
            let may_ask = service.admits(principal) && service.state == ServiceState::Available;
            may_ask || self.predecessor.has_endpoint(id)
        });
        match service {
            Some(service) => Ok((
                EndpointDestination::Service(service.service_id),
                service.acceptance_required,
            )),
            None => Err(ControlError::ServiceName {
                given: name.to_owned(),
            }),
        }
    }

    /// What the new endpoint is, and a place per subnet, at the chosen address or else at a free one.
    #[allow(clippy::type_complexity)]
    fn create_places(
        &self,
        vpc: &Vpc,
        command: &CreateVpcEndpoint,
        asked: Result<(Principal, (EndpointDestination, bool)), ControlError>,
    ) -> Result<(Principal, (EndpointDestination, bool), Vec<Place>), ControlErrors> {
        let subnet_ids = &command.subnet_ids;
        let subnets = (
            asked,
            self.subnets_for(vpc, subnet_ids, SubnetsOf::SubnetIds),
        )
            .all()
            .and_then(|((principal, asked), subnets)| {
                self.check_zones(&subnets, asked.0)?;
                Ok((principal, asked, subnets))
            });
        let ((principal, asked, subnets), chosen) = (
            subnets,
            self.chosen(&command.client_token, subnet_ids, &command.addresses),
        )
            .all()?;
        let places = self.endpoint_places(
            &command.client_token,
            subnets.into_iter().enumerate(),
            &chosen,
        )?;
        Ok((principal, asked, places))
    }

    /// The subnets of an endpoint that leads there.
    fn endpoint_subnets(
        &self,
        vpc: &Vpc,
        subnet_ids: &[SubnetId],
        destination: EndpointDestination,
    ) -> Result<Vec<&Subnet>, ControlErrors> {
        let subnets = self.subnets_for(vpc, subnet_ids, SubnetsOf::SubnetIds)?;
        self.check_zones(&subnets, destination)?;
        Ok(subnets)
    }

    /// A place in each of these subnets, at the chosen address or else at a free one.
    fn endpoint_places<'s>(
        &self,
        token: &str,
        subnets: impl Iterator<Item = (usize, &'s Subnet)>,
        chosen: &[(SubnetId, Ipv4Addr)],
    ) -> Result<Vec<Place>, ControlErrors> {
        each(subnets.map(|(index, subnet)| {
            let mut chosen = chosen.iter();
            let address = match chosen.find(|(subnet_id, _)| *subnet_id == subnet.subnet_id) {
                Some((_, address)) => *address,
                None => {
                    let property = parse::item("SubnetIds", index);
                    self.choose_address(subnet, token, None, &property)?
                }
            };
            Ok::<_, ControlError>(Place::new(subnet, vec![address]))
        }))
    }

    /// Has the destination an interface in each subnet's zone?
    fn check_zones(
        &self,
        subnets: &[&Subnet],
        destination: EndpointDestination,
    ) -> Result<(), ControlErrors> {
        match destination {
            EndpointDestination::ResourceConfiguration(id) => self.check_gateway_zones(subnets, id),
            EndpointDestination::Service(id) => self.check_service_zones(subnets, id),
        }
    }

    fn check_service_zones(
        &self,
        subnets: &[&Subnet],
        service_id: VpcEndpointServiceId,
    ) -> Result<(), ControlErrors> {
        let service = self.vpc_endpoint_services.require(service_id, SERVICE)?;
        let zones = self.service_zones(service);
        each(subnets.iter().enumerate().map(|(index, subnet)| {
            match zones.contains(&subnet.availability_zone) {
                true => Ok(()),
                false => Err(ControlError::ZoneNotSupported {
                    property: parse::item("SubnetIds", index),
                    service: service.service_name.clone(),
                    subnet: self.named_subnet(subnet.subnet_id),
                    zone: subnet.availability_zone.clone(),
                    zones: zones.clone(),
                }),
            }
        }))?;
        Ok(())
    }

    fn check_gateway_zones(
        &self,
        subnets: &[&Subnet],
        configuration_id: ResourceConfigurationId,
    ) -> Result<(), ControlErrors> {
        let configuration = self
            .resource_configurations
            .require(configuration_id, CONFIGURATION)?;
        let gateway_id = configuration.resource_gateway_id;
        let gateway = self.resource_gateways.require(gateway_id, CONFIGURATION)?;
        let zones: Vec<_> = gateway
            .network_interface_ids
            .iter()
            .filter_map(|id| self.network_interface(id))
            .map(|interface| interface.availability_zone.as_str())
            .collect();
        each(subnets.iter().enumerate().map(|(index, subnet)| {
            match zones.contains(&subnet.availability_zone.as_str()) {
                true => Ok(()),
                false => Err(ControlError::NoGatewayInZone {
                    property: parse::item("SubnetIds", index),
                    subnet: self.named_subnet(subnet.subnet_id),
                    zone: subnet.availability_zone.clone(),
                    gateway: self.named_resource_gateway(gateway_id),
                    zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
                }),
            }
        }))?;
        Ok(())
    }

    /// The chosen addresses: each free, in the endpoint's own subnets, and one in each at most.
    fn chosen(
        &self,
        token: &str,
        subnet_ids: &[SubnetId],
        chosen: &Addresses,
    ) -> Result<Vec<(SubnetId, Ipv4Addr)>, ControlErrors> {
        each(
            chosen
                .iter()
                .enumerate()
                .map(|(index, (subnet_id, given))| {
                    let property = parse::item(ADDRESSES, index);
                    let name = format!("subnet {}", self.named_subnet(*subnet_id));
                    if !subnet_ids.contains(subnet_id) {
                        return Err(ControlError::Combination {
                            property,
                            what: format!("{name} has an address but is not among SubnetIds"),
                            wanted: "add it there, or take the address away",
                        });
                    }
                    let mut earlier = chosen.iter().take(index);
                    if earlier.any(|(earlier, _)| earlier == subnet_id) {
                        return Err(ControlError::Repeated {
                            property,
                            given: name,
                        });
                    }
                    let subnet = self.subnets.require(*subnet_id, property.as_str())?;
                    let address = self.choose_address(subnet, token, Some(given), &property)?;
                    Ok((*subnet_id, address))
                }),
        )
    }
}

fn check_ip_address_type(command: &CreateVpcEndpoint) -> Result<(), ControlError> {
    match command.ip_address_type.as_deref() {
        None | Some("ipv4") => Ok(()),
        Some(other) => Err(ControlError::NotYet {
            property: "IpAddressType".to_owned(),
            what: format!("IP address type {other} of an endpoint"),
            wanted: "ipv4",
        }),
    }
}

/// A property of the other type.
fn check_absent(
    property: &str,
    is_given: bool,
    of_type: &str,
    instead: &str,
) -> Result<(), ControlError> {
    match is_given {
        false => Ok(()),
        true => Err(ControlError::Combination {
            property: property.to_owned(),
            what: format!("{property} of an endpoint of type {of_type}"),
            wanted: match instead {
                SERVICE => "it leads to a ServiceName",
                _ => "it leads to a ResourceConfigurationArn",
            },
        }),
    }
}

/// What is left of a list, and what has come.
fn changed<T: Copy + PartialEq>(old: &[T], add: &[T], remove: &[T]) -> Vec<T> {
    let kept = old.iter().filter(|id| !remove.contains(id));
    let added = add.iter().filter(|id| !old.contains(id));
    kept.chain(added).copied().collect()
}

/// Does it lead to a service, or to a resource?
fn check_type(given: Option<&str>) -> Result<bool, ControlError> {
    let property = "VpcEndpointType".to_owned();
    let what = match given {
        Some("Interface") => return Ok(true),
        Some("Resource") => return Ok(false),
        None => "endpoint type Gateway, CloudFormation's default,".to_owned(),
        Some(kind @ ("Gateway" | "GatewayLoadBalancer" | "ServiceNetwork" | "Tunnel")) => {
            format!("endpoint type {kind}")
        }
        Some(other) => {
            return Err(ControlError::Malformed {
                property,
                given: other.to_owned(),
                wanted: "a type of endpoint",
                example: "Interface or Resource",
            });
        }
    };
    Err(ControlError::NotYet {
        property,
        what,
        wanted: "Interface or Resource",
    })
}
