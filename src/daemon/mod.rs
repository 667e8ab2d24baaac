//! The daemon: wires template, control, data plane and I/O together; the only module that names all of them.
//!
//! Invariant: whatever is made on this machine stands in the [`Record`](state_dir::Record) first, and one function
//! removes what a record names: at the end, after a failed start, and after SIGKILL.

mod api;
mod cgroup;
mod change;
mod describe;
mod event_lines;
mod events;
mod holder;
mod links;
mod live;
mod made;
mod names;
pub mod private_names;
mod privileges;
mod refusal;
mod resolv_conf;
mod resolve;
mod run;
mod signals;
mod spool;
mod stacks;
mod state_dir;
mod stop;
mod tell;
#[cfg(test)]
mod tests;
mod user_data;
pub mod view;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::template::{Diagnostics, MAX_BYTES, Parameter, Stacks};
use stacks::Wanted;

pub use holder::Holder;
pub use made::prepare;
pub use names::query_log::Destination;
pub use names::upstream::{Servers, parse_server};
pub use run::run;
pub use state_dir::StateDir;
pub use stop::{Stopped, stop};
pub use tell::{Stderr, finish as finish_stderr, print as print_stderr};

/// What to run, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The templates.
    pub templates: Templates,
    /// Where the daemon keeps its lock, socket and logs.
    pub state_dir: PathBuf,
    /// Was it missing before?
    pub state_dir_created: bool,
    /// MTU of the instances' interfaces, in bytes.
    pub mtu: u16,
    /// Do super-packets pass?
    pub offload: bool,
    /// How many worker threads; `None`: one per core.
    pub workers: Option<NonZeroUsize>,
    /// Run the instances' UserData?
    pub run_user_data: bool,
    /// Who is asked for names that are in no zone.
    pub upstream: Servers,
    /// Where everybody may ask for the names that everybody may know.
    pub public_dns: Option<SocketAddr>,
    /// Where each query that a resolver has answered is written.
    pub query_log: Option<Destination>,
}

/// Templates, read, with what they are to be evaluated with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Templates {
    /// The files.
    pub files: Vec<TemplateFile>,
    /// `--parameter`.
    pub parameters: Vec<Parameter>,
    /// `--region`.
    pub region: Option<String>,
    /// The region where neither the user nor a template says one.
    pub default_region: Option<String>,
}

/// A template's file: a stack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TemplateFile {
    /// As the user named it.
    pub name: String,
    /// What stands in it.
    pub text: String,
    /// Where it is, absolute: SIGHUP reads it again. `None`: it was a pipe, or came over the control socket alone.
    pub path: Option<PathBuf>,
}

impl Templates {
    /// What they ask for, or everything that is wrong with them.
    pub fn load(&self) -> Result<Stacks, Diagnostics> {
        let (_, stacks) = Wanted::default().with(self, None)?;
        Ok(stacks)
    }

    /// How many errors there are, as a sentence.
    pub fn count(&self, errors: &Diagnostics) -> String {
        let count = errors.list.len() + errors.omitted;
        let noun = if count == 1 { "error" } else { "errors" };
        let elsewhere = |file: &str| errors.list.iter().any(|e| e.file != file);
        match &self.files[..] {
            _ if errors.list.iter().all(|e| e.file.starts_with("--")) => {
                format!("the command line has {count} {noun}")
            }
            [only] if !elsewhere(&only.name) => format!("{} has {count} {noun}", only.name),
            _ => format!("the templates have {count} {noun}"),
        }
    }
}

/// What is said over the control socket; the region stays the running one.
impl From<view::Apply> for Templates {
    fn from(apply: view::Apply) -> Self {
        let files = apply.templates.into_iter().map(|template| TemplateFile {
            name: template.name,
            text: template.text,
            path: template.path,
        });
        let parameters = apply.parameters.into_iter().map(|parameter| Parameter {
            stack: parameter.stack,
            key: parameter.parameter_key,
            value: parameter.parameter_value,
        });
        Self {
            files: files.collect(),
            parameters: parameters.collect(),
            region: None,
            default_region: None,
        }
    }
}

impl TemplateFile {
    /// Reads the file at `path`, but no more of it than a template may have: it may be a disk image or a device without an end.
    pub fn read(name: &str, path: &Path) -> Result<Self> {
        let (text, is_file) =
            read_bounded(path).with_context(|| format!("cannot read the template {name}"))?;
        let path = is_file.then(|| absolute(path)).transpose()?;
        let name = name.to_owned();
        Ok(Self { name, text, path })
    }

    /// The same file as it is now.
    fn read_again(&self) -> Result<Self> {
        let name = &self.name;
        let path = self.path.as_ref().with_context(|| {
            format!(
                "cannot read the template {name} again: it was no file; have one applied as stack {}",
                self.stack_name()
            )
        })?;
        Self::read(name, path)
    }

    /// The file's name without its extension, as far as AWS allows its characters in a stack's name.
    fn stack_name(&self) -> String {
        let stem = Path::new(&self.name).file_stem().unwrap_or_default();
        let name: String = stem
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphabetic())
            .take(128)
            .collect();
        match name.is_empty() {
            true => "privlink".to_owned(),
            false => name,
        }
    }
}

/// Where `path` is, from `/`.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    let failed = || {
        format!(
            "cannot tell where {} is: the current directory",
            path.display()
        )
    };
    std::path::absolute(path).with_context(failed)
}

/// What is in it, and whether it would still be there a second time.
fn read_bounded(path: &Path) -> Result<(String, bool)> {
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    let file = File::open(path)?;
    let is_file = file.metadata()?.is_file();
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        bail!("it has more than {MAX_BYTES} bytes");
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to() + 1;
        anyhow!("it is not UTF-8 text (byte {place} is no part of any)")
    })?;
    Ok((text, is_file))
}

/// What a detached daemon tells whoever started it, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// Packets can flow.
    Ready(Box<view::Topology>),
    /// It has ended, and why.
    Failed(String),
}

/// This program, to be started again: by its path, whose last part is what `ps` shows, while it is still there.
pub fn executable() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}

/// Moves this process into an instance's namespace and the topology's cgroup, for good.
pub fn enter(namespace: &str, cgroup: Option<&Path>) -> Result<()> {
    privileges::require("entering a network namespace")?;
    if let Some(cgroup) = cgroup {
        // First: the namespace's /sys has no cgroups.
        cgroup::join(cgroup, std::process::id())?;
    }
    let namespace = crate::io::Namespace::open(namespace)?
        .with_context(|| format!("the network namespace `{namespace}` has gone"))?;
    crate::io::enter(&namespace)?;
    Ok(())
}
