//! Datagrams larger than an interface's MTU, as real kernels fragment and take them.

use anyhow::{Result, ensure};

use crate::checksums::put_behind_a_router;
use crate::protocols::offer_udp;
use crate::rules::ANYTHING;
use crate::site::{ENDPOINT, Site, Template, text};

crate::tests!(
    datagrams_of_every_size_pass_an_endpoint_and_so_do_their_answers,
    a_large_ping_passes_an_endpoint_or_is_answered_by_it,
    a_large_ping_and_datagrams_pass_between_instances_of_one_vpc,
    fragments_of_two_accounts_with_one_identification_are_kept_apart,
    a_target_that_is_a_router_fragments_a_datagram_again,
);

const PORT: &str = "5353";
/// Sizes of questions and answers: larger than the MTU, a DNSSEC answer, larger than an endpoint's path only, the largest.
const SIZES: [&str; 7] = [
    "9000:100",
    "20000:20000",
    "60000:60000",
    "100:4000",
    "8480:8480",
    "65507:65507",
    "100:1473",
];
/// What the daemon is started with: Linux's usual MTU and the largest, with super-packets and without.
const VARIANTS: [&[&str]; 4] = [
    &[],
    &["--mtu", "1500"],
    &["--offload", "off"],
    &["--offload", "off", "--mtu", "1500"],
];

/// Asks a server in `server`'s namespace from `client`'s. Nothing may be dropped but a whole packet that is too big for the
/// path, about which its sender is told.
fn ask(site: &mut Site, (client, address): (&str, &str), server: &str) -> Result<()> {
    let _server = site.python(server, "datagrams", &["serve", PORT])?;
    let arguments = [&["ask", address, PORT], &SIZES[..]].concat();
    site.python_ok(client, "datagrams", &arguments)?;
    let mut drops = site.drops()?;
    drops.retain(|(_, reason), _| reason != "PacketTooBig");
    ensure!(drops.is_empty(), "{drops:?}");
    Ok(())
}

/// Three echo requests with so many bytes, which must be answered.
fn ping(site: &Site, address: &str, size: &str) -> Result<()> {
    let command = [
        "ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", "-s", size, address,
    ];
    let output = site.run(&site.a, &command)?;
    ensure!(
        text(&output).contains(" 0% packet loss"),
        "{size} bytes to {address}: {}\ndrops: {:?}",
        text(&output),
        site.drops()?
    );
    Ok(())
}

fn datagrams_of_every_size_pass_an_endpoint_and_so_do_their_answers() -> Result<()> {
    for variant in VARIANTS {
        let mut site = Site::new()?;
        site.up(&offer_udp(site.template()), variant)?;
        let (client, server) = (site.a.clone(), site.b.clone());
        ask(&mut site, (&client, ENDPOINT), &server)?;
    }
    Ok(())
}

fn a_large_ping_passes_an_endpoint_or_is_answered_by_it() -> Result<()> {
    for variant in VARIANTS {
        for is_offered in [true, false] {
            let mut site = Site::new()?;
            let template = match is_offered {
                true => offer_udp(site.template()),
                false => {
                    let rules = &[ANYTHING];
                    site.template()
                        .rules("EndpointSecurityGroup", "Ingress", rules)
                }
            };
            site.up(&template, variant)?;
            for size in ["20000", "65507"] {
                ping(&site, ENDPOINT, size)?;
            }
            ensure!(site.drops()?.is_empty(), "{:?}", site.drops()?);
        }
    }
    Ok(())
}

fn a_large_ping_and_datagrams_pass_between_instances_of_one_vpc() -> Result<()> {
    const OTHER: &str = "172.18.1.20";
    for variant in VARIANTS {
        let mut site = Site::new()?;
        let third = format!("{}c", site.a);
        let instance = format!(
            "\n  EC2C:\n    Type: AWS::EC2::Instance\n    Metadata:\n      privlink:\n        Namespace: {third}\n    \
             Properties:\n      SubnetId: !Ref Vpc1SubnetC\n      PrivateIpAddress: {OTHER}\n"
        );
        let template = site
            .template()
            .edit("\n  EC2A:\n", &format!("{instance}\n  EC2A:\n"));
        site.up(&template, variant)?;
        ping(&site, OTHER, "20000")?;
        let client = site.a.clone();
        ask(&mut site, (&client, OTHER), &third)?;
    }
    Ok(())
}

fn fragments_of_two_accounts_with_one_identification_are_kept_apart() -> Result<()> {
    const FIRST: &str = "444455556666";
    const SECOND: &str = "777788889999";
    for variant in VARIANTS {
        let mut site = Site::new()?;
        let clients = [site.a.clone(), format!("{}2", site.a)];
        let root = |account| format!("arn:aws:iam::{account}:root");
        let provider = Template::example("saas-provider.yaml")
            .edit("Namespace: provider-1", &format!("Namespace: {}", site.b))
            .edit("Namespace: provider-2", &format!("Namespace: {}2", site.b))
            .edit("        - Id: !Ref Provider2\n", "")
            .edit("AcceptanceRequired: true", "AcceptanceRequired: false")
            .edit(
                &format!("Default: {}", root(FIRST)),
                &format!("Default: {},{}", root(FIRST), root(SECOND)),
            )
            .edit(
                "Protocol: TCP\n      Port: 80\n      VpcId",
                "Protocol: UDP\n      Port: 80\n      VpcId",
            )
            .edit(
                "Protocol: TCP\n      Port: 80\n      DefaultActions",
                "Protocol: UDP\n      Port: 80\n      DefaultActions",
            )
            .rules("InstanceSecurityGroup", "Ingress", &[ANYTHING]);
        let consumer = |account, client: &str| {
            Template::example("saas-consumer.yaml")
                .edit(&format!("\"{FIRST}\""), &format!("\"{account}\""))
                .edit("Namespace: client ", &format!("Namespace: {client} "))
                .rules("EndpointSecurityGroup", "Ingress", &[ANYTHING])
        };
        site.up_files(
            &[
                ("provider.yaml", &provider),
                ("first.yaml", &consumer(FIRST, &clients[0])),
                ("second.yaml", &consumer(SECOND, &clients[1])),
            ],
            variant,
        )?;
        let server = site.b.clone();
        let _echo = site.python(&server, "udp_echo", &["80"])?;
        let addresses = ["10.100.1.11", "10.100.1.70", "80"];
        let arguments = [&addresses[..], &[&clients[0], &clients[1]]].concat();
        site.python_ok(&clients[0], "interleaved", &arguments)?;
    }
    Ok(())
}

fn a_target_that_is_a_router_fragments_a_datagram_again() -> Result<()> {
    for variant in VARIANTS {
        let mut site = Site::new()?;
        site.up(&offer_udp(site.template()), variant)?;
        let behind = put_behind_a_router(&mut site)?;
        for (namespace, link) in [(&site.b, "hop"), (&behind, "up0")] {
            site.ok(
                namespace,
                &["ip", "link", "set", "dev", link, "mtu", "1300"],
            )?;
        }
        let client = site.a.clone();
        ask(&mut site, (&client, ENDPOINT), &behind)?;
    }
    Ok(())
}
