//! An elastic network interface: where an instance, an endpoint, a resource gateway or a load balancer stands in a VPC.

use std::net::Ipv4Addr;

use super::{Subnet, Vpc};
use crate::control::checks::each;
use crate::control::error::{ControlError, ControlErrors, Named};
use crate::control::id::*;
use crate::control::ipam::Unavailable;
use crate::control::{ControlState, parse};
use crate::dataplane::EniIdx;

/// An elastic network interface.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInterface {
    /// Its id.
    pub network_interface_id: NetworkInterfaceId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: EniIdx,
    /// Whose address space it stands in.
    pub vpc_id: VpcId,
    /// Where its addresses come from.
    pub subnet_id: SubnetId,
    /// The subnet's zone.
    pub availability_zone: String,
    /// Primary first; a resource gateway's interface has a whole block.
    pub private_ip_addresses: Vec<Ipv4Addr>,
    /// Its security groups; only a load balancer's may be none.
    pub groups: Vec<SecurityGroupId>,
    /// May only its own addresses be a packet's source?
    pub source_dest_check: bool,
    /// Who stands behind it.
    pub attachment: Attachment,
    /// For people.
    pub description: String,
}

impl NetworkInterface {
    /// Its first address.
    pub fn private_ip_address(&self) -> Option<Ipv4Addr> {
        self.private_ip_addresses.first().copied()
    }
}

/// Who stands behind an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Attachment {
    /// An instance.
    #[serde(rename = "InstanceId")]
    Instance(InstanceId),
    /// A VPC endpoint.
    #[serde(rename = "VpcEndpointId")]
    VpcEndpoint(VpcEndpointId),
    /// A resource gateway.
    #[serde(rename = "ResourceGatewayId")]
    ResourceGateway(ResourceGatewayId),
    /// A load balancer: this is its node in one zone.
    #[serde(rename = "LoadBalancerId")]
    LoadBalancer(LoadBalancerId),
}

/// A place for an interface that a command's checks have found: its addresses are free.
pub(super) struct Place {
    vpc_id: VpcId,
    subnet_id: SubnetId,
    availability_zone: String,
    addresses: Vec<Ipv4Addr>,
}

impl Place {
    pub(super) fn new(subnet: &Subnet, addresses: Vec<Ipv4Addr>) -> Self {
        Self {
            vpc_id: subnet.vpc_id,
            subnet_id: subnet.subnet_id,
            availability_zone: subnet.availability_zone.clone(),
            addresses,
        }
    }
}

/// Who shall stand behind interfaces.
pub(super) struct Holder<'a> {
    /// Decides the interfaces' ids.
    pub(super) token: &'a str,
    pub(super) noun: &'static str,
    pub(super) id: String,
    pub(super) groups: &'a [SecurityGroupId],
    pub(super) source_dest_check: bool,
    pub(super) attachment: Attachment,
}

/// Where a command lists subnets.
#[derive(Clone, Copy)]
pub(super) enum SubnetsOf {
    /// `SubnetIds`.
    SubnetIds,
    /// `Subnets`.
    Subnets,
    /// `SubnetMappings`, as their `SubnetId`.
    SubnetMappings,
}

impl SubnetsOf {
    const fn list(self) -> &'static str {
        match self {
            Self::SubnetIds => "SubnetIds",
            Self::Subnets => "Subnets",
            Self::SubnetMappings => "SubnetMappings",
        }
    }

    /// The property of one of them.
    pub(super) fn item(self, index: usize) -> String {
        let item = parse::item(self.list(), index);
        match self {
            Self::SubnetMappings => item + ".SubnetId",
            Self::SubnetIds | Self::Subnets => item,
        }
    }
}

/// The token of a holder's interface in a subnet.
fn token(holder: &str, subnet_id: SubnetId) -> String {
    format!("{holder}/{subnet_id}")
}

impl ControlState {
    /// Makes an interface of `holder` at `place`.
    pub(super) fn place(&mut self, holder: &Holder, place: Place) -> NetworkInterfaceId {
        let token = token(holder.token, place.subnet_id);
        let network_interface_id = self.mint.mint(&self.owner, &token);
        if let Some(subnet) = self.subnets.find_mut(&place.subnet_id) {
            for address in &place.addresses {
                subnet.addresses.claim(*address, network_interface_id);
            }
        }
        let interface = NetworkInterface {
            network_interface_id,
            idx: self.indices.enis.allocate(network_interface_id),
            vpc_id: place.vpc_id,
            subnet_id: place.subnet_id,
            availability_zone: place.availability_zone,
            private_ip_addresses: place.addresses,
            groups: holder.groups.to_vec(),
            source_dest_check: holder.source_dest_check,
            attachment: holder.attachment,
            description: format!("{} {}", holder.noun, Named::new(holder.token, &holder.id)),
        };
        self.enis.insert(interface.idx, network_interface_id);
        self.network_interfaces
            .insert(network_interface_id, interface);
        network_interface_id
    }

