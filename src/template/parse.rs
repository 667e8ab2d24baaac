//! Text -> [`Node`] tree. YAML and JSON are one grammar here (JSON is YAML 1.2's flow style).
//!
//! Invariant: memory and stack are bounded by [`MAX_BYTES`] and [`MAX_DEPTH`], whatever the text. CloudFormation has
//! no aliases and no merge keys, so there is nothing that could multiply a text.
//! Source: "Template formats" in AWS's CloudFormation guide; why this parser: `docs/design/0002-yaml-parser.md`.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use super::diagnostic::{Position, Report};
use super::functions;
use super::node::{Entry, Node, Value, quote};

/// AWS takes no template body larger than this.
pub const MAX_BYTES: usize = 1 << 20;
/// Deeper nesting is refused; templates of this world stay below 20.
pub(super) const MAX_DEPTH: usize = 64;

/// The tree of a template's only document; `None` after an error that leaves nothing to go on with. Other errors
/// (duplicate keys, unknown functions) are in `report` too, so that one run shows all of the syntax phase.
pub(super) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!("the template has {} bytes", text.len());
        report.error_with_help(Position::START, "", message, format!("at most {MAX_BYTES}"));
        return None;
    }
    let text = join_surrogates(text);
    let mut builder = Builder::default();
    for event in Parser::new(StrInput::new(&text)) {
        match event {
            Ok((event, span)) => builder.take(event, span, report)?,
            Err(e) => {
                let position = position(*e.marker());
                report.error(
                    position,
                    "",
                    format!("not valid YAML or JSON: {}", e.info()),
                );
                return None;
            }
        }
    }
    if builder.root.is_none() {
        report.error(Position::START, "", "the template is empty");
    }
    builder.root
}

/// JSON writes characters beyond U+FFFF as two `\u` escapes, which YAML does not know: makes one `\U` escape of them.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    if !text.trim_start().starts_with('{') || !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        joined.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(c) = surrogate_pair(rest) {
            joined.push_str(&format!("\\U{:08x}", u32::from(c)));
            rest = &rest[12..];
        } else {
            let escape = rest.char_indices().nth(2).map_or(rest.len(), |(i, _)| i);
            joined.push_str(&rest[..escape]);
            rest = &rest[escape..];
        }
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// The character that `\uD83D\uDE00` at the beginning of `text` stands for.
fn surrogate_pair(text: &str) -> Option<char> {
    let unit = |from: usize| {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let pair = [unit(0)?, unit(6)?];
    match char::decode_utf16(pair).collect::<Result<Vec<_>, _>>() {
        Ok(chars) if chars.len() == 1 => Some(chars[0]),
        _ => None,
    }
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// Puts events together; one frame for each collection that is still open.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Frame>,
}

struct Frame {
    at: Position,
    tag: Option<String>,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        places: HashMap<String, Position>,
        key: Option<(String, Position)>,
    },
}

impl Builder {
    /// `None`: stop, `report` says why.
    fn take(&mut self, event: Event, span: Span, report: &mut Report) -> Option<()> {
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Some(()),
            Event::DocumentStart(_) if self.root.is_some() => {
                report.error(
                    at,
                    "",
                    "a second document begins here: a template is only one",
                );
                None
            }
            Event::DocumentStart(_) => Some(()),
            Event::Alias(_) => {
                let help = "repeat the value, or make a parameter or a mapping of it";
                report.error_with_help(at, "", "CloudFormation has no aliases (`*name`)", help);
                None
            }
            Event::Scalar(text, style, _, tag) => {
                let node = self.scalar(text, style, tag.as_deref(), at, report);
                self.add(node, report);
                Some(())
            }
            Event::SequenceStart(_, tag) => {
                self.open(at, tag.as_deref(), Items::List(Vec::new()), report)
            }
            Event::MappingStart(_, tag) => {
                let items = Items::Map {
                    entries: Vec::new(),
                    places: HashMap::new(),
                    key: None,
                };
                self.open(at, tag.as_deref(), items, report)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let frame = self.open.pop()?;
                let value = match frame.items {
                    Items::List(list) => Value::List(list),
                    Items::Map { mut entries, .. } => {
                        entries.retain(|e| e.key != NO_KEY);
                        Value::Map(entries)
                    }
                };
                let node = tagged(Node::new(value, frame.at), frame.tag.as_deref());
                self.add(node, report);
                Some(())
            }
        }
    }

    fn open(
        &mut self,
        at: Position,
        tag: Option<&Tag>,
        items: Items,
        report: &mut Report,
    ) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            report.error(at, "", format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        let tag = function_tag(tag, at, report);
        self.open.push(Frame { at, tag, items });
        Some(())
    }

    fn scalar(
        &self,
        text: Cow<str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
        report: &mut Report,
    ) -> Node {
        let forced_text = tag.is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str");
        let tag = function_tag(tag, at, report);
        let plain = style == ScalarStyle::Plain && !forced_text;
        let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
        let value = match null {
            true => Value::Null,
            false => Value::Text(text.into_owned()),
        };
        let node = Node {
            value,
            at,
            block: matches!(style, ScalarStyle::Literal | ScalarStyle::Folded),
        };
        tagged(node, tag.as_deref())
    }

    /// Puts a finished node where it belongs: into the innermost open collection, or at the root.
    fn add(&mut self, node: Node, report: &mut Report) {
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut frame.items {
            Items::List(list) => list.push(node),
            Items::Map {
                entries,
                places,
                key,
            } => match key.take() {
                None => *key = Some(map_key(node, places, report)),
                Some((key, key_at)) => entries.push(Entry {
                    key,
                    key_at,
                    value: node,
                }),
            },
        }
    }
}

/// The key of entries that have had their error: YAML's merge key, and every key that is no text.
const NO_KEY: &str = "<<";

/// A node in the role of a key: text, and not there yet.
fn map_key(
    node: Node,
    places: &mut HashMap<String, Position>,
    report: &mut Report,
) -> (String, Position) {
    let at = node.at;
    let key = match node.value {
        Value::Text(text) => text,
        other => {
            let found = Node::new(other, at).describe();
            report.error(at, "", format!("a key must be text, not {found}"));
            return (NO_KEY.to_owned(), at);
        }
    };
    if key == NO_KEY {
        report.error(at, "", "CloudFormation has no merge keys (`<<`)");
    } else if let Some(first) = places.get(&key) {
        let message = format!(
            "the key {} is here twice; the first is at {}:{}",
            quote(&key),
            first.line,
            first.column
        );
        report.error(at, "", message);
    }
    places.insert(key.clone(), at);
    (key, at)
}

/// The long name of a tag's function (`!Sub` -> `Fn::Sub`), `None` for no tag and for YAML's own (`!!str`).
fn function_tag(tag: Option<&Tag>, at: Position, report: &mut Report) -> Option<String> {
    let tag = tag?;
    if tag.is_yaml_core_schema() || (tag.handle.is_empty() && tag.suffix == "!") {
        return None;
    }
    let name = match tag.handle.as_str() {
        "!" => functions::long_name(&tag.suffix),
        _ => None,
    };
    if name.is_none() {
        let (message, help) = functions::unknown_tag(&tag.to_string());
        report.error_with_help(at, "", message, help);
    }
    name
}

/// `!Name value` is `{Fn::Name: value}`.
fn tagged(node: Node, tag: Option<&str>) -> Node {
    let Some(tag) = tag else { return node };
    let at = node.at;
    let entry = Entry {
        key: tag.to_owned(),
        key_at: at,
        value: node,
    };
    Node::new(Value::Map(vec![entry]), at)
}
