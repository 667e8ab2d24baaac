//! The data plane's behaviour, told as scenarios over `sim::World` with virtual time.

mod balance;
mod checksums;
mod cut;
mod dns_resource;
mod endpoint;
mod failing;
mod fragments;
mod groups;
mod half_open;
mod health;
mod hostile;
mod names;
mod options;
mod path_mtu;
mod proxy;
mod races;
mod resolver;
mod resolver_tcp;
mod rows;
mod saas;
mod scale;
mod streams;
mod tcp;
mod vpc;

use std::collections::BTreeMap;

use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::net::{FiveTuple, Segment};
use privlink::sim::{Drops, Outcome, PacketBuilder, SimPacket, Topology, World, tcp};

pub const A: EniIdx = Topology::EC2_A;
pub const B: EniIdx = Topology::EC2_B;
pub const EC2: [u8; 4] = Topology::EC2_ADDRESS;
pub const NEIGHBOUR: [u8; 4] = Topology::NEIGHBOUR_ADDRESS;
pub const ENDPOINT: [u8; 4] = Topology::ENDPOINT_C_ADDRESS;
pub const SYN: u8 = Segment::SYN;
pub const ACK: u8 = Segment::ACK;
pub const FIN: u8 = Segment::FIN;
pub const RST: u8 = Segment::RST;

/// Exactly these drop counters moved, each by one.
pub fn drops<const N: usize>(moved: [(EniIdx, DropReason); N]) -> Drops {
    moved
        .into_iter()
        .map(|key| (key, 1))
        .collect::<BTreeMap<_, _>>()
}

/// A TCP connection from EC2_A through the endpoint to EC2_B, driven by both ends.
pub struct Connection {
    pub client: ([u8; 4], u16),
    pub server: ([u8; 4], u16),
    /// What EC2_B answers to: the gateway's address and port.
    pub gateway: ([u8; 4], u16),
}

impl Connection {
    /// The SYN, delivered.
    pub fn syn(world: &mut World, port: u16) -> Self {
        Self::syn_to(world, port, ENDPOINT)
    }

    pub fn syn_to(world: &mut World, port: u16, endpoint: [u8; 4]) -> Self {
        let (client, server) = ((EC2, port), (endpoint, 80));
        let arrived = world.deliver(A, &tcp(client, server), B);
        Self {
            client,
            server,
            gateway: source(&arrived.tuple()),
        }
    }

    /// The three-way handshake: the client's data starts at 1001, the server's at 5001.
    pub fn open(world: &mut World, port: u16) -> Self {
        let connection = Self::syn(world, port);
        connection.answer(world, SYN | ACK, 5000, 1001);
        connection.say(world, ACK, 1001, 5001);
        connection
    }

    /// What the client sends.
    pub fn outbound(&self, flags: u8, seq: u32, ack: u32) -> PacketBuilder {
        tcp(self.client, self.server).segment(flags, seq, ack)
    }

    /// What the server sends.
    pub fn inbound(&self, flags: u8, seq: u32, ack: u32) -> PacketBuilder {
        tcp((EC2, 80), self.gateway).segment(flags, seq, ack)
    }

    /// The client sends, the server receives.
    pub fn say(&self, world: &mut World, flags: u8, seq: u32, ack: u32) -> SimPacket {
        let arrived = world.deliver(A, &self.outbound(flags, seq, ack), B);
        assert_eq!(arrived.tuple(), tuple(self.gateway, (EC2, 80)));
        arrived
    }

    /// The server sends, the client receives.
    pub fn answer(&self, world: &mut World, flags: u8, seq: u32, ack: u32) -> SimPacket {
        let arrived = world.deliver(B, &self.inbound(flags, seq, ack), A);
        assert_eq!(arrived.tuple(), tuple(self.server, self.client));
        arrived
    }

    /// FIN both ways, acknowledged.
    pub fn close(&self, world: &mut World) {
        self.say(world, FIN | ACK, 1001, 5001);
        self.answer(world, FIN | ACK, 5001, 1002);
        self.say(world, ACK, 1002, 5002);
    }
}

/// A SYN and, where it arrives, the rest of the handshake; gives what became of the SYN.
pub fn handshake(
    world: &mut World,
    from: EniIdx,
    client: ([u8; 4], u16),
    server: ([u8; 4], u16),
) -> Outcome {
    let syn = tcp(client, server);
    let outcome = world.send(from, &syn);
    if let Verdict::Forward(target) = outcome.verdict {
        let answer = outcome.packet.tuple().reversed();
        let destination = (answer.dst.octets_v4().unwrap(), answer.dst_port);
        let answer = tcp(source(&answer), destination).segment(SYN | ACK, 5000, 1001);
        world.deliver(target, &answer, from);
        world.deliver(from, &syn.segment(ACK, 1001, 5001), target);
    }
    outcome
}

/// The source of a five-tuple as a test writes it.
pub fn source(tuple: &FiveTuple) -> ([u8; 4], u16) {
    (tuple.src.octets_v4().unwrap(), tuple.src_port)
}

pub fn tuple(src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> FiveTuple {
    tcp(src, dst).build().tuple()
}

/// An ICMP port-unreachable from `src` to `dst`, by etherparse, that quotes 28 bytes.
pub fn port_unreachable(src: [u8; 4], dst: [u8; 4], quoted: &[u8]) -> SimPacket {
    unreachable_quoting(src, dst, &quoted[..quoted.len().min(28)])
}

/// An ICMP port-unreachable from `src` to `dst`, by etherparse, that quotes all of these bytes.
pub fn unreachable_quoting(src: [u8; 4], dst: [u8; 4], quoted: &[u8]) -> SimPacket {
    let error = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::Port,
    );
    let mut bytes = Vec::new();
    etherparse::PacketBuilder::ipv4(src, dst, 64)
        .icmpv4(error)
        .write(&mut bytes, quoted)
        .unwrap();
    SimPacket {
        vnet: Default::default(),
        bytes,
    }
}