    /// Takes an interface away, and its addresses back.
    pub(super) fn displace(&mut self, id: NetworkInterfaceId) {
        let Some(interface) = self.network_interfaces.remove(&id) else {
            return;
        };
        if let Some(subnet) = self.subnets.find_mut(&interface.subnet_id) {
            for address in &interface.private_ip_addresses {
                subnet.addresses.release(*address);
            }
        }
        self.enis.remove(&interface.idx);
        self.indices.enis.release(interface.idx);
        self.mint.release(id);
    }

    /// An interface as messages name it.
    pub(super) fn interface_name(&self, id: NetworkInterfaceId) -> String {
        let interface = self.network_interface(&id);
        let description = interface.map(|interface| interface.description.as_str());
        match description.or_else(|| self.predecessor.description(id)) {
            Some(description) => format!("{id}, {description}"),
            None => id.to_string(),
        }
    }

    /// The interface that [`place`](Self::place) will make in this subnet for the holder with this token.
    pub(super) fn interface_in(&self, subnet: &Subnet, holder: &str) -> NetworkInterfaceId {
        self.mint
            .next(&self.owner, &token(holder, subnet.subnet_id))
    }

    /// The address that the interface of the holder with this token is to have: the one given as `property`, or else a free one.
    pub(super) fn choose_address(
        &self,
        subnet: &Subnet,
        holder: &str,
        given: Option<&str>,
        property: &str,
    ) -> Result<Ipv4Addr, ControlError> {
        let interface = self.interface_in(subnet, holder);
        let Some(given) = given else {
            return subnet
                .addresses
                .lowest_free(interface)
                .ok_or_else(|| self.exhausted(subnet, 1, property));
        };
        let address = parse::ipv4_address(property, given)?;
        match subnet.addresses.check(address, interface) {
            Ok(()) => Ok(address),
            Err(why) => {
                let free = subnet.addresses.lowest_free(interface);
                Err(self.unavailable(subnet, address, free, why, property))
            }
        }
    }

    pub(super) fn exhausted(&self, subnet: &Subnet, wanted: usize, property: &str) -> ControlError {
        ControlError::SubnetExhausted {
            property: property.to_owned(),
            wanted,
            free: subnet.addresses.free(),
            capacity: subnet.addresses.capacity(),
            subnet: self.named_subnet(subnet.subnet_id),
            range: subnet.cidr_block,
        }
    }

    fn unavailable(
        &self,
        subnet: &Subnet,
        given: Ipv4Addr,
        free: Option<Ipv4Addr>,
        why: Unavailable,
        property: &str,
    ) -> ControlError {
        let property = property.to_owned();
        let range = subnet.cidr_block;
        let subnet = self.named_subnet(subnet.subnet_id);
        match why {
            Unavailable::Outside => ControlError::AddressOutsideSubnet {
                property,
                given,
                subnet,
                range,
                free,
            },
            Unavailable::Reserved(purpose) => ControlError::AddressReserved {
                property,
                given,
                purpose,
                subnet,
                free,
            },
            Unavailable::Taken(by) => ControlError::AddressTaken {
                property,
                given,
                subnet,
                by: self.interface_name(by),
                free,
            },
        }
    }

    /// The subnets of one command: known, of `vpc`, and in a zone each.
    pub(super) fn subnets_for(
        &self,
        vpc: &Vpc,
        given: &[SubnetId],
        place: SubnetsOf,
    ) -> Result<Vec<&Subnet>, ControlErrors> {
        if given.is_empty() {
            return Err(ControlError::Missing {
                property: place.list().to_owned(),
                wanted: "name at least one subnet",
            }
            .into());
        }
        each(given.iter().enumerate().map(|(index, subnet_id)| {
            let property = place.item(index);
            let subnet = self.subnet_of(vpc, *subnet_id, &property)?;
            let same_zone = |earlier: &&Subnet| {
                earlier.vpc_id == vpc.vpc_id
                    && earlier.availability_zone == subnet.availability_zone
            };
            let mut earlier = given.iter().take(index).filter_map(|id| self.subnet(id));
            if given.iter().take(index).any(|id| id == subnet_id) {
                return Err(ControlError::Repeated {
                    property,
                    given: format!("subnet {}", self.named_subnet(*subnet_id)),
                });
            }
            if let Some(first) = earlier.find(same_zone) {
                return Err(ControlError::DuplicateSubnetsInSameZone {
                    property,
                    first: self.named_subnet(first.subnet_id),
                    second: self.named_subnet(*subnet_id),
                    zone: subnet.availability_zone.clone(),
                });
            }
            Ok(subnet)
        }))
    }

    fn subnet_of(
        &self,
        vpc: &Vpc,
        subnet_id: SubnetId,
        property: &str,
    ) -> Result<&Subnet, ControlError> {
        self.own(subnet_id, property)?;
        let subnet = self.subnets.require(subnet_id, property)?;
        match subnet.vpc_id == vpc.vpc_id {
            true => Ok(subnet),
            false => Err(ControlError::SubnetOfOtherVpc {
                property: property.to_owned(),
                subnet: self.named_subnet(subnet_id),
                vpc: self.named_vpc(vpc.vpc_id),
                choices: vpc
                    .subnets
                    .values()
                    .map(|subnet_id| self.named_subnet(*subnet_id).to_string())
                    .collect(),
            }),
        }
    }
}
