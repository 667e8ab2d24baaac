//! Inside one VPC: routing between instances, source check, long timers.

use std::time::Duration;

use privlink::dataplane::config::Role;
use privlink::dataplane::{DropReason, Verdict};
use privlink::sim::{Topology, World, echo_reply, echo_request, tcp, udp};

use super::{A, ACK, B, EC2, ENDPOINT, FIN, NEIGHBOUR, SYN, drops};

const A2: privlink::dataplane::EniIdx = Topology::EC2_A2;

#[test]
fn instances_of_one_vpc_reach_each_other_unchanged() {
    let mut world = World::new(&Topology::w1());
    for packet in [
        tcp((EC2, 1), (NEIGHBOUR, 22)).mss(8961),
        udp((EC2, 1), (NEIGHBOUR, 53)),
        echo_request(EC2, NEIGHBOUR, 5),
    ] {
        let arrived = world.deliver(A, &packet, A2);
        assert_eq!(arrived.bytes, packet.build().bytes);
    }
    world.deliver(
        A2,
        &tcp((NEIGHBOUR, 22), (EC2, 1)).segment(SYN | ACK, 1, 1001),
        A,
    );
    world.deliver(A2, &echo_reply(NEIGHBOUR, EC2, 5), A);
}

#[test]
fn the_same_address_in_the_other_vpc_is_another_instance() {
    let mut world = World::new(&Topology::w1());
    world.deliver(A, &tcp((EC2, 1), (NEIGHBOUR, 22)), A2);
    // EC2_B's neighbour admits port 80 from the gateway only.
    world.refuse(
        B,
        &tcp((EC2, 1), (NEIGHBOUR, 22)),
        DropReason::IngressDenied,
    );
    assert_eq!(
        world.new_drops(),
        drops([(Topology::EC2_B2, DropReason::IngressDenied)])
    );
}

#[test]
fn an_address_that_nothing_has_and_one_outside_of_the_vpc_are_told_apart() {
    let mut world = World::new(&Topology::w1());
    world.refuse(
        A,
        &tcp((EC2, 1), ([172, 18, 9, 9], 80)),
        DropReason::NoSuchAddress,
    );
    world.refuse(A, &tcp((EC2, 1), ([8, 8, 8, 8], 80)), DropReason::NoRoute);
    world.refuse(
        A,
        &udp((EC2, 1), ([255, 255, 255, 255], 67)),
        DropReason::NoRoute,
    );
    world.refuse(
        A,
        &udp((EC2, 1), ([224, 0, 0, 251], 5353)),
        DropReason::NoRoute,
    );
    assert_eq!(
        world.new_drops(),
        [
            ((A, DropReason::NoSuchAddress), 1),
            ((A, DropReason::NoRoute), 3)
        ]
        .into()
    );
}

#[test]
fn a_forged_source_is_dropped_unless_the_check_is_off() {
    let mut world = World::new(&Topology::w1());
    let forged = tcp(([172, 18, 0, 200], 1), (NEIGHBOUR, 22));
    world.refuse(A, &forged, DropReason::SourceCheck);
    assert_eq!(world.new_drops(), drops([(A, DropReason::SourceCheck)]));

    let mut topology = Topology::w1();
    topology.interface(A).role = Role::Instance {
        source_dest_check: false,
    };
    topology.group(Topology::CONSUMER_GROUP).ingress =
        vec![privlink::sim::any_from("172.18.0.0/16")];
    World::new(&topology).deliver(A, &forged, A2);
}

#[test]
fn without_the_source_check_an_instance_speaks_as_others_but_not_as_the_network() {
    let mut topology = Topology::w1();
    topology.interface(A).role = Role::Instance {
        source_dest_check: false,
    };
    let anyone = vec![privlink::sim::any_from("0.0.0.0/0")];
    for group in [Topology::CONSUMER_GROUP, Topology::ENDPOINT_GROUP] {
        topology.group(group).ingress = anyone.clone();
    }
    let mut world = World::new(&topology);
    let reserved = [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [127, 255, 255, 255],
        [169, 254, 0, 1],
        // The resolver and the instance metadata.
        [169, 254, 169, 253],
        [169, 254, 169, 254],
        [224, 0, 0, 1],
        [239, 1, 2, 3],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
        // The router of each subnet, the resolver, the broadcast addresses.
        [172, 18, 0, 1],
        [172, 18, 1, 1],
        [172, 18, 0, 2],
        [172, 18, 1, 2],
        [172, 18, 0, 255],
        [172, 18, 1, 255],
        [172, 18, 255, 255],
        ENDPOINT,
        Topology::ENDPOINT_A_ADDRESS,
    ];
    for source in reserved {
        for packet in [
            tcp((source, 1), (NEIGHBOUR, 22)),
            tcp((source, 1), (ENDPOINT, 80)),
            udp((source, 1), (NEIGHBOUR, 53)),
            echo_request(source, NEIGHBOUR, 5),
        ] {
            let replies = world.refuse(A, &packet, DropReason::ReservedSource);
            assert_eq!(replies, []);
        }
    }
    let count = 4 * reserved.len() as u64;
    let drops = [((A, DropReason::ReservedSource), count)].into();
    assert_eq!(world.new_drops(), drops);
    for source in [
        EC2,
        NEIGHBOUR,
        [172, 18, 0, 200],
        [172, 18, 9, 1],
        [10, 0, 0, 1],
        [169, 253, 255, 255],
        [223, 255, 255, 255],
        [1, 0, 0, 0],
        [128, 0, 0, 1],
    ] {
        world.deliver(A, &tcp((source, 2), (ENDPOINT, 80)), B);
    }
}

