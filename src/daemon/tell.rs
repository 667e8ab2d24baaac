//! Standard error: what the operator reads, and the log.
//!
//! Invariant: since [`start`] nothing that is written here waits or fails, whatever standard error is: closed, full, or a
//! pipe that is not read. Nothing else in the daemon prints (`src/lib.rs` denies it), a panic's report included.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::spool::{Spool, Trouble};

/// The lines on their way, once this process is a daemon.
static LINES: OnceLock<Spool> = OnceLock::new();

/// Standard error as a [`Write`] that never fails, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match LINES.get() {
            Some(lines) => lines.push(text.to_vec()),
            // `eprint!` would panic, and there is no other place to complain.
            None => drop(io::stderr().write_all(text)),
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From now on a thread writes what is printed here, and panics are reported here as well.
pub(super) fn start() -> Result<()> {
    let lines = Spool::default();
    let on_trouble = |trouble: Trouble<'_>| {
        if let Trouble::Over { lost } | Trouble::TooSlow { lost } = trouble
            && lost > 0
        {
            let text = format!("privlink: {lost} lines are missing here\n");
            let _ = io::stderr().write_all(text.as_bytes());
        }
    };
    lines
        .start("stderr", io::stderr(), on_trouble)
        .context("cannot start a thread for standard error")?;
    if LINES.set(lines).is_ok() {
        std::panic::set_hook(Box::new(report_panic));
    }
    Ok(())
}

/// Waits until all is written, as far as it is read.
pub fn finish() {
    if let Some(lines) = LINES.get() {
        lines.finish();
    }
}

/// Prints a line.
pub(super) fn tell(line: fmt::Arguments<'_>) {
    print(format_args!("privlink: {line}\n"));
}

/// Prints a text with its line ends.
pub fn print(text: fmt::Arguments<'_>) {
    let _ = Stderr.write_all(text.to_string().as_bytes());
}

fn report_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let said = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tell(format_args!(
        "bug: thread {thread} panicked at {place}: {said}"
    ));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        print(format_args!("{trace}\n"));
    }
}
