//! A target: an instance or an address at a port, registered with a target group.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Subnet, TargetGroup, TargetType};
use crate::control::checks::{All, each};
use crate::control::command::{DeregisterTargets, RegisterTargets, TargetDescription};
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::*;
use crate::control::{ControlState, parse};
use crate::dataplane::config::TargetIdx;

/// A target of a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its place in the data plane.
    pub idx: TargetIdx,
    /// What it was registered by.
    pub id: TargetId,
    /// Its port.
    pub port: u16,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its zone.
    pub availability_zone: String,
    /// Since when it drains, if it has been deregistered.
    pub draining_since: Option<Duration>,
}

/// What a target is registered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetId {
    /// An instance; its address is the target's.
    Instance(InstanceId),
    /// An address.
    Ip(Ipv4Addr),
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(id) => id.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// How many targets a group may have.
pub const TARGETS_PER_GROUP: usize = 1000;

/// A target that a command names, where its id leads.
struct Resolved {
    id: TargetId,
    port: u16,
    address: Ipv4Addr,
    availability_zone: String,
}

impl ControlState {
    pub(in crate::control) fn register_targets(
        &mut self,
        command: RegisterTargets,
    ) -> Result<TargetGroupId, ControlErrors> {
        let group_id = command.target_group;
        self.own(group_id, "TargetGroupArn")?;
        let group = self.target_groups.require(group_id, "TargetGroupArn")?;
        let targets = each(some(&command.targets)?.map(|(index, target)| {
            let property = parse::item("Targets", index);
            self.resolve(group, target, &property)
        }))?;
        let is_new = |target: &&Resolved| {
            let mut known = group.targets.iter();
            !known.any(|known| (known.id, known.port) == (target.id, target.port))
        };
        let count = group.targets.len() + targets.iter().filter(is_new).count();
        if count > TARGETS_PER_GROUP {
            return Err(ControlError::TooManyTargets {
                target_group: self.named_target_group(group_id),
                limit: TARGETS_PER_GROUP,
            }
            .into());
        }
        let Some(group) = self.target_groups.find_mut(&group_id) else {
            return Ok(group_id);
        };
        for target in targets {
            let mut known = group.targets.iter_mut();
            let known = known.find(|known| (known.id, known.port) == (target.id, target.port));
            match known {
                Some(known) => known.draining_since = None,
                None => group.targets.push(Target {
                    idx: self
                        .indices
                        .targets
                        .allocate((group_id, target.id, target.port)),
                    id: target.id,
                    port: target.port,
                    address: target.address,
                    availability_zone: target.availability_zone,
                    draining_since: None,
                }),
            }
        }
        Ok(group_id)
    }

    pub(in crate::control) fn deregister_targets(
        &mut self,
        command: DeregisterTargets,
    ) -> Result<TargetGroupId, ControlErrors> {
        let group_id = command.target_group;
        self.own(group_id, "TargetGroupArn")?;
        let group = self.target_groups.require(group_id, "TargetGroupArn")?;
        let found = each(some(&command.targets)?.map(|(index, target)| {
            let property = parse::item("Targets", index);
            let port = port(target, &property)?;
            let id = target_id(group, target, &property)?;
            let known =
                |known: &&Target| known.id == id && port.is_none_or(|port| port == known.port);
            let found: Vec<TargetIdx> = group.targets.iter().filter(known).map(|t| t.idx).collect();
            match found.is_empty() {
                false => Ok(found),
                true => Err(ControlError::Target {
                    property: property + ".Id",
                    given: match port {
                        Some(port) => format!("{}:{port}", target.id),
                        None => target.id.clone(),
                    },
                    why: format!(
                        "is not registered with target group {}{}",
                        self.named_target_group(group_id),
                        registered(group, id)
                    ),
                }),
            }
        }))?
        .concat();
        let now = self.now;
        if let Some(group) = self.target_groups.find_mut(&group_id) {
            let draining = group.targets.iter_mut().filter(|t| found.contains(&t.idx));
            draining.for_each(|target| {
                target.draining_since.get_or_insert(now);
            });
        }
        Ok(group_id)
    }

    /// Takes away what has drained for its group's time; when the next one will have.
    pub(in crate::control) fn finish_draining(&mut self) -> Option<Duration> {
        let (now, indices) = (self.now, &mut self.indices.targets);
        let mut next: Option<Duration> = None;
        for group in self.target_groups.iter_mut() {
            let delay = group.deregistration_delay;
            group.targets.retain(|target| {
                let Some(end) = target.draining_since.map(|since| since + delay) else {
                    return true;
                };
                if end <= now {
                    indices.release(target.idx);
                    return false;
                }
                next = Some(next.map_or(end, |next| next.min(end)));
                true
            });
        }
        next
    }

