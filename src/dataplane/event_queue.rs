//! Events for people, and questions for upstream, until [`Dataplane::poll_event`](super::Dataplane::poll_event) takes them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::Event;

/// How many events wait at most: later ones are lost.
const MOST: usize = 4096;

/// Events in the order in which they happened.
#[derive(Default)]
pub(super) struct EventQueue {
    has_some: AtomicBool,
    events: Mutex<VecDeque<Event>>,
}

impl EventQueue {
    pub(super) fn push(&self, event: Event) {
        let mut events = self.events.lock();
        if events.len() < MOST {
            events.push_back(event);
        }
        self.has_some.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn poll(&self) -> Option<Event> {
        match self.has_some.load(Relaxed) {
            true => self.fetch(),
            false => None,
        }
    }

    fn fetch(&self) -> Option<Event> {
        let mut events = self.events.lock();
        let event = events.pop_front();
        self.has_some.store(!events.is_empty(), Relaxed);
        event
    }
}
