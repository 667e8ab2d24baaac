//! Connections whose handshake is not completed, and who may hold how many of a gateway's ports.

use std::collections::HashSet;
use std::time::Duration;

use privlink::dataplane::config::{Destination, Role};
use privlink::dataplane::flow::State;
use privlink::dataplane::{
    DropReason, EniIdx, Event, Instant, PortUsage, Settings, Transmit, Verdict,
};
use privlink::net::{Addr, Protocol, Segment, Transport};
use privlink::sim::{Outcome, SimPacket, Topology, World, tcp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, NEIGHBOUR, RST, SYN, handshake, source};

const A2: EniIdx = Topology::EC2_A2;
/// Ports of a gateway's address.
const PORTS: usize = 64_512;
/// How many connections of one interface may be half-open.
const HALF_OPEN: usize = 512 + 15_872;
/// A minute is short, 6,000 s are the longest that a listener may ask for.
const IDLE_TIMES: [u64; 3] = [60, 350, 6000];

/// W1 whose gateway in zone c has one address, and whose resource has this idle timeout, in seconds.
fn one_address(idle: u64) -> (Topology, Settings) {
    let mut topology = Topology::w1();
    topology
        .interface(Topology::GATEWAY_C)
        .addresses
        .truncate(1);
    topology.resource().idle_timeout = Some(Duration::from_secs(idle));
    let settings = Settings {
        max_flows: 4 * PORTS,
        ..World::settings()
    };
    (topology, settings)
}

fn states(world: &World) -> Vec<&'static str> {
    let flows = world.flows();
    flows.iter().map(|flow| flow.state.name()).collect()
}

/// A packet that the core has originated.
fn packet(transmit: &Transmit) -> SimPacket {
    SimPacket {
        vnet: Default::default(),
        bytes: transmit.bytes.clone(),
    }
}

fn segment(packet: &SimPacket) -> Segment {
    match packet.headers().unwrap().transport {
        Transport::Tcp(segment) => segment,
        other => panic!("{other:?}"),
    }
}

/// A SYN of this port, if it arrives; the target's answer to it, but no acknowledgement of that.
fn answered(world: &mut World, port: u16) -> (Outcome, Option<Connection>) {
    let outcome = world.send(A, &tcp((EC2, port), (ENDPOINT, 80)));
    let connection = (outcome.verdict == Verdict::Forward(B)).then(|| Connection {
        client: (EC2, port),
        server: (ENDPOINT, 80),
        gateway: source(&outcome.packet.tuple()),
    });
    if let Some(connection) = &connection {
        connection.answer(world, SYN | ACK, 5000, 1001);
    }
    (outcome, connection)
}

#[test]
fn an_answered_syn_that_is_never_acknowledged_holds_its_port_for_four_minutes_at_every_idle_time() {
    for idle in IDLE_TIMES {
        let (topology, settings) = one_address(idle);
        let mut world = World::with(&topology, settings);
        answered(&mut world, 41234);
        assert_eq!(states(&world), ["half-open"]);
        world.advance(Duration::from_secs(240));
        assert_eq!(states(&world), [""; 0], "{idle} s");
    }
}

#[test]
fn only_an_acknowledgement_of_the_targets_syn_completes_the_handshake() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::syn(&mut world, 41234);
    // Before there is anything to acknowledge, and with numbers that acknowledge something else.
    connection.say(&mut world, ACK, 1001, 0);
    connection.say(&mut world, SYN, 1000, 0);
    connection.answer(&mut world, SYN | ACK, 5000, 1001);
    for wrong in [5000, 5002, 0, 5001 + (1 << 31)] {
        connection.say(&mut world, ACK, 1001, wrong);
        assert_eq!(states(&world), ["half-open"], "{wrong}");
    }
    connection.say(&mut world, ACK, 1001, 5001);
    assert_eq!(states(&world), ["established"]);
}

/// RFC 7413: the target may send data behind its SYN before the handshake is completed.
#[test]
fn the_handshake_is_completed_with_fast_open_too() {
    for acknowledged in [5001, 5041, 5101] {
        let mut world = World::new(&Topology::w1());
        let syn = tcp((EC2, 41234), (ENDPOINT, 80)).payload(&[1; 100]);
        let arrived = world.deliver(A, &syn, B);
        let connection = Connection {
            client: (EC2, 41234),
            server: (ENDPOINT, 80),
            gateway: source(&arrived.tuple()),
        };
        connection.answer(&mut world, SYN | ACK, 5000, 1101);
        let data = connection.inbound(ACK, 5001, 1101).payload(&[2; 100]);
        world.deliver(B, &data, A);
        assert_eq!(states(&world), ["half-open"]);
        connection.say(&mut world, ACK, 1101, acknowledged);
        assert_eq!(states(&world), ["established"], "{acknowledged}");
    }
}

