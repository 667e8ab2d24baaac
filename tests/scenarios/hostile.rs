//! A provider that reaches for its consumers, and neighbours that forge what they can.

use std::collections::HashSet;
use std::time::Duration;

use privlink::dataplane::config::{Destination, GroupIdx, ResourceIdx, Role, SecurityGroup};
use privlink::dataplane::{DropReason, EniIdx, Settings, Verdict};
use privlink::net::Transport;
use privlink::sim::{
    PacketBuilder, SimPacket, Topology, World, any_from, echo_reply, echo_request, tcp, udp,
};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, FIN, NEIGHBOUR, RST, SYN, drops};

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

/// An ICMP error (type 3, code 4) from `src` to `dst` about a packet that `src` never got.
fn forged_error(src: [u8; 4], dst: [u8; 4], quoted: &PacketBuilder) -> SimPacket {
    let mut packet = echo_request(src, dst, 0)
        .payload(&quoted.build().bytes[..28])
        .build();
    let icmp = &mut packet.bytes[20..];
    icmp[..8].copy_from_slice(&[3, 4, 0, 0, 0, 0, 2, 40]);
    let sum = !privlink::net::checksum::sum(icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn an_echo_flow_carries_no_forged_icmp_error_whatever_its_identifier() {
    let mut topology = Topology::w1();
    topology.resource().protocols.icmp = true;
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let mut world = World::new(&topology);
    // Identifier 0: both ports of the five-tuple are 0 then.
    world.deliver(A, &echo_request(EC2, ENDPOINT, 0), B);
    let strangers = tcp((NEIGHBOUR, 80), ([172, 18, 1, 99], 50000));
    let outcome = world.send_packet(A, forged_error(EC2, ENDPOINT, &strangers));
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::IcmpType));
}

#[test]
fn an_echo_flow_lets_no_request_back_whatever_its_identifier() {
    let mut topology = Topology::w1();
    // The neighbour may be pinged and may ping nobody back.
    topology.group(Topology::CONSUMER_GROUP).ingress.clear();
    let open = GroupIdx::new(9, 0);
    let rules = SecurityGroup {
        ingress: vec![any_from("0.0.0.0/0")],
        egress: vec![any_from("0.0.0.0/0")],
    };
    topology.config.groups.insert(open, rules);
    topology.interface(Topology::EC2_A2).groups = vec![open];
    let mut world = World::new(&topology);
    world.deliver(A, &echo_request(EC2, NEIGHBOUR, 0), Topology::EC2_A2);
    world.deliver(Topology::EC2_A2, &echo_reply(NEIGHBOUR, EC2, 0), A);
    let back = echo_request(NEIGHBOUR, EC2, 0);
    world.refuse(Topology::EC2_A2, &back, DropReason::IngressDenied);
}

#[test]
fn the_gateways_identifiers_leave_no_way_back_either() {
    let mut topology = Topology::w1();
    topology.resource().protocols.icmp = true;
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let mut settings = World::settings();
    settings.max_flows = 1 << 20;
    let mut world = World::with(&topology, settings);
    for id in 0..=u16::MAX {
        let arrived = world.deliver(A, &echo_request(EC2, ENDPOINT, id), B);
        assert_ne!(arrived.tuple().src_port, 0, "request {id}");
    }
}

#[test]
fn a_packet_that_fits_one_segment_is_not_a_super_packet() {
    let mut world = World::new(&Topology::w1());
    Connection::open(&mut world, 41234);
    // Linux refuses this segment size (GSO_BY_FRAGS), and eight refusals would end super-packets for everybody.
    for size in [u16::MAX, 1000, 600] {
        let packet = tcp((EC2, 41234), (ENDPOINT, 80)).segment(ACK, 1001, 5001);
        let arrived = world.deliver(A, &packet.payload(&[7; 600]).gso(size), B);
        assert_eq!((arrived.vnet.gso_type, { arrived.vnet.gso_size }), (0, 0));
    }
}

#[test]
fn a_neighbour_exempt_from_the_source_check_takes_over_no_live_flow() {
    let mut topology = Topology::w1();
    topology.interface(Topology::EC2_B2).role = Role::Instance {
        source_dest_check: false,
    };
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    // EC2_B2 claims to be the gateway: EC2_B's answers would be its own.
    let forged = tcp(connection.gateway, (EC2, 80)).segment(ACK, 1001, 5001);
    world.refuse(Topology::EC2_B2, &forged, DropReason::ReservedSource);
    connection.answer(&mut world, ACK, 5001, 1001);
    connection.say(&mut world, ACK, 1001, 5001);
}

