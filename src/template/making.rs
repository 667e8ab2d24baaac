//! The third phase for one stack: what it exports and refers to, its resources and outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attributes;
use super::create::Creation;
use super::diagnostic::Report;
use super::document::{Document, Resource};
use super::evaluate::{Resolved, Scope};
use super::exports::{Exports, Imports};
use super::load::Prepared;
use super::node::{Entry, Node, Value};
use super::notes::Notes;
use super::references::{self, Declared, Names, Used, Walk};
use super::schema::{self, Kind, Meaning, Schema, Use};
use super::{Import, Output, Source, Stack, StackResource};
use crate::control::id::SubnetId;
use crate::control::{ControlState, Created, Owner};

/// A stack in the making.
pub(super) struct Loader<'l, 's> {
    /// Among the stacks.
    place: usize,
    source: &'l Source<'l>,
    document: &'l Arc<Document>,
    scope: Scope,
    owner: Owner,
    parameters: BTreeMap<String, String>,
    report: &'l mut Report<'s>,
    /// The resources whose condition is true, or that have none.
    declared: Vec<Declared<'l>>,
    /// The outputs, likewise.
    active_outputs: Vec<ActiveOutput<'l>>,
    /// For each of these resources, then each of these outputs.
    checked: Vec<Checked>,
    /// What it imports.
    pub(super) imports: Imports,
    notes: Notes,
    resources: Vec<StackResource>,
    outputs: Vec<Output>,
}

impl<'l, 's> Loader<'l, 's> {
    pub(super) fn new(
        place: usize,
        source: &'l Source<'l>,
        prepared: Prepared<'l>,
        report: &'l mut Report<'s>,
    ) -> Self {
        let Prepared {
            document,
            scope,
            owner,
            parameters,
        } = prepared;
        let declared = declared(document, &scope, report);
        let active_outputs = active_outputs(document, &scope, report);
        Self {
            place,
            source,
            document,
            scope,
            owner,
            parameters,
            report,
            declared,
            active_outputs,
            checked: Vec::new(),
            imports: Imports::new(),
            notes: Notes::default(),
            resources: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// `AWS::StackName`.
    pub(super) fn stack_name(&self) -> &'l str {
        self.source.stack_name
    }

    pub(super) fn report(&mut self) -> &mut Report<'s> {
        self.report
    }

    /// Tells the others what this stack exports.
    pub(super) fn declare_exports(&mut self, exports: &mut Exports) {
        for output in &mut self.active_outputs {
            let export = output.entry.value.child("Export");
            let Some(node) = export.and_then(|export| export.child("Name")) else {
                continue;
            };
            let path = output.path();
            let names = names(
                self.place,
                self.document,
                &self.declared,
                &self.scope,
                exports,
            );
            let mut walk = Walk::new(&names, &path, self.report);
            let name = walk.text_without_resources(node, "the name of an export");
            let Some(name) = name else { continue };
            match exports.declare(&name, self.place, &output.entry.key) {
                Ok(()) => output.export_name = Some(name),
                Err((message, help)) => {
                    self.report.error_with_help(node.at, &path, message, help);
                }
            }
        }
    }

