//! A link of 1,300 bytes behind the client or the target, with real kernels on both sides of it (docs/design/0012).

use anyhow::{Context, Result, ensure};

use crate::protocols::offer_udp;
use crate::site::{ENDPOINT, Site, sha256};

crate::tests!(
    a_narrow_link_behind_the_client_carries_everything_and_leaves_no_trace_at_the_target,
    of_datagrams_only_the_one_that_finds_the_link_is_lost,
    a_narrow_link_behind_the_client_carries_a_download_without_offload,
    a_narrow_link_behind_the_target_carries_everything,
);

/// Bytes of UDP payload that fit neither the narrow link nor its multiples.
const SIZES: [&str; 6] = ["2000", "3000", "4001", "5000", "6789", "8000"];

/// A host behind an instance, which becomes a router with NAT: `instance -- 1,300 bytes -- router -- 9,000 bytes -- host`. So
/// the host's own link, and the maximum segment size that it announces, say nothing of the narrow one. Gives the host's namespace.
fn behind(site: &mut Site, instance: &str) -> Result<String> {
    let (router, host) = (format!("{instance}r"), format!("{instance}h"));
    site.namespace(&router)?;
    site.namespace(&host)?;
    let run = |namespace: &str, commands: &[String]| -> Result<()> {
        for command in commands {
            site.ok(namespace, &command.split(' ').collect::<Vec<_>>())?;
        }
        Ok(())
    };
    let forward = "sysctl -q -w net.ipv4.ip_forward=1";
    run(
        instance,
        &[
            forward.into(),
            "ip link add narrow mtu 1300 type veth peer name narrow0 mtu 1300".into(),
            format!("ip link set narrow0 netns {router}"),
            "ip addr add 10.77.0.1/30 dev narrow".into(),
            "ip link set narrow up".into(),
            "ip route add 10.77.0.4/30 via 10.77.0.2".into(),
        ],
    )?;
    run(
        &router,
        &[
            forward.into(),
            "ip link add wide mtu 9000 type veth peer name wide0 mtu 9000".into(),
            format!("ip link set wide0 netns {host}"),
            "ip addr add 10.77.0.2/30 dev narrow0".into(),
            "ip addr add 10.77.0.5/30 dev wide".into(),
            "ip link set narrow0 up".into(),
            "ip link set wide up".into(),
            "ip route add default via 10.77.0.1".into(),
        ],
    )?;
    run(
        &host,
        &[
            "ip addr add 10.77.0.6/30 dev wide0".into(),
            "ip link set wide0 up".into(),
            "ip route add default via 10.77.0.5".into(),
        ],
    )?;
    let nat = "add table ip nat; \
               add chain ip nat out { type nat hook postrouting priority srcnat; }; \
               add rule ip nat out oifname eni0 masquerade; \
               add chain ip nat in { type nat hook prerouting priority dstnat; }; \
               add rule ip nat in iifname eni0 tcp dport 80 dnat to 10.77.0.6; \
               add rule ip nat in iifname eni0 udp dport 5353 dnat to 10.77.0.6";
    site.ok(instance, &["nft", nat])?;
    Ok(host)
}

/// `curl` in a namespace, which must succeed.
fn curl(site: &Site, client: &str, arguments: &[&str]) -> Result<()> {
    let options = ["curl", "-sS", "--fail", "--max-time", "100"];
    site.ok(client, &[&options, arguments].concat()).map(drop)
}

/// A download to a namespace, whose sum is compared.
fn download(site: &Site, client: &str) -> Result<()> {
    let (_, sum) = site.payload(5)?;
    let to = site.dir.path().join("download");
    let path = to.to_str().context("path")?;
    let url = format!("http://{ENDPOINT}/files/payload");
    curl(site, client, &["-o", path, &url])?;
    ensure!(sha256(&to)? == sum, "the download is not what was sent");
    Ok(())
}

/// An upload from a namespace, whose sum is compared.
fn upload(site: &Site, client: &str) -> Result<()> {
    let (sent, sum) = site.payload(5)?;
    let path = sent.to_str().context("path")?;
    let url = format!("http://{ENDPOINT}/files/upload");
    curl(site, client, &["-T", path, &url])?;
    let received = sha256(&site.files().join("upload"))?;
    ensure!(received == sum, "the upload is not what was sent");
    Ok(())
}

/// Has the target send datagrams of all [`SIZES`] to a namespace, which arrive whole; how many were lost before.
fn datagrams(site: &mut Site, client: &str) -> Result<String> {
    let target = site.b.clone();
    site.python(&target, "udp_sizes", &["serve", "5353"])?;
    let arguments = [&["ask", ENDPOINT, "5353"][..], &SIZES].concat();
    let said = site.python_ok(client, "udp_sizes", &arguments)?;
    Ok(said.trim().to_owned())
}

