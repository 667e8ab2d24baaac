//! The second phase: parameters, conditions, resource types and properties, as far as they can be judged without the
//! resources themselves.

use std::collections::BTreeMap;

use super::diagnostic::{Position, Report};
use super::document::{Document, Resource};
use super::evaluate::Scope;
use super::node::{Entry, Node, Value, quote};
use super::schema::{self, Kind, Meaning, Property, optional, required};
use super::{Options, conditions, parameters, zones};
use crate::control::{ControlError, Owner};

const DEFAULT_ACCOUNT: &str = "000000000000";
const DEFAULT_REGION: &str = "us-east-1";

const OUTPUT: &[Property] = &[
    required("Value", Kind::Any),
    optional("Description", Kind::Text),
    optional("Condition", Kind::Text),
    optional("Export", Kind::Object(&[required("Name", Kind::Text)])),
];

/// Checks types; what functions may name afterwards, and the owner unless it has an error.
pub(super) fn check(
    document: &Document,
    options: &Options,
    report: &mut Report,
) -> (Scope, Option<Owner>) {
    let values = parameters::resolve(&document.parameters, &options.parameters, report);
    let region = region(document, &values, options);
    let account = account(document, report);
    let owner = match Owner::new(&account, &region) {
        Ok(owner) => Some(owner),
        Err(error) => {
            owner_error(&error, document, options, report);
            None
        }
    };
    let mut scope = Scope::new(&region);
    scope.parameters = values;
    scope
        .parameters
        .extend(pseudo_parameters(&region, &account, &options.stack_name));
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
    (scope, owner)
}

/// An error of the account, which the template gives, or of the region, which it may not have given.
fn owner_error(error: &ControlError, document: &Document, options: &Options, report: &mut Report) {
    let region = match error {
        ControlError::Region { given } => Some(given),
        _ => None,
    };
    let is_at_fault = |given: &Option<String>| given.is_some() && given.as_ref() == region;
    let message = error.to_string();
    match &document.privlink {
        _ if is_at_fault(&options.region) => report.error_beside("--region", message),
        _ if is_at_fault(&options.default_region) => {
            report.error_beside("the environment's region (AWS_REGION)", message);
        }
        Some(privlink) => report.error(privlink.value.at, "", message),
        None => report.error(Position::START, "", message),
    }
}

/// `--region`, else that of the subnets' zones, else the caller's, else AWS's first.
fn region(document: &Document, parameters: &BTreeMap<String, Node>, options: &Options) -> String {
    let explicit = options.region.clone();
    explicit
        .or_else(|| region_of_zones(document, parameters))
        .or_else(|| options.default_region.clone())
        .unwrap_or_else(|| DEFAULT_REGION.to_owned())
}

/// The region of the first zone that can be told without knowing the region.
fn region_of_zones(document: &Document, parameters: &BTreeMap<String, Node>) -> Option<String> {
    let mut scope = Scope::new("");
    scope.parameters.clone_from(parameters);
    scope.mappings.clone_from(&document.mappings.entries);
    // What cannot be told is no error here; it is evaluated again when everything is known.
    let mut unheard = Report::new("", "");
    let subnets = document.resources.iter();
    let subnets = subnets.filter(|r| r.type_name == "AWS::EC2::Subnet");
    let mut zones = subnets.filter_map(|r| {
        let node = r.properties.child("AvailabilityZone")?;
        scope.evaluate(node, "", &mut unheard)
    });
    zones.find_map(|zone| zones::region_of(zone.as_text()?).map(str::to_owned))
}

fn account(document: &Document, report: &mut Report) -> String {
    let Some(privlink) = &document.privlink else {
        return DEFAULT_ACCOUNT.to_owned();
    };
    let path = "Metadata.privlink";
    schema::check_kind(
        &privlink.value,
        Kind::Object(schema::TEMPLATE_PRIVLINK),
        path,
        report,
    );
    let Some(node) = privlink.value.child("Account") else {
        return DEFAULT_ACCOUNT.to_owned();
    };
    match node.as_text() {
        Some(text) => text.to_owned(),
        None => {
            report.error(node.at, path, "Account must be written out, 12 digits");
            DEFAULT_ACCOUNT.to_owned()
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
