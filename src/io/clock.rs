//! The one clock: it turns the machine's monotonic time into the core's.

use crate::dataplane::Instant;

/// Counts from the data plane's start. Copies count from the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock that reads zero now.
    pub fn start() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }

    /// Microseconds since the start.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant(self.start.elapsed().as_micros() as u64)
    }
}
