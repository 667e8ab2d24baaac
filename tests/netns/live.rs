//! Changes while packets pass: what an apply makes and takes away, what it leaves alone, and what it does when it fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::saas;
use crate::site::{ENDPOINT, Site, Template, end, host, sha256, text, wait_for};

crate::tests!(
    an_apply_under_a_transfer_adds_and_removes_and_loses_nothing,
    a_hundred_changes_in_a_row_drop_no_packet_of_a_transfer,
    an_apply_with_an_error_changes_nothing,
    a_link_that_cannot_be_made_changes_nothing,
    a_dry_run_makes_nothing,
    an_instance_that_changes_its_address_gets_another_link,
    an_apply_makes_a_link_again_that_was_deleted_underneath,
    an_endpoint_that_goes_cuts_its_connections_on_both_sides,
    what_runs_on_an_instance_that_goes_ends_with_it,
    user_data_runs_on_new_instances_only,
    sighup_applies_the_files_as_they_are_now,
    sighup_reads_later_files_too_and_changes_nothing_when_one_is_gone,
    without_its_terminal_it_ends_by_sighup_and_leaves_nothing,
    killed_while_it_applies_it_leaves_nothing_that_down_does_not_find,
    stopped_while_it_applies_it_leaves_nothing,
    a_rejected_connection_is_cut_and_an_accepted_one_answers,
    a_deleted_stack_cuts_its_connections_and_takes_its_namespaces_along,
    events_are_followed_line_by_line,
    whoever_follows_events_is_told_whether_the_daemon_ended_or_was_killed,
    the_readmes_program_accepts_whom_it_trusts,
);

fn exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

/// An instance of VPC 1 in this namespace.
fn instance(logical_id: &str, namespace: &str, address: &str) -> String {
    format!(
        "  {logical_id}:
    Type: AWS::EC2::Instance
    Metadata: {{privlink: {{Namespace: {namespace}}}}}
    Properties: {{SubnetId: !Ref Vpc1SubnetA, PrivateIpAddress: {address}}}

"
    )
}

/// A second endpoint of VPC 1 at this address.
fn endpoint(address: &str) -> String {
    format!(
        "  Endpoint2:
    Type: AWS::EC2::VPCEndpoint
    Metadata: {{privlink: {{Addresses: {{Vpc1SubnetA: {address}}}}}}}
    Properties:
      VpcEndpointType: Resource
      VpcId: !Ref Vpc1
      SubnetIds: [!Ref Vpc1SubnetA]
      SecurityGroupIds: [!Ref EndpointSecurityGroup]
      ResourceConfigurationArn: !GetAtt Configuration.Arn

"
    )
}

/// The site's template with more resources, before all others.
fn with(site: &Site, resources: &str) -> Template {
    site.template()
        .edit("\nResources:\n", &format!("\nResources:\n\n{resources}"))
}

/// A download through the endpoint that takes some seconds.
fn slow_download(site: &Site, to: &Path) -> Result<Child> {
    let address = format!("http://{ENDPOINT}/files/payload");
    Command::new("ip")
        .args(["netns", "exec", &site.a, "curl", "-sS", "--fail"])
        .args(["--max-time", "60", "--limit-rate", "20M", "-o"])
        .arg(to)
        .arg(&address)
        .spawn()
        .context("cannot run curl")
}

fn an_apply_under_a_transfer_adds_and_removes_and_loses_nothing() -> Result<()> {
    let site = Site::with_nginx()?;
    let (_, sum) = site.payload(60)?;
    let received = site.dir.path().join("received");
    let mut download = slow_download(&site, &received)?;
    thread::sleep(Duration::from_millis(300));

    let third = format!("{}c", site.a);
    let more = instance("EC2C", &third, "172.18.0.109") + &endpoint("172.18.0.248");
    let said = site.applied("template.yaml", &with(&site, &more))?;
    ensure!(
        said.contains("Applied: 2 added, 0 modified, 0 removed."),
        "{said}"
    );
    ensure!(
        said.lines()
            .any(|line| line.starts_with("Add") && line.contains("EC2C")),
        "{said}"
    );
    for address in ["172.18.0.248", ENDPOINT] {
        let page = site.ok(&third, &["curl", "-sS", "--max-time", "10", address])?;
        ensure!(page.starts_with("hello"), "{page}");
    }
    let instances = site.show("interfaces")?;
    ensure!(
        instances
            .iter()
            .any(|row| row["Namespace"] == third.as_str())
    );

    let said = site.applied("template.yaml", &site.template())?;
    ensure!(said.contains("0 added, 0 modified, 2 removed"), "{said}");
    ensure!(!exists(&third), "{third} was left behind");
    ensure!(
        download.try_wait()?.is_none(),
        "the download ended too soon"
    );
    ensure!(download.wait()?.success(), "the download failed");
    ensure!(sha256(&received)? == sum, "the download is damaged");
    ensure!(site.drops()?.is_empty(), "{:?}", site.drops());
    Ok(())
}