/// RFC 4987, 3.6: a target that keeps no state has another number for each answer.
#[test]
fn the_last_of_several_answers_to_a_syn_counts() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::syn(&mut world, 41234);
    connection.answer(&mut world, SYN | ACK, 5000, 1001);
    connection.answer(&mut world, SYN | ACK, 3000, 1001);
    connection.say(&mut world, ACK, 1001, 3001);
    assert_eq!(states(&world), ["established"]);
}

/// RFC 9293, 3.5: both SYNs cross, and each side acknowledges the other's with its second.
#[test]
fn the_handshake_is_completed_by_a_simultaneous_open_inside_a_vpc() {
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).ingress = vec![privlink::sim::any_from("0.0.0.0/0")];
    topology.interface(A2).groups = vec![Topology::CONSUMER_GROUP];
    let mut world = World::new(&topology);
    let (here, there) = (tcp((EC2, 7), (NEIGHBOUR, 9)), tcp((NEIGHBOUR, 9), (EC2, 7)));
    world.deliver(A, &here.clone().segment(SYN, 1000, 0), A2);
    world.deliver(A2, &there.clone().segment(SYN, 5000, 0), A);
    assert_eq!(states(&world), ["half-open"]);
    world.deliver(A, &here.segment(SYN | ACK, 1000, 5001), A2);
    assert_eq!(states(&world), ["half-open"]);
    world.deliver(A2, &there.segment(SYN | ACK, 5000, 1001), A);
    assert_eq!(states(&world), ["established"]);
}

#[test]
fn the_handshake_of_a_connection_with_a_proxy_header_is_completed_too() {
    let mut topology = Topology::w1();
    topology.resource().proxy_protocol = true;
    let mut world = World::new(&topology);
    let outcome = world.send(A, &tcp((EC2, 41234), (ENDPOINT, 80)));
    let gateway = source(&outcome.packet.tuple());
    // The header takes the numbers before the client's first byte.
    let expected = segment(&outcome.packet).seq.wrapping_add(1);
    let answer = tcp((EC2, 80), gateway).segment(SYN | ACK, 5000, expected);
    world.deliver(B, &answer, A);
    assert_eq!(states(&world), ["half-open"]);
    let third = tcp((EC2, 41234), (ENDPOINT, 80)).segment(ACK, 1001, 5001);
    world.send(A, &third);
    assert_eq!(states(&world), ["established"]);
}

/// The two directions are read by two workers, each with a view of its own of the table.
#[test]
fn the_handshake_is_completed_across_two_workers() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::syn(&mut world, 41234);
    let World {
        dataplane,
        workers,
        now,
        ..
    } = &mut world;
    let [first, second, ..] = &mut workers[..] else {
        panic!("two workers")
    };
    let mut packets = [
        (B, connection.inbound(SYN | ACK, 5000, 1001).build(), second),
        (A, connection.outbound(ACK, 1001, 5001).build(), first),
    ];
    for (from, packet, worker) in &mut packets {
        dataplane.resume(worker);
        dataplane.handle_packet(worker, *from, &mut packet.view(), *now);
    }
    assert_eq!(states(&world), ["established"]);
}

#[test]
fn a_flood_of_answered_syns_gives_up_its_own_oldest_and_resets_it_at_its_target() {
    let (topology, settings) = one_address(6000);
    let mut world = World::with(&topology, settings);
    // One that is completed is not among those that are given up.
    let kept = Connection::open(&mut world, 1);
    let mut open: Vec<_> = Vec::new();
    let mut reset = Vec::new();
    for port in 2..=u16::MAX {
        let (outcome, connection) = answered(&mut world, port);
        open.push(connection.expect("a port for each"));
        reset.extend(outcome.replies);
        world.advance(Duration::from_micros(20));
    }
    assert!(
        world.flows().len() <= HALF_OPEN + 1,
        "{}",
        world.flows().len()
    );
    assert_eq!(reset.len(), open.len() - HALF_OPEN);
    for (connection, reset) in open.iter().zip(&reset) {
        assert_eq!(reset.to, B);
        let packet = packet(reset);
        let expected = tcp(connection.gateway, (EC2, 80)).build().tuple();
        assert_eq!(packet.tuple(), expected, "the oldest first");
        let segment = segment(&packet);
        assert!(segment.has(RST));
        assert_eq!((segment.seq, segment.ack), (1001, 5001));
        assert!(packet.checksums_are_right());
    }
    kept.say(&mut world, ACK, 1001, 5001);
    // What has been given up is nothing any more, and its client learns that when it goes on.
    let replies = world.refuse(A, &open[0].outbound(ACK, 1001, 5001), DropReason::NoFlow);
    assert_eq!(replies.len(), 1);
    // A neighbour finds a port at once.
    for port in 0..1000 {
        let syn = tcp((NEIGHBOUR, port), (ENDPOINT, 80));
        assert_eq!(world.send(A2, &syn).verdict, Verdict::Forward(B), "{port}");
    }
}

