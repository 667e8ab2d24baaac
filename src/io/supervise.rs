//! A thread whose work fails is not lost: its work begins anew.
//!
//! Invariants: each failure is an event; one that comes back at once costs no CPU to speak of; the longest pause leaves
//! what was to be done within a second.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::error::Error;
use super::event::IoEvent;
use super::worker::Shared;

/// The pause after a second failure that soon follows a first; each further one doubles it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(640);
/// Work that went on for so long begins anew without a pause.
pub(super) const STEADY: Duration = Duration::from_secs(10);

/// Does `work`; a panic is an error that says what the panic said.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        format!("it panicked: {}", said.unwrap_or("no message"))
    })
}

/// The same for work that may also fail in an orderly way.
pub(super) fn attempt(work: impl FnOnce() -> Result<(), Error>) -> Result<(), String> {
    caught(work)?.map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

/// Does `work`, which does not panic, and again whenever it has failed, until it comes to its end or `pause`, which waits for so long, says that
/// there is to be no more of it.
pub(super) fn supervise(
    shared: &Shared,
    thread: &str,
    mut pause: impl FnMut(Duration) -> bool,
    mut work: impl FnMut() -> Result<(), String>,
) {
    let mut waited = Duration::ZERO;
    loop {
        let began = Instant::now();
        let Err(reason) = work() else {
            return;
        };
        shared.report(IoEvent::ThreadFailed {
            thread: thread.to_owned(),
            reason,
        });
        waited = next_pause(waited, began.elapsed());
        if !pause(waited) {
            return;
        }
    }
}

/// The pause that follows one of `last`, after work that went on for `lasted`.
pub(super) fn next_pause(last: Duration, lasted: Duration) -> Duration {
    match lasted >= STEADY {
        true => Duration::ZERO,
        false => (last * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oftener_work_fails_the_longer_it_pauses_but_never_for_a_second() {
        let pauses = std::iter::successors(Some(Duration::ZERO), |last| {
            Some(next_pause(*last, Duration::from_millis(1)))
        });
        let millis: Vec<_> = pauses.map(|pause| pause.as_millis()).take(10).collect();
        assert_eq!(millis, [0, 10, 20, 40, 80, 160, 320, 640, 640, 640]);
        assert_eq!(next_pause(LONGEST_PAUSE, STEADY), Duration::ZERO);
    }

    #[test]
    fn a_panic_is_caught_with_what_it_said() {
        assert_eq!(caught(|| 7), Ok(7));
        let said = |work: fn()| caught(work).unwrap_err();
        assert_eq!(said(|| panic!("plain")), "it panicked: plain");
        assert_eq!(said(|| panic!("number {}", 7)), "it panicked: number 7");
        let other = || std::panic::panic_any(7);
        assert_eq!(said(other), "it panicked: no message");
    }
}
