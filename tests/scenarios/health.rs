//! Health checks: what nodes probe, what they make of the answers, and what becomes of flows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use privlink::dataplane::config::{HealthCheck, HealthCheckProtocol, TargetIdx};
use privlink::dataplane::{
    DropReason, EniIdx, Event, Failure, TargetHealth, TargetHealthView, Verdict,
};
use privlink::net::Addr;
use privlink::sim::{Server, SimPacket, Topology, World, tcp};

use super::{A, ACK, EC2, ENDPOINT, RST, SYN, drops, handshake, source};

pub const LISTENER: ([u8; 4], u16) = (ENDPOINT, 80);
const NODE_A: EniIdx = Topology::NODE_A;
const NODE_C: EniIdx = Topology::NODE_C;
pub const PORT: u16 = Topology::TARGET_PORT;
pub const SECOND: Duration = Duration::from_secs(1);

/// W2 with probes each ten seconds, which may take four, and thresholds of 3 and 2.
pub fn probed(targets: u32, protocol: HealthCheckProtocol) -> Topology {
    let mut topology = Topology::w2(targets);
    topology.target_group().health_check = Some(HealthCheck {
        interval: 10 * SECOND,
        timeout: 4 * SECOND,
        healthy_threshold: 3,
        unhealthy_threshold: 2,
        ..Topology::health_check(protocol)
    });
    topology
}

fn http() -> HealthCheckProtocol {
    HealthCheckProtocol::Http {
        path: "/health".into(),
        matcher: vec![200..=299, 302..=302],
    }
}

pub fn eni(target: u32) -> EniIdx {
    Topology::target_eni(target)
}

/// A world in which every target's server does this.
pub fn world(topology: &Topology, server: &Server) -> World {
    let mut world = World::new(topology);
    for (_, target) in topology.config.targets.iter() {
        let place = |it: &(EniIdx, &privlink::dataplane::config::Interface)| {
            it.1.vpc == Topology::PROVIDER_VPC && it.1.addresses.contains(&target.address)
        };
        if let Some((eni, _)) = topology.config.enis.iter().find(place) {
            world.servers.insert((eni, target.port), server.clone());
        }
    }
    world
}

/// The health of a target as its nodes see it, in their order.
fn health(world: &World, target: u32) -> Vec<TargetHealth> {
    let views = world.dataplane.target_health();
    let views = views
        .iter()
        .filter(|view| view.target == TargetIdx::new(target, 0));
    views.map(|view| view.health).collect()
}

/// State and reason of a target that one node sees, as AWS names them.
pub fn names(world: &World, target: u32) -> (&'static str, Option<&'static str>) {
    let [health] = health(world, target)[..] else {
        panic!("{:?}", health(world, target))
    };
    (health.state(), health.reason())
}

/// What has been told of each target, as state and reason.
pub fn told(world: &World) -> BTreeMap<u32, Vec<String>> {
    let mut told = BTreeMap::<_, Vec<_>>::new();
    for event in world.events() {
        let Event::TargetHealth(view) = event else {
            panic!("{event:?}")
        };
        let reason = view.health.reason().unwrap_or("-");
        let line = format!("{} {reason}", view.health.state());
        told.entry(view.target.index()).or_default().push(line);
    }
    told
}

/// The packets of probes to a target among what the core has said.
pub fn probes(said: &[privlink::dataplane::Transmit], target: u32) -> Vec<SimPacket> {
    let said = said.iter().filter(|transmit| transmit.to == eni(target));
    let packets = said.map(|transmit| SimPacket {
        vnet: Default::default(),
        bytes: transmit.bytes.clone(),
    });
    packets.collect()
}

fn flags(packet: &SimPacket) -> u8 {
    packet.bytes[33]
}

/// The sequence number.
fn number(packet: &SimPacket) -> u32 {
    u32::from_be_bytes(packet.bytes[24..28].try_into().unwrap())
}

/// A world in which the target's server says what the test says, and the first SYN to it.
fn probing(topology: &Topology) -> (World, SimPacket) {
    let mut world = World::new(topology);
    loop {
        let said = world.advance(Duration::from_millis(10));
        if let Some(syn) = probes(&said, 1).pop() {
            return (world, syn);
        }
    }
}

