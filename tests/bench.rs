//! `scripts/bench.sh` as far as it needs neither root nor a quiet machine. What it makes of its samples is tested in
//! `examples/bench_report`.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bench.sh"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

#[test]
fn help_names_every_test_and_has_examples() {
    let output = bench(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{help}");
    for word in [
        "tcp-1-flow-reverse",
        "http-close",
        "ping-pong-busy",
        "udp-64-bytes",
        "Examples:",
    ] {
        assert!(help.contains(word), "no {word} in: {help}");
    }
}

#[test]
fn a_wrong_argument_is_refused_before_anything_is_done() {
    for (arguments, says) in [
        (&["--fast"][..], "unknown argument '--fast' (see --help)"),
        (
            &["--rounds"],
            "--rounds wants a number from 1 up (see --help)",
        ),
        (
            &["--rounds", "0"],
            "--rounds wants a number from 1 up (see --help)",
        ),
        (
            &["--seconds", "soon"],
            "--seconds wants a number from 1 up (see --help)",
        ),
        (&["--mtu", "1500,big"], "--mtu wants numbers of bytes"),
        (&["--mtu", "70000"], "no link has an MTU of 70000 bytes"),
        (
            &["--only", "tcp-5-flows"],
            "unknown test 'tcp-5-flows'; there are: tcp-1-flow ",
        ),
    ] {
        let output = bench(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.starts_with(&format!("error: {says}")),
            "{arguments:?}: {error}"
        );
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
