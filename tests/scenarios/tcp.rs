//! TCP's states by RFC 5382, on virtual time.

use std::time::Duration;

use privlink::dataplane::flow::State;
use privlink::dataplane::{DropReason, Settings, Verdict};
use privlink::sim::{SimPacket, Topology, World, tcp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, FIN, RST, SYN, drops};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn state(world: &World) -> &'static str {
    let [flow] = world.flows()[..] else {
        panic!("{:#?}", world.flows())
    };
    flow.state.name()
}

#[test]
fn an_established_connection_may_be_idle_for_350_seconds() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    for _ in 0..10 {
        world.advance(secs(349));
        connection.say(&mut world, ACK, 1001, 5001);
        world.advance(secs(349));
        connection.answer(&mut world, ACK, 5001, 1001);
    }
    world.advance(secs(350));
    let replies = world.refuse(A, &connection.outbound(ACK, 1001, 5001), DropReason::NoFlow);
    assert_eq!(
        world.new_drops(),
        drops([(Topology::ENDPOINT_C, DropReason::NoFlow)])
    );
    let [rst] = &replies[..] else {
        panic!("{replies:?}")
    };
    let rst = SimPacket {
        vnet: Default::default(),
        bytes: rst.bytes.clone(),
    };
    assert!(rst.checksums_are_right());
    assert_eq!(
        rst.tuple(),
        connection.outbound(RST, 0, 0).build().tuple().reversed()
    );
    // The target's late segment gets one, too, and nothing reaches the consumer.
    let replies = world.refuse(
        B,
        &connection.inbound(ACK, 5001, 1001),
        DropReason::GatewayIngress,
    );
    assert_eq!(replies.len(), 1);
}

#[test]
fn the_resource_may_set_another_idle_timeout() {
    let mut topology = Topology::w1();
    topology.resource().idle_timeout = Some(secs(3600));
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    world.advance(secs(3599));
    connection.say(&mut world, ACK, 1001, 5001);
    world.advance(secs(3600));
    world.refuse(A, &connection.outbound(ACK, 1001, 5001), DropReason::NoFlow);
}

#[test]
fn a_half_open_connection_lasts_four_minutes() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::syn(&mut world, 41234);
    assert_eq!(state(&world), "half-open");
    world.advance(secs(239));
    connection.answer(&mut world, SYN | ACK, 5000, 1001);
    // Answered is not established: that needs the client's acknowledgement.
    assert_eq!(state(&world), "half-open");
    world.advance(secs(239));
    connection.say(&mut world, ACK, 1001, 5001);
    assert_eq!(state(&world), "established");
    world.advance(secs(349));
    connection.answer(&mut world, ACK, 5001, 1001);

    let connection = Connection::syn(&mut world, 41235);
    world.advance(secs(240));
    world.refuse(
        B,
        &connection.inbound(SYN | ACK, 5000, 1001),
        DropReason::GatewayIngress,
    );
}

#[test]
fn fin_both_ways_makes_it_transitory_and_one_way_does_not() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    connection.say(&mut world, FIN | ACK, 1001, 5001);
    assert_eq!(
        state(&world),
        "established",
        "half-closed: the server may go on sending"
    );
    world.advance(secs(349));
    connection.answer(&mut world, ACK, 5001, 1002);
    connection.answer(&mut world, FIN | ACK, 5001, 1002);
    assert_eq!(state(&world), "closing");
    world.advance(secs(239));
    connection.say(&mut world, ACK, 1002, 5002);
    world.advance(secs(240));
    world.refuse(A, &connection.outbound(ACK, 1002, 5002), DropReason::NoFlow);
}

#[test]
fn a_reset_inside_the_window_ends_the_connection_and_one_outside_does_not() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    // The client expects 5001 and offers 64,240 bytes.
    connection.answer(&mut world, RST, 5000, 0);
    connection.answer(&mut world, RST, 5001 + 64_241, 0);
    assert_eq!(state(&world), "established");
    connection.answer(&mut world, RST, 5001, 0);
    assert_eq!(state(&world), "reset");
}

/// RFC 5961, 3.2: a receiver answers a RST that lies in its window, and not at its beginning, with a challenge ACK.
#[test]
fn a_reset_that_its_receiver_refuses_changes_nothing_and_the_exact_one_ends_the_connection() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    for offset in [1, 100, 64_240] {
        connection.answer(&mut world, RST, 5001 + offset, 0);
        connection.say(&mut world, RST, 1001 + offset, 0);
    }
    assert_eq!(state(&world), "established");
    // Both live on for the whole idle time.
    world.advance(secs(349));
    connection.answer(&mut world, ACK, 5001, 1001);
    connection.say(&mut world, RST, 1002, 0);
    // The challenge ACK, and the RST that it brings.
    connection.answer(&mut world, ACK, 5001, 1001);
    connection.say(&mut world, RST, 1001, 0);
    assert_eq!(state(&world), "reset");
}

/// A RST behind data that is still in flight has the number behind that data, or, if it answers a segment of its receiver's,
/// what that one has acknowledged last.
#[test]
fn a_reset_with_data_in_flight_frees_the_port_at_once_in_both_directions() {
    type Says = fn(&Connection, &mut World, u8, u32, u32) -> SimPacket;
    // Who resets, with which numbers: behind its data, or what the other side has acknowledged before it.
    let rows: [(Says, u32, u32, u32); 4] = [
        (Connection::say, 1001, 5001, 1101),
        (Connection::say, 1001, 5001, 1001),
        (Connection::answer, 5001, 1001, 5101),
        (Connection::answer, 5001, 1001, 5001),
    ];
    for (says, seq, ack, reset) in rows {
        let mut world = World::new(&Topology::w1());
        let old = Connection::open(&mut world, 41234);
        let data = |connection: &Connection| match seq {
            1001 => (A, connection.outbound(ACK, seq, ack), B),
            _ => (B, connection.inbound(ACK, seq, ack), A),
        };
        let (from, packet, to) = data(&old);
        world.deliver(from, &packet.payload(&[7; 100]), to);
        says(&old, &mut world, RST, reset, 0);
        assert_eq!(state(&world), "reset", "{reset}");
        let new = Connection::open(&mut world, 41234);
        assert_ne!(new.gateway, old.gateway, "{reset}");
        assert_eq!(world.flows().len(), 1, "{reset}");
    }
}

