//! A resource gateway: from its addresses, flows reach the resources of a provider VPC.

use super::network_interface::{Holder, Place};
use super::{Attachment, Tags};
use crate::control::command::CreateResourceGateway;
use crate::control::error::ControlError;
use crate::control::id::{
    Id, NetworkInterfaceId, ResourceGatewayId, SecurityGroupId, SubnetId, VpcId,
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
    ) -> Result<ResourceGatewayId, ControlError> {
        let token = command.client_token;
        self.fresh::<ResourceGatewayId>(&token)?;
        parse::lattice_name(&command.name, ResourceGatewayId::PREFIX)?;
        if let Some(by) = self.gateway_names.get(&command.name) {
            return Err(ControlError::NameTaken {
                name: command.name,
                by: format!("resource gateway {}", self.named_resource_gateway(*by)),
            });
        }
        if let Some(other) = command.ip_address_type.filter(|kind| kind != "IPV4") {
            return Err(ControlError::NotYet {
                property: "IpAddressType".to_owned(),
                what: format!("IP address type {other} of a resource gateway"),
                wanted: "IPV4",
            });
        }
        let per_eni: u8 = parse::number(
            "Ipv4AddressesPerEni",
            command.ipv4_addresses_per_eni.unwrap_or(16),
            (1, 62),
            "1 to 62",
        )?;
        let vpc = self.vpcs.require(command.vpc_identifier, "VpcIdentifier")?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let security_group_ids = self.groups_for(vpc, &command.security_group_ids, &vpc_name)?;
        let mut places = Vec::with_capacity(command.subnet_ids.len());
        for (index, subnet) in self
            .subnets_for(vpc, &command.subnet_ids)?
            .iter()
            .enumerate()
        {
            let block = subnet.addresses.block(per_eni.into()).ok_or_else(|| {
                self.exhausted(subnet, per_eni.into(), &parse::item("SubnetIds", index))
            })?;
            places.push(Place::new(subnet, block));
        }

        let id: ResourceGatewayId = self.mint.mint(&self.owner, &token);
        let holder = Holder {
            token: &token,
            noun: "resource gateway",
            id: id.to_string(),
            groups: &security_group_ids,
            source_dest_check: false,
            attachment: Attachment::ResourceGateway(id),
        };
        let places = places.into_iter();
        let network_interface_ids = places.map(|place| self.place(&holder, place)).collect();
        self.gateway_names.insert(command.name.clone(), id);
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
            network_interface_ids,
            status: ResourceGatewayStatus::Active,
            tags: command.tags,
            client_token: token,
        };
        self.resource_gateways.insert(id, gateway);
        Ok(id)
    }
}
