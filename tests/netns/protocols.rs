//! What is not TCP: ping of the endpoint itself, UDP and ICMP echo through it.

use anyhow::{Result, bail, ensure};

use crate::rules::ANYTHING;
use crate::site::{ENDPOINT, INSTANCE, Site, Template, text};

crate::tests!(
    an_endpoint_interface_answers_ping_where_its_group_admits_icmp,
    an_endpoint_interface_is_silent_to_ping_where_its_group_does_not,
    udp_and_icmp_echo_pass_where_the_resource_lists_them,
    a_packet_too_big_for_the_path_is_answered_with_the_size_that_fits,
    udp_stays_out_where_the_resource_does_not_list_it,
);

const CONFIGURATION: &str = "\n  Configuration:\n";
const PROTOCOLS: &str = "    Metadata:\n      privlink:\n        Protocols: [TCP, UDP, ICMP]\n";

/// Two echo requests to the endpoint: is there an answer?
fn ping(site: &Site) -> Result<bool> {
    let output = site.run(
        &site.a,
        &["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", ENDPOINT],
    )?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("ping: {}", text(&output)),
    }
}

fn an_endpoint_interface_answers_ping_where_its_group_admits_icmp() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&admit_all(site.template()), &[])?;
    let capture = site.capture(&site.b, "icmp")?;
    ensure!(ping(&site)?, "no answer; drops: {:?}", site.drops()?);
    let seen = capture.stop()?;
    ensure!(
        seen.is_empty(),
        "TCP is all that the resource offers, but EC2_B saw:\n{seen}"
    );
    Ok(())
}

fn an_endpoint_interface_is_silent_to_ping_where_its_group_does_not() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&site.template(), &[])?;
    let capture = site.capture(&site.a, "icmp[icmptype] != icmp-echo")?;
    ensure!(!ping(&site)?, "it answered");
    let seen = capture.stop()?;
    ensure!(seen.is_empty(), "not silent:\n{seen}");
    ensure!(site.dropped("IngressDenied")? == 2, "{:?}", site.drops()?);
    Ok(())
}

/// Every group on the way lets everything in and out.
fn admit_all(template: Template) -> Template {
    template
        .rules("EndpointSecurityGroup", "Ingress", &[ANYTHING])
        .rules("TargetSecurityGroup", "Ingress", &[ANYTHING])
}

/// The resource offers UDP and ICMP too, and every group lets them pass.
pub fn offer_udp(template: Template) -> Template {
    admit_all(template).edit(CONFIGURATION, &format!("{CONFIGURATION}{PROTOCOLS}"))
}

fn udp_and_icmp_echo_pass_where_the_resource_lists_them() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&offer_udp(site.template()), &[])?;
    let (consumer, target) = (site.a.clone(), site.b.clone());
    let _echo = site.python(&target, "udp_echo", &["5353"])?;
    let seen = site.python_ok(&consumer, "udp_client", &[ENDPOINT, "5353"])?;
    ensure!(
        seen.starts_with("seen 172.18.1.") && !seen.contains(INSTANCE),
        "{seen}"
    );
    let capture = site.capture(&target, "icmp")?;
    ensure!(ping(&site)?, "no answer; drops: {:?}", site.drops()?);
    let wire = capture.stop()?;
    ensure!(
        wire.contains(&format!("> {INSTANCE}: ICMP echo request")),
        "the target saw:\n{wire}"
    );
    ensure!(
        wire.matches("ICMP echo reply").count() == 2,
        "the target saw:\n{wire}"
    );
    // And large ones, as one datagram each way.
    let output = site.run(
        &consumer,
        &["ping", "-n", "-c", "1", "-s", "8000", "-W", "2", ENDPOINT],
    )?;
    ensure!(output.status.success(), "{}", text(&output));
    Ok(())
}

fn udp_stays_out_where_the_resource_does_not_list_it() -> Result<()> {
    let mut site = Site::new()?;
    site.up(&admit_all(site.template()), &[])?;
    let capture = site.capture(&site.b, "udp")?;
    let (consumer, before) = (site.a.clone(), site.dropped("ProtocolNotOffered")?);
    site.run(
        &consumer,
        &["sh", "-c", &format!("echo x | nc -u -w1 {ENDPOINT} 5353")],
    )?;
    ensure!(
        site.dropped("ProtocolNotOffered")? == before + 1,
        "{:?}",
        site.drops()?
    );
    let seen = capture.stop()?;
    ensure!(seen.is_empty(), "EC2_B saw:\n{seen}");
    Ok(())
}

/// AWS drops it in silence; here the sender learns of it.
fn a_packet_too_big_for_the_path_is_answered_with_the_size_that_fits() -> Result<()> {
    let mut site = Site::new()?;
    site.up(
        &admit_all(site.template()).edit(CONFIGURATION, &format!("{CONFIGURATION}{PROTOCOLS}")),
        &[],
    )?;
    let output = site.run(
        &site.a,
        &[
            "ping", "-n", "-M", "do", "-c", "1", "-W", "1", "-s", "8900", ENDPOINT,
        ],
    )?;
    ensure!(
        text(&output).contains("mtu = 8500") || text(&output).contains("mtu=8500"),
        "{}",
        text(&output)
    );
    ensure!(site.dropped("PacketTooBig")? == 1, "{:?}", site.drops()?);
    let output = site.run(
        &site.a,
        &[
            "ping", "-n", "-M", "do", "-c", "1", "-W", "1", "-s", "8472", ENDPOINT,
        ],
    )?;
    ensure!(output.status.success(), "{}", text(&output));
    Ok(())
}
