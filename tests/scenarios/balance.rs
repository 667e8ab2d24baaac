//! Behind a network load balancer: which target a flow gets, what the target sees, and who may.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use privlink::dataplane::config::{HealthCheckProtocol, ListenerProtocol, Role, TargetIdx, Zone};
use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::net::Addr;
use privlink::sim::{
    PacketBuilder, Server, SimPacket, Topology, World, any_from, echo_request, from_group, tcp,
    tcp_from, udp,
};

use super::health::{self, PORT, SECOND};
use super::{A, ACK, EC2, ENDPOINT, RST, SYN, drops, handshake, port_unreachable, source, tuple};

const LISTENER: ([u8; 4], u16) = (ENDPOINT, 80);
const ENDPOINT_A: [u8; 4] = Topology::ENDPOINT_A_ADDRESS;

/// A packet that must reach a target, and the number of that.
fn reach(world: &mut World, from: EniIdx, packet: &PacketBuilder) -> (u32, SimPacket) {
    let outcome = world.send(from, packet);
    let Verdict::Forward(to) = outcome.verdict else {
        panic!("{:?}\n{}", outcome.verdict, world.describe());
    };
    assert!(outcome.packet.checksums_are_right());
    (to.index() - Topology::target_eni(0).index(), outcome.packet)
}

/// The targets of connections from these many ports, by how many each has got.
fn spread(world: &mut World, endpoint: [u8; 4], connections: u16) -> BTreeMap<u32, u32> {
    let mut got = BTreeMap::new();
    for port in 1024..1024 + connections {
        let (target, _) = reach(world, A, &tcp((EC2, port), (endpoint, 80)));
        *got.entry(target).or_default() += 1;
    }
    got
}

/// All protocols and ports are admitted everywhere.
pub fn open(mut topology: Topology) -> Topology {
    for group in [
        Topology::CONSUMER_GROUP,
        Topology::ENDPOINT_GROUP,
        Topology::GATEWAY_GROUP,
        Topology::TARGET_GROUP,
    ] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    topology
}

/// Has probes find out that a target is healthy, or is not.
fn set_health(world: &mut World, target: u32, healthy: bool) {
    let server = match healthy {
        true => Server::Accepts,
        false => Server::Refuses,
    };
    world
        .servers
        .insert((Topology::target_eni(target), PORT), server);
    world.advance(31 * SECOND);
}

/// Lets those targets drain of which `which` says so, and no other.
fn drain(world: &World, topology: &mut Topology, which: impl Fn(u32) -> bool) {
    for target in 0..40 {
        topology.target(target).draining = which(target);
    }
    world.dataplane.apply(topology.config.clone());
}

#[test]
fn a_target_sees_the_nodes_address_and_its_own_port_and_the_client_sees_the_endpoint() {
    let mut world = World::new(&Topology::w2(2));
    let client = (EC2, 41234);
    let (target, arrived) = reach(&mut world, A, &tcp(client, LISTENER));
    assert_eq!(target, 1, "the one in the endpoint's zone");
    let node = source(&arrived.tuple());
    assert!(node.0 == Topology::NODE_C_ADDRESS && node.1 >= 1024);
    let server = (Topology::target_address(1), Topology::TARGET_PORT);
    assert_eq!(arrived.tuple(), tuple(node, server));
    let answer = tcp(server, node).segment(SYN | ACK, 5000, 1001);
    let back = world.deliver(Topology::target_eni(1), &answer, A);
    assert_eq!(back.tuple(), tuple(LISTENER, client));
    assert_eq!(world.new_drops(), drops([]));
    for (eni, counters) in world.dataplane.counters() {
        let passed = [
            A,
            Topology::ENDPOINT_C,
            Topology::NODE_C,
            Topology::target_eni(1),
        ];
        let expected = u64::from(passed.contains(&eni));
        assert_eq!(
            (counters.packets_in, counters.packets_out),
            (expected, expected),
            "{eni:?}"
        );
    }
}

#[test]
fn connections_are_spread_over_the_targets_evenly() {
    let mut world = World::new(&Topology::w2(40));
    let got = spread(&mut world, ENDPOINT, 20_000);
    assert_eq!(got.len(), 20);
    // 1,000 each, five standard deviations of 31.
    for (target, connections) in got {
        assert!(
            (845..1155).contains(&connections),
            "target {target} has {connections}"
        );
    }
}

