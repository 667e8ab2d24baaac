//! A template as a tree in which every value knows its place.
//!
//! Invariant: scalars stay text. What a text means (a number, `yes`, the date 2012-10-17, an account id with leading
//! zeros) is decided by the property that wants it, never by YAML's rules for untagged scalars.

use super::diagnostic::Position;
use super::functions::Call;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Position,
    /// A block scalar (`|`, `>`): its text begins on the line after `at`.
    pub(super) block: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// Any scalar, as written, without quotes.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// An intrinsic function; only below the places that [`super::functions::recognise`] has visited.
    Call(Box<Call>),
    /// `!Ref AWS::NoValue`: the property is as if it had not been written. Only in evaluated trees.
    Absent,
}

/// One key of a map; keys are unique in their map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Position,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn new(value: Value, at: Position) -> Self {
        Self {
            value,
            at,
            block: false,
        }
    }

    pub(super) fn text(text: impl Into<String>, at: Position) -> Self {
        Self::new(Value::Text(text.into()), at)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The entry of a map, `None` if this is not a map or has no such key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|e| e.key == key)
    }

    /// The value under a key of a map.
    pub(super) fn child(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// What this is, in words for a message: `the list [...]`, `"text"`.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing (null)".to_owned(),
            Value::Text(text) => quote(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Call(call) => call.name().to_owned(),
            Value::Absent => "AWS::NoValue".to_owned(),
        }
    }
}

/// A user's text within a message: quoted, shortened, on one line and without control characters.
pub(super) fn quote(text: &str) -> String {
    const MAX: usize = 60;
    let mut shown: String = text
        .chars()
        .take(MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > MAX {
        shown.push_str("...");
    }
    format!("`{shown}`")
}
