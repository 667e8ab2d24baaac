//! `privlink apply`: makes running stacks what their templates say now, or only says what that would change.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::up::FileArgs;
use super::{Global, client, examples, plan};
use crate::daemon::StateDir;
use crate::daemon::view::{Apply as Request, Plan};

/// Change what runs: stacks become what their templates say now, and flows that it does not concern go on
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink apply stack.yaml --dry-run" => "what would change; nothing does",
    "sudo privlink apply stack.yaml" => "change it; an error anywhere changes nothing",
    "sudo privlink apply customer-2.yaml" => "one stack more: those that are not named stay as they are",
    "sudo privlink apply stack.yaml --parameter Port=8080" => "with a parameter changed; those that are not given keep their values",
    "sudo privlink apply stack.yaml --dry-run --output json | jq -r '.Changes[].Action'" => "for programs",
))]
pub(super) struct Apply {
    #[command(flatten)]
    files: FileArgs,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let request = Request {
            templates: self.files.templates()?,
            parameters: self.files.parameters(),
            dry_run: self.dry_run,
        };
        let dir = StateDir::new(&global.state_dir)?;
        let plan: Plan = client::send(&dir, "/v1/apply", &request)?;
        plan::print(&plan, global.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
