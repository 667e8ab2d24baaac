//! `privlink down`: ends a daemon, or cleans up after one that was killed.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Global, OutputFormat, examples, output};
use crate::daemon::{self, StateDir, Stopped};

/// Stop the daemon of a state directory, or clean up after one that was killed
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink down" => "stop the daemon in /run/privlink and wait until it has cleaned up",
    "sudo privlink down --state-dir /run/privlink-test" => "another one",
))]
pub(super) struct Down {}

impl Down {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let stopped = daemon::stop(&dir)?;
        let text = match (global.output, &stopped) {
            (OutputFormat::Json, _) => output::json(&stopped)?,
            (_, Stopped::Nothing) => {
                format!("Nothing to do: no daemon in {}.\n", dir.path().display())
            }
            (_, Stopped::Daemon { pid }) => format!("Stopped privlink (pid {pid}).\n"),
            (_, Stopped::CleanedUp { pid, removed }) if removed.is_empty() => {
                format!("The daemon (pid {pid}) was killed; nothing of it was left.\n")
            }
            (_, Stopped::CleanedUp { pid, removed }) => {
                format!(
                    "The daemon (pid {pid}) was killed; removed {}.\n",
                    removed.join(", ")
                )
            }
        };
        output::write_done(&text);
        Ok(ExitCode::SUCCESS)
    }
}
