//! Functions -> values.
//!
//! Invariant: an evaluated tree has no [`Value::Call`], and every value stands where its function was written. All
//! evaluations of one template together make at most [`BUDGET`] bytes, however its functions multiply.

mod lists;

use std::cell::Cell;
use std::collections::BTreeMap;

use super::diagnostic::{Position, Report};
use super::functions::{Call, SubPart};
use super::node::{Entry, Node, Value, quote};
use super::{base64, suggest, zones};

/// The most that one template may evaluate to, in bytes of text.
const BUDGET: usize = 16 << 20;

/// The names that functions may use, and what they stand for.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Parameters and pseudo parameters.
    pub(super) parameters: BTreeMap<String, Node>,
    /// Map -> first key -> second key.
    pub(super) mappings: Vec<Entry>,
    pub(super) conditions: BTreeMap<String, bool>,
    /// What resources have become so far.
    pub(super) resources: BTreeMap<String, Resolved>,
    /// The values of other stacks' exports; `None` where and while they cannot be known.
    pub(super) imports: Option<BTreeMap<String, String>>,
    pub(super) region: String,
    spent: Cell<usize>,
}

/// What a resource gives to `Ref` and `Fn::GetAtt`.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolved {
    pub(super) reference: String,
    pub(super) attributes: BTreeMap<&'static str, Value>,
    /// Of an ignored type: every attribute is a placeholder.
    pub(super) ignored: bool,
}

impl Scope {
    pub(super) fn new(region: &str) -> Self {
        Self {
            parameters: BTreeMap::new(),
            mappings: Vec::new(),
            conditions: BTreeMap::new(),
            resources: BTreeMap::new(),
            imports: None,
            region: region.to_owned(),
            spent: Cell::new(0),
        }
    }

    /// The value of a tree; `None` after errors that `report` has.
    pub(super) fn evaluate(&self, node: &Node, path: &str, report: &mut Report) -> Option<Node> {
        Evaluation {
            scope: self,
            path,
            report,
        }
        .node(node)
    }
}

struct Evaluation<'e, 's> {
    scope: &'e Scope,
    path: &'e str,
    report: &'e mut Report<'s>,
}

impl Evaluation<'_, '_> {
    fn node(&mut self, node: &Node) -> Option<Node> {
        let value = match &node.value {
            Value::Call(call) => {
                // A function costs something even if it yields nothing.
                self.spend(1, node.at)?;
                let value = self.call(call, node.at)?;
                self.spend(size(&value), node.at)?;
                value
            }
            Value::List(list) => {
                // All elements, so that one run shows all their errors.
                let list: Vec<_> = list.iter().map(|n| self.node(n)).collect();
                let list: Option<Vec<_>> = list.into_iter().collect();
                Value::List(list?.into_iter().filter(is_value).collect())
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries.iter().map(|e| self.entry(e)).collect();
                let entries: Option<Vec<_>> = entries.into_iter().collect();
                Value::Map(
                    entries?
                        .into_iter()
                        .filter(|e| is_value(&e.value))
                        .collect(),
                )
            }
            plain => plain.clone(),
        };
        Some(Node {
            value,
            at: node.at,
            block: node.block,
        })
    }

    fn entry(&mut self, entry: &Entry) -> Option<Entry> {
        Some(Entry {
            key: entry.key.clone(),
            key_at: entry.key_at,
            value: self.node(&entry.value)?,
        })
    }

    /// Takes from the budget. Once that is used up, nothing is evaluated any more; that is said once.
    fn spend(&mut self, bytes: usize, at: Position) -> Option<()> {
        let before = self.scope.spent.get();
        let spent = before.saturating_add(bytes);
        self.scope.spent.set(spent);
        match (before > BUDGET, spent > BUDGET) {
            (true, _) => None,
            (false, true) => {
                let message = format!("the template's functions make more than {BUDGET} bytes");
                self.fail(at, message)
            }
            (false, false) => Some(()),
        }
    }

    fn fail<T>(&mut self, at: Position, message: impl Into<String>) -> Option<T> {
        self.report.error(at, self.path, message);
        None
    }

    fn call(&mut self, call: &Call, at: Position) -> Option<Value> {
        match call {
            Call::Ref(name) => self.reference(name, at),
            Call::GetAtt {
                resource,
                attribute,
            } => self.attribute(resource, attribute, at),
            Call::Sub { parts, variables } => self.sub(parts, variables, at),
            Call::Join { delimiter, items } => {
                let items = self.texts(items, call)?;
                let size: usize = items.iter().map(|i| i.len() + delimiter.len()).sum();
                // Before the text is made.
                self.spend(size, at)?;
                Some(Value::Text(items.join(delimiter)))
            }
            Call::Select { index, list } => self.select(index, list, call, at),
            Call::Split { delimiter, text } => {
                let text = self.text(text, call)?;
                let node = |part: &str| Node::text(part, at);
                Some(Value::List(
                    text.split(delimiter.as_str()).map(node).collect(),
                ))
            }
            Call::GetAzs(region) => {
                let region = match self.text(region, call)? {
                    empty if empty.is_empty() => self.scope.region.clone(),
                    region if zones::is_region(&region) => region,
                    other => return self.fail(at, format!("{} is not a region", quote(&other))),
                };
                let zones = zones::zones_of(&region).into_iter();
                Some(Value::List(zones.map(|z| Node::text(z, at)).collect()))
            }
            Call::Base64(text) => {
                let text = self.text(text, call)?;
                self.spend(text.len() / 3 * 4, at)?;
                Some(Value::Text(base64::encode(text.as_bytes())))
            }
            Call::Cidr { block, count, bits } => self.cidr(block, count, bits.as_ref(), call, at),
            Call::FindInMap { map, first, second } => self.find_in_map(map, first, second, call),
            Call::If {
                condition,
                then,
                otherwise,
            } => match self.scope.conditions.get(condition) {
                Some(true) => Some(self.node(then)?.value),
                Some(false) => Some(self.node(otherwise)?.value),
                None => self.fail(at, format!("there is no condition {}", quote(condition))),
            },
            Call::ImportValue(name) => self.import(name, call, at),
            Call::Unsupported(name) => self.fail(at, format!("{name} is not supported")),
        }
    }

