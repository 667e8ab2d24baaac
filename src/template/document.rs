//! The skeleton of a template: its sections, and what a resource is besides its properties.
//!
//! Invariant: after [`read`] without errors every section has its shape and every function is a [`super::functions::Call`].
//! Source: "Template sections" and "Resource attribute reference" of AWS's CloudFormation guide.

use super::diagnostic::{Position, Report};
use super::functions;
use super::node::{Entry, Node, Value, quote};
use super::suggest;

/// A template's sections.
#[derive(Debug)]
pub(super) struct Document {
    /// `Metadata: privlink:` of the template.
    pub(super) privlink: Option<Entry>,
    pub(super) parameters: Section,
    pub(super) mappings: Section,
    pub(super) conditions: Section,
    pub(super) resources: Vec<Resource>,
    pub(super) outputs: Section,
    /// Sections that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// A section whose entries are things with names.
#[derive(Debug)]
pub(super) struct Section {
    /// Where the section begins; the template's beginning if it is not there.
    pub(super) at: Position,
    pub(super) entries: Vec<Entry>,
}

/// One entry of `Resources`.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) logical_id: String,
    /// Where the logical id stands.
    pub(super) at: Position,
    /// `AWS::EC2::VPC` and so on.
    pub(super) type_name: String,
    pub(super) type_at: Position,
    /// A map.
    pub(super) properties: Node,
    pub(super) depends_on: Vec<(String, Position)>,
    pub(super) condition: Option<(String, Position)>,
    /// `Metadata: privlink:` of the resource.
    pub(super) privlink: Option<Entry>,
}

impl Resource {
    /// The path for messages.
    pub(super) fn path(&self) -> String {
        format!("Resources.{}", self.logical_id)
    }
}

/// AWS's quota of each of: parameters, mappings, outputs (200), resources (500).
const MAX_NAMED: usize = 200;
const MAX_RESOURCES: usize = 500;
/// AWS's longest logical id.
const MAX_NAME: usize = 255;

const SECTIONS: &[&str] = &[
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Hooks",
    "Resources",
    "Outputs",
];

const ATTRIBUTES: &[&str] = &[
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "Metadata",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "CreationPolicy",
    "UpdatePolicy",
];

/// Reads the skeleton and recognises the functions in it.
pub(super) fn read(root: Node, report: &mut Report) -> Option<Document> {
    let at = root.at;
    let Value::Map(entries) = root.value else {
        let message = format!("a template is a map of sections, not {}", root.describe());
        report.error(at, "", message);
        return None;
    };
    let empty = || Section {
        at,
        entries: Vec::new(),
    };
    let mut document = Document {
        privlink: None,
        parameters: empty(),
        mappings: empty(),
        conditions: empty(),
        resources: Vec::new(),
        outputs: empty(),
        ignored: Vec::new(),
    };
    let mut has_resources = false;
    for entry in entries {
        has_resources |= entry.key == "Resources";
        read_section(entry, &mut document, report);
    }
    if !has_resources {
        report.error(at, "", "the template has no section Resources");
    }
    Some(document)
}

fn read_section(entry: Entry, document: &mut Document, report: &mut Report) {
    match entry.key.as_str() {
        "Description" => {}
        "AWSTemplateFormatVersion" => {
            if entry.value.as_text() != Some("2010-09-09") {
                let message = format!("must be 2010-09-09, not {}", entry.value.describe());
                report.error(entry.value.at, &entry.key, message);
            }
        }
        "Metadata" => document.privlink = privlink(entry, "Metadata", report),
        "Parameters" => document.parameters = named(entry, MAX_NAMED, report),
        "Mappings" => document.mappings = named(entry, MAX_NAMED, report),
        "Conditions" => document.conditions = named(entry, MAX_NAMED, report),
        "Outputs" => {
            document.outputs = named(entry, MAX_NAMED, report);
            for output in &mut document.outputs.entries {
                let path = format!("Outputs.{}", output.key);
                functions::recognise(&mut output.value, &path, report);
            }
        }
        "Resources" => {
            let is_empty = match &entry.value.value {
                Value::Map(resources) => resources.is_empty(),
                other => matches!(other, Value::Null),
            };
            if is_empty {
                let message = "at least one resource must be defined";
                report.error(entry.key_at, "Resources", message);
            }
            let section = named(entry, MAX_RESOURCES, report);
            document.resources = section
                .entries
                .into_iter()
                .filter_map(|e| read_resource(e, report))
                .collect();
        }
        "Rules" | "Hooks" => document.ignored.push(entry.key),
        "Transform" => {
            let help = "expand the template first, for example with `sam build` or a change set";
            let message = "macros (Transform) are not supported";
            report.error_with_help(entry.key_at, "Transform", message, help);
        }
        _ => unknown_key(&entry, "", "section", SECTIONS, report),
    }
}