/// A server that has answered a SYN may take its answer back before the client has said anything else.
#[test]
fn a_reset_behind_the_answer_to_a_syn_ends_the_connection() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::syn(&mut world, 41234);
    connection.answer(&mut world, SYN | ACK, 5000, 1001);
    connection.answer(&mut world, RST, 5002, 0);
    assert_eq!(state(&world), "half-open");
    connection.answer(&mut world, RST, 5001, 0);
    assert_eq!(state(&world), "reset");
}

#[test]
fn a_refused_connection_is_reset_by_the_answer_to_its_syn_only() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::syn(&mut world, 41234);
    connection.answer(&mut world, RST | ACK, 0, 999);
    assert_eq!(state(&world), "half-open");
    connection.answer(&mut world, RST | ACK, 0, 1001);
    assert_eq!(state(&world), "reset");
}

#[test]
fn a_syn_onto_a_closing_connection_opens_a_new_flow_with_a_fresh_binding() {
    let mut world = World::new(&Topology::w1());
    let old = Connection::open(&mut world, 41234);
    old.close(&mut world);
    world.advance(Duration::from_millis(200));
    let new = Connection::open(&mut world, 41234);
    assert_ne!(new.gateway, old.gateway);
    assert_eq!(world.flows().len(), 1, "the old one is replaced");
    // The old server's late FIN finds no flow; the new connection does not see it.
    world.refuse(
        B,
        &old.inbound(FIN | ACK, 5001, 1002),
        DropReason::GatewayIngress,
    );
    new.say(&mut world, ACK, 1001, 5001);
}

#[test]
fn a_worker_that_has_not_seen_the_table_grow_follows_a_connection_opened_anew() {
    let settings = Settings {
        workers: 3,
        ..World::settings()
    };
    let mut world = World::with(&Topology::w1(), settings);
    Connection::open(&mut world, 41234).close(&mut world);
    let mut behind = world.dataplane.worker(2);
    world.dataplane.resume(&mut behind);
    for port in 0..10_000 {
        Connection::syn(&mut world, port);
    }
    let anew = Connection::open(&mut world, 41234);
    let mut packet = anew.outbound(ACK, 1001, 5001).build();
    let verdict = world
        .dataplane
        .handle_packet(&mut behind, A, &mut packet.view(), world.now);
    assert_eq!(verdict, Verdict::Forward(B));
}

#[test]
fn a_reset_connection_may_be_opened_again_at_once() {
    let mut world = World::new(&Topology::w1());
    let old = Connection::open(&mut world, 41234);
    old.say(&mut world, RST, 1001, 0);
    let new = Connection::open(&mut world, 41234);
    assert_ne!(new.gateway, old.gateway);
}

#[test]
fn a_syn_onto_a_live_connection_belongs_to_it() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    connection.say(&mut world, SYN, 9000, 0);
    assert_eq!(world.flows().len(), 1);
    assert_eq!(state(&world), "established");
}

#[test]
fn clients_may_reuse_one_port_a_thousand_times_a_minute() {
    let mut world = World::new(&Topology::w1());
    for _ in 0..1000 {
        Connection::open(&mut world, 41234).close(&mut world);
        world.advance(Duration::from_millis(60));
    }
    assert_eq!(world.flows().len(), 1);
    world.advance(secs(600));
    assert_eq!(world.flows().len(), 0);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn a_segment_of_no_connection_gets_a_reset_and_a_reset_gets_nothing() {
    let mut world = World::new(&Topology::w1());
    let segment = |flags| tcp((EC2, 1), (ENDPOINT, 80)).segment(flags, 777, 888);
    let replies = world.refuse(A, &segment(ACK), DropReason::NoFlow);
    let [rst] = &replies[..] else {
        panic!("{replies:?}")
    };
    assert_eq!(
        rst.bytes[24..28],
        888u32.to_be_bytes(),
        "its sequence number is what the segment acknowledged"
    );
    assert_eq!(rst.bytes[33], RST);
    assert_eq!(world.refuse(A, &segment(RST), DropReason::NoFlow), []);
    assert_eq!(
        world
            .refuse(A, &segment(SYN | ACK), DropReason::NoFlow)
            .len(),
        1
    );
}

#[test]
fn an_error_about_a_flow_neither_refreshes_nor_ends_it() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    world.advance(secs(300));
    let arrived = connection.outbound(ACK, 1001, 5001).build();
    let mut error = Vec::new();
    let kind = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::Host,
    );
    let quoted = tcp(connection.gateway, (EC2, 80))
        .segment(ACK, 1001, 5001)
        .build();
    etherparse::PacketBuilder::ipv4(EC2, connection.gateway.0, 64)
        .icmpv4(kind)
        .write(&mut error, &quoted.bytes[..28])
        .unwrap();
    world.send_packet(
        B,
        SimPacket {
            vnet: Default::default(),
            bytes: error,
        },
    );
    assert!(!world.flows()[0].state.has(State::RESET));
    world.advance(secs(50));
    assert_eq!(
        world.send_packet(A, arrived).verdict,
        Verdict::Drop(DropReason::NoFlow)
    );
}
