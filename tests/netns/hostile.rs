//! Neighbours who mean harm: forged vnet headers from the consumer, reaching back from the provider.

use anyhow::{Context, Result, ensure};

use crate::protocols::offer_udp;
use crate::rules::ANYTHING;
use crate::site::{ENDPOINT, ENDPOINT_1A, INSTANCE, Site};

crate::tests!(
    a_forged_vnet_header_is_dropped_and_named,
    the_provider_cannot_open_anything_towards_the_consumer,
    a_flows_gateway_port_serves_its_own_target_only,
    an_instance_cannot_send_from_an_address_that_is_not_its_own,
    without_the_source_check_an_instance_does_not_speak_as_the_network,
    no_address_in_an_ip_option_crosses_an_endpoint,
);

fn a_forged_vnet_header_is_dropped_and_named() -> Result<()> {
    let site = Site::with_nginx()?;
    let capture = site.capture(&site.b, "tcp")?;
    let forge = |kind| site.python_ok(&site.a, "forge", &[INSTANCE, ENDPOINT, kind]);
    // The same program with an honest header gets through: what follows is not dropped for another reason.
    let honest = forge("honest")?;
    ensure!(honest.starts_with("sent"), "{honest}");
    capture.wait_for(&format!("> {INSTANCE}.80: Flags [S]"))?;
    let before = capture.stop()?;
    ensure!(before.matches("Flags [S]").count() == 1, "{before}");
    site.privlink(&["show", "flows"])?;

    // Everything but what the honest packet may still cause: nginx's answer is reset by EC2_A's kernel.
    let capture = site.capture(
        &site.b,
        &format!("tcp[tcpflags] & tcp-syn != 0 and dst host {INSTANCE} or greater 100"),
    )?;
    // What the kernel passes on; it refuses the others itself, since 6.x by release.
    let mut dropped_here = 0;
    for (kind, reason, always) in [
        ("checksum_into_the_port", "VnetChecksumOffset", true),
        ("checksum_at_udps_place", "VnetChecksumOffset", true),
        ("checksum_from_the_wrong_place", "VnetChecksumStart", true),
        ("checksum_over_the_ip_header", "VnetChecksumStart", false),
        ("segments_of_one_byte", "VnetGsoSize", true),
        ("segments_larger_than_the_path", "PacketTooBig", true),
        ("udp_segments_of_tcp", "VnetGsoType", false),
        ("tcp_segments_into_the_port", "VnetChecksumOffset", false),
    ] {
        let before = site.dropped(reason)?;
        let said = forge(kind)?;
        if said.starts_with("refused") {
            ensure!(!always, "{kind}: {said}");
            continue;
        }
        let after = site.dropped(reason)?;
        ensure!(
            after == before + 1,
            "{kind}: {reason} went from {before} to {after}: {:?}",
            site.drops()?
        );
        dropped_here += 1;
    }
    let seen = capture.stop()?;
    ensure!(
        seen.is_empty(),
        "after {dropped_here} forged packets EC2_B saw:\n{seen}"
    );
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    Ok(())
}

fn the_provider_cannot_open_anything_towards_the_consumer() -> Result<()> {
    let site = Site::with_nginx()?;
    let capture = site.capture(&site.a, "ip")?;
    for endpoint in [ENDPOINT, ENDPOINT_1A] {
        let output = site.run(&site.b, &["curl", "-sS", "--max-time", "1.5", endpoint])?;
        ensure!(
            output.status.code() == Some(28),
            "curl {endpoint} from the provider: {}",
            output.status
        );
        site.python_ok(
            &site.b,
            "raw",
            &[
                ENDPOINT, "80", INSTANCE, "40000", "syn", "synack", "data", "rst",
            ],
        )?;
        site.python_ok(
            &site.b,
            "raw",
            &[
                INSTANCE, "80", endpoint, "80", "syn", "synack", "data", "rst",
            ],
        )?;
    }
    // The forged source, four packets for each endpoint address, to the address that both instances have.
    ensure!(site.dropped("SourceCheck")? == 8, "{:?}", site.drops()?);
    // The endpoint's addresses belong to VPC 1. In VPC 2 one of them is nobody's, the other the gateway's.
    ensure!(site.dropped("NoSuchAddress")? > 4, "{:?}", site.drops()?);
    ensure!(site.dropped("GatewayIngress")? > 4, "{:?}", site.drops()?);
    let seen = capture.stop()?;
    ensure!(seen.is_empty(), "EC2_A saw:\n{seen}");
    Ok(())
}

