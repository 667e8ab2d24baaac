//! CloudFormation templates -> commands on the control state.
//!
//! The way of a template, each step in the file of its name: `parse` (text -> tree with positions), `document` (the
//! skeleton) and `functions` (well-formed calls) are the syntax phase; `types` with `parameters`, `conditions` and the
//! tables of `schema` is the second; `exports` (between stacks), `references` (names, order), `evaluate` (functions ->
//! values) and `create` (commands) are the third, which `making` goes through for each stack. `load` goes through the
//! phases, for all templates together; `leaving` sees to it that nothing goes that is in use.
//!
//! Invariant: [`Stacks`] come of templates without errors only, and every error in one has file, line and column.
//! Source: AWS's CloudFormation guide and its resource schemas.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod attributes;
mod base64;
mod conditions;
mod create;
mod diagnostic;
mod document;
mod evaluate;
mod exports;
mod functions;
mod leaving;
mod load;
mod making;
mod node;
mod notes;
mod parameters;
mod parse;
mod references;
mod region;
mod schema;
mod suggest;
mod types;
mod zones;

pub use diagnostic::{Diagnostic, Diagnostics, Position};
pub use load::{load, succeed};
pub use notes::Note;
pub use parse::MAX_BYTES;
pub use suggest::nearest;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use document::Document;

use crate::control::{ControlState, Created, Owner};

/// A template's text, and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The path that the user gave, by which errors call it.
    pub name: &'a str,
    /// YAML or JSON.
    pub text: &'a str,
    /// `AWS::StackName`; unique among the templates of one [`load`].
    pub stack_name: &'a str,
    /// What the stack was before: where no other values are given its parameters keep theirs.
    pub before: Option<&'a Stack>,
    /// Is it only there beside others that are given anew, with the same text? What is said to all of those is not said to it,
    /// and it is not parsed again.
    pub stays: bool,
}

impl<'a> Source<'a> {
    /// The template of a stack that has not been there before.
    pub const fn new(name: &'a str, text: &'a str, stack_name: &'a str) -> Self {
        Self {
            name,
            text,
            stack_name,
            before: None,
            stays: false,
        }
    }
}

/// What the user says beside the templates.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--parameter`, a later one in the place of an earlier.
    pub parameters: Vec<Parameter>,
    /// `--region`. Default: the region of the first subnet's zone, as far as that is written out.
    pub region: Option<String>,
    /// The region if neither says one, for example `AWS_REGION` of the environment. Default: `us-east-1`.
    pub default_region: Option<String>,
    /// The time, since the UNIX epoch.
    pub now: Duration,
}

/// What runs, for what is to take its place.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// What was made of its stacks and of what has happened since.
    pub state: &'a ControlState,
    /// What its stacks alone would have made.
    pub base: &'a ControlState,
    /// Its stacks; those go of which no template comes.
    pub stacks: &'a [&'a Stack],
}

/// A parameter's value: of one stack, or of every stack that has such a parameter and was not given its own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parameter {
    /// Which stack's.
    pub stack: Option<String>,
    /// Its logical id.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Loaded templates.
#[derive(Clone, Debug)]
pub struct Stacks {
    /// Everything that they made, in one region; whose a thing is, [`ControlState::owner_of`] says.
    pub state: ControlState,
    /// One for each template, in the order in which those were given.
    pub list: Vec<Stack>,
}

/// A loaded template.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `AWS::StackName`.
    pub name: String,
    /// The template, as errors call it.
    pub template: String,
    /// Whose everything in it is.
    pub owner: Owner,
    /// The parameters that it was given, now or before.
    pub parameters: BTreeMap<String, String>,
    /// `Outputs`, in their order.
    pub outputs: Vec<Output>,
    /// The exports of other stacks that it uses: those may not go before it.
    pub imports: Vec<Import>,
    /// What has no effect here.
    pub notes: Vec<Note>,
    /// The resources that it made, in the order of their making.
    pub resources: Vec<StackResource>,
    document: Arc<Document>,
}

/// One of `Outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its logical id.
    pub key: String,
    /// Its value.
    pub value: String,
    /// For people.
    pub description: Option<String>,
    /// `Export: Name`, by which other stacks import it.
    pub export_name: Option<String>,
}

/// A use of `Fn::ImportValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The export's name.
    pub export_name: String,
    /// The stack that exports it.
    pub stack: String,
}

/// A resource and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackResource {
    /// Its name in the template.
    pub logical_id: String,
    /// For example `AWS::EC2::VPC`.
    pub type_name: &'static str,
    /// What the control state knows it by.
    pub physical_id: Created,
}
