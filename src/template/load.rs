//! The phases, one after the other: syntax, types, references (which makes the resources and so finds what is wrong
//! with their meaning). Each shows all its errors; the next begins only when there are none.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes;
use super::create::Creation;
use super::diagnostic::{Diagnostics, Report};
use super::document::{self, Document, Resource};
use super::evaluate::{Resolved, Scope};
use super::node::{Entry, Node, Value};
use super::notes::Notes;
use super::references::{self, Declared, Names, Walk};
use super::schema::{self, Kind, Meaning, Schema, Use};
use super::{Options, Output, Source, Stack, StackResource, parse, types};
use crate::control::id::SubnetId;
use crate::control::{ControlState, Created};

/// Makes a stack of a template.
///
/// # Errors
/// All errors of the first phase that has any.
pub fn load(source: Source, options: &Options) -> Result<Stack, Diagnostics> {
    let mut report = Report::new(source.name, source.text);
    let document =
        parse::parse(source.text, &mut report).and_then(|root| document::read(root, &mut report));
    report.finish_phase()?;
    let Some(document) = document else {
        return Err(Diagnostics::whole(source.name, "the template is empty"));
    };

    let (scope, owner) = types::check(&document, options, &mut report);
    report.finish_phase()?;
    let Some(owner) = owner else {
        return Err(Diagnostics::whole(source.name, "the template has no owner"));
    };

    let mut loader = Loader {
        document: &document,
        state: ControlState::new(owner),
        notes: Notes::default(),
        resources: Vec::new(),
        report: &mut report,
    };
    let outputs = loader.references(scope);
    let Loader {
        state,
        mut notes,
        resources,
        ..
    } = loader;
    report.finish_phase()?;
    for section in &document.ignored {
        notes.section(section);
    }
    Ok(Stack {
        state,
        name: options.stack_name.clone(),
        outputs,
        notes: notes.finish(),
        resources,
    })
}

/// The third phase.
struct Loader<'l, 's> {
    document: &'l Document,
    state: ControlState,
    notes: Notes,
    resources: Vec<StackResource>,
    report: &'l mut Report<'s>,
}

