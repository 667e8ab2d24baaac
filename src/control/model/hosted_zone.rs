//! A private hosted zone: names that a VPC's resolver answers from what is written here.
//!
//! Source: Route 53 API Reference, `CreateHostedZone`; Developer Guide, "Considerations when working with a private hosted zone".

use std::collections::BTreeMap;

use super::Tags;
use super::record_set::RecordType;
use crate::control::checks::{All, each, unused};
use crate::control::command::{CreateHostedZone, ZoneVpc};
use crate::control::error::{ControlError, ControlErrors, Route53Error};
use crate::control::id::{HostedZoneId, Owner, RecordSetId, VpcId};
use crate::control::{ControlState, DomainName, parse};

/// A private hosted zone of Route 53.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostedZone {
    /// Its id.
    pub id: HostedZoneId,
    /// Its domain name.
    pub name: DomainName,
    /// The VPCs that see it; never none.
    #[serde(rename = "VPCs")]
    pub vpcs: Vec<VpcId>,
    /// For people.
    pub comment: Option<String>,
    /// `HostedZoneTags`.
    #[serde(rename = "HostedZoneTags")]
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
    /// Its record sets by their names and types.
    #[serde(skip)]
    pub(in crate::control) record_sets: BTreeMap<DomainName, BTreeMap<RecordType, RecordSetId>>,
}

impl ControlState {
    pub(in crate::control) fn create_hosted_zone(
        &mut self,
        command: CreateHostedZone,
    ) -> Result<HostedZoneId, ControlErrors> {
        self.fresh::<HostedZoneId>(&command.client_token)?;
        let ((name, vpcs), ()) = (
            self.zone_name(&command),
            check_comment(command.comment.as_deref()),
        )
            .all()?;
        let id: HostedZoneId = self.mint.mint(&self.owner, &command.client_token);
        for vpc_id in &vpcs {
            if let Some(vpc) = self.vpcs.find_mut(vpc_id) {
                vpc.hosted_zones.insert(name.clone(), id);
            }
        }
        let zone = HostedZone {
            id,
            name,
            vpcs,
            comment: command.comment,
            tags: command.tags,
            client_token: command.client_token,
            record_sets: BTreeMap::new(),
        };
        self.hosted_zones.insert(id, zone);
        Ok(id)
    }

    pub(in crate::control) fn delete_hosted_zone(
        &mut self,
        id: HostedZoneId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "HostedZoneId")?;
        let zone = self.hosted_zones.require(id, "HostedZoneId")?;
        let record_sets = zone.record_sets.values().flat_map(BTreeMap::values);
        let by = record_sets.map(|id| format!("record set {}", self.named_record_set(*id)));
        let what = format!("hosted zone {}", self.named_hosted_zone(id));
        unused("HostedZoneNotEmpty", what, by, "delete that first")?;
        if let Some(zone) = self.hosted_zones.remove(&id) {
            for vpc_id in &zone.vpcs {
                if let Some(vpc) = self.vpcs.find_mut(vpc_id) {
                    vpc.hosted_zones.remove(&zone.name);
                }
            }
        }
        self.mint.release(id);
        Ok(())
    }

    /// The zone's name, and the VPCs in which it can have it.
    fn zone_name(
        &self,
        command: &CreateHostedZone,
    ) -> Result<(DomainName, Vec<VpcId>), ControlErrors> {
        let (name, vpcs) = (
            parse::name("Name", &command.name, DomainName::parse),
            self.zone_vpcs(&command.vpcs),
        )
            .all()?;
        each(vpcs.iter().enumerate().map(|(index, vpc_id)| {
            let vpc = self.vpcs.require(*vpc_id, "VPCs")?;
            let property = parse::item("VPCs", index);
            let (name_of_zone, vpc_name) = (name.to_string(), self.named_vpc(*vpc_id));
            let conflict = match (vpc.hosted_zones.get(&name), vpc.private_domains.get(&name)) {
                (None, None) => return Ok(()),
                (Some(by), _) => Route53Error::ConflictingDomain {
                    property,
                    name: name_of_zone,
                    vpc: vpc_name,
                    by: self.named_hosted_zone(*by),
                },
                (None, Some(by)) => Route53Error::ConflictingPrivateDns {
                    property,
                    name: name_of_zone,
                    vpc: vpc_name,
                    by: self.named_vpc_endpoint(*by),
                },
            };
            Err(ControlError::from(conflict))
        }))?;
        Ok((name, vpcs))
    }

    /// The account's own VPCs, each once.
    fn zone_vpcs(&self, given: &[ZoneVpc]) -> Result<Vec<VpcId>, ControlErrors> {
        if given.is_empty() {
            return Err(ControlError::NotYet {
                property: "VPCs".to_owned(),
                what: "a hosted zone without VPCs, a public one,".to_owned(),
                wanted: "VPCs; public names are upstream's",
            }
            .into());
        }
        each(given.iter().enumerate().map(|(index, vpc)| {
            let property = parse::item("VPCs", index);
            self.check_vpc(vpc, &property)?;
            match given
                .iter()
                .take(index)
                .any(|earlier| earlier.vpc_id == vpc.vpc_id)
            {
                false => Ok(vpc.vpc_id),
                true => Err(ControlError::Repeated {
                    property,
                    given: format!("VPC {}", self.named_vpc(vpc.vpc_id)),
                }),
            }
        }))
    }

    fn check_vpc(&self, vpc: &ZoneVpc, property: &str) -> Result<(), ControlError> {
        let own_region = self.owner.region();
        if vpc.vpc_region != own_region {
            return Err(ControlError::NotYet {
                property: format!("{property}.VPCRegion"),
                what: format!("a VPC of {} in a stack of {own_region}", vpc.vpc_region),
                wanted: "VPCs of the stack's own region",
            });
        }
        let property = format!("{property}.VPCId");
        let account = self.owner_of(vpc.vpc_id).map(Owner::account_id);
        match account {
            Some(account) if account != self.owner.account_id() => {
                Err(ControlError::from(Route53Error::VpcOfOtherAccount {
                    property,
                    vpc: vpc.vpc_id.to_string(),
                    account: account.to_owned(),
                }))
            }
            _ => self.own(vpc.vpc_id, &property),
        }
    }
}

fn check_comment(given: Option<&str>) -> Result<(), ControlError> {
    match given.map(|comment| comment.chars().count()) {
        Some(count @ 257..) => Err(ControlError::OutOfRange {
            property: "HostedZoneConfig.Comment".to_owned(),
            given: format!("{count} characters"),
            wanted: "at most 256 characters",
        }),
        _ => Ok(()),
    }
}
