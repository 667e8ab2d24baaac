//! `privlink up`: runs a template, in the foreground or detached.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitCode, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};

use super::output::{self, Colour, Column};
use super::{Global, OutputFormat, examples, show};
use crate::daemon::view::{Instance, Topology, VpcEndpoint};
use crate::daemon::{self, Report, Spec, StateDir};

/// Run a template: make its instances' namespaces and interfaces, and forward packets until stopped
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink up examples/resource-endpoint.yaml" => "run it; Ctrl-C leaves the machine as it was",
    "sudo privlink up stack.yaml --detach" => "return once it is ready; `privlink down` ends it",
    "sudo privlink up stack.yaml --parameter Port=8080 --parameter Env=test" => "set template parameters",
    "sudo privlink up stack.yaml --run-user-data" => "run the instances' UserData scripts, as EC2 does",
))]
pub(super) struct Up {
    #[command(flatten)]
    template: TemplateArgs,
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
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Run each instance's UserData script in its namespace, as root
    #[arg(long)]
    run_user_data: bool,
    /// Return once it is ready, and keep running in the background
    #[arg(long)]
    detach: bool,
}

/// The template and what it is to be read with.
#[derive(Args)]
pub(super) struct TemplateArgs {
    /// A CloudFormation template, YAML or JSON
    template: PathBuf,
    /// Set a parameter of the template; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = key_value)]
    parameters: Vec<(String, String)>,
    /// The AWS region to play [default: the template's zones', AWS_REGION, us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

impl TemplateArgs {
    /// Reads the file, here and not in the daemon: the user's rights count.
    pub(super) fn read(&self) -> Result<daemon::Template> {
        let text = fs::read_to_string(&self.template)
            .with_context(|| format!("cannot read the template {}", self.template.display()))?;
        Ok(daemon::Template {
            name: self.template.display().to_string(),
            text,
            parameters: self.parameters.iter().cloned().collect(),
            region: self.region.clone(),
            default_region: std::env::var("AWS_REGION")
                .or_else(|_| std::env::var("AWS_DEFAULT_REGION"))
                .ok()
                .filter(|region| !region.is_empty()),
        })
    }
}

impl Up {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let template = self.template.read()?;
        let dir = StateDir::new(&global.state_dir)?;
        let spec = Spec {
            template,
            state_dir: dir.path().to_owned(),
            state_dir_created: daemon::prepare(&dir)?,
            mtu: self.mtu,
            offload: self.offload == Switch::On,
            workers: self.workers,
            run_user_data: self.run_user_data,
        };
        let state_dir = spec.state_dir.clone();
        let custom = (state_dir != Path::new(super::DEFAULT_STATE_DIR)).then_some(&*state_dir);
        if self.detach {
            let topology = detach(&spec, global.verbose)?;
            return print(&topology, global.output, Stop::Down(custom));
        }
        let format = global.output;
        daemon::run(spec, |topology| {
            print(topology, format, Stop::Interrupt).map(drop)
        })?;
        if format == OutputFormat::Table {
            output::write_stdout("Stopped; the machine is as it was.\n")?;
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
        let result = daemon::run(spec, |topology| {
            report(&Report::Ready(Box::new(topology.clone())))?;
            let null = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?;
            rustix::stdio::dup2_stdin(&null)?;
            rustix::stdio::dup2_stdout(&null)?;
            Ok(())
        });
        if let Err(error) = &result {
            // Of use to nobody once ready was reported: stdout is /dev/null then, and the log has it.
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
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(dir.log())
        .with_context(|| format!("cannot write {}", dir.log().display()))?;
    let mut command = Command::new(daemon::executable());
    command
        .arg("daemon")
        .args(std::iter::repeat_n("-v", usize::from(verbose)))
        // Told already; so that `ps` shows which daemon this is.
        .arg("--state-dir")
        .arg(dir.path());
    let mut child = command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start the daemon")?;
    if let Some(stdin) = child.stdin.take() {
        // A child that has died does not read; that it did not report is found out below.
        let _ = hand_over(stdin, spec);
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
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

fn hand_over(mut stdin: ChildStdin, spec: &Spec) -> Result<()> {
    serde_json::to_writer(&mut stdin, spec)?;
    stdin.flush()?;
    Ok(())
}

/// How the user will stop it.
enum Stop<'a> {
    Interrupt,
    Down(Option<&'a Path>),
}

fn print(topology: &Topology, format: OutputFormat, stop: Stop<'_>) -> Result<ExitCode> {
    let text = match format {
        OutputFormat::Json => output::json(topology)?,
        OutputFormat::Table => people(topology, stop, std::io::stdout().is_terminal()),
    };
    output::write_stdout(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn people(topology: &Topology, stop: Stop<'_>, is_terminal: bool) -> String {
    let mut out = String::new();
    let mut section = |text: String| {
        if !text.is_empty() {
            out.push_str(&text);
            out.push('\n');
        }
    };
    if !topology.instances.is_empty() {
        section(instance_table(&topology.instances));
    }
    if !topology.vpc_endpoints.is_empty() {
        section(show::endpoint_table(&topology.vpc_endpoints));
    }
    if !topology.outputs.is_empty() {
        section(output::table(
            &[Column::Left("OUTPUT"), Column::Left("VALUE")],
            topology
                .outputs
                .iter()
                .map(|output| vec![output.output_key.clone(), output.output_value.clone()]),
        ));
    }
    section(
        topology
            .notes
            .iter()
            .map(|note| format!("note: {note}\n"))
            .collect(),
    );
    let ready = output::paint("Ready", Colour::Green, is_terminal);
    let after = topology.daemon.ready_after_ms;
    match hint(topology) {
        Some(command) => out.push_str(&format!("{ready} after {after} ms; try: {command}\n")),
        None => out.push_str(&format!("{ready} after {after} ms\n")),
    }
    match stop {
        Stop::Interrupt => out.push_str("Ctrl-C stops it and leaves the machine as it was.\n"),
        Stop::Down(None) => {
            out.push_str("`privlink down` stops it and leaves the machine as it was.\n")
        }
        Stop::Down(Some(dir)) => out.push_str(&format!(
            "`privlink down --state-dir {}` stops it and leaves the machine as it was.\n",
            dir.display()
        )),
    }
    out
}

fn instance_table(instances: &[Instance]) -> String {
    let columns = [
        Column::Left("INSTANCE"),
        Column::Left("ID"),
        Column::Left("NAMESPACE"),
        Column::Left("ADDRESS"),
        Column::Left("ZONE"),
        Column::Left("SUBNET"),
        Column::Left("VPC"),
    ];
    output::table(
        &columns,
        instances.iter().map(|instance| {
            vec![
                instance.logical_id.clone(),
                instance.instance_id.clone(),
                instance.namespace.clone(),
                instance.private_ip_address.clone(),
                instance.availability_zone.clone(),
                instance.subnet.clone(),
                format!("{} {}", instance.vpc, instance.cidr_block),
            ]
        }),
    )
}

/// A command that sends a packet through an endpoint: from an instance in a consumer VPC.
fn hint(topology: &Topology) -> Option<String> {
    topology.vpc_endpoints.iter().find_map(|endpoint| {
        let consumer = topology
            .instances
            .iter()
            .find(|instance| instance.vpc_id == endpoint.vpc_id)?;
        let address = &endpoint.network_interfaces.first()?.private_ip_address;
        let namespace = &consumer.namespace;
        let offers = |protocol: &str| endpoint.protocols.iter().any(|p| p == protocol);
        if offers("TCP") {
            Some(format!(
                "ip netns exec {namespace} curl {}",
                url(endpoint, address)
            ))
        } else if offers("ICMP") {
            Some(format!("ip netns exec {namespace} ping {address}"))
        } else {
            None
        }
    })
}

/// Port 80 where it is offered, else 443, else the first.
fn url(endpoint: &VpcEndpoint, address: &str) -> String {
    let offered = |port: u16| {
        endpoint.port_ranges.iter().any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
        })
    };
    if offered(80) {
        return address.to_owned();
    }
    if offered(443) {
        return format!("https://{address}");
    }
    match endpoint
        .port_ranges
        .first()
        .map(|range| range.split('-').next().unwrap_or(range))
    {
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_a_key_and_a_value_that_may_contain_an_equals_sign() {
        assert_eq!(key_value("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(key_value("A="), Ok(("A".into(), String::new())));
        assert!(key_value("A").is_err() && key_value("=b").is_err());
    }

    #[test]
    fn the_hint_names_a_port_that_is_offered() {
        let mut endpoint = VpcEndpoint {
            logical_id: "E".into(),
            vpc_endpoint_id: "vpce-1".into(),
            vpc_endpoint_type: "Resource".into(),
            state: "available".into(),
            vpc_id: "vpc-1".into(),
            vpc: "V".into(),
            resource: "R".into(),
            resource_address: "172.18.0.108".into(),
            port_ranges: vec![],
            protocols: vec!["TCP".into()],
            network_interfaces: vec![],
        };
        for (ranges, expected) in [
            (&["1-65535"][..], "10.0.0.1"),
            (&["22", "443"], "https://10.0.0.1"),
            (&["5432", "6000-6010"], "10.0.0.1:5432"),
            (&["6000-6010"], "10.0.0.1:6000"),
        ] {
            endpoint.port_ranges = ranges.iter().map(|&range| range.into()).collect();
            assert_eq!(url(&endpoint, "10.0.0.1"), expected);
        }
    }
}
