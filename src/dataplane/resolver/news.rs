//! What people, or upstream, are to know, until somebody fetches it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::super::Event;

/// How much is kept for somebody who does not fetch it: what comes on top of that is lost.
const MOST: usize = 4096;

/// What is to be told.
#[derive(Default)]
pub(in crate::dataplane) struct News {
    has_some: AtomicBool,
    events: Mutex<VecDeque<Event>>,
}

impl News {
    pub(in crate::dataplane) fn push(&self, event: Event) {
        let mut events = self.events.lock();
        if events.len() < MOST {
            events.push_back(event);
        }
        self.has_some.store(true, Relaxed);
    }

    #[inline]
    pub(in crate::dataplane) fn poll(&self) -> Option<Event> {
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
