//! Parameters: declared by a template, given by the user (for one stack or for all) or by their defaults.
//!
//! Source: "Parameters" of AWS's CloudFormation guide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostic::{Position, Report};
use super::document::{Document, Section};
use super::node::{Entry, Node, Value, quote};
use super::schema::{self, Kind, Property, optional, required};
use super::{Parameter, Source, suggest};

/// AWS's longest value.
const MAX_VALUE: usize = 4096;

const DECLARATION: &[Property] = &[
    required("Type", Kind::Text),
    optional("Default", Kind::Text),
    optional("Description", Kind::Text),
    optional("AllowedPattern", Kind::Text),
    optional("AllowedValues", Kind::List(&Kind::Text)),
    optional("ConstraintDescription", Kind::Text),
    optional("MinLength", Kind::Integer),
    optional("MaxLength", Kind::Integer),
    optional("MinValue", Kind::Number),
    optional("MaxValue", Kind::Number),
    optional("NoEcho", Kind::Boolean),
];

/// What each stack is given: a value for one stack goes before one for all that have such a parameter.
pub(super) fn distribute(
    given: &[Parameter],
    sources: &[Source],
    documents: &[Option<Arc<Document>>],
    beside: &mut Report,
) -> Vec<BTreeMap<String, String>> {
    let kept = sources.iter().zip(documents);
    let mut values: Vec<_> = kept
        .map(|(source, document)| kept_values(source, document))
        .collect();
    let alone = sources.iter().filter(|source| !source.stays).count() == 1;
    let (own, common): (Vec<_>, Vec<_>) = given.iter().partition(|p| p.stack.is_some());
    for Parameter { key, value, .. } in common {
        let mut is_wanted = false;
        let given_anew = sources.iter().zip(documents).zip(&mut values);
        let given_anew = given_anew.filter(|((source, _), _)| !source.stays);
        for ((_, document), values) in given_anew {
            // Alone, a template is asked whatever it has: its error can name what it has instead.
            if alone || document.as_ref().is_none_or(|d| declares(d, key)) {
                is_wanted = true;
                values.insert(key.clone(), value.clone());
            }
        }
        if !is_wanted {
            let given_anew = sources.iter().zip(documents).filter(|(s, _)| !s.stays);
            let names = given_anew.filter_map(|(_, d)| d.as_ref()).flat_map(|d| {
                let entries = d.parameters.entries.iter();
                entries.map(|e| e.key.as_str())
            });
            let message = format!("no template has a parameter {}", quote(key));
            beside.error_beside(OPTION, with_near(message, key, names));
        }
    }
    for Parameter { stack, key, value } in own {
        let stack = stack.as_deref().unwrap_or_default();
        let mut stacks = sources.iter().zip(&mut values);
        match stacks.find(|(source, _)| source.stack_name == stack) {
            Some((_, values)) => {
                values.insert(key.clone(), value.clone());
            }
            None => {
                let names = sources.iter().map(|source| source.stack_name);
                let message = format!("there is no stack {}", quote(stack));
                beside.error_beside(OPTION, with_near(message, stack, names));
            }
        }
    }
    values
}

const OPTION: &str = "--parameter";

fn declares(document: &Document, key: &str) -> bool {
    document.parameters.entries.iter().any(|e| e.key == key)
}

/// Of what a stack was given before, that which its template still asks for.
fn kept_values(source: &Source, document: &Option<Arc<Document>>) -> BTreeMap<String, String> {
    let before = source.before.iter().flat_map(|stack| &stack.parameters);
    let kept = before.filter(|(key, _)| document.as_ref().is_some_and(|d| declares(d, key)));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn with_near<'a>(message: String, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match suggest::nearest(name, names.iter().copied()) {
        Some(near) => format!("{message}; did you mean {near}?"),
        None if names.is_empty() => message,
        None => format!("{message}; there are {}", names.join(", ")),
    }
}

/// The values of all parameters, with the place of their declaration.
pub(super) fn resolve(
    section: &Section,
    given: &BTreeMap<String, String>,
    report: &mut Report,
) -> BTreeMap<String, Node> {
    let mut values = BTreeMap::new();
    for entry in &section.entries {
        if let Some(value) = resolve_one(entry, given.get(&entry.key), report) {
            values.insert(entry.key.clone(), value);
        }
    }
    for name in given.keys() {
        if !section.entries.iter().any(|e| e.key == *name) {
            unknown(name, section, report);
        }
    }
    values
}

