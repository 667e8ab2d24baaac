//! `Conditions`: true or false, from parameters and mappings alone.

use std::collections::BTreeMap;

use super::diagnostic::Report;
use super::document::Section;
use super::evaluate::Scope;
use super::functions;
use super::node::{Entry, Node, Value, quote};
use super::suggest;

/// A condition may name others, not deeper than this.
const MAX_DEPTH: usize = 32;

/// The value of every condition that has one.
pub(super) fn resolve(
    section: &Section,
    scope: &Scope,
    report: &mut Report,
) -> BTreeMap<String, bool> {
    let mut resolver = Resolver {
        entries: &section.entries,
        scope,
        report,
        values: BTreeMap::new(),
    };
    for entry in &section.entries {
        resolver.named(entry, 0);
    }
    let values = resolver.values.into_iter();
    values
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

struct Resolver<'a, 's> {
    entries: &'a [Entry],
    scope: &'a Scope,
    report: &'a mut Report<'s>,
    /// `None`: has an error, which is reported.
    values: BTreeMap<String, Option<bool>>,
}

impl Resolver<'_, '_> {
    fn named(&mut self, entry: &Entry, depth: usize) -> Option<bool> {
        if let Some(value) = self.values.get(&entry.key) {
            return *value;
        }
        let path = format!("Conditions.{}", entry.key);
        if depth > MAX_DEPTH {
            let message = "the conditions name each other in a circle, or too deeply";
            self.report.error(entry.key_at, &path, message);
            self.values.insert(entry.key.clone(), None);
            return None;
        }
        let value = self.expression(&entry.value, &path, depth);
        self.values.insert(entry.key.clone(), value);
        value
    }

    fn expression(&mut self, node: &Node, path: &str, depth: usize) -> Option<bool> {
        let Some([entry]) = node.as_map() else {
            let help = "one is made of Fn::Equals, Fn::Not, Fn::And, Fn::Or and Condition";
            let message = format!("{} is not a condition", node.describe());
            self.report.error_with_help(node.at, path, message, help);
            return None;
        };
        let name = entry.key.as_str();
        match name {
            "Condition" => self.by_name(&entry.value, path, depth),
            "Fn::Equals" => match entry.value.as_list() {
                Some([left, right]) => {
                    let sides = [left, right].map(|side| self.value(side, path));
                    let [Some(left), Some(right)] = sides else {
                        return None;
                    };
                    Some(left == right)
                }
                _ => self.wrong(entry, path, "Fn::Equals takes [value, value]"),
            },
            "Fn::Not" => match entry.value.as_list() {
                Some([inner]) => self.expression(inner, path, depth).map(|value| !value),
                _ => self.wrong(entry, path, "Fn::Not takes [condition]"),
            },
            "Fn::And" | "Fn::Or" => match entry.value.as_list() {
                Some(list) if (2..=10).contains(&list.len()) => {
                    let values: Vec<_> = list
                        .iter()
                        .map(|inner| self.expression(inner, path, depth))
                        .collect();
                    let values: Option<Vec<bool>> = values.into_iter().collect();
                    Some(match name {
                        "Fn::And" => values?.into_iter().all(|v| v),
                        _ => values?.into_iter().any(|v| v),
                    })
                }
                _ => self.wrong(entry, path, &format!("{name} takes 2 to 10 conditions")),
            },
            _ => {
                let message = format!("{} is not a function for conditions", quote(name));
                self.wrong(entry, path, &message)
            }
        }
    }

    fn by_name(&mut self, node: &Node, path: &str, depth: usize) -> Option<bool> {
        let name = node.as_text().unwrap_or_default();
        let entries = self.entries;
        match entries.iter().find(|e| e.key == name) {
            Some(entry) => self.named(entry, depth + 1),
            None => {
                unknown(name, node, entries, path, self.report);
                None
            }
        }
    }

    fn wrong(&mut self, entry: &Entry, path: &str, message: &str) -> Option<bool> {
        self.report.error(entry.value.at, path, message);
        None
    }

    /// One side of `Fn::Equals`.
    fn value(&mut self, node: &Node, path: &str) -> Option<String> {
        let mut node = node.clone();
        let before = self.report.count();
        functions::recognise(&mut node, path, self.report);
        if self.report.count() > before {
            return None;
        }
        let value = self.scope.evaluate(&node, path, self.report)?;
        match value.value {
            Value::Text(text) => Some(text),
            _ => {
                let message = format!("Fn::Equals compares texts, not {}", value.describe());
                self.report.error(node.at, path, message);
                None
            }
        }
    }
}

fn unknown(name: &str, node: &Node, entries: &[Entry], path: &str, report: &mut Report) {
    let message = format!("there is no condition {}", quote(name));
    match suggest::nearest(name, entries.iter().map(|e| e.key.as_str())) {
        Some(near) => {
            report.error_with_help(node.at, path, message, format!("did you mean {near}?"))
        }
        None => report.error(node.at, path, message),
    }
}