fn a_hundred_changes_in_a_row_drop_no_packet_of_a_transfer() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let (client, server) = (site.a.clone(), site.b.clone());
    site.spawn(
        &server,
        &["iperf3", "-s", "-1", "-p", "80", "--forceflush"],
        "listening",
    )?;
    let rate = ["-b", "400M", "-t", "60", "-J"];
    let mut iperf = Command::new("ip")
        .args([
            "netns", "exec", &client, "iperf3", "-c", ENDPOINT, "-p", "80",
        ])
        .args(rate)
        .stdout(Stdio::piped())
        .spawn()?;
    thread::sleep(Duration::from_millis(500));
    let variants = [
        site.template(),
        with(&site, &endpoint("172.18.0.248")),
        site.template().rules(
            "TargetSecurityGroup",
            "Ingress",
            &["{IpProtocol: tcp, FromPort: 80, ToPort: 443, SourceSecurityGroupId: !Ref GatewaySecurityGroup}"],
        ),
        with(&site, &instance("EC2C", &format!("{client}c"), "172.18.0.109")),
    ];
    for change in 1..=100 {
        let variant = &variants[change % variants.len()];
        let said = site.applied("template.yaml", variant)?;
        ensure!(said.contains("Applied"), "change {change}: {said}");
    }
    ensure!(
        iperf.try_wait()?.is_none(),
        "the transfer did not outlive the changes"
    );
    let drops = site.drops()?;
    let flows = site.show("flows")?;
    let bytes = |flow: &Value| flow["Initiator"]["Bytes"].as_u64().unwrap_or_default();
    let most = flows.iter().map(bytes).max().unwrap_or_default();
    end(&mut iperf, Signal::INT, Duration::from_secs(10))?;
    ensure!(drops.is_empty(), "{drops:?}");
    // It went on over all of them in the one flow.
    ensure!(most > 50_000_000, "{most} bytes only");
    Ok(())
}

fn an_apply_with_an_error_changes_nothing() -> Result<()> {
    let site = Site::with_nginx()?;
    let before = site.privlink(&["show", "endpoints"])?.stdout;
    let third = format!("{}c", site.a);
    // The second of two has an address that the first endpoint has.
    let more = instance("EC2C", &third, "172.18.0.109") + &endpoint("172.18.0.247");
    let output = site.apply("template.yaml", &with(&site, &more), &[])?;
    let said = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(
        said.contains("nothing was changed")
            && said.contains("172.18.0.247")
            && said.contains("template.yaml:"),
        "{said}"
    );
    ensure!(!exists(&third), "{third} was made");
    ensure!(site.privlink(&["show", "endpoints"])?.stdout == before);
    site.curl(&[ENDPOINT]).map(drop)
}