/// The bytes that these segments carry.
fn said_by(packets: &[SimPacket]) -> Vec<u8> {
    let payload = |packet: &SimPacket| {
        let headers = packet.headers().unwrap();
        packet.bytes[headers.len - headers.payload_len..].to_vec()
    };
    packets.iter().flat_map(payload).collect()
}

#[test]
fn a_tcp_probe_comes_from_the_nodes_own_address_and_leaves_nothing_behind() {
    let mut world = world(&probed(2, HealthCheckProtocol::Tcp), &Server::Accepts);
    let said = world.advance(2 * SECOND);
    let packets = probes(&said, 1);
    // No server notices: the handshake is not completed.
    assert_eq!(packets.iter().map(flags).collect::<Vec<_>>(), [SYN, RST]);
    assert_eq!(number(&packets[1]), number(&packets[0]) + 1);
    for packet in &packets {
        assert!(packet.checksums_are_right());
        let (address, port) = source(&packet.tuple());
        assert_eq!(
            (address, packet.tuple().dst_port),
            (Topology::NODE_C_ADDRESS, PORT)
        );
        assert!(port >= 1024);
    }
    assert_eq!(names(&world, 1), ("healthy", None));
    assert_eq!(world.new_drops(), drops([]));
    let flows = world.flows();
    assert!(
        flows.iter().all(|flow| flow.state.name() == "reset"),
        "{flows:?}"
    );
}

#[test]
fn a_tcp_probe_goes_by_what_connect_would_take() {
    // Flags and acknowledgement number, from the one behind the SYN; how the node answers, and what it makes of the target.
    let rows: [(u8, u32, &[u8], &str); 7] = [
        (SYN | ACK, 0, &[RST], "healthy"),
        (RST | ACK, 0, &[], "failed"),
        (SYN | ACK, 1, &[RST], "initial"),
        (ACK, 77, &[RST], "initial"),
        (ACK, 0, &[], "initial"),
        (RST | ACK, 1, &[], "initial"),
        (RST, 0, &[], "initial"),
    ];
    for (flags_of_it, ahead, expected, state) in rows {
        let mut topology = probed(2, HealthCheckProtocol::Tcp);
        let check = topology.target_group().health_check.as_mut().unwrap();
        check.unhealthy_threshold = 1;
        let (mut world, syn) = probing(&topology);
        let ack = number(&syn).wrapping_add(1 + ahead);
        let own = tcp((Topology::target_address(1), PORT), source(&syn.tuple()));
        let answer = own.clone().segment(flags_of_it, 5000, ack);
        let outcome = world.send(eni(1), &answer);
        assert_eq!(outcome.verdict, Verdict::Answered);
        let said = probes(&outcome.replies, 1);
        let what = format!("{flags_of_it:#x} {ahead}");
        assert_eq!(
            said.iter().map(flags).collect::<Vec<_>>(),
            expected,
            "{what}"
        );
        assert!(said.iter().all(|reset| number(reset) == ack), "{what}");
        let found = match health(&world, 1)[..] {
            [TargetHealth::Unhealthy(Failure::Failed)] => "failed",
            [health] => health.state(),
            _ => panic!("{what}"),
        };
        assert_eq!(found, state, "{what}");
        if state == "initial" {
            // It goes on: the SYN comes again, and the right answer to that is taken.
            let again = probes(&world.advance(SECOND), 1);
            assert_eq!(again.iter().map(flags).collect::<Vec<_>>(), [SYN], "{what}");
            assert_eq!(number(&again[0]), number(&syn), "{what}");
            world.send(
                eni(1),
                &own.segment(SYN | ACK, 9000, number(&syn).wrapping_add(1)),
            );
            assert_eq!(names(&world, 1).0, "healthy", "{what}");
        }
        assert_eq!(world.new_drops(), drops([]), "{what}");
    }
}