fn unknown_key(entry: &Entry, path: &str, what: &str, known: &[&str], report: &mut Report) {
    let message = format!("unknown {what} {}", quote(&entry.key));
    let help = match suggest::nearest(&entry.key, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", known.join(", ")),
    };
    report.error_with_help(entry.key_at, path, message, help);
}

/// A section that is a map of named maps.
fn named(entry: Entry, max: usize, report: &mut Report) -> Section {
    let at = entry.key_at;
    let section = entry.key;
    let entries = match entry.value.value {
        Value::Map(entries) => entries,
        Value::Null => Vec::new(),
        _ => {
            let found = entry.value.describe();
            report.error(at, &section, format!("must be a map, not {found}"));
            Vec::new()
        }
    };
    if entries.len() > max {
        let message = format!("{} entries; at most {max} are possible", entries.len());
        report.error(at, &section, message);
    }
    for e in &entries {
        let legal = !e.key.is_empty()
            && e.key.len() <= MAX_NAME
            && e.key.bytes().all(|b| b.is_ascii_alphanumeric());
        if !legal && section != "Mappings" {
            let message = format!("{} is not a logical id", quote(&e.key));
            let help = "one is made of letters and digits, at most 255";
            report.error_with_help(e.key_at, &section, message, help);
        }
    }
    Section { at, entries }
}

fn read_resource(entry: Entry, report: &mut Report) -> Option<Resource> {
    let path = format!("Resources.{}", entry.key);
    let Value::Map(attributes) = entry.value.value else {
        let found = entry.value.describe();
        let message = format!("a resource is a map with a Type, not {found}");
        report.error(entry.key_at, &path, message);
        return None;
    };
    let mut resource = Resource {
        logical_id: entry.key,
        at: entry.key_at,
        type_name: String::new(),
        type_at: entry.key_at,
        properties: Node::new(Value::Map(Vec::new()), entry.key_at),
        depends_on: Vec::new(),
        condition: None,
        privlink: None,
    };
    for attribute in attributes {
        read_attribute(attribute, &mut resource, &path, report);
    }
    if resource.type_at == resource.at {
        report.error(resource.at, &path, "the resource has no Type");
        return None;
    }
    Some(resource)
}

fn read_attribute(mut attribute: Entry, resource: &mut Resource, path: &str, report: &mut Report) {
    let at = attribute.value.at;
    match attribute.key.as_str() {
        "Type" => {
            resource.type_at = at;
            match attribute.value.as_text() {
                Some(text) => resource.type_name = text.to_owned(),
                None => report.error(at, path, "Type must be text, like AWS::EC2::VPC"),
            }
        }
        "Properties" => match &mut attribute.value.value {
            Value::Map(properties) => {
                for property in properties {
                    let path = format!("{path}.{}", property.key);
                    functions::recognise(&mut property.value, &path, report);
                }
                resource.properties = attribute.value;
            }
            Value::Null => {}
            _ => {
                let found = attribute.value.describe();
                report.error(at, path, format!("Properties must be a map, not {found}"));
            }
        },
        "DependsOn" => resource.depends_on = names(&attribute.value, path, report),
        "Condition" => match attribute.value.as_text() {
            Some(text) => resource.condition = Some((text.to_owned(), at)),
            None => report.error(at, path, "Condition must be the name of a condition"),
        },
        "Metadata" => {
            resource.privlink = privlink(attribute, &format!("{path}.Metadata"), report);
        }
        "DeletionPolicy" | "UpdateReplacePolicy" | "CreationPolicy" | "UpdatePolicy" => {}
        _ => unknown_key(&attribute, path, "attribute", ATTRIBUTES, report),
    }
}

/// One logical id or a list of them.
fn names(node: &Node, path: &str, report: &mut Report) -> Vec<(String, Position)> {
    let one = |n: &Node| n.as_text().map(|t| (t.to_owned(), n.at));
    let found: Option<Vec<_>> = match &node.value {
        Value::List(list) => list.iter().map(one).collect(),
        _ => one(node).map(|name| vec![name]),
    };
    found.unwrap_or_else(|| {
        let message = "DependsOn must be a logical id or a list of them";
        report.error(node.at, path, message);
        Vec::new()
    })
}

/// The `privlink` key of a Metadata; its neighbours belong to others.
fn privlink(metadata: Entry, path: &str, report: &mut Report) -> Option<Entry> {
    let Value::Map(entries) = metadata.value.value else {
        if !matches!(metadata.value.value, Value::Null) {
            report.error(metadata.value.at, path, "Metadata must be a map");
        }
        return None;
    };
    if let Some(entry) = entries
        .iter()
        .find(|e| e.key.eq_ignore_ascii_case("privlink"))
        && entry.key != "privlink"
    {
        let message = format!("{} must be written `privlink`", quote(&entry.key));
        report.error(entry.key_at, path, message);
    }
    let mut entry = entries.into_iter().find(|e| e.key == "privlink")?;
    functions::recognise(&mut entry.value, &format!("{path}.privlink"), report);
    Some(entry)
}
