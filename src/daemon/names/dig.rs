//! A question that a person asks in an instance's view, and its answer with where that came from.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::control::Instance;
use crate::daemon::describe::Fabric;
use crate::daemon::live::Live;
use crate::daemon::refusal::Refusal;
use crate::daemon::{resolv_conf, resolve, view};
use crate::dataplane::config::{Origin, View};
use crate::dataplane::dns::{Query, Response, Source};

/// Types that people ask for, for those who have mistyped one.
const TYPES: &str = "A, AAAA, CAA, CNAME, HTTPS, MX, NS, PTR, SOA, SRV, SVCB, TXT, TYPE<number>";
/// TYPE of a transfer, and above: they are no records (RFC 6895, section 3.1).
const NO_RECORDS: std::ops::RangeInclusive<u16> = 249..=254;

/// Asks as the instance does.
pub async fn dig(live: &Live, question: view::DigQuestion) -> Result<view::Dig, Refusal> {
    let record_type = record_type(&question.record_type)?;
    let name = name(&question.name)?;
    let fabric = live.fabric();
    let instance = resolve::instance(&fabric.state, &question.instance)?;
    let vpc = fabric.state.vpc(&instance.vpc_id).ok_or_else(|| {
        Refusal::malformed(format!("instance {} is in no VPC", instance.instance_id))
    })?;
    let resolver = resolv_conf::nameserver(vpc).ok_or_else(|| {
        let vpc = &vpc.client_token;
        Refusal::malformed(format!(
            "VPC {vpc} has no resolver: its EnableDnsSupport is false"
        ))
    })?;
    let query = Query::new(name.clone(), record_type);
    let began = Instant::now();
    let response = live.names.resolve(View::Vpc(vpc.idx), &query).await;
    let source = source(&response, live.names.upstream.servers());
    Ok(view::Dig {
        status: status(response.code),
        name: name.to_string(),
        record_type: record_type.to_string(),
        instance: label(&fabric, instance),
        vpc: vpc.client_token.clone(),
        resolver: resolver.to_string(),
        answers: response.answers.iter().map(record).collect(),
        authorities: response.authorities.iter().map(record).collect(),
        source,
        micros: began.elapsed().as_micros() as u64,
    })
}

fn label(fabric: &Fabric, instance: &Instance) -> String {
    let (stack, _) = fabric.stack_and_account(instance.instance_id);
    view::in_stack(&stack, &instance.client_token, fabric.stacks.len() > 1)
}

fn name(given: &str) -> Result<Name, Refusal> {
    let wrong = |why: &str| Refusal::malformed(format!("`{given}` is no domain name: {why}"));
    if given.is_empty() {
        return Err(wrong("it is empty (`.` is the root)"));
    }
    if given.parse::<IpAddr>().is_ok() {
        let instead = format!("it is an address; `-x {given}` asks for its name");
        return Err(wrong(&instead));
    }
    let mut name = Name::from_utf8(given).map_err(|_| wrong(&why_malformed(given)))?;
    name.set_fqdn(true);
    Ok(name)
}

fn why_malformed(given: &str) -> String {
    let impossible = |c: &char| *c != '.' && Name::from_utf8(format!("a{c}a")).is_err();
    match given.chars().find(impossible) {
        Some(c) => format!("{c:?} cannot stand in one"),
        None => "its labels have 1 to 63 bytes, and all of it 255 at most".to_owned(),
    }
}

fn record_type(given: &str) -> Result<RecordType, Refusal> {
    let wrong = |why: &str| Refusal::malformed(format!("`{given}` is {why}: {TYPES}"));
    let upper = given.to_ascii_uppercase();
    let numbered = upper.strip_prefix("TYPE").map(u16::from_str);
    let record_type = match numbered {
        Some(Ok(number)) => RecordType::from(number),
        _ => RecordType::from_str(&upper).map_err(|_| wrong("no type of records"))?,
    };
    match NO_RECORDS.contains(&u16::from(record_type)) || record_type.is_zero() {
        true => Err(wrong("not a type that records have")),
        false => Ok(record_type),
    }
}

/// AWS's and dig's words.
pub fn status(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

fn record(record: &Record) -> view::DnsRecord {
    view::DnsRecord {
        name: record.name.to_string(),
        ttl: record.ttl,
        record_type: record.record_type().to_string(),
        data: data(&record.data),
    }
}

/// As zone files have it (RFC 1035, section 5.1).
pub fn data(data: &RData) -> String {
    match data {
        RData::TXT(text) => {
            let strings = text.txt_data.iter().map(|bytes| quoted(bytes));
            strings.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text.push('"');
    text
}

fn source(response: &Response, upstream: Vec<String>) -> view::DigSource {
    let bare = |kind: &str| view::DigSource {
        kind: kind.to_owned(),
        id: None,
        zone: None,
        upstream: Vec::new(),
    };
    match &response.source {
        Source::Nowhere => bare("None"),
        Source::Upstream => view::DigSource {
            upstream,
            ..bare("Upstream")
        },
        Source::Zone { name, origin } => {
            let (kind, id) = match origin {
                Origin::HostedZone(id) => ("HostedZone", Some(id)),
                Origin::PrivateDns(id) => ("PrivateDns", Some(id)),
                Origin::Endpoint(id) => ("Endpoint", Some(id)),
                Origin::Instances(id) => ("Instances", Some(id)),
                Origin::SpecialUse => ("SpecialUse", None),
            };
            view::DigSource {
                id: id.map(ToString::to_string),
                zone: Some(name.to_string()),
                ..bare(kind)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::TXT;

    use super::*;

    #[test]
    fn a_name_is_fully_qualified_and_no_address() {
        assert_eq!(
            name("db.corp.example").unwrap().to_string(),
            "db.corp.example."
        );
        assert_eq!(name(".").unwrap().to_string(), ".");
        for (wrong, because) in [
            ("", "empty"),
            ("192.0.2.1", "-x 192.0.2.1"),
            ("2001:db8::1", "-x 2001:db8::1"),
            ("a b.test", "no domain name: ' ' cannot stand in one"),
            ("a..b", "1 to 63 bytes"),
            (&"x".repeat(64), "1 to 63 bytes"),
            (&"x.".repeat(200), "255 at most"),
        ] {
            let said = name(wrong).unwrap_err().view().message;
            assert!(said.contains(because), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_type_has_a_name_or_a_number_and_is_no_transfer() {
        for (given, expected) in [
            ("A", RecordType::A),
            ("aaaa", RecordType::AAAA),
            ("TYPE16", RecordType::TXT),
            ("type65280", RecordType::Unknown(65280)),
            ("ANY", RecordType::ANY),
        ] {
            assert_eq!(record_type(given).unwrap(), expected);
        }
        for wrong in ["", "FOO", "TYPE", "TYPE0", "TYPE70000", "AXFR", "TYPE251"] {
            let said = record_type(wrong).unwrap_err().view().message;
            assert!(said.contains("A, AAAA"), "{wrong}: {said}");
        }
    }

    #[test]
    fn text_is_quoted_as_in_zone_files() {
        let text = RData::TXT(TXT::from_bytes(vec![b"v=1 \"x\\", b"\x00\xff"]));
        assert_eq!(data(&text), r#""v=1 \"x\\" "\000\255""#);
    }
}