fn a_link_that_cannot_be_made_changes_nothing() -> Result<()> {
    let site = Site::with_nginx()?;
    let before = site
        .privlink(&["show", "interfaces", "--output", "json"])?
        .stdout;
    let rows =
        |bytes: &[u8]| -> Result<usize> { Ok(serde_json::from_slice::<Vec<Value>>(bytes)?.len()) };
    let (good, bad) = (format!("{}c", site.a), format!("{}d", site.a));
    // A file that is no namespace, in the place of one.
    let path = Path::new("/run/netns").join(&bad);
    fs::write(&path, "precious")?;
    let more = instance("EC2C", &good, "172.18.0.109") + &instance("EC2D", &bad, "172.18.0.110");
    let output = site.apply("template.yaml", &with(&site, &more), &[]);
    let kept = fs::read_to_string(&path);
    fs::remove_file(&path)?;
    let output = output?;
    let said = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(
        said.contains(&bad) && said.contains("nothing was changed"),
        "{said}"
    );
    ensure!(kept? == "precious", "the file was not ours");
    ensure!(!exists(&good), "{good} was left behind");
    let after = site
        .privlink(&["show", "interfaces", "--output", "json"])?
        .stdout;
    ensure!(rows(&before)? == rows(&after)?);
    site.curl(&[ENDPOINT])?;
    // The way is free again.
    let more = instance("EC2C", &good, "172.18.0.109");
    site.applied("template.yaml", &with(&site, &more))?;
    ensure!(exists(&good));
    Ok(())
}

fn a_dry_run_makes_nothing() -> Result<()> {
    let site = Site::with_nginx()?;
    let third = format!("{}c", site.a);
    let template = with(&site, &instance("EC2C", &third, "172.18.0.109"))
        .edit("          FromPort: 80\n          ToPort: 80\n          CidrIp: !GetAtt Vpc1.CidrBlock\n\n  # One", "          FromPort: 80\n          ToPort: 81\n          CidrIp: !GetAtt Vpc1.CidrBlock\n\n  # One");
    let output = site.apply("template.yaml", &template, &["--dry-run"])?;
    let said = text(&output);
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("Dry run, nothing was changed: 1 to add, 1 to modify, 0 to remove."),
        "{said}"
    );
    ensure!(
        said.lines()
            .any(|line| line.starts_with("Modify") && line.contains(": -tcp 80-80")),
        "{said}"
    );
    ensure!(!exists(&third), "{third} was made");
    let output = site.apply(
        "template.yaml",
        &template,
        &["--dry-run", "--output", "json"],
    )?;
    let plan: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        plan["Applied"] == false && plan["Changes"].as_array().is_some_and(|c| c.len() == 2),
        "{plan}"
    );
    Ok(())
}

fn an_instance_that_changes_its_address_gets_another_link() -> Result<()> {
    let site = Site::with_nginx()?;
    let moved = site.template().edit(
        "PrivateIpAddress: 172.18.0.108            # the same address as EC2B's, on purpose",
        "PrivateIpAddress: 172.18.0.109",
    );
    let said = site.applied("template.yaml", &moved)?;
    ensure!(said.contains("172.18.0.108 -> 172.18.0.109"), "{said}");
    let addresses = site.ok(&site.a, &["ip", "-4", "-o", "addr", "show", "dev", "eni0"])?;
    ensure!(addresses.contains("172.18.0.109/"), "{addresses}");
    site.curl(&[ENDPOINT])?;

    // The next one fails beside another link that cannot be made: this one comes back as it was.
    let bad = format!("{}d", site.a);
    let path = Path::new("/run/netns").join(&bad);
    fs::write(&path, "precious")?;
    let back = with(&site, &instance("EC2D", &bad, "172.18.0.110"));
    let output = site.apply("template.yaml", &back, &[]);
    fs::remove_file(&path)?;
    ensure!(output?.status.code() == Some(1));
    let addresses = site.ok(&site.a, &["ip", "-4", "-o", "addr", "show", "dev", "eni0"])?;
    ensure!(addresses.contains("172.18.0.109/"), "{addresses}");
    site.curl(&[ENDPOINT]).map(drop)
}

fn an_apply_makes_a_link_again_that_was_deleted_underneath() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let namespace = site.a.clone();
    for deletion in [
        &["ip", "netns", "del", &namespace][..],
        &["ip", "-n", &namespace, "link", "del", "eni0"],
    ] {
        host(deletion)?;
        let status = |site: &Site| -> Result<bool> {
            let rows = site.show("interfaces")?;
            let row = rows
                .iter()
                .find(|row| row["Namespace"] == namespace.as_str());
            Ok(row.context("no row")?["Status"] == "in-use")
        };
        wait_for("the loss", Duration::from_secs(10), || Ok(!status(&site)?))?;
        // Somebody else's command does not try.
        let output = site.privlink(&["endpoints", "reject", "Endpoint"])?;
        ensure!(
            output.status.code() == Some(1) && !status(&site)?,
            "{}",
            text(&output)
        );
        let said = site.applied("template.yaml", &site.template())?;
        ensure!(said.contains("the link of EC2A is made again"), "{said}");
        ensure!(status(&site)?, "it is not in use");
        site.curl(&[ENDPOINT])?;
    }
    ensure!(site.stop(Signal::TERM)?.success());
    ensure!(!exists(&namespace), "{namespace} was left behind");
    Ok(())
}

