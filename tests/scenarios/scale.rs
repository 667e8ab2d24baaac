//! Many flows at once.

use std::collections::HashMap;
use std::time::Duration;

use privlink::dataplane::config::{Destination, Role};
use privlink::dataplane::{DropReason, EniIdx, Instant, Settings, Verdict};
use privlink::net::tcp::seq_le;
use privlink::sim::{PacketBuilder, Topology, World, any_from, tcp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, FIN, RST, SYN, drops, handshake};

/// Ports of a gateway's address.
const PORTS: usize = 64_512;

/// Flows that leave the table in one call, at most.
const MOST: usize = 128;

#[test]
fn flows_that_all_end_at_once_are_taken_back_in_small_pieces_without_delay() {
    const FLOWS: usize = 20_000;
    let settings = Settings {
        max_flows: 2 * FLOWS,
        ..World::settings()
    };
    let mut world = World::with(&Topology::w1(), settings);
    for flow in 0..FLOWS {
        Connection::open(&mut world, 20_000 + flow as u16);
    }
    let ended = world.now + Duration::from_secs(350);
    // At the beginning of time none has expired: so all that are in the table are seen.
    let left = |world: &World| world.dataplane.flows(0..usize::MAX, Instant::START).count();
    let mut before = left(&world);
    assert_eq!(before, FLOWS);
    world.now = ended;
    while let Some(deadline) = world.dataplane.poll_timeout(&world.workers[0]) {
        world.now = world.now.max(deadline.at);
        let World {
            dataplane,
            workers,
            now,
            ..
        } = &mut world;
        dataplane.resume(&mut workers[0]);
        dataplane.handle_timeout(&mut workers[0], *now);
        dataplane.park(&mut workers[0]);
        let after = left(&world);
        assert!(before - after <= MOST, "{} in one call", before - after);
        before = after;
    }
    assert_eq!(before, 0);
    let took = world.now.since(ended);
    assert!(took <= Duration::from_secs(6), "{took:?}");
}

/// W1 whose gateway in zone c has one address, and whose consumer has one instance, with a table that is no limit.
fn one_address() -> (Topology, Settings) {
    let mut topology = Topology::w1();
    topology.config.enis.take(Topology::EC2_A2);
    let gateway = topology.interface(Topology::GATEWAY_C);
    gateway.addresses.truncate(1);
    let settings = Settings {
        max_flows: 4 * PORTS,
        ..World::settings()
    };
    (topology, settings)
}

/// The packet arrives; gives the address and port that it comes from.
fn arrives(world: &mut World, from: EniIdx, packet: &PacketBuilder) -> ([u8; 4], u16) {
    let outcome = world.send(from, packet);
    let to = if from == A { B } else { A };
    assert_eq!(outcome.verdict, Verdict::Forward(to), "{packet:?}");
    super::source(&outcome.packet.tuple())
}

/// A host as Linux is one: what it does with a SYN from an address and port that it remembers in TIME-WAIT.
#[derive(Default)]
struct Target {
    waiting: HashMap<([u8; 4], u16), Waiting>,
    reused: usize,
}

struct Waiting {
    next: u32,
    timestamp: Option<u32>,
    until: Instant,
}

impl Target {
    fn takes(&mut self, from: ([u8; 4], u16), seq: u32, timestamp: Option<u32>, now: Instant) {
        let Some(old) = self.waiting.remove(&from).filter(|old| now < old.until) else {
            return;
        };
        let after = |a: u32, b: u32| a != b && seq_le(b, a);
        let times = old.timestamp.zip(timestamp);
        let is_older = times.is_some_and(|(old, new)| after(old, new));
        let is_later = times.is_some_and(|(old, new)| after(new, old));
        let port = from.1;
        assert!(
            !is_older && (is_later || after(seq, old.next)),
            "port {port} is in TIME-WAIT"
        );
        self.reused += 1;
    }
}

