//! `privlink show`: what the running daemon sees.

mod flows;
mod load_balancing;
mod names;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use load_balancing::{private_names, services, targets};

use super::output::{self, Column};
use super::{Global, OutputFormat, client, examples};
use crate::daemon::StateDir;
use crate::daemon::view::{self, Drop, NetworkInterface, Stack, VpcEndpoint};

/// Show what a running daemon sees: interfaces, endpoints, load balancers, flows, resolvers, drops
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink show interfaces" => "every network interface with its counters",
    "sudo privlink show flows" => "both sides of every flow, before and after NAT",
    "sudo privlink show drops" => "which packets were dropped where, and why",
    "sudo privlink show flows --output json | jq '.[].Initiator.Bytes'" => "raw numbers for programs",
    "sudo curl --unix-socket /run/privlink/daemon.sock http://privlink/v1/network-interfaces" => "the same, without privlink",
))]
pub(super) struct Show {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Network interfaces of instances, endpoints, resource gateways and load balancers
    #[command(after_help = examples!(
        "sudo privlink show interfaces" => "addresses, namespaces, packets and bytes",
        "sudo privlink show interfaces --output json" => "raw numbers",
    ))]
    Interfaces,
    /// VPC endpoints, their states and interfaces, and the addresses behind them
    #[command(after_help = examples!(
        "sudo privlink show endpoints" => "which address leads where",
        "sudo privlink show endpoints --output json" => "for programs",
    ))]
    Endpoints,
    /// Load balancers, their nodes and listeners
    #[command(after_help = examples!(
        "sudo privlink show load-balancers" => "nodes with their addresses, listeners with their target groups",
        "sudo privlink show load-balancers --output json" => "for programs",
    ))]
    LoadBalancers,
    /// Target groups and their targets
    #[command(after_help = examples!(
        "sudo privlink show target-groups" => "who answers, and how they are probed",
        "sudo privlink show target-groups --output json" => "for programs",
    ))]
    TargetGroups,
    Flows(flows::Flows),
    /// The VPCs' resolvers: what was asked, and where the answers came from
    #[command(after_help = examples!(
        "sudo privlink show resolver" => "a row per VPC",
        "sudo privlink show resolver --output json | jq '.[].Limited'" => "packets over the limit of 1024 per second and interface",
    ))]
    Resolver,
    /// Dropped packets by interface and reason
    #[command(after_help = examples!(
        "sudo privlink show drops" => "most frequent first",
        "sudo privlink show drops --output json" => "for programs",
    ))]
    Drops,
}

