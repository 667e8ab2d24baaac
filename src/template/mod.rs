//! CloudFormation templates -> commands on the control state.
//!
//! The way of a template, each step in the file of its name: `parse` (text -> tree with positions), `document` (the
//! skeleton) and `functions` (well-formed calls) are the syntax phase; `types` with `parameters`, `conditions` and the
//! tables of `schema` is the second; `references` (names, order), `evaluate` (functions -> values) and `create`
//! (commands) are the third. `load` goes through them.
//!
//! Invariant: a [`Stack`] comes of a template without errors only, and every error in it has file, line and column.
//! Source: AWS's CloudFormation guide and its resource schemas.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod attributes;
mod base64;
mod conditions;
mod create;
mod diagnostic;
mod document;
mod evaluate;
mod functions;
mod load;
mod node;
mod notes;
mod parameters;
mod parse;
mod references;
mod schema;
mod suggest;
mod types;
mod zones;

use std::collections::BTreeMap;

pub use diagnostic::{Diagnostic, Diagnostics, Position};
pub use load::load;
pub use notes::Note;
pub use parse::MAX_BYTES;

use crate::control::{ControlState, Created};

/// A template's text and the name that errors call it by.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The path that the user gave.
    pub name: &'a str,
    /// YAML or JSON.
    pub text: &'a str,
}

/// What the user says beside the template.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--parameter K=V`.
    pub parameters: BTreeMap<String, String>,
    /// `--region`. Default: the region of the first subnet's zone, as far as that is written out.
    pub region: Option<String>,
    /// The region if neither says one, for example `AWS_REGION` of the environment. Default: `us-east-1`.
    pub default_region: Option<String>,
    /// `AWS::StackName`.
    pub stack_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parameters: BTreeMap::new(),
            region: None,
            default_region: None,
            stack_name: "privlink".to_owned(),
        }
    }
}

/// A loaded template.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Everything that it made. Region and account are its owner's.
    pub state: ControlState,
    /// `AWS::StackName`.
    pub name: String,
    /// `Outputs`, in their order.
    pub outputs: Vec<Output>,
    /// What has no effect here.
    pub notes: Vec<Note>,
    /// The resources that it made, in the order of their making.
    pub resources: Vec<StackResource>,
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
    /// `Export: Name`; there is no other stack that could import it.
    pub export_name: Option<String>,
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
