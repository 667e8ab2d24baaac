//! What the operator is told: on standard error, for as long as somebody holds its other end.

use std::fmt;
use std::io::{self, Write};

/// Prints a line. That nobody reads it any more is no reason to stop: `eprintln!` would panic.
pub(super) fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "privlink: {line}");
}
