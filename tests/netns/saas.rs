//! W2 as its users see it: a service behind a load balancer, two targets, and an endpoint that waits to be accepted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::site::{Site, Template, text, wait_for};

crate::tests!(
    curl_through_a_service_reaches_both_targets,
    an_endpoint_that_is_not_accepted_is_silent,
);

/// The endpoint's address.
const ENDPOINT: &str = "10.100.1.70";

/// W2 in two stacks; the provider's instances live in `site.b` and in `site.b` with a 2.
pub fn site(acceptance: &str) -> Result<Site> {
    let mut site = Site::new()?;
    let (first, second) = (site.b.clone(), format!("{}2", site.b));
    let provider = Template::example("saas-provider.yaml")
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
