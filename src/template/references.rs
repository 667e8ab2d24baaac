//! Names -> what they stand for: that they exist, in which order resources are made, and that there is no circle.
//!
//! Source: "DependsOn" and "Ref" of AWS's CloudFormation guide.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Position, Report};
use super::document::Resource;
use super::evaluate::Scope;
use super::exports::{Exports, Imports};
use super::functions::{Call, SubPart};
use super::node::{Entry, Node, Value, quote};
use super::schema::{Attribute, Meaning, Type};
use super::suggest;

/// A resource with what its type means.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) resource: &'a Resource,
    pub(super) meaning: Meaning,
}

/// Everything that has a name: what references are checked against.
#[derive(Debug)]
pub(super) struct Names<'n, 'a> {
    pub(super) scope: &'n Scope,
    /// Resources that will be made.
    pub(super) resources: BTreeMap<&'a str, Meaning>,
    /// Resources that will not, because of this condition.
    pub(super) omitted: BTreeMap<&'a str, &'a str>,
    pub(super) exports: &'n Exports,
    /// The place among the stacks of the one that these are names of.
    pub(super) stack: usize,
}

/// A use of a resource's placeholder attribute, for the notes.
pub(super) struct PlaceholderUse {
    pub(super) type_name: &'static str,
    pub(super) attribute: &'static str,
    pub(super) logical_id: String,
}

/// What was named.
#[derive(Default)]
pub(super) struct Used<'a> {
    pub(super) resources: BTreeSet<&'a str>,
    /// Exports of other stacks.
    pub(super) imports: Imports,
    pub(super) placeholders: Vec<PlaceholderUse>,
}

impl Used<'_> {
    pub(super) fn extend(&mut self, more: Self) {
        self.resources.extend(more.resources);
        self.placeholders.extend(more.placeholders);
        for (name, place) in more.imports {
            self.imports.entry(name).or_insert(place);
        }
    }
}

/// The references below one node.
pub(super) struct Walk<'w, 'a, 's> {
    pub(super) names: &'w Names<'w, 'a>,
    pub(super) path: &'w str,
    pub(super) report: &'w mut Report<'s>,
    pub(super) used: Used<'a>,
    /// Does nobody need the values here? Then exports of stacks that are not there may be named.
    pub(super) is_ignored: bool,
}

impl<'w, 'a, 's> Walk<'w, 'a, 's> {
    pub(super) fn new(names: &'w Names<'w, 'a>, path: &'w str, report: &'w mut Report<'s>) -> Self {
        Self {
            names,
            path,
            report,
            used: Used::default(),
            is_ignored: false,
        }
    }

    /// Checks every reference below `node`; of an `Fn::If` only the side that is taken.
    pub(super) fn node(&mut self, node: &Node) {
        match &node.value {
            Value::List(list) => list.iter().for_each(|n| self.node(n)),
            Value::Map(entries) => entries.iter().for_each(|e| self.node(&e.value)),
            Value::Call(call) => self.call(call, node.at),
            Value::Null | Value::Text(_) | Value::Absent => {}
        }
    }

