//! Namespaces and TUNs against the real kernel. Namespaces are named `io-t-*`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use privlink::io::{Error, Namespace, Offload, Removal, Tun, TunSpec, privileged};

use crate::tests;

tests![
    a_missing_namespace_is_made_like_ip_netns_and_removed_again,
    a_namespace_that_took_the_name_of_ours_is_left_alone,
    the_link_has_address_mtu_queue_and_default_route_and_goes_with_its_descriptor,
    a_link_that_exists_is_an_error_that_says_what_to_do,
    a_leftover_link_is_deleted,
];

/// Runs a program and returns what it printed.
pub fn run(command: &str) -> anyhow::Result<String> {
    let words: Vec<_> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "{command}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Packets that an instance's kernel has been given; a super-packet is one.
pub fn packets_written(namespace: &str) -> anyhow::Result<u64> {
    let links = run(&format!("ip -n {namespace} -s -j link show eni0"))?;
    let links: serde_json::Value = serde_json::from_str(&links)?;
    let packets = links[0]["stats64"]["rx"]["packets"].as_u64();
    packets.context("ip shows no counter")
}

/// Deletes the namespace at the end, also of a test that fails.
pub struct Scratch(pub Namespace);

impl Scratch {
    /// A namespace that does not exist yet.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let namespace = privileged::open_namespace(name)?;
        ensure!(namespace.created(), "{name} is left over from another run");
        Ok(Self(namespace))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = privileged::delete_namespace(self.0.name(), self.0.id()) {
            eprintln!("{error}");
        }
    }
}

fn spec(address: &str) -> TunSpec {
    TunSpec {
        addresses: vec![address.parse().expect("an address with a prefix length")],
        mtu: 9001,
        offload: Offload::On,
    }
}

fn open(namespace: &Scratch) -> anyhow::Result<Tun> {
    Ok(privileged::open_tun(
        &namespace.0,
        &spec("172.18.0.108/24"),
    )?)
}

fn a_missing_namespace_is_made_like_ip_netns_and_removed_again() -> anyhow::Result<()> {
    let namespace = privileged::open_namespace("io-t-made")?;
    assert!(namespace.created());
    assert!(run("ip netns list")?.contains("io-t-made"));
    assert!(run("ip -n io-t-made link show lo")?.contains("UP"));
    let again = privileged::open_namespace("io-t-made")?;
    assert!(!again.created());
    assert_eq!(again.id(), namespace.id());
    let delete = || privileged::delete_namespace("io-t-made", namespace.id());
    assert_eq!(delete()?, Removal::Removed);
    assert_eq!(delete()?, Removal::AlreadyGone);
    assert!(!run("ip netns list")?.contains("io-t-made"));
    Ok(())
}

fn a_namespace_that_took_the_name_of_ours_is_left_alone() -> anyhow::Result<()> {
    let ours = privileged::open_namespace("io-t-other")?;
    run("ip netns delete io-t-other")?;
    run("ip netns add io-t-other")?;
    let removal = privileged::delete_namespace("io-t-other", ours.id())?;
    let link = privileged::delete_link("io-t-other", ours.id())?;
    let still_there = run("ip netns list")?.contains("io-t-other");
    run("ip netns delete io-t-other")?;
    assert_eq!(removal, Removal::NotOurs);
    assert_eq!(link, Removal::NotOurs);
    assert!(still_there);
    Ok(())
}

fn the_link_has_address_mtu_queue_and_default_route_and_goes_with_its_descriptor()
-> anyhow::Result<()> {
    let namespace = Scratch::new("io-t-link")?;
    let tun = open(&namespace)?;
    let link = run("ip -n io-t-link address show eni0")?;
    for expected in ["mtu 9001", "qlen 10000", "inet 172.18.0.108/24", "UP"] {
        assert!(link.contains(expected), "{expected} is not in {link}");
    }
    assert!(!link.contains("inet6"), "{link}");
    let routes = run("ip -n io-t-link route")?;
    assert!(routes.contains("default dev eni0"), "{routes}");
    let features = run("ip netns exec io-t-link ethtool -k eni0")?;
    for expected in [
        "tx-checksumming: on",
        "tcp-segmentation-offload: on",
        "tx-udp-segmentation: on",
    ] {
        assert!(
            features.contains(expected),
            "{expected} is not in {features}"
        );
    }
    // Nothing but what somebody sends: no router solicitations, no MLD.
    let mut buffer = [0; 2048];
    assert_eq!(tun.read(&mut buffer), Err(rustix::io::Errno::AGAIN));
    drop(tun);
    // Another test's child may have the descriptor until it has become its program.
    crate::site::wait_for("the link's end", Duration::from_secs(5), || {
        Ok(!run("ip -n io-t-link link")?.contains("eni0"))
    })
}

fn a_link_that_exists_is_an_error_that_says_what_to_do() -> anyhow::Result<()> {
    let namespace = Scratch::new("io-t-twice")?;
    let _tun = open(&namespace)?;
    let error = privileged::open_tun(&namespace.0, &spec("172.18.0.109/24")).unwrap_err();
    assert!(matches!(error, Error::LinkExists { .. }), "{error:?}");
    assert!(error.to_string().contains("privlink down"), "{error}");
    Ok(())
}

fn a_leftover_link_is_deleted() -> anyhow::Result<()> {
    let namespace = Scratch::new("io-t-left")?;
    run("ip -n io-t-left tuntap add eni0 mode tun")?;
    let delete = || privileged::delete_link("io-t-left", namespace.0.id());
    assert_eq!(delete()?, Removal::Removed);
    assert_eq!(delete()?, Removal::AlreadyGone);
    Ok(())
}
