//! Intrinsic functions as syntax: which there are, and what their arguments look like.
//!
//! Invariant: a [`Call`] is well-formed; what it yields is [`super::evaluate`]'s business.
//! Source: "Intrinsic function reference" of AWS's CloudFormation guide.

use super::diagnostic::{Position, Report};
use super::node::{Entry, Node, Value, quote};
use super::suggest;

/// A well-formed call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Ref(String),
    GetAtt {
        resource: String,
        attribute: String,
    },
    Sub {
        parts: Vec<SubPart>,
        variables: Vec<Entry>,
    },
    Join {
        delimiter: String,
        items: Node,
    },
    Select {
        index: Node,
        list: Node,
    },
    Split {
        delimiter: String,
        text: Node,
    },
    GetAzs(Node),
    Base64(Node),
    Cidr {
        block: Node,
        count: Node,
        bits: Option<Node>,
    },
    FindInMap {
        map: Node,
        first: Node,
        second: Node,
    },
    If {
        condition: String,
        then: Node,
        otherwise: Node,
    },
    /// Another stack's export, by its name.
    ImportValue(Node),
    /// Known to AWS, not to us; an error only where its value is needed.
    Unsupported(&'static str),
}

/// A piece of `Fn::Sub`'s text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SubPart {
    Text(String),
    /// `${A}` or `${A.B}`.
    Name(String, Position),
}

/// Short names of what [`Call`] knows and of what conditions are made of.
const SUPPORTED: &[&str] = &[
    "Ref",
    "GetAtt",
    "Sub",
    "Join",
    "Select",
    "Split",
    "GetAZs",
    "Base64",
    "Cidr",
    "FindInMap",
    "If",
    "ImportValue",
    "Condition",
    "Equals",
    "Not",
    "And",
    "Or",
];

/// Short and long names of AWS's other functions.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("Transform", "Fn::Transform"),
    ("ForEach", "Fn::ForEach"),
    ("Length", "Fn::Length"),
    ("ToJsonString", "Fn::ToJsonString"),
    ("GetStackOutput", "Fn::GetStackOutput"),
    ("Contains", "Fn::Contains"),
    ("EachMemberEquals", "Fn::EachMemberEquals"),
    ("EachMemberIn", "Fn::EachMemberIn"),
    ("RefAll", "Fn::RefAll"),
    ("ValueOf", "Fn::ValueOf"),
    ("ValueOfAll", "Fn::ValueOfAll"),
];

/// `Sub` -> `Fn::Sub`, for every function that AWS knows.
pub(super) fn long_name(short: &str) -> Option<String> {
    match short {
        "Ref" | "Condition" => Some(short.to_owned()),
        _ if SUPPORTED.contains(&short) || UNSUPPORTED.iter().any(|(s, _)| *s == short) => {
            Some(format!("Fn::{short}"))
        }
        _ => None,
    }
}

/// Message and help for a tag that is no function.
pub(super) fn unknown_tag(tag: &str) -> (String, String) {
    let help = match suggest::nearest(tag.trim_start_matches('!'), SUPPORTED.iter().copied()) {
        Some(name) => format!("did you mean `!{name}`?"),
        None => format!("the functions are {}", SUPPORTED.join(", ")),
    };
    (format!("{} is not an intrinsic function", quote(tag)), help)
}

/// Turns every function below `node` into a [`Value::Call`]; malformed ones become errors at `path`.
pub(super) fn recognise(node: &mut Node, path: &str, report: &mut Report) {
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(|n| recognise(n, path, report)),
        Value::Map(entries) => {
            for entry in entries.iter_mut() {
                recognise(&mut entry.value, path, report);
            }
            let Some(found) = function_entry(entries) else {
                return;
            };
            if entries.len() > 1 {
                let entry = &entries[found];
                let message = format!("{} must be the only key of its map", entry.key);
                report.error(entry.key_at, path, message);
                return;
            }
            let entry = entries.swap_remove(found);
            let mut reader = Reader {
                at: entry.value.at,
                path,
                report,
            };
            if let Some(call) = reader.call(&entry.key, entry.value) {
                node.value = Value::Call(Box::new(call));
            }
        }
        Value::Null | Value::Text(_) | Value::Call(_) | Value::Absent => {}
    }
}