#[test]
fn a_connection_keeps_its_target_and_its_ports_next_one_may_have_another() {
    let mut topology = Topology::w2(40);
    let mut world = World::new(&topology);
    let mut targets = HashSet::new();
    for seq in (0..50).map(|nth| 1000 + nth * 100_000) {
        let connection = |flags, seq, ack| tcp((EC2, 41234), LISTENER).segment(flags, seq, ack);
        let (target, arrived) = reach(&mut world, A, &connection(SYN, seq, 0));
        let again = reach(&mut world, A, &connection(SYN, seq, 0));
        assert_eq!(again.1, arrived, "a retransmission goes the same way");
        let (server, node) = (
            (Topology::target_address(target), Topology::TARGET_PORT),
            source(&arrived.tuple()),
        );
        let answer = tcp(server, node).segment(SYN | ACK, 5000, seq + 1);
        world.deliver(Topology::target_eni(target), &answer, A);
        drain(&world, &mut topology, |it| it == target || it % 3 != 0);
        let data = connection(ACK, seq + 1, 5001);
        assert_eq!(reach(&mut world, A, &data).0, target);
        let reset = tcp(server, node).segment(RST, 5001, 0);
        world.deliver(Topology::target_eni(target), &reset, A);
        targets.insert(target);
        drain(&world, &mut topology, |_| false);
    }
    assert!(targets.len() > 10, "{targets:?}");
}

#[test]
fn udp_goes_by_the_five_tuple_and_comes_back_from_the_listeners_port() {
    let mut topology = open(Topology::w2(40));
    topology.listener().protocol = ListenerProtocol::Udp;
    let mut world = World::new(&topology);
    let mut targets = HashMap::new();
    for _ in 0..2 {
        for port in 1024..1224 {
            let (target, arrived) = reach(&mut world, A, &udp((EC2, port), LISTENER));
            assert_eq!(*targets.entry(port).or_insert(target), target);
            let server = (Topology::target_address(target), Topology::TARGET_PORT);
            assert_eq!(
                (arrived.tuple().dst, arrived.tuple().dst_port),
                (Addr::v4(server.0), server.1)
            );
            let answer = udp(server, source(&arrived.tuple())).payload(b"!");
            let back = world.deliver(Topology::target_eni(target), &answer, A);
            assert_eq!(back.tuple(), udp(LISTENER, (EC2, port)).build().tuple());
        }
        // The second time each is a new flow.
        world.advance(Duration::from_secs(130));
        assert_eq!(world.flows().len(), 0);
    }
    assert_eq!(targets.values().collect::<HashSet<_>>().len(), 20);
}

#[test]
fn a_udp_flow_idles_for_120_seconds_whatever_the_listener_says_of_tcp() {
    let mut topology = open(Topology::w2(2));
    topology.listener().protocol = ListenerProtocol::TcpUdp;
    topology.listener().tcp_idle_timeout = Duration::from_secs(6000);
    let mut world = World::new(&topology);
    let (_, arrived) = reach(&mut world, A, &udp((EC2, 5353), LISTENER));
    let server = (Topology::target_address(1), Topology::TARGET_PORT);
    let answer = udp(server, source(&arrived.tuple()));
    world.advance(Duration::from_secs(119));
    world.deliver(Topology::target_eni(1), &answer, A);
    world.advance(Duration::from_secs(120));
    world.refuse(Topology::target_eni(1), &answer, DropReason::PortNotOffered);
}

