//! A change of the topology cuts the flows that it no longer allows, and touches no other.

use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use privlink::dataplane::config::{Destination, PortRange, Protocols, ResourceTarget, Role};
use privlink::dataplane::{Dataplane, DropReason, EniIdx, Instant, Settings, Transmit, Verdict};
use privlink::net::{Addr, FiveTuple, Segment, Transport};
use privlink::sim::{SimPacket, Topology, World, any_from, tcp, udp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, FIN, RST, drops, tuple};

const MOMENT: Duration = Duration::from_millis(10);

/// A change of the topology.
type Change = fn(&mut Topology);

/// The topology changes, and what is to happen at once because of it does; what the core says.
fn apply(world: &mut World, topology: &Topology) -> Vec<Told> {
    world.dataplane.apply(topology.config.clone());
    world.advance(MOMENT).iter().map(Told::new).collect()
}

/// A RST that the core has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    to: EniIdx,
    tuple: FiveTuple,
    seq: u32,
    ack: u32,
}

impl Told {
    fn new(transmit: &Transmit) -> Self {
        let packet = SimPacket {
            vnet: Default::default(),
            bytes: transmit.bytes.clone(),
        };
        assert!(packet.checksums_are_right());
        let headers = packet.headers().unwrap();
        let Transport::Tcp(Segment {
            seq, ack, flags, ..
        }) = headers.transport
        else {
            panic!("{packet:?}")
        };
        assert_eq!(flags & RST, RST);
        Self {
            to: transmit.to,
            tuple: headers.tuple,
            seq,
            ack,
        }
    }

    /// What the client of this connection gets.
    fn client(connection: &Connection, seq: u32, ack: u32) -> Self {
        Self {
            to: A,
            tuple: tuple(connection.server, connection.client),
            seq,
            ack,
        }
    }

    /// What its server gets.
    fn server(connection: &Connection, seq: u32, ack: u32) -> Self {
        Self {
            to: B,
            tuple: tuple(connection.gateway, (EC2, 80)),
            seq,
            ack,
        }
    }
}

/// 100 bytes from the client and 200 from the server, acknowledged.
fn talk(world: &mut World, connection: &Connection) {
    let request = connection.outbound(ACK, 1001, 5001).payload(&[0; 100]);
    world.deliver(A, &request, B);
    let answer = connection.inbound(ACK, 5001, 1101).payload(&[0; 200]);
    world.deliver(B, &answer, A);
    connection.say(world, ACK, 1101, 5201);
}

#[test]
fn what_a_flow_leads_through_takes_it_along_and_both_sides_take_the_reset() {
    let changes: [(Change, DropReason); 7] = [
        (
            |topology| _ = topology.config.enis.take(Topology::ENDPOINT_C),
            DropReason::NoSuchAddress,
        ),
        (
            |topology| {
                topology.interface(Topology::ENDPOINT_C).role =
                    Role::Endpoint(Destination::Nothing);
            },
            DropReason::EndpointNotAvailable,
        ),
        (
            |topology| _ = topology.config.enis.take(Topology::GATEWAY_C),
            DropReason::NoTarget,
        ),
        (
            |topology| {
                let gateway = topology.interface(Topology::GATEWAY_C);
                gateway.addresses = vec![Addr::v4([172, 18, 1, 200])];
            },
            DropReason::NoFlow,
        ),
        (
            |topology| _ = topology.config.resources.take(Topology::RESOURCE),
            DropReason::NoTarget,
        ),
        (
            |topology| {
                topology.resource().target =
                    ResourceTarget::Address(Addr::v4(Topology::NEIGHBOUR_ADDRESS))
            },
            DropReason::NoFlow,
        ),
        (
            |topology| topology.resource().protocols.tcp = false,
            DropReason::ProtocolNotOffered,
        ),
    ];
    for (nth, (change, reason)) in changes.into_iter().enumerate() {
        let mut topology = Topology::w1();
        let mut world = World::new(&topology);
        let connection = Connection::open(&mut world, 41234);
        talk(&mut world, &connection);
        change(&mut topology);
        let told = apply(&mut world, &topology);
        let expected = [
            Told::client(&connection, 5201, 1101),
            Told::server(&connection, 1101, 5201),
        ];
        assert_eq!(told, expected, "change {nth}");
        assert_eq!(world.flows().len(), 0, "change {nth}");
        assert_eq!(world.new_drops(), drops([]));
        world.refuse(A, &connection.outbound(ACK, 1101, 5201), reason);
    }
}