fn function_entry(entries: &[Entry]) -> Option<usize> {
    match entries {
        [only] if only.key == "Ref" => Some(0),
        _ => entries.iter().position(|e| e.key.starts_with("Fn::")),
    }
}

struct Reader<'r, 's> {
    at: Position,
    path: &'r str,
    report: &'r mut Report<'s>,
}

impl Reader<'_, '_> {
    fn call(&mut self, name: &str, argument: Node) -> Option<Call> {
        match name {
            "Ref" => Some(Call::Ref(self.text(argument, "Ref takes a name")?)),
            "Fn::GetAtt" => self.get_att(argument),
            "Fn::Sub" => self.sub(argument),
            "Fn::Join" => {
                let usage = "Fn::Join takes [delimiter, list]";
                let [delimiter, items] = self.array(argument, usage)?;
                let delimiter = self.text(delimiter, usage)?;
                Some(Call::Join { delimiter, items })
            }
            "Fn::Select" => {
                let [index, list] = self.array(argument, "Fn::Select takes [index, list]")?;
                Some(Call::Select { index, list })
            }
            "Fn::Split" => {
                let usage = "Fn::Split takes [delimiter, text]";
                let [delimiter, text] = self.array(argument, usage)?;
                let delimiter = self.text(delimiter, usage)?;
                if delimiter.is_empty() {
                    self.wrong("Fn::Split needs a delimiter that is not empty");
                    return None;
                }
                Some(Call::Split { delimiter, text })
            }
            "Fn::GetAZs" => Some(Call::GetAzs(argument)),
            "Fn::Base64" => Some(Call::Base64(argument)),
            "Fn::ImportValue" => Some(Call::ImportValue(argument)),
            "Fn::Cidr" => self.cidr(argument),
            "Fn::FindInMap" => {
                let usage = "Fn::FindInMap takes [map, key, key]";
                let [map, first, second] = self.array(argument, usage)?;
                Some(Call::FindInMap { map, first, second })
            }
            "Fn::If" => {
                let usage = "Fn::If takes [condition, value if true, value if false]";
                let [condition, then, otherwise] = self.array(argument, usage)?;
                let condition = self.text(condition, usage)?;
                Some(Call::If {
                    condition,
                    then,
                    otherwise,
                })
            }
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => {
                self.wrong(&format!("{name} stands in Conditions only"));
                None
            }
            _ => self.unsupported(name),
        }
    }

    /// `Fn::ForEach::Name` is the one function with a name in its name.
    fn unsupported(&mut self, name: &str) -> Option<Call> {
        let known = UNSUPPORTED
            .iter()
            .find(|(_, long)| name == *long || name.starts_with(&format!("{long}::")));
        if let Some((_, long)) = known {
            return Some(Call::Unsupported(long));
        }
        let short = name.trim_start_matches("Fn::");
        let help = match suggest::nearest(short, SUPPORTED.iter().copied()) {
            Some(near) => format!("did you mean {}?", long_name(near).unwrap_or_default()),
            None => format!("the functions are {}", SUPPORTED.join(", ")),
        };
        let message = format!("{} is not an intrinsic function", quote(name));
        self.report
            .error_with_help(self.at, self.path, message, help);
        None
    }

    fn get_att(&mut self, argument: Node) -> Option<Call> {
        let usage = "Fn::GetAtt takes `Resource.Attribute` or [Resource, Attribute]";
        let (resource, attribute) = match &argument.value {
            Value::Text(text) => match text.split_once('.') {
                Some((resource, attribute)) => (resource.to_owned(), attribute.to_owned()),
                None => (String::new(), String::new()),
            },
            _ => {
                let [resource, attribute] = self.array(argument, usage)?;
                (self.text(resource, usage)?, self.text(attribute, usage)?)
            }
        };
        if resource.is_empty() || attribute.is_empty() {
            self.wrong(usage);
            return None;
        }
        Some(Call::GetAtt {
            resource,
            attribute,
        })
    }

