//! A subnet: a range of a VPC in one availability zone. Its pool hands out the addresses.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Tags, Vpc};
use crate::control::checks::{All, unused};
use crate::control::command::CreateSubnet;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{SubnetId, VpcId};
use crate::control::ipam::AddressPool;
use crate::control::{ControlState, parse};

/// A subnet.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Subnet {
    /// Its id.
    pub subnet_id: SubnetId,
    /// Whose part it is.
    pub vpc_id: VpcId,
    /// The account that it belongs to.
    pub owner_id: String,
    /// `/16` to `/28`, without host bits, inside the VPC's.
    pub cidr_block: Ipv4Net,
    /// For example `ap-northeast-1a`.
    pub availability_zone: String,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(skip)]
    pub client_token: String,
    /// Who has which address.
    #[serde(skip)]
    pub(in crate::control) addresses: AddressPool,
}

impl Subnet {
    /// How many addresses are still free; AWS's `AvailableIpAddressCount`.
    pub fn available_ip_address_count(&self) -> u32 {
        self.addresses.free()
    }
}

impl ControlState {
    pub(in crate::control) fn create_subnet(
        &mut self,
        command: CreateSubnet,
    ) -> Result<SubnetId, ControlErrors> {
        let token = command.client_token;
        self.fresh::<SubnetId>(&token)?;
        self.own(command.vpc_id, "VpcId")?;
        let vpc = self.vpcs.require(command.vpc_id, "VpcId")?;
        let (cidr_block, availability_zone) = (
            self.range(vpc, &command.cidr_block),
            self.zone(command.availability_zone),
        )
            .all()?;
        let subnet_id = self.mint.mint(&self.owner, &token);
        let subnet = Subnet {
            subnet_id,
            vpc_id: command.vpc_id,
            owner_id: self.owner.account_id().to_owned(),
            cidr_block,
            availability_zone,
            tags: command.tags,
            client_token: token,
            addresses: self.predecessor.addresses(subnet_id, cidr_block),
        };
        if let Some(vpc) = self.vpcs.find_mut(&subnet.vpc_id) {
            vpc.subnets.insert(cidr_block.network(), subnet_id);
        }
        self.subnets.insert(subnet_id, subnet);
        Ok(subnet_id)
    }

    pub(in crate::control) fn delete_subnet(
        &mut self,
        subnet_id: SubnetId,
    ) -> Result<(), ControlErrors> {
        self.own(subnet_id, "SubnetId")?;
        let interfaces = self.network_interfaces.iter();
        let by = interfaces
            .filter(|interface| interface.subnet_id == subnet_id)
            .map(|interface| self.interface_name(interface.network_interface_id));
        let what = format!("subnet {}", self.named_subnet(subnet_id));
        unused("DependencyViolation", what, by, "delete that first")?;
        if let Some(subnet) = self.subnets.remove(&subnet_id)
            && let Some(vpc) = self.vpcs.find_mut(&subnet.vpc_id)
        {
            vpc.subnets.remove(&subnet.cidr_block.network());
        }
        self.mint.release(subnet_id);
        Ok(())
    }

    /// A range inside the VPC's that overlaps no other subnet.
    fn range(&self, vpc: &Vpc, given: &str) -> Result<Ipv4Net, ControlError> {
        let range = parse::ipv4_range("CidrBlock", given)?;
        if !(16..=28).contains(&range.prefix_len()) {
            return Err(ControlError::SubnetRange { given: range });
        }
        if !vpc.cidr_block.contains(&range) {
            return Err(ControlError::SubnetOutsideVpc {
                given: range,
                vpc: self.named_vpc(vpc.vpc_id),
                vpc_cidr: vpc.cidr_block,
                free: self.free_range(vpc, range.prefix_len()),
            });
        }
        match self.overlapping(vpc, range) {
            None => Ok(range),
            Some(other) => Err(ControlError::SubnetConflict {
                given: range,
                other: self.named_subnet(other.subnet_id),
                other_cidr: other.cidr_block,
                free: self.free_range(vpc, range.prefix_len()),
            }),
        }
    }

    /// The subnet that shares an address with `range`. Ranges nest or are disjoint, and subnets never nest: only the
    /// last one that begins at or before the end of `range` can.
    fn overlapping(&self, vpc: &Vpc, range: Ipv4Net) -> Option<&Subnet> {
        let (_, subnet_id) = vpc.subnets.range(..=range.broadcast()).next_back()?;
        self.subnet(subnet_id)
            .filter(|subnet| subnet.cidr_block.broadcast() >= range.network())
    }

    /// The lowest range of this size in which no subnet stands.
    fn free_range(&self, vpc: &Vpc, prefix_len: u8) -> Option<Ipv4Net> {
        let mut start = vpc.cidr_block.network();
        loop {
            let range = Ipv4Net::new(start, prefix_len).ok()?.trunc();
            if !vpc.cidr_block.contains(&range) {
                return None;
            }
            let last = match self.overlapping(vpc, range) {
                None => return Some(range),
                Some(subnet) => range.broadcast().max(subnet.cidr_block.broadcast()),
            };
            start = Ipv4Addr::from(u32::from(last).checked_add(1)?);
        }
    }

    fn zone(&self, given: Option<String>) -> Result<String, ControlError> {
        let region = self.owner.region();
        let Some(zone) = given else {
            return Ok(format!("{region}a"));
        };
        match zone.strip_prefix(region).map(str::as_bytes) {
            Some([b'a'..=b'z']) => Ok(zone),
            _ => Err(ControlError::Zone {
                given: zone,
                region: region.to_owned(),
            }),
        }
    }
}
