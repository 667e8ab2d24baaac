//! Names: who is asked for them in an instance's namespace, and what real clients are answered.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::site::{Site, host, text, wait_for};

crate::tests!(
    the_processes_of_an_instance_ask_the_resolver_of_its_vpc,
    a_resolv_conf_of_the_users_own_survives,
    a_link_in_etc_netns_is_not_followed,
    a_start_that_fails_leaves_no_resolv_conf,
    a_resolv_conf_goes_with_its_instance,
    what_a_killed_daemon_wrote_is_no_users_own,
);

/// The directory of a namespace's own `/etc`.
fn etc(namespace: &str) -> PathBuf {
    PathBuf::from("/etc/netns").join(namespace)
}

fn resolv_conf(namespace: &str) -> PathBuf {
    etc(namespace).join("resolv.conf")
}

fn the_processes_of_an_instance_ask_the_resolver_of_its_vpc() -> Result<()> {
    let mut site = Site::new()?;
    let seen = site.dir.path().join("user-data-saw");
    let script = format!(
        "cat /etc/resolv.conf > {0}.new; mv {0}.new {0}",
        seen.display()
    );
    let template = site.template().edit(
        "\n          Value: EC2_B\n",
        &format!("\n          Value: EC2_B\n      UserData: !Base64 |\n        #!/bin/sh\n        {script}\n"),
    );
    site.up(&template, &["--run-user-data"])?;
    let written = fs::read_to_string(resolv_conf(&site.a))?;
    ensure!(written.starts_with("# Written by privlink"), "{written}");
    ensure!(
        written.ends_with("\nnameserver 172.18.0.2\nsearch ap-northeast-1.compute.internal\n"),
        "{written}"
    );
    ensure!(site.ok(&site.a, &["cat", "/etc/resolv.conf"])? == written);
    let output = site.privlink(&["exec", "EC2A", "--", "cat", "/etc/resolv.conf"])?;
    ensure!(text(&output) == written, "{}", text(&output));
    wait_for("user data", Duration::from_secs(10), || Ok(seen.exists()))?;
    ensure!(fs::read_to_string(&seen)? == written);
    // Whoever has dropped root's rights asks for names too.
    let nobody = ["setpriv", "--reuid", "65534", "cat", "/etc/resolv.conf"];
    ensure!(site.ok(&site.a, &nobody)? == written);
    ensure!(site.stop(Signal::TERM)?.success());
    ensure!(!etc(&site.a).exists() && !etc(&site.b).exists());
    Ok(())
}

fn a_resolv_conf_of_the_users_own_survives() -> Result<()> {
    let mut site = Site::new()?;
    let (own, beside) = (site.a.clone(), site.b.clone());
    fs::create_dir_all(etc(&own))?;
    fs::create_dir_all(etc(&beside))?;
    fs::write(resolv_conf(&own), "nameserver 192.0.2.1\n")?;
    fs::write(etc(&beside).join("hosts"), "127.0.0.1 localhost\n")?;
    let outcome = own_file_survives(&mut site);
    fs::remove_dir_all(etc(&own))?;
    fs::remove_dir_all(etc(&beside))?;
    outcome
}

fn own_file_survives(site: &mut Site) -> Result<()> {
    let (own, beside) = (site.a.clone(), site.b.clone());
    for end in [Signal::TERM, Signal::KILL] {
        site.up(&site.template(), &[])?;
        let path = resolv_conf(&own).display().to_string();
        site.daemon_says(
            &format!("note: {path} is not privlink's"),
            Duration::from_secs(1),
        )?;
        ensure!(resolv_conf(&beside).exists());
        site.stop(end)?;
        ensure!(site.privlink(&["down"])?.status.success());
        ensure!(fs::read_to_string(resolv_conf(&own))? == "nameserver 192.0.2.1\n");
        ensure!(!resolv_conf(&beside).exists(), "ours was left behind");
        ensure!(etc(&beside).join("hosts").exists());
    }
    Ok(())
}

fn a_link_in_etc_netns_is_not_followed() -> Result<()> {
    let mut site = Site::new()?;
    let elsewhere = site.dir.path().join("elsewhere");
    fs::create_dir_all(&elsewhere)?;
    fs::create_dir_all("/etc/netns")?;
    symlink(&elsewhere, etc(&site.a))?;
    let outcome = site.up(&site.template(), &[]);
    let said = site.daemon_says("cannot look at its resolv.conf", Duration::from_secs(1));
    let stopped = site.stop(Signal::TERM);
    let written = fs::read_dir(&elsewhere)?.count();
    fs::remove_file(etc(&site.a))?;
    outcome?;
    ensure!(said?.contains(&site.a) && stopped?.success());
    ensure!(written == 0, "something was written through the link");
    Ok(())
}

fn a_start_that_fails_leaves_no_resolv_conf() -> Result<()> {
    let site = Site::new()?;
    let file = site.dir.path().join("template.yaml");
    fs::write(&file, &site.template().0)?;
    // All is made before it fails to say so.
    let output = Command::new(env!("CARGO_BIN_EXE_privlink"))
        .args(["up", "--state-dir"])
        .arg(site.state_dir())
        .arg(&file)
        .stdout(fs::File::create("/dev/full")?)
        .output()?;
    ensure!(
        text(&output).contains("cannot write to stdout"),
        "{}",
        text(&output)
    );
    ensure!(output.status.code() == Some(1), "{}", text(&output));
    ensure!(!etc(&site.a).exists() && !etc(&site.b).exists());
    Ok(())
}

fn a_resolv_conf_goes_with_its_instance() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let third = format!("{}c", site.a);
    let instance = format!(
        "\nResources:\n\n  EC2C:\n    Type: AWS::EC2::Instance\n    Metadata: {{privlink: {{Namespace: {third}}}}}\n    \
         Properties: {{SubnetId: !Ref Vpc1SubnetA, PrivateIpAddress: 172.18.0.109}}\n\n"
    );
    let more = site.template().edit("\nResources:\n", &instance);
    site.applied("template.yaml", &more)?;
    ensure!(resolv_conf(&third).exists());
    site.applied("template.yaml", &site.template())?;
    ensure!(!etc(&third).exists(), "it was left behind");
    ensure!(resolv_conf(&site.a).exists());
    Ok(())
}

/// Its record may be gone with `/run`, as after the machine has started anew: the file in `/etc` is not.
fn what_a_killed_daemon_wrote_is_no_users_own() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    site.stop(Signal::KILL)?;
    let left = fs::read_to_string(resolv_conf(&site.a))?;
    fs::remove_dir_all(site.state_dir())?;
    for namespace in [&site.a, &site.b] {
        host(&["ip", "netns", "del", namespace])?;
    }
    site.up(&site.template(), &[])?;
    let now = fs::read_to_string(resolv_conf(&site.a))?;
    ensure!(
        now != left && now.starts_with("# Written by privlink"),
        "{now}"
    );
    ensure!(site.stop(Signal::TERM)?.success());
    ensure!(!etc(&site.a).exists() && !etc(&site.b).exists());
    Ok(())
}