#[test]
fn completed_connections_do_not_count_as_half_open_however_many_there_are() {
    let (topology, settings) = one_address(350);
    let mut world = World::with(&topology, settings);
    let slow = Connection::syn(&mut world, 1);
    for port in 2..20_000 {
        Connection::open(&mut world, port);
    }
    slow.answer(&mut world, SYN | ACK, 5000, 1001);
    slow.say(&mut world, ACK, 1001, 5001);
    assert_eq!(world.flows().len(), 19_999);
}

/// With a PROXY header the target expects a number that its client has never sent.
#[test]
fn a_connection_with_a_proxy_header_is_given_up_with_the_number_that_its_target_expects() {
    let (mut topology, settings) = one_address(350);
    topology.resource().proxy_protocol = true;
    let mut world = World::with(&topology, settings);
    let mut expected = Vec::new();
    let mut reset = Vec::new();
    for port in 0..HALF_OPEN as u16 + 100 {
        let outcome = world.send(A, &tcp((EC2, port), (ENDPOINT, 80)));
        assert_eq!(outcome.verdict, Verdict::Forward(B));
        expected.push(segment(&outcome.packet).seq.wrapping_add(1));
        reset.extend(outcome.replies);
    }
    assert_eq!(reset.len(), 100);
    for (reset, expected) in reset.iter().zip(expected) {
        assert_eq!(segment(&packet(reset)).seq, expected);
    }
}

#[test]
fn an_interface_that_completes_its_handshakes_leaves_ports_to_its_neighbours_at_every_idle_time() {
    for idle in IDLE_TIMES {
        let (topology, settings) = one_address(idle);
        let mut world = World::with(&topology, settings);
        let mut opened = 0;
        for port in 0..=u16::MAX {
            let outcome = handshake(&mut world, A, (EC2, port), (ENDPOINT, 80));
            opened += usize::from(outcome.verdict == Verdict::Forward(B));
        }
        assert_eq!(opened, PORTS / 2, "{idle} s");
        let refused = (1 << 16) - opened as u64;
        let key = (A, DropReason::InterfacePortLimit);
        assert_eq!(world.new_drops(), [(key, refused)].into());
        for port in 0..5000 {
            let syn = tcp((NEIGHBOUR, port), (ENDPOINT, 80));
            assert_eq!(world.send(A2, &syn).verdict, Verdict::Forward(B), "{port}");
        }
    }
}

#[test]
fn behind_an_endpoint_that_shares_its_gateway_an_interface_leaves_the_endpoints_share_to_its_neighbours()
 {
    let (mut topology, settings) = one_address(350);
    topology.interface(Topology::ENDPOINT_A).role = Role::Endpoint(Destination::Resource {
        resource: Topology::RESOURCE,
        gateway: Topology::GATEWAY_C,
    });
    let mut world = World::with(&topology, settings);
    let mut open = |from, address| {
        let outcomes = (0..40_000)
            .map(|port| handshake(&mut world, from, (address, port), (ENDPOINT, 80)).verdict);
        outcomes.filter(|it| *it == Verdict::Forward(B)).count()
    };
    assert_eq!(open(A, EC2), PORTS / 4);
    assert_eq!(open(A2, NEIGHBOUR), PORTS / 8);
}

#[test]
fn an_event_warns_when_four_of_five_ports_are_in_use_and_again_after_ten_minutes_at_the_earliest() {
    let (mut topology, settings) = one_address(6000);
    topology.config.enis.take(A2);
    let mut world = World::with(&topology, settings);
    let gateway = topology.interface(Topology::GATEWAY_C).addresses[0];
    let warning = Event::PortsRunShort(PortUsage {
        gateway: Topology::GATEWAY_C,
        address: gateway,
        target: Addr::v4(EC2),
        port: 80,
        protocol: Protocol::TCP,
        used: PORTS * 4 / 5,
        ports: PORTS,
    });
    let enough = PORTS * 4 / 5;
    let mut bound = Vec::new();
    for port in 0..enough as u16 - 1 {
        bound.push(Connection::open(&mut world, port));
    }
    assert_eq!(world.events(), []);
    let last = Connection::open(&mut world, 60_000);
    assert_eq!(world.events(), std::slice::from_ref(&warning));
    let again = |world: &mut World, last: &Connection| {
        last.answer(world, RST, 5001, 0);
        world.advance(Duration::from_secs(250));
        Connection::open(world, 60_000)
    };
    let last = again(&mut world, &last);
    assert_eq!(world.events(), []);
    world.advance(Duration::from_secs(600));
    again(&mut world, &last);
    assert_eq!(world.events(), [warning]);
}

#[test]
fn no_two_connections_have_one_port_while_half_open_ones_are_given_up() {
    let (topology, settings) = one_address(350);
    let mut world = World::with(&topology, settings);
    for port in 0..40_000 {
        answered(&mut world, port);
        if port % 1000 == 0 {
            let flows = world.dataplane.flows(0..usize::MAX, Instant::START);
            let live = flows.filter(|(_, flow)| !flow.state.has(State::REPLACED));
            let keys: Vec<_> = live.map(|(_, flow)| flow.target.key.tuple).collect();
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        }
    }
}
