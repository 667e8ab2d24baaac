//! What a template says that has no effect here: collected once per kind, for people to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::references::PlaceholderUse;

/// Something in the template that has no effect here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What: `AWS::EC2::InternetGateway`, or `ImageId of AWS::EC2::Instance`.
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

#[derive(Debug, Default)]
pub(super) struct Notes {
    by_what: BTreeMap<String, BTreeSet<String>>,
}

impl Notes {
    /// `logical_id` may be empty: nobody's.
    pub(super) fn add(&mut self, what: String, logical_id: &str) {
        let ids = self.by_what.entry(what).or_default();
        if !logical_id.is_empty() {
            ids.insert(logical_id.to_owned());
        }
    }

    pub(super) fn placeholders(&mut self, uses: Vec<PlaceholderUse>) {
        for used in uses {
            self.add(used.what, &used.logical_id);
        }
    }

    pub(super) fn finish(self) -> Vec<Note> {
        let notes = self.by_what.into_iter().map(|(what, ids)| Note {
            what,
            logical_ids: ids.into_iter().collect(),
        });
        notes.collect()
    }
}