#[test]
fn a_target_that_goes_leaves_the_client_a_reset() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    talk(&mut world, &connection);
    let target = topology.config.enis.take(B).unwrap();
    // Another one with its address is another one.
    let successor = EniIdx::new(B.index(), 1);
    topology.config.enis.insert(successor, target);
    let told = apply(&mut world, &topology);
    assert_eq!(told, [Told::client(&connection, 5201, 1101)]);
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn an_instance_that_goes_takes_its_connections_inside_the_vpc_along() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let neighbour = (Topology::NEIGHBOUR_ADDRESS, 22);
    world.connect_between(A, (EC2, 41234), neighbour, Topology::EC2_A2);
    topology.config.enis.take(A);
    let told = apply(&mut world, &topology);
    let expected = Told {
        to: Topology::EC2_A2,
        tuple: tuple((EC2, 41234), neighbour),
        seq: 1001,
        ack: 5001,
    };
    assert_eq!(told, [expected]);
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn a_port_that_is_no_longer_offered_loses_its_connections_and_others_keep_theirs() {
    let mut topology = Topology::w1();
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let mut world = World::new(&topology);
    let [mut client, mut server] = world.connect(41234, (ENDPOINT, 443));
    let connection = Connection::open(&mut world, 41235);
    topology.resource().ports = vec![PortRange {
        first: 443,
        last: 444,
    }];
    let told = apply(&mut world, &topology);
    assert_eq!(told.len(), 2);
    assert!(told.contains(&Told::client(&connection, 5001, 1001)));
    for packet in [&mut client, &mut server] {
        *packet = packet.clone().payload(&[0; 10]);
    }
    world.deliver(A, &client, B);
    world.deliver(B, &server, A);
}

#[test]
fn a_hundred_changes_that_do_not_concern_a_transfer_leave_it_alone() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    let opened = world.flows()[0].initiator.key;
    for nth in 0..100u32 {
        let newcomer = EniIdx::new(100, nth);
        let role = topology.interface(Topology::ENDPOINT_A).role;
        let (vpc, group) = (Topology::CONSUMER_VPC, Topology::CONSUMER_GROUP);
        match nth % 4 {
            0 => topology.add(newcomer, vpc, &[[172, 18, 7, 7]], group, role),
            1 => _ = topology.config.enis.take(EniIdx::new(100, nth - 1)),
            2 => topology.group(group).ingress.push(any_from("10.0.0.0/8")),
            _ => {
                topology.resource().ports = vec![PortRange {
                    first: 80,
                    last: 80 + nth as u16,
                }]
            }
        }
        let sent = nth * 100;
        let piece = connection.outbound(ACK, 1001 + sent, 5001 + sent);
        world.deliver(A, &piece.payload(&[0; 100]), B);
        assert_eq!(apply(&mut world, &topology), []);
        let piece = connection.inbound(ACK, 5001 + sent, 1101 + sent);
        world.deliver(B, &piece.payload(&[0; 100]), A);
    }
    assert_eq!(world.new_drops(), drops([]));
    let [flow] = world.flows()[..] else {
        panic!("{}", world.describe())
    };
    assert_eq!(flow.initiator.key, opened);
    assert_eq!((flow.initiator.packets, flow.target.packets), (102, 101));
}

#[test]
fn a_side_that_has_lost_some_gets_a_reset_for_either_case() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    let answer = connection.inbound(ACK, 5001, 1001).payload(&[0; 200]);
    world.deliver(B, &answer, A);
    topology.config.enis.take(Topology::ENDPOINT_C);
    let expected = [
        Told::client(&connection, 5201, 1001),
        Told::client(&connection, 5001, 1001),
        Told::server(&connection, 1001, 5201),
    ];
    assert_eq!(apply(&mut world, &topology), expected);
}

#[test]
fn a_client_that_waits_for_an_answer_gets_one_that_refuses_its_syn() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::syn(&mut world, 41234);
    topology.config.enis.take(Topology::ENDPOINT_C);
    let told = apply(&mut world, &topology);
    let expected = [
        Told::client(&connection, 0, 1001),
        Told::server(&connection, 1001, 0),
    ];
    assert_eq!(told, expected);
}

