//! The way of one question: through the view's zones, along CNAMEs, upstream, and back into the zones.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType};

use super::zone::Answer;
use super::{Query, Zones};
use crate::dataplane::config::{DnsZone, LoadBalancerIdx, NameKey, Origin, Zone};

/// CNAMEs and aliases followed for one question; a loop among them ends here.
const MOST_FOLLOWED: usize = 16;

/// What upstream is to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// About this name.
    pub name: Name,
    /// For these records.
    pub record_type: RecordType,
}

/// What upstream has said.
// It lives for a moment, and is in no table.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Upstream {
    /// These records: CNAMEs on the way, and what was asked for.
    Records(Vec<Record>),
    /// There is no such name (NXDOMAIN), or no such record (NOERROR); the zone's SOA says for how long.
    Nothing {
        /// Which of the two.
        code: ResponseCode,
        /// The SOA record.
        soa: Option<Record>,
    },
    /// It failed, with this code.
    Failed(ResponseCode),
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// NOERROR, NXDOMAIN, SERVFAIL, REFUSED, or another code of upstream's.
    pub code: ResponseCode,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section: the SOA behind a negative answer.
    pub authorities: Vec<Record>,
    /// Where the end of the chain was found.
    pub source: Source,
}

/// Where an answer was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this zone, positive or negative.
    Zone {
        /// Its apex.
        name: LowerName,
        /// Whose it is.
        origin: Origin,
    },
    /// Upstream has said it.
    Upstream,
    /// Nowhere: the question itself is not one for a resolver.
    Nowhere,
}

/// What is to be done next.
#[derive(Clone, Debug)]
pub enum Step {
    /// This is the response.
    Respond(Response),
    /// Upstream is to be asked; [`Resolution::told`] takes what it says.
    Ask(Ask),
}

/// A question under way.
///
/// Each [`step`](Self::step) goes on from the name that the CNAMEs and aliases up to now have led to.
#[derive(Debug)]
pub struct Resolution {
    record_type: RecordType,
    /// Is it one for a resolver?
    is_refused: bool,
    /// The name that is looked for next, in the asker's case as long as that is the one asked for.
    name: Name,
    /// CNAMEs and aliases followed.
    followed: usize,
    alias: Option<Alias>,
    answers: Vec<Record>,
    told: Option<Upstream>,
}

/// What has come to light behind an alias is said of its owner.
#[derive(Debug)]
struct Alias {
    owner: Name,
    /// The least of the TTLs on the way.
    ttl: u32,
    /// Of the owner's zone, for there being nothing behind it.
    soa: Record,
}

impl Resolution {
    /// Nothing has been looked at yet.
    pub fn new(query: &Query) -> Self {
        Self {
            record_type: query.record_type,
            is_refused: !matches!(query.class, DNSClass::IN | DNSClass::ANY)
                || is_meta(query.record_type),
            name: query.name.clone(),
            followed: 0,
            alias: None,
            answers: Vec::new(),
            told: None,
        }
    }

    /// Goes on as far as possible. `rotation` turns the order in which an endpoint's addresses are answered.
    pub fn step(
        &mut self,
        zones: &Zones,
        is_zone_healthy: impl Fn(LoadBalancerIdx, Zone) -> bool,
        rotation: u32,
    ) -> Step {
        if self.is_refused {
            return Step::Respond(Response::failure(ResponseCode::Refused, Source::Nowhere));
        }
        if let Some(upstream) = self.told.take()
            && let Some(response) = self.take_up(upstream, zones)
        {
            return Step::Respond(response);
        }
        let mut source = Source::Upstream;
        while self.followed <= MOST_FOLLOWED {
            let key = NameKey::from(&self.name);
            let Some(zone) = zones.find(&key) else {
                return Step::Ask(Ask {
                    name: self.name.clone(),
                    record_type: self.record_type,
                });
            };
            let answer = zone.answer(&key, self.record_type, &is_zone_healthy, rotation);
            if let Some(response) = self.look_up(zone, answer) {
                return Step::Respond(response);
            }
            source = zone.source();
        }
        Step::Respond(Response::failure(ResponseCode::ServFail, source))
    }

    /// Upstream has answered what the last step asked.
    pub fn told(&mut self, upstream: Upstream) {
        self.told = Some(upstream);
    }