impl<'l> Loader<'l, '_> {
    fn references(&mut self, mut scope: Scope) -> Vec<Output> {
        let declared = self.declared(&scope);
        let outputs = self.active_outputs(&scope);
        let checked = self.check_names(&declared, &outputs, &scope);
        let (resources, outputs_checked) = checked.split_at(declared.len());
        let needs: Vec<_> = resources.iter().map(|c| c.needs.clone()).collect();
        let order = references::order(&declared, &needs, self.report);
        let mut made = vec![false; declared.len()];
        for i in order {
            let possible = resources[i].is_possible(&made);
            made[i] = possible && self.make(&declared[i], &mut scope).is_some();
        }
        let possible = outputs.iter().zip(outputs_checked);
        let possible = possible.filter(|(_, checked)| checked.is_possible(&made));
        possible
            .filter_map(|(entry, _)| self.output(entry, &scope))
            .collect()
    }

    /// The resources whose condition is true, or that have none.
    fn declared(&mut self, scope: &Scope) -> Vec<Declared<'l>> {
        let mut declared = Vec::new();
        for resource in &self.document.resources {
            if let Some((name, at)) = &resource.condition {
                match scope.conditions.get(name) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        let path = resource.path();
                        references::unknown_condition(name, *at, &path, scope, self.report);
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

    fn active_outputs(&mut self, scope: &Scope) -> Vec<&'l Entry> {
        let mut active = Vec::new();
        for entry in &self.document.outputs.entries {
            if let Some(node) = entry.value.child("Condition") {
                let name = node.as_text().unwrap_or_default();
                match scope.conditions.get(name) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        let path = format!("Outputs.{}", entry.key);
                        references::unknown_condition(name, node.at, &path, scope, self.report);
                    }
                }
            }
            active.push(entry);
        }
        active
    }

    /// For each resource, then each output: the resources that it needs, and whether a name in it is wrong.
    fn check_names(
        &mut self,
        declared: &[Declared<'l>],
        outputs: &[&Entry],
        scope: &Scope,
    ) -> Vec<Checked> {
        let id = |d: &Declared<'l>| d.resource.logical_id.as_str();
        let index: BTreeMap<&str, usize> = declared
            .iter()
            .enumerate()
            .map(|(i, d)| (id(d), i))
            .collect();
        let omitted = self.document.resources.iter().filter_map(|r| {
            let (condition, _) = r.condition.as_ref()?;
            let known = index.contains_key(r.logical_id.as_str());
            (!known).then_some((r.logical_id.as_str(), condition.as_str()))
        });
        let names = Names {
            scope,
            resources: declared.iter().map(|d| (id(d), d.meaning)).collect(),
            omitted: omitted.collect(),
        };
        let mut checked = Vec::with_capacity(declared.len() + outputs.len());
        let needs = |found: BTreeSet<&str>| -> BTreeSet<usize> {
            found.iter().filter_map(|n| index.get(n).copied()).collect()
        };
        for d in declared {
            let before = self.report.count();
            let needs = needs(self.check_resource(d, &names));
            let is_broken = self.report.count() > before;
            checked.push(Checked { needs, is_broken });
        }
        for output in outputs {
            let before = self.report.count();
            let path = format!("Outputs.{}", output.key);
            let mut walk = Walk::new(&names, &path, self.report);
            walk.node(&output.value);
            let needs = needs(walk.found);
            self.notes.placeholders(walk.placeholders);
            let is_broken = self.report.count() > before;
            checked.push(Checked { needs, is_broken });
        }
        checked
    }

    /// The resources that one names, in properties, DependsOn and the keys of Addresses.
    fn check_resource(
        &mut self,
        declared: &Declared<'l>,
        names: &Names<'_, 'l>,
    ) -> BTreeSet<&'l str> {
        let resource = declared.resource;
        let path = resource.path();
        let mut found = BTreeSet::new();
        for property in resource.properties.as_map().unwrap_or_default() {
            let path = format!("{path}.{}", property.key);
            let mut walk = Walk::new(names, &path, self.report);
            walk.node(&property.value);
            found.extend(walk.found);
            self.notes.placeholders(walk.placeholders);
        }
        let mut walk = Walk::new(names, &path, self.report);
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
        self.notes.placeholders(walk.placeholders);
        found.extend(walk.found);
        found
    }

    /// Makes one resource, and lets the others know what it has become.
    fn make(&mut self, declared: &Declared, scope: &mut Scope) -> Option<()> {
        let resource = declared.resource;
        let id = resource.logical_id.clone();
        let resolved = match declared.meaning {
            Meaning::Supported(schema) => self.create(resource, schema, scope)?,
            _ => {
                self.notes.resource(&resource.type_name, &id);
                Resolved {
                    reference: id.clone(),
                    attributes: BTreeMap::new(),
                    ignored: true,
                }
            }
        };
        scope.resources.insert(id, resolved);
        Some(())
    }

    fn create(
        &mut self,
        resource: &Resource,
        schema: &'static Schema,
        scope: &Scope,
    ) -> Option<Resolved> {
        let path = resource.path();
        let properties = self.evaluate_used(&resource.properties, schema, &path, scope)?;
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
        let created = creation.run(&mut self.state)?;
        self.made(resource, schema, created);
        Some(attributes::resolved(&self.state, schema, created))
    }

    /// The properties that are used, evaluated; of the others nobody needs the value.
    fn evaluate_used(
        &mut self,
        properties: &Node,
        schema: &Schema,
        path: &str,
        scope: &Scope,
    ) -> Option<Node> {
        let ignored = |e: &Entry| {
            let property = schema.properties.iter().find(|p| p.name == e.key);
            property.is_some_and(|p| matches!(p.usage, Use::Ignored))
        };
        let used: Vec<_> = properties
            .as_map()?
            .iter()
            .filter(|e| !ignored(e))
            .collect();
        let evaluated = used.into_iter().map(|entry| {
            let path = format!("{path}.{}", entry.key);
            let value = scope.evaluate(&entry.value, &path, self.report)?;
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

    fn output(&mut self, entry: &Entry, scope: &Scope) -> Option<Output> {
        let path = format!("Outputs.{}", entry.key);
        let declared = scope.evaluate(&entry.value, &path, self.report)?;
        let text = |key: &str| Some(declared.child(key)?.as_text()?.to_owned());
        let Some(value) = text("Value") else {
            let found = declared.child("Value").map(Node::describe);
            let found = found.unwrap_or_else(|| "nothing".to_owned());
            let at = entry
                .value
                .child("Value")
                .map_or(entry.key_at, |node| node.at);
            let help = "make one text of a list with Fn::Join";
            let message = format!("Value must be text, not {found}");
            self.report.error_with_help(at, &path, message, help);
            return None;
        };
        let export = declared.child("Export");
        Some(Output {
            key: entry.key.clone(),
            value,
            description: text("Description"),
            export_name: export
                .and_then(|e| e.child("Name"))
                .and_then(Node::as_text)
                .map(str::to_owned),
        })
    }
}

/// What one resource or output refers to.
struct Checked {
    needs: BTreeSet<usize>,
    is_broken: bool,
}

impl Checked {
    /// Is all that it needs there?
    fn is_possible(&self, made: &[bool]) -> bool {
        !self.is_broken && self.needs.iter().all(|n| made[*n])
    }
}

/// The entries of `Addresses` in a `privlink` map.
fn address_entries(privlink: &Node) -> &[Entry] {
    let addresses = privlink.child("Addresses").and_then(Node::as_map);
    addresses.unwrap_or_default()
}
