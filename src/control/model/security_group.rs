//! A security group: who may open flows to its members, and to whom they may.

use std::fmt;

use ipnet::IpNet;

use super::{Tags, Vpc};
use crate::control::checks::{All, each, unused};
use crate::control::command::CreateSecurityGroup;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{SecurityGroupId, SecurityGroupRuleId, VpcId};
use crate::control::{ControlState, parse};
use crate::dataplane::config::{GroupIdx, Traffic};

/// How many groups an interface may carry (AWS: 5, on request up to 16).
pub const GROUPS_PER_INTERFACE: usize = 5;
/// How many rules a group may have in each direction.
pub const RULES_PER_DIRECTION: usize = 60;

const DEFAULT_NAME: &str = "default";

/// A security group.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityGroup {
    /// Its id.
    pub group_id: SecurityGroupId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: GroupIdx,
    /// Unique in its VPC.
    pub group_name: String,
    /// What it is for.
    pub description: String,
    /// Whose interfaces may carry it.
    pub vpc_id: VpcId,
    /// The account that it belongs to.
    pub owner_id: String,
    /// Who may open flows to its members.
    #[serde(skip)]
    pub ingress: Vec<SecurityGroupRule>,
    /// To whom its members may open flows.
    #[serde(skip)]
    pub egress: Vec<SecurityGroupRule>,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(skip)]
    pub client_token: String,
}

/// One rule of a security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupRule {
    /// Its id.
    pub security_group_rule_id: SecurityGroupRuleId,
    /// Which packets.
    pub traffic: Traffic,
    /// With whom.
    pub peer: RulePeer,
    /// For people.
    pub description: Option<String>,
    /// Did the group begin with it? Such a rule gives way to a template's egress rules.
    pub is_default: bool,
}

/// The other side of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulePeer {
    /// An address range, without host bits.
    Cidr(IpNet),
    /// All interfaces that carry this group.
    Group(SecurityGroupId),
}

impl fmt::Display for SecurityGroupRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |number: Option<u8>| number.map_or("any".to_owned(), |number| number.to_string());
        match self.traffic {
            Traffic::All => write!(f, "all traffic")?,
            Traffic::Tcp(ports) => write!(f, "tcp {}-{}", ports.first, ports.last)?,
            Traffic::Udp(ports) => write!(f, "udp {}-{}", ports.first, ports.last)?,
            Traffic::Icmp { kind, code } => write!(f, "icmp {}/{}", any(kind), any(code))?,
            Traffic::Icmpv6 { kind, code } => write!(f, "icmpv6 {}/{}", any(kind), any(code))?,
            Traffic::Protocol(number) => write!(f, "protocol {number}")?,
        }
        match self.peer {
            RulePeer::Cidr(range) => write!(f, " with {range}"),
            RulePeer::Group(group) => write!(f, " with {group}"),
        }
    }
}

impl ControlState {
    pub(in crate::control) fn create_security_group(
        &mut self,
        command: CreateSecurityGroup,
    ) -> Result<SecurityGroupId, ControlErrors> {
        let token = command.client_token;
        self.fresh::<SecurityGroupId>(&token)?;
        self.own(command.vpc_id, "VpcId")?;
        let vpc = self.vpcs.require(command.vpc_id, "VpcId")?;
        let name = command.group_name.unwrap_or_else(|| token.clone());
        check_name(&name)?;
        if let Some(by) = vpc.group_names.get(&name) {
            return Err(ControlError::GroupNameTaken {
                name,
                by: self.named_security_group(*by),
                vpc: self.named_vpc(vpc.vpc_id),
            }
            .into());
        }
        let mut group = self.empty_group(command.vpc_id, &token);
        group.group_name = name;
        group.description = command.group_description;
        group.tags = command.tags;
        let group_id = group.group_id;
        if let Some(vpc) = self.vpcs.find_mut(&group.vpc_id) {
            vpc.group_names.insert(group.group_name.clone(), group_id);
        }
        self.security_groups.insert(group_id, group);
        Ok(group_id)
    }

    pub(in crate::control) fn delete_security_group(
        &mut self,
        group_id: SecurityGroupId,
    ) -> Result<(), ControlErrors> {
        self.own(group_id, "GroupId")?;
        let group = self.security_groups.require(group_id, "GroupId")?;
        let what = format!("security group {}", self.named_security_group(group_id));
        if group.group_name == DEFAULT_NAME {
            return Err(ControlError::NotPermitted {
                code: "CannotDelete",
                what: format!("{what} is the default of its VPC"),
                instead: "it goes with the VPC",
            }
            .into());
        }
        let interfaces = self.network_interfaces.iter();
        let interfaces = interfaces
            .filter(|interface| interface.groups.contains(&group_id))
            .map(|interface| self.interface_name(interface.network_interface_id));
        let names_it = |group: &&SecurityGroup| {
            let mut rules = group.ingress.iter().chain(&group.egress);
            group.group_id != group_id && rules.any(|rule| rule.peer == RulePeer::Group(group_id))
        };
        let groups = self.security_groups.iter().filter(names_it);
        let groups = groups.map(|group| {
            let name = self.named_security_group(group.group_id);
            format!("a rule of security group {name}")
        });
        let by = interfaces.chain(groups);
        unused("DependencyViolation", what, by, "take it away there first")?;
        self.remove_group(group_id);
        Ok(())
    }

