//! Reading properties that have passed their schema.

use crate::control::{Tag, Tags};
use crate::template::node::Node;
use crate::template::schema;

/// Where the properties of one command stand: usually the resource's, or one element of a list of them.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    /// From the resource, with a dot at the end; empty for the resource's own.
    pub(super) prefix: &'a str,
}

pub(super) fn text(place: Place, key: &str) -> Option<String> {
    Some(place.node.child(key)?.as_text()?.to_owned())
}

pub(super) fn integer(place: Place, key: &str) -> Option<i64> {
    schema::integer(place.node.child(key)?.as_text()?)
}

pub(super) fn boolean(place: Place, key: &str) -> Option<bool> {
    schema::boolean(place.node.child(key)?.as_text()?)
}

pub(super) fn list<'n>(place: Place<'n>, key: &str) -> &'n [Node] {
    let list = place.node.child(key).and_then(Node::as_list);
    list.unwrap_or_default()
}

pub(super) fn texts(place: Place, key: &str) -> Vec<String> {
    let texts = list(place, key).iter().filter_map(Node::as_text);
    texts.map(str::to_owned).collect()
}

pub(super) fn tags(place: Place) -> Tags {
    tags_of(place, "Tags")
}

pub(super) fn tags_of(place: Place, key: &str) -> Tags {
    let tag = |node: &Node| {
        let part = |key| node.child(key).and_then(Node::as_text).map(str::to_owned);
        Some(Tag {
            key: part("Key")?,
            value: part("Value").unwrap_or_default(),
        })
    };
    Tags(list(place, key).iter().filter_map(tag).collect())
}
