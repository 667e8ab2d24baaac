//! Through an endpoint: both zones, both directions, the protocols, the gateway's addresses.

use std::collections::HashSet;
use std::time::Duration;

use privlink::dataplane::config::{Destination, PortRange, Protocols, ResourceTarget, Role};
use privlink::dataplane::{DropReason, Settings, Verdict};
use privlink::net::Addr;
use privlink::sim::{Topology, World, any_from, echo_reply, echo_request, tcp, udp};

use super::{
    A, ACK, B, Connection, EC2, ENDPOINT, SYN, drops, handshake, port_unreachable, source, tuple,
};

#[test]
fn a_connection_crosses_between_two_vpcs_whose_instances_have_the_same_address() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let (gateway, port) = connection.gateway;
    assert_eq!(
        gateway[..3],
        [172, 18, 1],
        "zone c's endpoint uses zone c's gateway interface"
    );
    assert!((80..96).contains(&gateway[3]) && port >= 1024);
    connection.answer(&mut world, ACK, 5001, 1001);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn each_endpoint_interface_uses_the_gateway_interface_of_its_own_zone() {
    let mut world = World::new(&Topology::w1());
    for (endpoint, subnet) in [
        (Topology::ENDPOINT_A_ADDRESS, 0),
        (Topology::ENDPOINT_C_ADDRESS, 1),
    ] {
        let connection = Connection::syn_to(&mut world, 40000, endpoint);
        assert_eq!(connection.gateway.0[2], subnet);
    }
}

#[test]
fn a_consumer_keeps_its_gateway_address_and_gets_unpredictable_ports() {
    let mut world = World::new(&Topology::w1());
    let gateways: Vec<_> = (0..100)
        .map(|i| Connection::syn(&mut world, 30_000 + i).gateway)
        .collect();
    assert_eq!(
        gateways.iter().map(|g| g.0).collect::<HashSet<_>>().len(),
        1
    );
    let ports: HashSet<_> = gateways.iter().map(|g| g.1).collect();
    assert_eq!(ports.len(), 100);
    let steps: HashSet<_> = gateways
        .windows(2)
        .map(|w| w[1].1.wrapping_sub(w[0].1))
        .collect();
    assert!(steps.len() > 90, "ports follow no pattern");
}

#[test]
fn no_two_flows_share_a_gateway_address_and_port_towards_one_target() {
    let mut topology = Topology::w1();
    topology.config.enis.take(Topology::EC2_A2);
    let gateway = topology.interface(Topology::GATEWAY_C);
    gateway.addresses.truncate(1);
    let settings = Settings {
        max_flows: 200_000,
        ..World::settings()
    };
    let mut world = World::with(&topology, settings);
    let bound: HashSet<_> = (1024..51_024)
        .map(|port| Connection::open(&mut world, port).gateway)
        .collect();
    assert_eq!(bound.len(), 50_000);
}

#[test]
fn exhausted_ports_are_told_to_the_consumer_with_icmp_code_13_and_counted() {
    let mut topology = Topology::w1();
    topology.config.enis.take(Topology::EC2_A2);
    topology
        .interface(Topology::GATEWAY_C)
        .addresses
        .truncate(1);
    let mut settings = World::settings();
    settings.max_flows = 200_000;
    let mut world = World::with(&topology, settings);
    let mut refused = None;
    for port in 0..=u16::MAX {
        let outcome = handshake(&mut world, A, (EC2, port), (ENDPOINT, 80));
        if outcome.verdict == Verdict::Drop(DropReason::PortsExhausted) {
            refused = Some((port, outcome.replies));
            break;
        }
    }
    let (port, replies) = refused.expect("64,512 ports cannot serve 65,536 flows");
    assert!(port > 60_000, "only {port} flows fit");
    assert_eq!(
        world.new_drops(),
        drops([(Topology::GATEWAY_C, DropReason::PortsExhausted)])
    );
    let [reply] = &replies[..] else {
        panic!("{replies:?}")
    };
    assert_eq!((reply.to, reply.bytes[20], reply.bytes[21]), (A, 3, 13));
}

#[test]
fn a_full_flow_table_is_a_drop_and_space_comes_back_when_flows_expire() {
    let settings = Settings {
        max_flows: 10,
        ..World::settings()
    };
    let mut world = World::with(&Topology::w1(), settings);
    // Its half; the rest is for others.
    for port in 0..5 {
        Connection::syn(&mut world, 20_000 + port);
    }
    world.refuse(
        A,
        &tcp((EC2, 20_010), (ENDPOINT, 80)),
        DropReason::FlowTableFull,
    );
    world.advance(Duration::from_secs(246));
    Connection::syn(&mut world, 20_011);
    assert_eq!(world.flows().len(), 1);
}