    /// For each resource, then each output: what it needs, and whether a name in it is wrong.
    pub(super) fn check_names(&mut self, exports: &Exports) {
        let names = names(
            self.place,
            self.document,
            &self.declared,
            &self.scope,
            exports,
        );
        let ids = self.declared.iter().enumerate();
        let index: BTreeMap<&str, usize> = ids
            .map(|(i, d)| (d.resource.logical_id.as_str(), i))
            .collect();
        let mut check = |used: Used<'l>, is_broken: bool| {
            let found = used.resources.iter();
            self.checked.push(Checked {
                needs: found.filter_map(|n| index.get(n).copied()).collect(),
                imports: used.imports.keys().cloned().collect(),
                is_broken,
            });
            for (name, place) in used.imports {
                self.imports.entry(name).or_insert(place);
            }
            self.notes.placeholders(used.placeholders);
        };
        for d in &self.declared {
            let before = self.report.count();
            let used = resource_uses(d, &names, self.report);
            check(used, self.report.count() > before);
        }
        for output in &self.active_outputs {
            let before = self.report.count();
            let path = output.path();
            let mut walk = Walk::new(&names, &path, self.report);
            // The name of its export has been judged.
            let parts = output.entry.value.as_map().unwrap_or_default().iter();
            let parts = parts.filter(|part| part.key != "Export");
            parts.for_each(|part| walk.node(&part.value));
            let used = walk.used;
            check(used, self.report.count() > before);
        }
    }

    /// Makes the resources and the outputs; `exported` has the values of the stacks that were made before.
    pub(super) fn make_all(
        &mut self,
        state: &mut ControlState,
        exported: &mut BTreeMap<String, String>,
    ) {
        state.act_as(self.owner.clone());
        let known = |name: &String| Some((name.clone(), exported.get(name)?.clone()));
        self.scope.imports = Some(self.imports.keys().filter_map(known).collect());
        let needs: Vec<_> = self.checked[..self.declared.len()]
            .iter()
            .map(|c| c.needs.clone())
            .collect();
        let (order, circles) = references::order(&needs);
        for circle in circles {
            references::report_circle(&self.declared, &circle, self.report);
        }
        let mut made = vec![false; self.declared.len()];
        for i in order {
            let possible = self.checked[i].is_possible(&made, exported);
            let declared = &self.declared[i];
            let (resource, meaning) = (declared.resource, declared.meaning);
            made[i] = possible && self.make(resource, meaning, state).is_some();
        }
        for i in 0..self.active_outputs.len() {
            if !self.checked[self.declared.len() + i].is_possible(&made, exported) {
                continue;
            }
            if let Some(output) = self.output(i) {
                if let Some(name) = &output.export_name {
                    exported.insert(name.clone(), output.value.clone());
                }
                self.outputs.push(output);
            }
        }
    }

    pub(super) fn finish(mut self, exports: &Exports) -> Stack {
        for section in &self.document.ignored {
            self.notes.section(section);
        }
        let imports = self.imports.into_keys().filter_map(|export_name| {
            let stack = exports.exporter_name(&export_name)?.to_owned();
            Some(Import { export_name, stack })
        });
        Stack {
            name: self.source.stack_name.to_owned(),
            template: self.source.name.to_owned(),
            owner: self.owner,
            parameters: self.parameters,
            outputs: self.outputs,
            imports: imports.collect(),
            notes: self.notes.finish(),
            resources: self.resources,
            document: Arc::clone(self.document),
        }
    }

    /// Makes one resource, and lets the others know what it has become.
    fn make(
        &mut self,
        resource: &Resource,
        meaning: Meaning,
        state: &mut ControlState,
    ) -> Option<()> {
        let id = resource.logical_id.clone();
        let resolved = match meaning {
            Meaning::Supported(schema) => self.create(resource, schema, state)?,
            _ => {
                self.notes.resource(&resource.type_name, &id);
                Resolved {
                    reference: id.clone(),
                    attributes: BTreeMap::new(),
                    ignored: true,
                }
            }
        };
        self.scope.resources.insert(id, resolved);
        Some(())
    }

    fn create(
        &mut self,
        resource: &Resource,
        schema: &'static Schema,
        state: &mut ControlState,
    ) -> Option<Resolved> {
        let path = resource.path();
        let properties = self.evaluate_used(&resource.properties, schema, &path)?;
        let scope = &self.scope;
        let before = self.report.count();
        let mut privlink = None;
        if let Some(entry) = &resource.privlink {
            let path = format!("{path}.Metadata.privlink");
            let node = scope.evaluate(&entry.value, &path, self.report)?;
            schema::check_kind(&node, Kind::Object(schema.privlink), &path, self.report);
            privlink = Some(node);
        }
        schema::check_object(&properties, schema.properties, &path, self.report);
        if self.report.count() > before {
            return None;
        }
        let address_subnets = privlink
            .iter()
            .flat_map(address_entries)
            .filter_map(|entry| {
                let subnet: SubnetId = scope.resources.get(&entry.key)?.reference.parse().ok()?;
                Some(subnet)
            });
        let creation = Creation {
            logical_id: &resource.logical_id,
            kind: schema.kind,
            at: resource.at,
            properties: &properties,
            privlink: privlink.as_ref(),
            address_subnets: address_subnets.collect(),
            known: &self.resources,
            path,
            report: self.report,
        };
        let created = creation.run(state)?;
        self.made(resource, schema, created);
        Some(attributes::resolved(state, schema, created))
    }

    /// The properties that are used, evaluated; of the others nobody needs the value.
    fn evaluate_used(&mut self, properties: &Node, schema: &Schema, path: &str) -> Option<Node> {
        let entries = properties.as_map()?.iter();
        let used: Vec<_> = entries.filter(|e| !is_ignored(schema, &e.key)).collect();
        let evaluated = used.into_iter().map(|entry| {
            let path = format!("{path}.{}", entry.key);
            let value = self.scope.evaluate(&entry.value, &path, self.report)?;
            Some(Entry {
                key: entry.key.clone(),
                key_at: entry.key_at,
                value,
            })
        });
        // All of them first, so that one run shows all their errors.
        let evaluated: Vec<Option<Entry>> = evaluated.collect();
        let entries: Option<Vec<Entry>> = evaluated.into_iter().collect();
        let mut entries = entries?;
        entries.retain(|e| !matches!(e.value.value, Value::Absent));
        Some(Node::new(Value::Map(entries), properties.at))
    }

    fn made(&mut self, resource: &Resource, schema: &Schema, created: Created) {
        for property in schema::ignored_properties(&resource.properties, schema.properties) {
            self.notes.part(schema.name, property, &resource.logical_id);
        }
        self.resources.push(StackResource {
            logical_id: resource.logical_id.clone(),
            type_name: schema.name,
            physical_id: created,
        });
    }

    fn output(&mut self, index: usize) -> Option<Output> {
        let output = &self.active_outputs[index];
        let (entry, path) = (output.entry, output.path());
        let mut evaluate = |key: &str| match entry.value.child(key) {
            Some(node) => Ok(Some(
                self.scope.evaluate(node, &path, self.report).ok_or(())?,
            )),
            None => Ok(None),
        };
        // Both first, so that one run shows all their errors.
        let (value, description) = (evaluate("Value"), evaluate("Description"));
        let (Ok::<_, ()>(value), Ok(description)) = (value, description) else {
            return None;
        };
        let Some(text) = value.as_ref().and_then(Node::as_text) else {
            let found = value.as_ref().map(Node::describe);
            let found = found.unwrap_or_else(|| "nothing".to_owned());
            let at = value.map_or(entry.key_at, |node| node.at);
            let help = "make one text of a list with Fn::Join";
            let message = format!("Value must be text, not {found}");
            self.report.error_with_help(at, &path, message, help);
            return None;
        };
        Some(Output {
            key: entry.key.clone(),
            value: text.to_owned(),
            description: description
                .as_ref()
                .and_then(Node::as_text)
                .map(str::to_owned),
            export_name: output.export_name.clone(),
        })
    }
}