#[test]
fn a_syn_comes_again_each_time_later_until_the_deadline_and_a_late_answer_is_reset() {
    let (mut world, syn) = probing(&probed(2, HealthCheckProtocol::Tcp));
    let mut said = vec![];
    // It was sent within the last 10 ms.
    for tenth in 0..40 {
        let packets = probes(&world.advance(SECOND / 10), 1);
        let of_it = packets
            .iter()
            .filter(|it| source(&it.tuple()) == source(&syn.tuple()));
        said.extend(of_it.map(|it| (tenth, flags(it), number(it) - number(&syn))));
    }
    assert_eq!(said, [(9, SYN, 0), (29, SYN, 0), (39, RST, 1)]);
    assert_eq!(told(&world)[&1].len(), 2, "it has failed once");
    let ack = number(&syn) + 1;
    let own = tcp((Topology::target_address(1), PORT), source(&syn.tuple()));
    let late = world.send(eni(1), &own.segment(SYN | ACK, 5000, ack));
    assert_eq!(late.verdict, Verdict::Answered);
    let said = probes(&late.replies, 1);
    assert_eq!(
        said.iter()
            .map(|it| (flags(it), number(it)))
            .collect::<Vec<_>>(),
        [(RST, ack)]
    );
    assert_eq!(names(&world, 1).0, "initial");
}

#[test]
fn an_http_probe_asks_for_the_path_and_goes_by_the_status_code() {
    let mut answers = BTreeMap::new();
    for (status, expected) in [
        (200, TargetHealth::Healthy),
        (299, TargetHealth::Healthy),
        (302, TargetHealth::Healthy),
        (300, TargetHealth::Unhealthy(Failure::ResponseCode(300))),
        (503, TargetHealth::Unhealthy(Failure::ResponseCode(503))),
    ] {
        let mut world = world(&probed(2, http()), &Server::http(status));
        let said = world.advance(30 * SECOND);
        answers.insert(status, said_by(&probes(&said, 1)[..4]));
        assert_eq!(health(&world, 1), [expected]);
        assert_eq!(world.new_drops(), drops([]));
    }
    let request = "GET /health HTTP/1.1\r\nHost: 172.18.16.5:8080\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n";
    for asked in answers.values() {
        assert_eq!(String::from_utf8_lossy(asked), request);
    }
    let mismatch = TargetHealth::Unhealthy(Failure::ResponseCode(503));
    assert_eq!(mismatch.reason(), Some("Target.ResponseCodeMismatch"));
    assert_eq!(
        mismatch.description().unwrap(),
        "Health checks failed with these codes: [503]"
    );
}

#[test]
fn a_target_is_initial_until_its_first_pass_and_each_change_is_told_once() {
    let mut world = world(&probed(2, HealthCheckProtocol::Tcp), &Server::Accepts);
    assert_eq!(
        names(&world, 1),
        ("initial", Some("Elb.RegistrationInProgress"))
    );
    world.advance(60 * SECOND);
    let expected = [
        "initial Elb.RegistrationInProgress",
        "initial Elb.InitialHealthChecking",
        "healthy -",
    ];
    let told = told(&world);
    assert_eq!(told[&0], expected);
    assert_eq!(told[&1], expected);
}

