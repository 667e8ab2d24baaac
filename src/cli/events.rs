//! `privlink events`: what happens to endpoints, targets and names, as JSON lines.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Global, client, examples, output};
use crate::daemon::StateDir;

/// Print what has happened to endpoints, targets and names, one JSON object per line
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink events" => "what is remembered, oldest first",
    "sudo privlink events --follow" => "that, and what comes, until the daemon ends; exit code 1 if it was killed",
    "sudo privlink events --follow | jq --unbuffered -r 'select(.VpcEndpointState == \"pendingAcceptance\").VpcEndpointId'" => "endpoints that wait to be accepted",
    "sudo privlink events --follow | jq -c 'select(.Event == \"TargetHealth\") | [.Id, .State, .Reason]'" => "targets that come and go",
    "sudo privlink events --follow | jq -c 'select(.Event == \"ResourceName\") | [.DomainName, .Addresses, .Reason]'" => "where resources that are domain names lead",
))]
pub(super) struct Events {
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
}

impl Events {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let path = match self.follow {
            true => "/v1/events?follow=true",
            false => "/v1/events",
        };
        client::follow(&dir, path, output::write_more)?;
        Ok(ExitCode::SUCCESS)
    }
}