/// A counter of a namespace's kernel.
fn counter(site: &Site, namespace: &str, name: &str) -> Result<u64> {
    let counters = site.ok(namespace, &["nstat", "-asz", name])?;
    let line = counters
        .lines()
        .find(|line| line.starts_with(name))
        .with_context(|| format!("nstat has no {name}"))?;
    Ok(line.split_whitespace().nth(1).context("nstat")?.parse()?)
}

/// A target's kernel has nothing to remember: its next datagram goes out as large as ever.
fn knows_of_no_link(site: &Site, target: &str) -> Result<()> {
    let flows = site.show("flows")?;
    let gateway = flows
        .iter()
        .find_map(|flow| flow["Target"]["Destination"].as_str())
        .context("no flow")?;
    let route = site.ok(target, &["ip", "route", "get", gateway])?;
    ensure!(!route.contains("mtu"), "{route}");
    let exceptions = site.ok(target, &["ip", "route", "show", "cache"])?;
    ensure!(exceptions.is_empty(), "{exceptions}");
    Ok(())
}

fn a_narrow_link_behind_the_client_carries_everything_and_leaves_no_trace_at_the_target()
-> Result<()> {
    let mut site = Site::new()?;
    site.up(&offer_udp(site.template()), &[])?;
    site.nginx()?;
    let (consumer, target) = (site.a.clone(), site.b.clone());
    let client = behind(&mut site, &consumer)?;
    let timeouts = || counter(&site, &target, "TcpExtTCPTimeouts");
    let repeats = || counter(&site, &target, "TcpRetransSegs");
    // On a busy machine the kernel sends a segment again that is late and not lost (RFC 8985, 7).
    let probes = || counter(&site, &target, "TcpExtTCPLossProbes");
    let before = (timeouts()?, repeats()?);
    download(&site, &client)?;
    let first = (timeouts()? - before.0, repeats()? - before.1);
    // What has caused the first error, and what was on its way with it.
    ensure!(first.0 <= 1, "(timeouts, segments sent again): {first:?}");
    ensure!(first.1 > 0, "nothing was too large: this tests nothing");
    knows_of_no_link(&site, &target)?;

    let before = (timeouts()?, repeats()?, probes()?);
    let capture = site.capture(&target, "tcp[tcpflags] & tcp-syn != 0")?;
    download(&site, &client)?;
    upload(&site, &client)?;
    let late = probes()? - before.2;
    let next = (
        timeouts()? - before.0,
        (repeats()? - before.1).saturating_sub(late),
    );
    ensure!(next == (0, 0), "(timeouts, segments sent again): {next:?}");
    let seen = capture.stop()?;
    ensure!(seen.contains("mss 1260"), "the target saw:\n{seen}");

    ensure!(datagrams(&mut site, &client)? == "lost 0");
    knows_of_no_link(&site, &target)?;
    ensure!(site.dropped("ImplausibleMtu")? == 0, "{:?}", site.drops()?);
    Ok(())
}

fn of_datagrams_only_the_one_that_finds_the_link_is_lost() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&offer_udp(site.template()), &[])?;
    let consumer = site.a.clone();
    let client = behind(&mut site, &consumer)?;
    ensure!(datagrams(&mut site, &client)? == "lost 1");
    knows_of_no_link(&site, &site.b)
}

/// Every packet by itself, with a checksum that the target's kernel has completed.
fn a_narrow_link_behind_the_client_carries_a_download_without_offload() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &["--offload", "off"])?;
    site.nginx()?;
    let consumer = site.a.clone();
    let client = behind(&mut site, &consumer)?;
    download(&site, &client)?;
    download(&site, &client)?;
    knows_of_no_link(&site, &site.b)?;
    ensure!(
        site.dropped("BadTransportHeader")? == 0,
        "{:?}",
        site.drops()?
    );
    Ok(())
}

/// The same behind the target, whose router's errors go to the consumer. Without UDP: both ends' kernels send fragments here, which
/// privlink does not forward yet; when it does, `udp_sizes` of [`SIZES`] from the client arrive.
fn a_narrow_link_behind_the_target_carries_everything() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let (consumer, target) = (site.a.clone(), site.b.clone());
    let server = behind(&mut site, &target)?;
    site.nginx_in(&server)?;
    // The upload first: once the server's kernel knows of the link, what it announces keeps the client from finding it.
    upload(&site, &consumer)?;
    let route = site.ok(&consumer, &["ip", "route", "get", ENDPOINT])?;
    ensure!(
        route.contains("mtu 1300"),
        "no error has reached the client: {route}"
    );
    download(&site, &consumer)?;
    upload(&site, &consumer)
}
