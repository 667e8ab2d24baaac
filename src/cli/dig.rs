//! `privlink dig`: a question as an instance asks its VPC's resolver, and where the answer came from.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::output::{self, Column};
use super::{Global, OutputFormat, client, examples, exec};
use crate::daemon::StateDir;
use crate::daemon::view::{Dig as Found, DigQuestion, DigSource, DnsRecord, Topology};

/// Ask the resolver of an instance's VPC, and see where the answer comes from
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink dig EC2A db.corp.example" => "the addresses (A) of a name, as EC2A sees it",
    "sudo privlink dig EC2A db.corp.example TXT" => "other records",
    "sudo privlink dig EC2A -x 172.18.0.108" => "the name of an address",
    "sudo privlink dig EC2A db.corp.example --short" => "what the records say, and nothing else",
    "sudo privlink dig consumer:Client db.corp.example --output json | jq -r .Source.Kind" => "for programs: HostedZone, PrivateDns, Endpoint, Instances, Upstream, ...",
))]
pub(super) struct Dig {
    /// The instance's logical id (or STACK:LOGICAL-ID), Name tag, instance id or namespace
    instance: String,
    /// The name, fully qualified: no search domain is added
    #[arg(required_unless_present = "reverse")]
    name: Option<String>,
    /// The records to ask for: A, AAAA, CNAME, MX, PTR, SRV, TXT, TYPE65, ...
    #[arg(default_value = "A", value_name = "TYPE")]
    record_type: String,
    /// Ask for the name of this address (PTR)
    #[arg(short = 'x', value_name = "ADDRESS", conflicts_with_all = ["name", "record_type"])]
    reverse: Option<IpAddr>,
    /// Print only what the records say
    #[arg(long)]
    short: bool,
}

impl Dig {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let topology: Topology = client::fetch(&dir, "/v1/topology")?;
        let instance = exec::find(&topology.instances, &self.instance)?;
        let (name, record_type) = match self.reverse {
            Some(address) => (reverse(address), "PTR".to_owned()),
            None => (self.name.unwrap_or_default(), self.record_type),
        };
        let question = DigQuestion {
            instance: instance.instance_id.clone(),
            name,
            record_type,
        };
        let found: Found = client::send(&dir, "/v1/dig", &question)?;
        let text = match (global.output, self.short) {
            (OutputFormat::Json, _) => output::json(&found)?,
            (OutputFormat::Table, true) => short(&found),
            (OutputFormat::Table, false) => people(&found),
        };
        output::write_stdout(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The name under which an address's own is found (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev();
            let nibbles = nibbles.flat_map(|byte| [byte & 15, byte >> 4]);
            let labels: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{labels}ip6.arpa")
        }
    }
}

fn short(found: &Found) -> String {
    let lines = found.answers.iter();
    lines.map(|record| format!("{}\n", record.data)).collect()
}

fn people(found: &Found) -> String {
    let Found {
        name,
        record_type,
        instance,
        vpc,
        resolver,
        ..
    } = found;
    let mut text = format!(
        "{}: {name} {record_type}, asked by {instance} of {resolver} in {vpc}\n\n",
        found.status
    );
    let records = if found.answers.is_empty() {
        text.push_str(&format!("{}\n", why_nothing(found)));
        &found.authorities
    } else {
        &found.answers
    };
    if !records.is_empty() {
        text.push_str(&table(records));
    }
    let from = source(&found.source);
    let millis = found.micros as f64 / 1000.0;
    text.push_str(&format!("\nFrom {from}, in {millis:.1} ms.\n"));
    text
}

fn table(records: &[DnsRecord]) -> String {
    let columns = [
        Column::Left("NAME"),
        Column::Right("TTL"),
        Column::Left("TYPE"),
        Column::Left("DATA"),
    ];
    let rows = records.iter().map(|record| {
        vec![
            record.name.clone(),
            record.ttl.to_string(),
            record.record_type.clone(),
            record.data.clone(),
        ]
    });
    output::table(&columns, rows)
}