impl Show {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let format = global.output;
        let text = match self.what {
            What::Flows(wanted) => return wanted.run(&dir, format),
            What::Interfaces => render(&dir, "/v1/network-interfaces", format, interfaces),
            What::Endpoints => render(&dir, "/v1/vpc-endpoints", format, endpoints),
            What::LoadBalancers => render(
                &dir,
                "/v1/load-balancers",
                format,
                load_balancing::load_balancers,
            ),
            What::TargetGroups => render(
                &dir,
                "/v1/target-groups",
                format,
                load_balancing::target_groups,
            ),
            What::Resolver => render(&dir, "/v1/resolvers", format, names::resolvers),
            What::Drops => render(&dir, "/v1/drops", format, drops),
        }?;
        output::write_stdout(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn render<T: Serialize + DeserializeOwned>(
    dir: &StateDir,
    path: &str,
    format: OutputFormat,
    people: fn(&[T], bool) -> String,
) -> Result<String> {
    let rows: Vec<T> = client::fetch(dir, path)?;
    rendered(dir, &rows, format, people)
}

/// The daemon's answer, as JSON or as a table for `people`, who are told stacks where there are several.
pub(super) fn rendered<T: Serialize>(
    dir: &StateDir,
    rows: &[T],
    format: OutputFormat,
    people: fn(&[T], bool) -> String,
) -> Result<String> {
    match format {
        OutputFormat::Json => output::json(&rows),
        OutputFormat::Table => Ok(people(rows, has_several_stacks(dir)?)),
    }
}

fn has_several_stacks(dir: &StateDir) -> Result<bool> {
    let stacks: Vec<Stack> = client::fetch(dir, "/v1/stacks")?;
    Ok(stacks.len() > 1)
}

fn interfaces(rows: &[NetworkInterface], stacks: bool) -> String {
    if rows.is_empty() {
        return "No network interfaces: the template has no instance and no endpoint.\n".into();
    }
    // Worth its width only where there is something to say.
    let trouble = rows.iter().any(|eni| eni.status != "in-use");
    let mut columns = vec![
        Column::Left("ENI"),
        Column::Left("KIND"),
        Column::Left("OWNER"),
        Column::Left("VPC"),
        Column::Left("ZONE"),
        Column::Left("ADDRESS"),
        Column::Left("NAMESPACE"),
        Column::Right("PKTS IN"),
        Column::Right("BYTES IN"),
        Column::Right("PKTS OUT"),
        Column::Right("BYTES OUT"),
        Column::Right("DROPPED"),
    ];
    if trouble {
        columns.push(Column::Left("STATUS"));
    }
    let rows = rows.iter().map(|eni| (&eni.stack, interface_row(eni)));
    output::stack_table(columns, rows, stacks)
}

fn interface_row(eni: &NetworkInterface) -> Vec<String> {
    vec![
        eni.network_interface_id.clone(),
        kind(&eni.interface_type).to_owned(),
        eni.owner.clone(),
        eni.vpc.clone(),
        eni.availability_zone.clone(),
        address_range(&eni.private_ip_addresses),
        eni.namespace.clone().unwrap_or_else(|| "-".into()),
        eni.packets_in.to_string(),
        output::bytes(eni.bytes_in),
        eni.packets_out.to_string(),
        output::bytes(eni.bytes_out),
        eni.packets_dropped.to_string(),
        eni.status.clone(),
    ]
}

/// The word for people of an `InterfaceType`.
fn kind(interface_type: &str) -> &str {
    match interface_type {
        "vpc_endpoint" => "endpoint",
        "resource_gateway" => "gateway",
        "network_load_balancer" => "load balancer",
        other => other,
    }
}

/// One address, or the first and how many more.
fn address_range(addresses: &[String]) -> String {
    match addresses {
        [] => "-".into(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

fn endpoints(rows: &[VpcEndpoint], stacks: bool) -> String {
    if rows.is_empty() {
        return "No VPC endpoints.\n".into();
    }
    let columns = vec![
        Column::Left("ENDPOINT"),
        Column::Left("ID"),
        Column::Left("TYPE"),
        Column::Left("STATE"),
        Column::Left("VPC"),
        Column::Left("LEADS TO"),
        Column::Left("OFFERS"),
    ];
    let endpoints = rows.iter().map(|endpoint| {
        let row = vec![
            endpoint.logical_id.clone(),
            endpoint.vpc_endpoint_id.clone(),
            endpoint.vpc_endpoint_type.clone(),
            endpoint.state.clone(),
            endpoint.vpc.clone(),
            leads_to(endpoint, stacks),
            offers(endpoint),
        ];
        (&endpoint.stack, row)
    });
    format!(
        "{}\n{}\n{}",
        output::stack_table(columns, endpoints, stacks),
        endpoint_table(rows, stacks),
        dns_table(rows, stacks)
    )
}

/// A row per name.
fn dns_table(rows: &[VpcEndpoint], stacks: bool) -> String {
    let columns = vec![Column::Left("ENDPOINT"), Column::Left("DNS NAME")];
    let names = rows.iter().flat_map(|endpoint| {
        endpoint.dns_entries.iter().map(move |entry| {
            let row = vec![endpoint.logical_id.clone(), entry.dns_name.clone()];
            (&endpoint.stack, row)
        })
    });
    output::stack_table(columns, names, stacks)
}

/// A row per endpoint interface; `up` prints it as well.
pub(super) fn endpoint_table(rows: &[VpcEndpoint], stacks: bool) -> String {
    let columns = vec![
        Column::Left("ENDPOINT"),
        Column::Left("ZONE"),
        Column::Left("SUBNET"),
        Column::Left("ENI"),
        Column::Left("ADDRESS"),
        Column::Left("LEADS TO"),
        Column::Left("VIA"),
    ];
    let lines = rows.iter().flat_map(|endpoint| {
        endpoint.network_interfaces.iter().map(move |eni| {
            let row = vec![
                endpoint.logical_id.clone(),
                eni.availability_zone.clone(),
                eni.subnet.clone(),
                eni.network_interface_id.clone(),
                eni.private_ip_address.clone(),
                leads_to(endpoint, stacks),
                output::short_ranges(&eni.gateway_addresses),
            ];
            (&endpoint.stack, row)
        })
    });
    output::stack_table(columns, lines, stacks)
}

/// What an endpoint leads to, often of another stack than its own: a resource configuration or a service.
pub(super) fn leads_to(endpoint: &VpcEndpoint, stacks: bool) -> String {
    match (&endpoint.service, &endpoint.service_stack) {
        (Some(service), Some(stack)) => view::in_stack(stack, service, stacks),
        _ => view::in_stack(&endpoint.resource_stack, &endpoint.resource, stacks),
    }
}

/// `172.18.0.108 TCP 1-65535`; of a service `TCP 80`.
fn offers(endpoint: &VpcEndpoint) -> String {
    let parts = [
        endpoint.resource_address.clone(),
        endpoint.protocols.join(","),
        endpoint.port_ranges.join(","),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

fn drops(rows: &[Drop], stacks: bool) -> String {
    if rows.is_empty() {
        return "No drops: every packet so far has been forwarded or answered.\n".into();
    }
    let columns = vec![
        Column::Left("ENI"),
        Column::Left("OWNER"),
        Column::Left("REASON"),
        Column::Right("PACKETS"),
        Column::Left("WHAT HAPPENED"),
    ];
    let rows = rows.iter().map(|drop| {
        let row = vec![
            drop.network_interface_id.clone(),
            drop.owner.clone(),
            drop.reason.clone(),
            drop.packets.to_string(),
            drop.description.clone(),
        ];
        (&drop.stack, row)
    });
    output::stack_table(columns, rows, stacks)
}
