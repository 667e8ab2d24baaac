//! `privlink validate`: everything that is wrong with a template, without touching the machine.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::up::TemplateArgs;
use super::{Global, OutputFormat, examples, output};
use crate::template::{Diagnostic, Diagnostics, Note, Stack};

/// Check a template without running it; needs no root
#[derive(Args)]
#[command(after_help = examples!(
    "privlink validate examples/resource-endpoint.yaml" => "exit code 0 if `up` would take it, else 1 and all errors",
    "privlink validate stack.json --parameter Port=8080" => "with template parameters",
    "privlink validate stack.yaml --output json" => "errors with file, line and column for an editor",
))]
pub(super) struct Validate {
    #[command(flatten)]
    template: TemplateArgs,
}

/// The answer as JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict<'a> {
    valid: bool,
    resources: usize,
    notes: Vec<String>,
    errors: Vec<ErrorView<'a>>,
    /// How many errors were too many to list.
    omitted: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorView<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    logical_id: Option<&'a str>,
    path: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

impl Validate {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let template = self.template.read()?;
        let result = template.load();
        match (&result, global.output) {
            (_, OutputFormat::Json) => output::write_stdout(&output::json(&verdict(&result))?)?,
            (Ok(stack), OutputFormat::Table) => {
                output::write_stdout(&praise(&template.name, stack))?
            }
            (Err(diagnostics), OutputFormat::Table) => complain(&template.name, diagnostics),
        }
        Ok(match result {
            Ok(_) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        })
    }
}

fn verdict(result: &Result<Stack, Diagnostics>) -> Verdict<'_> {
    match result {
        Ok(stack) => Verdict {
            valid: true,
            resources: stack.resources.len(),
            notes: stack.notes.iter().map(Note::to_string).collect(),
            errors: Vec::new(),
            omitted: 0,
        },
        Err(diagnostics) => Verdict {
            valid: false,
            resources: 0,
            notes: Vec::new(),
            errors: diagnostics.list.iter().map(error).collect(),
            omitted: diagnostics.omitted,
        },
    }
}

fn error(diagnostic: &Diagnostic) -> ErrorView<'_> {
    ErrorView {
        file: &diagnostic.file,
        line: diagnostic.line,
        column: diagnostic.column,
        logical_id: diagnostic.logical_id.as_deref(),
        path: &diagnostic.path,
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
    }
}

fn praise(name: &str, stack: &Stack) -> String {
    let mut text: String = stack
        .notes
        .iter()
        .map(|note| format!("note: {note}\n"))
        .collect();
    text.push_str(&format!(
        "{name} is valid: {}\n",
        output::count(stack.resources.len(), "resource")
    ));
    text
}

/// All errors on stderr, like every error.
fn complain(name: &str, diagnostics: &Diagnostics) {
    let errors = diagnostics.list.len() + diagnostics.omitted;
    eprintln!("{diagnostics}");
    output::print_error(&anyhow::anyhow!(
        "{name} has {}",
        output::count(errors, "error")
    ));
}