    /// Takes a target out of every group: what it names is gone.
    pub(super) fn forget_targets(&mut self, id: TargetId) {
        let indices = &mut self.indices.targets;
        for group in self.target_groups.iter_mut() {
            group.targets.retain(|target| {
                if target.id == id {
                    indices.release(target.idx);
                }
                target.id != id
            });
        }
    }

    fn resolve(
        &self,
        group: &TargetGroup,
        target: &TargetDescription,
        property: &str,
    ) -> Result<Resolved, ControlErrors> {
        let (id, port) = (target_id(group, target, property), port(target, property)).all()?;
        let refused = |why: String| ControlError::Target {
            property: format!("{property}.Id"),
            given: target.id.clone(),
            why: format!("cannot be a target: {why}"),
        };
        let (address, zone) = match id {
            TargetId::Instance(id) => {
                self.own(id, &format!("{property}.Id"))?;
                let instance = self.instances.require(id, format!("{property}.Id"))?;
                if instance.vpc_id != group.vpc_id {
                    let (instance, vpc) = (self.named_instance(id), self.named_vpc(group.vpc_id));
                    return Err(refused(format!(
                        "instance {instance} is not of VPC {vpc}, the target group's"
                    ))
                    .into());
                }
                (instance.private_ip_address, &instance.availability_zone)
            }
            TargetId::Ip(address) => match self.subnet_with(group.vpc_id, address) {
                Some(subnet) => (address, &subnet.availability_zone),
                None => {
                    let vpc = self.named_vpc(group.vpc_id);
                    return Err(refused(format!(
                        "no subnet of VPC {vpc}, the target group's, has this address"
                    ))
                    .into());
                }
            },
        };
        if let Some(given) = &target.availability_zone
            && given != zone
        {
            return Err(ControlError::Malformed {
                property: format!("{property}.AvailabilityZone"),
                given: given.clone(),
                wanted: "the zone of this target",
                example: "what is right when AvailabilityZone is left out",
            }
            .into());
        }
        Ok(Resolved {
            id,
            port: port.unwrap_or(group.port),
            address,
            availability_zone: zone.clone(),
        })
    }

    /// The subnet of a VPC that has this address.
    fn subnet_with(&self, vpc_id: VpcId, address: Ipv4Addr) -> Option<&Subnet> {
        let (_, id) = self.vpc(&vpc_id)?.subnets.range(..=address).next_back()?;
        self.subnet(id)
            .filter(|subnet| subnet.cidr_block.contains(&address))
    }
}

/// What a group has instead of a target of this id that it has not: at other ports, or others.
fn registered(group: &TargetGroup, id: TargetId) -> String {
    const SHOWN: usize = 10;
    let is_same = group.targets.iter().any(|target| target.id == id);
    let targets = group.targets.iter();
    let targets = targets.filter(|target| !is_same || target.id == id);
    let names = targets.map(|target| format!("{}:{}", target.id, target.port));
    let names: Vec<_> = names.collect();
    let shown = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len() {
        0 => ", which has no target".to_owned(),
        1..=SHOWN => format!("; registered: {shown}"),
        count => format!("; registered: {shown} and {} more", count - SHOWN),
    }
}

/// The targets of a command, of which there must be one at least.
fn some(
    targets: &[TargetDescription],
) -> Result<impl Iterator<Item = (usize, &TargetDescription)>, ControlError> {
    match targets.is_empty() {
        false => Ok(targets.iter().enumerate()),
        true => Err(ControlError::Missing {
            property: "Targets".to_owned(),
            wanted: "name at least one target",
        }),
    }
}

fn target_id(
    group: &TargetGroup,
    target: &TargetDescription,
    property: &str,
) -> Result<TargetId, ControlError> {
    match group.target_type {
        TargetType::Instance => {
            target
                .id
                .parse()
                .map(TargetId::Instance)
                .map_err(|_| ControlError::Malformed {
                    property: format!("{property}.Id"),
                    given: target.id.clone(),
                    wanted: "the id of an instance, as target type `instance` has them",
                    example: "i-0123456789abcdef0",
                })
        }
        TargetType::Ip => {
            parse::ipv4_address(&format!("{property}.Id"), &target.id).map(TargetId::Ip)
        }
    }
}

fn port(target: &TargetDescription, property: &str) -> Result<Option<u16>, ControlError> {
    let property = format!("{property}.Port");
    let port = |given| parse::number(&property, given, (1, u16::MAX), "1 to 65535");
    target.port.map(port).transpose()
}