    /// Takes a zone's answer; `None` if it leads to another name.
    fn look_up(&mut self, zone: &DnsZone, answer: Answer<'_>) -> Option<Response> {
        match answer {
            Answer::Records(records) => {
                self.add_all(records);
                Some(self.respond(zone.source()))
            }
            Answer::Cname { ttl, target } => {
                self.follow(ttl, target.clone());
                None
            }
            Answer::Alias { target, beside } => {
                self.add_all(beside);
                if self.record_type == RecordType::ANY {
                    // What an alias has of its target are addresses.
                    self.record_type = RecordType::A;
                }
                let owner = std::mem::replace(&mut self.name, target.clone());
                self.followed += 1;
                self.alias.get_or_insert_with(|| Alias {
                    owner,
                    ttl: u32::MAX,
                    soa: zone.soa(),
                });
                None
            }
            Answer::NoData => {
                Some(self.deny(ResponseCode::NoError, Some(zone.soa()), zone.source()))
            }
            Answer::NoName => {
                Some(self.deny(ResponseCode::NXDomain, Some(zone.soa()), zone.source()))
            }
        }
    }

    /// Takes upstream's answer; `None` if it leads to another name.
    fn take_up(&mut self, upstream: Upstream, zones: &Zones) -> Option<Response> {
        match upstream {
            Upstream::Records(records) => self.take_records(records, zones),
            Upstream::Nothing { code, soa } => Some(self.deny(code, soa, Source::Upstream)),
            Upstream::Failed(code) => Some(Response::failure(code, Source::Upstream)),
        }
    }

    /// Follows the CNAMEs among them, up to one that leads into a zone of the view: what upstream says about that name, others may
    /// believe.
    fn take_records(&mut self, mut records: Vec<Record>, zones: &Zones) -> Option<Response> {
        let before = self.followed;
        while let Some((ttl, target)) = self.take_cname(&mut records) {
            self.follow(ttl, target);
            let is_ours = zones.find(&NameKey::from(&self.name)).is_some();
            if is_ours || self.followed > MOST_FOLLOWED {
                return None;
            }
        }
        records.retain(|record| {
            let is_any = self.record_type == RecordType::ANY;
            (is_any || record.record_type() == self.record_type)
                && record.name.eq_ignore_root(&self.name)
        });
        if records.is_empty() && self.followed == before {
            return Some(Response::failure(ResponseCode::ServFail, Source::Upstream));
        }
        if records.is_empty() {
            return None;
        }
        for record in records {
            self.add(record.ttl, record.data);
        }
        Some(self.respond(Source::Upstream))
    }

    /// The CNAME of the name looked for, if it is to be followed.
    fn take_cname(&self, records: &mut Vec<Record>) -> Option<(u32, Name)> {
        if matches!(self.record_type, RecordType::CNAME | RecordType::ANY) {
            return None;
        }
        let is_cname = |record: &Record| {
            record.record_type() == RecordType::CNAME && record.name.eq_ignore_root(&self.name)
        };
        let cname = records.iter().position(is_cname)?;
        let record = records.remove(cname);
        match record.data {
            RData::CNAME(CNAME(target)) => Some((record.ttl, target)),
            _ => None,
        }
    }

    /// Answers with a record of the name that is looked for, or of the alias that has led to it.
    fn add(&mut self, ttl: u32, data: RData) {
        let (owner, ttl) = match &self.alias {
            Some(alias) => (&alias.owner, ttl.min(alias.ttl)),
            None => (&self.name, ttl),
        };
        self.answers
            .push(Record::from_rdata(owner.clone(), ttl, data));
    }

    fn add_all(&mut self, records: Vec<(u32, RData)>) {
        for (ttl, data) in records {
            self.add(ttl, data);
        }
    }

    /// Goes on with a CNAME's target. Behind an alias nobody sees that.
    fn follow(&mut self, ttl: u32, target: Name) {
        self.followed += 1;
        match &mut self.alias {
            Some(alias) => alias.ttl = alias.ttl.min(ttl),
            None => self.add(ttl, RData::CNAME(CNAME(target.clone()))),
        }
        self.name = target;
    }

    /// The response with what has been found.
    fn respond(&mut self, source: Source) -> Response {
        Response {
            code: ResponseCode::NoError,
            answers: std::mem::take(&mut self.answers),
            authorities: Vec::new(),
            source,
        }
    }

    /// The response that the chain ends in nothing. An alias's owner exists, whatever it leads to.
    fn deny(&mut self, code: ResponseCode, soa: Option<Record>, source: Source) -> Response {
        let (code, soa) = match self.alias.take() {
            Some(alias) => (ResponseCode::NoError, Some(alias.soa)),
            None => (code, soa),
        };
        Response {
            code,
            authorities: soa.into_iter().collect(),
            ..self.respond(source)
        }
    }
}

impl Response {
    /// That there is no answer.
    pub fn failure(code: ResponseCode, source: Source) -> Self {
        Self {
            code,
            answers: Vec::new(),
            authorities: Vec::new(),
            source,
        }
    }
}

/// Is it no type of records, but a transfer or part of the protocol itself (RFC 6895, 3.1)? ANY is looked up.
fn is_meta(record_type: RecordType) -> bool {
    matches!(u16::from(record_type), 0 | 41 | 128..=254)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
