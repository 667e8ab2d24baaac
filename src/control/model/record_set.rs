//! A record set: all that a hosted zone says of one name and one type.
//!
//! Source: Route 53 API Reference, `ChangeResourceRecordSets`; Developer Guide, "Supported DNS record types".

use super::record_value::RecordValue;
use crate::control::checks::{All, each};
use crate::control::command::{AliasTarget, CreateRecordSet};
use crate::control::error::{ControlError, ControlErrors, Named, Route53Error};
use crate::control::id::{HostedZoneId, RecordSetId};
use crate::control::{ControlState, DomainName, HostedZone, parse};

/// A resource record set of a hosted zone.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecordSet {
    /// Its id, which Route 53 has none of: a zone's name and type are.
    #[serde(skip)]
    pub id: RecordSetId,
    /// Whose record set.
    pub hosted_zone_id: HostedZoneId,
    /// What it is of; a wildcard begins with `*.`.
    pub name: DomainName,
    /// Its type.
    #[serde(skip)]
    pub record_type: RecordType,
    /// What it says.
    #[serde(skip)]
    pub answer: Answer,
    /// What its creator called it; the logical id.
    #[serde(skip)]
    pub client_token: String,
}

/// What a record set says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These values, all of its type and at least one.
    Records {
        /// How long they may be kept, in seconds.
        ttl: u32,
        /// The values.
        values: Vec<RecordValue>,
    },
    /// Whatever addresses this name has.
    Alias(DomainName),
}

/// The types of records that there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Another name for the same.
    Cname,
    /// Mail servers.
    Mx,
    /// Names of an address.
    Ptr,
    /// Servers of a service, with their ports.
    Srv,
    /// Text.
    Txt,
}

impl RecordType {
    const ALL: [Self; 7] = [
        Self::A,
        Self::Aaaa,
        Self::Cname,
        Self::Mx,
        Self::Ptr,
        Self::Srv,
        Self::Txt,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }

    fn parse(given: &str) -> Result<Self, ControlError> {
        // Route 53's others.
        const LATER: [&str; 10] = [
            "CAA", "DS", "HTTPS", "NAPTR", "NS", "SOA", "SPF", "SSHFP", "SVCB", "TLSA",
        ];
        let property = "Type".to_owned();
        match Self::ALL.into_iter().find(|known| known.name() == given) {
            Some(known) => Ok(known),
            None if LATER.contains(&given) => Err(ControlError::NotYet {
                property,
                what: format!("record type {given}"),
                wanted: "A, AAAA, CNAME, MX, PTR, SRV or TXT",
            }),
            None => Err(ControlError::Malformed {
                property,
                given: given.to_owned(),
                wanted: "a type of records",
                example: "A",
            }),
        }
    }
}

impl ControlState {
    pub(in crate::control) fn create_record_set(
        &mut self,
        command: CreateRecordSet,
    ) -> Result<RecordSetId, ControlErrors> {
        let (hosted_zone_id, name, (record_type, answer)) = (
            self.zone_of(&command),
            parse::name("Name", &command.name, DomainName::parse_owner),
            RecordType::parse(&command.record_type)
                .map_err(ControlErrors::from)
                .and_then(|record_type| Ok((record_type, self.answer(record_type, &command)?))),
        )
            .all()?;
        let zone = self.hosted_zones.require(hosted_zone_id, "HostedZoneId")?;
        self.check_place(zone, &name, record_type)?;
        self.fresh::<RecordSetId>(&command.client_token)?;
        let id: RecordSetId = self.mint.mint(&self.owner, &command.client_token);
        if let Some(zone) = self.hosted_zones.find_mut(&hosted_zone_id) {
            let of_name = zone.record_sets.entry(name.clone()).or_default();
            of_name.insert(record_type, id);
        }
        let record_set = RecordSet {
            id,
            hosted_zone_id,
            name,
            record_type,
            answer,
            client_token: command.client_token,
        };
        self.record_sets.insert(id, record_set);
        Ok(id)
    }