    fn import(&mut self, name: &Node, call: &Call, at: Position) -> Option<Value> {
        let Some(imports) = &self.scope.imports else {
            let message = "Fn::ImportValue can stand neither in Conditions nor in a name of an export or import";
            return self.fail(at, message);
        };
        let name = self.text(name, call)?;
        match imports.get(&name) {
            Some(value) => Some(Value::Text(value.clone())),
            None => self.fail(at, format!("No export named {} found", quote(&name))),
        }
    }

    fn reference(&mut self, name: &str, at: Position) -> Option<Value> {
        if name == "AWS::NoValue" {
            return Some(Value::Absent);
        }
        if let Some(parameter) = self.scope.parameters.get(name) {
            return Some(moved(&parameter.value, at));
        }
        match self.scope.resources.get(name) {
            Some(resource) => Some(Value::Text(resource.reference.clone())),
            None => {
                let message = format!("there is nothing by the name {}", quote(name));
                match suggest::nearest(name, self.scope.parameters.keys().map(String::as_str)) {
                    Some(near) => {
                        let help = format!("did you mean {near}?");
                        self.report.error_with_help(at, self.path, message, help);
                        None
                    }
                    None => self.fail(at, message),
                }
            }
        }
    }

    fn attribute(&mut self, resource: &str, attribute: &str, at: Position) -> Option<Value> {
        let Some(resolved) = self.scope.resources.get(resource) else {
            return self.fail(at, format!("there is no resource {}", quote(resource)));
        };
        if resolved.ignored {
            return Some(Value::Text(format!("{resource}.{attribute}")));
        }
        match resolved.attributes.get(attribute) {
            Some(value) => Some(moved(value, at)),
            None => {
                let message = format!("{} has no attribute {}", resource, quote(attribute));
                self.fail(at, message)
            }
        }
    }

    fn sub(&mut self, parts: &[SubPart], variables: &[Entry], at: Position) -> Option<Value> {
        let mut text = String::new();
        let mut complete = true;
        for part in parts {
            match part {
                SubPart::Text(literal) => text.push_str(literal),
                SubPart::Name(name, place) => match self.sub_name(name, *place, variables) {
                    Some(value) => {
                        self.spend(value.len(), at)?;
                        text.push_str(&value);
                    }
                    None => complete = false,
                },
            }
        }
        complete.then_some(Value::Text(text))
    }

    fn sub_name(&mut self, name: &str, at: Position, variables: &[Entry]) -> Option<String> {
        let value = match variables.iter().find(|v| v.key == name) {
            Some(variable) => self.node(&variable.value)?.value,
            None => match name.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute, at)?,
                None => self.reference(name, at)?,
            },
        };
        match value {
            Value::Text(text) => Some(text),
            other => {
                let found = Node::new(other, at).describe();
                self.fail(
                    at,
                    format!("{} in Fn::Sub must be text, not {found}", quote(name)),
                )
            }
        }
    }

    /// An argument that must be text.
    fn text(&mut self, node: &Node, call: &Call) -> Option<String> {
        let evaluated = self.node(node)?;
        match evaluated.value {
            Value::Text(text) => Some(text),
            _ => {
                let found = evaluated.describe();
                self.fail(node.at, format!("{} wants text, not {found}", call.name()))
            }
        }
    }

    fn list(&mut self, node: &Node, call: &Call) -> Option<Vec<Node>> {
        let evaluated = self.node(node)?;
        match evaluated.value {
            Value::List(list) => Some(list),
            _ => {
                let found = evaluated.describe();
                self.fail(
                    node.at,
                    format!("{} wants a list, not {found}", call.name()),
                )
            }
        }
    }

    fn texts(&mut self, node: &Node, call: &Call) -> Option<Vec<String>> {
        let list = self.list(node, call)?;
        let mut texts = Vec::with_capacity(list.len());
        for item in list {
            match item.value {
                Value::Text(text) => texts.push(text),
                _ => {
                    let found = item.describe();
                    let message = format!("{} wants a list of texts, not {found}", call.name());
                    return self.fail(item.at, message);
                }
            }
        }
        Some(texts)
    }
}

fn is_value(node: &Node) -> bool {
    !matches!(node.value, Value::Absent)
}

/// A value from elsewhere, as if it had been written at `at`.
fn moved(value: &Value, at: Position) -> Value {
    match value {
        Value::List(list) => {
            let nodes = list.iter().map(|n| Node::new(moved(&n.value, at), at));
            Value::List(nodes.collect())
        }
        other => other.clone(),
    }
}

fn size(value: &Value) -> usize {
    // A node costs memory even when it is empty.
    const NODE: usize = 16;
    NODE + match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.iter().map(|n| size(&n.value)).sum(),
        Value::Map(entries) => entries
            .iter()
            .map(|e| e.key.len() + size(&e.value.value))
            .sum(),
        Value::Null | Value::Call(_) | Value::Absent => 0,
    }
}
