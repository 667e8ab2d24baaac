//! The command line against a running daemon.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::site::{ENDPOINT, INSTANCE, Site, Template, text, wait_for};

crate::tests!(
    exec_runs_a_command_on_an_instance_and_ends_with_its_exit_code,
    detached_it_runs_on_until_down,
    user_data_runs_on_request_only_and_ends_with_the_topology,
    flows_show_both_sides_of_the_nat,
    a_template_with_an_error_creates_nothing,
    a_consumers_stack_reaches_what_a_providers_exports,
    each_stack_runs_the_user_data_of_its_own_instance,
);

fn exec_runs_a_command_on_an_instance_and_ends_with_its_exit_code() -> Result<()> {
    let site = Site::with_nginx()?;
    let instances = site.show("interfaces")?;
    let owner = instances
        .iter()
        .find(|row| row["Namespace"] == site.a.as_str())
        .and_then(|row| row["Owner"].as_str())
        .unwrap_or_default()
        .to_owned();
    let output = site.privlink(&[
        "exec",
        &owner,
        "--",
        "curl",
        "-sS",
        "--max-time",
        "5",
        ENDPOINT,
    ])?;
    ensure!(
        output.status.success() && text(&output).starts_with("hello"),
        "exec {owner}: {}",
        text(&output)
    );
    let output = site.privlink(&["exec", &owner, "--", "sh", "-c", "exit 7"])?;
    ensure!(output.status.code() == Some(7), "{}", output.status);
    let output = site.privlink(&["exec", "NoSuchInstance", "--", "true"])?;
    ensure!(
        output.status.code() == Some(1) && text(&output).contains(&owner),
        "{}",
        text(&output)
    );
    Ok(())
}

fn detached_it_runs_on_until_down() -> Result<()> {
    let site = Site::new()?;
    let file = site.dir.path().join("template.yaml");
    std::fs::write(&file, &site.template().0)?;
    let output = site.privlink(&["up", "--detach", file.to_str().unwrap_or_default()])?;
    ensure!(
        output.status.success() && text(&output).contains("Ready"),
        "{}",
        text(&output)
    );
    let show = site.show("endpoints");
    let down = site.privlink(&["down"])?;
    ensure!(down.status.success(), "{}", text(&down));
    ensure!(show?.len() == 1);
    for namespace in [&site.a, &site.b] {
        ensure!(
            !std::path::Path::new("/run/netns").join(namespace).exists(),
            "{namespace} was left behind"
        );
    }
    ensure!(
        !site.state_dir().exists(),
        "the state directory was left behind"
    );
    let again = site.privlink(&["down"])?;
    ensure!(
        again.status.success() && text(&again).contains("Nothing to do"),
        "{}",
        text(&again)
    );
    Ok(())
}

fn user_data_runs_on_request_only_and_ends_with_the_topology() -> Result<()> {
    let mut site = Site::new()?;
    let ran = site.dir.path().join("user-data-ran");
    let script = format!(
        "ip netns identify $$ > {0}.new; echo $$ >> {0}.new; mv {0}.new {0}; exec sleep 1000\n",
        ran.display()
    );
    let template = site.template().edit(
        "
          Value: EC2_B
",
        &format!(
            "
          Value: EC2_B
      UserData: !Base64 |
        #!/bin/sh
        {script}"
        ),
    );
    site.up(&template, &[])?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(!ran.exists(), "it ran without --run-user-data");
    ensure!(site.stop(Signal::TERM)?.success());
    site.up(&template, &["--run-user-data"])?;
    wait_for("user data", Duration::from_secs(10), || Ok(ran.exists()))?;
    let said = std::fs::read_to_string(&ran)?;
    let (namespace, pid) = said
        .trim()
        .split_once('\n')
        .ok_or_else(|| anyhow::anyhow!("{said}"))?;
    ensure!(namespace == site.b, "it ran in {namespace:?}");
    ensure!(site.stop(Signal::TERM)?.success());
    ensure!(
        !std::path::Path::new("/proc").join(pid).exists(),
        "process {pid} outlived its topology"
    );
    Ok(())
}

