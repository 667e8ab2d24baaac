//! What is wrong with a template, where, and what would be right.
//!
//! Invariant: every diagnostic points at a line and a column of the text that the user wrote, or names what beside the
//! template is wrong (`--region`).

use std::fmt;

/// A place in a template: line and column, both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One error in a template, or in what the user said beside it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Diagnostic {
    /// The template's name as the user gave it; `--region` or so where no template is at fault, or nothing.
    pub file: String,
    /// Line, from 1; 0 where the template is not at fault.
    pub line: usize,
    /// Column in characters, from 1; 0 where the template is not at fault.
    pub column: usize,
    /// The resource (or parameter, output, ...) that it is about, if it is about one.
    pub logical_id: Option<String>,
    /// The path to the thing, for example `Resources.EndpointA.SubnetIds`; empty if there is none.
    pub path: String,
    /// What is wrong, with the offending name or value.
    pub message: String,
    /// What would be right, where that is known.
    pub help: Option<String>,
    /// The source line, for display.
    pub source_line: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 if self.file.is_empty() => {}
            0 => write!(f, "{}: ", self.file)?,
            line => write!(f, "{}:{line}:{}: ", self.file, self.column)?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        self.write_excerpt(f)
    }
}

/// Source lines longer than this are not shown: JSON on one line would fill the screen.
const EXCERPT_MAX: usize = 160;

impl Diagnostic {
    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source_line.trim().is_empty() || self.source_line.chars().count() > EXCERPT_MAX {
            return Ok(());
        }
        // Tabs stay tabs above the caret, so that it stands below the right character.
        let indent: String = self
            .source_line
            .chars()
            .take(self.column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        write!(f, "\n  {number} | {}", self.source_line)?;
        write!(f, "\n  {gutter} | {indent}^")
    }
}

/// All errors of one phase (syntax, types, references), template by template in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The errors; never empty.
    pub list: Vec<Diagnostic>,
    /// How many more there were than [`Diagnostics::list`] keeps.
    pub omitted: usize,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\n... and {} more errors", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// Errors about all files as a whole.
    pub(super) fn whole(errors: impl IntoIterator<Item = String>) -> Self {
        let mut report = Report::new("", "");
        for error in errors {
            report.error_beside("", error);
        }
        Self {
            list: report.list,
            omitted: report.omitted,
        }
    }
}

/// A template's text on somebody's terminal: without control characters.
fn printable(text: &str) -> String {
    let safe = |c: char| match c.is_control() && c != '\t' {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().map(safe).collect()
}

/// Collects the errors of a phase.
///
/// It keeps [`Report::LIMIT`] of them, so that a hostile template cannot make megabytes of messages.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    list: Vec<Diagnostic>,
    omitted: usize,
}

impl<'a> Report<'a> {
    const LIMIT: usize = 100;

    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            lines: text.lines().collect(),
            list: Vec::new(),
            omitted: 0,
        }
    }

    /// Adds an error; `path` is dotted and begins with a section (`Resources.A.CidrBlock`).
    pub(super) fn error(&mut self, at: Position, path: &str, message: impl Into<String>) {
        self.push(at, path, message.into(), None);
    }

    /// Adds an error with a word on what would be right.
    pub(super) fn error_with_help(
        &mut self,
        at: Position,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(at, path, message.into(), Some(help.into()));
    }

    /// Adds an error of what the user said beside the template; `source` is the option's name.
    pub(super) fn error_beside(&mut self, source: &str, message: impl Into<String>) {
        self.keep(Diagnostic {
            file: source.to_owned(),
            line: 0,
            column: 0,
            logical_id: None,
            path: String::new(),
            message: printable(&message.into()),
            help: None,
            source_line: String::new(),
        });
    }

    fn push(&mut self, at: Position, path: &str, message: String, help: Option<String>) {
        let source_line = self.line(at.line).unwrap_or_default();
        let logical_id = path.split('.').nth(1).map(str::to_owned);
        self.keep(Diagnostic {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            logical_id,
            path: printable(path),
            message: printable(&message),
            help: help.map(|help| printable(&help)),
            source_line: printable(source_line),
        });
    }

    fn keep(&mut self, diagnostic: Diagnostic) {
        match self.list.len() < Self::LIMIT {
            true => self.list.push(diagnostic),
            false => self.omitted += 1,
        }
    }

    /// How many errors there are so far.
    pub(super) fn count(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// A line of the source, from 1.
    pub(super) fn line(&self, line: usize) -> Option<&'a str> {
        self.lines.get(line.checked_sub(1)?).copied()
    }

    /// The template's name as the user gave it.
    pub(super) fn file(&self) -> &'a str {
        self.file
    }
}

/// Ends a phase: the errors of all reports, if there are any.
pub(super) fn finish_phase<'r, 's: 'r>(
    reports: impl IntoIterator<Item = &'r mut Report<'s>>,
) -> Result<(), Diagnostics> {
    let mut list = Vec::new();
    let mut omitted = 0;
    for report in reports {
        omitted += std::mem::take(&mut report.omitted);
        let mut found = std::mem::take(&mut report.list);
        found.sort_by_key(|d| (d.line, d.column));
        found.dedup();
        let room = Report::LIMIT - list.len();
        omitted += found.len().saturating_sub(room);
        found.truncate(room);
        list.append(&mut found);
    }
    match list.is_empty() {
        true => Ok(()),
        false => Err(Diagnostics { list, omitted }),
    }
}
