//! Tests with real packets: the real binary, TUNs in namespaces of their own, nginx, curl, tcpdump, python.
//!
//! They need root. Without it each shows as ignored, not as passed. Each test has namespaces, a state directory and
//! children of its own ([`Site`](site::Site)), and leaves nothing behind.

mod checksums;
mod cli;
mod fragments;
mod hostile;
mod io;
mod lifecycle;
mod live;
mod names;
mod path_mtu;
mod protocols;
mod proxy;
mod rules;
mod saas;
mod site;
mod syscalls;
mod traffic;
mod workers;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test's name and what it runs.
type Test = (String, fn() -> anyhow::Result<()>);

/// Lists a module's tests, named after their functions. `#[test]` would be without effect here: this is a harness of
/// its own (`Cargo.toml`). A function that is not listed is unused, and the compiler says so.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub fn tests() -> Vec<crate::Test> {
            let module = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$((format!("{module}::{}", stringify!($name)), $name as fn() -> anyhow::Result<()>)),+]
        }
    };
}
pub(crate) use tests;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let root = rustix::process::geteuid().is_root();
    if !root && !arguments.list {
        println!(
            "netns: not root (uid {}): namespaces cannot be made, every test is skipped; run sudo ./scripts/test.sh",
            rustix::process::geteuid().as_raw()
        );
    }
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(4);
    let tests = [
        traffic::tests(),
        protocols::tests(),
        path_mtu::tests(),
        proxy::tests(),
        checksums::tests(),
        fragments::tests(),
        rules::tests(),
        saas::tests(),
        hostile::tests(),
        lifecycle::tests(),
        live::tests(),
        names::tests(),
        cli::tests(),
        io::tests(),
        workers::tests(),
        syscalls::tests(),
    ];
    let trials = tests
        .into_iter()
        .flatten()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test().map_err(|error| Failed::from(format!("{error:#}")))
            })
            .with_ignored_flag(!root)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