    fn nodes<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) {
        nodes.into_iter().for_each(|n| self.node(n));
    }

    fn call(&mut self, call: &Call, at: Position) {
        match call {
            Call::Ref(name) => self.reference(name, at),
            Call::GetAtt {
                resource,
                attribute,
            } => self.attribute(resource, attribute, at),
            Call::Sub { parts, variables } => self.sub(parts, variables),
            Call::Join { items, .. } => self.node(items),
            Call::Select { index, list } => self.nodes([index, list]),
            Call::Split { text, .. } => self.node(text),
            Call::GetAzs(node) | Call::Base64(node) => self.node(node),
            Call::Cidr { block, count, bits } => {
                self.nodes([block, count].into_iter().chain(bits));
            }
            Call::FindInMap { map, first, second } => self.nodes([map, first, second]),
            Call::If {
                condition,
                then,
                otherwise,
            } => match self.names.scope.conditions.get(condition) {
                Some(true) => self.node(then),
                Some(false) => self.node(otherwise),
                None => self.unknown_condition(condition, at),
            },
            Call::ImportValue(name) if !self.is_ignored => self.import(name, at),
            Call::ImportValue(_) | Call::Unsupported(_) => {}
        }
    }

    /// `Fn::ImportValue`: its name is known before any resource is, and so the order of the stacks.
    fn import(&mut self, name: &Node, at: Position) {
        let what = "the name of an import";
        let Some(name) = self.text_without_resources(name, what) else {
            return;
        };
        let exports = self.names.exports;
        match exports.find(&name, self.names.stack) {
            Ok(()) => {
                let path = self.path.to_owned();
                self.used.imports.entry(name).or_insert((at, path));
            }
            Err((message, help)) => {
                self.report.error_with_help(at, self.path, message, help);
            }
        }
    }

    /// The value of a text that must depend on parameters and the like only; `None` after errors.
    pub(super) fn text_without_resources(&mut self, node: &Node, what: &str) -> Option<String> {
        let before = self.report.count();
        let mut walk = Walk::new(self.names, self.path, self.report);
        walk.is_ignored = true;
        walk.node(node);
        if let Some(resource) = walk.used.resources.first() {
            let message = format!("{what} cannot depend on a resource ({resource})");
            let help =
                "CloudFormation knows it before any resource; make it of text and parameters";
            self.report
                .error_with_help(node.at, self.path, message, help);
        }
        if self.report.count() > before {
            return None;
        }
        let value = self.names.scope.evaluate(node, self.path, self.report)?;
        match value.value {
            Value::Text(text) => Some(text),
            _ => {
                let message = format!("{what} must be text, not {}", value.describe());
                self.report.error(node.at, self.path, message);
                None
            }
        }
    }

    fn sub(&mut self, parts: &[SubPart], variables: &[Entry]) {
        for variable in variables {
            self.node(&variable.value);
        }
        for part in parts {
            let SubPart::Name(name, at) = part else {
                continue;
            };
            if variables.iter().any(|v| v.key == *name) {
                continue;
            }
            match name.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute, *at),
                None => self.reference(name, *at),
            }
        }
    }

    fn reference(&mut self, name: &str, at: Position) {
        if name != "AWS::NoValue" && !self.names.scope.parameters.contains_key(name) {
            self.resource(name, at);
        }
    }

    /// A resource by its logical id; for DependsOn also from outside.
    pub(super) fn resource(&mut self, name: &str, at: Position) -> Option<Meaning> {
        if let Some((id, meaning)) = self.names.resources.get_key_value(name) {
            self.used.resources.insert(id);
            return Some(*meaning);
        }
        if let Some(condition) = self.names.omitted.get(name) {
            let message = format!("{name} does not exist: its Condition {condition} is false");
            self.report.error(at, self.path, message);
            return None;
        }
        let message = format!("there is nothing by the name {}", quote(name));
        let parameters = self.names.scope.parameters.keys().map(String::as_str);
        let resources = self.names.resources.keys().copied();
        match suggest::nearest(name, parameters.chain(resources)) {
            Some(near) => {
                let help = format!("did you mean {near}?");
                self.report.error_with_help(at, self.path, message, help);
            }
            None => {
                let help = "a name is a resource, a parameter or AWS's own (AWS::Region, ...)";
                self.report.error_with_help(at, self.path, message, help);
            }
        }
        None
    }

    /// A subnet by its logical id: a key of `Addresses`.
    pub(super) fn subnet(&mut self, name: &str, at: Position) {
        match self.resource(name, at) {
            None => {}
            Some(Meaning::Supported(schema)) if schema.kind == Type::Subnet => {}
            Some(_) => {
                let message = format!("{name} is not an AWS::EC2::Subnet");
                self.report.error(at, self.path, message);
            }
        }
    }

    fn attribute(&mut self, name: &str, attribute: &str, at: Position) {
        if self.names.scope.parameters.contains_key(name) {
            let message = format!("{name} is a parameter; only resources have attributes");
            self.report.error(at, self.path, message);
            return;
        }
        let Some(Meaning::Supported(schema)) = self.resource(name, at) else {
            return;
        };
        let known = schema.attributes;
        match known.iter().find(|(n, _)| *n == attribute) {
            Some((_, Attribute::Real)) => {}
            Some((attribute, Attribute::Placeholder(_))) => {
                self.used.placeholders.push(PlaceholderUse {
                    type_name: schema.name,
                    attribute,
                    logical_id: name.to_owned(),
                })
            }
            Some((_, Attribute::Later(why))) => {
                let message = format!("{attribute} of {name}: {why}");
                self.report.error(at, self.path, message);
            }
            None => {
                let message = format!(
                    "{} ({name}) has no attribute {}",
                    schema.name,
                    quote(attribute)
                );
                let names: Vec<_> = known.iter().map(|(n, _)| *n).collect();
                let help = match suggest::nearest(attribute, names.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are {}", names.join(", ")),
                };
                self.report.error_with_help(at, self.path, message, help);
            }
        }
    }

    fn unknown_condition(&mut self, name: &str, at: Position) {
        unknown_condition(name, at, self.path, self.names.scope, self.report);
    }
}

