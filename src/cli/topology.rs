//! What `privlink up` prints when packets can flow: instances, endpoints, outputs, notes, and what to try.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Result;

use super::output::{self, Colour, Column};
use super::{OutputFormat, show};
use crate::daemon::view::{Instance, Output, Topology, VpcEndpoint};

/// How the user will stop it.
pub(super) enum Stop<'a> {
    /// Ctrl-C.
    Interrupt,
    /// `privlink down`, with this state directory unless it is the default.
    Down(Option<&'a Path>),
}

/// What stands, as `up` prints it when it is ready.
pub(super) fn text(topology: &Topology, format: OutputFormat, stop: Stop<'_>) -> Result<String> {
    match format {
        OutputFormat::Json => output::json(topology),
        OutputFormat::Table => Ok(people(topology, stop, std::io::stdout().is_terminal())),
    }
}

fn people(topology: &Topology, stop: Stop<'_>, is_terminal: bool) -> String {
    let notes = topology.notes.iter().map(|note| format!("note: {note}\n"));
    let stacks = topology.stacks.len() > 1;
    let sections = [
        instance_table(&topology.instances, stacks),
        show::endpoint_table(&topology.vpc_endpoints, stacks),
        output_table(&topology.outputs, stacks),
        notes.collect(),
    ];
    let mut out = String::new();
    for section in sections.iter().filter(|section| !section.is_empty()) {
        out.push_str(section);
        out.push('\n');
    }
    let ready = output::paint("Ready", Colour::Green, is_terminal);
    let after = topology.daemon.ready_after_ms;
    out.push_str(&format!("{ready} after {after} ms"));
    if let Some(command) = hint(topology) {
        // sudo was needed to come here, and is for that command.
        let sudo = if std::env::var_os("SUDO_USER").is_some() {
            "sudo "
        } else {
            ""
        };
        out.push_str(&format!("; try: {sudo}{command}"));
    }
    let how = match stop {
        Stop::Interrupt => "Ctrl-C".into(),
        Stop::Down(None) => "`privlink down`".into(),
        Stop::Down(Some(dir)) => format!("`privlink down --state-dir {}`", dir.display()),
    };
    out.push_str(&format!(
        "\n{how} stops it and leaves the machine as it was.\n"
    ));
    out
}

fn output_table(outputs: &[Output], stacks: bool) -> String {
    let rows = outputs.iter().map(|output| {
        let row = vec![output.output_key.clone(), output.output_value.clone()];
        (&output.stack, row)
    });
    let columns = vec![Column::Left("OUTPUT"), Column::Left("VALUE")];
    output::stack_table(columns, rows, stacks)
}

fn instance_table(instances: &[Instance], stacks: bool) -> String {
    let columns = vec![
        Column::Left("INSTANCE"),
        Column::Left("ID"),
        Column::Left("NAMESPACE"),
        Column::Left("ADDRESS"),
        Column::Left("ZONE"),
        Column::Left("SUBNET"),
        Column::Left("VPC"),
    ];
    let rows = instances.iter().map(|instance| {
        let row = vec![
            instance.logical_id.clone(),
            instance.instance_id.clone(),
            instance.namespace.clone(),
            instance.private_ip_address.clone(),
            instance.availability_zone.clone(),
            instance.subnet.clone(),
            format!("{} {}", instance.vpc, instance.cidr_block),
        ];
        (&instance.stack, row)
    });
    output::stack_table(columns, rows, stacks)
}

/// A command that sends a packet through an endpoint: from an instance in a consumer VPC.
fn hint(topology: &Topology) -> Option<String> {
    let endpoints = topology.vpc_endpoints.iter();
    let mut available = endpoints.filter(|endpoint| endpoint.state == "available");
    available.find_map(|endpoint| {
        let consumer = topology
            .instances
            .iter()
            .find(|instance| instance.vpc_id == endpoint.vpc_id)?;
        let address = &endpoint.network_interfaces.first()?.private_ip_address;
        let namespace = &consumer.namespace;
        let offers = |protocol: &str| endpoint.protocols.iter().any(|p| p == protocol);
        if offers("TCP") {
            Some(format!(
                "ip netns exec {namespace} curl {}",
                url(endpoint, address)
            ))
        } else if offers("ICMP") {
            Some(format!("ip netns exec {namespace} ping {address}"))
        } else {
            None
        }
    })
}

/// Port 80 where it is offered, else 443, else the first.
fn url(endpoint: &VpcEndpoint, address: &str) -> String {
    let offered = |port: u16| {
        endpoint.port_ranges.iter().any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
        })
    };
    if offered(80) {
        return address.to_owned();
    }
    if offered(443) {
        return format!("https://{address}");
    }
    match endpoint
        .port_ranges
        .first()
        .map(|range| range.split('-').next().unwrap_or(range))
    {
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_a_port_that_is_offered() {
        let mut endpoint = VpcEndpoint {
            logical_id: "E".into(),
            stack: "S".into(),
            owner_id: "000000000000".into(),
            vpc_endpoint_id: "vpce-1".into(),
            vpc_endpoint_type: "Resource".into(),
            state: "available".into(),
            vpc_id: "vpc-1".into(),
            vpc: "V".into(),
            resource: "R".into(),
            resource_stack: "S".into(),
            resource_address: "172.18.0.108".into(),
            service: None,
            service_stack: None,
            service_id: None,
            service_name: None,
            port_ranges: vec![],
            protocols: vec!["TCP".into()],
            network_interfaces: vec![],
            private_dns_enabled: false,
            dns_entries: vec![],
        };
        for (ranges, expected) in [
            (&["1-65535"][..], "10.0.0.1"),
            (&["22", "443"], "https://10.0.0.1"),
            (&["5432", "6000-6010"], "10.0.0.1:5432"),
            (&["6000-6010"], "10.0.0.1:6000"),
        ] {
            endpoint.port_ranges = ranges.iter().map(|&range| range.into()).collect();
            assert_eq!(url(&endpoint, "10.0.0.1"), expected);
        }
    }
}
