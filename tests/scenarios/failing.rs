//! What becomes of flows while targets come, fail, recover, drain and die.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use privlink::dataplane::config::{HealthCheckProtocol, ListenerProtocol, TargetIdx};
use privlink::dataplane::{DropReason, Verdict};
use privlink::sim::{PacketBuilder, Server, Topology, World, tcp, udp};

use super::balance::open;
use super::health::{LISTENER, PORT, SECOND, eni, names, probed, probes, told, world};
use super::{A, EC2, ENDPOINT, RST};

/// A connection through the endpoint, its handshake done: the target it got, and what each side sends next.
fn connect(world: &mut World, port: u16) -> (u32, [PacketBuilder; 2]) {
    let syn = tcp((EC2, port), LISTENER);
    let Verdict::Forward(to) = world.send(A, &syn).verdict else {
        panic!("{}", world.describe())
    };
    let sides = world.connect_between(A, (EC2, port), LISTENER, to);
    (to.index() - eni(0).index(), sides)
}

#[test]
fn a_new_target_gets_connections_from_its_first_pass_on() {
    let topology = probed(4, HealthCheckProtocol::Tcp);
    let mut world = World::new(&topology);
    world.servers.insert((eni(1), PORT), Server::Accepts);
    // Nobody has passed: all are used.
    let targets = |world: &mut World| -> BTreeSet<u32> {
        let ports = 1024..1064;
        ports.map(|port| connect(world, port).0).collect()
    };
    assert_eq!(targets(&mut world), [1, 3].into());
    assert!(
        !world
            .dataplane
            .is_zone_healthy(Topology::LOAD_BALANCER, Topology::ZONE_C)
    );
    world.advance(2 * SECOND);
    assert_eq!(
        (names(&world, 1).0, names(&world, 3).0),
        ("healthy", "initial")
    );
    assert!(
        world
            .dataplane
            .is_zone_healthy(Topology::LOAD_BALANCER, Topology::ZONE_C)
    );
    assert!(
        !world
            .dataplane
            .is_zone_healthy(Topology::LOAD_BALANCER, Topology::ZONE_A)
    );
    // What went to one that has yet to pass stays there.
    assert!(
        world
            .flows()
            .iter()
            .any(|flow| flow.target.key.ingress == eni(3) && flow.via.is_some())
    );
    let new = (2000..2040).map(|port| connect(&mut world, port).0);
    assert_eq!(new.collect::<BTreeSet<_>>(), [1].into());
}

#[test]
fn a_target_that_becomes_unhealthy_has_its_connections_reset_on_both_sides() {
    for terminates in [true, false] {
        let mut topology = probed(4, HealthCheckProtocol::Tcp);
        topology.target_group().terminates_on_unhealthy = terminates;
        let mut world = world(&topology, &Server::Accepts);
        world.advance(2 * SECOND);
        let mut by_target = BTreeMap::<u32, Vec<_>>::new();
        for port in 1024..1064 {
            let (target, sides) = connect(&mut world, port);
            by_target.entry(target).or_default().push(sides);
        }
        assert_eq!(by_target.len(), 2);
        world.servers.insert((eni(1), PORT), Server::Refuses);
        let said = world.advance(21 * SECOND);
        assert_eq!(
            names(&world, 1),
            ("unhealthy", Some("Target.FailedHealthChecks"))
        );
        let resets = |to, seq: u32| {
            let to = said.iter().filter(|it| it.to == to);
            let resets = to.filter(|it| it.bytes[33] & RST != 0);
            resets
                .filter(|it| it.bytes[24..28] == seq.to_be_bytes())
                .count()
        };
        let lost = if terminates { by_target[&1].len() } else { 0 };
        assert_eq!((resets(A, 5001), resets(eni(1), 1001)), (lost, lost));
        for [client, server] in &by_target[&3] {
            world.deliver(A, client, eni(3));
            world.deliver(eni(3), server, A);
        }
        for [client, _] in &by_target[&1] {
            match terminates {
                true => assert_eq!(world.refuse(A, client, DropReason::NoFlow).len(), 1),
                false => _ = world.deliver(A, client, eni(1)),
            }
        }
    }
}

#[test]
fn datagrams_that_keep_their_port_go_on_to_a_target_that_becomes_unhealthy() {
    let mut topology = open(probed(4, HealthCheckProtocol::Tcp));
    topology.listener().protocol = ListenerProtocol::TcpUdp;
    // What a group of UDP or TCP_UDP has.
    topology.target_group().terminates_on_unhealthy = false;
    let mut world = world(&topology, &Server::Accepts);
    world.advance(2 * SECOND);
    let target = |world: &mut World, port: u16| {
        let outcome = world.send(A, &udp((EC2, port), LISTENER));
        let Verdict::Forward(to) = outcome.verdict else {
            panic!("{:?} {}", outcome.verdict, world.describe())
        };
        to.index() - eni(0).index()
    };
    let before: Vec<_> = (1024..1064).map(|port| target(&mut world, port)).collect();
    assert_eq!(
        before.iter().copied().collect::<BTreeSet<_>>(),
        [1, 3].into()
    );
    world.servers.insert((eni(1), PORT), Server::Refuses);
    world.advance(21 * SECOND);
    assert_eq!(names(&world, 1).0, "unhealthy");
    let after: Vec<_> = (1024..1064).map(|port| target(&mut world, port)).collect();
    assert_eq!(after, before);
    let new = (2000..2040).map(|port| target(&mut world, port));
    assert_eq!(new.collect::<BTreeSet<_>>(), [3].into());
    // Once they pause for as long as their flow lives, they are new.
    world.advance(121 * SECOND);
    let late = (1024..1064).map(|port| target(&mut world, port));
    assert_eq!(late.collect::<BTreeSet<_>>(), [3].into());
}