#[test]
fn a_tuple_that_a_neighbours_live_flow_has_is_refused_by_name_and_in_silence() {
    let (a, a2, third) = (A, Topology::EC2_A2, EniIdx::new(9, 0));
    let mut topology = Topology::w1();
    let instance = |source_dest_check| Role::Instance { source_dest_check };
    let server = [172, 18, 0, 110];
    topology.add(
        third,
        Topology::CONSUMER_VPC,
        &[server],
        Topology::CONSUMER_GROUP,
        instance(true),
    );
    topology.interface(a2).role = instance(false);
    let mut world = World::new(&topology);
    for packet in [
        tcp((EC2, 1), (server, 22)),
        udp((EC2, 1), (server, 53)),
        echo_request(EC2, server, 1),
    ] {
        world.deliver(a, &packet, third);
        // EC2_A2 claims to be EC2_A: the server's answers would be its own.
        assert_eq!(world.refuse(a2, &packet, DropReason::TupleTaken), []);
        assert_eq!(world.new_drops(), drops([(a2, DropReason::TupleTaken)]));
        world.deliver(a, &packet, third);
    }
}

#[test]
fn one_interface_cannot_fill_the_flow_table() {
    let mut topology = Topology::w1();
    let anyone = any_from("0.0.0.0/0");
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![anyone];
    let mut settings = World::settings();
    settings.max_flows = 3000;
    let mut world = World::with(&topology, settings);
    let syn = |from, port| tcp((from, port), (ENDPOINT, 80)).build();
    for port in 10_000..14_000 {
        world.send_packet(A, syn(EC2, port));
    }
    assert!(world.flows().len() < 2000, "{}", world.flows().len());
    for port in 10_000..10_500 {
        let outcome = world.send_packet(Topology::EC2_A2, syn(NEIGHBOUR, port));
        assert_eq!(outcome.verdict, Verdict::Forward(B), "port {port}");
    }
    // What it held it gets back once that is over.
    world.advance(Duration::from_secs(250));
    assert_eq!(world.flows().len(), 0);
    let outcome = world.send_packet(A, syn(EC2, 10_000));
    assert_eq!(outcome.verdict, Verdict::Forward(B));
}

#[test]
fn an_instance_that_talks_to_itself_disturbs_no_table() {
    let mut world = World::new(&Topology::w1());
    let own = |port| udp((EC2, 7), (EC2, port));
    for _ in 0..100 {
        world.send(A, &own(7));
        world.send(A, &own(8));
    }
    world.advance(Duration::from_secs(400));
    let timeout = world.dataplane.poll_timeout(&world.workers[0]);
    assert_eq!(timeout, None, "a flow was left in the table");
    Connection::open(&mut world, 41234);
    assert_eq!(world.flows().len(), 1);
}

#[test]
fn a_packet_that_asks_for_its_own_route_gets_none() {
    let mut world = World::new(&Topology::w1());
    for option in [131, 137] {
        for padding in [0, 2] {
            let mut options = vec![1; padding];
            options.extend([option, 7, 4, 172, 18, 0, 109]);
            options.resize(12, 0);
            let packet = tcp((EC2, 41234), (ENDPOINT, 80)).build();
            let packet = packet.with_ip_options(&options);
            let outcome = world.send_packet(A, packet);
            assert_eq!(outcome.verdict, Verdict::Drop(DropReason::BadIpHeader));
        }
    }
}