/// Says that a condition does not exist.
pub(super) fn unknown_condition(
    name: &str,
    at: Position,
    path: &str,
    scope: &Scope,
    report: &mut Report,
) {
    let message = format!("there is no condition {}", quote(name));
    let names = scope.conditions.keys().map(String::as_str);
    match suggest::nearest(name, names) {
        Some(near) => report.error_with_help(at, path, message, format!("did you mean {near}?")),
        None => report.error(at, path, message),
    }
}

/// Things by index, each after those that it needs, else in the order of their indices; and the circles among those that
/// this leaves out, each from its member with the lowest index.
pub(super) fn order(needs: &[BTreeSet<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut waiting: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut wanted_by = vec![Vec::new(); needs.len()];
    for (i, needed) in needs.iter().enumerate() {
        for n in needed {
            wanted_by[*n].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|i| waiting[*i] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for i in &wanted_by[next] {
            waiting[*i] -= 1;
            if waiting[*i] == 0 {
                ready.insert(*i);
            }
        }
    }
    (order, circles(needs, &waiting))
}

/// Each circle once, completely.
fn circles(needs: &[BTreeSet<usize>], waiting: &[usize]) -> Vec<Vec<usize>> {
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for start in (0..needs.len()).filter(|i| waiting[*i] > 0) {
        // Every one that waits needs one that waits: following them must come back to a place of the trail.
        let mut trail = vec![start];
        let circle = loop {
            let last = trail[trail.len() - 1];
            if seen.contains(&last) {
                break None;
            }
            let next = needs[last].iter().find(|n| waiting[**n] > 0);
            let Some(next) = next.copied() else {
                break None;
            };
            match trail.iter().position(|t| *t == next) {
                Some(from) => break Some(trail.split_off(from)),
                None => trail.push(next),
            }
        };
        seen.extend(trail.iter().copied());
        let Some(mut circle) = circle else { continue };
        seen.extend(circle.iter().copied());
        let lowest = circle.iter().min().copied();
        let first = circle.iter().position(|i| Some(*i) == lowest);
        circle.rotate_left(first.unwrap_or_default());
        circles.push(circle);
    }
    circles
}

/// Says which resources need each other: `A -> B -> A`, at the one that stands first in the text.
pub(super) fn report_circle(declared: &[Declared], circle: &[usize], report: &mut Report) {
    let members = circle.iter().chain(circle.first());
    let names: Vec<_> = members
        .map(|i| declared[*i].resource.logical_id.as_str())
        .collect();
    let resource = declared[circle[0]].resource;
    let message = format!(
        "resources need each other in a circle: {}",
        names.join(" -> ")
    );
    let help = "break it; rules between groups can be AWS::EC2::SecurityGroupIngress resources";
    report.error_with_help(resource.at, &resource.path(), message, help);
}