#[test]
fn a_connection_idles_for_as_long_as_its_listener_says_and_a_late_packet_gets_a_reset() {
    for seconds in [60, 350, 6000] {
        let mut topology = Topology::w2(2);
        topology.listener().tcp_idle_timeout = Duration::from_secs(seconds);
        let mut world = World::new(&topology);
        let (_, arrived) = reach(&mut world, A, &tcp((EC2, 41234), LISTENER));
        let server = (Topology::target_address(1), Topology::TARGET_PORT);
        let answer = tcp(server, source(&arrived.tuple()));
        let target = Topology::target_eni(1);
        world.deliver(target, &answer.clone().segment(SYN | ACK, 5000, 1001), A);
        let data = tcp((EC2, 41234), LISTENER).segment(ACK, 1001, 5001);
        world.deliver(A, &data, target);
        world.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        world.deliver(A, &data, target);
        world.advance(Duration::from_secs(seconds));
        let answer = answer.segment(ACK, 5001, 1001);
        for (from, late) in [(A, &data), (target, &answer)] {
            let replies = world.refuse(from, late, DropReason::NoFlow);
            let [reply] = &replies[..] else {
                panic!("{replies:?}")
            };
            assert_eq!((reply.to, reply.bytes[33]), (from, RST));
        }
    }
}

#[test]
fn with_source_ip_stickiness_a_client_keeps_its_target_and_only_a_lost_targets_clients_move() {
    let mut topology = open(health::probed(40, HealthCheckProtocol::Tcp));
    topology.target_group().stickiness = true;
    topology.interface(A).role = Role::Instance {
        source_dest_check: false,
    };
    let mut world = health::world(&topology, &Server::Accepts);
    world.advance(31 * SECOND);
    let clients: Vec<_> = (0..2000u16)
        .map(|n| [172, 18, 64 + (n / 250) as u8, (n % 250) as u8])
        .collect();
    let mut port = 1024;
    let mut targets = |world: &mut World| -> Vec<_> {
        port += 1;
        let client = |address| tcp((address, port), LISTENER);
        let targets = clients.iter().map(|it| reach(world, A, &client(*it)).0);
        targets.collect()
    };
    let before = targets(&mut world);
    assert_eq!(targets(&mut world), before);
    // 100 each, five standard deviations of 10.
    for target in (1..40).step_by(2) {
        let clients = before.iter().filter(|it| **it == target).count();
        assert!(
            (50..150).contains(&clients),
            "target {target} has {clients}"
        );
    }
    set_health(&mut world, 7, false);
    let without = targets(&mut world);
    let mut taken = HashSet::new();
    for (before, after) in before.iter().zip(&without) {
        if *before == 7 {
            taken.insert(*after);
        } else {
            assert_eq!(before, after, "its target is as usable as ever");
        }
    }
    assert!(taken.len() > 15 && !taken.contains(&7), "{taken:?}");
    set_health(&mut world, 7, true);
    assert_eq!(targets(&mut world), before, "it comes back");
    topology.target(9).draining = true;
    world.dataplane.apply(topology.config.clone());
    for (before, after) in before.iter().zip(targets(&mut world)) {
        assert_eq!((*before == after, after == 9), (*before != 9, false));
    }
}

#[test]
fn a_node_uses_the_targets_of_its_own_zone_only_unless_cross_zone_is_on() {
    let zones = |world: &mut World, endpoint| -> HashSet<_> {
        let got = spread(world, endpoint, 200);
        got.into_keys().map(|target| target % 2).collect()
    };
    for (load_balancer, group, expected) in [
        (false, None, [&[0][..], &[1]]),
        (true, None, [&[0, 1], &[0, 1]]),
        (true, Some(false), [&[0], &[1]]),
        (false, Some(true), [&[0, 1], &[0, 1]]),
    ] {
        let mut topology = Topology::w2(10);
        topology.load_balancer().cross_zone = load_balancer;
        topology.target_group().cross_zone = group;
        let mut world = World::new(&topology);
        for (endpoint, expected) in [ENDPOINT_A, ENDPOINT].into_iter().zip(expected) {
            assert_eq!(
                zones(&mut world, endpoint),
                expected.iter().copied().collect()
            );
        }
    }
}

#[test]
fn targets_in_a_zone_without_a_node_get_nothing() {
    let mut topology = Topology::w2(10);
    topology.load_balancer().cross_zone = true;
    topology.target(4).zone = Zone(2);
    let mut world = World::new(&topology);
    let got = spread(&mut world, ENDPOINT, 500);
    assert!(got.len() == 9 && !got.contains_key(&4));
}