#[test]
fn a_port_that_the_resource_does_not_offer_is_dropped_and_named() {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![any_from("172.18.0.0/16")];
    topology.resource().ports = vec![
        PortRange {
            first: 80,
            last: 81,
        },
        PortRange {
            first: 443,
            last: 443,
        },
    ];
    topology.group(Topology::TARGET_GROUP).ingress = vec![any_from("0.0.0.0/0")];
    let mut world = World::new(&topology);
    for port in [80, 81, 443] {
        world.deliver(A, &tcp((EC2, 40_000), (ENDPOINT, port)), B);
    }
    for port in [79, 82, 442, 0, 65535] {
        assert_eq!(
            world.refuse(
                A,
                &tcp((EC2, 40_000), (ENDPOINT, port)),
                DropReason::PortNotOffered
            ),
            []
        );
    }
}

#[test]
fn a_protocol_that_the_resource_does_not_offer_is_dropped_and_named() {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![any_from("172.18.0.0/16")];
    let mut world = World::new(&topology);
    world.refuse(
        A,
        &udp((EC2, 5000), (ENDPOINT, 80)),
        DropReason::ProtocolNotOffered,
    );
    assert_eq!(
        world.new_drops(),
        drops([(Topology::ENDPOINT_C, DropReason::ProtocolNotOffered)])
    );
}

fn all_protocols() -> Topology {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![any_from("172.18.0.0/16")];
    topology.group(Topology::TARGET_GROUP).ingress = vec![any_from("172.18.0.0/16")];
    topology.resource().protocols = Protocols {
        tcp: true,
        udp: true,
        icmp: true,
    };
    topology
}

#[test]
fn udp_crosses_where_the_resource_offers_it_and_idles_for_120_seconds() {
    let mut world = World::new(&all_protocols());
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
    let arrived = world.deliver(A, &question, B);
    let answer = udp((EC2, 53), source(&arrived.tuple())).payload(b"!");
    let back = world.deliver(B, &answer, A);
    assert_eq!(
        back.tuple(),
        udp((ENDPOINT, 53), (EC2, 5353)).build().tuple()
    );
    world.advance(Duration::from_secs(119));
    world.deliver(B, &answer, A);
    world.advance(Duration::from_secs(120));
    world.refuse(B, &answer, DropReason::GatewayIngress);
}

#[test]
fn a_udp_datagram_without_checksum_keeps_having_none() {
    let mut world = World::new(&all_protocols());
    let mut packet = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?").build();
    packet.bytes[26..28].fill(0);
    let outcome = world.send_packet(A, packet);
    assert_eq!(outcome.verdict, Verdict::Forward(B));
    assert_eq!(outcome.packet.bytes[26..28], [0, 0]);
}

#[test]
fn an_echo_crosses_where_the_resource_offers_icmp_and_its_identifier_comes_back() {
    let mut world = World::new(&all_protocols());
    let arrived = world.deliver(A, &echo_request(EC2, ENDPOINT, 77), B);
    let (gateway, id) = source(&arrived.tuple());
    let back = world.deliver(B, &echo_reply(EC2, gateway, id), A);
    assert_eq!(back.tuple(), echo_reply(ENDPOINT, EC2, 77).build().tuple());
    // The same identifier as a request from the provider is not an answer.
    world.refuse(
        B,
        &echo_request(EC2, gateway, id),
        DropReason::GatewayIngress,
    );
}

#[test]
fn the_endpoint_itself_answers_ping_when_its_group_admits_it() {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![any_from("172.18.0.0/16")];
    let mut world = World::new(&topology);
    let outcome = world.send(
        A,
        &echo_request(EC2, ENDPOINT, 77).payload(b"are you there?"),
    );
    assert_eq!(outcome.verdict, Verdict::Answered);
    let [reply] = &outcome.replies[..] else {
        panic!("{:?}", outcome.replies)
    };
    assert_eq!(reply.to, A);
    let reply = privlink::sim::SimPacket {
        vnet: Default::default(),
        bytes: reply.bytes.clone(),
    };
    assert_eq!(reply.tuple(), echo_reply(ENDPOINT, EC2, 77).build().tuple());
    assert!(reply.checksums_are_right() && reply.bytes.ends_with(b"are you there?"));
}

