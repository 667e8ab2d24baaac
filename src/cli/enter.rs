//! The hidden `privlink enter`: into a namespace and a cgroup, then `exec`. `exec` and UserData both end here.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::Args;

use crate::daemon;

/// Enter a namespace and a cgroup and run a command there
#[derive(Args)]
#[command(hide = true)]
pub(super) struct Enter {
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    cgroup: Option<PathBuf>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Enter {
    pub(super) fn run(self) -> Result<ExitCode> {
        enter(&self.namespace, self.cgroup.as_deref(), &self.command)
    }
}

/// Becomes `command` inside of `namespace` and `cgroup`. Returns only if that fails: 127 not found, 126 not executable.
pub(super) fn enter(
    namespace: &str,
    cgroup: Option<&Path>,
    command: &[OsString],
) -> Result<ExitCode> {
    let [program, arguments @ ..] = command else {
        bail!("no command");
    };
    daemon::enter(namespace, cgroup)?;
    let error = Command::new(program).args(arguments).exec();
    let code = match error.kind() {
        ErrorKind::NotFound => 127,
        _ => 126,
    };
    super::output::print_error(
        &anyhow::Error::new(error).context(format!("cannot run {}", Path::new(program).display())),
    );
    Ok(ExitCode::from(code))
}