#[test]
fn an_unhealthy_or_draining_target_gets_no_new_connection_and_without_a_healthy_one_all_get_some() {
    let mut topology = health::probed(10, HealthCheckProtocol::Tcp);
    topology.target(3).draining = true;
    let mut world = health::world(&topology, &Server::Accepts);
    set_health(&mut world, 5, false);
    let all = |world: &mut World| -> Vec<_> {
        world.advance(Duration::from_secs(300));
        spread(world, ENDPOINT, 300).into_keys().collect()
    };
    assert_eq!(all(&mut world), [1, 7, 9]);
    for target in [1, 7, 9] {
        set_health(&mut world, target, false);
    }
    assert_eq!(all(&mut world), [1, 5, 7, 9], "fail open; not if draining");
    set_health(&mut world, 9, true);
    assert_eq!(all(&mut world), [9]);
    // An unrelated change forgets nothing, a new target in an old one's place does not inherit.
    world.dataplane.apply(topology.config.clone());
    assert_eq!(all(&mut world), [9]);
    let [old, new] = [0, 1].map(|generation| TargetIdx::new(5, generation));
    let target = topology.config.targets.take(old).unwrap();
    topology.config.targets.insert(new, target);
    topology.target_group().targets.retain(|idx| *idx != old);
    topology.target_group().targets.push(new);
    world.dataplane.apply(topology.config.clone());
    set_health(&mut world, 5, true);
    assert_eq!(all(&mut world), [5, 9]);
}

#[test]
fn without_a_target_in_scope_a_connection_is_refused_with_a_reset() {
    let mut topology = Topology::w2(10);
    for target in [1, 3, 5, 7, 9] {
        topology.target(target).draining = true;
    }
    topology.listener().protocol = ListenerProtocol::TcpUdp;
    let mut world = World::new(&open(topology));
    let syn = tcp((EC2, 41234), LISTENER);
    let replies = world.refuse(A, &syn, DropReason::NoTargetInScope);
    let [reply] = &replies[..] else {
        panic!("{replies:?}")
    };
    let reply = SimPacket {
        vnet: Default::default(),
        bytes: reply.bytes.clone(),
    };
    assert_eq!(reply.tuple(), tuple(LISTENER, (EC2, 41234)));
    assert_eq!(reply.bytes[33], RST | ACK);
    assert_eq!(
        world.new_drops(),
        drops([(Topology::NODE_C, DropReason::NoTargetInScope)])
    );
    let datagram = udp((EC2, 5353), LISTENER);
    assert_eq!(world.refuse(A, &datagram, DropReason::NoTargetInScope), []);
    reach(&mut world, A, &tcp((EC2, 41234), (ENDPOINT_A, 80)));
}

#[test]
fn a_target_that_is_no_instance_gets_nothing() {
    let mut topology = Topology::w2(2);
    topology.target(1).address = Addr::v4([172, 18, 200, 200]);
    let mut world = World::new(&topology);
    world.refuse(A, &tcp((EC2, 41234), LISTENER), DropReason::NoTarget);
    assert_eq!(
        world.new_drops(),
        drops([(Topology::NODE_C, DropReason::NoTarget)])
    );
}

#[test]
fn what_no_listener_takes_is_dropped_and_named() {
    use DropReason::{PortNotOffered, ProtocolNotOffered};
    use ListenerProtocol::{Tcp, TcpUdp, Udp};
    let refused = |protocol| {
        let mut topology = open(Topology::w2(2));
        topology.listener().protocol = protocol;
        let mut world = World::new(&topology);
        let mut fate = |packet: PacketBuilder| match world.send(A, &packet).verdict {
            Verdict::Drop(reason) => Some(reason),
            _ => None,
        };
        let client = (EC2, 41234);
        [
            fate(tcp(client, LISTENER)),
            fate(udp(client, LISTENER)),
            fate(tcp(client, (ENDPOINT, 81))),
            fate(udp(client, (ENDPOINT, 81))),
        ]
    };
    let (port, protocol) = (Some(PortNotOffered), Some(ProtocolNotOffered));
    assert_eq!(refused(Tcp), [None, protocol, port, protocol]);
    assert_eq!(refused(Udp), [protocol, None, protocol, port]);
    assert_eq!(refused(TcpUdp), [None, None, port, port]);
}