/// 14,000 new connections a second to one target for two minutes through a gateway of 16 addresses, made sixteen times
/// smaller: in connections, gateway addresses and client ports. The target closes first, so it stays in TIME-WAIT.
#[test]
fn a_target_may_get_14_000_connections_a_second_for_two_minutes() {
    const RATE: u32 = 14_000 / 16;
    const CLIENT_PORTS: u32 = 28_000 / 16;
    let (topology, settings) = one_address();
    let mut world = World::with(&topology, settings);
    let mut target = Target::default();
    for nth in 0..120 * RATE {
        world.advance(Duration::from_secs(1) / RATE);
        let port = nth % CLIENT_PORTS;
        // Half of the clients have timestamps, in milliseconds; initial sequence numbers follow RFC 6528.
        let timestamp = port
            .is_multiple_of(2)
            .then_some((world.now.0 / 1000) as u32);
        let clock = (world.now.0 * 16) as u32;
        let first = clock.wrapping_add(port.wrapping_mul(0x9e37_79b9));
        let client = (EC2, 32_768 + port as u16);
        let say = |flags, seq: u32, ack| {
            let packet = tcp(client, (ENDPOINT, 80)).segment(flags, first.wrapping_add(seq), ack);
            match timestamp {
                Some(timestamp) => packet.timestamp(timestamp),
                None => packet,
            }
        };
        let gateway = arrives(&mut world, A, &say(SYN, 0, 0));
        target.takes(gateway, first, timestamp, world.now);
        let answer = |flags, seq, ack: u32| {
            tcp((EC2, 80), gateway).segment(flags, seq, first.wrapping_add(ack))
        };
        arrives(&mut world, B, &answer(SYN | ACK, 5000, 1));
        arrives(&mut world, A, &say(ACK, 1, 5001));
        arrives(&mut world, B, &answer(FIN | ACK, 5001, 1));
        arrives(&mut world, A, &say(FIN | ACK, 1, 5002));
        arrives(&mut world, B, &answer(ACK, 5002, 2));
        let waiting = Waiting {
            next: first.wrapping_add(2),
            timestamp,
            until: world.now + Duration::from_secs(240),
        };
        target.waiting.insert(gateway, waiting);
    }
    assert!(target.reused > 30_000, "{} times", target.reused);
    assert!(world.dataplane.flows(0..usize::MAX, Instant::START).count() <= PORTS);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn a_resting_connection_yields_its_port_to_a_syn_that_time_wait_takes_and_to_no_other() {
    let (topology, settings) = one_address();
    let mut world = World::with(&topology, settings);
    for port in 0..PORTS as u16 {
        // Random ports find the last unused ones late.
        let syn = tcp((EC2, port), (ENDPOINT, 80));
        let mut tries = std::iter::repeat_with(|| world.send(A, &syn));
        let bound = tries
            .find(|outcome| outcome.verdict == Verdict::Forward(B))
            .unwrap();
        let connection = Connection {
            client: (EC2, port),
            server: (ENDPOINT, 80),
            gateway: super::source(&bound.packet.tuple()),
        };
        arrives(&mut world, B, &connection.inbound(FIN | ACK, 5001, 1001));
        let last = connection.outbound(FIN | ACK, 1001, 5002);
        arrives(&mut world, A, &last.timestamp(500));
        arrives(&mut world, B, &connection.inbound(ACK, 5002, 1002));
    }
    world.new_drops();
    // What the target expects next is 1002, and the last timestamp that it has seen is 500.
    let rows = [
        (1000, None, false),
        (1002, None, false),
        (1003, None, true),
        (1003, Some(499), false),
        (1003, Some(500), true),
        (1002, Some(500), false),
        (1002, Some(501), true),
        (1002u32.wrapping_sub(1 << 31), Some(501), true),
        (1002u32.wrapping_add(1 << 31), None, false),
        (1003, Some(500u32.wrapping_sub(1 << 30)), false),
    ];
    for (port, (seq, timestamp, passes)) in (1..).zip(rows) {
        let client = (EC2, PORTS as u16 + port);
        let mut syn = tcp(client, (ENDPOINT, 80)).segment(SYN, seq, 0);
        if let Some(timestamp) = timestamp {
            syn = syn.timestamp(timestamp);
        }
        let verdict = world.send(A, &syn).verdict;
        let expected = match passes {
            true => Verdict::Forward(B),
            false => Verdict::Drop(DropReason::PortsExhausted),
        };
        assert_eq!(verdict, expected, "{seq} {timestamp:?}");
    }
    assert!(world.flows().len() <= PORTS);
}

#[test]
fn closed_connections_rest_for_four_minutes_and_one_when_their_opener_runs_short() {
    // One that may have 500 at most runs short from a third of the table on.
    for (connections, after_a_minute) in [(300, 300), (400, 333)] {
        let settings = Settings {
            max_flows: 1000,
            ..World::settings()
        };
        let mut world = World::with(&Topology::w1(), settings);
        for port in 0..connections {
            Connection::open(&mut world, 20_000 + port).close(&mut world);
        }
        world.advance(Duration::from_secs(59));
        assert_eq!(world.flows().len(), usize::from(connections));
        world.advance(Duration::from_secs(7));
        assert_eq!(world.flows().len(), after_a_minute);
        world.advance(Duration::from_secs(180));
        assert_eq!(world.flows().len(), 0);
    }
}

/// A connection whose handshake is completed, if it gets a port; gives what the target answers to.
fn open(world: &mut World, port: u16) -> Option<([u8; 4], u16)> {
    let outcome = handshake(world, A, (EC2, port), (ENDPOINT, 80));
    (outcome.verdict == Verdict::Forward(B)).then(|| super::source(&outcome.packet.tuple()))
}

/// As [`one_address`], with a second endpoint that leads to the same gateway.
fn shared_address() -> World {
    let (mut topology, settings) = one_address();
    topology.interface(Topology::ENDPOINT_A).role = Role::Endpoint(Destination::Resource {
        resource: Topology::RESOURCE,
        gateway: Topology::GATEWAY_C,
    });
    topology
        .group(Topology::ENDPOINT_GROUP)
        .ingress
        .push(any_from("0.0.0.0/0"));
    World::with(&topology, settings)
}

#[test]
fn one_endpoint_cannot_take_all_ports_of_a_gateway_that_serves_another_one() {
    let mut world = shared_address();
    let mut bound = Vec::new();
    for port in 0..40_000 {
        bound.extend(open(&mut world, port));
    }
    assert_eq!(bound.len(), PORTS / 2);
    let refused = (40_000 - bound.len()) as u64;
    let key = (Topology::ENDPOINT_C, DropReason::EndpointPortLimit);
    assert_eq!(world.new_drops(), [(key, refused)].into());
    // The other endpoint finds what is left.
    for port in 0..5000 {
        let syn = tcp((EC2, port), (Topology::ENDPOINT_A_ADDRESS, 80));
        let outcome = world.send(A, &syn);
        assert_eq!(outcome.verdict, Verdict::Forward(B), "port {port}");
    }
    // What ends it may have again, though no more: the target resets 10,000 connections.
    for gateway in bound.drain(..10_000) {
        let reset = tcp((EC2, 80), gateway).segment(RST, 5001, 0);
        arrives(&mut world, B, &reset);
    }
    let mut again = 0;
    for port in 40_000..60_000 {
        again += usize::from(open(&mut world, port).is_some());
    }
    // Those that are left are found by a few random tries only now and then.
    assert!((9_000..=10_000).contains(&again), "{again}");
    assert_eq!(world.flows().len(), PORTS / 2 + 5000);
}

#[test]
fn resting_connections_of_one_endpoint_leave_ports_to_another_ones_newcomers() {
    let mut world = shared_address();
    let syn = |client, endpoint, timestamp| tcp(client, (endpoint, 80)).timestamp(timestamp);
    let close = |world: &mut World, connection: &Connection, timestamp| {
        arrives(world, B, &connection.inbound(FIN | ACK, 5001, 1001));
        let last = connection.outbound(FIN | ACK, 1001, 5002);
        arrives(world, A, &last.timestamp(timestamp));
        arrives(world, B, &connection.inbound(ACK, 5002, 1002));
    };
    // Alone it goes on for as long as it likes: at its limit by its own ports.
    for nth in 0..PORTS as u32 {
        let (client, timestamp) = ((EC2, nth as u16), 1_000_000 + nth);
        let gateway = arrives(&mut world, A, &syn(client, ENDPOINT, timestamp));
        let connection = Connection {
            client,
            server: (ENDPOINT, 80),
            gateway,
        };
        close(&mut world, &connection, timestamp);
    }
    assert_eq!(world.flows().len(), PORTS / 2);
    assert_eq!(world.new_drops(), drops([]));
    // What none of its own resting connections yields to is refused to itself.
    let refused = world.send(A, &syn((EC2, 65_000), ENDPOINT, 500)).verdict;
    assert_eq!(refused, Verdict::Drop(DropReason::EndpointPortLimit));
    for port in 0..5000 {
        let older = syn((EC2, port), Topology::ENDPOINT_A_ADDRESS, 500);
        let verdict = world.send(A, &older).verdict;
        assert_eq!(verdict, Verdict::Forward(B), "port {port}");
    }
}
