//! The pump: the physical limit of a userspace TUN design, which `scripts/bench.sh` measures privlink against.
//!
//! Two TUNs with vnet headers, two threads, blocking read, fixed address rewrite, write. No flow table, no rules.
//! Both namespaces have 172.18.0.108/24; A reaches B as 172.18.0.70, and B sees A as 172.18.0.83.
//!
//! ```text
//! sudo cargo run --release --example pump -- NAMESPACE_A NAMESPACE_B [--mtu BYTES]
//! ```

use std::{env, process, thread};

use anyhow::{Context, bail};
use privlink::io::{Offload, Tun, TunSpec, privileged};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

const HOST: [u8; 4] = [172, 18, 0, 108];
const B_SEEN_BY_A: [u8; 4] = [172, 18, 0, 70];
const A_SEEN_BY_B: [u8; 4] = [172, 18, 0, 83];
const VNET: usize = 10;

fn main() -> anyhow::Result<()> {
    let mut names = Vec::new();
    let mut mtu = 9001;
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--mtu" => mtu = args.next().context("--mtu wants a number")?.parse()?,
            _ => names.push(arg),
        }
    }
    let [a, b] = &names[..] else {
        bail!("usage: pump NAMESPACE_A NAMESPACE_B [--mtu BYTES]")
    };
    let (a, b) = (open(a, mtu)?, open(b, mtu)?);
    println!("pump: ready");
    thread::scope(|scope| {
        scope.spawn(|| pump(&a, &b, A_SEEN_BY_B));
        scope.spawn(|| pump(&b, &a, B_SEEN_BY_A));
    });
    Ok(())
}

fn open(namespace: &str, mtu: u16) -> anyhow::Result<Tun> {
    let spec = TunSpec {
        addresses: vec![format!("{}/24", HOST.map(|byte| byte.to_string()).join(".")).parse()?],
        mtu,
        offload: Offload::On,
    };
    let tun = privileged::open_tun(&privileged::open_namespace(namespace)?, &spec)?;
    fcntl_setfl(&tun, fcntl_getfl(&tun)? & !OFlags::NONBLOCK)?;
    Ok(tun)
}

/// Carries packets from one TUN to the other until a read fails: the source becomes `source`, the destination the host.
fn pump(from: &Tun, to: &Tun, source: [u8; 4]) {
    let seen = if source == A_SEEN_BY_B {
        B_SEEN_BY_A
    } else {
        A_SEEN_BY_B
    };
    // HOST -> seen becomes source -> HOST: the same change of the sum in every packet.
    let delta = u32::from(!sum(HOST))
        + u32::from(!sum(seen))
        + u32::from(sum(source))
        + u32::from(sum(HOST));
    let mut buffer = vec![0; VNET + 65_536];
    loop {
        let length = from.read(&mut buffer).unwrap_or_else(|error| {
            eprintln!("pump: read: {error}");
            process::exit(1)
        });
        let (vnet, packet) = buffer[..length].split_at_mut(VNET);
        if packet.len() < 28 || packet[0] != 0x45 || packet[16..20] != seen {
            continue;
        }
        packet[12..16].copy_from_slice(&source);
        packet[16..20].copy_from_slice(&HOST);
        change(packet, 10, |checksum| !fold(u32::from(!checksum) + delta));
        let field = match packet[9] {
            6 if packet.len() >= 40 => 20 + 16,
            17 => 20 + 6,
            _ => continue,
        };
        match vnet[0] & 1 {
            // NEEDS_CSUM: the field holds the pseudo-header's sum, not complemented.
            1 => change(packet, field, |sum| fold(u32::from(sum) + delta)),
            _ => change(packet, field, |checksum| {
                !fold(u32::from(!checksum) + delta)
            }),
        }
        let _ = to.write(&buffer[..length]);
    }
}

fn change(packet: &mut [u8], at: usize, to: impl Fn(u16) -> u16) {
    let old = u16::from_be_bytes([packet[at], packet[at + 1]]);
    packet[at..at + 2].copy_from_slice(&to(old).to_be_bytes());
}

fn sum([a, b, c, d]: [u8; 4]) -> u16 {
    fold(u32::from(u16::from_be_bytes([a, b])) + u32::from(u16::from_be_bytes([c, d])))
}

fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