#[test]
fn an_endpoint_of_a_load_balancer_answers_ping_itself_and_the_node_does_not() {
    let mut world = World::new(&open(Topology::w2(2)));
    let ping = echo_request(EC2, ENDPOINT, 77);
    assert_eq!(world.send(A, &ping).verdict, Verdict::Answered);
    let ping = echo_request(Topology::target_address(0), Topology::NODE_C_ADDRESS, 77);
    let replies = world.refuse(
        Topology::target_eni(0),
        &ping,
        DropReason::ProtocolNotOffered,
    );
    assert_eq!(replies, []);
}

#[test]
fn an_icmp_error_about_a_flow_with_a_translated_port_fits_what_each_side_sent() {
    let mut topology = open(Topology::w2(2));
    topology.listener().protocol = ListenerProtocol::Udp;
    let mut world = World::new(&topology);
    let question = udp((EC2, 5353), LISTENER).payload(b"?");
    let (target, arrived) = reach(&mut world, A, &question);
    let node = source(&arrived.tuple());
    let server = (Topology::target_address(target), Topology::TARGET_PORT);
    let target = Topology::target_eni(target);

    let refused = port_unreachable(server.0, node.0, &arrived.bytes);
    let outcome = world.send_packet(target, refused);
    assert_eq!(outcome.verdict, Verdict::Forward(A));
    assert!(outcome.packet.checksums_are_right());
    assert_eq!(outcome.packet.bytes[28..56], question.build().bytes[..28]);

    let answer = udp(server, node).payload(b"!");
    let back = world.deliver(target, &answer, A);
    let outcome = world.send_packet(A, port_unreachable(EC2, ENDPOINT, &back.bytes));
    assert_eq!(outcome.verdict, Verdict::Forward(target));
    assert!(outcome.packet.checksums_are_right());
    assert_eq!(outcome.packet.bytes[28..56], answer.build().bytes[..28]);
}

#[test]
fn a_nodes_ports_towards_one_target_run_out_and_each_secondary_address_adds_as_many() {
    let full = |addresses: &[[u8; 4]]| {
        let mut topology = open(Topology::w2(2));
        let node = topology.interface(Topology::NODE_C);
        node.addresses = addresses.iter().copied().map(Addr::v4).collect();
        topology.config.enis.take(Topology::EC2_A2);
        topology.interface(A).role = Role::Instance {
            source_dest_check: false,
        };
        let mut settings = World::settings();
        settings.max_flows = 400_000;
        let mut world = World::with(&topology, settings);
        let mut opened = 0;
        for client in 0.. {
            for port in 0..=u16::MAX {
                let client = ([172, 18, 64, client], port);
                let outcome = handshake(&mut world, A, client, LISTENER);
                if outcome.verdict == Verdict::Drop(DropReason::PortsExhausted) {
                    let [reply] = &outcome.replies[..] else {
                        panic!("{:?}", outcome.replies)
                    };
                    assert_eq!((reply.to, reply.bytes[20], reply.bytes[21]), (A, 3, 13));
                    assert_eq!(
                        world.new_drops(),
                        drops([(Topology::NODE_C, DropReason::PortsExhausted)])
                    );
                    return opened;
                }
                opened += 1;
            }
        }
        unreachable!()
    };
    let one = full(&[Topology::NODE_C_ADDRESS]);
    assert!((55_000..=64_512).contains(&one), "{one}");
    let two = full(&[Topology::NODE_C_ADDRESS, [172, 18, 1, 81]]);
    assert!((2 * 55_000..=2 * 64_512).contains(&two), "{two}");
}

#[test]
fn a_targets_group_admits_the_nodes_by_a_reference_to_the_load_balancers_group() {
    // Rules speak of the target's port, and of the node as the peer.
    for (rule, is_admitted) in [
        (Some(from_group(Topology::GATEWAY_GROUP)), true),
        (Some(tcp_from(8080, "172.18.1.80/32")), true),
        (None, false),
        (Some(tcp_from(80, "172.18.1.80/32")), false),
        (Some(tcp_from(8080, "172.18.0.108/32")), false),
        (Some(from_group(Topology::CONSUMER_GROUP)), false),
    ] {
        let mut topology = Topology::w2(2);
        topology.group(Topology::TARGET_GROUP).ingress = rule.into_iter().collect();
        let mut world = World::new(&topology);
        let syn = tcp((EC2, 41234), LISTENER);
        if is_admitted {
            world.deliver(A, &syn, Topology::target_eni(1));
        } else {
            world.refuse(A, &syn, DropReason::IngressDenied);
            assert_eq!(
                world.new_drops(),
                drops([(Topology::target_eni(1), DropReason::IngressDenied)])
            );
        }
    }
}