/// An answer without records, in a sentence.
fn why_nothing(found: &Found) -> String {
    match found.status.as_str() {
        "NOERROR" => format!("The name has no {} records.", found.record_type),
        "NXDOMAIN" if has_no_upstream(&found.source) => {
            "It is in no zone of the VPC, and no server is upstream.".into()
        }
        "NXDOMAIN" => "There is no such name.".into(),
        "REFUSED" => {
            "It is in no zone of the VPC, and the servers upstream refuse to answer.".into()
        }
        "SERVFAIL" => "Resolution has failed.".into(),
        other => format!("The resolver says {other}."),
    }
}

fn source(source: &DigSource) -> String {
    let id = source.id.as_deref().unwrap_or_default();
    let zone = source.zone.as_deref().unwrap_or_default();
    match source.kind.as_str() {
        "HostedZone" => format!("private hosted zone {id} ({zone})"),
        "PrivateDns" => format!("private DNS of endpoint {id} ({zone})"),
        "Endpoint" => format!("the endpoint names of {id} ({zone})"),
        "Instances" => format!("the names of {id}'s instances ({zone})"),
        "SpecialUse" => format!("special-use zone {zone}"),
        "Upstream" if has_no_upstream(source) => "the resolver itself".into(),
        "Upstream" => format!("upstream {}", source.upstream.join(", ")),
        _ => "the resolver itself".into(),
    }
}

/// Was it to be asked upstream, and is no server there?
fn has_no_upstream(source: &DigSource) -> bool {
    source.kind == "Upstream" && source.upstream.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let record = |name: &str, ttl, record_type: &str, data: &str| DnsRecord {
            name: name.into(),
            ttl,
            record_type: record_type.into(),
            data: data.into(),
        };
        Found {
            status: "NOERROR".into(),
            name: "www.corp.example.".into(),
            record_type: "A".into(),
            instance: "EC2A".into(),
            vpc: "Vpc1".into(),
            resolver: "172.18.0.2".into(),
            answers: vec![
                record("www.corp.example.", 60, "CNAME", "db.corp.example."),
                record("db.corp.example.", 300, "A", "172.18.0.10"),
            ],
            authorities: Vec::new(),
            source: DigSource {
                kind: "HostedZone".into(),
                id: Some("Z1".into()),
                zone: Some("corp.example.".into()),
                upstream: Vec::new(),
            },
            micros: 412,
        }
    }

    #[test]
    fn an_answer_is_a_table_with_its_source() {
        assert_eq!(
            people(&found()),
            "NOERROR: www.corp.example. A, asked by EC2A of 172.18.0.2 in Vpc1\n\n\
             NAME               TTL  TYPE   DATA\n\
             www.corp.example.   60  CNAME  db.corp.example.\n\
             db.corp.example.   300  A      172.18.0.10\n\n\
             From private hosted zone Z1 (corp.example.), in 0.4 ms.\n"
        );
        assert_eq!(short(&found()), "db.corp.example.\n172.18.0.10\n");
    }

    #[test]
    fn an_answer_without_records_says_why() {
        let mut none = found();
        none.answers.clear();
        none.status = "NXDOMAIN".into();
        none.source.kind = "Upstream".into();
        let text = people(&none);
        assert!(
            text.contains("It is in no zone of the VPC, and no server is upstream."),
            "{text}"
        );
        assert!(text.contains("From the resolver itself"), "{text}");
        assert_eq!(short(&none), "");
    }

    #[test]
    fn the_reverse_of_an_address() {
        for (address, expected) in [
            ("172.18.0.108", "108.0.18.172.in-addr.arpa"),
            (
                "2001:db8::567:89ab",
                "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            ),
        ] {
            assert_eq!(reverse(address.parse().unwrap()), expected);
        }
    }
}
