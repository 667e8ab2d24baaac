//! The zones of one view.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::special;
use crate::dataplane::config::{DnsZone, NameKey};

/// The zones of one view, found by their names.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    own: ByApex,
    public: Arc<ByApex>,
}

/// Zones by their apexes.
type ByApex = HashMap<NameKey, Arc<DnsZone>, FixedState>;

impl Zones {
    /// The zones that everybody sees, and those of special-use names.
    pub fn public(zones: &[Arc<DnsZone>]) -> Self {
        Self {
            own: ByApex::default(),
            public: Arc::new(by_apex(zones.iter().chain(special::zones()))),
        }
    }

    /// The same, and `own` before them: of several with one name the first counts.
    pub fn with(&self, own: &[Arc<DnsZone>]) -> Self {
        Self {
            own: by_apex(own),
            public: Arc::clone(&self.public),
        }
    }

    /// The zone that decides about a name: the one with the longest apex of those that it lies in.
    pub(super) fn find(&self, name: &NameKey) -> Option<&DnsZone> {
        name.upwards()
            .find_map(|apex| self.own.get(apex).or_else(|| self.public.get(apex)))
            .map(Arc::as_ref)
    }
}

fn by_apex<'a>(zones: impl IntoIterator<Item = &'a Arc<DnsZone>>) -> ByApex {
    let mut found = ByApex::default();
    for zone in zones {
        let first = found.entry(zone.apex().clone());
        first.or_insert_with(|| Arc::clone(zone));
    }
    found
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
