//! The commands of `AWS::Route53`'s types.

use super::Creation;
use super::place::{Place, integer, list, tags_of, text, texts};
use crate::control::command::*;
use crate::control::{ControlState, Created};

impl Creation<'_, '_> {
    pub(super) fn hosted_zone(&mut self, place: Place) -> Option<CreateHostedZone> {
        let vpcs = list(place, "VPCs").iter().enumerate();
        let vpcs: Vec<_> = vpcs
            .map(|(i, node)| {
                let prefix = &format!("{}VPCs.{i}.", place.prefix);
                let vpc = Place { node, prefix };
                Some(ZoneVpc {
                    vpc_id: self.id(vpc, "VPCId")?,
                    vpc_region: text(vpc, "VPCRegion")?,
                })
            })
            .collect();
        let vpcs: Option<Vec<_>> = vpcs.into_iter().collect();
        let config = place.node.child("HostedZoneConfig");
        let config = config.map(|node| Place { node, prefix: "" });
        Some(CreateHostedZone {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name")?,
            vpcs: vpcs?,
            comment: config.and_then(|config| text(config, "Comment")),
            tags: tags_of(place, "HostedZoneTags"),
        })
    }

    pub(super) fn record_set(&mut self, place: Place) -> Option<CreateRecordSet> {
        let alias = place.node.child("AliasTarget");
        let alias = alias.map(|node| Place { node, prefix: "" });
        Some(CreateRecordSet {
            client_token: self.logical_id.to_owned(),
            hosted_zone_id: self.optional_id(place, "HostedZoneId")?,
            hosted_zone_name: text(place, "HostedZoneName"),
            name: text(place, "Name")?,
            record_type: text(place, "Type")?,
            ttl: integer(place, "TTL"),
            resource_records: texts(place, "ResourceRecords"),
            alias_target: alias.and_then(|alias| {
                Some(AliasTarget {
                    dns_name: text(alias, "DNSName")?,
                    hosted_zone_id: text(alias, "HostedZoneId")?,
                })
            }),
        })
    }

    /// Record sets, each with the group's zone unless it names its own. What stands for the group is its first.
    pub(super) fn record_set_group(
        &mut self,
        own: Place,
        state: &mut ControlState,
    ) -> Option<Created> {
        let hosted_zone_id = self.optional_id(own, "HostedZoneId")?;
        let hosted_zone_name = text(own, "HostedZoneName");
        let sets = list(own, "RecordSets");
        if sets.is_empty() {
            let at = own.node.child("RecordSets")?.at;
            return self.fail(at, "RecordSets", "a group has at least one record set");
        }
        let mut created = Vec::new();
        for (i, node) in sets.iter().enumerate() {
            let prefix = &format!("RecordSets.{i}.");
            let place = Place { node, prefix };
            let command = self.record_set(place).map(|mut command| {
                // Not by its place in the list, so that another before it changes nothing.
                command.client_token = format!(
                    "{}/{} {}",
                    self.logical_id, command.name, command.record_type
                );
                if command.hosted_zone_id.is_none() && command.hosted_zone_name.is_none() {
                    command.hosted_zone_id = hosted_zone_id;
                    command.hosted_zone_name = hosted_zone_name.clone();
                }
                command
            });
            let command = command.map(Command::CreateRecordSet);
            created.push(command.and_then(|command| self.execute(command, place, state)));
        }
        let created: Option<Vec<_>> = created.into_iter().collect();
        created?.into_iter().next()
    }
}