#[test]
fn the_load_balancers_own_groups_let_out_to_targets_and_in_from_consumers() {
    let fate = |change: &dyn Fn(&mut Topology)| {
        let mut topology = Topology::w2(2);
        change(&mut topology);
        let mut world = World::new(&topology);
        let verdict = world.send(A, &tcp((EC2, 41234), LISTENER)).verdict;
        let dropped = world.new_drops().into_keys().next();
        assert_eq!(matches!(verdict, Verdict::Drop(_)), dropped.is_some());
        dropped
    };
    let node = |reason| Some((Topology::NODE_C, reason));
    let group = |topology: &mut Topology, ingress, egress| {
        let group = topology.group(Topology::GATEWAY_GROUP);
        (group.ingress, group.egress) = (ingress, egress);
    };
    let all = || vec![any_from("0.0.0.0/0")];
    let target = || vec![tcp_from(8080, "172.18.16.5/32")];
    let consumer = || vec![tcp_from(80, "172.18.0.108/32")];
    assert_eq!(fate(&|it| group(it, consumer(), target())), None);
    assert_eq!(
        fate(&|it| group(it, all(), vec![])),
        node(DropReason::EgressDenied)
    );
    let listeners_port = || vec![tcp_from(80, "172.18.16.5/32")];
    assert_eq!(
        fate(&|it| group(it, all(), listeners_port())),
        node(DropReason::EgressDenied)
    );
    let denied = node(DropReason::IngressDenied);
    assert_eq!(fate(&|it| group(it, vec![], all())), denied);
    // EC2_B, who has this group, has the consumer's address in the load balancer's VPC.
    let neighbours = || vec![from_group(Topology::TARGET_GROUP)];
    assert_eq!(fate(&|it| group(it, neighbours(), all())), denied);
    let off = |topology: &mut Topology| {
        topology
            .load_balancer()
            .enforces_inbound_rules_on_private_link = false;
        group(topology, vec![], all());
    };
    assert_eq!(fate(&off), None);
    let without_groups = |topology: &mut Topology| {
        topology.interface(Topology::NODE_C).groups.clear();
        topology.group(Topology::TARGET_GROUP).ingress = all();
    };
    assert_eq!(fate(&without_groups), None);
}

#[test]
fn a_client_in_the_load_balancers_own_vpc_is_balanced_too() {
    let mut topology = Topology::w2(20);
    topology.group(Topology::GATEWAY_GROUP).ingress = vec![tcp_from(80, "172.18.0.109/32")];
    topology
        .load_balancer()
        .enforces_inbound_rules_on_private_link = false;
    let mut world = World::new(&topology);
    let (b2, b2_address) = (Topology::EC2_B2, Topology::NEIGHBOUR_ADDRESS);
    let listener = (Topology::NODE_C_ADDRESS, 80);
    let mut targets = HashSet::new();
    for port in 1024..1124 {
        let client = (b2_address, port);
        let (target, arrived) = reach(&mut world, b2, &tcp(client, listener));
        let node = source(&arrived.tuple());
        assert_eq!(node.0, Topology::NODE_C_ADDRESS);
        let server = (Topology::target_address(target), Topology::TARGET_PORT);
        let answer = tcp(server, node).segment(SYN | ACK, 5000, 1001);
        let back = world.deliver(Topology::target_eni(target), &answer, b2);
        assert_eq!(back.tuple(), tuple(listener, client));
        targets.insert(target);
    }
    assert_eq!(targets.len(), 10);
    let counters = |world: &World, eni| {
        let counters = world.dataplane.counters();
        let (_, counters) = counters.iter().find(|(idx, _)| *idx == eni).unwrap();
        (counters.packets_in, counters.packets_out)
    };
    assert_eq!(counters(&world, Topology::NODE_C), (100, 100));
    // Its ingress rules count for them, whatever is said of PrivateLink traffic.
    let stranger = tcp((EC2, 41234), listener);
    world.refuse(Topology::EC2_B, &stranger, DropReason::IngressDenied);
    // A target may be a client, even of itself.
    topology.group(Topology::GATEWAY_GROUP).ingress = vec![any_from("172.18.0.0/16")];
    world.dataplane.apply(topology.config.clone());
    let (target, address) = (Topology::target_eni(1), Topology::target_address(1));
    let own: HashSet<_> = (1024..1124)
        .map(|port| reach(&mut world, target, &tcp((address, port), listener)).0)
        .collect();
    assert!(own.contains(&1) && own.len() == 10);
}

