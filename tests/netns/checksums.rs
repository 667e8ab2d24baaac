//! Checksums where nobody mends them: offloads off at both ends, and a plain veth hop behind the target.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::site::{ENDPOINT, INSTANCE, Site, wait_for};
use crate::traffic::download;

crate::tests!(
    with_offloads_off_every_checksum_is_correct,
    with_offloads_on_a_transfer_through_a_plain_hop_arrives_intact,
);

/// Counters of the kernel that a wrong checksum would move.
const CHECKSUM_ERRORS: [&str; 4] = [
    "TcpInCsumErrors",
    "UdpInCsumErrors",
    "IcmpInCsumErrors",
    "IpExtInCsumErrors",
];

fn with_offloads_off_every_checksum_is_correct() -> Result<()> {
    let site = Site::with_nginx()?;
    let sides = [site.a.clone(), site.b.clone()];
    for namespace in &sides {
        site.ok(
            namespace,
            &[
                "ethtool", "-K", "eni0", "tx", "off", "tso", "off", "gso", "off",
            ],
        )?;
    }
    let captures = [
        site.capture(&sides[0], "tcp port 80")?,
        site.capture(&sides[1], "tcp port 80")?,
    ];
    download(&site, ENDPOINT, 2)?;
    let (sent, sum) = site.payload(2)?;
    site.curl(&[
        "-T",
        sent.to_str().context("path")?,
        &format!("http://{ENDPOINT}/files/upload"),
    ])?;
    ensure!(
        crate::site::sha256(&site.files().join("upload"))? == sum,
        "the upload is not what was sent"
    );
    for (capture, namespace) in captures.into_iter().zip(&sides) {
        let seen = capture.stop()?;
        let correct = seen.matches("(correct)").count();
        ensure!(
            !seen.contains("incorrect") && !seen.contains("bad cksum"),
            "{namespace}: {}",
            first_incorrect(&seen)
        );
        // 4 MB at no more than 9001 bytes a packet.
        ensure!(
            correct > 400,
            "{namespace}: only {correct} packets were judged"
        );
        no_checksum_errors(&site, namespace)?;
    }
    Ok(())
}

fn first_incorrect(seen: &str) -> &str {
    seen.lines()
        .find(|line| line.contains("incorrect") || line.contains("bad cksum"))
        .unwrap_or_default()
}

fn no_checksum_errors(site: &Site, namespace: &str) -> Result<()> {
    let counters = site.ok(namespace, &["nstat", "-asz"])?;
    for name in CHECKSUM_ERRORS {
        let line = counters
            .lines()
            .find(|line| line.starts_with(name))
            .with_context(|| format!("nstat has no {name}"))?;
        let count = line.split_whitespace().nth(1).context("nstat")?;
        ensure!(count == "0", "{namespace}: {line}");
    }
    Ok(())
}

/// EC2_B becomes a router: its address moves into a namespace behind it, which is given, over a veth that finishes no
/// checksum and cuts no super-packet.
pub fn put_behind_a_router(site: &mut Site) -> Result<String> {
    let (router, behind) = (site.b.clone(), format!("{}x", site.b));
    site.namespace(&behind)?;
    let address = format!("{INSTANCE}/32");
    for command in [
        "ip link add hop type veth peer name up0",
        "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eni0.rp_filter=0",
        &format!("ip link set up0 netns {behind}"),
        "ip link set hop up",
        "ip addr flush dev eni0",
        "ip addr add 10.77.0.1/24 dev hop",
        "ip route replace default dev eni0",
        &format!("ip route add {address} dev hop"),
    ] {
        site.ok(&router, &command.split(' ').collect::<Vec<_>>())?;
    }
    for command in [
        &format!("ip addr add {address} dev up0"),
        "ip addr add 10.77.0.2/24 dev up0",
        "ip link set up0 up",
        &format!("ip route add default via 10.77.0.1 src {INSTANCE}"),
    ] {
        site.ok(&behind, &command.split(' ').collect::<Vec<_>>())?;
    }
    for (namespace, device) in [(&router, "hop"), (&behind, "up0")] {
        let plain = [
            "ethtool", "-K", device, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro",
            "off",
        ];
        site.ok(namespace, &plain)?;
    }
    Ok(behind)
}

fn with_offloads_on_a_transfer_through_a_plain_hop_arrives_intact() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let behind = put_behind_a_router(&mut site)?;
    site.nginx_in(&behind)?;
    wait_for("the hop", Duration::from_secs(10), || {
        Ok(site.curl(&["-o", "/dev/null", ENDPOINT]).is_ok())
    })?;
    download(&site, ENDPOINT, 20)?;
    let (sent, sum) = site.payload(20)?;
    site.curl(&[
        "-T",
        sent.to_str().context("path")?,
        &format!("http://{ENDPOINT}/files/upload"),
    ])?;
    ensure!(
        crate::site::sha256(&site.files().join("upload"))? == sum,
        "the upload is not what was sent"
    );
    no_checksum_errors(&site, &behind)?;
    no_checksum_errors(&site, &site.a)
}