    /// Takes a group away with its rules.
    pub(super) fn remove_group(&mut self, group_id: SecurityGroupId) {
        let Some(group) = self.security_groups.remove(&group_id) else {
            return;
        };
        if let Some(vpc) = self.vpcs.find_mut(&group.vpc_id) {
            vpc.group_names.remove(&group.group_name);
        }
        for rule in group.ingress.iter().chain(&group.egress) {
            self.mint.release(rule.security_group_rule_id);
        }
        self.indices.groups.release(group.idx);
        self.mint.release(group_id);
    }

    /// A new VPC's `default` group: its members may reach each other, and everything outside.
    pub(super) fn default_group(&mut self, vpc_id: VpcId, vpc_token: &str) -> SecurityGroup {
        let token = format!("{vpc_token}/default");
        let mut group = self.empty_group(vpc_id, &token);
        group.group_name = DEFAULT_NAME.to_owned();
        group.description = "default VPC security group".to_owned();
        group.ingress = vec![SecurityGroupRule {
            security_group_rule_id: self.mint.mint(&self.owner, &format!("{token}/ingress")),
            traffic: Traffic::All,
            peer: RulePeer::Group(group.group_id),
            description: None,
            is_default: true,
        }];
        group
    }

    /// A group that lets nothing in and everything out.
    fn empty_group(&mut self, vpc_id: VpcId, token: &str) -> SecurityGroup {
        let everywhere = [
            ("ipv4", IpNet::V4(Default::default())),
            ("ipv6", IpNet::V6(Default::default())),
        ];
        let egress = everywhere.map(|(family, range)| SecurityGroupRule {
            security_group_rule_id: self
                .mint
                .mint(&self.owner, &format!("{token}/egress/{family}")),
            traffic: Traffic::All,
            peer: RulePeer::Cidr(range),
            description: None,
            is_default: true,
        });
        let group_id = self.mint.mint(&self.owner, token);
        SecurityGroup {
            group_id,
            idx: self.indices.groups.allocate(group_id),
            group_name: String::new(),
            description: String::new(),
            vpc_id,
            owner_id: self.owner.account_id().to_owned(),
            ingress: Vec::new(),
            egress: egress.into(),
            tags: Tags::default(),
            client_token: token.to_owned(),
        }
    }

    /// The groups that an interface in `vpc` is to carry: those given, or else the VPC's default.
    pub(super) fn groups_for(
        &self,
        vpc: &Vpc,
        given: &[SecurityGroupId],
        what: &str,
    ) -> Result<Vec<SecurityGroupId>, ControlErrors> {
        match given.is_empty() {
            true => Ok(vec![vpc.default_security_group]),
            false => self.groups_of(vpc, given, what, "SecurityGroupIds"),
        }
    }

    /// The groups that `property` lists: not too many, known, and of `vpc`.
    pub(super) fn groups_of(
        &self,
        vpc: &Vpc,
        given: &[SecurityGroupId],
        what: &str,
        list: &str,
    ) -> Result<Vec<SecurityGroupId>, ControlErrors> {
        let number = match given.len() <= GROUPS_PER_INTERFACE {
            true => Ok(()),
            false => Err(ControlError::TooManyGroups {
                property: list.to_owned(),
                given: given.len(),
                limit: GROUPS_PER_INTERFACE,
            }),
        };
        let groups = given.iter().enumerate().map(|(index, group_id)| {
            let property = parse::item(list, index);
            let group = self.security_groups.require(*group_id, property.as_str())?;
            if group.vpc_id != vpc.vpc_id {
                return Err(ControlError::GroupOfOtherVpc {
                    property,
                    group: self.named_security_group(*group_id),
                    with: what.to_owned(),
                    vpc: self.named_vpc(vpc.vpc_id),
                });
            }
            if given.iter().take(index).any(|earlier| earlier == group_id) {
                return Err(ControlError::Repeated {
                    property,
                    given: format!("security group {}", self.named_security_group(*group_id)),
                });
            }
            Ok(*group_id)
        });
        let ((), groups) = (number, each(groups)).all()?;
        Ok(groups)
    }
}

/// EC2's rules for `GroupName`.
fn check_name(name: &str) -> Result<(), ControlError> {
    let why = if name == DEFAULT_NAME {
        "it is reserved for the group that every VPC begins with"
    } else if name.is_empty() || name.len() > 255 {
        "it must have 1 to 255 characters"
    } else if name.starts_with("sg-") {
        "it must not begin as an id does"
    } else if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" ._-:/()#,@[]+=&;{}!$*".contains(&byte))
    {
        "it may have letters, digits, spaces and ._-:/()#,@[]+=&;{}!$* only"
    } else {
        return Ok(());
    };
    Err(ControlError::GroupName {
        name: name.to_owned(),
        why,
    })
}
