//! `privlink endpoints`: what becomes of the connections between consumers and providers.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::output::{self, Column};
use super::{Global, client, examples, show};
use crate::daemon::StateDir;
use crate::daemon::view::{VpcEndpoint, VpcEndpointIds};

/// List, accept, reject and delete VPC endpoints
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink endpoints list" => "every endpoint with its state",
    "sudo privlink endpoints accept vpce-0123456789abcdef0" => "as its service's provider: traffic passes",
    "sudo privlink endpoints reject consumer:Endpoint" => "as its provider: live connections are cut",
    "sudo privlink endpoints delete consumer:Endpoint" => "as its consumer",
))]
pub(super) struct Endpoints {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every VPC endpoint, its owner and its state
    #[command(after_help = examples!(
        "sudo privlink endpoints list" => "for people; `privlink show endpoints` has their addresses",
        "sudo privlink endpoints list --output json | jq -r '.[] | select(.State == \"pendingAcceptance\").VpcEndpointId'" => "those that wait",
    ))]
    List,
    /// Accept connections, as the service's provider
    #[command(after_help = examples!(
        "sudo privlink endpoints accept vpce-0123456789abcdef0" => "traffic passes from now on",
        "sudo privlink endpoints accept a:Endpoint b:Endpoint" => "both or, if one cannot be accepted, none",
    ))]
    Accept(Names),
    /// Reject connections, as the service's provider; live ones are cut
    #[command(after_help = examples!(
        "sudo privlink endpoints reject vpce-0123456789abcdef0" => "also after it was accepted; it can be accepted again",
    ))]
    Reject(Names),
    /// Delete endpoints, as their consumer; live connections are cut
    #[command(after_help = examples!(
        "sudo privlink endpoints delete consumer:Endpoint" => "it comes back when its template asks for another one: changed, or after it was without it",
    ))]
    Delete(Names),
}

#[derive(Args)]
struct Names {
    /// `vpce-...`, logical id, or STACK:LOGICAL-ID; all of them or none
    #[arg(required = true, value_name = "ENDPOINT")]
    endpoints: Vec<String>,
}

impl Endpoints {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let answer = |verb: &str, names: Names| {
            let body = VpcEndpointIds {
                vpc_endpoint_ids: names.endpoints,
            };
            client::send(&dir, &format!("/v1/vpc-endpoints/{verb}"), &body)
        };
        let only_listed = matches!(self.what, What::List);
        let rows: Vec<VpcEndpoint> = match self.what {
            What::List => client::fetch(&dir, "/v1/vpc-endpoints")?,
            What::Accept(names) => answer("accept", names)?,
            What::Reject(names) => answer("reject", names)?,
            What::Delete(names) => answer("delete", names)?,
        };
        let text = show::rendered(&dir, &rows, global.output, people)?;
        match only_listed {
            true => output::write_stdout(&text)?,
            false => output::write_done(&text),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn people(rows: &[VpcEndpoint], stacks: bool) -> String {
    if rows.is_empty() {
        return "No VPC endpoints.\n".into();
    }
    let columns = vec![
        Column::Left("ENDPOINT"),
        Column::Left("ID"),
        Column::Left("OWNER"),
        Column::Left("STATE"),
        Column::Left("LEADS TO"),
    ];
    let rows = rows.iter().map(|endpoint| {
        let row = vec![
            endpoint.logical_id.clone(),
            endpoint.vpc_endpoint_id.clone(),
            endpoint.owner_id.clone(),
            endpoint.state.clone(),
            show::leads_to(endpoint, stacks),
        ];
        (&endpoint.stack, row)
    });
    output::stack_table(columns, rows, stacks)
}
