//! A VPC endpoint: where a consumer VPC reaches a resource of another VPC.

use super::network_interface::{Holder, Place};
use super::{Attachment, Subnet, Tags};
use crate::control::command::CreateVpcEndpoint;
use crate::control::error::ControlError;
use crate::control::id::*;
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

/// The states of an endpoint (EC2's `State`). Traffic passes in `Available` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The provider has yet to accept or reject; the consumer may delete.
    PendingAcceptance,
    /// It is being made or changed.
    Pending,
    /// Traffic passes; the provider may still reject.
    Available,
    /// The provider said no; it may still accept.
    Rejected,
    /// Nobody accepted in time; the consumer may delete.
    Expired,
    /// It could not be made; the consumer may delete.
    Failed,
    /// Some of its zones could not be made.
    Partial,
    /// It is being deleted.
    Deleting,
    /// It is gone.
    Deleted,
}

impl State {
    /// AWS's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingAcceptance => "pendingAcceptance",
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

/// Where chosen addresses stand.
const ADDRESSES: &str = "Metadata.privlink.Addresses";

impl ControlState {
    pub(in crate::control) fn create_vpc_endpoint(
        &mut self,
        command: CreateVpcEndpoint,
    ) -> Result<VpcEndpointId, ControlError> {
        self.fresh::<VpcEndpointId>(&command.client_token)?;
        check_kind(&command)?;
        let vpc = self.vpcs.require(command.vpc_id, "VpcId")?;
        let resource_configuration_id = self.reachable(&command)?;
        let vpc_name = format!("VPC {}", self.named_vpc(vpc.vpc_id));
        let groups = self.groups_for(vpc, &command.security_group_ids, &vpc_name)?;
        let subnets = self.subnets_for(vpc, &command.subnet_ids)?;
        self.check_zones(&subnets, resource_configuration_id)?;
        let places = self.endpoint_places(&subnets, &command.addresses)?;

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
            // Consumer and provider are one account: nobody is asked to accept.
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
    ) -> Result<(), ControlError> {
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
        let stranger = |subnet: &&Subnet| !zones.contains(&subnet.availability_zone.as_str());
        match subnets
            .iter()
            .position(stranger)
            .and_then(|index| Some((index, subnets.get(index)?)))
        {
            None => Ok(()),
            Some((index, subnet)) => Err(ControlError::NoGatewayInZone {
                property: parse::item("SubnetIds", index),
                subnet: self.named_subnet(subnet.subnet_id),
                zone: subnet.availability_zone.clone(),
                gateway: self.named_resource_gateway(gateway_id),
                zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
            }),
        }
    }

    /// A place per subnet, at the chosen address or else at a free one.
    fn endpoint_places(
        &self,
        subnets: &[&Subnet],
        chosen: &[(SubnetId, String)],
    ) -> Result<Vec<Place>, ControlError> {
        self.check_chosen(subnets, chosen)?;
        let places = subnets.iter().enumerate().map(|(index, subnet)| {
            let mut pinned = chosen.iter().enumerate();
            let (given, property) = match pinned
                .find(|(_, (subnet_id, _))| *subnet_id == subnet.subnet_id)
            {
                Some((at, (_, address))) => (Some(address.as_str()), parse::item(ADDRESSES, at)),
                None => (None, parse::item("SubnetIds", index)),
            };
            let address = self.choose_address(subnet, given, &property)?;
            Ok(Place::new(subnet, vec![address]))
        });
        places.collect()
    }

    /// Are addresses chosen in the endpoint's own subnets, and one in each at most?
    fn check_chosen(
        &self,
        subnets: &[&Subnet],
        chosen: &[(SubnetId, String)],
    ) -> Result<(), ControlError> {
        for (index, (subnet_id, _)) in chosen.iter().enumerate() {
            let property = parse::item(ADDRESSES, index);
            let name = format!("subnet {}", self.named_subnet(*subnet_id));
            if !subnets.iter().any(|subnet| subnet.subnet_id == *subnet_id) {
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
        }
        Ok(())
    }
}

/// Refuses what is not there yet.
fn check_kind(command: &CreateVpcEndpoint) -> Result<(), ControlError> {
    check_type(command.vpc_endpoint_type.as_deref())?;
    let (property, what, wanted) = match command.ip_address_type.as_deref() {
        _ if command.private_dns_enabled == Some(true) => (
            "PrivateDnsEnabled",
            "PrivateDnsEnabled: true".to_owned(),
            "false, and the endpoint's addresses",
        ),
        None | Some("ipv4") => return Ok(()),
        Some(other) => (
            "IpAddressType",
            format!("IP address type {other} of an endpoint"),
            "ipv4",
        ),
    };
    Err(ControlError::NotYet {
        property: property.to_owned(),
        what,
        wanted,
    })
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
