//! W1 as its user sees it: pages, files and many connections through both endpoint interfaces.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::site::{ENDPOINT, ENDPOINT_1A, INSTANCE, Site, sha256};

crate::tests!(
    curl_gets_the_page_in_both_zones_between_identical_addresses,
    a_download_of_100_mb_arrives_intact,
    an_upload_of_100_mb_arrives_intact,
    two_hundred_connections_at_once_are_two_hundred_flows,
    a_client_may_use_its_source_port_again_at_once,
    instances_of_one_vpc_reach_each_other_directly,
    a_download_without_offload_arrives_intact,
    a_download_at_an_mtu_of_1500_arrives_intact,
);

fn curl_gets_the_page_in_both_zones_between_identical_addresses() -> Result<()> {
    let site = Site::with_nginx()?;
    for namespace in [&site.a, &site.b] {
        let addresses = site.ok(
            namespace,
            &["ip", "-4", "-o", "addr", "show", "dev", "eni0"],
        )?;
        ensure!(addresses.contains(INSTANCE), "{namespace}: {addresses}");
    }
    let mut gateways = BTreeSet::new();
    for endpoint in [ENDPOINT, ENDPOINT_1A] {
        let page = site.curl(&[endpoint])?;
        let client = page
            .strip_prefix("hello ")
            .and_then(|rest| rest.split(':').next())
            .context("no page")?;
        ensure!(page.ends_with(&format!("to {INSTANCE}:80\n")), "{page}");
        let (first, last) = gateway_addresses(&site, endpoint)?;
        let client: Ipv4Addr = client.parse()?;
        ensure!(
            (first..=last).contains(&client),
            "{endpoint}: {client} is not one of {first}-{last}"
        );
        gateways.insert(client);
    }
    ensure!(
        gateways.len() == 2,
        "each zone has a gateway of its own: {gateways:?}"
    );
    Ok(())
}

/// The gateway's block behind an endpoint's address, as `show endpoints` tells it.
fn gateway_addresses(site: &Site, endpoint: &str) -> Result<(Ipv4Addr, Ipv4Addr)> {
    for row in site.show("endpoints")? {
        for eni in row["NetworkInterfaces"]
            .as_array()
            .context("NetworkInterfaces")?
        {
            if eni["PrivateIpAddress"] == endpoint {
                let block = eni["GatewayAddresses"]
                    .as_str()
                    .context("GatewayAddresses")?;
                let (first, last) = block.split_once('-').unwrap_or((block, block));
                return Ok((first.parse()?, last.parse()?));
            }
        }
    }
    anyhow::bail!("no endpoint has {endpoint}")
}

fn a_download_of_100_mb_arrives_intact() -> Result<()> {
    let site = Site::with_nginx()?;
    download(&site, ENDPOINT, 100)
}

fn an_upload_of_100_mb_arrives_intact() -> Result<()> {
    let site = Site::with_nginx()?;
    let (sent, sum) = site.payload(100)?;
    let url = format!("http://{ENDPOINT_1A}/files/upload");
    site.curl(&["-T", sent.to_str().context("path")?, &url])?;
    ensure!(
        sha256(&site.files().join("upload"))? == sum,
        "the upload is not what was sent"
    );
    Ok(())
}

fn a_download_without_offload_arrives_intact() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &["--offload", "off"])?;
    site.nginx()?;
    download(&site, ENDPOINT, 20)
}

fn a_download_at_an_mtu_of_1500_arrives_intact() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &["--mtu", "1500"])?;
    let link = site.ok(&site.a, &["ip", "link", "show", "eni0"])?;
    ensure!(link.contains("mtu 1500"), "{link}");
    site.nginx()?;
    download(&site, ENDPOINT, 50)
}

/// Downloads so many megabytes and compares their sums.
pub fn download(site: &Site, endpoint: &str, megabytes: usize) -> Result<()> {
    let (_, sum) = site.payload(megabytes)?;
    let to = site.dir.path().join("download");
    site.curl(&[
        "-o",
        to.to_str().context("path")?,
        &format!("http://{endpoint}/files/payload"),
    ])?;
    ensure!(sha256(&to)? == sum, "the download is not what was sent");
    Ok(())
}

fn two_hundred_connections_at_once_are_two_hundred_flows() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let consumer = site.a.clone();
    let lines = site.python(&consumer, "many", &[ENDPOINT, "200"])?;
    let flows = site.show("flows")?;
    let bindings: BTreeSet<_> = flows
        .iter()
        .filter(|flow| flow["State"] == "established")
        .map(|flow| {
            (
                flow["Target"]["Source"].to_string(),
                flow["Target"]["SourcePort"].to_string(),
            )
        })
        .collect();
    ensure!(
        bindings.len() == 200,
        "{} of 200 gateway ports, {} flows: {:?}",
        bindings.len(),
        flows.len(),
        flows.first()
    );
    let last = lines
        .recv_timeout(Duration::from_secs(60))
        .context("no answers")?;
    ensure!(last == "distinct 200", "{last}");
    Ok(())
}

fn a_client_may_use_its_source_port_again_at_once() -> Result<()> {
    let site = Site::with_nginx()?;
    let said = site.python_ok(&site.a, "reuse", &[ENDPOINT, "40000", "50"])?;
    ensure!(said.trim() == "answered 50", "{said}");
    Ok(())
}

fn instances_of_one_vpc_reach_each_other_directly() -> Result<()> {
    let mut site = Site::new()?;
    let third = format!("{}c", site.a);
    // In no group but the VPC's default one, like EC2_A: its members may talk to each other.
    let instance = format!(
        "\n  EC2C:\n    Type: AWS::EC2::Instance\n    Metadata:\n      privlink:\n        Namespace: {third}\n    \
         Properties:\n      SubnetId: !Ref Vpc1SubnetC\n      PrivateIpAddress: 172.18.1.20\n"
    );
    site.up(
        &site
            .template()
            .edit("\n  EC2A:\n", &format!("{instance}\n  EC2A:\n")),
        &[],
    )?;
    site.nginx_in(&third)?;
    let page = site.curl(&["172.18.1.20"])?;
    // No NAT between them.
    ensure!(page.starts_with(&format!("hello {INSTANCE}:")), "{page}");
    download(&site, "172.18.1.20", 10)?;
    ensure!(site.stop(rustix::process::Signal::TERM)?.success());
    ensure!(
        !std::path::Path::new("/run/netns").join(&third).exists(),
        "{third} was left behind"
    );
    Ok(())
}