#[test]
fn the_endpoint_stays_silent_to_a_ping_that_its_group_does_not_admit() {
    let mut world = World::new(&Topology::w1());
    assert_eq!(
        world.refuse(
            A,
            &echo_request(EC2, ENDPOINT, 77),
            DropReason::IngressDenied
        ),
        []
    );
    assert_eq!(
        world.new_drops(),
        drops([(Topology::ENDPOINT_C, DropReason::IngressDenied)])
    );
}

#[test]
fn an_endpoint_that_is_not_available_is_silent() {
    let mut topology = all_protocols();
    topology.interface(Topology::ENDPOINT_C).role = Role::Endpoint(Destination::Nothing);
    let mut world = World::new(&topology);
    for packet in [
        tcp((EC2, 41234), (ENDPOINT, 80)),
        tcp((EC2, 41234), (ENDPOINT, 80)).segment(ACK, 1001, 5001),
        udp((EC2, 5353), (ENDPOINT, 53)),
        echo_request(EC2, ENDPOINT, 77),
    ] {
        assert_eq!(
            world.refuse(A, &packet, DropReason::EndpointNotAvailable),
            []
        );
        assert_eq!(
            world.new_drops(),
            drops([(Topology::ENDPOINT_C, DropReason::EndpointNotAvailable)])
        );
    }
    // Its other interface may be.
    Connection::syn_to(&mut world, 40000, Topology::ENDPOINT_A_ADDRESS);
}

#[test]
fn a_super_packet_crosses_whole() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let big = connection
        .outbound(ACK, 1001, 5001)
        .payload(&vec![7; 60_000])
        .gso(1448);
    let arrived = world.deliver(A, &big, B);
    assert_eq!(arrived.bytes.len(), 60_040);
    assert_eq!({ arrived.vnet.gso_size }, 1448);
    assert_eq!(
        { arrived.vnet.hdr_len },
        40,
        "what the kernel leaves in hdr_len is not passed on"
    );
}

#[test]
fn the_maximum_segment_size_is_clamped_on_every_syn_so_that_eight_fill_a_super_packet() {
    let mut world = World::new(&Topology::w1());
    let mss = |packet: &privlink::sim::SimPacket| {
        u16::from_be_bytes([packet.bytes[42], packet.bytes[43]])
    };
    for (port, postponed) in [(1, false), (2, true)] {
        let mut syn = tcp((EC2, port), (ENDPOINT, 80)).mss(8961);
        if postponed {
            syn = syn.needs_csum();
        }
        let arrived = world.deliver(A, &syn, B);
        assert_eq!(mss(&arrived), 8148);
        let gateway = source(&arrived.tuple());
        let answer = tcp((EC2, 80), gateway)
            .segment(SYN | ACK, 5000, 1001)
            .mss(8961);
        assert_eq!(mss(&world.deliver(B, &answer, A)), 8148);
    }
    let small = world.deliver(A, &tcp((EC2, 3), (ENDPOINT, 80)).mss(1460), B);
    assert_eq!(mss(&small), 1460);
}

#[test]
fn a_packet_larger_than_the_path_is_answered_with_the_size_that_fits() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let replies = world.refuse(
        A,
        &connection.outbound(ACK, 1001, 5001).payload(&[0; 8461]),
        DropReason::PacketTooBig,
    );
    let [reply] = &replies[..] else {
        panic!("{replies:?}")
    };
    assert_eq!(
        (reply.to, &reply.bytes[12..16], &reply.bytes[20..22]),
        (A, &ENDPOINT[..], &[3, 4][..])
    );
    assert_eq!(u16::from_be_bytes([reply.bytes[26], reply.bytes[27]]), 8500);
    // A super-packet is measured by its segments, not by its length.
    world.deliver(
        A,
        &connection
            .outbound(ACK, 1001, 5001)
            .payload(&[0; 30_000])
            .gso(8460),
        B,
    );
    world.refuse(
        A,
        &connection
            .outbound(ACK, 1001, 5001)
            .payload(&[0; 30_000])
            .gso(8461),
        DropReason::PacketTooBig,
    );
}

#[test]
fn a_first_packet_larger_than_the_path_opens_no_flow() {
    let mut world = World::new(&all_protocols());
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(&[0; 8473]);
    let replies = world.refuse(A, &question, DropReason::PacketTooBig);
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(world.flows().len(), 0);
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(&[0; 8472]);
    world.deliver(A, &question, B);
}

