//! `privlink up`: runs templates, in the foreground or detached.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};

use super::topology::{self, Stop};
use super::{Global, OutputFormat, examples, output};
use crate::daemon::view::{self, Topology};
use crate::daemon::{self, Destination, Report, Servers, Spec, StateDir, TemplateFile, Templates};
use crate::template::Parameter;

/// Run templates: make their instances' namespaces and interfaces, and forward packets until stopped
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink up examples/resource-endpoint.yaml" => "run it; Ctrl-C leaves the machine as it was",
    "sudo privlink up stack.yaml --detach" => "return once it is ready; `privlink down` ends it",
    "sudo privlink up stack.yaml --parameter Port=8080 --parameter Env=test" => "set template parameters",
    "sudo privlink up provider.yaml consumer.yaml --parameter consumer:Port=8080" => "two stacks, joined by Export and Fn::ImportValue; a parameter of one of them",
    "sudo privlink up stack.yaml --upstream 192.0.2.53" => "ask this server for names outside the VPCs, not those of /etc/resolv.conf",
    "sudo privlink up stack.yaml --run-user-data" => "run the instances' UserData scripts, as EC2 does",
))]
pub(super) struct Up {
    #[command(flatten)]
    templates: TemplateArgs,
    /// MTU of the instances' interfaces, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 9001, value_parser = clap::value_parser!(u16).range(576..))]
    mtu: u16,
    /// Take super-packets of up to 64 KiB from the kernel, or (off) every packet by itself
    #[arg(
        long,
        value_enum,
        value_name = "on|off",
        default_value = "on",
        hide_possible_values = true
    )]
    offload: Switch,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Run each instance's UserData script in its namespace, as root
    #[arg(long)]
    run_user_data: bool,
    /// Servers to ask, in this order, for names that no VPC answers, instead of this machine's (/etc/resolv.conf); or `none`: such
    /// names do not exist (NXDOMAIN)
    #[arg(long, value_name = "ADDR[:PORT]|none", value_parser = upstream)]
    upstream: Vec<Upstream>,
    /// Answer everybody who asks there, by UDP and TCP, for endpoints' own names, and for no others
    #[arg(long, value_name = "ADDRESS:PORT")]
    public_dns: Option<SocketAddr>,
    /// Append each query that a VPC's resolver has answered, as a line of JSON; `-`: to standard output
    #[arg(long, value_name = "FILE|-")]
    query_log: Option<PathBuf>,
    /// Return once it is ready, and keep running in the background
    #[arg(long)]
    detach: bool,
}

