//! What a template says that has no effect here: collected once per kind, for people to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::references::PlaceholderUse;

/// Something in the template that has no effect here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What: `AWS::EC2::InternetGateway`, or `ImageId, KeyName of AWS::EC2::Instance`.
    pub what: String,
    /// The resources that it stands in, in the order of their names.
    pub logical_ids: Vec<String>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ignored: {}", self.what)?;
        if !self.logical_ids.is_empty() {
            write!(f, " ({})", self.logical_ids.join(", "))?;
        }
        Ok(())
    }
}

/// Collects notes: one for each ignored type or section, one for all ignored properties of a type.
#[derive(Debug, Default)]
pub(super) struct Notes {
    whole: BTreeMap<String, BTreeSet<String>>,
    parts: BTreeMap<&'static str, (BTreeSet<String>, BTreeSet<String>)>,
}

impl Notes {
    /// A section of the template.
    pub(super) fn section(&mut self, name: &str) {
        self.whole
            .insert(format!("the section {name}"), BTreeSet::new());
    }

    /// A resource of an ignored type.
    pub(super) fn resource(&mut self, type_name: &str, logical_id: &str) {
        let ids = self.whole.entry(type_name.to_owned()).or_default();
        ids.insert(logical_id.to_owned());
    }

    /// A property, or an attribute that is a placeholder, of a supported type.
    pub(super) fn part(&mut self, type_name: &'static str, part: String, logical_id: &str) {
        let (parts, ids) = self.parts.entry(type_name).or_default();
        parts.insert(part);
        ids.insert(logical_id.to_owned());
    }

    pub(super) fn placeholders(&mut self, uses: Vec<PlaceholderUse>) {
        for used in uses {
            let part = format!("Fn::GetAtt {}", used.attribute);
            self.part(used.type_name, part, &used.logical_id);
        }
    }

    pub(super) fn finish(self) -> Vec<Note> {
        let note = |what: String, ids: BTreeSet<String>| Note {
            what,
            logical_ids: ids.into_iter().collect(),
        };
        let whole = self.whole.into_iter().map(|(what, ids)| note(what, ids));
        let parts = self.parts.into_iter().map(|(type_name, (parts, ids))| {
            let parts: Vec<String> = parts.into_iter().collect();
            note(format!("{} of {type_name}", parts.join(", ")), ids)
        });
        whole.chain(parts).collect()
    }
}