fn an_endpoint_that_goes_cuts_its_connections_on_both_sides() -> Result<()> {
    let mut site = Site::new()?;
    let both = with(&site, &endpoint("172.18.0.248"));
    site.up(&both, &[])?;
    site.nginx()?;
    let consumer = site.a.clone();
    let going = site.python(&consumer, "hold", &["172.18.0.248"])?;
    let staying = site.python(&consumer, "hold", &[ENDPOINT])?;
    let connections = |site: &Site| -> Result<usize> {
        let lines = site.ok(&site.b, &["ss", "-Htn", "state", "established"])?;
        Ok(lines.lines().count())
    };
    ensure!(connections(&site)? == 2);
    site.applied("template.yaml", &site.template())?;
    let said = going
        .recv_timeout(Duration::from_secs(10))
        .context("the connection hangs")?;
    ensure!(said == "reset", "the connection was {said}");
    wait_for("the target's reset", Duration::from_secs(5), || {
        Ok(connections(&site)? == 1)
    })?;
    ensure!(
        staying.recv_timeout(Duration::from_millis(500)).is_err(),
        "the other endpoint's connection ended too"
    );
    Ok(())
}

fn what_runs_on_an_instance_that_goes_ends_with_it() -> Result<()> {
    let mut site = Site::new()?;
    let third = format!("{}c", site.a);
    site.up(&with(&site, &instance("EC2C", &third, "172.18.0.109")), &[])?;
    let start = |instance: &str| -> Result<Child> {
        let child = Command::new(env!("CARGO_BIN_EXE_privlink"))
            .args(["--state-dir".as_ref(), site.state_dir().as_os_str()])
            .args([
                "exec",
                instance,
                "--",
                "sh",
                "-c",
                "echo ready; exec sleep 60",
            ])
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        Ok(child)
    };
    let (mut gone, mut stays) = (start("EC2C")?, start("EC2A")?);
    site.applied("template.yaml", &site.template())?;
    wait_for("the end", Duration::from_secs(5), || {
        Ok(gone.try_wait()?.is_some())
    })?;
    ensure!(
        stays.try_wait()?.is_none(),
        "another instance's process ended"
    );
    ensure!(site.stop(Signal::TERM)?.success());
    stays.wait()?;
    Ok(())
}

fn user_data_runs_on_new_instances_only() -> Result<()> {
    let mut site = Site::new()?;
    let ran = site.dir.path().join("ran");
    let user_data = |name: &str| {
        let path = ran.display();
        format!("UserData: !Base64 \"#!/bin/sh\\necho {name} >> {path}\\n\"")
    };
    let first = site.template().edit(
        "PrivateIpAddress: 172.18.0.108            # the same address as EC2B's, on purpose",
        &format!(
            "PrivateIpAddress: 172.18.0.108\n      {}",
            user_data("first")
        ),
    );
    let told = || fs::read_to_string(&ran).unwrap_or_default();
    site.up(&first, &["--run-user-data"])?;
    wait_for("the first", Duration::from_secs(10), || {
        Ok(told() == "first\n")
    })?;
    let new = instance("EC2C", &format!("{}c", site.a), "172.18.0.109").replace(
        "PrivateIpAddress: 172.18.0.109",
        &format!("PrivateIpAddress: 172.18.0.109, {}", user_data("second")),
    );
    let both = first.edit("\nResources:\n", &format!("\nResources:\n\n{new}"));
    site.applied("template.yaml", &both)?;
    wait_for("the second", Duration::from_secs(10), || {
        Ok(told() == "first\nsecond\n")
    })?;
    Ok(())
}