#[test]
fn a_target_that_never_answers_is_initial_until_the_threshold_and_then_timed_out() {
    let mut world = World::new(&probed(2, HealthCheckProtocol::Tcp));
    world.advance(2 * SECOND);
    assert_eq!(
        names(&world, 1),
        ("initial", Some("Elb.InitialHealthChecking"))
    );
    world.advance(30 * SECOND);
    assert_eq!(names(&world, 1), ("unhealthy", Some("Target.Timeout")));
    assert_eq!(
        health(&world, 1)[0].description().unwrap(),
        "Request timed out"
    );
    // It asks again meanwhile, as TCP does, and does not count more than one failure for that.
    assert_eq!(told(&world)[&1].len(), 3);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn a_refusal_and_an_answer_that_is_none_fail_at_once() {
    for (protocol, server) in [
        (HealthCheckProtocol::Tcp, Server::Refuses),
        (http(), Server::Refuses),
        (
            http(),
            Server::Answers(b"220 mail.example.com ESMTP\r\n".to_vec()),
        ),
        (
            http(),
            Server::Answers(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        ),
        (http(), Server::Answers(vec![])),
        (
            http(),
            Server::Answers([b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'x'; 900]].concat()),
        ),
    ] {
        let mut world = world(&probed(2, protocol), &server);
        world.advance(SECOND);
        world.advance(10 * SECOND);
        let expected = ("unhealthy", Some("Target.FailedHealthChecks"));
        assert_eq!(names(&world, 1), expected, "{server:?}");
        assert_eq!(world.new_drops(), drops([]), "{server:?}");
    }
}

#[test]
fn thresholds_count_results_in_a_row() {
    let mut world = world(&probed(2, http()), &Server::http(200));
    // The second probe comes when it likes, so that not all come at once; from then on each ten seconds.
    world.advance(12 * SECOND);
    assert_eq!(names(&world, 1).0, "healthy");
    let after = |world: &mut World, statuses: &[u16]| {
        for status in statuses {
            world.servers.insert((eni(1), PORT), Server::http(*status));
            world.advance(10 * SECOND);
        }
        names(world, 1).0
    };
    assert_eq!(after(&mut world, &[500, 200, 500, 200, 500]), "healthy");
    assert_eq!(after(&mut world, &[500]), "unhealthy");
    assert_eq!(after(&mut world, &[200, 200, 500, 200, 200]), "unhealthy");
    assert_eq!(after(&mut world, &[200]), "healthy");
    assert_eq!(after(&mut world, &[500]), "healthy");
    assert_eq!(after(&mut world, &[503]), "unhealthy");
    assert_eq!(told(&world)[&1].len(), 6);
}

#[test]
fn a_probe_goes_to_the_port_that_the_check_names() {
    let mut topology = probed(2, HealthCheckProtocol::Tcp);
    topology.target_group().health_check.as_mut().unwrap().port = Some(9000);
    let mut world = World::new(&topology);
    world.servers.insert((eni(1), 9000), Server::Accepts);
    world.advance(2 * SECOND);
    assert_eq!(names(&world, 1), ("healthy", None));
}

#[test]
fn security_groups_are_asked_about_the_node_and_what_they_stop_times_out() {
    let mut target = probed(2, HealthCheckProtocol::Tcp);
    target.group(Topology::TARGET_GROUP).ingress.clear();
    let mut node = probed(2, HealthCheckProtocol::Tcp);
    node.group(Topology::GATEWAY_GROUP).egress.clear();
    for (topology, at, reason) in [
        (target, eni(1), DropReason::IngressDenied),
        (node, NODE_C, DropReason::EgressDenied),
    ] {
        let mut world = world(&topology, &Server::Accepts);
        world.advance(30 * SECOND);
        assert_eq!(names(&world, 1), ("unhealthy", Some("Target.Timeout")));
        assert!(world.new_drops()[&(at, reason)] >= 2);
        // The target's own egress rules say nothing of answers.
        let mut topology = probed(2, HealthCheckProtocol::Tcp);
        topology.group(Topology::TARGET_GROUP).egress.clear();
        world.dataplane.apply(topology.config);
        world.advance(40 * SECOND);
        assert_eq!(names(&world, 1), ("healthy", None));
    }
}

#[test]
fn a_target_that_nobody_uses_is_unused() {
    let mut topology = probed(4, HealthCheckProtocol::Tcp);
    topology.target(1).zone = privlink::dataplane::config::Zone(7);
    topology.target(3).address = Addr::v4(Topology::NODE_C_ADDRESS);
    topology.target(2).address = Addr::v4([172, 18, 200, 1]);
    let mut world = world(&topology, &Server::Accepts);
    world.advance(10 * SECOND);
    assert_eq!(names(&world, 0), ("healthy", None));
    assert_eq!(names(&world, 1), ("unused", Some("Target.NotInUse")));
    assert_eq!(names(&world, 2), ("unused", Some("Target.InvalidState")));
    assert_eq!(names(&world, 3), ("unused", Some("Target.IpUnusable")));
    // No listener any more; then no target.
    topology.load_balancer().listeners.clear();
    world.dataplane.apply(topology.config.clone());
    world.advance(SECOND);
    assert_eq!(names(&world, 0), ("unused", Some("Target.NotInUse")));
    told(&world);
    topology.target_group().targets.clear();
    world.dataplane.apply(topology.config);
    world.advance(SECOND);
    assert!(world.dataplane.target_health().is_empty());
    for lines in told(&world).values() {
        assert_eq!(lines.last().unwrap(), "unused Target.NotRegistered");
    }
}

#[test]
fn without_a_health_check_health_is_unavailable_and_targets_are_used() {
    let mut topology = probed(4, HealthCheckProtocol::Tcp);
    let mut world = World::new(&topology);
    world.advance(30 * SECOND);
    assert_eq!(names(&world, 1).0, "unhealthy");
    topology.target_group().health_check = None;
    world.dataplane.apply(topology.config);
    assert_eq!(world.advance(60 * SECOND), []);
    let expected = ("unavailable", Some("Target.HealthCheckDisabled"));
    assert_eq!(names(&world, 1), expected);
    assert!(
        world
            .dataplane
            .is_zone_healthy(Topology::LOAD_BALANCER, Topology::ZONE_C)
    );
}

#[test]
fn each_node_probes_the_targets_that_it_may_choose() {
    let mut topology = probed(4, HealthCheckProtocol::Tcp);
    let nodes = |world: &World, target: u32| -> Vec<EniIdx> {
        let views: Vec<TargetHealthView> = world.dataplane.target_health();
        let of = views.iter().filter(|view| view.target.index() == target);
        of.filter_map(|view| Some(view.node?.0)).collect()
    };
    let mut world = world(&topology, &Server::Accepts);
    assert_eq!([nodes(&world, 0), nodes(&world, 1)], [[NODE_A], [NODE_C]]);
    world.advance(2 * SECOND);
    topology.load_balancer().cross_zone = true;
    world.dataplane.apply(topology.config.clone());
    assert_eq!([nodes(&world, 0), nodes(&world, 1)], [[NODE_A, NODE_C]; 2]);
    assert_eq!(
        health(&world, 1),
        [TargetHealth::RegistrationInProgress, TargetHealth::Healthy]
    );
    let said = world.advance(2 * SECOND);
    let sources: BTreeSet<_> = probes(&said, 1)
        .iter()
        .map(|it| source(&it.tuple()).0)
        .collect();
    assert!(sources.contains(&[172, 18, 0, 80]));
    assert_eq!(health(&world, 1), [TargetHealth::Healthy; 2]);
    // What one node finds says nothing of the others.
    topology.group(Topology::TARGET_GROUP).ingress =
        vec![privlink::sim::any_from("172.18.0.80/32")];
    world.dataplane.apply(topology.config);
    world.advance(30 * SECOND);
    let timeout = TargetHealth::Unhealthy(Failure::Timeout);
    assert_eq!(health(&world, 1), [TargetHealth::Healthy, timeout]);
}

#[test]
fn a_change_keeps_what_is_known_of_the_targets_that_it_does_not_concern() {
    let mut topology = probed(40, HealthCheckProtocol::Tcp);
    let mut world = world(&topology, &Server::Accepts);
    world.servers.remove(&(eni(7), PORT));
    world.advance(31 * SECOND);
    told(&world);
    let known = world.dataplane.target_health();
    for number in 40..60 {
        topology.add_target(number, Topology::ZONE_A);
        world.dataplane.apply(topology.config.clone());
    }
    topology
        .target_group()
        .health_check
        .as_mut()
        .unwrap()
        .interval = 5 * SECOND;
    topology.target_group().stickiness = true;
    world.dataplane.apply(topology.config.clone());
    let after = world.dataplane.target_health();
    assert!(known.iter().all(|view| after.contains(view)));
    world.advance(20 * SECOND);
    let told = told(&world);
    assert!(told.keys().all(|target| *target >= 40), "{told:?}");
    // A new way of probing is taken up, with what is known.
    topology
        .target_group()
        .health_check
        .as_mut()
        .unwrap()
        .protocol = http();
    world.dataplane.apply(topology.config);
    world.advance(SECOND);
    assert_eq!(names(&world, 7).0, "unhealthy");
    world.advance(20 * SECOND);
    assert_eq!(names(&world, 8), ("unhealthy", Some("Target.Timeout")));
}

/// A payload and a window.
type Says = (Vec<u8>, u16);

#[test]
fn a_target_that_wastes_time_or_space_is_timed_out_and_holds_nothing() {
    // An answer without an end; one byte of window; one byte every second.
    let endless = |nth: usize| {
        (
            vec![b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(100)][nth.min(1)].clone(),
            64240,
        )
    };
    let narrow = |_: usize| (vec![], 1);
    let dripping = |nth: usize| (b"HTTP/1.1 200 OK\r\n\r\n"[nth..=nth].to_vec(), 64240);
    let says: [(&str, &dyn Fn(usize) -> Says); 3] = [
        ("endless", &endless),
        ("narrow", &narrow),
        ("dripping", &dripping),
    ];
    for (name, says) in says {
        let mut world = World::new(&probed(2, http()));
        let mut syn = None;
        while syn.is_none() {
            let said = world.advance(Duration::from_millis(10));
            syn = probes(&said, 1).pop();
        }
        let syn = syn.unwrap();
        let (node, seq) = (
            source(&syn.tuple()),
            u32::from_be_bytes(syn.bytes[24..28].try_into().unwrap()) + 1,
        );
        let own = tcp((Topology::target_address(1), PORT), node);
        let accept = own.clone().segment(SYN | ACK, 5000, seq).window(says(0).1);
        world.send(eni(1), &accept);
        let (mut next, mut heard, mut ended) = (5001_u32, 0_u32, None);
        for nth in 0..10 {
            let (payload, window) = says(nth);
            let packet = own
                .clone()
                .segment(ACK, next, seq + heard)
                .window(window)
                .payload(&payload);
            let mut said = world.send(eni(1), &packet).replies;
            said.extend(world.advance(SECOND));
            let said = probes(&said, 1);
            if let Some(reset) = said.iter().find(|it| flags(it) & RST != 0) {
                ended.get_or_insert((nth, reset.clone()));
            }
            let of_this = said.iter().filter(|it| source(&it.tuple()) == node);
            let ack = of_this.map(|it| u32::from_be_bytes(it.bytes[28..32].try_into().unwrap()));
            next = ack.max().unwrap_or(next).max(next);
            heard += u32::from(window == 1 && nth < 4);
        }
        let (seconds, reset) = ended.unwrap_or_else(|| panic!("{name} still lives"));
        assert!(
            seconds <= 4 && source(&reset.tuple()) == node,
            "{name}: {seconds} s"
        );
        assert_eq!(told(&world)[&1].len(), 2, "{name} has failed once");
        // What it still says goes nowhere, and is not held against anybody.
        let late = own.segment(ACK, next, seq).payload(&[0; 1000]);
        assert_eq!(world.send(eni(1), &late).verdict, Verdict::Answered);
        world.advance(30 * SECOND);
        assert_eq!(names(&world, 1).0, "unhealthy", "{name}");
    }
}

#[test]
fn an_answer_with_a_wrong_checksum_is_none_and_a_super_packet_without_one_is() {
    for (spoil, healthy) in [(true, false), (false, true)] {
        let mut world = World::new(&probed(2, http()));
        let mut said = vec![];
        while said.is_empty() {
            said = probes(&world.advance(Duration::from_millis(10)), 1);
        }
        let node = source(&said[0].tuple());
        let seq = u32::from_be_bytes(said[0].bytes[24..28].try_into().unwrap()) + 1;
        let own = tcp((Topology::target_address(1), PORT), node);
        let asked = world.send(eni(1), &own.clone().segment(SYN | ACK, 5000, seq));
        let asked = said_by(&probes(&asked.replies, 1)).len() as u32;
        assert!(asked > 50);
        let body = if spoil { 200 } else { 20_000 };
        let page = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; body]].concat();
        let answer = own.segment(ACK, 5001, seq + asked).payload(&page);
        let mut packet = if spoil {
            answer.build()
        } else {
            answer.gso(1460).build()
        };
        if spoil {
            packet.bytes[36] ^= 1;
        }
        let outcome = world.send_packet(eni(1), packet);
        let expected = match spoil {
            true => Verdict::Drop(DropReason::BadTransportHeader),
            false => Verdict::Answered,
        };
        assert_eq!(outcome.verdict, expected);
        assert_eq!(
            names(&world, 1).0,
            if healthy { "healthy" } else { "initial" }
        );
    }
}