#[test]
fn udp_and_echo_just_end() {
    let mut topology = Topology::w1();
    topology.resource().protocols = Protocols {
        tcp: true,
        udp: true,
        icmp: true,
    };
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let mut world = World::new(&topology);
    let question = udp((EC2, 5353), (ENDPOINT, 53));
    world.deliver(A, &question, B);
    world.deliver(A, &privlink::sim::echo_request(EC2, ENDPOINT, 7), B);
    topology.resource().protocols.udp = false;
    topology.resource().protocols.icmp = false;
    assert_eq!(apply(&mut world, &topology), []);
    assert_eq!(world.flows().len(), 0);
    world.refuse(A, &question, DropReason::ProtocolNotOffered);
}

#[test]
fn a_closed_connection_goes_on_resting_but_no_packet_passes() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    let connection = Connection::open(&mut world, 41234);
    connection.close(&mut world);
    topology.config.enis.take(Topology::ENDPOINT_C);
    assert_eq!(apply(&mut world, &topology), []);
    let late = connection.inbound(FIN | ACK, 5001, 1002);
    world.refuse(B, &late, DropReason::GatewayIngress);
    assert!(world.dataplane.poll_timeout(&world.workers[0]).is_some());
    world.advance(Duration::from_secs(250));
    assert_eq!(world.dataplane.poll_timeout(&world.workers[0]), None);
}

#[test]
fn a_flow_that_a_worker_opens_by_what_it_knew_before_the_change_is_cut_too() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    Connection::open(&mut world, 41233);
    // In the middle of a batch.
    world.dataplane.resume(&mut world.workers[0]);
    topology.config.enis.take(Topology::ENDPOINT_C);
    world.dataplane.apply(topology.config);
    let World {
        dataplane,
        workers,
        now,
        ..
    } = &mut world;
    let [behind, ahead] = &mut workers[..] else {
        panic!("two workers")
    };
    for _ in 0..10 {
        *now = *now + MOMENT;
        dataplane.resume(ahead);
        dataplane.handle_timeout(ahead, *now);
        assert_eq!(dataplane.poll_transmit(ahead), None);
    }
    let mut syn = tcp((EC2, 41234), (ENDPOINT, 80)).build();
    let verdict = dataplane.handle_packet(behind, A, &mut syn.view(), *now);
    assert_eq!(verdict, Verdict::Forward(B));
    dataplane.park(behind);
    assert_eq!(world.advance(MOMENT).len(), 4);
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn a_change_during_the_walk_is_followed_by_another_walk() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    for port in 0..1000 {
        Connection::syn_to(&mut world, port, ENDPOINT);
        Connection::syn_to(&mut world, port, Topology::ENDPOINT_A_ADDRESS);
    }
    let mut said = 0;
    for endpoint in [Topology::ENDPOINT_C, Topology::ENDPOINT_A] {
        topology.config.enis.take(endpoint);
        world.dataplane.apply(topology.config.clone());
        let World {
            dataplane,
            workers,
            now,
            ..
        } = &mut world;
        for _ in 0..5 {
            dataplane.resume(&mut workers[0]);
            dataplane.handle_timeout(&mut workers[0], *now);
            said += iter::from_fn(|| dataplane.poll_transmit(&mut workers[0])).count();
            dataplane.park(&mut workers[0]);
        }
    }
    assert!(said < 4000);
    said += world.advance(MOMENT).len();
    assert_eq!((said, world.flows().len()), (4000, 0));
}

#[test]
fn twenty_thousand_flows_are_cut_in_small_pieces() {
    const FLOWS: usize = 20_000;
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    for port in 0..FLOWS {
        Connection::open(&mut world, 20_000 + port as u16);
    }
    topology.config.enis.take(Topology::ENDPOINT_C);
    world.dataplane.apply(topology.config);
    let mut told = 0;
    while told < 2 * FLOWS {
        let World {
            dataplane,
            workers,
            now,
            ..
        } = &mut world;
        let due = dataplane.poll_timeout(&workers[0]).unwrap();
        *now = (*now).max(due.at);
        dataplane.resume(&mut workers[0]);
        dataplane.handle_timeout(&mut workers[0], *now);
        let said = iter::from_fn(|| dataplane.poll_transmit(&mut workers[0])).count();
        dataplane.park(&mut workers[0]);
        assert!(said <= 2 * 128, "{said} in one call");
        told += said;
    }
    assert_eq!(world.flows().len(), 0);
    assert!(world.now.since(Instant::START) < Duration::from_secs(1));
}