#[test]
fn without_the_source_check_an_instance_speaks_as_no_gateway_or_node() {
    let exempt = |mut topology: Topology, eni| {
        topology.interface(eni).role = Role::Instance {
            source_dest_check: false,
        };
        World::new(&topology)
    };
    let target = Topology::target_eni(0);
    for (mut world, from, source) in [
        (exempt(Topology::w1(), B), B, [172, 18, 0, 80]),
        (exempt(Topology::w1(), B), B, [172, 18, 1, 95]),
        (
            exempt(Topology::w2(2), target),
            target,
            Topology::NODE_C_ADDRESS,
        ),
    ] {
        let packet = tcp((source, 1), (NEIGHBOUR, 80));
        world.refuse(from, &packet, DropReason::ReservedSource);
    }
}

#[test]
fn a_neighbour_cannot_send_along_somebody_elses_flow() {
    let mut topology = Topology::w1();
    topology.add(
        privlink::dataplane::EniIdx::new(9, 0),
        Topology::CONSUMER_VPC,
        &[[172, 18, 0, 110]],
        Topology::CONSUMER_GROUP,
        Role::Instance {
            source_dest_check: true,
        },
    );
    let mut world = World::new(&topology);
    world.deliver(A, &tcp((EC2, 1), (NEIGHBOUR, 22)), A2);
    let outcome = world.send(
        privlink::dataplane::EniIdx::new(9, 0),
        &tcp((EC2, 1), (NEIGHBOUR, 22)).segment(ACK, 1001, 1),
    );
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::SourceCheck));
}

#[test]
fn connections_inside_a_vpc_may_be_idle_for_five_days_and_udp_for_30_or_180_seconds() {
    // The neighbour's group admits nothing from EC2_A by itself: only the flow lets answers back.
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).ingress.clear();
    topology.interface(A2).groups = vec![Topology::ENDPOINT_GROUP];
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![privlink::sim::any_from("0.0.0.0/0")];
    let mut world = World::new(&topology);
    let answer = tcp((NEIGHBOUR, 22), (EC2, 1));
    world.deliver(A, &tcp((EC2, 1), (NEIGHBOUR, 22)), A2);
    world.deliver(A2, &answer.clone().segment(SYN | ACK, 1, 1001), A);
    world.deliver(A, &tcp((EC2, 1), (NEIGHBOUR, 22)).segment(ACK, 1001, 2), A2);
    world.advance(Duration::from_secs(431_999));
    world.deliver(A2, &answer.clone().segment(ACK, 2, 1001), A);
    world.advance(Duration::from_secs(432_000));
    // ENDPOINT_GROUP admits nothing out.
    world.refuse(A2, &answer.segment(ACK, 2, 1001), DropReason::EgressDenied);

    let (question, answer) = (
        udp((EC2, 9), (NEIGHBOUR, 53)),
        udp((NEIGHBOUR, 53), (EC2, 9)),
    );
    world.deliver(A, &question, A2);
    world.advance(Duration::from_secs(30));
    world.refuse(A2, &answer, DropReason::EgressDenied);
    world.deliver(A, &question, A2);
    world.deliver(A2, &answer, A);
    world.advance(Duration::from_secs(179));
    world.deliver(A2, &answer, A);
    world.advance(Duration::from_secs(180));
    world.refuse(A2, &answer, DropReason::EgressDenied);
}

#[test]
fn either_side_may_open_a_connection_on_a_closed_one_inside_a_vpc() {
    let mut world = World::new(&Topology::w1());
    let (out, back) = (tcp((EC2, 7), (NEIGHBOUR, 7)), tcp((NEIGHBOUR, 7), (EC2, 7)));
    for _ in 0..3 {
        world.deliver(A, &out.clone().segment(SYN, 1, 0), A2);
        world.deliver(A2, &back.clone().segment(SYN | ACK, 1, 2), A);
        world.deliver(A, &out.clone().segment(FIN | ACK, 2, 2), A2);
        world.deliver(A2, &back.clone().segment(FIN | ACK, 2, 3), A);
        world.deliver(A2, &back.clone().segment(SYN, 1, 0), A);
        world.deliver(A, &out.clone().segment(SYN | ACK, 1, 2), A2);
        world.deliver(A2, &back.clone().segment(FIN | ACK, 2, 2), A);
        world.deliver(A, &out.clone().segment(FIN | ACK, 2, 3), A2);
    }
    assert_eq!(world.flows().len(), 1);
    world.advance(Duration::from_secs(600));
    assert_eq!(world.flows().len(), 0);
}