/// Whatever the provider's instances send, only answers of the two live flows reach the consumer; and nothing panics.
#[test]
fn mutated_packets_reach_nobody_whom_they_should_not() {
    let mut topology = Topology::w1();
    topology.resource().protocols.icmp = true;
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    // This endpoint answers ping itself: smoltcp gets what the security group admits.
    let own = ResourceIdx::new(1, 0);
    let mut silent = topology.resource().clone();
    silent.protocols.icmp = false;
    topology.config.resources.insert(own, silent);
    topology.interface(Topology::ENDPOINT_A).role = Role::Endpoint(Destination::Resource {
        resource: own,
        gateway: Topology::GATEWAY_A,
    });
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    let echo = world.deliver(A, &echo_request(EC2, ENDPOINT, 0), B).tuple();
    let (gateway, id) = (echo.src.octets_v4().unwrap(), echo.src_port);
    let options = |packet: PacketBuilder, words: usize| {
        let packet = packet.build();
        packet.with_ip_options(&vec![1; 4 * words])
    };
    let quoted = tcp(connection.gateway, (EC2, 80));
    let of_provider = [
        connection
            .inbound(ACK, 5001, 1001)
            .payload(&[7; 60])
            .build(),
        connection
            .inbound(ACK, 5001, 1001)
            .payload(&[7; 60])
            .gso(500)
            .build(),
        options(connection.inbound(ACK, 5001, 1001), 3),
        echo_reply(EC2, gateway, id).build(),
        echo_request(EC2, gateway, id).build(),
        forged_error(EC2, connection.gateway.0, &quoted),
        udp((EC2, 80), connection.gateway).build(),
    ];
    let of_consumer = [
        tcp((EC2, 5), (ENDPOINT, 80)).mss(9000).build(),
        options(echo_request(EC2, Topology::ENDPOINT_A_ADDRESS, 0), 4),
        echo_request(EC2, Topology::ENDPOINT_A_ADDRESS, 9)
            .payload(&[1; 99])
            .build(),
        udp((EC2, 5), (NEIGHBOUR, 6))
            .payload(&[1; 99])
            .gso(50)
            .build(),
        forged_error(EC2, ENDPOINT, &tcp((ENDPOINT, 80), (EC2, 41234))),
    ];
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    let (mut answers, mut answered) = (0, 0);
    // Which the consumer has opened connections from.
    let mut ports = HashSet::from([41234]);
    for round in 0..60_000 {
        let provider = round % 2 == 0;
        let from = match (provider, next(8)) {
            (true, 0) => Topology::EC2_B2,
            (true, _) => B,
            (false, 0) => Topology::EC2_A2,
            (false, _) => A,
        };
        let mut packet = match provider {
            true => of_provider[next(of_provider.len())].clone(),
            false => of_consumer[next(of_consumer.len())].clone(),
        };
        for _ in 0..next(4) {
            let at = next(packet.bytes.len().min(64));
            packet.bytes[at] = next(256) as u8;
        }
        if next(4) == 0 {
            packet.vnet.gso_type = next(6) as u8;
            packet.vnet.gso_size = next(65_536) as u16;
            packet.vnet.csum_start = next(64) as u16;
            packet.vnet.flags = next(4) as u8;
        }
        let outcome = world.send_packet(from, packet.clone());
        if provider
            && matches!(outcome.verdict, Verdict::Forward(to) if to == A || to == Topology::EC2_A2)
        {
            assert_eq!(
                (from, outcome.verdict),
                (B, Verdict::Forward(A)),
                "{packet:?}"
            );
            let headers = outcome.packet.headers().unwrap();
            let (src, dst) = (
                headers.tuple.src.octets_v4().unwrap(),
                headers.tuple.dst.octets_v4().unwrap(),
            );
            assert_eq!((src, dst), (ENDPOINT, EC2), "{packet:?}");
            assert_ne!(headers.transport, Transport::EchoRequest, "{packet:?}");
            if let Transport::Tcp(segment) = headers.transport {
                assert!(ports.contains(&headers.tuple.dst_port), "{packet:?}");
                assert!(!segment.opens(), "{packet:?}");
            }
            answers += 1;
        }
        if !provider && outcome.verdict == Verdict::Forward(B) {
            ports.insert(packet.tuple().src_port);
        }
        answered += usize::from(outcome.verdict == Verdict::Answered);
    }
    assert!(answers > 1000 && answered > 1000, "{answers} {answered}");
}

#[test]
fn only_an_end_that_the_target_takes_lets_a_connection_rest() {
    // Of an opener that is short of flows a resting connection is taken back after a minute, and any other after four.
    let rests = |end: fn(&Connection, &mut World)| {
        let settings = Settings {
            max_flows: 2,
            ..World::settings()
        };
        let mut world = World::with(&Topology::w1(), settings);
        let connection = Connection::open(&mut world, 41234);
        end(&connection, &mut world);
        world.advance(Duration::from_secs(66));
        world.flows().is_empty()
    };
    assert!(rests(|connection, world| connection.close(world)));
    assert!(rests(|connection, world| {
        connection.say(world, RST, 1001, 0);
    }));
    // When the reset arrives, the target expects what comes after the data.
    assert!(!rests(|connection, world| {
        let data = connection.outbound(ACK, 1001, 5001).payload(&[7; 10]);
        world.deliver(A, &data, B);
        connection.say(world, RST, 1001, 0);
    }));
    // To a target in FIN-WAIT-2 it is an old duplicate.
    assert!(!rests(|connection, world| {
        connection.answer(world, FIN | ACK, 5001, 1001);
        connection.say(world, ACK, 1001, 5002);
        connection.say(world, FIN | ACK, 1000, 5002);
    }));
    // Its kernel drops what has another checksum than it should.
    for at in [10, 36] {
        let mut world = World::new(&Topology::w1());
        let connection = Connection::open(&mut world, 41234);
        for flags in [RST, FIN | ACK] {
            let mut packet = connection.outbound(flags, 1001, 5001).build();
            packet.bytes[at] ^= 1;
            let verdict = world.send_packet(A, packet).verdict;
            assert!(matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
        }
        connection.say(&mut world, ACK, 1001, 5001);
    }
}
