//! What stacks give to each other: exports by name, who imports them, and in which order the stacks can be made.
//!
//! Invariant: a name is exported once. On AWS that is so in an account and region; here among all stacks, because a
//! consumer's account may import what a provider's exports.
//! Source: "Get exported outputs from a deployed CloudFormation stack" of AWS's CloudFormation guide.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Position, Report};
use super::node::quote;
use super::{Stack, references, suggest};

/// The exports that a stack names, with the first place of each.
pub(super) type Imports = BTreeMap<String, (Position, String)>;

/// Message and help.
type Refusal = (String, String);

/// The exports of all stacks.
#[derive(Debug)]
pub(super) struct Exports {
    stack_names: Vec<String>,
    by_name: BTreeMap<String, Export>,
    /// What running stacks import: the importer and the export's name -> who exports it.
    in_use: BTreeMap<(String, String), String>,
}

#[derive(Debug)]
struct Export {
    /// Its place among the stacks.
    stack: usize,
    /// The output's logical id.
    output: String,
}

/// AWS's longest name of an export.
const MAX_NAME: usize = 255;

impl Exports {
    /// None yet of the stacks of these names; `before`, the stacks that run, say what is in use.
    pub(super) fn new(stack_names: Vec<String>, before: &[&Stack]) -> Self {
        let imports = before.iter().flat_map(|importer| {
            let imports = importer.imports.iter();
            imports.map(|import| {
                let used = (importer.name.clone(), import.export_name.clone());
                (used, import.stack.clone())
            })
        });
        Self {
            stack_names,
            by_name: BTreeMap::new(),
            in_use: imports.collect(),
        }
    }

    fn stack_name(&self, stack: usize) -> &str {
        self.stack_names.get(stack).map_or("", String::as_str)
    }

    /// A stack's output that is exported by this name.
    pub(super) fn declare(
        &mut self,
        name: &str,
        stack: usize,
        output: &str,
    ) -> Result<(), Refusal> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(legal) {
            let message = format!("{} cannot be the name of an export", quote(name));
            let help = format!("one is made of letters, digits, `-` and `:`, at most {MAX_NAME}");
            return Err((message, help));
        }
        if let Some(first) = self.by_name.get(name) {
            let by = self.stack_name(first.stack);
            let message = format!("Export with name {name} is already exported by stack {by}");
            let help = match first.stack == stack {
                true => format!("it is the export of the output {} too", first.output),
                false => "a name of its own could be made with ${AWS::StackName}".to_owned(),
            };
            return Err((message, help));
        }
        let output = output.to_owned();
        self.by_name
            .insert(name.to_owned(), Export { stack, output });
        Ok(())
    }

    /// Is there an export of this name that `importer` may import?
    pub(super) fn find(&self, name: &str, importer: usize) -> Result<(), Refusal> {
        match self.by_name.get(name) {
            Some(export) if export.stack != importer => Ok(()),
            Some(export) => Err((
                format!("the export {} is this stack's own", quote(name)),
                format!(
                    "use Ref or Fn::GetAtt, as the output {} does",
                    export.output
                ),
            )),
            None => Err(self.missing(name, importer)),
        }
    }

    /// It was there until now, or it never was.
    fn missing(&self, name: &str, importer: usize) -> Refusal {
        let importing = self.stack_name(importer).to_owned();
        match self.in_use.get(&(importing.clone(), name.to_owned())) {
            Some(exporter) => (
                format!("Export {name} cannot be deleted as it is in use by {importing}"),
                format!(
                    "stack {exporter} exports it until {importing} has gone or no longer imports it"
                ),
            ),
            None => (
                format!("No export named {} found", quote(name)),
                self.help(name, importer),
            ),
        }
    }

    /// What could have been meant instead.
    fn help(&self, name: &str, importer: usize) -> String {
        const SHOWN: usize = 10;
        let others = || self.by_name.iter().filter(|(_, e)| e.stack != importer);
        let shown = |name: &str| {
            format!(
                "{name} (stack {})",
                self.exporter_name(name).unwrap_or_default()
            )
        };
        if let Some(near) = suggest::nearest(name, others().map(|(name, _)| name.as_str())) {
            return format!("did you mean {}?", shown(near));
        }
        let names: Vec<_> = others().map(|(name, _)| shown(name)).collect();
        match names.len() {
            0 => "no other stack exports anything; give the template of the one that does as well"
                .to_owned(),
            1..=SHOWN => format!("there are {}", names.join(", ")),
            count => format!(
                "there are {} and {} more",
                names[..SHOWN].join(", "),
                count - SHOWN
            ),
        }
    }

    /// The stack, by its place, that exports this name.
    pub(super) fn exporter(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|export| export.stack)
    }

    /// The name of that stack.
    pub(super) fn exporter_name(&self, name: &str) -> Option<&str> {
        self.exporter(name).map(|stack| self.stack_name(stack))
    }

    /// Stacks by their places, each after those from which it imports. A circle is an error.
    pub(super) fn order<'r, 's: 'r>(
        &self,
        imports: &[Imports],
        reports: impl Iterator<Item = &'r mut Report<'s>>,
    ) -> Vec<usize> {
        let exporters = |imports: &Imports| -> BTreeSet<usize> {
            imports.keys().filter_map(|n| self.exporter(n)).collect()
        };
        let needs: Vec<_> = imports.iter().map(exporters).collect();
        let (order, circles) = references::order(&needs);
        let mut reports: Vec<_> = reports.collect();
        for circle in circles {
            let Some(report) = reports.get_mut(circle[0]) else {
                continue;
            };
            self.report_circle(imports, &circle, report);
        }
        order
    }

    /// `a needs Name of b, b needs Other of a`, at the first of these imports.
    fn report_circle(&self, imports: &[Imports], circle: &[usize], report: &mut Report) {
        let next = circle.iter().skip(1).chain(circle.first());
        let mut steps = Vec::new();
        let mut first = None;
        for (from, to) in circle.iter().zip(next) {
            let mut names = imports[*from].iter();
            let Some((name, place)) = names.find(|(name, _)| self.exporter(name) == Some(*to))
            else {
                continue;
            };
            let (from, to) = (self.stack_name(*from), self.stack_name(*to));
            steps.push(format!("{from} imports {name} of {to}"));
            first.get_or_insert(place);
        }
        if let Some((at, path)) = first {
            let message = format!(
                "stacks import from each other in a circle: {}",
                steps.join(", ")
            );
            let help = "a stack is made after those from which it imports; move one of the outputs";
            report.error_with_help(*at, path, message, help);
        }
    }
}