#[test]
fn when_all_are_unhealthy_all_are_used_and_keep_their_connections() {
    let topology = probed(4, HealthCheckProtocol::Tcp);
    let mut world = world(&topology, &Server::Accepts);
    world.advance(2 * SECOND);
    let before: Vec<_> = (1024..1064).map(|port| connect(&mut world, port)).collect();
    // The first to fail loses its own; the last of them does not, as there is no better one.
    world.servers.remove(&(eni(3), PORT));
    world.advance(30 * SECOND);
    world.servers.remove(&(eni(1), PORT));
    world.advance(30 * SECOND);
    assert_eq!(
        (names(&world, 1).0, names(&world, 3).0),
        ("unhealthy", "unhealthy")
    );
    assert!(
        !world
            .dataplane
            .is_zone_healthy(Topology::LOAD_BALANCER, Topology::ZONE_C)
    );
    for (target, [client, _]) in &before {
        match target {
            1 => _ = world.deliver(A, client, eni(1)),
            _ => _ = world.refuse(A, client, DropReason::NoFlow),
        }
    }
    let used: BTreeSet<_> = (2000..2040)
        .map(|port| connect(&mut world, port).0)
        .collect();
    assert_eq!(used, [1, 3].into());
    // One recovers, so the other one's are reset.
    world.servers.insert((eni(3), PORT), Server::Accepts);
    world.advance(41 * SECOND);
    assert_eq!(
        (names(&world, 1).0, names(&world, 3).0),
        ("unhealthy", "healthy")
    );
    let left = world.flows();
    let left = left.iter().filter(|flow| flow.via.is_some());
    assert!(left.clone().count() > 0);
    assert!(left.clone().all(|flow| flow.target.key.ingress == eni(3)));
}

#[test]
fn a_draining_target_keeps_its_connections_and_at_the_end_they_are_reset_or_live_on() {
    for terminates in [true, false] {
        let mut topology = probed(4, HealthCheckProtocol::Tcp);
        topology.target_group().terminates_on_deregistration = terminates;
        let mut world = world(&topology, &Server::Accepts);
        world.advance(2 * SECOND);
        let mut old = (1024..1064).map(|port| connect(&mut world, port));
        let (_, [client, server]) = old.find(|(target, _)| *target == 1).unwrap();
        topology.target(1).draining = true;
        world.dataplane.apply(topology.config.clone());
        let said = world.advance(100 * SECOND);
        assert!(probes(&said, 1).is_empty(), "it is not probed any more");
        let draining = ("draining", Some("Target.DeregistrationInProgress"));
        assert_eq!(names(&world, 1), draining);
        let new: BTreeSet<_> = (2000..2040)
            .map(|port| connect(&mut world, port).0)
            .collect();
        assert_eq!(new, [3].into());
        world.deliver(A, &client, eni(1));
        // Control takes it away when the delay is over.
        topology
            .target_group()
            .targets
            .retain(|idx| idx.index() != 1);
        topology.config.targets.take(TargetIdx::new(1, 0));
        world.dataplane.apply(topology.config.clone());
        world.advance(SECOND);
        assert_eq!(
            told(&world)[&1].last().unwrap(),
            "unused Target.NotRegistered"
        );
        // And another change, which does not concern it.
        topology.add_target(4, Topology::ZONE_C);
        world.dataplane.apply(topology.config.clone());
        world.advance(SECOND);
        if terminates {
            world.refuse(A, &client, DropReason::NoFlow);
            continue;
        }
        world.deliver(A, &client, eni(1));
        world.deliver(eni(1), &server, A);
        // Until it idles out, or its instance goes.
        topology.config.enis.take(eni(1));
        world.dataplane.apply(topology.config);
        world.advance(SECOND);
        world.refuse(A, &client, DropReason::NoFlow);
    }
}

#[test]
fn a_target_killed_under_200_connections_a_second_costs_no_new_one_after_its_detection() {
    let topology = probed(4, HealthCheckProtocol::Tcp);
    let mut world = world(&topology, &Server::Accepts);
    world.advance(2 * SECOND);
    told(&world);
    let zones = [(Topology::ENDPOINT_A_ADDRESS, 1), (ENDPOINT, 0)];
    let mut detected = None;
    let mut failed = BTreeMap::<(usize, bool), u32>::new();
    for number in 0..200 * 40_u32 {
        if number == 200 {
            world.servers.remove(&(eni(1), PORT));
        }
        world.advance(Duration::from_millis(5));
        if names(&world, 1).0 == "unhealthy" && detected.is_none() {
            detected = Some(number);
        }
        let (endpoint, zone) = zones[number as usize % 2];
        let client = (EC2, 1024 + (number / 2 % 60_000) as u16);
        let Verdict::Forward(to) = world.send(A, &tcp(client, (endpoint, 80))).verdict else {
            panic!("{}", world.describe())
        };
        if !world.servers.contains_key(&(to, PORT)) {
            *failed.entry((zone, detected.is_some())).or_default() += 1;
        }
    }
    let detection = detected.unwrap() - 200;
    assert!(detection <= 200 * (2 * 10 + 4), "{detection}");
    assert_eq!(
        failed.keys().copied().collect::<Vec<_>>(),
        [(0, false)],
        "{failed:?}"
    );
    assert_eq!(told(&world).keys().copied().collect::<Vec<_>>(), [1]);
}
