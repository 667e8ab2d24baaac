//! How many questions may be under way upstream, and whose.
//!
//! Invariant: whatever instances ask, and however dead a server is, other VPCs' instances and privlink itself are left places.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::dataplane::config::View;
use crate::dataplane::{Asker, Quota};

/// How many questions may be under way; one more fails at once, so that nothing piles up behind a slow server.
pub(super) const IN_FLIGHT: usize = 256;
/// Of them, those of instances; the others are left for resources' names and proofs.
pub(super) const INSTANCES: usize = 192;
/// Of these, those of one view.
pub(super) const EACH: usize = 64;
/// Between two words to the operator.
const QUIET: Duration = Duration::from_secs(10);

/// The places of questions that are under way.
pub(super) struct Shares(Mutex<Taken>);

struct Taken {
    all: usize,
    instances: Quota<View>,
    warned: Option<Instant>,
}

/// One place; it is given back on drop.
pub(super) struct Place<'a> {
    shares: &'a Shares,
    view: View,
    asker: Asker,
}

impl Shares {
    /// A place for a question in `view`, if there is one for this asker.
    pub(super) fn take(&self, view: View, asker: Asker) -> Option<Place<'_>> {
        let mut taken = self.0.lock();
        let is_free = taken.all < IN_FLIGHT
            && match asker {
                Asker::Instance => taken.instances.take(view),
                Asker::Itself => true,
            };
        if !is_free {
            taken.warn(view, asker);
            return None;
        }
        taken.all += 1;
        Some(Place {
            shares: self,
            view,
            asker,
        })
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self(Mutex::new(Taken {
            all: 0,
            instances: Quota::new(INSTANCES, EACH),
            warned: None,
        }))
    }
}

impl Taken {
    fn warn(&mut self, view: View, asker: Asker) {
        if self.warned.is_none_or(|at| at.elapsed() >= QUIET) {
            self.warned = Some(Instant::now());
            let under_way = self.all;
            tracing::warn!(
                ?view,
                ?asker,
                under_way,
                "too many questions are under way upstream: SERVFAIL"
            );
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.shares.0.lock();
        taken.all -= 1;
        if self.asker == Asker::Instance {
            taken.instances.give_back(self.view);
        }
    }
}