fn sighup_applies_the_files_as_they_are_now() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let third = format!("{}c", site.a);
    let hang_up = |site: &Site, template: &Template| -> Result<()> {
        fs::write(site.dir.path().join("template.yaml"), &template.0)?;
        let pid = Pid::from_raw(site.pid()?.try_into()?).context("pid")?;
        Ok(kill_process(pid, Signal::HUP)?)
    };
    hang_up(&site, &with(&site, "  Broken: {Type: AWS::EC2::VPX}\n\n"))?;
    site.daemon_says("error: SIGHUP: ", Duration::from_secs(10))?;
    site.daemon_says("AWS::EC2::VPX", Duration::from_secs(10))?;
    site.curl(&[ENDPOINT])?;
    hang_up(
        &site,
        &with(&site, &instance("EC2C", &third, "172.18.0.109")),
    )?;
    site.daemon_says(
        "SIGHUP: 1 added, 0 modified, 0 removed",
        Duration::from_secs(10),
    )?;
    ensure!(exists(&third));
    let page = site.ok(&third, &["curl", "-sS", "--max-time", "10", ENDPOINT])?;
    ensure!(page.starts_with("hello"), "{page}");
    Ok(())
}

fn sighup_reads_later_files_too_and_changes_nothing_when_one_is_gone() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let (third, fourth) = (format!("{}c", site.a), format!("{}d", site.a));
    let stack = |namespace: &str, address: &str| {
        let parts = [
            "Resources:\n  V: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 172.18.0.0/16}}\n",
            "  Vpc1SubnetA:\n    Type: AWS::EC2::Subnet\n",
            "    Properties: {VpcId: !Ref V, CidrBlock: 172.18.0.0/24, AvailabilityZone: ap-northeast-1a}\n",
            &instance("I", namespace, address),
        ];
        Template(parts.concat())
    };
    let daemon = Pid::from_raw(site.pid()?.try_into()?).context("pid")?;
    let later = site.dir.path().join("later.yaml");
    site.applied("later.yaml", &stack(&third, "172.18.0.9"))?;
    fs::write(&later, stack(&fourth, "172.18.0.9").0)?;
    kill_process(daemon, Signal::HUP)?;
    site.daemon_says(
        "SIGHUP: 0 added, 1 modified, 0 removed",
        Duration::from_secs(10),
    )?;
    ensure!(exists(&fourth) && !exists(&third));

    fs::remove_file(&later)?;
    let template = with(&site, &instance("EC2C", &third, "172.18.0.109"));
    fs::write(site.dir.path().join("template.yaml"), &template.0)?;
    kill_process(daemon, Signal::HUP)?;
    site.daemon_says(
        "error: SIGHUP: cannot read the template",
        Duration::from_secs(10),
    )?;
    site.daemon_says("nothing was changed", Duration::from_secs(10))?;
    ensure!(!exists(&third), "a part of it was applied");

    // Nor when one was no file.
    let pipe = format!(
        "cat {} | {} apply --state-dir {} /dev/stdin",
        site.dir.path().join("piped.yaml").display(),
        env!("CARGO_BIN_EXE_privlink"),
        site.state_dir().display(),
    );
    fs::write(&later, stack(&fourth, "172.18.0.9").0)?;
    let piped = stack(&format!("{}e", site.a), "172.18.0.10");
    fs::write(site.dir.path().join("piped.yaml"), piped.0)?;
    host(&["sh", "-c", &pipe])?;
    kill_process(daemon, Signal::HUP)?;
    site.daemon_says(
        "it was no file; have one applied as stack stdin",
        Duration::from_secs(10),
    )?;
    ensure!(!exists(&third), "a part of it was applied");
    host(&[
        env!("CARGO_BIN_EXE_privlink"),
        "delete",
        "--state-dir",
        &site.state_dir().display().to_string(),
        "stdin",
    ])?;
    kill_process(daemon, Signal::HUP)?;
    site.daemon_says(
        "SIGHUP: 1 added, 0 modified, 0 removed",
        Duration::from_secs(10),
    )?;
    ensure!(exists(&third));
    Ok(())
}

