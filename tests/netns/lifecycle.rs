//! Beginning and end: what `up` makes, what is left after each way to end, what happens when the ground goes away.

use std::fs::File;
use std::io::{PipeReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

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
    the_kernel_sends_no_ipv6_of_its_own_even_where_it_is_switched_on_again,
    a_signal_without_a_meaning_is_ignored_and_sigquit_ends_it_as_it_should,
    a_query_log_on_a_full_disk_goes_on_when_there_is_room,
    what_cannot_be_written_on_a_full_disk_is_named,
    with_its_state_directory_removed_it_is_found_and_ended,
    started_detached_it_runs_whether_or_not_that_can_be_printed,
    an_apply_does_not_wait_for_a_daemon_that_is_stopped,
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

fn the_kernel_sends_no_ipv6_of_its_own_even_where_it_is_switched_on_again() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let namespace = site.a.clone();
    for value in ["1", "0"] {
        let setting = format!("net.ipv6.conf.all.disable_ipv6={value}");
        site.ok(&namespace, &["sysctl", "-qw", &setting])?;
    }
    host(&["ip", "-n", &namespace, "link", "set", "eni0", "down"])?;
    host(&["ip", "-n", &namespace, "link", "set", "eni0", "up"])?;
    let switched_on = "/proc/sys/net/ipv6/conf/eni0/disable_ipv6";
    ensure!(site.ok(&namespace, &["cat", switched_on])? == "0\n");
    // Router solicitations would follow within a second, and be repeated every four.
    std::thread::sleep(Duration::from_secs(6));
    ensure!(site.dropped("Ipv6")? == 0, "{:?}", site.drops()?);
    Ok(())
}

/// Signals that end a process which does not listen to them.
const SIGNALS: [(Signal, &str); 7] = [
    (Signal::USR1, "SIGUSR1"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::VTALARM, "SIGVTALRM"),
    (Signal::PROF, "SIGPROF"),
    (Signal::IO, "SIGIO"),
    (Signal::XFSZ, ""),
];

fn a_signal_without_a_meaning_is_ignored_and_sigquit_ends_it_as_it_should() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let pid = Pid::from_raw(site.pid()? as i32).context("a process")?;
    for (signal, name) in SIGNALS {
        kill_process(pid, signal)?;
        if !name.is_empty() {
            site.daemon_says(&format!("{name} is ignored"), Duration::from_secs(10))?;
        }
        ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    }
    host(&["kill", "-s", "RTMIN+5", &site.pid()?.to_string()])?;
    site.daemon_says("SIGRTMIN+5 is ignored", Duration::from_secs(10))?;
    let status = site.stop(Signal::QUIT)?;
    ensure!(status.success(), "privlink ended with {status}");
    ensure!(!exists(&site.a) && !exists(&site.b), "something is left");
    ensure!(!site.state_dir().exists(), "the state directory is left");
    Ok(())
}

fn a_query_log_on_a_full_disk_goes_on_when_there_is_room() -> Result<()> {
    let mut site = Site::new()?;
    let disk = Mounted::new(site.dir.path().join("disk"))?;
    let (log, filler) = (disk.0.join("queries"), disk.0.join("filler"));
    let name = log.display().to_string();
    site.up(&site.template(), &["--query-log", &name])?;
    let ask = |site: &Site, times: usize| {
        let command = format!("for i in $(seq {times}); do dig +short localhost; done");
        site.ok(&site.a, &["sh", "-c", &command])
    };
    ask(&site, 1)?;
    wait_for("a line", Duration::from_secs(10), || {
        Ok(std::fs::read_to_string(&log)?.ends_with('\n'))
    })?;
    // It takes all that is left of the disk.
    let _ = host(&["dd", "if=/dev/zero", &format!("of={}", filler.display())]);
    // A line has some 400 bytes, and there may be room for 4096 in the page that the log has begun.
    ask(&site, 20)?;
    let full = format!("warning: cannot write the query log {name}: No space left on device");
    site.daemon_says(&full, Duration::from_secs(10))?;
    std::fs::remove_file(&filler)?;
    ask(&site, 1)?;
    let again = format!("the query log {name} is written again; ");
    let said = site.daemon_says(&again, Duration::from_secs(10))?;
    ensure!(site.stop(Signal::TERM)?.success());
    let lost: usize = said
        .split_once(again.as_str())
        .and_then(|(_, rest)| rest.split(' ').next())
        .context("a count")?
        .parse()?;
    let text = std::fs::read_to_string(&log)?;
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    let lines = text.lines().count();
    ensure!(lost > 0 && lines + lost == 22, "{lines} lines, {lost} lost");
    Ok(())
}