fn flows_show_both_sides_of_the_nat() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let consumer = site.a.clone();
    let _lines = site.python(&consumer, "hold", &[ENDPOINT])?;
    let flows = site.show("flows")?;
    let flow = flows.iter().find(|flow| flow["State"] == "established");
    let flow = flow.ok_or_else(|| anyhow::anyhow!("no established flow: {flows:?}"))?;
    ensure!(
        flow["Initiator"]["Source"] == INSTANCE && flow["Initiator"]["Destination"] == ENDPOINT,
        "{flow}"
    );
    ensure!(
        flow["Target"]["Destination"] == INSTANCE && flow["Target"]["DestinationPort"] == 80,
        "{flow}"
    );
    ensure!(flow["Target"]["Source"] != INSTANCE, "{flow}");
    let show = |filters: &[&str]| {
        let output = site.privlink(&[&["show", "flows"], filters].concat())?;
        Ok::<_, anyhow::Error>(text(&output))
    };
    let gateway = format!(
        "{}:{}",
        flow["Target"]["Source"].as_str().unwrap_or_default(),
        flow["Target"]["SourcePort"]
    );
    for filters in [
        &[][..],
        &["--from", &consumer, "--to", &format!("{ENDPOINT}:80")],
        &["--from", &gateway, "--limit", "1"],
        &["--endpoint", "Endpoint", "--state", "established"],
    ] {
        let table = show(filters)?;
        ensure!(
            table.contains(ENDPOINT) && table.contains("established"),
            "{filters:?}: {table}"
        );
    }
    let none = show(&["--to", "10.0.0.0/8"])?;
    ensure!(none == "No flow matches.\n", "{none}");
    let error = show(&["--endpoint", "Endpiont"])?;
    ensure!(
        error.contains("--endpoint: there is no VPC endpoint `Endpiont`; did you mean Endpoint?"),
        "{error}"
    );
    Ok(())
}

fn a_template_with_an_error_creates_nothing() -> Result<()> {
    let site = Site::new()?;
    let file = site.dir.path().join("template.yaml");
    std::fs::write(
        &file,
        site.template()
            .edit("Vpc1SubnetC: 172.18.1.70", "Vpc1SubnetC: 172.19.1.70")
            .0,
    )?;
    let output = site.privlink(&["up", file.to_str().unwrap_or_default()])?;
    ensure!(
        output.status.code() == Some(1) && text(&output).contains("172.19.1.70"),
        "{}",
        text(&output)
    );
    ensure!(
        !std::path::Path::new("/run/netns").join(&site.a).exists(),
        "a namespace was made"
    );
    Ok(())
}

/// Two templates of two accounts, with the same CIDR and the same logical ids.
fn provider_and_consumer(site: &Site) -> [Template; 2] {
    let provider = Template(include_str!("../templates/provider.yaml").into());
    let consumer = Template(include_str!("../templates/consumer.yaml").into());
    [
        provider.edit("Namespace: server", &format!("Namespace: {}", site.b)),
        consumer.edit("Namespace: client", &format!("Namespace: {}", site.a)),
    ]
}

fn a_consumers_stack_reaches_what_a_providers_exports() -> Result<()> {
    let mut site = Site::new()?;
    let server = site.b.clone();
    let [provider, consumer] = provider_and_consumer(&site);
    site.up_files(
        &[("consumer.yaml", &consumer), ("provider.yaml", &provider)],
        &[],
    )?;
    site.nginx()?;
    let page = site.curl(&["10.0.0.70"])?;
    ensure!(page.ends_with(" to 10.0.0.10:80\n"), "{page}");

    let endpoints = site.show("endpoints")?;
    let endpoint = &endpoints[0];
    ensure!(
        endpoint["Stack"] == "consumer" && endpoint["OwnerId"] == "044455556666",
        "{endpoint}"
    );
    ensure!(endpoint["ResourceStack"] == "provider", "{endpoint}");
    for (what, row) in [
        ("endpoints", ["STACK", "consumer", "provider:Configuration"]),
        ("interfaces", ["STACK", "consumer", "provider"]),
        (
            "flows",
            ["TARGET", "consumer:Instance", "provider:Instance"],
        ),
    ] {
        let table = text(&site.privlink(&["show", what])?);
        ensure!(row.iter().all(|word| table.contains(word)), "{table}");
    }
    let ambiguous = site.privlink(&["exec", "Instance", "--", "true"])?;
    ensure!(
        ambiguous.status.code() == Some(1) && text(&ambiguous).contains("stack provider"),
        "{}",
        text(&ambiguous)
    );
    let identify = ["sh", "-c", "ip netns identify $$"];
    let output = site.privlink(&[&["exec", "provider:Instance", "--"], &identify[..]].concat())?;
    ensure!(text(&output).trim() == server, "{}", text(&output));
    Ok(())
}

fn each_stack_runs_the_user_data_of_its_own_instance() -> Result<()> {
    let mut site = Site::new()?;
    let dir = site.dir.path().to_owned();
    let script = format!("touch {}/ran-$(ip netns identify $$)", dir.display());
    let [provider, consumer] = provider_and_consumer(&site).map(|template| {
        template.edit(
            "      PrivateIpAddress: 10.0.0.10\n",
            &format!(
                "      PrivateIpAddress: 10.0.0.10\n      UserData: !Base64 |\n        #!/bin/sh\n        {script}\n"
            ),
        )
    });
    site.up_files(
        &[("provider.yaml", &provider), ("consumer.yaml", &consumer)],
        &["--run-user-data"],
    )?;
    for namespace in [&site.a, &site.b] {
        let ran = dir.join(format!("ran-{namespace}"));
        wait_for("user data", Duration::from_secs(10), || Ok(ran.exists()))?;
    }
    site.daemon_says(
        "UserData of consumer:Instance has run",
        Duration::from_secs(10),
    )?;
    Ok(())
}
