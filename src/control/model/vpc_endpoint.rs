//! A VPC endpoint: where a consumer VPC reaches a resource of another VPC.

use std::net::Ipv4Addr;

use super::network_interface::{Holder, Place};
use super::{Attachment, Subnet, Tags, Vpc};
use crate::control::checks::{All, each};
use crate::control::command::CreateVpcEndpoint;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::*;
use crate::control::lifecycle::State;
use crate::control::{ControlState, parse};

/// A VPC endpoint of type Resource.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcEndpoint {
    /// Its id.
    pub vpc_endpoint_id: VpcEndpointId,
    /// Which kind of endpoint.
    pub vpc_endpoint_type: VpcEndpointType,
    /// The consumer VPC.
    pub vpc_id: VpcId,
    /// The account that it belongs to.
    pub owner_id: String,
    /// May traffic pass?
    pub state: State,
    /// What it leads to.
    pub resource_configuration_id: ResourceConfigurationId,
    /// One per zone.
    pub subnet_ids: Vec<SubnetId>,
    /// What its interfaces carry. Only their ingress rules count.
    pub groups: Vec<SecurityGroupId>,
    /// One per subnet, in the order of `subnet_ids`.
    pub network_interface_ids: Vec<NetworkInterfaceId>,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

/// The kinds of endpoints that there are so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum VpcEndpointType {
    /// Leads to one resource configuration.
    Resource,
}

/// Where chosen addresses stand.
const ADDRESSES: &str = "Metadata.privlink.Addresses";

impl ControlState {
    pub(in crate::control) fn create_vpc_endpoint(
        &mut self,
        command: CreateVpcEndpoint,
    ) -> Result<VpcEndpointId, ControlErrors> {
        self.fresh::<VpcEndpointId>(&command.client_token)?;
        // Another type would have other properties: they are judged only when it is right.
        check_type(command.vpc_endpoint_type.as_deref())?;
        let vpc = self.vpcs.require(command.vpc_id, "VpcId")?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let ((), (), groups, (resource_configuration_id, places)) = (
            check_private_dns(&command),
            check_ip_address_type(&command),
            self.groups_for(vpc, &command.security_group_ids, &vpc_name),
            self.endpoint_places(vpc, &command),
        )
            .all()?;

        let token = command.client_token;
        let vpc_endpoint_id: VpcEndpointId = self.mint.mint(&self.owner, &token);
        let holder = Holder {
            token: &token,
            noun: "VPC endpoint",
            id: vpc_endpoint_id.to_string(),
            groups: &groups,
            source_dest_check: true,
            attachment: Attachment::VpcEndpoint(vpc_endpoint_id),
        };
        let places = places.into_iter();
        let network_interface_ids = places.map(|place| self.place(&holder, place)).collect();
        let endpoint = VpcEndpoint {
            vpc_endpoint_id,
            vpc_endpoint_type: VpcEndpointType::Resource,
            vpc_id: command.vpc_id,
            owner_id: self.owner.account_id().to_owned(),
            // A resource that may be used at all (on AWS: shared by RAM) needs no further consent.
            state: State::Available,
            resource_configuration_id,
            subnet_ids: command.subnet_ids,
            groups,
            network_interface_ids,
            tags: command.tags,
            client_token: token,
        };
        self.vpc_endpoints.insert(vpc_endpoint_id, endpoint);
        Ok(vpc_endpoint_id)
    }

    /// The resource configuration that the command names.
    fn reachable(
        &self,
        command: &CreateVpcEndpoint,
    ) -> Result<ResourceConfigurationId, ControlError> {
        const PROPERTY: &str = "ResourceConfigurationArn";
        let id = command
            .resource_configuration_arn
            .ok_or_else(|| ControlError::Missing {
                property: PROPERTY.to_owned(),
                wanted: "an endpoint of type Resource leads to a resource configuration",
            })?;
        self.resource_configurations.require(id, PROPERTY)?;
        Ok(id)
    }

    /// Has the gateway an interface in each subnet's zone?
    fn check_zones(
        &self,
        subnets: &[&Subnet],
        configuration_id: ResourceConfigurationId,
    ) -> Result<(), ControlErrors> {
        const PROPERTY: &str = "ResourceConfigurationArn";
        let configuration = self
            .resource_configurations
            .require(configuration_id, PROPERTY)?;
        let gateway_id = configuration.resource_gateway_id;
        let gateway = self.resource_gateways.require(gateway_id, PROPERTY)?;
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

    /// What the endpoint leads to, and a place per subnet, at the chosen address or else at a free one.
    fn endpoint_places(
        &self,
        vpc: &Vpc,
        command: &CreateVpcEndpoint,
    ) -> Result<(ResourceConfigurationId, Vec<Place>), ControlErrors> {
        let subnets = (
            self.reachable(command),
            self.subnets_for(vpc, &command.subnet_ids),
        )
            .all()
            .and_then(|(configuration_id, subnets)| {
                self.check_zones(&subnets, configuration_id)?;
                Ok((configuration_id, subnets))
            });
        let ((configuration_id, subnets), chosen) = (subnets, self.chosen(command)).all()?;
        let places = subnets.iter().enumerate().map(|(index, subnet)| {
            let mut chosen = chosen.iter();
            let address = match chosen.find(|(subnet_id, _)| *subnet_id == subnet.subnet_id) {
                Some((_, address)) => *address,
                None => self.choose_address(subnet, None, &parse::item("SubnetIds", index))?,
            };
            Ok::<_, ControlError>(Place::new(subnet, vec![address]))
        });
        Ok((configuration_id, each(places)?))
    }

    /// The chosen addresses: each free, in the endpoint's own subnets, and one in each at most.
    fn chosen(
        &self,
        command: &CreateVpcEndpoint,
    ) -> Result<Vec<(SubnetId, Ipv4Addr)>, ControlErrors> {
        let chosen = &command.addresses;
        each(
            chosen
                .iter()
                .enumerate()
                .map(|(index, (subnet_id, given))| {
                    let property = parse::item(ADDRESSES, index);
                    let name = format!("subnet {}", self.named_subnet(*subnet_id));
                    if !command.subnet_ids.contains(subnet_id) {
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
                    let address = self.choose_address(subnet, Some(given), &property)?;
                    Ok((*subnet_id, address))
                }),
        )
    }
}

fn check_private_dns(command: &CreateVpcEndpoint) -> Result<(), ControlError> {
    match command.private_dns_enabled {
        None | Some(false) => Ok(()),
        Some(true) => Err(ControlError::NotYet {
            property: "PrivateDnsEnabled".to_owned(),
            what: "PrivateDnsEnabled: true".to_owned(),
            wanted: "false, and the endpoint's addresses",
        }),
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

fn check_type(given: Option<&str>) -> Result<(), ControlError> {
    let property = "VpcEndpointType".to_owned();
    let what = match given {
        Some("Resource") => return Ok(()),
        None => "endpoint type Gateway, CloudFormation's default,".to_owned(),
        Some(
            kind @ ("Interface" | "Gateway" | "GatewayLoadBalancer" | "ServiceNetwork" | "Tunnel"),
        ) => format!("endpoint type {kind}"),
        Some(other) => {
            return Err(ControlError::Malformed {
                property,
                given: other.to_owned(),
                wanted: "a type of endpoint",
                example: "Resource",
            });
        }
    };
    Err(ControlError::NotYet {
        property,
        what,
        wanted: "Resource",
    })
}
