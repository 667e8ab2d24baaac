//! The daemon: wires template, control, data plane and I/O together; the only module that names all of them.
//!
//! Invariant: whatever is made on this machine stands in the [`Record`](state_dir::Record) first, and one function
//! removes what a record names: at the end, after a failed start, and after SIGKILL.

mod api;
mod cgroup;
mod describe;
mod links;
mod live;
mod made;
mod privileges;
mod run;
mod signals;
mod state_dir;
mod stop;
#[cfg(test)]
mod tests;
mod user_data;
pub mod view;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::template::{self, Diagnostics, Parameter, Stacks};

pub use made::prepare;
pub use run::run;
pub use state_dir::StateDir;
pub use stop::{Stopped, stop};

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
}

impl Templates {
    /// What they ask for, or everything that is wrong with them.
    pub fn load(&self) -> Result<Stacks, Diagnostics> {
        let options = template::Options {
            parameters: self.parameters.clone(),
            region: self.region.clone(),
            default_region: self.default_region.clone(),
        };
        let names: Vec<_> = self.files.iter().map(TemplateFile::stack_name).collect();
        let sources = self.files.iter().zip(&names);
        let sources: Vec<_> = sources
            .map(|(file, name)| template::Source::new(&file.name, &file.text, name))
            .collect();
        template::load(&sources, &options)
    }

    /// How many errors there are, as a sentence.
    pub fn count(&self, errors: &Diagnostics) -> String {
        let count = errors.list.len() + errors.omitted;
        let noun = if count == 1 { "error" } else { "errors" };
        match &self.files[..] {
            [only] => format!("{} has {count} {noun}", only.name),
            _ => format!("the templates have {count} {noun}"),
        }
    }
}

impl TemplateFile {
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
