//! Beginning and end: what `up` makes, what is left after each way to end, what happens when the ground goes away.

use std::io::{PipeReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::site::{ENDPOINT, Site, host, text, wait_for};

crate::tests!(
    namespaces_that_privlink_made_go_and_others_stay,
    sigint_leaves_the_machine_as_it_was,
    after_sigterm_and_up_a_new_curl_works_and_an_old_connection_is_reset,
    after_sigkill_down_cleans_up,
    killed_while_it_starts_it_leaves_nothing_that_down_does_not_find,
    a_second_daemon_says_so,
    a_namespace_deleted_underneath_is_reported_without_spinning,
    an_interface_deleted_underneath_is_reported_without_spinning,
    an_idle_daemon_uses_no_cpu,
    nothing_ends_or_blocks_it_while_standard_error_is_closed,
    nothing_ends_or_blocks_it_while_standard_error_is_full,
    nothing_ends_or_blocks_it_while_standard_error_is_not_read,
    a_standard_output_that_is_not_read_blocks_nothing,
);

/// What a spinning thread would use many times over, in [`WINDOW`].
const LITTLE: Duration = Duration::from_millis(40);
const WINDOW: Duration = Duration::from_secs(2);

/// Is there a namespace of this name, or something for it in `/etc`?
fn exists(namespace: &str) -> bool {
    let places = ["/run/netns", "/etc/netns"];
    places.iter().any(|p| Path::new(p).join(namespace).exists())
}

fn has_eni0(site: &Site, namespace: &str) -> Result<bool> {
    Ok(site
        .run(namespace, &["ip", "link", "show", "eni0"])?
        .status
        .success())
}

fn namespaces_that_privlink_made_go_and_others_stay() -> Result<()> {
    let mut site = Site::new()?;
    let (mine, made) = (site.a.clone(), site.b.clone());
    site.namespace(&mine)?;
    site.up(&site.template(), &[])?;
    ensure!(exists(&made), "{made} was not created");
    let status = site.stop(Signal::TERM)?;
    ensure!(status.success(), "privlink ended with {status}");
    ensure!(exists(&mine), "{mine} was there before, and is gone");
    ensure!(!has_eni0(&site, &mine)?, "eni0 was left in {mine}");
    let etc = Path::new("/etc/netns").join(&mine);
    ensure!(!etc.exists(), "{} was left behind", etc.display());
    ensure!(!exists(&made), "{made} was left behind");
    ensure!(
        !site.state_dir().exists(),
        "{} was left behind",
        site.state_dir().display()
    );
    Ok(())
}

fn sigint_leaves_the_machine_as_it_was() -> Result<()> {
    let mut site = Site::with_nginx()?;
    site.curl(&[ENDPOINT])?;
    let status = site.stop(Signal::INT)?;
    ensure!(status.success(), "privlink ended with {status}");
    ensure!(
        !exists(&site.a) && !exists(&site.b),
        "a namespace was left behind"
    );
    ensure!(
        !site.state_dir().exists(),
        "{} was left behind",
        site.state_dir().display()
    );
    Ok(())
}

fn after_sigterm_and_up_a_new_curl_works_and_an_old_connection_is_reset() -> Result<()> {
    let mut site = Site::new()?;
    let (a, b) = (site.a.clone(), site.b.clone());
    site.namespace(&a)?;
    site.namespace(&b)?;
    site.up(&site.template(), &[])?;
    site.nginx()?;
    let lines = site.python(&a, "hold", &[ENDPOINT])?;
    site.stop(Signal::TERM)?;
    site.up(&site.template(), &[])?;
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    let said = lines
        .recv_timeout(Duration::from_secs(30))
        .context("the old connection hangs")?;
    ensure!(said == "reset", "the old connection was {said}");
    Ok(())
}

fn after_sigkill_down_cleans_up() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    site.stop(Signal::KILL)?;
    ensure!(
        exists(&site.a) && exists(&site.b),
        "nothing was left to clean up"
    );
    let output = site.privlink(&["down"])?;
    ensure!(output.status.success(), "down: {}", text(&output));
    ensure!(
        !exists(&site.a) && !exists(&site.b),
        "a namespace was left behind: {}",
        text(&output)
    );
    ensure!(
        !site.state_dir().exists(),
        "{} was left behind",
        site.state_dir().display()
    );
    // And the way is free again.
    site.up(&site.template(), &[])
}

fn killed_while_it_starts_it_leaves_nothing_that_down_does_not_find() -> Result<()> {
    let site = Site::new()?;
    let file = site.dir.path().join("template.yaml");
    std::fs::write(&file, &site.template().0)?;
    for moment in 0..20 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_privlink"))
            .args(["up", "--state-dir"])
            .arg(site.state_dir())
            .arg(&file)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        // Over the whole of a start, which takes some tens of milliseconds.
        std::thread::sleep(Duration::from_millis(2 * moment));
        child.kill()?;
        child.wait()?;
        let output = site.privlink(&["down"])?;
        ensure!(
            output.status.success() && !exists(&site.a) && !exists(&site.b),
            "killed after {} ms: {}",
            2 * moment,
            text(&output)
        );
    }
    Ok(())
}

fn a_second_daemon_says_so() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let template = site.dir.path().join("template.yaml").display().to_string();
    let output = site.privlink(&["up", &template])?;
    ensure!(
        output.status.code() == Some(1),
        "{}: {}",
        output.status,
        text(&output)
    );
    let said = text(&output);
    let (pid, dir) = (
        site.pid()?.to_string(),
        site.state_dir().display().to_string(),
    );
    ensure!(
        said.contains(&dir) && said.contains(&pid),
        "it names neither {dir} nor {pid}: {said}"
    );
    // The first one does not mind.
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    ensure!(site.stop(Signal::TERM)?.success());
    Ok(())
}