    pub(in crate::control) fn delete_record_set(
        &mut self,
        id: RecordSetId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "Name")?;
        if let Some(record_set) = self.record_sets.remove(&id)
            && let Some(zone) = self.hosted_zones.find_mut(&record_set.hosted_zone_id)
            && let Some(of_name) = zone.record_sets.get_mut(&record_set.name)
        {
            of_name.remove(&record_set.record_type);
            if of_name.is_empty() {
                zone.record_sets.remove(&record_set.name);
            }
        }
        self.mint.release(id);
        Ok(())
    }

    /// How messages name it.
    pub(in crate::control) fn named_record_set(&self, id: RecordSetId) -> Named {
        let known_as = |set: &RecordSet| format!("{} {}", set.name, set.record_type.name());
        let record_set = self.record_set(&id);
        let token = record_set.map(|set| set.client_token.as_str());
        self.named(id, token, record_set.map(known_as).unwrap_or_default())
    }

    /// The account's hosted zone that a command names, by its id or its name.
    fn zone_of(&self, command: &CreateRecordSet) -> Result<HostedZoneId, ControlError> {
        match (command.hosted_zone_id, &command.hosted_zone_name) {
            (Some(id), None) => {
                self.own(id, "HostedZoneId")?;
                Ok(id)
            }
            (None, Some(name)) => self.zone_named(name),
            (None, None) => Err(ControlError::Missing {
                property: "HostedZoneId".to_owned(),
                wanted: "give it, or HostedZoneName",
            }),
            (Some(_), Some(_)) => Err(ControlError::Combination {
                property: "HostedZoneName".to_owned(),
                what: "HostedZoneId and HostedZoneName".to_owned(),
                wanted: "give one of them",
            }),
        }
    }

    fn zone_named(&self, given: &str) -> Result<HostedZoneId, ControlError> {
        let name = parse::name("HostedZoneName", given, DomainName::parse)?;
        let zones = self.hosted_zones.iter().filter(|zone| zone.name == name);
        let own = zones.filter(|zone| self.own(zone.id, "HostedZoneName").is_ok());
        let ids: Vec<_> = own.map(|zone| zone.id).collect();
        match *ids {
            [id] => Ok(id),
            [] => Err(ControlError::from(Route53Error::NoZoneOfName {
                name: name.to_string(),
            })),
            _ => Err(ControlError::from(Route53Error::SeveralZones {
                name: name.to_string(),
                zones: ids
                    .iter()
                    .map(|id| self.named_hosted_zone(*id).to_string())
                    .collect(),
            })),
        }
    }

    /// May the zone have this name with this type, beside what it has?
    fn check_place(
        &self,
        zone: &HostedZone,
        name: &DomainName,
        record_type: RecordType,
    ) -> Result<(), ControlError> {
        let is_cname = record_type == RecordType::Cname;
        let of_name = zone.record_sets.get(name);
        let same = of_name.and_then(|sets| sets.get(&record_type));
        let other = of_name.and_then(|sets| match is_cname {
            true => sets.values().next(),
            false => sets.get(&RecordType::Cname),
        });
        let name_text = name.to_string();
        let error = match (same, other) {
            _ if !name.is_within(&zone.name) => Route53Error::OutsideZone {
                name: name_text,
                zone: zone.name.to_string(),
            },
            _ if is_cname && *name == zone.name => Route53Error::CnameAtApex { name: name_text },
            (Some(by), _) => Route53Error::RecordSetExists {
                name: name_text,
                record_type: record_type.name(),
                by: self.named_record_set(*by),
            },
            (None, Some(by)) => Route53Error::CnameBesideOthers {
                record_type: record_type.name(),
                name: name_text,
                by: self.named_record_set(*by),
            },
            (None, None) => return Ok(()),
        };
        Err(error.into())
    }

    /// Values and how long they may be kept, or an alias.
    fn answer(
        &self,
        record_type: RecordType,
        command: &CreateRecordSet,
    ) -> Result<Answer, ControlErrors> {
        let one_answer = |property, found| Route53Error::OneAnswer { property, found };
        match (
            &command.alias_target,
            command.ttl,
            &*command.resource_records,
        ) {
            (Some(target), None, []) => Ok(Answer::Alias(self.alias(record_type, target)?)),
            (None, Some(ttl), given @ [_, ..]) => {
                let ttl =
                    parse::number("TTL", ttl, (0, i32::MAX as u32), "0 to 2147483647 seconds");
                let (ttl, values) = (ttl, values(record_type, given)).all()?;
                Ok(Answer::Records { ttl, values })
            }
            (Some(_), Some(_), _) => Err(one_answer("TTL", "AliasTarget and TTL").into()),
            (Some(_), None, _) => {
                Err(one_answer("ResourceRecords", "AliasTarget and ResourceRecords").into())
            }
            (None, None, [_, ..]) => {
                Err(one_answer("ResourceRecords", "ResourceRecords without TTL").into())
            }
            (None, _, []) => Err(one_answer("", "none").into()),
        }
    }

    fn alias(
        &self,
        record_type: RecordType,
        given: &AliasTarget,
    ) -> Result<DomainName, ControlError> {
        if !matches!(record_type, RecordType::A | RecordType::Aaaa) {
            return Err(ControlError::NotYet {
                property: "AliasTarget".to_owned(),
                what: format!("an alias of type {}", record_type.name()),
                wanted: "an alias of type A or AAAA, or the values themselves",
            });
        }
        let target = parse::name("AliasTarget.DNSName", &given.dns_name, DomainName::parse)?;
        let zone = given.hosted_zone_id.parse().ok();
        match zone.and_then(|id| self.hosted_zone(&id)) {
            Some(zone) if !target.is_within(&zone.name) => {
                Err(ControlError::from(Route53Error::AliasOutsideZone {
                    target: target.to_string(),
                    record_type: record_type.name(),
                    zone: self.named_hosted_zone(zone.id),
                }))
            }
            // AWS has zones of its own, of load balancers' and endpoints' names.
            _ => Ok(target),
        }
    }
}

/// The values, each once; a CNAME is one.
fn values(record_type: RecordType, given: &[String]) -> Result<Vec<RecordValue>, ControlErrors> {
    const LIST: &str = "ResourceRecords";
    if let (RecordType::Cname, [_, another, ..]) = (record_type, given) {
        return Err(Route53Error::SecondTarget {
            property: parse::item(LIST, 1),
            given: another.clone(),
        }
        .into());
    }
    let values =
        each(given.iter().enumerate().map(|(index, text)| {
            RecordValue::parse(record_type, text, &parse::item(LIST, index))
        }))?;
    each(values.iter().enumerate().map(|(index, value)| {
        match values.iter().take(index).any(|earlier| earlier == value) {
            false => Ok(()),
            true => Err(ControlError::Repeated {
                property: parse::item(LIST, index),
                given: format!("resource record {value}"),
            }),
        }
    }))?;
    Ok(values)
}
