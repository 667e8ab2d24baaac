//! The second phase: parameters, conditions, resource types and properties, as far as they can be judged without the
//! resources themselves.

use std::collections::BTreeMap;

use super::conditions;
use super::diagnostic::{Position, Report};
use super::document::{Document, Resource};
use super::evaluate::Scope;
use super::node::{Entry, Node, Value, quote};
use super::schema::{self, Kind, Meaning, Property, optional, required};
use crate::control::{ControlError, Owner};

pub(super) const DEFAULT_ACCOUNT: &str = "000000000000";

const OUTPUT: &[Property] = &[
    required("Value", Kind::Any),
    optional("Description", Kind::Text),
    optional("Condition", Kind::Text),
    optional("Export", Kind::Object(&[required("Name", Kind::Text)])),
];

/// Checks types; what functions may name afterwards, and the stack's owner. `None` after an error that leaves no owner.
pub(super) fn check(
    document: &Document,
    values: BTreeMap<String, Node>,
    region: &str,
    stack_name: &str,
    report: &mut Report,
) -> Option<(Scope, Owner)> {
    let (account, at) = account(document, report);
    let mut scope = Scope::new(region);
    scope.parameters = values;
    scope
        .parameters
        .extend(pseudo_parameters(region, &account, stack_name));
    for mapping in &document.mappings.entries {
        let path = format!("Mappings.{}", mapping.key);
        let kind = Kind::Map(&Kind::Map(&Kind::Any));
        schema::check_kind(&mapping.value, kind, &path, report);
    }
    scope.mappings.clone_from(&document.mappings.entries);
    scope.conditions = conditions::resolve(&document.conditions, &scope, report);
    for resource in &document.resources {
        resource_types(resource, report);
    }
    for output in &document.outputs.entries {
        let path = format!("Outputs.{}", output.key);
        schema::check_kind(&output.value, Kind::Object(OUTPUT), &path, report);
    }
    match Owner::new(&account, region) {
        Ok(owner) => Some((scope, owner.with_stack(stack_name))),
        Err(error @ ControlError::Account { .. }) => {
            report.error(at, PRIVLINK, error.to_string());
            None
        }
        // Said once, for all templates.
        Err(_) => None,
    }
}

const PRIVLINK: &str = "Metadata.privlink";

/// The account and where it is said.
fn account(document: &Document, report: &mut Report) -> (String, Position) {
    let default = (DEFAULT_ACCOUNT.to_owned(), Position::START);
    let Some(privlink) = &document.privlink else {
        return default;
    };
    let kind = Kind::Object(schema::TEMPLATE_PRIVLINK);
    let before = report.count();
    schema::check_kind(&privlink.value, kind, PRIVLINK, report);
    let Some(node) = privlink.value.child("Account") else {
        return default;
    };
    match node.as_text() {
        Some(text) => (text.to_owned(), node.at),
        None => {
            if report.count() == before {
                report.error(node.at, PRIVLINK, "Account must be written out, 12 digits");
            }
            default
        }
    }
}

fn pseudo_parameters(region: &str, account: &str, stack: &str) -> Vec<(String, Node)> {
    let partition = match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let suffix = match partition {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    // The last part is a UUID on AWS; here it must be the same in every run.
    let stack_id = format!(
        "arn:{partition}:cloudformation:{region}:{account}:stack/{stack}/00000000-0000-0000-0000-000000000000"
    );
    let text =
        |name: &str, value: &str| (format!("AWS::{name}"), Node::text(value, Position::START));
    vec![
        text("Region", region),
        text("AccountId", account),
        text("StackName", stack),
        text("StackId", &stack_id),
        text("Partition", partition),
        text("URLSuffix", suffix),
        (
            "AWS::NotificationARNs".to_owned(),
            Node::new(Value::List(Vec::new()), Position::START),
        ),
    ]
}

/// Type, properties and privlink metadata of one resource.
fn resource_types(resource: &Resource, report: &mut Report) {
    let path = resource.path();
    let name = quote(&resource.type_name);
    match schema::meaning(&resource.type_name) {
        Meaning::Supported(schema) => {
            let properties = &resource.properties;
            let empty = properties.as_map().is_none_or(<[Entry]>::is_empty);
            if empty {
                // Without properties the missing ones are reported at the resource.
                let node = Node::new(properties.value.clone(), resource.at);
                schema::check_object(&node, schema.properties, &path, report);
            } else {
                schema::check_object(properties, schema.properties, &path, report);
            }
            if let Some(privlink) = &resource.privlink {
                let path = format!("{path}.Metadata.privlink");
                schema::check_kind(
                    &privlink.value,
                    Kind::Object(schema.privlink),
                    &path,
                    report,
                );
            }
        }
        Meaning::Ignored => {
            if let Some(privlink) = &resource.privlink {
                let message = format!("{name} has no effect here, and nothing under privlink");
                report.error(privlink.key_at, &path, message);
            }
        }
        Meaning::Later(why) => {
            report.error(resource.type_at, &path, format!("type {name}: {why}"));
        }
        Meaning::Unknown => {
            let help = schema::type_help(&resource.type_name);
            let message = format!("unknown type {name}");
            report.error_with_help(resource.type_at, &path, message, help);
        }
    }
}