#[test]
fn behind_a_proxy_header_an_http_probe_says_that_it_is_the_load_balancers_own_and_a_tcp_probe_nothing()
 {
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for protocol in [HealthCheckProtocol::Tcp, http()] {
        let mut topology = probed(2, protocol.clone());
        topology.target_group().proxy_protocol = true;
        let mut world = world(&topology, &Server::http(200));
        let packets = probes(&world.advance(2 * SECOND), 1);
        let said = said_by(&packets);
        match protocol {
            HealthCheckProtocol::Tcp => {
                assert_eq!(packets.iter().map(flags).collect::<Vec<_>>(), [SYN, RST]);
            }
            HealthCheckProtocol::Http { .. } => {
                let request = said.strip_prefix(local).unwrap();
                assert!(request.starts_with(b"GET /health "));
            }
        }
        assert_eq!(names(&world, 1), ("healthy", None));
    }
}

#[test]
fn a_probe_takes_no_port_from_a_connection_and_one_that_finds_none_says_nothing_of_the_target() {
    let mut topology = probed(2, HealthCheckProtocol::Tcp);
    topology.config.enis.take(Topology::EC2_A2);
    topology.group(Topology::CONSUMER_GROUP).egress = vec![privlink::sim::any_from("0.0.0.0/0")];
    let settings = privlink::dataplane::Settings {
        max_flows: 200_000,
        ..World::settings()
    };
    let mut world = World::with(&topology, settings);
    // Every port of the node towards this target; the last ones are found late.
    let mut ports: Vec<_> = (1024..=u16::MAX).collect();
    for _ in 0..10_000 {
        ports.retain(|port| {
            let outcome = handshake(&mut world, A, (EC2, *port), LISTENER);
            !matches!(outcome.verdict, Verdict::Forward(_))
        });
    }
    let open = 64_512 - ports.len();
    assert_eq!(open, 64_512, "every port of the node towards the target");
    world.new_drops();
    world.servers.insert((eni(1), PORT), Server::Accepts);
    assert_eq!(probes(&world.advance(20 * SECOND), 1), []);
    assert_eq!(names(&world, 1).0, "initial");
    assert_eq!(world.new_drops(), drops([]));
    let through = |world: &World| world.flows().iter().filter(|it| it.via.is_some()).count();
    assert_eq!(through(&world), 64_512);
    // Those that are idle end.
    world.advance(350 * SECOND);
    assert_eq!((names(&world, 1).0, through(&world)), ("healthy", 0));
}

