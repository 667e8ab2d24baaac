//! Security groups: stateful, by CIDR and by reference, at each of the four places that a flow passes.

use privlink::dataplane::config::{PortRange, Rule, Traffic};
use privlink::dataplane::{DropReason, EniIdx};
use privlink::sim::{Topology, World, any_from, echo_request, from_group, tcp, tcp_from, udp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, NEIGHBOUR, SYN, drops};

fn denied(change: impl FnOnce(&mut Topology), at: EniIdx, reason: DropReason) {
    let mut topology = Topology::w1();
    change(&mut topology);
    let mut world = World::new(&topology);
    let replies = world.refuse(A, &tcp((EC2, 41234), (ENDPOINT, 80)), reason);
    assert_eq!(replies, [], "a denial is silent on the wire");
    assert_eq!(world.new_drops(), drops([(at, reason)]));
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn the_consumers_egress_decides() {
    denied(
        |t| t.group(Topology::CONSUMER_GROUP).egress.clear(),
        A,
        DropReason::EgressDenied,
    );
    denied(
        |t| t.group(Topology::CONSUMER_GROUP).egress = vec![tcp_from(443, "0.0.0.0/0")],
        A,
        DropReason::EgressDenied,
    );
}

#[test]
fn the_endpoints_ingress_decides() {
    denied(
        |t| t.group(Topology::ENDPOINT_GROUP).ingress.clear(),
        Topology::ENDPOINT_C,
        DropReason::IngressDenied,
    );
    let elsewhere = vec![tcp_from(80, "172.18.1.0/24")];
    denied(
        |t| t.group(Topology::ENDPOINT_GROUP).ingress = elsewhere,
        Topology::ENDPOINT_C,
        DropReason::IngressDenied,
    );
}

#[test]
fn the_gateways_egress_decides() {
    denied(
        |t| t.group(Topology::GATEWAY_GROUP).egress.clear(),
        Topology::GATEWAY_C,
        DropReason::EgressDenied,
    );
}

#[test]
fn the_targets_ingress_decides() {
    denied(
        |t| t.group(Topology::TARGET_GROUP).ingress.clear(),
        B,
        DropReason::IngressDenied,
    );
    // By the address that the target sees, the gateway's; not by the consumer's.
    let consumer = vec![tcp_from(80, "172.18.0.108/32")];
    denied(
        |t| t.group(Topology::TARGET_GROUP).ingress = consumer,
        B,
        DropReason::IngressDenied,
    );
}

#[test]
fn the_endpoints_egress_and_the_gateways_ingress_do_not_matter() {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).egress.clear();
    topology.group(Topology::GATEWAY_GROUP).ingress.clear();
    Connection::open(&mut World::new(&topology), 41234);
}

#[test]
fn a_target_that_admits_some_of_the_gateways_addresses_is_reached_from_those() {
    let mut topology = Topology::w1();
    topology.group(Topology::TARGET_GROUP).ingress = vec![tcp_from(80, "172.18.1.83/32")];
    let mut world = World::new(&topology);
    for port in 1..50 {
        assert_eq!(
            Connection::syn(&mut world, port).gateway.0,
            [172, 18, 1, 83]
        );
    }
}

#[test]
fn answers_need_no_rule() {
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).ingress.clear();
    topology.group(Topology::TARGET_GROUP).egress.clear();
    Connection::open(&mut World::new(&topology), 41234);
}

#[test]
fn a_reference_to_a_group_means_the_addresses_of_its_members() {
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).ingress = vec![from_group(Topology::ENDPOINT_GROUP)];
    let mut world = World::new(&topology);
    world.refuse(
        A,
        &tcp((EC2, 1), (NEIGHBOUR, 22)),
        DropReason::IngressDenied,
    );

    topology.interface(A).groups.push(Topology::ENDPOINT_GROUP);
    World::new(&topology).deliver(A, &tcp((EC2, 1), (NEIGHBOUR, 22)), Topology::EC2_A2);
}

#[test]
fn an_egress_rule_may_name_the_endpoints_group() {
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).egress = vec![from_group(Topology::ENDPOINT_GROUP)];
    Connection::open(&mut World::new(&topology), 41234);
}

#[test]
fn a_group_of_the_same_addresses_in_the_other_vpc_is_another_group() {
    let mut topology = Topology::w1();
    // EC2_A carries it, in the consumer's VPC; the gateway's addresses are not EC2_A's.
    topology.group(Topology::TARGET_GROUP).ingress = vec![from_group(Topology::CONSUMER_GROUP)];
    World::new(&topology).refuse(A, &tcp((EC2, 1), (ENDPOINT, 80)), DropReason::IngressDenied);
}

#[test]
fn rules_tell_protocols_ports_and_icmp_types_apart() {
    let rules = [
        (
            Traffic::Tcp(PortRange {
                first: 20,
                last: 30,
            }),
            [true, false, false],
        ),
        (
            Traffic::Udp(PortRange {
                first: 20,
                last: 30,
            }),
            [false, true, false],
        ),
        (
            Traffic::Tcp(PortRange {
                first: 23,
                last: 30,
            }),
            [false, false, false],
        ),
        (
            Traffic::Icmp {
                kind: None,
                code: None,
            },
            [false, false, true],
        ),
        (
            Traffic::Icmp {
                kind: Some(8),
                code: Some(0),
            },
            [false, false, true],
        ),
        (
            Traffic::Icmp {
                kind: Some(8),
                code: Some(1),
            },
            [false, false, false],
        ),
        (
            Traffic::Icmp {
                kind: Some(0),
                code: None,
            },
            [false, false, false],
        ),
        (Traffic::Protocol(17), [false, true, false]),
        (Traffic::All, [true, true, true]),
    ];
    for (traffic, expected) in rules {
        let mut topology = Topology::w1();
        let peer = any_from("0.0.0.0/0").peer;
        topology.group(Topology::CONSUMER_GROUP).ingress = vec![Rule { traffic, peer }];
        let packets = [
            tcp((EC2, 1), (NEIGHBOUR, 22)),
            udp((EC2, 1), (NEIGHBOUR, 22)),
            echo_request(EC2, NEIGHBOUR, 1),
        ];
        for (packet, admitted) in packets.iter().zip(expected) {
            let mut world = World::new(&topology);
            match admitted {
                true => _ = world.deliver(A, packet, Topology::EC2_A2),
                false => _ = world.refuse(A, packet, DropReason::IngressDenied),
            }
        }
    }
}

#[test]
fn an_established_flow_outlives_a_change_of_rules_that_no_longer_admits_it() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    topology.group(Topology::ENDPOINT_GROUP).ingress.clear();
    world.dataplane.apply(topology.config.clone());
    connection.say(&mut world, ACK, 1001, 5001);
    connection.answer(&mut world, ACK, 5001, 1001);
    world.refuse(
        A,
        &tcp((EC2, 41235), (ENDPOINT, 80)).segment(SYN, 1, 0),
        DropReason::IngressDenied,
    );
}
