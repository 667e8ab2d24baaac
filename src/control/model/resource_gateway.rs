//! A resource gateway: from its addresses, flows reach the resources of a provider VPC.

use super::network_interface::{Holder, Place, SubnetsOf};
use super::{Attachment, NetworkInterface, Tags, Vpc};
use crate::control::checks::{All, each, unused};
use crate::control::command::CreateResourceGateway;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{
    Id, NetworkInterfaceId, ResourceConfigurationId, ResourceGatewayId, SecurityGroupId, SubnetId,
    VpcId,
};
use crate::control::{ControlState, parse};

/// A VPC Lattice resource gateway.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourceGateway {
    /// Its id.
    pub id: ResourceGatewayId,
    /// Its ARN.
    pub arn: String,
    /// 3 to 40 characters, unique in the account.
    pub name: String,
    /// The provider VPC.
    pub vpc_identifier: VpcId,
    /// One per zone.
    pub subnet_ids: Vec<SubnetId>,
    /// What its interfaces carry. Only their egress rules count.
    pub security_group_ids: Vec<SecurityGroupId>,
    /// IPv4 addresses of each interface, 1 to 62.
    pub ipv4_addresses_per_eni: u8,
    /// Whose view of names DNS resources behind it are looked up in.
    pub resource_config_dns_resolution: DnsResolution,
    /// One per subnet, in the order of `subnet_ids`.
    pub network_interface_ids: Vec<NetworkInterfaceId>,
    /// AWS's status.
    pub status: ResourceGatewayStatus,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

/// Where a gateway looks names up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DnsResolution {
    /// As everybody does.
    Public,
    /// As the instances of its VPC do.
    InVpc,
}

/// What a gateway is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResourceGatewayStatus {
    /// It can be used and deleted.
    Active,
}

impl ControlState {
    pub(in crate::control) fn create_resource_gateway(
        &mut self,
        command: CreateResourceGateway,
    ) -> Result<ResourceGatewayId, ControlErrors> {
        self.fresh::<ResourceGatewayId>(&command.client_token)?;
        self.own(command.vpc_identifier, "VpcIdentifier")?;
        let vpc = self.vpcs.require(command.vpc_identifier, "VpcIdentifier")?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let ((), (), resource_config_dns_resolution, security_group_ids, (per_eni, places)) = (
            self.check_gateway_name(&command.name),
            check_ip_address_type(command.ip_address_type.as_deref()),
            dns_resolution(command.resource_config_dns_resolution.as_deref()),
            self.groups_for(vpc, &command.security_group_ids, &vpc_name),
            self.gateway_places(vpc, &command),
        )
            .all()?;

        let id: ResourceGatewayId = self.mint.mint(&self.owner, &command.client_token);
        let holder = Holder {
            token: &command.client_token,
            noun: "resource gateway",
            id: id.to_string(),
            groups: &security_group_ids,
            source_dest_check: false,
            attachment: Attachment::ResourceGateway(id),
        };
        let places = places.into_iter();
        let network_interface_ids = places.map(|place| self.place(&holder, place)).collect();
        self.gateway_names
            .insert(self.owner.named(&command.name), id);
        let gateway = ResourceGateway {
            id,
            arn: self
                .owner
                .arn("vpc-lattice", &format!("resourcegateway/{id}")),
            name: command.name,
            vpc_identifier: command.vpc_identifier,
            subnet_ids: command.subnet_ids,
            security_group_ids,
            ipv4_addresses_per_eni: per_eni,
            resource_config_dns_resolution,
            network_interface_ids,
            status: ResourceGatewayStatus::Active,
            tags: command.tags,
            client_token: command.client_token,
        };
        self.resource_gateways.insert(id, gateway);
        Ok(id)
    }

    pub(in crate::control) fn delete_resource_gateway(
        &mut self,
        id: ResourceGatewayId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "ResourceGatewayIdentifier")?;
        let configurations = self.resource_configurations.iter();
        let by = configurations
            .filter(|configuration| configuration.resource_gateway_id == id)
            .map(|configuration| {
                let name = self.named_resource_configuration(configuration.id);
                format!("resource configuration {name}")
            });
        let what = format!("resource gateway {}", self.named_resource_gateway(id));
        unused("ConflictException", what, by, "delete that first")?;
        if let Some(gateway) = self.resource_gateways.remove(&id) {
            for interface in gateway.network_interface_ids {
                self.displace(interface);
            }
            self.gateway_names.remove(&self.owner.named(&gateway.name));
        }
        self.mint.release(id);
        Ok(())
    }

    /// The interface of a resource configuration's gateway in this zone.
    pub fn gateway_interface_in(
        &self,
        id: ResourceConfigurationId,
        zone: &str,
    ) -> Option<&NetworkInterface> {
        let configuration = self.resource_configuration(&id)?;
        let gateway = self.resource_gateway(&configuration.resource_gateway_id)?;
        let interfaces = gateway.network_interface_ids.iter();
        let mut interfaces = interfaces.filter_map(|id| self.network_interface(id));
        interfaces.find(|interface| interface.availability_zone == zone)
    }

    fn check_gateway_name(&self, name: &str) -> Result<(), ControlError> {
        parse::lattice_name(name, ResourceGatewayId::PREFIX)?;
        match self.gateway_names.get(&self.owner.named(name)) {
            None => Ok(()),
            Some(by) => Err(ControlError::NameTaken {
                code: "ConflictException",
                name: name.to_owned(),
                by: format!("resource gateway {}", self.named_resource_gateway(*by)),
            }),
        }
    }

    /// How many addresses an interface has, and a place with a block of so many in each subnet.
    fn gateway_places(
        &self,
        vpc: &Vpc,
        command: &CreateResourceGateway,
    ) -> Result<(u8, Vec<Place>), ControlErrors> {
        let per_eni = parse::number(
            "Ipv4AddressesPerEni",
            command.ipv4_addresses_per_eni.unwrap_or(16),
            (1, 62),
            "1 to 62",
        );
        let subnets = self.subnets_for(vpc, &command.subnet_ids, SubnetsOf::SubnetIds);
        let (per_eni, subnets): (u8, _) = (per_eni, subnets).all()?;
        let count = usize::from(per_eni);
        let places = subnets.iter().enumerate().map(|(index, subnet)| {
            let property = parse::item("SubnetIds", index);
            let interface = self.interface_in(subnet, &command.client_token);
            match subnet.addresses.block(count, interface) {
                Some(block) => Ok(Place::new(subnet, block)),
                None => Err(self.exhausted(subnet, count, &property)),
            }
        });
        Ok((per_eni, each(places)?))
    }
}

fn check_ip_address_type(given: Option<&str>) -> Result<(), ControlError> {
    match given {
        None | Some("IPV4") => Ok(()),
        Some(other) => Err(ControlError::NotYet {
            property: "IpAddressType".to_owned(),
            what: format!("IP address type {other} of a resource gateway"),
            wanted: "IPV4",
        }),
    }
}

fn dns_resolution(given: Option<&str>) -> Result<DnsResolution, ControlError> {
    match given {
        None | Some("PUBLIC") => Ok(DnsResolution::Public),
        Some("IN_VPC") => Ok(DnsResolution::InVpc),
        Some(other) => Err(ControlError::Malformed {
            property: "ResourceConfigDnsResolution".to_owned(),
            given: other.to_owned(),
            wanted: "PUBLIC or IN_VPC",
            example: "IN_VPC",
        }),
    }
}