fn without_its_terminal_it_ends_by_sighup_and_leaves_nothing() -> Result<()> {
    let site = Site::new()?;
    let path = site.dir.path().join("template.yaml");
    fs::write(&path, &site.template().0)?;
    let privlink = env!("CARGO_BIN_EXE_privlink");
    let (state_dir, path) = (
        site.state_dir().display().to_string(),
        path.display().to_string(),
    );
    let arguments = [privlink, "up", "--state-dir", &state_dir, &path];
    // Its session's leader, on a terminal that is then closed, as that of a window or of an ssh.
    let program = format!("{}/tests/netns/py/terminal.py", env!("CARGO_MANIFEST_DIR"));
    let said = host(&[&["python3", "-Bu", &program], &arguments[..]].concat())?;
    ensure!(said.contains("ended"), "{said}");
    ensure!(
        !exists(&site.a) && !exists(&site.b) && !site.state_dir().exists(),
        "something was left"
    );
    Ok(())
}

fn killed_while_it_applies_it_leaves_nothing_that_down_does_not_find() -> Result<()> {
    end_while_it_applies(Signal::KILL)
}

fn stopped_while_it_applies_it_leaves_nothing() -> Result<()> {
    end_while_it_applies(Signal::TERM)
}

/// Ends the daemon at moments over the whole of an apply; after SIGKILL `down` has to find what is left.
fn end_while_it_applies(signal: Signal) -> Result<()> {
    let mut site = Site::new()?;
    let names: Vec<_> = (0..8).map(|n| format!("{}x{n}", site.a)).collect();
    let more: String = names
        .iter()
        .enumerate()
        .map(|(n, name)| instance(&format!("More{n}"), name, &format!("172.18.0.12{n}")))
        .collect();
    let (few, many) = (site.template(), with(&site, &more));
    let path = site.dir.path().join("template.yaml");
    for moment in 0..16 {
        // Into the making of links, and into their removal.
        let (first, second) = if moment % 2 == 0 {
            (&few, &many)
        } else {
            (&many, &few)
        };
        site.up(first, &[])?;
        fs::write(&path, &second.0)?;
        let mut apply = Command::new(env!("CARGO_BIN_EXE_privlink"))
            .args(["apply", "--state-dir"])
            .arg(site.state_dir())
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(6 * moment));
        let status = site.stop(signal)?;
        apply.wait()?;
        let said = match signal {
            Signal::KILL => text(&site.privlink(&["down"])?),
            _ => status.to_string(),
        };
        let left: Vec<_> = names
            .iter()
            .chain([&site.a, &site.b])
            .filter(|name| exists(name))
            .collect();
        ensure!(
            left.is_empty() && !site.state_dir().exists(),
            "ended after {} ms: {left:?} left: {said}",
            6 * moment,
        );
    }
    Ok(())
}

const SERVICE_ADDRESS: &str = "10.100.1.70";

fn a_rejected_connection_is_cut_and_an_accepted_one_answers() -> Result<()> {
    let mut site = saas::site("true")?;
    let (consumer, target) = (site.a.clone(), site.b.clone());
    site.nginx_in(&target)?;
    site.nginx_in(&format!("{target}2"))?;
    let endpoints = |site: &Site, verb: &str| -> Result<String> {
        let output = site.privlink(&["endpoints", verb, "consumer:Endpoint"])?;
        ensure!(output.status.success(), "{verb}: {}", text(&output));
        Ok(text(&output))
    };
    site.curl_times_out(SERVICE_ADDRESS)?;
    let said = endpoints(&site, "accept")?;
    ensure!(said.contains("available"), "{said}");
    ensure!(site.curl(&[SERVICE_ADDRESS])?.starts_with("hello"));
    let lines = site.python(&consumer, "hold", &[SERVICE_ADDRESS])?;
    endpoints(&site, "reject")?;
    let said = lines
        .recv_timeout(Duration::from_secs(10))
        .context("it hangs")?;
    ensure!(said == "reset", "the connection was {said}");
    site.curl_times_out(SERVICE_ADDRESS)?;
    let again = site.privlink(&["endpoints", "reject", "consumer:Endpoint"])?;
    ensure!(
        again.status.code() == Some(1) && text(&again).contains("rejected"),
        "{}",
        text(&again)
    );
    endpoints(&site, "accept")?;
    ensure!(site.curl(&[SERVICE_ADDRESS])?.starts_with("hello"));

    // One target less: the other one answers.
    let output = site.privlink(&["targets", "deregister", "provider-target", "Provider2"])?;
    ensure!(
        output.status.success() && text(&output).contains("draining"),
        "{}",
        text(&output)
    );
    for _ in 0..10 {
        let page = site.curl(&[SERVICE_ADDRESS])?;
        ensure!(page.ends_with(" to 10.100.1.11:80\n"), "{page}");
    }
    endpoints(&site, "delete")?;
    let none = text(&site.privlink(&["endpoints", "list"])?);
    ensure!(none == "No VPC endpoints.\n", "{none}");
    Ok(())
}