/// The templates and what they are to be read with.
#[derive(Args)]
pub(super) struct TemplateArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The AWS region to play, one for all [default: the templates' zones', AWS_REGION, us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// The templates and their parameters.
#[derive(Args)]
pub(super) struct FileArgs {
    /// CloudFormation templates, YAML or JSON: each a stack, called like its file, in any order
    #[arg(required = true, value_name = "TEMPLATE")]
    templates: Vec<PathBuf>,
    /// Set a parameter in every template that has it, or (STACK:KEY=VALUE) in one; may be repeated
    #[arg(long = "parameter", value_name = "[STACK:]KEY=VALUE", value_parser = parameter)]
    parameters: Vec<Parameter>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// A value of `--upstream`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Upstream {
    None,
    Server(SocketAddr),
}

fn upstream(text: &str) -> Result<Upstream, String> {
    match text {
        "none" => Ok(Upstream::None),
        _ => daemon::parse_server(text).map(Upstream::Server),
    }
}

/// All of them together.
fn servers(given: &[Upstream]) -> Result<Servers> {
    let server = |one: &Upstream| match one {
        Upstream::Server(address) => Some(*address),
        Upstream::None => None,
    };
    let addresses: Vec<_> = given.iter().filter_map(server).collect();
    match given {
        [] => Ok(Servers::Host),
        [Upstream::None] => Ok(Servers::These(Vec::new())),
        _ if addresses.len() == given.len() => Ok(Servers::These(addresses)),
        _ => bail!("--upstream none stands alone: it says that nobody is asked"),
    }
}

fn parameter(text: &str) -> Result<Parameter, String> {
    let (name, value) = text.split_once('=').unwrap_or_default();
    let (stack, key) = match name.split_once(':') {
        Some((stack, key)) => (Some(stack), key),
        None => (None, name),
    };
    if key.is_empty() || stack.is_some_and(str::is_empty) {
        return Err("expected KEY=VALUE or STACK:KEY=VALUE".into());
    }
    Ok(Parameter {
        stack: stack.map(str::to_owned),
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

impl TemplateArgs {
    /// The templates, read.
    pub(super) fn read(&self) -> Result<Templates> {
        Ok(Templates {
            files: self.files.read()?,
            parameters: self.files.parameters.clone(),
            region: self.region.clone(),
            default_region: std::env::var("AWS_REGION")
                .or_else(|_| std::env::var("AWS_DEFAULT_REGION"))
                .ok()
                .filter(|region| !region.is_empty()),
        })
    }
}

impl FileArgs {
    /// Reads the files, here and not in the daemon: the user's rights count.
    fn read(&self) -> Result<Vec<TemplateFile>> {
        let file = |path: &PathBuf| TemplateFile::read(&path.display().to_string(), path);
        self.templates.iter().map(file).collect()
    }

    /// The files as the daemon is told them.
    pub(super) fn templates(&self) -> Result<Vec<view::Template>> {
        let files = self.read()?.into_iter();
        Ok(files
            .map(|TemplateFile { name, text, path }| view::Template { name, text, path })
            .collect())
    }

    /// The parameters as the daemon is told them.
    pub(super) fn parameters(&self) -> Vec<view::Parameter> {
        let parameters = self.parameters.iter().map(|parameter| view::Parameter {
            stack: parameter.stack.clone(),
            parameter_key: parameter.key.clone(),
            parameter_value: parameter.value.clone(),
        });
        parameters.collect()
    }
}

impl Up {
    fn query_log(&self) -> Result<Option<Destination>> {
        let Some(path) = &self.query_log else {
            return Ok(None);
        };
        if path.as_os_str() != "-" {
            let path = daemon::absolute(path)?;
            return Ok(Some(Destination::File(path)));
        }
        if self.detach {
            bail!("--query-log - needs a standard output, which --detach has not: name a file");
        }
        Ok(Some(Destination::Stdout))
    }

    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let templates = self.templates.read()?;
        let dir = StateDir::new(&global.state_dir)?;
        let spec = Spec {
            templates,
            state_dir: dir.path().to_owned(),
            state_dir_created: daemon::prepare(&dir)?,
            mtu: self.mtu,
            offload: self.offload == Switch::On,
            workers: self.workers.and_then(|n| NonZeroUsize::new(n.into())),
            run_user_data: self.run_user_data,
            upstream: servers(&self.upstream)?,
            public_dns: self.public_dns,
            query_log: self.query_log()?,
        };
        let state_dir = spec.state_dir.clone();
        let custom = (state_dir != Path::new(super::DEFAULT_STATE_DIR)).then_some(&*state_dir);
        if self.detach {
            let topology = detach(&spec, global.verbose)?;
            let text = topology::text(&topology, global.output, Stop::Down(custom))?;
            // The exit code says that it runs, whatever can be printed.
            output::write_done(&text);
            return Ok(ExitCode::SUCCESS);
        }
        let format = global.output;
        let ready = move |topology: &Topology| {
            output::write_stdout(&topology::text(topology, format, Stop::Interrupt)?)
        };
        daemon::run(spec, Box::new(ready))?;
        match format {
            OutputFormat::Table => output::write_farewell("Stopped; the machine is as it was.\n")?,
            OutputFormat::Json => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The hidden half of `up --detach`: reads a [`Spec`] from stdin, answers with one [`Report`] on stdout.
#[derive(Args)]
#[command(hide = true)]
pub(super) struct Daemon {}

impl Daemon {
    pub(super) fn run(self) -> Result<ExitCode> {
        // A session of its own: neither Ctrl-C nor the terminal's end is meant for it. It fails for a session's leader only.
        let _ = rustix::process::setsid();
        let spec: Spec =
            serde_json::from_reader(std::io::stdin()).context("no specification on stdin")?;
        // Once it has reported, nothing more is for who has started it.
        let has_reported = Arc::new(AtomicBool::new(false));
        let reports = Arc::clone(&has_reported);
        let ready = move |topology: &Topology| {
            reports.store(true, Ordering::Relaxed);
            report(&Report::Ready(Box::new(topology.clone())))?;
            let null = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .context("cannot open /dev/null")?;
            rustix::stdio::dup2_stdin(&null).context("cannot let go of standard input")?;
            rustix::stdio::dup2_stdout(&null).context("cannot let go of standard output")?;
            Ok(())
        };
        let result = daemon::run(spec, Box::new(ready));
        if let Err(error) = &result
            && !has_reported.load(Ordering::Relaxed)
        {
            report(&Report::Failed(format!("{error:#}")))?;
        }
        result.map(|()| ExitCode::SUCCESS)
    }
}

fn report(report: &Report) -> Result<()> {
    let mut line = serde_json::to_string(report)?;
    line.push('\n');
    output::write_stdout(&line)
}

/// Starts the daemon as a process of its own and waits until packets can flow.
fn detach(spec: &Spec, verbose: u8) -> Result<Topology> {
    let dir = StateDir::new(&spec.state_dir)?;
    let mut child = spawn(&dir, verbose)?;
    if let Some(stdin) = child.stdin.take() {
        // A child that has died does not read; that it did not report is found out below.
        let _ = hand_over(stdin, spec);
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = BufReader::new(stdout).read_line(&mut line);
        read.context("cannot read what the daemon reports")?;
    }
    match serde_json::from_str(&line) {
        Ok(Report::Ready(topology)) => Ok(*topology),
        Ok(Report::Failed(message)) => {
            child.wait()?;
            Err(anyhow!(message))
        }
        Err(_) => {
            let status = child.wait()?;
            bail!(
                "the daemon ended before it was ready ({status}); its log is {}",
                dir.log().display()
            )
        }
    }
}

fn spawn(dir: &StateDir, verbose: u8) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(dir.log())
        .with_context(|| format!("cannot write {}", dir.log().display()))?;
    Command::new(daemon::executable())
        .arg("daemon")
        .args(std::iter::repeat_n("-v", usize::from(verbose)))
        // Told already; so that `ps` shows which daemon this is.
        .arg("--state-dir")
        .arg(dir.path())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start the daemon")
}

fn hand_over(mut stdin: ChildStdin, spec: &Spec) -> Result<()> {
    serde_json::to_writer(&mut stdin, spec)?;
    stdin.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_is_this_machines_servers_or_those_given_or_none() {
        let parsed = |texts: &[&str]| {
            let given: Result<Vec<_>, _> = texts.iter().map(|text| upstream(text)).collect();
            servers(&given.unwrap())
        };
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(parsed(&[]).unwrap(), Servers::Host);
        assert_eq!(parsed(&["none"]).unwrap(), Servers::These(vec![]));
        assert_eq!(
            parsed(&["192.0.2.1", "192.0.2.2:5353"]).unwrap(),
            Servers::These(vec![address("192.0.2.1:53"), address("192.0.2.2:5353")])
        );
        assert!(parsed(&["none", "192.0.2.1"]).is_err());
        assert!(upstream("localhost").is_err());
    }

    #[test]
    fn a_parameter_is_a_key_and_a_value_that_may_contain_both_signs() {
        for (text, expected) in [
            ("A=b=c", (None, "A", "b=c")),
            ("A=", (None, "A", "")),
            ("A=arn:aws:x", (None, "A", "arn:aws:x")),
            ("s:A=b:c", (Some("s"), "A", "b:c")),
        ] {
            let found = parameter(text).unwrap();
            let found = (found.stack.as_deref(), &*found.key, &*found.value);
            assert_eq!(found, expected, "{text}");
        }
        for wrong in ["A", "=b", "s:=b", ":A=b", "s:A"] {
            assert!(parameter(wrong).is_err(), "{wrong}");
        }
    }
}
