//! Which resource types and properties there are, what their values look like, and what becomes of them here.
//!
//! Invariant: every property that CloudFormation documents for a supported type stands in its table, used or not, so
//! that a template of the wild loads and a slip of the pen does not.
//! Source: CloudFormation's resource schemas (as bundled with cfn-lint 1.51).

mod ec2;
mod elb;
mod ignored;
mod lattice;
mod route53;

use super::diagnostic::Report;
use super::node::{Entry, Node, Value, quote};
use super::suggest;

/// The shape of a value. Scalars are text until a property asks for more, as in CloudFormation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    List(&'static Kind),
    Object(&'static [Property]),
    /// A map whose keys are the user's.
    Map(&'static Kind),
    /// A list of `Key` and `Value`, of which these keys have no effect here; which others there are, control knows.
    Attributes(&'static [&'static str]),
    Any,
}

/// What becomes of a property.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Used,
    /// Means nothing for packets here; noted.
    Ignored,
    /// Means something that is not there yet: an error, with a word on it, unless it is `false`.
    Later(&'static str),
    /// AWS sets it; an error.
    ReadOnly,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) usage: Use,
}

const fn property(name: &'static str, kind: Kind, required: bool, usage: Use) -> Property {
    Property {
        name,
        kind,
        required,
        usage,
    }
}

/// Used, and must be there.
pub(super) const fn required(name: &'static str, kind: Kind) -> Property {
    property(name, kind, true, Use::Used)
}

/// Used, if it is there.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Property {
    property(name, kind, false, Use::Used)
}

const fn ignored(name: &'static str, kind: Kind) -> Property {
    property(name, kind, false, Use::Ignored)
}

const fn later(name: &'static str, kind: Kind, why: &'static str) -> Property {
    property(name, kind, false, Use::Later(why))
}

const fn read_only(name: &'static str) -> Property {
    property(name, Kind::Any, false, Use::ReadOnly)
}

const ATTRIBUTE: Kind = Kind::Object(&[required("Key", Kind::Text), required("Value", Kind::Text)]);

const IPV6: &str = "IPv6 is not supported yet";

const TAGS: Kind = Kind::List(&Kind::Object(&[
    required("Key", Kind::Text),
    optional("Value", Kind::Text),
]));

/// What `Fn::GetAtt` finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// Read from the control state.
    Real,
    /// Exists on AWS; here it is this text, which is noted.
    Placeholder(&'static str),
    /// Exists on AWS, and means something that is not there yet: an error.
    Later(&'static str),
}

/// Which command a resource becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Vpc,
    Subnet,
    SecurityGroup,
    SecurityGroupIngress,
    SecurityGroupEgress,
    Instance,
    VpcEndpoint,
    VpcEndpointService,
    VpcEndpointServicePermissions,
    LoadBalancer,
    TargetGroup,
    Listener,
    ResourceGateway,
    ResourceConfiguration,
    HostedZone,
    RecordSet,
    RecordSetGroup,
}

/// A supported resource type.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) properties: &'static [Property],
    /// The closed list of `Metadata: privlink:`.
    pub(super) privlink: &'static [Property],
    pub(super) attributes: &'static [(&'static str, Attribute)],
}

const SCHEMAS: &[&Schema] = &[
    &ec2::VPC,
    &ec2::SUBNET,
    &ec2::SECURITY_GROUP,
    &ec2::SECURITY_GROUP_INGRESS,
    &ec2::SECURITY_GROUP_EGRESS,
    &ec2::INSTANCE,
    &ec2::VPC_ENDPOINT,
    &ec2::VPC_ENDPOINT_SERVICE,
    &ec2::VPC_ENDPOINT_SERVICE_PERMISSIONS,
    &elb::LOAD_BALANCER,
    &elb::TARGET_GROUP,
    &elb::LISTENER,
    &lattice::RESOURCE_GATEWAY,
    &lattice::RESOURCE_CONFIGURATION,
    &route53::HOSTED_ZONE,
    &route53::RECORD_SET,
    &route53::RECORD_SET_GROUP,
];

/// The keys of a template's own `Metadata: privlink:`.
pub(super) const TEMPLATE_PRIVLINK: &[Property] = &[optional("Account", Kind::Text)];

/// What a type name means here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    Supported(&'static Schema),
    /// Means nothing for packets.
    Ignored,
    /// Means something that is not there yet.
    Later(&'static str),
    Unknown,
}

/// Looks a type up.
pub(super) fn meaning(type_name: &str) -> Meaning {
    if let Some(schema) = SCHEMAS.iter().find(|s| s.name == type_name) {
        return Meaning::Supported(schema);
    }
    if ignored::is_ignored(type_name) {
        return Meaning::Ignored;
    }
    match ignored::later(type_name) {
        Some(why) => Meaning::Later(why),
        None => Meaning::Unknown,
    }
}

/// What would be right instead of an unknown type.
pub(super) fn type_help(type_name: &str) -> String {
    let supported = SCHEMAS.iter().map(|s| s.name);
    match suggest::nearest(type_name, supported.chain(ignored::named())) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let names: Vec<_> = SCHEMAS.iter().map(|s| s.name).collect();
            format!("supported are {}", names.join(", "))
        }
    }
}

/// Checks a map against its table, and everything below it. Calls are let pass: their values are checked when known.
pub(super) fn check_object(node: &Node, table: &[Property], path: &str, report: &mut Report) {
    let Value::Map(entries) = &node.value else {
        if !matches!(node.value, Value::Call(_) | Value::Absent) {
            expected("a map", node, path, report);
        }
        return;
    };
    for entry in entries {
        match table.iter().find(|p| p.name == entry.key) {
            Some(property) => check_property(entry, property, path, report),
            None => unknown_property(entry, table, path, report),
        }
    }
    for property in table.iter().filter(|p| p.required) {
        if !entries.iter().any(|e| e.key == property.name) {
            let message = format!("the required property {} is missing", property.name);
            report.error(node.at, path, message);
        }
    }
}