fn unknown(name: &str, section: &Section, report: &mut Report) {
    let names = || section.entries.iter().map(|e| e.key.as_str());
    let help = match suggest::nearest(name, names()) {
        Some(near) => format!("did you mean {near}?"),
        None if section.entries.is_empty() => "it has none".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("the template has no parameter {}", quote(name));
    report.error_with_help(section.at, "Parameters", message, help);
}

fn resolve_one(entry: &Entry, given: Option<&String>, report: &mut Report) -> Option<Node> {
    let path = format!("Parameters.{}", entry.key);
    let before = report.count();
    schema::check_object(&entry.value, DECLARATION, &path, report);
    if report.count() > before {
        return None;
    }
    let kind = entry.value.child("Type")?;
    let (text, at) = match (given, entry.value.child("Default")) {
        (Some(text), _) => (text.as_str(), entry.key_at),
        (None, Some(default)) => (default.as_text()?, default.at),
        (None, None) => {
            let help = format!("give one with --parameter {}=VALUE", entry.key);
            let message = "the parameter has no value and no Default";
            report.error_with_help(entry.key_at, &path, message, help);
            return None;
        }
    };
    let Some(is_list) = is_list_type(kind.as_text()?) else {
        let message = format!("{} is not a parameter type", kind.describe());
        let help = "there are String, Number, CommaDelimitedList, List<Number>, AWS::SSM::Parameter::Value<...> and AWS's own (AWS::EC2::VPC::Id, ...)";
        report.error_with_help(kind.at, &path, message, help);
        return None;
    };
    let checker = Constraints {
        declaration: &entry.value,
        at,
        path: &path,
    };
    let items: Vec<&str> = match is_list {
        true => text.split(',').map(str::trim).collect(),
        false => vec![text],
    };
    let valid = items.iter().all(|item| checker.check(item, report));
    let nodes = || items.iter().map(|i| Node::text(*i, at)).collect();
    valid.then(|| match is_list {
        true => Node::new(Value::List(nodes()), at),
        false => Node::text(text, at),
    })
}

/// Is it a list? `None` for what is no parameter type.
fn is_list_type(kind: &str) -> Option<bool> {
    let inner = |prefix: &str| kind.strip_prefix(prefix)?.strip_suffix('>');
    let aws = |k: &str| k.starts_with("AWS::") && k.matches("::").count() >= 2;
    match kind {
        "String" | "Number" => Some(false),
        "CommaDelimitedList" => Some(true),
        "AWS::SSM::Parameter::Name" => Some(false),
        _ => {
            if let Some(of) = inner("AWS::SSM::Parameter::Value<") {
                return is_list_type(of);
            }
            if let Some(of) = inner("List<") {
                return (of == "Number" || of == "String" || aws(of)).then_some(true);
            }
            (aws(kind) && !kind.contains(['<', '>'])).then_some(false)
        }
    }
}

struct Constraints<'a> {
    declaration: &'a Node,
    at: Position,
    path: &'a str,
}

impl Constraints<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.declaration.child(key)?.as_text()
    }

    fn check(&self, value: &str, report: &mut Report) -> bool {
        let Some(wrong) = self.violation(value, report) else {
            return true;
        };
        let shown = match self.text("NoEcho").and_then(schema::boolean) {
            Some(true) => "the value".to_owned(),
            _ => quote(value),
        };
        let message = format!("{shown} {wrong}");
        match self.text("ConstraintDescription") {
            Some(help) => report.error_with_help(self.at, self.path, message, help),
            None => report.error(self.at, self.path, message),
        }
        false
    }

    /// What is wrong with a value.
    fn violation(&self, value: &str, report: &mut Report) -> Option<String> {
        if value.len() > MAX_VALUE {
            return Some(format!("is longer than {MAX_VALUE} bytes"));
        }
        if let Some(allowed) = self
            .declaration
            .child("AllowedValues")
            .and_then(Node::as_list)
        {
            let allowed: Vec<&str> = allowed.iter().filter_map(Node::as_text).collect();
            if !allowed.contains(&value) {
                return Some(format!("is not one of {}", allowed.join(", ")));
            }
        }
        let kind = self.text("Type")?;
        if matches!(kind, "Number" | "List<Number>") {
            return self.number_violation(value);
        }
        self.length_violation(value)
            .or_else(|| self.pattern_violation(value, report))
    }

    fn number_violation(&self, value: &str) -> Option<String> {
        let Some(number) = schema::number(value) else {
            return Some("is not a number".to_owned());
        };
        let bound = |key| self.text(key).and_then(schema::number);
        match (bound("MinValue"), bound("MaxValue")) {
            (Some(min), _) if number < min => Some(format!("is less than MinValue {min}")),
            (_, Some(max)) if number > max => Some(format!("is more than MaxValue {max}")),
            _ => None,
        }
    }

    fn length_violation(&self, value: &str) -> Option<String> {
        let bound = |key| self.text(key).and_then(schema::integer);
        let length = value.chars().count() as i64;
        match (bound("MinLength"), bound("MaxLength")) {
            (Some(min), _) if length < min => Some(format!("is shorter than MinLength {min}")),
            (_, Some(max)) if length > max => Some(format!("is longer than MaxLength {max}")),
            _ => None,
        }
    }

    fn pattern_violation(&self, value: &str, report: &mut Report) -> Option<String> {
        let pattern = self.declaration.child("AllowedPattern")?;
        let text = pattern.as_text()?;
        match regex_lite::Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) if regex.is_match(value) => None,
            Ok(_) => Some(format!("does not match AllowedPattern {}", quote(text))),
            Err(e) => {
                let message = format!("AllowedPattern {} is not supported: {e}", quote(text));
                report.error(pattern.at, self.path, message);
                None
            }
        }
    }
}