fn a_namespace_deleted_underneath_is_reported_without_spinning() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let gone = site.a.clone();
    host(&["ip", "netns", "del", &gone])?;
    site.daemon_says(&gone, Duration::from_secs(10))?;
    let used = site.cpu_over(WINDOW)?;
    ensure!(used <= LITTLE, "{used:?} of CPU in {WINDOW:?}");
    let status = status_of(&site, &gone)?;
    ensure!(
        status != "in-use",
        "show interfaces still calls it {status}"
    );
    ensure!(site.stop(Signal::TERM)?.success());
    Ok(())
}

fn an_interface_deleted_underneath_is_reported_without_spinning() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let namespace = site.a.clone();
    host(&["ip", "-n", &namespace, "link", "del", "eni0"])?;
    site.daemon_says(&namespace, Duration::from_secs(10))?;
    let used = site.cpu_over(WINDOW)?;
    ensure!(used <= LITTLE, "{used:?} of CPU in {WINDOW:?}");
    let status = status_of(&site, &namespace)?;
    ensure!(
        status != "in-use",
        "show interfaces still calls it {status}"
    );
    ensure!(site.stop(Signal::TERM)?.success());
    Ok(())
}

fn status_of(site: &Site, namespace: &str) -> Result<String> {
    let rows = site.show("interfaces")?;
    let row = rows
        .iter()
        .find(|row| row["Namespace"] == namespace)
        .with_context(|| format!("{namespace}: {rows:?}"))?;
    Ok(row["Status"].as_str().unwrap_or_default().to_owned())
}

fn an_idle_daemon_uses_no_cpu() -> Result<()> {
    let site = Site::with_nginx()?;
    site.curl(&[ENDPOINT])?;
    // The pollers' budget and the closing flow's first deadlines are past.
    std::thread::sleep(Duration::from_secs(1));
    let (used, sleeps) = site.stirrings_over(WINDOW)?;
    // Each of two workers may look for flows to expire once in that time; a thread that polls, however gently, stirs more often.
    ensure!(
        sleeps <= 4 && used <= Duration::from_millis(10),
        "{used:?} of CPU and {sleeps} sleeps in {WINDOW:?}"
    );
    Ok(())
}

/// A pipe that is full and not read: not even the first line finds room.
fn unread() -> Result<(PipeReader, Stdio)> {
    let (reader, mut pipe) = std::io::pipe()?;
    rustix::io::ioctl_fionbio(&pipe, true)?;
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&pipe, false)?;
    Ok((reader, pipe.into()))
}

fn nothing_ends_or_blocks_it_while_standard_error_is_closed() -> Result<()> {
    carries_packets_with("2>&-", Stdio::null())
}

fn nothing_ends_or_blocks_it_while_standard_error_is_full() -> Result<()> {
    carries_packets_with("2>/dev/full", Stdio::null())
}

fn nothing_ends_or_blocks_it_while_standard_error_is_not_read() -> Result<()> {
    let (_reader, pipe) = unread()?;
    carries_packets_with("", pipe)
}

/// A script that fails is reported, as is a link that goes; and with `-vvv` there is a lot to log.
fn carries_packets_with(redirection: &str, stderr: Stdio) -> Result<()> {
    let mut site = Site::new()?;
    let ran = site.dir.path().join("ran");
    let script = format!(
        "UserData: !Base64 \"#!/bin/sh\\nseq 100000; touch {}; exit 3\\n\"",
        ran.display()
    );
    let name = "\n          Value: EC2_A\n";
    let template = site
        .template()
        .edit(name, &format!("{name}      {script}\n"));
    let arguments = ["--run-user-data", "-vvv"];
    site.up_redirected(&template, &arguments, redirection, [Stdio::null(), stderr])?;
    wait_for("the script", Duration::from_secs(20), || Ok(ran.exists()))?;
    site.nginx()?;
    for _ in 0..20 {
        ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    }
    let target = site.b.clone();
    host(&["ip", "-n", &target, "link", "del", "eni0"])?;
    wait_for("the event", Duration::from_secs(10), || {
        Ok(status_of(&site, &target)? != "in-use")
    })?;
    site.applied("template.yaml", &template)?;
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    let log = std::fs::metadata(site.state_dir().join("user-data-EC2A.log"))?;
    let length = log.len();
    ensure!(
        (60_000..67_000).contains(&length),
        "{length} bytes were kept"
    );
    let down = site.privlink(&["down"])?;
    ensure!(down.status.success(), "{}", text(&down));
    ensure!(!exists(&site.a) && !exists(&target), "something is left");
    ensure!(site.stop(Signal::TERM)?.success(), "it did not end well");
    Ok(())
}

fn a_standard_output_that_is_not_read_blocks_nothing() -> Result<()> {
    let mut site = Site::new()?;
    let (_reader, pipe) = unread()?;
    let arguments = ["--query-log", "-"];
    site.up_redirected(&site.template(), &arguments, "", [pipe, Stdio::null()])?;
    site.nginx()?;
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    let address = site.ok(&site.a, &["dig", "+short", "localhost"])?;
    ensure!(address == "127.0.0.1\n", "{address}");
    ensure!(site.stop(Signal::INT)?.success(), "it did not end well");
    ensure!(!exists(&site.a) && !exists(&site.b), "something is left");
    Ok(())
}