/// An output whose condition is true, or that has none.
struct ActiveOutput<'l> {
    entry: &'l Entry,
    /// Once it is known, and only if it is this output's.
    export_name: Option<String>,
}

impl ActiveOutput<'_> {
    fn path(&self) -> String {
        format!("Outputs.{}", self.entry.key)
    }
}

/// What one resource or output refers to.
struct Checked {
    /// Resources by their places.
    needs: BTreeSet<usize>,
    /// Exports of other stacks.
    imports: Vec<String>,
    is_broken: bool,
}

impl Checked {
    /// Is all that it needs there?
    fn is_possible(&self, made: &[bool], exported: &BTreeMap<String, String>) -> bool {
        !self.is_broken
            && self.needs.iter().all(|n| made[*n])
            && self.imports.iter().all(|name| exported.contains_key(name))
    }
}

/// The entries of `Addresses` in a `privlink` map.
fn address_entries(privlink: &Node) -> &[Entry] {
    let addresses = privlink.child("Addresses").and_then(Node::as_map);
    addresses.unwrap_or_default()
}

/// The resources whose condition is true, or that have none.
fn declared<'l>(document: &'l Document, scope: &Scope, report: &mut Report) -> Vec<Declared<'l>> {
    let mut declared = Vec::new();
    for resource in &document.resources {
        if let Some((name, at)) = &resource.condition {
            match scope.conditions.get(name) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    let path = resource.path();
                    references::unknown_condition(name, *at, &path, scope, report);
                }
            }
        }
        declared.push(Declared {
            resource,
            meaning: schema::meaning(&resource.type_name),
        });
    }
    declared
}

