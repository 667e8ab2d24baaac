//! NAT at the resource gateway: which of its addresses and ports stands for a consumer's flow towards a target.
//!
//! Mapping is endpoint-dependent: a gateway address and port may serve several flows when their targets differ, never two
//! at once to one target. The flow table keeps that: a binding is free when the target's flow key is. The consumer keeps
//! its gateway address where it can (RFC 4787 REQ-2), and ports are unpredictable (RFC 6056).

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::config::{EniIdx, PortRange, Resource};
use super::eni::Eni;
use super::flow::FlowKey;
use super::verdict::DropReason;
use crate::net::{Addr, FiveTuple, Headers, Protocol, Transport};

/// Ports that a gateway uses towards targets.
const PORTS: PortRange = PortRange {
    first: 1024,
    last: u16::MAX,
};
/// Random ports tried per gateway address. With nine of ten in use, all fail once in 700,000 times.
const TRIES_PER_ADDRESS: usize = 128;

/// Does the resource offer what this first packet asks for?
pub(super) fn offered(resource: &Resource, headers: &Headers) -> Result<(), DropReason> {
    let port = headers.tuple.dst_port;
    let ports = || resource.ports.iter().any(|range| range.contains(port));
    match headers.transport {
        Transport::Tcp(_) if resource.protocols.tcp => {
            ports().then_some(()).ok_or(DropReason::PortNotOffered)
        }
        Transport::Udp if resource.protocols.udp => {
            ports().then_some(()).ok_or(DropReason::PortNotOffered)
        }
        Transport::EchoRequest if resource.protocols.icmp => Ok(()),
        _ => Err(DropReason::ProtocolNotOffered),
    }
}

/// Candidates for the target's side of a new flow, best first: the keys of the target's answers, each with a gateway
/// address that the target `admits` and a random port.
pub(super) fn bindings(
    headers: &Headers,
    endpoint: EniIdx,
    gateway: &Eni,
    target: (EniIdx, Addr),
    admits: impl Fn(Addr) -> bool,
    random: &mut ChaCha8Rng,
) -> Result<impl Iterator<Item = FlowKey>, DropReason> {
    let addresses = &gateway.interface.addresses;
    let consumer = FixedState::default().hash_one((headers.tuple.src, endpoint));
    let preferred = (consumer % addresses.len().max(1) as u64) as usize;
    let mut admitted = addresses
        .iter()
        .cycle()
        .skip(preferred)
        .take(addresses.len())
        .copied()
        .filter(move |a| admits(*a));
    let first = admitted.next().ok_or(DropReason::IngressDenied)?;
    let tuple = headers.tuple;
    Ok(std::iter::once(first)
        .chain(admitted)
        .flat_map(move |address| {
            let ports: [u16; TRIES_PER_ADDRESS] =
                std::array::from_fn(|_| random_port(tuple.protocol, random));
            ports
                .into_iter()
                .map(move |port| answer_key(&tuple, target, address, port))
        }))
}

/// The key of the target's answers to the packet that leaves the gateway from `address` and `port`.
fn answer_key(first: &FiveTuple, target: (EniIdx, Addr), address: Addr, port: u16) -> FlowKey {
    FlowKey {
        ingress: target.0,
        tuple: FiveTuple {
            protocol: first.protocol,
            src: target.1,
            src_port: first.dst_port,
            dst: address,
            dst_port: port,
        },
    }
}

/// A port, or for ICMP an identifier, of which every value will do.
fn random_port(protocol: Protocol, random: &mut ChaCha8Rng) -> u16 {
    let range = if protocol == Protocol::ICMP {
        PortRange::ALL
    } else {
        PORTS
    };
    let count = u64::from(range.last - range.first) + 1;
    range.first + ((u64::from(random.next_u32()) * count) >> 32) as u16
}
