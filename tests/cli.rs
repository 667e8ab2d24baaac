//! The command line without root: help, exit codes, validation. What needs root is in `tests/netns/`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `privlink` with a state directory that does not exist.
fn privlink(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_privlink"))
        .args(["--state-dir", "/nonexistent/privlink"])
        .args(arguments)
        .env_remove("PRIVLINK_LOG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts the exit code, and shows all output if it is another.
#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {}\nstderr: {}",
        stdout(output),
        stderr(output)
    );
}

fn template(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

const TWO_SUBNETS: &str = "
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties: { CidrBlock: 172.18.0.0/16 }
  A:
    Type: AWS::EC2::Subnet
    Properties: { VpcId: !Ref Vpc, CidrBlock: 172.18.0.0/24 }
  B:
    Type: AWS::EC2::Subnet
    Properties: { VpcId: !Ref Vpc, CidrBlock: 172.18.1.0/24 }
";

#[test]
fn every_help_has_examples() {
    let commands = [
        &[][..],
        &["up"],
        &["apply"],
        &["delete"],
        &["down"],
        &["validate"],
        &["exec"],
        &["show"],
        &["show", "interfaces"],
        &["show", "endpoints"],
        &["show", "flows"],
        &["show", "drops"],
        &["endpoints"],
        &["endpoints", "list"],
        &["endpoints", "accept"],
        &["endpoints", "reject"],
        &["endpoints", "delete"],
        &["services"],
        &["services", "list"],
        &["targets"],
        &["targets", "list"],
        &["targets", "register"],
        &["targets", "deregister"],
        &["events"],
    ];
    for command in commands {
        for flag in ["-h", "--help"] {
            let output = privlink(&[command, &[flag]].concat());
            assert_code(&output, 0);
            assert!(
                stdout(&output).contains("Examples:\n"),
                "{command:?} {flag}"
            );
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["fly"][..],
        &["up"],
        &["exec", "EC2A"],
        &["show", "everything"],
        &["validate"],
        &["up", "t.yaml", "--parameter", "NoValue"],
        &["up", "t.yaml", "--parameter", ":NoStack=1"],
        &["up", "t.yaml", "--mtu", "70"],
        &["up", "t.yaml", "--workers", "0"],
        &["validate", "t.yaml", "--output", "xml"],
        &["apply"],
        &["apply", "t.yaml", "--region", "us-west-2"],
        &["endpoints", "accept"],
        &["endpoints", "modify"],
        &["services"],
        &["targets", "register", "group"],
        &["targets", "register", "group", "10.0.0.1:0"],
        &["events", "10"],
        &["show", "flows", "--limit", "0"],
        &["show", "flows", "--state", "open"],
        &["show", "drops", "--limit", "1"],
    ] {
        assert_code(&privlink(arguments), 2);
    }
}

#[test]
fn without_a_daemon_the_state_directory_and_the_way_to_start_are_named() {
    let file = template(TWO_SUBNETS);
    for arguments in [
        &["show", "flows"][..],
        &["exec", "EC2A", "--", "true"],
        &["apply", path(&file)],
        &["endpoints", "accept", "Endpoint"],
        &["services", "list"],
        &["targets", "list"],
        &["events", "--follow"],
    ] {
        let output = privlink(arguments);
        assert_code(&output, 1);
        let error = stderr(&output);
        assert!(
            error.starts_with("privlink: error: no daemon is running in /nonexistent/privlink"),
            "{error}"
        );
        assert!(error.contains("privlink up"), "{error}");
    }
}

#[test]
fn down_where_nothing_runs_says_so_and_succeeds() {
    let output = privlink(&["down"]);
    assert_code(&output, 0);
    assert_eq!(
        stdout(&output),
        "Nothing to do: no daemon in /nonexistent/privlink.\n"
    );
    let output = privlink(&["down", "--output", "json"]);
    assert_eq!(stdout(&output), "\"Nothing\"\n");
}

#[test]
fn a_good_template_is_valid() {
    let file = template(TWO_SUBNETS);
    let output = privlink(&["validate", path(&file)]);
    assert_code(&output, 0);
    assert!(
        stdout(&output).contains("3 resources"),
        "{}",
        stdout(&output)
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_template_with_two_errors_shows_both_with_their_places() {
    let broken = TWO_SUBNETS
        .replace("172.18.0.0/24", "10.0.0.0/24")
        .replace("172.18.1.0/24", "172.18.1.0/33");
    let file = template(&broken);
    let output = privlink(&["validate", path(&file)]);
    assert_code(&output, 1);
    let text = stderr(&output);
    for (line, word) in [(8, "10.0.0.0/24"), (11, "172.18.1.0/33")] {
        let place = format!("{}:{line}:", path(&file));
        assert!(
            text.lines()
                .any(|text| text.contains(&place) && text.contains(word)),
            "{place} {word}: {text}"
        );
    }
}

#[test]
fn errors_are_json_on_request() {
    let file = template(&TWO_SUBNETS.replace(
        "!Ref Vpc, CidrBlock: 172.18.1",
        "!Ref Vpx, CidrBlock: 172.18.1",
    ));
    let output = privlink(&["validate", path(&file), "--output", "json"]);
    assert_code(&output, 1);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["Valid"], false);
    assert_eq!(json["Errors"][0]["Line"], 11, "{json}");
    assert_eq!(json["Errors"][0]["LogicalId"], "B", "{json}");
}

/// The path of a file beside the tests of templates.
fn stack(name: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("{root}/tests/templates/{name}.yaml")
}

#[test]
fn two_templates_are_valid_together_and_one_without_the_other_says_what_is_missing() {
    let (provider, consumer) = (stack("provider"), stack("consumer"));
    let output = privlink(&["validate", &consumer, &provider]);
    assert_code(&output, 0);
    for file in [&provider, &consumer] {
        assert!(
            stdout(&output).contains(&format!("{file} is valid: ")),
            "{}",
            stdout(&output)
        );
    }
    let output = privlink(&["validate", &consumer, &provider, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["Stacks"][0]["StackName"], "consumer", "{json}");
    assert_eq!(json["Stacks"][0]["OwnerId"], "044455556666", "{json}");
    assert_eq!(json["Stacks"][0]["Imports"][0], "provider-web", "{json}");
    assert_eq!(json["Stacks"][1]["Exports"][0], "provider-web", "{json}");

    let output = privlink(&["validate", &consumer]);
    assert_code(&output, 1);
    let error = stderr(&output);
    assert!(
        error.contains("No export named `provider-web` found"),
        "{error}"
    );
}

#[test]
fn one_run_shows_the_errors_of_all_templates() {
    let broken = template("Resources: {V: {Type: AWS::EC2::VPX}}");
    let other = template(&TWO_SUBNETS.replace("172.18.1.0/24", "{}"));
    let output = privlink(&["validate", path(&broken), path(&other)]);
    assert_code(&output, 1);
    let text = stderr(&output);
    for file in [&broken, &other] {
        assert!(text.contains(&format!("{}:", path(file))), "{text}");
    }
    assert!(text.contains("the templates have 2 errors"), "{text}");
    // Two errors and their count begin as every error does; what belongs to one is indented.
    let (errors, rest): (Vec<_>, Vec<_>) = text
        .lines()
        .partition(|line| line.starts_with("privlink: error: "));
    assert_eq!(errors.len(), 3, "{text}");
    assert!(rest.iter().all(|line| line.starts_with(' ')), "{text}");
}

#[test]
fn what_is_wrong_on_the_command_line_is_not_blamed_on_a_file() {
    let file = template(TWO_SUBNETS);
    let output = privlink(&["validate", path(&file), "--parameter", "nobody:Port=81"]);
    assert_code(&output, 1);
    let said = stderr(&output);
    assert!(said.contains("there is no stack `nobody`"), "{said}");
    assert!(said.contains("the command line has 1 error"), "{said}");
    assert!(!said.contains("yaml has"), "{said}");
}

#[test]
fn a_parameter_is_addressed_to_a_stack_by_its_name() {
    let (provider, consumer) = (stack("provider"), stack("consumer"));
    let with =
        |parameter: &str| privlink(&["validate", &provider, &consumer, "--parameter", parameter]);
    for good in ["Port=81", "consumer:Port=81", "Provider=provider"] {
        assert_code(&with(good), 0);
    }
    for (wrong, said) in [
        ("provider:Provider=x", "no parameter `Provider`"),
        ("consumr:Port=81", "did you mean consumer?"),
        ("Nothing=1", "no template has a parameter `Nothing`"),
        ("Provider=nobody", "No export named `nobody-web` found"),
    ] {
        let output = with(wrong);
        assert_code(&output, 1);
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn a_missing_template_is_named() {
    for command in ["validate", "up"] {
        let output = privlink(&[command, "/nonexistent/stack.yaml"]);
        assert_code(&output, 1);
        let error = stderr(&output);
        assert!(
            error.contains("cannot read the template /nonexistent/stack.yaml: No such file"),
            "{error}"
        );
    }
}

#[test]
fn a_template_without_an_end_is_not_read_to_it() {
    let output = privlink(&["validate", "/dev/zero"]);
    assert_code(&output, 1);
    let error = stderr(&output);
    assert!(
        error.contains("cannot read the template /dev/zero: it has more than 1048576 bytes"),
        "{error}"
    );
}

#[test]
fn a_number_of_workers_out_of_range_is_told_the_range() {
    for workers in ["0", "100000"] {
        let output = privlink(&["up", "t.yaml", "--workers", workers]);
        assert_code(&output, 2);
        let error = stderr(&output);
        assert!(error.contains("is not in 1..=1024"), "{error}");
    }
}

#[test]
fn an_unknown_region_or_parameter_is_refused() {
    let file = template(TWO_SUBNETS);
    for arguments in [["--region", "mars"], ["--parameter", "Unknown=1"]] {
        let output = privlink(&[&["validate", path(&file)], &arguments[..]].concat());
        assert_code(&output, 1);
        assert!(
            stderr(&output).contains(arguments[1].split('=').next().unwrap()),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_state_that_no_flow_can_have_is_answered_with_those_that_there_are() {
    let output = privlink(&["show", "flows", "--state", "open"]);
    assert_code(&output, 2);
    let error = stderr(&output);
    for part in ["--state", "half-open", "established", "closing", "reset"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn no_colour_codes_go_into_a_pipe() {
    let output = privlink(&["show", "flows"]);
    assert!(!stderr(&output).contains('\x1b'));
}

/// Templates whose names begin alike (`saas-provider.yaml`, `saas-consumer.yaml`) are stacks of one whole.
#[test]
fn the_examples_of_the_repository_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut wholes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(examples).unwrap() {
        let file = entry.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let whole = name.split('-').next().unwrap().to_owned();
            let file = file.to_str().unwrap().to_owned();
            wholes.entry(whole).or_default().push(file);
        }
    }
    assert!(!wholes.is_empty(), "no examples");
    for files in wholes.values() {
        let files = files.iter().map(String::as_str);
        let arguments: Vec<_> = ["validate"].into_iter().chain(files).collect();
        assert_code(&privlink(&arguments), 0);
    }
}
