//! A VPC: an address space of its own. Two of them may have the same CIDR.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Tags;
use super::resource_configuration::PRIVATE;
use crate::control::checks::unused;
use crate::control::command::CreateVpc;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{HostedZoneId, SecurityGroupId, SubnetId, VpcEndpointId, VpcId};
use crate::control::{ControlState, DomainName, parse};
use crate::dataplane::config::VpcIdx;

/// A virtual private cloud.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Vpc {
    /// Its id.
    pub vpc_id: VpcId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: VpcIdx,
    /// The account that it belongs to.
    pub owner_id: String,
    /// `/16` to `/28`, without host bits.
    pub cidr_block: Ipv4Net,
    /// The group of interfaces that were given none.
    pub default_security_group: SecurityGroupId,
    /// Does the resolver answer?
    pub enable_dns_support: bool,
    /// Do instances have DNS names?
    pub enable_dns_hostnames: bool,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(skip)]
    pub client_token: String,
    /// Its subnets by first address; they never overlap.
    #[serde(skip)]
    pub(in crate::control) subnets: BTreeMap<Ipv4Addr, SubnetId>,
    /// Its security groups by name.
    #[serde(skip)]
    pub(in crate::control) group_names: BTreeMap<String, SecurityGroupId>,
    /// The hosted zones that it is associated with, by name.
    #[serde(skip)]
    pub(in crate::control) hosted_zones: BTreeMap<DomainName, HostedZoneId>,
    /// What its endpoints claim of its names.
    #[serde(skip)]
    pub(in crate::control) private_domains: BTreeMap<DomainName, VpcEndpointId>,
}

impl Vpc {
    /// Where its resolver is asked, if it has DNS support. Its own address is one that every subnet keeps free.
    pub fn resolver_addresses(&self) -> [Ipv4Addr; 2] {
        let base = u32::from(self.cidr_block.network());
        [Ipv4Addr::from(base | 2), Ipv4Addr::new(169, 254, 169, 253)]
    }

    /// The part of its range that resources may have their addresses in.
    pub fn private_range(&self) -> Option<Ipv4Net> {
        // A VPC's range is no larger than any of them: it is in one as a whole, or not at all.
        let is_in = |range: &Ipv4Net| range.contains(&self.cidr_block);
        PRIVATE.iter().any(is_in).then_some(self.cidr_block)
    }

    /// Does its resolver know private names: of instances, of private hosted zones, of endpoints' private DNS?
    pub fn has_private_names(&self) -> bool {
        self.enable_dns_support && self.enable_dns_hostnames
    }
}

impl ControlState {
    pub(in crate::control) fn create_vpc(
        &mut self,
        command: CreateVpc,
    ) -> Result<VpcId, ControlErrors> {
        let token = command.client_token;
        self.fresh::<VpcId>(&token)?;
        let cidr_block = parse::ipv4_range("CidrBlock", &command.cidr_block)?;
        if !(16..=28).contains(&cidr_block.prefix_len()) {
            return Err(ControlError::VpcRange { given: cidr_block }.into());
        }
        check_purpose(cidr_block)?;
        let vpc_id = self.mint.mint(&self.owner, &token);
        let default = self.default_group(vpc_id, &token);
        let vpc = Vpc {
            vpc_id,
            idx: self.indices.vpcs.allocate(vpc_id),
            owner_id: self.owner.account_id().to_owned(),
            cidr_block,
            default_security_group: default.group_id,
            enable_dns_support: command.enable_dns_support.unwrap_or(true),
            enable_dns_hostnames: command.enable_dns_hostnames.unwrap_or(false),
            tags: command.tags,
            client_token: token,
            subnets: BTreeMap::new(),
            group_names: BTreeMap::from([(default.group_name.clone(), default.group_id)]),
            hosted_zones: BTreeMap::new(),
            private_domains: BTreeMap::new(),
        };
        self.security_groups.insert(default.group_id, default);
        self.vpcs.insert(vpc_id, vpc);
        Ok(vpc_id)
    }

    pub(in crate::control) fn delete_vpc(&mut self, vpc_id: VpcId) -> Result<(), ControlErrors> {
        self.own(vpc_id, "VpcId")?;
        let vpc = self.vpcs.require(vpc_id, "VpcId")?;
        let default = vpc.default_security_group;
        let subnets = vpc.subnets.values();
        let subnets = subnets.map(|id| format!("subnet {}", self.named_subnet(*id)));
        let groups = vpc.group_names.values().filter(|id| **id != default);
        let groups = groups.map(|id| format!("security group {}", self.named_security_group(*id)));
        let target_groups = self.target_groups.iter().filter(|g| g.vpc_id == vpc_id);
        let target_groups =
            target_groups.map(|g| format!("target group {}", self.named_target_group(g.id)));
        let hosted_zones = vpc.hosted_zones.values();
        let hosted_zones =
            hosted_zones.map(|id| format!("hosted zone {}", self.named_hosted_zone(*id)));
        unused(
            "DependencyViolation",
            format!("VPC {}", self.named_vpc(vpc_id)),
            subnets
                .chain(groups)
                .chain(target_groups)
                .chain(hosted_zones),
            "delete those first",
        )?;
        self.remove_group(default);
        if let Some(vpc) = self.vpcs.remove(&vpc_id) {
            self.indices.vpcs.release(vpc.idx);
        }
        self.mint.release(vpc_id);
        Ok(())
    }
}

/// Is it no range that VPCs cannot have?
fn check_purpose(given: Ipv4Net) -> Result<(), ControlError> {
    let [first, second, ..] = given.network().octets();
    let purpose = match (first, second) {
        (0, _) => "this network",
        (127, _) => "loopback",
        (169, 254) => "link-local addresses, of which 169.254.169.253 is the resolver's",
        (224..240, _) => "multicast",
        _ => return Ok(()),
    };
    Err(ControlError::VpcRangeReserved { given, purpose })
}