fn a_flows_gateway_port_serves_its_own_target_only() -> Result<()> {
    let mut site = Site::with_nginx()?;
    let consumer = site.a.clone();
    // Its requests come five a second: nothing but them may be on EC2_A's wire.
    let lines = site.python(&consumer, "hold", &[ENDPOINT])?;
    let flow = site
        .show("flows")?
        .into_iter()
        .find(|flow| flow["State"] == "established")
        .context("no live flow")?;
    let gateway = flow["Target"]["Source"]
        .as_str()
        .context("Source")?
        .to_owned();
    let port = flow["Target"]["SourcePort"].to_string();
    let own = flow["Initiator"]["SourcePort"].to_string();
    let capture = site.capture(
        &site.a,
        &format!("ip and not (host {ENDPOINT} and port {own} and port 80)"),
    )?;
    let before = site.drops()?;
    for (source, source_port) in [
        (INSTANCE, "81"),
        (INSTANCE, "12345"),
        ("172.18.0.109", "80"),
        (ENDPOINT, "80"),
        (gateway.as_str(), "80"),
    ] {
        site.python_ok(
            &site.b,
            "raw",
            &[
                source,
                source_port,
                &gateway,
                &port,
                "syn",
                "synack",
                "data",
                "rst",
            ],
        )?;
    }
    let output = site.run(
        &site.b,
        &[
            "curl",
            "-sS",
            "--max-time",
            "1.5",
            &format!("{gateway}:{port}"),
        ],
    )?;
    ensure!(!output.status.success(), "the gateway answered");
    let seen = capture.stop()?;
    ensure!(seen.is_empty(), "EC2_A saw:\n{seen}");
    let drops = site.drops()?;
    let moved = |reason: &str| {
        let sum = |drops: &std::collections::BTreeMap<(String, String), u64>| {
            drops
                .iter()
                .filter(|((_, name), _)| name == reason)
                .map(|(_, n)| n)
                .sum::<u64>()
        };
        sum(&drops) - sum(&before)
    };
    // Three forged sources with four packets each; two honest ones with four, and curl's.
    ensure!(moved("SourceCheck") == 12, "{drops:?}");
    ensure!(moved("GatewayIngress") + moved("NoFlow") >= 9, "{drops:?}");
    ensure!(lines.try_recv().is_err(), "the live flow was disturbed");
    Ok(())
}

fn an_instance_cannot_send_from_an_address_that_is_not_its_own() -> Result<()> {
    let site = Site::with_nginx()?;
    let capture = site.capture(&site.b, "tcp[tcpflags] & tcp-syn != 0")?;
    site.python_ok(
        &site.a,
        "raw",
        &["172.18.0.109", "4000", ENDPOINT, "80", "syn"],
    )?;
    ensure!(site.dropped("SourceCheck")? == 1, "{:?}", site.drops()?);
    site.python_ok(&site.a, "raw", &[INSTANCE, "4001", ENDPOINT, "80", "syn"])?;
    capture.wait_for("Flags [S]")?;
    let seen = capture.stop()?;
    ensure!(seen.matches("Flags [S],").count() == 1, "{seen}");
    Ok(())
}

fn without_the_source_check_an_instance_does_not_speak_as_the_network() -> Result<()> {
    let mut site = Site::new()?;
    let address = format!("      PrivateIpAddress: {INSTANCE}            # the same");
    let exempt = format!("      SourceDestCheck: false\n{address}");
    let anything = site
        .template()
        .rules("EndpointSecurityGroup", "Ingress", &[ANYTHING])
        .edit(&address, &exempt);
    site.up(&anything, &[])?;
    let capture = site.capture(&site.b, "tcp[tcpflags] & tcp-syn != 0")?;
    let reserved = [
        "0.0.0.0",
        "127.0.0.1",
        "169.254.169.253",
        "172.18.0.1",
        "172.18.0.2",
        "172.18.1.255",
        "224.0.0.1",
        "255.255.255.255",
        ENDPOINT,
        ENDPOINT_1A,
    ];
    for source in reserved {
        site.python_ok(&site.a, "raw", &[source, "4000", ENDPOINT, "80", "syn"])?;
    }
    ensure!(
        site.dropped("ReservedSource")? == reserved.len() as u64,
        "{:?}",
        site.drops()?
    );
    for source in ["172.18.0.109", "198.51.100.7"] {
        site.python_ok(&site.a, "raw", &[source, "4001", ENDPOINT, "80", "syn"])?;
    }
    capture.wait_for("Flags [S]")?;
    let seen = capture.stop()?;
    ensure!(seen.matches("Flags [S],").count() == 2, "{seen}");
    Ok(())
}

/// The kernels on both sides fill in record routes and timestamps.
fn no_address_in_an_ip_option_crosses_an_endpoint() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&offer_udp(site.template()), &[])?;
    site.nginx()?;
    let target = site.b.clone();
    let _server = site.python(&target, "options", &["serve", "7777"])?;
    let sent = [
        site.capture(&site.a, &format!("src host {INSTANCE}"))?,
        site.capture(&site.b, &format!("src host {INSTANCE}"))?,
    ];
    let seen = [
        site.capture(&site.a, &format!("src host {ENDPOINT}"))?,
        site.capture(&site.b, &format!("dst host {INSTANCE}"))?,
    ];
    site.python_ok(&site.a, "options", &[ENDPOINT, "7777"])?;
    let ping = [
        "ping", "-n", "-R", "-c", "2", "-i", "0.2", "-W", "2", ENDPOINT,
    ];
    site.ok(&site.a, &ping)?;
    for capture in sent {
        let sent = capture.stop()?;
        for hidden in [format!("RR {INSTANCE}"), format!("@{INSTANCE}")] {
            ensure!(sent.contains(&hidden), "nothing to hide:\n{sent}");
        }
    }
    for capture in seen {
        let seen = capture.stop()?;
        for wanted in ["Flags [", "UDP, length 5", "ICMP echo", "options (NOP,"] {
            ensure!(seen.contains(wanted), "no {wanted}:\n{seen}");
        }
        for hidden in ["RR", "TS{", "bad cksum"] {
            ensure!(!seen.contains(hidden), "{hidden}:\n{seen}");
        }
    }
    Ok(())
}
