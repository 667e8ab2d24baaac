//! W2 as its users see it: a service behind a load balancer, two targets, and an endpoint that waits to be accepted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::site::{Site, Template, text, wait_for};

crate::tests!(
    curl_through_a_service_reaches_both_targets,
    an_endpoint_that_is_not_accepted_is_silent,
    a_killed_target_is_taken_out_and_its_connections_are_reset,
    an_http_probe_goes_by_the_page_that_nginx_has,
    no_server_accepts_a_tcp_probe,
);

/// The endpoint's address.
const ENDPOINT: &str = "10.100.1.70";

/// W2 in two stacks; the provider's instances live in `site.b` and in `site.b` with a 2.
pub fn site(acceptance: &str) -> Result<Site> {
    site_of(acceptance, Template::example("saas-provider.yaml"))
}

fn site_of(acceptance: &str, provider: Template) -> Result<Site> {
    let mut site = Site::new()?;
    let (first, second) = (site.b.clone(), format!("{}2", site.b));
    let provider = provider
        .edit("Namespace: provider-1", &format!("Namespace: {first}"))
        .edit("Namespace: provider-2", &format!("Namespace: {second}"))
        .edit(
            "AcceptanceRequired: true",
            &format!("AcceptanceRequired: {acceptance}"),
        );
    let consumer = Template::example("saas-consumer.yaml")
        .edit("Namespace: client ", &format!("Namespace: {} ", site.a));
    site.up_files(
        &[("provider.yaml", &provider), ("consumer.yaml", &consumer)],
        &[],
    )?;
    Ok(site)
}

fn curl_through_a_service_reaches_both_targets() -> Result<()> {
    let mut site = site("false")?;
    let targets = [site.b.clone(), format!("{}2", site.b)];
    for target in &targets {
        site.nginx_in(target)?;
    }
    // The one whose nginx came second may have failed its first probe, and waits for the next.
    wait_for("two healthy targets", Duration::from_secs(30), || {
        let events = text(&site.privlink(&["events"])?);
        Ok(events.matches("\"State\":\"healthy\"").count() == 2)
    })?;
    let mut answered = BTreeSet::new();
    let mut clients = BTreeSet::new();
    for _ in 0..20 {
        let page = site.curl(&[ENDPOINT])?;
        let (client, target) = page
            .trim()
            .strip_prefix("hello ")
            .and_then(|rest| rest.split_once(" to "))
            .context("no page")?;
        answered.insert(target.to_owned());
        clients.insert(client.split(':').next().unwrap_or_default().to_owned());
    }
    ensure!(
        answered == ["10.100.1.11:80".to_owned(), "10.100.1.12:80".to_owned()].into(),
        "{answered:?}"
    );
    let nodes = site.show("load-balancers")?;
    let node = &nodes[0]["Nodes"][0]["PrivateIpAddresses"];
    ensure!(
        clients == [node.as_str().context("no node")?.to_owned()].into(),
        "{clients:?}, but the node is {node}"
    );
    Ok(())
}

fn an_endpoint_that_is_not_accepted_is_silent() -> Result<()> {
    let mut site = site("true")?;
    let target = site.b.clone();
    site.nginx_in(&target)?;
    site.curl_times_out(ENDPOINT)?;
    ensure!(site.dropped("EndpointNotAvailable")? > 0);
    let endpoints = site.show("endpoints")?;
    ensure!(
        endpoints[0]["State"] == "pendingAcceptance",
        "{endpoints:?}"
    );
    ensure!(
        endpoints[0]["VpcEndpointType"] == "Interface",
        "{endpoints:?}"
    );
    for (what, words) in [
        (
            &["show", "endpoints"][..],
            &["provider:Service", "pendingAcceptance", "TCP 80"][..],
        ),
        (
            &["services", "list"],
            &["required", "111122223333", "arn:aws:iam::444455556666:root"],
        ),
        (
            &["show", "load-balancers"],
            &["provider-NLB", "us-west-2c", "TargetGroup"],
        ),
        (
            &["show", "target-groups"],
            &["provider-target", "10.100.1.12", "TCP traffic-port"],
        ),
    ] {
        let table = text(&site.privlink(what)?);
        for word in words {
            ensure!(table.contains(word), "{what:?} has no {word}:\n{table}");
        }
    }
    Ok(())
}

/// State and reason of each target, in the template's order.
fn health(site: &Site) -> Result<Vec<[String; 2]>> {
    let groups = site.show("target-groups")?;
    let targets = groups[0]["Targets"].as_array().context("no targets")?;
    let word = |health: &Value, key: &str| health[key].as_str().unwrap_or("-").to_owned();
    let health = targets.iter().map(|target| {
        let health = &target["TargetHealth"][0];
        [word(health, "State"), word(health, "Reason")]
    });
    Ok(health.collect())
}

fn wait_for_health(site: &Site, wanted: [[&str; 2]; 2]) -> Result<()> {
    let mut seen = vec![];
    let result = wait_for("health", Duration::from_secs(20), || {
        seen = health(site)?;
        Ok(seen == wanted)
    });
    result.with_context(|| format!("{seen:?}, not {wanted:?}"))
}

const HEALTHY: [&str; 2] = ["healthy", "-"];