    fn sub(&mut self, argument: Node) -> Option<Call> {
        let usage = "Fn::Sub takes text or [text, {variable: value}]";
        let (text, variables) = match argument.value {
            Value::List(_) => {
                let [text, variables] = self.array(argument, usage)?;
                match variables.value {
                    Value::Map(entries) => (text, entries),
                    _ => {
                        self.wrong(usage);
                        return None;
                    }
                }
            }
            _ => (argument, Vec::new()),
        };
        let Some(template) = text.as_text() else {
            self.wrong(usage);
            return None;
        };
        let parts = self.sub_parts(template, &text)?;
        Some(Call::Sub { parts, variables })
    }

    fn sub_parts(&mut self, template: &str, node: &Node) -> Option<Vec<SubPart>> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = template;
        while let Some(start) = rest.find("${") {
            literal.push_str(&rest[..start]);
            let at = self.place_in(template, template.len() - rest.len() + start, node);
            let body = &rest[start + 2..];
            let Some(end) = body.find('}') else {
                let help = "write `${!` for a `${` that is to stay";
                let message = "`${` without `}` in Fn::Sub";
                self.report.error_with_help(at, self.path, message, help);
                return None;
            };
            let name = body[..end].trim();
            rest = &body[end + 1..];
            if let Some(kept) = name.strip_prefix('!') {
                literal.push_str(&format!("${{{kept}}}"));
            } else if is_sub_name(name) {
                parts.push(SubPart::Text(std::mem::take(&mut literal)));
                parts.push(SubPart::Name(name.to_owned(), at));
            } else {
                let message = format!("{} is not a name for Fn::Sub", quote(name));
                let help =
                    "write `${!...}` for text that is to stay as `${...}`, as shells want it";
                self.report.error_with_help(at, self.path, message, help);
                return None;
            }
        }
        literal.push_str(rest);
        parts.push(SubPart::Text(literal));
        Some(parts)
    }

    /// Where in the source the `offset`-th byte of a scalar is: exact in literal block scalars, else its beginning.
    fn place_in(&self, text: &str, offset: usize, node: &Node) -> Position {
        if !node.block {
            return node.at;
        }
        let line = node.at.line + 1 + text[..offset].matches('\n').count();
        let in_line = text[..offset].rsplit('\n').next().unwrap_or_default();
        let written = text[offset..].lines().next().unwrap_or_default();
        let source = self.report.line(line).unwrap_or_default();
        match source.find(&format!("{in_line}{written}")) {
            Some(found) => Position {
                line,
                column: source[..found].chars().count() + in_line.chars().count() + 1,
            },
            None => node.at,
        }
    }

    fn cidr(&mut self, argument: Node) -> Option<Call> {
        let usage = "Fn::Cidr takes [block, count, bits]";
        match argument.value {
            Value::List(list) if (2..=3).contains(&list.len()) => {
                let mut list = list.into_iter();
                Some(Call::Cidr {
                    block: list.next()?,
                    count: list.next()?,
                    bits: list.next(),
                })
            }
            _ => {
                self.wrong(usage);
                None
            }
        }
    }

    fn array<const N: usize>(&mut self, argument: Node, usage: &str) -> Option<[Node; N]> {
        let array = match argument.value {
            Value::List(list) => <[Node; N]>::try_from(list).ok(),
            _ => None,
        };
        if array.is_none() {
            self.wrong(usage);
        }
        array
    }

    fn text(&mut self, argument: Node, usage: &str) -> Option<String> {
        match argument.value {
            Value::Text(text) => Some(text),
            _ => {
                self.wrong(usage);
                None
            }
        }
    }

    fn wrong(&mut self, usage: &str) {
        self.report.error(self.at, self.path, usage);
    }
}

fn is_sub_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_');
    !name.is_empty() && name.chars().all(legal)
}

impl Call {
    /// The function's long name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ref(_) => "Ref",
            Self::GetAtt { .. } => "Fn::GetAtt",
            Self::Sub { .. } => "Fn::Sub",
            Self::Join { .. } => "Fn::Join",
            Self::Select { .. } => "Fn::Select",
            Self::Split { .. } => "Fn::Split",
            Self::GetAzs(_) => "Fn::GetAZs",
            Self::Base64(_) => "Fn::Base64",
            Self::Cidr { .. } => "Fn::Cidr",
            Self::FindInMap { .. } => "Fn::FindInMap",
            Self::If { .. } => "Fn::If",
            Self::ImportValue(_) => "Fn::ImportValue",
            Self::Unsupported(name) => name,
        }
    }
}
