//! May this process make namespaces and links? Asked before anything is made, so that the answer is one clear word.

use anyhow::{Context, Result, bail};
use rustix::thread::CapabilitySet;

/// What `up` needs, with the kernel's names.
const NEEDED: [(CapabilitySet, &str); 2] = [
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
];

/// Fails with the names of what is missing to do `what`.
pub fn require(what: &str) -> Result<()> {
    let effective = rustix::thread::capabilities(None)
        .context("cannot read this process's capabilities")?
        .effective;
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(capability, _)| !effective.contains(*capability))
        .map(|(_, name)| *name)
        .collect();
    if !missing.is_empty() {
        bail!(
            "{what} needs {}: run it as root, for example with sudo",
            missing.join(" and ")
        );
    }
    Ok(())
}
