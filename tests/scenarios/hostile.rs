//! A provider that reaches for its consumers, and neighbours that forge what they can.

use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::sim::{SimPacket, Topology, World, echo_request, tcp, udp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, RST, SYN};

/// Nothing that the provider's instances send may arrive at the consumer's.
fn never_reaches_the_consumer(world: &mut World, from: EniIdx, packet: SimPacket) -> DropReason {
    match world.send_packet(from, packet.clone()).verdict {
        Verdict::Drop(reason) => reason,
        verdict => panic!("{packet:?}: {verdict:?}"),
    }
}

#[test]
fn the_provider_cannot_reach_the_endpoint() {
    let mut world = World::new(&Topology::w1());
    Connection::open(&mut world, 41234);
    for packet in [
        tcp((EC2, 80), (ENDPOINT, 80)),
        udp((EC2, 80), (ENDPOINT, 80)),
        echo_request(EC2, ENDPOINT, 1),
    ] {
        let reason = never_reaches_the_consumer(&mut world, B, packet.build());
        assert_eq!(
            reason,
            DropReason::NoSuchAddress,
            "the endpoint is in another VPC"
        );
    }
}

#[test]
fn the_provider_cannot_open_a_connection_along_a_live_flow() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let (address, port) = connection.gateway;
    for (source, flags) in [(80, SYN), (81, SYN), (81, ACK), (81, SYN | ACK), (81, RST)] {
        let packet = tcp((EC2, source), (address, port)).segment(flags, 1, 1);
        let reason = never_reaches_the_consumer(&mut world, B, packet.build());
        assert_eq!(reason, DropReason::GatewayIngress);
    }
    for packet in [
        udp((EC2, 80), (address, port)),
        echo_request(EC2, address, port),
    ] {
        never_reaches_the_consumer(&mut world, B, packet.build());
    }
    connection.say(&mut world, ACK, 1001, 5001);
    assert_eq!(world.flows()[0].state.name(), "established");
}

#[test]
fn the_provider_cannot_open_a_connection_over_a_closed_one() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    connection.close(&mut world);
    let reason = never_reaches_the_consumer(&mut world, B, connection.inbound(SYN, 1, 0).build());
    assert_eq!(reason, DropReason::GatewayIngress);
}

#[test]
fn a_forged_source_does_not_help() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    for source in [
        Topology::NEIGHBOUR_ADDRESS,
        ENDPOINT,
        connection.gateway.0,
        [172, 18, 0, 1],
        [127, 0, 0, 1],
    ] {
        let packet = tcp((source, 80), connection.gateway).segment(ACK, 5001, 1001);
        assert_eq!(
            never_reaches_the_consumer(&mut world, B, packet.build()),
            DropReason::SourceCheck
        );
    }
    // A neighbour of the target's that claims to be it.
    let packet = connection.inbound(ACK, 5001, 1001);
    assert_eq!(
        never_reaches_the_consumer(&mut world, Topology::EC2_B2, packet.build()),
        DropReason::SourceCheck
    );
}

#[test]
fn a_packet_from_an_interface_that_is_not_there_is_dropped() {
    let mut world = World::new(&Topology::w1());
    let outcome = world.send(EniIdx::new(0, 1), &tcp((EC2, 1), (ENDPOINT, 80)));
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::InterfaceGone));
}

#[test]
fn flows_whose_interface_has_gone_lead_nowhere_and_a_new_one_in_its_place_does_not_get_them() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    let target = topology.config.enis.take(B).unwrap();
    let successor = EniIdx::new(B.index(), 1);
    topology.config.enis.insert(successor, target);
    world.dataplane.apply(topology.config);
    let outcome = world.send(A, &connection.outbound(ACK, 1001, 5001));
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::InterfaceGone));
    world.deliver(A, &tcp((EC2, 41235), (ENDPOINT, 80)), successor);
}