fn a_deleted_stack_cuts_its_connections_and_takes_its_namespaces_along() -> Result<()> {
    let mut site = saas::site("false")?;
    let (consumer, target) = (site.a.clone(), site.b.clone());
    let second = format!("{target}2");
    site.nginx_in(&target)?;
    site.nginx_in(&second)?;
    let _held = site.python(&consumer, "hold", &[SERVICE_ADDRESS])?;
    let connections = |site: &Site| -> Result<usize> {
        let lines = [&target, &second]
            .map(|namespace| site.ok(namespace, &["ss", "-Htn", "state", "established"]));
        let [first, second] = lines;
        Ok(first?.lines().count() + second?.lines().count())
    };
    ensure!(connections(&site)? == 1);
    let refused = site.privlink(&["delete", "provider"])?;
    let said = text(&refused);
    ensure!(
        refused.status.code() == Some(1)
            && said.contains("ExistingVpcEndpointConnections")
            && said.contains("nothing was changed"),
        "{said}"
    );
    ensure!(connections(&site)? == 1 && exists(&target), "it was cut");

    let deleted = site.privlink(&["delete", "consumer"])?;
    let said = text(&deleted);
    ensure!(deleted.status.success(), "{said}");
    ensure!(said.contains("Applied: 0 added, 0 modified, "), "{said}");
    wait_for("the target's reset", Duration::from_secs(5), || {
        Ok(connections(&site)? == 0)
    })?;
    ensure!(!exists(&consumer), "{consumer} was left behind");
    ensure!(
        exists(&target) && exists(&second),
        "the other stack went too"
    );
    Ok(())
}

fn events_are_followed_line_by_line() -> Result<()> {
    let site = saas::site("true")?;
    let mut follower = Command::new(env!("CARGO_BIN_EXE_privlink"))
        .args(["events", "--follow", "--state-dir"])
        .arg(site.state_dir())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(follower.stdout.take().context("stdout")?).lines();
    let (sender, events) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in lines.map_while(|line| line.ok()) {
            let _ = sender.send(line);
        }
    });
    let next = |is_wanted: fn(&Value) -> bool| -> Result<Value> {
        loop {
            let line = events.recv_timeout(Duration::from_secs(30))?;
            let event = serde_json::from_str(&line)?;
            if is_wanted(&event) {
                return Ok(event);
            }
        }
    };
    for (command, expected, state) in [
        (None, "Connect", "pendingAcceptance"),
        (Some("accept"), "Accept", "available"),
        (Some("reject"), "Reject", "rejected"),
        (Some("delete"), "Delete", "deleted"),
    ] {
        if let Some(command) = command {
            let output = site.privlink(&["endpoints", command, "Endpoint"])?;
            ensure!(output.status.success(), "{}", text(&output));
        }
        let event = next(|event| event["VpcEndpointId"].is_string()).context(expected)?;
        ensure!(
            event["Event"] == expected
                && event["VpcEndpointState"] == state
                && event["VpcEndpointOwner"] == "444455556666"
                && event["LogicalId"] == "Endpoint",
            "{event}"
        );
    }
    // Nobody answers for the service.
    let unhealthy = next(|event| event["State"] == "unhealthy")?;
    ensure!(
        unhealthy["Event"] == "TargetHealth"
            && unhealthy["LogicalId"] == "TargetGroup"
            && unhealthy["Reason"] == "Target.FailedHealthChecks",
        "{unhealthy}"
    );
    let remembered = text(&site.privlink(&["events"])?);
    let of_endpoint = remembered.lines().filter(|l| l.contains("VpcEndpointId"));
    ensure!(of_endpoint.count() == 4, "{remembered}");
    drop(site);
    wait_for("the follower's end", Duration::from_secs(5), || {
        Ok(follower.try_wait()?.is_some())
    })?;
    ensure!(follower.wait()?.success());
    Ok(())
}

