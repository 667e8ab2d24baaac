//! `privlink services`: what providers offer.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Global, examples, output, show};
use crate::daemon::StateDir;

/// List endpoint services
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink services list" => "who offers what, to whom, and how many endpoints lead there",
))]
pub(super) struct Services {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every endpoint service, and how many endpoints lead to it
    #[command(after_help = examples!(
        "sudo privlink services list" => "for people",
        "sudo privlink services list --output json | jq -r '.[].ServiceName'" => "the names that endpoints use",
    ))]
    List,
}

impl Services {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let text = match self.what {
            What::List => {
                let path = "/v1/vpc-endpoint-services";
                show::render(&dir, path, global.output, show::services)?
            }
        };
        output::write_stdout(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
