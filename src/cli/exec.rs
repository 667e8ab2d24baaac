//! `privlink exec`: a command on an instance, that is in its network namespace and in the topology's cgroup.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::{Global, client, enter, examples, output};
use crate::daemon::StateDir;
use crate::daemon::view::{Instance, Topology};

/// Run a command on an instance (in its network namespace)
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink exec EC2A -- curl http://172.18.1.70" => "by logical id",
    "sudo privlink exec provider:EC2B -- ss -ltn" => "by stack and logical id, where several stacks have one of that name",
    "sudo privlink exec EC2_B -- ss -ltn" => "by Name tag",
    "sudo privlink exec i-0123456789abcdef0 -- bash" => "by instance id; a shell",
))]
pub(super) struct Exec {
    /// The instance's logical id (or STACK:LOGICAL-ID), Name tag, instance id or namespace
    instance: String,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
}

impl Exec {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let topology: Topology = client::fetch(&dir, "/v1/topology")?;
        let instance = find(&topology.instances, &self.instance)?;
        let cgroup = topology.daemon.cgroup.map(PathBuf::from);
        if let Some(reason) = topology.daemon.no_cgroup_because {
            output::print_warning(&format!(
                "the command will not end with the topology: {reason}"
            ));
        }
        enter::enter(&instance.namespace, cgroup.as_deref(), &self.command)
    }
}

/// The one instance that `name` means.
pub(super) fn find<'a>(instances: &'a [Instance], name: &str) -> Result<&'a Instance> {
    let found: Vec<_> = instances
        .iter()
        .filter(|instance| {
            instance.logical_id == name
                || name.split_once(':') == Some((&*instance.stack, &*instance.logical_id))
                || instance.instance_id == name
                || instance.name.as_deref() == Some(name)
                || instance.namespace == name
        })
        .collect();
    match found[..] {
        [one] => Ok(one),
        [] if instances.is_empty() => bail!("no instance `{name}`: the topology has no instances"),
        [] => bail!("no instance `{name}`; there are {}", list(instances)),
        _ => bail!(
            "`{name}` is ambiguous, use an instance id or STACK:LOGICAL-ID: it may be {}",
            list(found)
        ),
    }
}

/// `EC2A (i-0a.., stack web, Name EC2_A), EC2B (...)`
fn list<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> String {
    let names: Vec<_> = instances
        .into_iter()
        .map(|instance| {
            let (id, stack) = (&instance.instance_id, &instance.stack);
            let name = instance.name.iter().map(|name| format!(", Name {name}"));
            let name: String = name.collect();
            format!("{} ({id}, stack {stack}{name})", instance.logical_id)
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(logical_id: &str, instance_id: &str, name: Option<&str>) -> Instance {
        Instance {
            logical_id: logical_id.into(),
            stack: "web".into(),
            owner_id: "000000000000".into(),
            instance_id: instance_id.into(),
            name: name.map(Into::into),
            namespace: logical_id.to_lowercase(),
            namespace_created: false,
            private_ip_address: "172.18.0.108".into(),
            vpc_id: "vpc-1".into(),
            vpc: "Vpc1".into(),
            cidr_block: "172.18.0.0/16".into(),
            subnet: "S".into(),
            availability_zone: "a".into(),
        }
    }

    fn instances() -> Vec<Instance> {
        vec![
            instance("WebA", "i-1", Some("web")),
            instance("WebB", "i-2", Some("web")),
            instance("Db", "i-3", Some("WebA")),
            instance("Client", "i-4", None),
        ]
    }

    #[test]
    fn an_instance_has_three_names() {
        let mut all = instances();
        all[2].name = Some("postgres".into());
        for name in ["Db", "i-3", "postgres"] {
            assert_eq!(find(&all, name).unwrap().instance_id, "i-3");
        }
    }

    #[test]
    fn an_ambiguous_name_lists_its_candidates() {
        let error = find(&instances(), "web").unwrap_err().to_string();
        assert!(error.contains("ambiguous"), "{error}");
        assert!(
            error.contains("WebA (i-1, stack web, Name web)")
                && error.contains("WebB (i-2, stack web, Name web)"),
            "{error}"
        );
        assert!(!error.contains("Client"), "{error}");
    }

    #[test]
    fn a_logical_id_that_is_another_ones_name_tag_is_ambiguous() {
        let error = find(&instances(), "WebA").unwrap_err().to_string();
        assert!(error.contains("i-1") && error.contains("i-3"), "{error}");
    }

    #[test]
    fn a_stack_before_the_logical_id_makes_it_unambiguous() {
        let mut all = instances();
        all[0].logical_id = "Db".into();
        all[0].stack = "data".into();
        let error = find(&all, "Db").unwrap_err().to_string();
        assert!(error.contains("Db (i-1, stack data, Name web)"), "{error}");
        assert_eq!(find(&all, "data:Db").unwrap().instance_id, "i-1");
        assert_eq!(find(&all, "web:Db").unwrap().instance_id, "i-3");
    }

    #[test]
    fn an_unknown_name_lists_all() {
        let error = find(&instances(), "nobody").unwrap_err().to_string();
        assert!(
            error.contains("no instance `nobody`") && error.contains("Client (i-4, stack web)"),
            "{error}"
        );
        assert!(
            find(&[], "nobody")
                .unwrap_err()
                .to_string()
                .contains("no instances")
        );
    }
}
