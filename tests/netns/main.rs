//! Tests that need root: real network namespaces and TUN devices. Without root each says that it was skipped.

mod io;

/// Is this root? If not, says so in the test's output; the caller then returns.
pub fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: needs root");
    }
    root
}