fn what_cannot_be_written_on_a_full_disk_is_named() -> Result<()> {
    let site = Site::new()?;
    let disk = Mounted::new(site.dir.path().join("disk"))?;
    let state = disk.0.join("state");
    std::fs::DirBuilder::new().mode(0o700).create(&state)?;
    let _ = host(&[
        "dd",
        "if=/dev/zero",
        &format!("of={}", disk.0.join("filler").display()),
    ]);
    let file = site.dir.path().join("template.yaml");
    std::fs::write(&file, &site.template().0)?;
    let output = Command::new(env!("CARGO_BIN_EXE_privlink"))
        .args(["up", "--upstream", "none", "--state-dir"])
        .args([&state, &file])
        .output()?;
    let said = text(&output);
    ensure!(output.status.code() == Some(1), "{said}");
    let expected = format!(
        "cannot write {}: No space left on device",
        state.join("lock").display()
    );
    ensure!(said.contains(&expected), "{said}");
    ensure!(!exists(&site.a) && !exists(&site.b), "something is left");
    Ok(())
}

/// A small disk, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: PathBuf) -> Result<Self> {
        std::fs::create_dir(&path)?;
        let place = path.display().to_string();
        host(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", &place])?;
        Ok(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = host(&["umount", "-l", &self.0.display().to_string()]);
    }
}

fn with_its_state_directory_removed_it_is_found_and_ended() -> Result<()> {
    for whole in [true, false] {
        let mut site = Site::with_nginx()?;
        let pid = format!("(pid {})", site.pid()?);
        match whole {
            true => std::fs::remove_dir_all(site.state_dir())?,
            false => {
                for entry in std::fs::read_dir(site.state_dir())? {
                    std::fs::remove_file(entry?.path())?;
                }
            }
        }
        let template = site.dir.path().join("template.yaml").display().to_string();
        for arguments in [
            &["up", &template][..],
            &["show", "flows"],
            &["apply", &template],
        ] {
            let output = site.privlink(arguments)?;
            let said = text(&output);
            ensure!(output.status.code() == Some(1), "{arguments:?}: {said}");
            let expected = [&pid, "its state directory was removed", "privlink down"];
            ensure!(expected.iter().all(|part| said.contains(part)), "{said}");
        }
        ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
        let down = site.privlink(&["down"])?;
        let said = text(&down);
        ensure!(down.status.success(), "{said}");
        ensure!(
            said.contains(&pid) && said.contains("was removed"),
            "{said}"
        );
        ensure!(!exists(&site.a) && !exists(&site.b), "something is left");
        ensure!(!site.state_dir().exists(), "the state directory is left");
        ensure!(site.stop(Signal::TERM)?.success(), "it did not end well");
    }
    Ok(())
}

fn started_detached_it_runs_whether_or_not_that_can_be_printed() -> Result<()> {
    let site = Site::new()?;
    let file = site.dir.path().join("template.yaml");
    std::fs::write(&file, &site.template().0)?;
    let on_full_disk = |arguments: &[&str]| -> Result<Output> {
        Ok(Command::new(env!("CARGO_BIN_EXE_privlink"))
            .args(arguments)
            .arg("--state-dir")
            .arg(site.state_dir())
            .stdout(File::create("/dev/full")?)
            .output()?)
    };
    let file = file.display().to_string();
    for arguments in [
        &["up", "--detach", "--upstream", "none", &file][..],
        &["apply", &file],
        &["down"],
    ] {
        let output = on_full_disk(arguments)?;
        let said = text(&output);
        ensure!(output.status.success(), "{arguments:?}: {said}");
        ensure!(said.contains("cannot write to stdout"), "{said}");
        let runs = arguments[0] != "down";
        ensure!(
            exists(&site.a) == runs && exists(&site.b) == runs,
            "{arguments:?}"
        );
    }
    Ok(())
}

fn an_apply_does_not_wait_for_a_daemon_that_is_stopped() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let pid = Pid::from_raw(site.pid()? as i32).context("a process")?;
    kill_process(pid, Signal::STOP)?;
    let output = site.apply("template.yaml", &site.template(), &[]);
    let asked = site.privlink(&["show", "flows"]);
    let down = site.privlink(&["down"]);
    kill_process(pid, Signal::CONT).or_else(|_| anyhow::Ok(()))?;
    for output in [output?, asked?] {
        let said = text(&output);
        ensure!(output.status.code() == Some(1), "{said}");
        let expected = format!("(pid {}) is stopped: `kill -CONT", site.pid()?);
        ensure!(said.contains(&expected), "{said}");
    }
    // It is let go on so that it can end.
    let down = down?;
    ensure!(down.status.success(), "{}", text(&down));
    ensure!(site.stop(Signal::TERM)?.success(), "it did not end well");
    Ok(())
}