fn check_property(entry: &Entry, property: &Property, path: &str, report: &mut Report) {
    let path = format!("{path}.{}", entry.key);
    match property.usage {
        Use::ReadOnly => {
            let help = "take it out, and read it with Fn::GetAtt or Ref";
            report.error_with_help(entry.key_at, &path, "AWS sets this property", help);
        }
        Use::Later(why) if entry.value.as_text().and_then(boolean) != Some(false) => {
            report.error(entry.key_at, &path, why);
        }
        Use::Later(_) => {}
        Use::Used | Use::Ignored => check_kind(&entry.value, property.kind, &path, report),
    }
}

fn unknown_property(entry: &Entry, table: &[Property], path: &str, report: &mut Report) {
    let names = || {
        table
            .iter()
            .filter(|p| !matches!(p.usage, Use::ReadOnly))
            .map(|p| p.name)
    };
    let help = match suggest::nearest(&entry.key, names()) {
        Some(near) => format!("did you mean {near}?"),
        None if table.is_empty() => "there are none here".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("unknown property {}", quote(&entry.key));
    report.error_with_help(entry.key_at, path, message, help);
}

/// Checks a value against its kind.
pub(super) fn check_kind(node: &Node, kind: Kind, path: &str, report: &mut Report) {
    if matches!(node.value, Value::Call(_) | Value::Absent) {
        return;
    }
    if matches!(node.value, Value::Null) && !matches!(kind, Kind::Any) {
        report.error(node.at, path, "has no value (null)");
        return;
    }
    match kind {
        Kind::Any => {}
        Kind::Text => scalar(node, "text", |_| true, path, report),
        Kind::Integer => {
            let good = |t: &str| integer(t).is_some();
            scalar(node, "a whole number", good, path, report);
        }
        Kind::Number => scalar(node, "a number", |t| number(t).is_some(), path, report),
        Kind::Boolean => {
            let good = |t: &str| boolean(t).is_some();
            scalar(node, "true or false", good, path, report);
        }
        Kind::List(item) => match &node.value {
            Value::List(list) => {
                for (i, n) in list.iter().enumerate() {
                    check_kind(n, *item, &format!("{path}.{i}"), report);
                }
            }
            _ => expected("a list", node, path, report),
        },
        Kind::Object(table) => check_object(node, table, path, report),
        Kind::Attributes(_) => check_kind(node, Kind::List(&ATTRIBUTE), path, report),
        Kind::Map(of) => match &node.value {
            Value::Map(entries) => {
                for e in entries {
                    check_kind(&e.value, *of, &format!("{path}.{}", e.key), report);
                }
            }
            _ => expected("a map", node, path, report),
        },
    }
}

fn scalar(node: &Node, wanted: &str, good: impl Fn(&str) -> bool, path: &str, report: &mut Report) {
    if !node.as_text().is_some_and(good) {
        expected(wanted, node, path, report);
    }
}

fn expected(wanted: &str, node: &Node, path: &str, report: &mut Report) {
    let message = format!("must be {wanted}, not {}", node.describe());
    report.error(node.at, path, message);
}

/// The paths of the ignored properties that are there, for the notes.
pub(super) fn ignored_properties(node: &Node, table: &[Property]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in node.as_map().unwrap_or_default() {
        let Some(property) = table.iter().find(|p| p.name == entry.key) else {
            continue;
        };
        if matches!(property.usage, Use::Ignored) {
            found.push(entry.key.clone());
        }
        if let Kind::Attributes(without_effect) = property.kind {
            let elements = entry.value.as_list().unwrap_or_default().iter();
            let keys = elements.filter_map(|e| e.child("Key").and_then(Node::as_text));
            let keys = keys.filter(|key| without_effect.contains(key));
            found.extend(keys.map(|key| format!("{}.{key}", entry.key)));
        }
        let (elements, within) = match property.kind {
            Kind::Object(within) => (std::slice::from_ref(&entry.value), within),
            Kind::List(Kind::Object(within)) => {
                (entry.value.as_list().unwrap_or_default(), *within)
            }
            _ => continue,
        };
        let below = elements.iter().flat_map(|e| ignored_properties(e, within));
        found.extend(below.map(|name| format!("{}.{name}", entry.key)));
    }
    found
}

/// A whole number in decimal, without leading zeros: `080` is as likely a mistake as a number.
pub(super) fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || !digits.starts_with('0');
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (canonical && decimal).then(|| text.parse().ok())?
}

/// A decimal number.
pub(super) fn number(text: &str) -> Option<f64> {
    let legal = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    match text.bytes().all(legal) {
        true => text.parse().ok().filter(|n: &f64| n.is_finite()),
        false => None,
    }
}

/// YAML 1.1's words, as CloudFormation reads them.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_by_what_the_property_wants() {
        assert_eq!(integer("443"), Some(443));
        assert_eq!(integer("-1"), Some(-1));
        for wrong in [
            "",
            "-",
            "080",
            "0x10",
            "1.0",
            "1_000",
            "99999999999999999999",
        ] {
            assert_eq!(integer(wrong), None, "{wrong}");
        }
        assert_eq!(number("1.5"), Some(1.5));
        assert_eq!(number("inf"), None);
        assert_eq!(boolean("Yes"), Some(true));
        assert_eq!(boolean("off"), Some(false));
        assert_eq!(boolean("1"), None);
    }
}