fn whoever_follows_events_is_told_whether_the_daemon_ended_or_was_killed() -> Result<()> {
    for (signal, code, said) in [
        (Signal::TERM, 0, ""),
        (Signal::KILL, 1, "it was killed or has crashed"),
    ] {
        let mut site = saas::site("true")?;
        let mut follower = Command::new(env!("CARGO_BIN_EXE_privlink"))
            .args(["events", "--follow", "--state-dir"])
            .arg(site.state_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(follower.stdout.take().context("stdout")?);
        lines.read_line(&mut String::new())?;
        site.stop(signal)?;
        let mut stderr = String::new();
        follower
            .stderr
            .take()
            .context("stderr")?
            .read_to_string(&mut stderr)?;
        let status = follower.wait()?;
        ensure!(
            status.code() == Some(code)
                && stderr.contains(said)
                && stderr.is_empty() == said.is_empty(),
            "{signal:?}: {status}: {stderr}"
        );
        if signal == Signal::KILL {
            site.privlink(&["down"])?;
        }
    }
    Ok(())
}

/// The first block of this language after a heading of the README.
fn readme_block(heading: &str, language: &str) -> Result<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let section = readme
        .split(heading)
        .nth(1)
        .with_context(|| format!("no {heading}"))?;
    let block = section.split(&format!("```{language}\n")).nth(1);
    let block = block.and_then(|rest| rest.split("```").next());
    block
        .map(str::to_owned)
        .with_context(|| format!("no {language} below {heading}"))
}

fn the_readmes_program_accepts_whom_it_trusts() -> Result<()> {
    let program = readme_block("## Accepting automatically", "python")?;
    ensure!(program.lines().count() <= 10, "ten lines were promised");
    let site = saas::site("true")?;
    // It calls `privlink` as its user does; here that is another directory's daemon.
    let bin = site.dir.path().join("bin");
    fs::create_dir(&bin)?;
    let wrapper = bin.join("privlink");
    let (real, state_dir) = (env!("CARGO_BIN_EXE_privlink"), site.state_dir());
    let script = format!(
        "#!/bin/sh\nexec {real} --state-dir {} \"$@\"\n",
        state_dir.display()
    );
    fs::File::create(&wrapper)?.write_all(script.as_bytes())?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
    let mut approver = Command::new("python3")
        .args(["-c", &program])
        .env("PATH", path)
        .stdout(Stdio::null())
        .spawn()?;
    let states = || -> Result<Vec<String>> {
        let rows = site.show("endpoints")?;
        let state = |row: &Value| row["State"].as_str().unwrap_or_default().to_owned();
        Ok(rows.iter().map(state).collect())
    };
    let outcome = (|| {
        wait_for("its acceptance", Duration::from_secs(10), || {
            Ok(states()? == ["available"])
        })?;
        // A stranger, who may ask, and the same stack as before.
        let provider = Template(fs::read_to_string(site.dir.path().join("provider.yaml"))?).edit(
            "AllowedPrincipals: !Ref ConsumerPrincipals",
            "AllowedPrincipals: [\"*\"]",
        );
        site.applied("provider.yaml", &provider)?;
        let consumer = Template(fs::read_to_string(site.dir.path().join("consumer.yaml"))?)
            .edit("Account: \"444455556666\"", "Account: \"999999999999\"")
            .edit(
                &format!("Namespace: {} ", site.a),
                &format!("Namespace: {}s ", site.a),
            );
        site.applied("stranger.yaml", &consumer)?;
        wait_for("its rejection", Duration::from_secs(10), || {
            Ok(states()? == ["available", "rejected"])
        })
    })();
    end(&mut approver, Signal::TERM, Duration::from_secs(5))?;
    outcome
}
