//! `privlink delete`: takes stacks away, or only says what that would change.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Global, client, examples, plan};
use crate::daemon::StateDir;
use crate::daemon::view::{Delete as Request, Plan};

/// Delete stacks: what they made goes, and connections that lead through it are cut
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink delete consumer --dry-run" => "what would go; nothing does",
    "sudo privlink delete consumer" => "also the namespaces that privlink made for it; other stacks stay as they are",
    "sudo privlink delete consumer provider" => "both, or, if something of one is in use by others, none",
    "sudo privlink apply consumer.yaml" => "it comes again",
))]
pub(super) struct Delete {
    /// Stacks, each called like its template's file
    #[arg(required = true, value_name = "STACK")]
    stacks: Vec<String>,
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let request = Request {
            stack_names: self.stacks,
            dry_run: self.dry_run,
        };
        let dir = StateDir::new(&global.state_dir)?;
        let plan: Plan = client::send(&dir, "/v1/delete", &request)?;
        plan::print(&plan, global.output)?;
        Ok(ExitCode::SUCCESS)
    }
}
