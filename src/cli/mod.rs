//! The command line: one file per subcommand, all of them thin.
//!
//! Invariant: what a program may want to read goes to stdout, everything else to stderr; exit code 0 is success,
//! 1 a failure with `privlink: error: ...`, 2 wrong usage. `exec` ends with the exit code of its command.

mod apply;
mod client;
mod delete;
mod dig;
mod down;
mod endpoints;
mod enter;
mod events;
mod exec;
mod output;
mod plan;
mod services;
mod show;
mod targets;
mod topology;
mod up;
mod validate;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::daemon::{self, Stderr};

/// Where a daemon keeps its lock, socket and logs unless told otherwise.
const DEFAULT_STATE_DIR: &str = "/run/privlink";

#[derive(Parser)]
#[command(
    name = "privlink",
    version,
    about = "AWS PrivateLink for Linux: networks with identical CIDRs reach each other's services",
    after_help = examples!(
        "privlink validate examples/resource-endpoint.yaml" => "check a CloudFormation template",
        "sudo privlink up examples/resource-endpoint.yaml" => "run it, until Ctrl-C",
        "sudo ip netns exec ec2-a curl 172.18.1.70" => "in another terminal: through the endpoint",
        "sudo privlink show flows" => "what is passing",
        "sudo privlink apply examples/resource-endpoint.yaml" => "after the template was edited",
    ),
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every subcommand.
#[derive(Args, Clone)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Directory of the daemon's lock, control socket and logs; one daemon each
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_STATE_DIR)]
    pub state_dir: PathBuf,
    /// Tables for people, or JSON for programs
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub output: OutputFormat,
    /// Log to stderr what is made and removed; -vv and -vvv say more (or PRIVLINK_LOG=FILTER)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How results are written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    // Not doc comments: clap would spread every help over twice the lines.
    // Aligned columns, sizes and times rounded.
    Table,
    // Raw numbers.
    Json,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Up),
    Apply(apply::Apply),
    Delete(delete::Delete),
    Down(down::Down),
    Validate(validate::Validate),
    Exec(exec::Exec),
    Dig(dig::Dig),
    Show(show::Show),
    Endpoints(endpoints::Endpoints),
    Services(services::Services),
    Targets(targets::Targets),
    Events(events::Events),
    Enter(enter::Enter),
    Daemon(up::Daemon),
}

/// The `Examples:` section of a `--help`: command and what it is for.
macro_rules! examples {
    ($($command:literal => $purpose:literal),+ $(,)?) => {
        concat!("Examples:" $(, "\n  ", $command, "\n      ", $purpose)+)
    };
}
use examples;

/// Parses the arguments, runs the subcommand, and turns an error into words and an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.global.verbose);
    let result = match cli.command {
        Command::Up(up) => up.run(&cli.global),
        Command::Apply(apply) => apply.run(&cli.global),
        Command::Delete(delete) => delete.run(&cli.global),
        Command::Down(down) => down.run(&cli.global),
        Command::Validate(validate) => validate.run(&cli.global),
        Command::Exec(exec) => exec.run(&cli.global),
        Command::Dig(dig) => dig.run(&cli.global),
        Command::Show(show) => show.run(&cli.global),
        Command::Endpoints(endpoints) => endpoints.run(&cli.global),
        Command::Services(services) => services.run(&cli.global),
        Command::Targets(targets) => targets.run(&cli.global),
        Command::Events(events) => events.run(&cli.global),
        Command::Enter(enter) => enter.run(),
        Command::Daemon(daemon) => daemon.run(),
    };
    let code = result.unwrap_or_else(|error| {
        output::print_error(&error);
        ExitCode::FAILURE
    });
    daemon::finish_stderr();
    code
}

fn start_logging(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let by_flags = EnvFilter::new(format!("privlink={level},warn"));
    let filter = match std::env::var("PRIVLINK_LOG") {
        Ok(text) => EnvFilter::try_new(&text).unwrap_or_else(|error| {
            output::print_warning(&format!("PRIVLINK_LOG={text} is not a filter: {error}"));
            by_flags
        }),
        Err(_) => by_flags,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        // Its own fallback is `eprintln!`, which panics where standard error cannot be written.
        .log_internal_errors(false)
        .with_ansi(output::may_colour(std::io::stderr().is_terminal()))
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_visible_subcommand_shows_examples() {
        fn check(command: &clap::Command) {
            for sub in command
                .get_subcommands()
                .filter(|c| !c.is_hide_set() && c.get_name() != "help")
            {
                let help = sub.clone().render_long_help().to_string();
                assert!(help.contains("Examples:"), "{}: {help}", sub.get_name());
                check(sub);
            }
        }
        check(&Cli::command());
    }
}