/// The outputs, likewise.
fn active_outputs<'l>(
    document: &'l Document,
    scope: &Scope,
    report: &mut Report,
) -> Vec<ActiveOutput<'l>> {
    let mut active = Vec::new();
    for entry in &document.outputs.entries {
        if let Some(node) = entry.value.child("Condition") {
            let name = node.as_text().unwrap_or_default();
            match scope.conditions.get(name) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    let path = format!("Outputs.{}", entry.key);
                    references::unknown_condition(name, node.at, &path, scope, report);
                }
            }
        }
        active.push(ActiveOutput {
            entry,
            export_name: None,
        });
    }
    active
}

/// What references in a stack may name.
fn names<'n, 'l>(
    stack: usize,
    document: &'l Document,
    declared: &[Declared<'l>],
    scope: &'n Scope,
    exports: &'n Exports,
) -> Names<'n, 'l> {
    let known = declared.iter();
    let resources: BTreeMap<_, _> = known
        .map(|d| (d.resource.logical_id.as_str(), d.meaning))
        .collect();
    let omitted = document.resources.iter().filter_map(|r| {
        let (condition, _) = r.condition.as_ref()?;
        let known = resources.contains_key(r.logical_id.as_str());
        (!known).then_some((r.logical_id.as_str(), condition.as_str()))
    });
    Names {
        omitted: omitted.collect(),
        scope,
        resources,
        exports,
        stack,
    }
}

/// What one resource names, in properties, DependsOn and the keys of Addresses.
fn resource_uses<'l>(
    declared: &Declared<'l>,
    names: &Names<'_, 'l>,
    report: &mut Report,
) -> Used<'l> {
    let resource = declared.resource;
    let path = resource.path();
    let mut used = Used::default();
    for property in resource.properties.as_map().unwrap_or_default() {
        let path = format!("{path}.{}", property.key);
        let mut walk = Walk::new(names, &path, report);
        walk.is_ignored = match declared.meaning {
            Meaning::Supported(schema) => is_ignored(schema, &property.key),
            _ => true,
        };
        walk.node(&property.value);
        used.extend(walk.used);
    }
    let mut walk = Walk::new(names, &path, report);
    for (name, at) in &resource.depends_on {
        // CloudFormation forgets a DependsOn whose resource has a false condition.
        if !names.omitted.contains_key(name.as_str()) {
            walk.resource(name, *at);
        }
    }
    if let Some(privlink) = &resource.privlink {
        walk.node(&privlink.value);
        for entry in address_entries(&privlink.value) {
            walk.subnet(&entry.key, entry.key_at);
        }
    }
    used.extend(walk.used);
    used
}

/// Does nobody need this property's value?
fn is_ignored(schema: &Schema, property: &str) -> bool {
    let mut properties = schema.properties.iter();
    let found = properties.find(|p| p.name == property);
    found.is_some_and(|p| matches!(p.usage, Use::Ignored))
}