#[test]
fn nobody_is_told_while_a_worker_may_still_write_what_it_has_forwarded() {
    let mut topology = Topology::w1();
    let mut world = World::new(&topology);
    Connection::open(&mut world, 41234);
    topology.config.enis.take(Topology::ENDPOINT_C);
    world.dataplane.apply(topology.config);
    let World {
        dataplane,
        workers,
        now,
        ..
    } = &mut world;
    let [behind, ahead] = &mut workers[..] else {
        panic!("two workers")
    };
    // In a batch that knows of the change, and not of what is marked meanwhile.
    dataplane.resume(behind);
    for _ in 0..10 {
        *now = *now + MOMENT;
        dataplane.resume(ahead);
        dataplane.handle_timeout(ahead, *now);
        assert_eq!(dataplane.poll_transmit(ahead), None);
    }
    assert_eq!(
        dataplane.flows(0..usize::MAX, *now).count(),
        0,
        "it has been marked"
    );
    dataplane.resume(behind);
    *now = *now + MOMENT;
    dataplane.resume(ahead);
    dataplane.handle_timeout(ahead, *now);
    let said = iter::from_fn(|| dataplane.poll_transmit(ahead));
    assert_eq!(said.count(), 2);
}

/// Numbers behind what has been written so far, by connection.
type Written = Vec<AtomicU32>;

/// Carries packets from one side of every connection, in batches that are written at their end.
fn carry(
    dataplane: &Dataplane,
    number: usize,
    from: EniIdx,
    (connections, written): (&[Connection], &Written),
    stop: &AtomicBool,
) {
    let mut worker = dataplane.worker(number);
    while !stop.load(Relaxed) {
        dataplane.resume(&mut worker);
        let mut batch = Vec::new();
        for (connection, written) in connections.iter().zip(written) {
            let next = written.load(Relaxed);
            let packet = match from == A {
                true => connection.outbound(ACK, next, 5001),
                false => connection.inbound(ACK, next, 1001),
            };
            let mut packet = packet.payload(&[0; 10]).build();
            let now = Instant::START;
            let verdict = dataplane.handle_packet(&mut worker, from, &mut packet.view(), now);
            if let Verdict::Forward(_) = verdict {
                batch.push((written, next + 10));
            }
        }
        for (written, next) in batch {
            written.store(next, Relaxed);
        }
        while dataplane.poll_transmit(&mut worker).is_some() {}
    }
    dataplane.park(&mut worker);
}

#[test]
fn resets_follow_the_last_packet_that_other_threads_have_written() {
    for _ in 0..20 {
        let mut topology = Topology::w1();
        let settings = Settings {
            workers: 3,
            ..World::settings()
        };
        let mut world = World::with(&topology, settings);
        let connections: Vec<_> = (0..64)
            .map(|nth| Connection::open(&mut world, 41_000 + nth))
            .collect();
        let written = [1001, 5001].map(|first| -> Written {
            let connections = connections.iter();
            connections.map(|_| AtomicU32::new(first)).collect()
        });
        let [outbound, inbound] = &written;
        let expected = || {
            let each = connections.iter().zip(outbound).zip(inbound);
            each.flat_map(|((connection, outbound), inbound)| {
                let [client, server] = [outbound, inbound].map(|written| written.load(Relaxed));
                [
                    Told::client(connection, server, client),
                    Told::server(connection, client, server),
                ]
            })
            .collect::<Vec<_>>()
        };
        let World { dataplane, now, .. } = &world;
        let stop = AtomicBool::new(false);
        let (mut told, mut too_early) = (Vec::new(), false);
        thread::scope(|scope| {
            scope.spawn(|| carry(dataplane, 0, A, (&connections, outbound), &stop));
            scope.spawn(|| carry(dataplane, 1, B, (&connections, inbound), &stop));
            let mut worker = dataplane.worker(2);
            thread::sleep(Duration::from_millis(2));
            topology.config.enis.take(Topology::ENDPOINT_C);
            dataplane.apply(topology.config);
            let mut at = *now;
            // Until no flow is left.
            while dataplane.poll_timeout(&worker).is_some() {
                at = at + Duration::from_millis(1);
                dataplane.resume(&mut worker);
                dataplane.handle_timeout(&mut worker, at);
                let said = iter::from_fn(|| dataplane.poll_transmit(&mut worker));
                let before = told.len();
                told.extend(said.map(|said| Told::new(&said)));
                if told.len() > before {
                    // All that is written has been by now.
                    too_early |= !expected().iter().all(|expected| told.contains(expected));
                }
                dataplane.park(&mut worker);
                thread::yield_now();
            }
            stop.store(true, Relaxed);
        });
        assert!(!too_early);
        assert!(expected().iter().all(|expected| told.contains(expected)));
    }
}