#[test]
fn an_icmp_error_about_a_flow_is_translated_inside_and_out_in_both_directions() {
    let mut world = World::new(&all_protocols());
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
    let arrived = world.deliver(A, &question, B);
    let gateway = source(&arrived.tuple());

    let refused = port_unreachable(EC2, gateway.0, &arrived.bytes);
    let error = deliver_raw(&mut world, B, refused, A);
    assert_eq!((&error[12..16], &error[16..20]), (&ENDPOINT[..], &EC2[..]));
    assert_eq!(
        error[28..56],
        question.build().bytes[..28],
        "it quotes what the consumer sent"
    );

    let answer = udp((EC2, 53), gateway).payload(b"!");
    let back = world.deliver(B, &answer, A);
    let refused = port_unreachable(EC2, ENDPOINT, &back.bytes);
    let error = deliver_raw(&mut world, A, refused, B);
    assert_eq!((&error[12..16], &error[16..20]), (&gateway.0[..], &EC2[..]));
    assert_eq!(
        error[28..56],
        answer.build().bytes[..28],
        "it quotes what the target sent"
    );
}

#[test]
fn an_icmp_error_about_nothing_is_dropped() {
    let mut world = World::new(&Topology::w1());
    let quoted = tcp((EC2, 1), (ENDPOINT, 80)).build();
    let stray = port_unreachable(EC2, [172, 18, 1, 80], &quoted.bytes);
    assert_eq!(
        world.send_packet(B, stray).verdict,
        Verdict::Drop(DropReason::IcmpType)
    );
    let mut truncated = port_unreachable(EC2, [172, 18, 1, 80], &quoted.bytes[..19]);
    truncated.bytes.truncate(47);
    assert_eq!(
        world.send_packet(B, truncated).verdict,
        Verdict::Drop(DropReason::IcmpType)
    );
}

fn deliver_raw(
    world: &mut World,
    from: privlink::dataplane::EniIdx,
    packet: privlink::sim::SimPacket,
    to: privlink::dataplane::EniIdx,
) -> Vec<u8> {
    let outcome = world.send_packet(from, packet);
    assert_eq!(outcome.verdict, Verdict::Forward(to));
    assert!(outcome.packet.checksums_are_right());
    outcome.packet.bytes
}

#[test]
fn a_gateway_leads_to_instances_only() {
    for target in [
        Topology::ENDPOINT_A_ADDRESS,
        [172, 18, 0, 80],
        [172, 18, 9, 9],
        [10, 0, 0, 1],
    ] {
        let mut topology = Topology::w1();
        topology.resource().target = ResourceTarget::Address(Addr::v4(target));
        let mut world = World::new(&topology);
        world.refuse(A, &tcp((EC2, 1), (ENDPOINT, 80)), DropReason::NoTarget);
        assert_eq!(
            world.new_drops(),
            drops([(Topology::GATEWAY_C, DropReason::NoTarget)])
        );
    }
}

#[test]
fn consumer_and_provider_may_be_the_same_vpc() {
    let mut topology = Topology::w1();
    for eni in [Topology::EC2_B, Topology::GATEWAY_A, Topology::GATEWAY_C] {
        topology.interface(eni).vpc = Topology::CONSUMER_VPC;
    }
    topology.interface(B).addresses = vec![Addr::v4([172, 18, 0, 200])];
    topology.resource().target = ResourceTarget::Address(Addr::v4([172, 18, 0, 200]));
    let mut world = World::new(&topology);
    let arrived = world.deliver(A, &tcp((EC2, 41234), (ENDPOINT, 80)), B);
    let answer =
        tcp(([172, 18, 0, 200], 80), source(&arrived.tuple())).segment(SYN | ACK, 5000, 1001);
    assert_eq!(
        world.deliver(B, &answer, A).tuple(),
        tuple((ENDPOINT, 80), (EC2, 41234))
    );
}

#[test]
fn what_passes_an_endpoint_is_counted_at_every_interface_on_its_way() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    connection.close(&mut world);
    let check = |world: &World| {
        for (eni, counters) in world.dataplane.counters() {
            let expected = match eni {
                eni if [A, Topology::GATEWAY_C].contains(&eni) => (2, 4),
                eni if [B, Topology::ENDPOINT_C].contains(&eni) => (4, 2),
                _ => (0, 0),
            };
            assert_eq!(
                (counters.packets_in, counters.packets_out),
                expected,
                "{eni:?}"
            );
        }
    };
    check(&world);
    world.advance(Duration::from_secs(300));
    assert_eq!(world.flows().len(), 0);
    check(&world);
}
