//! `privlink show flows`: page after page, so that neither side holds all of them.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::output::{Column, JsonPages, Pages};
use super::{OutputFormat, client, examples, has_several_stacks, output};
use crate::daemon::StateDir;
use crate::daemon::view::{self, Flow, FlowPage, FlowQuery, FlowSide, FlowState};

/// Live flows, as the initiator and as the target sees them
///
/// Up to 1,000 flows are listed newest first; more come in pieces of 1,000, each newest first.
/// Filters that are given together must all hold.
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink show flows" => "newest first",
    "sudo privlink show flows --from EC2A --state established" => "open connections of an instance",
    "sudo privlink show flows --from 172.18.1.247:51617" => "whose connection a server sees from this gateway address and port",
    "sudo privlink show flows --to 172.18.0.0/16 --limit 20" => "twenty flows to these addresses",
    "sudo privlink show flows --endpoint consumer:Endpoint --output json | jq length" => "how many came through an endpoint",
    "sudo curl --unix-socket /run/privlink/daemon.sock 'http://privlink/v1/flows?state=reset'" => "a page, without privlink; its NextToken, given as next-token, leads to the next one",
))]
pub(super) struct Flows {
    /// Only flows from this address (ADDRESS, ADDRESS:PORT or CIDR, before or after NAT), instance
    /// or network interface
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Only flows to this address (ADDRESS, ADDRESS:PORT or CIDR, before or after NAT), instance
    /// or network interface
    #[arg(long, value_name = "PEER")]
    to: Option<String>,
    /// Only flows through this VPC endpoint (vpce-..., logical id or STACK:LOGICAL-ID)
    #[arg(long)]
    endpoint: Option<String>,
    /// Only flows in this state
    #[arg(long, value_parser = PossibleValuesParser::new(FlowState::NAMES))]
    state: Option<String>,
    /// Stop after so many flows
    #[arg(long, value_name = "COUNT")]
    limit: Option<NonZeroUsize>,
}

impl Flows {
    pub(super) fn run(self, dir: &StateDir, format: OutputFormat) -> Result<ExitCode> {
        let query = FlowQuery {
            from: self.from,
            to: self.to,
            endpoint: self.endpoint,
            state: self.state,
            limit: self.limit,
            next_token: None,
        };
        match format {
            OutputFormat::Json => print_json(dir, query),
            OutputFormat::Table => print_table(dir, query),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print_json(dir: &StateDir, query: FlowQuery) -> Result<()> {
    let mut pages = JsonPages::default();
    each_page(dir, query, |flows| pages.next(flows))?;
    output::write_stdout(pages.end())
}

fn print_table(dir: &StateDir, query: FlowQuery) -> Result<()> {
    let stacks = has_several_stacks(dir)?;
    let are_all = query.selects_all();
    let columns = columns(stacks);
    let mut pages = Pages::new(&columns);
    let mut count = 0;
    each_page(dir, query, |flows| {
        count += flows.len();
        Ok(pages.next(flows.iter().map(|flow| row(flow, stacks))))
    })?;
    match (count, are_all) {
        (0, true) => {
            output::write_stdout("No flows: nothing is passing, and nothing has lately.\n")
        }
        (0, false) => output::write_stdout("No flow matches.\n"),
        _ => Ok(()),
    }
}

/// Writes the text of each page, until there are no more or their reader has gone.
fn each_page(
    dir: &StateDir,
    mut query: FlowQuery,
    mut text: impl FnMut(&[Flow]) -> Result<String>,
) -> Result<()> {
    loop {
        let path = format!("/v1/flows?{}", serde_urlencoded::to_string(&query)?);
        let page: FlowPage = client::fetch(dir, &path)?;
        if output::write_more(text(&page.flows)?.as_bytes())?.is_break() {
            return Ok(());
        }
        if let Some(limit) = query.limit {
            query.limit = NonZeroUsize::new(limit.get().saturating_sub(page.flows.len()));
        }
        query.next_token = match page.next_token {
            Some(token) => Some(token),
            None => return Ok(()),
        };
    }
}

fn columns(stacks: bool) -> Vec<Column> {
    let mut columns = vec![
        Column::Left("PROTO"),
        Column::Left("STATE"),
        Column::Left("INITIATOR SIDE"),
        Column::Left("TARGET SIDE"),
        Column::Right("PKTS ->"),
        Column::Right("BYTES ->"),
        Column::Right("PKTS <-"),
        Column::Right("BYTES <-"),
        Column::Right("AGE"),
        Column::Right("IDLE"),
    ];
    if stacks {
        columns.extend([Column::Left("INITIATOR"), Column::Left("TARGET")]);
    }
    columns
}

fn row(flow: &Flow, stacks: bool) -> Vec<String> {
    vec![
        flow.protocol.clone(),
        flow.state.clone(),
        side(&flow.initiator),
        side(&flow.target),
        flow.initiator.packets.to_string(),
        output::bytes(flow.initiator.bytes),
        flow.target.packets.to_string(),
        output::bytes(flow.target.bytes),
        output::duration(flow.age_seconds),
        output::duration(flow.idle_seconds),
        view::in_stack(&flow.initiator.stack, &flow.initiator.owner, stacks),
        view::in_stack(&flow.target.stack, &flow.target.owner, stacks),
    ]
}

/// `172.18.0.108:41234 -> 172.18.1.70:80`
fn side(side: &FlowSide) -> String {
    format!(
        "{}:{} -> {}:{}",
        side.source, side.source_port, side.destination, side.destination_port
    )
}