#[test]
fn a_thousand_targets_are_probed_evenly_in_small_pieces() {
    let mut topology = probed(1_000, HealthCheckProtocol::Tcp);
    topology.load_balancer().cross_zone = true;
    let mut world = world(&topology, &Server::Accepts);
    world.advance(12 * SECOND);
    let views = world.dataplane.target_health();
    assert_eq!(views.len(), 2_000);
    assert!(
        views
            .iter()
            .all(|view| view.health == TargetHealth::Healthy)
    );
    // 200 a second in the mean; a Poisson process would stay within 130 and 270 in all of 60 seconds.
    let mut syns = 0;
    for _ in 0..60 {
        let said = world.advance(SECOND);
        let begun = said.iter().filter(|it| it.bytes[33] == SYN).count();
        assert!((130..270).contains(&begun), "{begun}");
        syns += begun;
    }
    assert_eq!(syns, 12_000);
    assert!(world.flows().len() < 5_000, "{}", world.flows().len());
    // Each call does a little: no more than eight targets.
    let mut most = 0;
    for _ in 0..2_000 {
        let due = world.due().unwrap();
        world.now = world.now.max(due);
        let World {
            dataplane,
            workers,
            now,
            ..
        } = &mut world;
        dataplane.resume(&mut workers[0]);
        dataplane.handle_timeout(&mut workers[0], *now);
        let said = std::iter::from_fn(|| dataplane.poll_transmit(&mut workers[0])).count();
        dataplane.park(&mut workers[0]);
        most = most.max(said);
    }
    assert!((1..=8).contains(&most), "{most}");
}
