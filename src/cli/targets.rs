//! `privlink targets`: who answers for a load balancer.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Global, client, examples, output, show};
use crate::daemon::StateDir;
use crate::daemon::view::{TargetDescription, TargetGroup, Targets as Request};

/// List, register and deregister the targets of target groups
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink targets list" => "every target and its state",
    "sudo privlink targets register provider:TargetGroup Provider3:8080" => "an instance by its logical id, at a port",
    "sudo privlink targets deregister provider-target i-0123456789abcdef0" => "no new flows; those that live may end",
))]
pub(super) struct Targets {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every target of every group
    #[command(after_help = examples!(
        "sudo privlink targets list" => "for people; `privlink show target-groups` has their health checks",
        "sudo privlink targets list --output json | jq '.[].Targets[].Id'" => "for programs",
    ))]
    List,
    /// Add targets to a group
    #[command(after_help = examples!(
        "sudo privlink targets register provider-target i-0123456789abcdef0" => "at the group's port",
        "sudo privlink targets register provider-target 10.100.1.13:8080" => "by address, where the group's type is ip",
    ))]
    Register(Names),
    /// Let targets drain, after which they are gone
    #[command(after_help = examples!(
        "sudo privlink targets deregister provider-target i-0123456789abcdef0" => "at every port",
        "sudo privlink targets deregister provider-target Provider1:80" => "at one",
    ))]
    Deregister(Names),
}

#[derive(Args)]
struct Names {
    /// The group's ARN, name, logical id, or STACK:LOGICAL-ID
    #[arg(value_name = "TARGET-GROUP")]
    target_group: String,
    /// An instance's id or logical id, or an address; all of them or none
    #[arg(required = true, value_name = "TARGET[:PORT]", value_parser = target)]
    targets: Vec<TargetDescription>,
}

fn target(text: &str) -> Result<TargetDescription, String> {
    // A logical id may have its stack before it: only a number is a port.
    let (id, port) = match text.rsplit_once(':') {
        Some((id, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (id, Some(port.ok_or("a port is a number from 1 to 65535")?))
        }
        _ => (text, None),
    };
    if id.is_empty() {
        return Err("expected TARGET or TARGET:PORT".into());
    }
    let id = id.to_owned();
    Ok(TargetDescription { id, port })
}

impl Targets {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let ask = |verb: &str, names: Names| -> Result<Vec<TargetGroup>> {
            let body = Request {
                target_group: names.target_group,
                targets: names.targets,
            };
            let path = format!("/v1/target-groups/{verb}-targets");
            Ok(vec![client::send(&dir, &path, &body)?])
        };
        let only_listed = matches!(self.what, What::List);
        let groups = match self.what {
            What::List => client::fetch(&dir, "/v1/target-groups")?,
            What::Register(names) => ask("register", names)?,
            What::Deregister(names) => ask("deregister", names)?,
        };
        let text = show::rendered(&dir, &groups, global.output, people)?;
        match only_listed {
            true => output::write_stdout(&text)?,
            false => output::write_done(&text),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn people(groups: &[TargetGroup], stacks: bool) -> String {
    match show::targets(groups, stacks) {
        none if none.is_empty() => "No targets.\n".into(),
        table => table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_have_a_stack_before_it_and_a_port_behind() {
        for (text, id, port) in [
            ("i-0123", "i-0123", None),
            ("10.0.0.4:8080", "10.0.0.4", Some(8080)),
            ("provider:Web", "provider:Web", None),
            ("provider:Web:80", "provider:Web", Some(80)),
        ] {
            let id = id.to_owned();
            assert_eq!(target(text), Ok(TargetDescription { id, port }), "{text}");
        }
        for wrong in ["", ":80", "a:0", "a:65536", "a:"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
