//! `privlink validate`: everything that is wrong with templates, without touching the machine.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::up::TemplateArgs;
use super::{Global, OutputFormat, examples, output};
use crate::daemon::{Templates, private_names};
use crate::template::{Diagnostic, Diagnostics, Note, Stack, Stacks};

/// Check templates without running them; needs no root
#[derive(Args)]
#[command(after_help = examples!(
    "privlink validate examples/resource-endpoint.yaml" => "exit code 0 if `up` would take it, else 1 and all errors",
    "privlink validate stack.json --parameter Port=8080" => "with template parameters",
    "privlink validate provider.yaml consumer.yaml" => "two stacks, with what one imports of the other",
    "privlink validate stack.yaml --output json" => "errors with file, line and column for an editor",
))]
pub(super) struct Validate {
    #[command(flatten)]
    templates: TemplateArgs,
}

/// The answer as JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict<'a> {
    valid: bool,
    resources: usize,
    stacks: Vec<StackView<'a>>,
    notes: Vec<String>,
    errors: &'a [Diagnostic],
    /// How many errors were too many to list.
    omitted: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StackView<'a> {
    stack_name: &'a str,
    owner_id: &'a str,
    template: &'a str,
    resources: usize,
    exports: Vec<&'a str>,
    imports: Vec<&'a str>,
}

impl Validate {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let templates = self.templates.read()?;
        let result = templates.load();
        match (&result, global.output) {
            (_, OutputFormat::Json) => output::write_stdout(&output::json(&verdict(&result))?)?,
            (Ok(stacks), OutputFormat::Table) => {
                let praise = stacks.list.iter().map(|stack| praise(stacks, stack));
                let praise: String = praise.collect();
                output::write_stdout(&praise)?;
            }
            (Err(diagnostics), OutputFormat::Table) => complain(&templates, diagnostics),
        }
        Ok(match result {
            Ok(_) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        })
    }
}

fn verdict(result: &Result<Stacks, Diagnostics>) -> Verdict<'_> {
    match result {
        Ok(stacks) => Verdict {
            valid: true,
            resources: stacks.list.iter().map(|stack| stack.resources.len()).sum(),
            stacks: stacks.list.iter().map(stack).collect(),
            notes: stacks
                .list
                .iter()
                .flat_map(|stack| notes(stacks, stack))
                .collect(),
            errors: &[],
            omitted: 0,
        },
        Err(diagnostics) => Verdict {
            valid: false,
            resources: 0,
            stacks: Vec::new(),
            notes: Vec::new(),
            errors: &diagnostics.list,
            omitted: diagnostics.omitted,
        },
    }
}

fn stack(stack: &Stack) -> StackView<'_> {
    let exports = stack.outputs.iter();
    let imports = stack.imports.iter();
    StackView {
        stack_name: &stack.name,
        owner_id: stack.owner.account_id(),
        template: &stack.template,
        resources: stack.resources.len(),
        exports: exports
            .filter_map(|output| output.export_name.as_deref())
            .collect(),
        imports: imports.map(|import| import.export_name.as_str()).collect(),
    }
}

fn notes(stacks: &Stacks, stack: &Stack) -> Vec<String> {
    let several = stacks.list.len() > 1;
    let names = private_names::notes(&stacks.state, &[&stack.name], several);
    stack
        .notes
        .iter()
        .map(Note::to_string)
        .chain(names)
        .collect()
}

fn praise(stacks: &Stacks, stack: &Stack) -> String {
    let notes = notes(stacks, stack).into_iter();
    let mut text: String = notes.map(|note| format!("note: {note}\n")).collect();
    text.push_str(&format!(
        "{} is valid: {}\n",
        stack.template,
        output::count(stack.resources.len(), "resource")
    ));
    text
}

/// All errors on stderr, like every error.
fn complain(templates: &Templates, diagnostics: &Diagnostics) {
    let count = templates.count(diagnostics);
    output::print_error(&anyhow::anyhow!("{diagnostics}\n{count}"));
}