fn a_killed_target_is_taken_out_and_its_connections_are_reset() -> Result<()> {
    let mut site = site("false")?;
    let targets = [site.b.clone(), format!("{}2", site.b)];
    site.nginx_in(&targets[0])?;
    // Its port is closed: that is known at once, and counts twice.
    let refused = ["unhealthy", "Target.FailedHealthChecks"];
    wait_for_health(&site, [HEALTHY, refused])?;
    site.nginx_in(&targets[1])?;
    wait_for_health(&site, [HEALTHY; 2])?;
    // Connections that say nothing, and what becomes of each: reset, or still open.
    let script = format!(
        "import socket, select, time\n\
         s = [socket.create_connection(('{ENDPOINT}', 80)) for _ in range(20)]\n\
         print('ready', flush=True)\n\
         time.sleep(14)\n\
         lost = 0\n\
         for c in select.select(s, [], [], 0)[0]:\n\
         \x20   try: c.recv(1); print('closed')\n\
         \x20   except ConnectionResetError: lost += 1\n\
         print('reset', lost, flush=True)"
    );
    let client = site.a.clone();
    let clients = site.spawn(&client, &["python3", "-uc", &script], "ready")?;
    // Nothing answers any more, as when an instance has died: its kernel would reset its own connections.
    for rule in [
        "add table ip dead",
        "add chain ip dead in { type filter hook input priority 0 ; policy drop ; }",
        "add chain ip dead out { type filter hook output priority 0 ; policy drop ; }",
    ] {
        site.ok(&targets[1], &["nft", rule])?;
    }
    wait_for_health(&site, [HEALTHY, ["unhealthy", "Target.Timeout"]])?;
    let only_first = |site: &Site| -> Result<()> {
        for _ in 0..20 {
            let page = site.curl(&[ENDPOINT])?;
            ensure!(page.contains("to 10.100.1.11:80"), "{page}");
        }
        Ok(())
    };
    only_first(&site)?;
    let said = clients.recv_timeout(Duration::from_secs(20))?;
    let lost: usize = said.strip_prefix("reset ").context(said.clone())?.parse()?;
    ensure!((1..20).contains(&lost), "{said}");
    site.ok(&targets[1], &["nft", "delete table ip dead"])?;
    wait_for_health(&site, [HEALTHY; 2])?;
    ensure!(site.drops()?.is_empty(), "{:?}", site.drops()?);
    Ok(())
}

fn an_http_probe_goes_by_the_page_that_nginx_has() -> Result<()> {
    let provider = Template::example("saas-provider.yaml").edit(
        "HealthCheckProtocol: TCP",
        "HealthCheckProtocol: HTTP\n      HealthCheckPath: /files/alive",
    );
    let mut site = site_of("false", provider)?;
    for target in [site.b.clone(), format!("{}2", site.b)] {
        site.nginx_in(&target)?;
    }
    let mismatch = ["unhealthy", "Target.ResponseCodeMismatch"];
    wait_for_health(&site, [mismatch; 2])?;
    let groups = site.show("target-groups")?;
    let description = &groups[0]["Targets"][0]["TargetHealth"][0]["Description"];
    ensure!(
        description == "Health checks failed with these codes: [404]",
        "{description}"
    );
    // A page of some size, which is longer than a probe reads at once.
    std::fs::write(site.files().join("alive"), vec![b'x'; 1 << 20])?;
    wait_for_health(&site, [HEALTHY; 2])?;
    ensure!(site.drops()?.is_empty(), "{:?}", site.drops()?);
    Ok(())
}

fn no_server_accepts_a_tcp_probe() -> Result<()> {
    // Prints the beginning of what each connection says.
    let server = "import socket\n\
                  s = socket.create_server(('', 80))\n\
                  print('ready', flush=True)\n\
                  while True:\n\
                  \x20   c = s.accept()[0]; print(c.recv(14).hex(), flush=True)\n\
                  \x20   while c.recv(1000): pass";
    for proxied in ["false", "true"] {
        let mut provider = Template::example("saas-provider.yaml");
        if proxied == "true" {
            provider = provider.edit("Value: !Ref ProxyProtocol", "Value: \"true\"");
        }
        let mut site = site_of("false", provider)?;
        let targets = [site.b.clone(), format!("{}2", site.b)];
        let mut accepted = vec![];
        for target in &targets {
            accepted.push(site.spawn(target, &["python3", "-uc", server], "ready")?);
        }
        wait_for_health(&site, [HEALTHY; 2])?;
        let client = format!(
            "import socket\nfor _ in range(20): socket.create_connection(('{ENDPOINT}', 80)).send(b'a client {}')",
            "-".repeat(10)
        );
        let client_of = site.a.clone();
        site.ok(&client_of, &["python3", "-uc", &client])?;
        let expected = match proxied {
            // The header's signature, and PROXY, not LOCAL.
            "true" => "0d0a0d0a000d0a515549540a2111",
            _ => "6120636c69656e74202d2d2d2d2d",
        };
        for lines in &accepted {
            let first = lines.recv_timeout(Duration::from_secs(10))?;
            ensure!(first == expected, "proxied: {proxied}: {first:?}");
            for line in lines.try_iter() {
                ensure!(line == expected, "proxied: {proxied}: {line:?}");
            }
        }
        ensure!(site.drops()?.is_empty(), "{:?}", site.drops()?);
    }
    Ok(())
}