#[test]
fn a_target_opens_nothing_towards_a_consumer_through_the_node() {
    let mut world = World::new(&open(Topology::w2(2)));
    let (_, arrived) = reach(&mut world, A, &tcp((EC2, 41234), LISTENER));
    let node = source(&arrived.tuple());
    let server = (Topology::target_address(1), Topology::TARGET_PORT);
    let target = Topology::target_eni(1);
    let open = tcp(server, node);
    assert_eq!(world.refuse(target, &open, DropReason::GatewayIngress), []);
    let other = tcp((server.0, 9999), node);
    assert_eq!(world.refuse(target, &other, DropReason::PortNotOffered), []);
}

#[test]
fn a_change_cuts_the_connections_whose_listener_or_target_has_gone_and_no_other() {
    let cross_zone = || {
        let mut topology = Topology::w2(20);
        topology.load_balancer().cross_zone = true;
        topology.group(Topology::GATEWAY_GROUP).ingress = vec![any_from("172.18.0.0/16")];
        topology
    };
    // Who loses a connection, of consumers and of clients in the load balancer's own VPC alike.
    let lost = |change: &dyn Fn(&mut Topology)| -> HashSet<u32> {
        let mut topology = cross_zone();
        let mut world = World::new(&topology);
        let own = (Topology::EC2_B2, Topology::NEIGHBOUR_ADDRESS);
        let node = (Topology::NODE_C_ADDRESS, 80);
        for port in 1024..1224 {
            reach(&mut world, A, &tcp((EC2, port), LISTENER));
            reach(&mut world, own.0, &tcp((own.1, port), node));
        }
        let before = world.flows();
        change(&mut topology);
        world.dataplane.apply(topology.config);
        let told = world.advance(Duration::from_millis(100));
        let after = world.flows();
        assert_eq!(told.len(), 2 * (before.len() - after.len()), "both sides");
        let lost = before.iter().filter(|flow| {
            !after
                .iter()
                .any(|other| other.initiator.key == flow.initiator.key)
        });
        lost.map(|flow| flow.target.key.ingress.index() - Topology::target_eni(0).index())
            .collect()
    };
    let all = (0..20).collect::<HashSet<_>>();
    assert_eq!(lost(&|it| it.load_balancer().listeners.clear()), all);
    assert_eq!(lost(&|it| it.listener().port = 81), all);
    let udp_only = |it: &mut Topology| it.listener().protocol = ListenerProtocol::Udp;
    assert_eq!(lost(&udp_only), all);
    assert_eq!(
        lost(&|it| _ = it.target_group().targets.remove(3)),
        [3].into()
    );
    assert_eq!(lost(&|it| it.target(4).port = 9090), [4].into());
    let secondary = |it: &mut Topology| {
        let node = it.interface(Topology::NODE_C);
        node.addresses.push(Addr::v4([172, 18, 1, 81]));
    };
    for unrelated in [
        &(|it: &mut Topology| it.load_balancer().cross_zone = false) as &dyn Fn(&mut Topology),
        &(|it| it.target(5).draining = true),
        &(|it| it.target_group().stickiness = true),
        &(|it| it.add_target(20, Topology::ZONE_C)),
        &(|it| it.listener().protocol = ListenerProtocol::TcpUdp),
        &(|it| it.group(Topology::GATEWAY_GROUP).ingress.clear()),
        &secondary,
    ] {
        assert_eq!(lost(unrelated), HashSet::new());
    }
}
