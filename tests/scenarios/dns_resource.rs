//! Resources that are domain names: where new flows go, and where old ones stay.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use privlink::dataplane::config::{ResourceTarget, View};
use privlink::dataplane::dns::Upstream;
use privlink::dataplane::{
    AskId, Asker, DropReason, EniIdx, Event, NameFailure, ResourceName, ResourceNameOutcome,
};
use privlink::net::Addr;
use privlink::sim::{PacketBuilder, Topology, World, tcp, zone};

use super::resolver::{self, RESOLVER, SECOND, asked, records, tell};
use super::{A, ACK, B, EC2, ENDPOINT, NEIGHBOUR, RST, drops};

const B2: EniIdx = Topology::EC2_B2;
const SERVER: ([u8; 4], u16) = (ENDPOINT, 80);
/// A name in no zone.
const OUTSIDE: &str = "db.example.org.";
const IN_VPC: View = View::Vpc(Topology::PROVIDER_VPC);

/// W1, whose resource is this name, looked up in the provider's VPC; `zone` is all that is known there.
fn named(name: &str, zone_text: &str) -> Topology {
    let mut topology = Topology::w1();
    topology.resource().target = ResourceTarget::Name {
        name: Name::from_ascii(name).unwrap(),
        view: IN_VPC,
        allowed: vec!["172.16.0.0/12".parse().unwrap()],
    };
    let vpc = topology.config.vpcs.get_mut(Topology::PROVIDER_VPC);
    vpc.unwrap().resolver = resolver::resolver(vec![zone("example.com.", zone_text)]);
    topology
}

/// A world in which what is due at once has been done.
fn world(topology: &Topology) -> World {
    let mut world = World::new(topology);
    world.advance(Duration::ZERO);
    world
}

/// The topology changes, and what is due at once has been done.
fn apply(world: &mut World, topology: &Topology) -> usize {
    world.dataplane.apply(topology.config.clone());
    world.advance(Duration::from_millis(10)).len()
}

fn syn(port: u16) -> PacketBuilder {
    tcp((EC2, port), SERVER)
}

fn outcomes(world: &World) -> Vec<ResourceNameOutcome> {
    let events = world.events().into_iter();
    let outcomes = events.filter_map(|event| match event {
        Event::ResourceName { outcome, .. } => Some(outcome),
        _ => None,
    });
    outcomes.collect()
}

fn resolved<const N: usize>(addresses: [[u8; 4]; N]) -> ResourceNameOutcome {
    ResourceNameOutcome::Resolved(addresses.map(Addr::v4).into())
}

fn failed(code: ResponseCode) -> ResourceNameOutcome {
    ResourceNameOutcome::Failed(NameFailure::Response(code))
}

fn known(world: &World) -> ResourceName {
    let [known] = &world.dataplane.resource_names()[..] else {
        panic!("{:?}", world.dataplane.resource_names())
    };
    known.clone()
}

/// The one question that upstream has been asked.
fn id(world: &World) -> AskId {
    let asked = asked(world);
    let [(id, view, ask)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!((*view, ask.name.to_string()), (IN_VPC, OUTSIDE.to_owned()));
    *id
}

/// Upstream is asked, and says this.
fn answer(world: &mut World, upstream: Upstream) {
    let id = id(world);
    world.dataplane.handle_resolved(id, upstream, world.now);
    world.advance(Duration::ZERO);
}

#[test]
fn a_name_of_the_vpcs_own_zones_is_known_at_once() {
    let mut world = world(&named("db.example.com.", "db 60 A 172.18.0.108"));
    assert_eq!(outcomes(&world), [resolved([EC2])]);
    world.deliver(A, &syn(40_000), B);
    let next = known(&world).next;
    assert_eq!(next, Some(world.now + 60 * SECOND));
    // Nothing new is nothing to be told.
    world.advance(600 * SECOND);
    assert_eq!(outcomes(&world), []);
    assert_eq!(asked(&world), []);
}

#[test]
fn what_an_instance_is_refused_upstream_is_not_refused_to_the_resource_of_that_name() {
    let mut world = world(&named(OUTSIDE, ""));
    world.send(B, &resolver::query(OUTSIDE));
    let events = world.events().into_iter();
    let asked: Vec<_> = events
        .filter_map(|event| match event {
            Event::Ask { id, asker, .. } => Some((asker, id)),
            _ => None,
        })
        .collect();
    let [(Asker::Itself, own), (Asker::Instance, instances)] = asked[..] else {
        panic!("{asked:?}")
    };
    let refused = Upstream::Failed(ResponseCode::ServFail);
    world
        .dataplane
        .handle_resolved(instances, refused, world.now);
    assert_eq!(world.advance(Duration::ZERO).len(), 1);
    assert_eq!(outcomes(&world), []);
    tell(&world, own, OUTSIDE, 60, EC2);
    world.advance(Duration::ZERO);
    assert_eq!(outcomes(&world), [resolved([EC2])]);
}

#[test]
fn until_a_name_has_led_somewhere_first_packets_are_dropped_by_that_name() {
    let mut world = world(&named(OUTSIDE, ""));
    assert_eq!(
        world.refuse(A, &syn(40_000), DropReason::NameNotResolved),
        []
    );
    let gateway = Topology::GATEWAY_C;
    assert_eq!(
        world.new_drops(),
        drops([(gateway, DropReason::NameNotResolved)])
    );
    assert_eq!(known(&world).next, None);
    answer(&mut world, records(OUTSIDE, "@ 60 A 172.18.0.108"));
    world.deliver(A, &syn(40_000), B);
}

#[test]
fn a_failover_takes_new_flows_within_the_ttl_and_old_ones_go_on() {
    let mut world = world(&named(OUTSIDE, ""));
    answer(&mut world, records(OUTSIDE, "@ 30 A 172.18.0.108"));
    let [outbound, inbound] = world.connect(40_000, SERVER);
    world.advance(Duration::from_millis(29_999));
    assert_eq!(asked(&world), []);
    world.advance(Duration::from_millis(1));
    let id = id(&world);
    // Flows do not wait for the answer.
    world.deliver(A, &syn(40_001), B);
    tell(&world, id, OUTSIDE, 30, NEIGHBOUR);
    world.advance(Duration::ZERO);
    world.deliver(A, &syn(40_002), B2);
    for _ in 0..10 {
        world.deliver(A, &outbound, B);
        world.deliver(B, &inbound, A);
        world.advance(10 * SECOND);
    }
    // Nor does a change of the topology end it.
    let mut changed = named(OUTSIDE, "");
    changed.resource().ports[0].last = 100;
    assert_eq!(apply(&mut world, &changed), 0);
    world.deliver(A, &outbound, B);
}

#[test]
fn new_flows_go_round_over_several_addresses() {
    let text = "db 60 A 172.18.0.109\ndb 60 A 172.18.0.108";
    let mut world = world(&named("db.example.com.", text));
    assert_eq!(outcomes(&world), [resolved([EC2, NEIGHBOUR])]);
    for port in 0..10 {
        let to = [B, B2][usize::from(port) % 2];
        world.deliver(A, &syn(40_000 + port), to);
        // What follows stays with it.
        world.deliver(A, &syn(40_000 + port), to);
    }
}

#[test]
fn what_was_last_known_is_kept_while_resolution_fails_which_is_told_once_and_tried_again() {
    let mut world = world(&named(OUTSIDE, ""));
    answer(&mut world, records(OUTSIDE, "@ 1 A 172.18.0.108"));
    assert_eq!(outcomes(&world), [resolved([EC2])]);
    let nothing = |code| Upstream::Nothing { code, soa: None };
    for (wait, upstream) in [
        (1, Upstream::Failed(ResponseCode::ServFail)),
        (5, nothing(ResponseCode::NXDomain)),
        (5, nothing(ResponseCode::NXDomain)),
        (5, nothing(ResponseCode::NoError)),
    ] {
        world.advance(wait * SECOND - Duration::from_micros(1));
        assert_eq!(asked(&world), []);
        world.advance(Duration::from_micros(1));
        let id = id(&world);
        world.dataplane.handle_resolved(id, upstream, world.now);
        world.advance(Duration::ZERO);
        world.deliver(A, &syn(40_000), B);
    }
    let failure = known(&world).failure;
    assert_eq!(failure, Some(NameFailure::Response(ResponseCode::NoError)));
    assert_eq!(known(&world).addresses, [Addr::v4(EC2)]);
    world.advance(5 * SECOND);
    answer(&mut world, records(OUTSIDE, "@ 1 A 172.18.0.108"));
    assert_eq!(outcomes(&world), [resolved([EC2])]);
    assert_eq!(known(&world).failure, None);
}

#[test]
fn each_kind_of_failure_is_told_once() {
    let mut world = world(&named("db.example.com.", ""));
    world.advance(60 * SECOND);
    assert_eq!(outcomes(&world), [failed(ResponseCode::NXDomain)]);
    apply(&mut world, &named("db.example.com.", "db 60 AAAA fd00::1"));
    assert_eq!(outcomes(&world), [failed(ResponseCode::NoError)]);
    apply(
        &mut world,
        &named("db.example.com.", "db 60 A 172.18.0.108"),
    );
    assert_eq!(outcomes(&world), [resolved([EC2])]);
}

#[test]
fn upstream_that_says_nothing_is_a_failure_after_five_seconds() {
    let mut world = world(&named(OUTSIDE, ""));
    world.advance(5 * SECOND);
    assert_eq!(outcomes(&world), [failed(ResponseCode::ServFail)]);
    world.advance(5 * SECOND);
    answer(&mut world, records(OUTSIDE, "@ 1 A 172.18.0.108"));
    world.deliver(A, &syn(40_000), B);
}

#[test]
fn an_address_outside_the_allowed_ranges_is_refused_whoever_has_answered_it() {
    for (text, bad) in [
        ("@ 60 A 127.0.0.1", [127, 0, 0, 1]),
        ("@ 60 A 8.8.8.8", [8, 8, 8, 8]),
        ("@ 60 A 10.0.0.1", [10, 0, 0, 1]),
        ("@ 60 A 169.254.169.254", [169, 254, 169, 254]),
        ("@ 60 A 0.0.0.0", [0, 0, 0, 0]),
    ] {
        let mut world = world(&named(OUTSIDE, ""));
        answer(&mut world, records(OUTSIDE, "@ 1 A 172.18.0.108"));
        world.advance(SECOND);
        answer(&mut world, records(OUTSIDE, text));
        let known = known(&world);
        let failure = NameFailure::NotAllowed(vec![bad.into()]);
        assert_eq!(known.failure, Some(failure), "{text}");
        assert_eq!((known.refused, known.addresses), (1, vec![Addr::v4(EC2)]));
        world.deliver(A, &syn(40_000), B);
    }
}

#[test]
fn of_several_addresses_those_that_are_allowed_are_used_also_behind_a_cname() {
    let mut world = world(&named("db.example.com.", "db 60 CNAME db.example.org."));
    let text = "@ 7 A 127.0.0.1\n@ 7 A 172.18.0.109";
    answer(&mut world, records(OUTSIDE, text));
    let known = known(&world);
    assert_eq!((known.refused, known.failure), (1, None));
    assert_eq!(known.addresses, [Addr::v4(NEIGHBOUR)]);
    assert_eq!(known.next, Some(world.now + 7 * SECOND));
    world.deliver(A, &syn(40_000), B2);
}

#[test]
fn an_address_that_is_no_longer_allowed_is_not_used_and_its_flows_are_cut() {
    let mut world = world(&named("db.example.com.", "db 60 A 172.18.0.108"));
    let [outbound, _] = world.connect(40_000, SERVER);
    let mut changed = named("db.example.com.", "db 60 A 172.18.0.108");
    let ResourceTarget::Name { allowed, .. } = &mut changed.resource().target else {
        panic!("it is a name")
    };
    *allowed = vec!["172.18.0.109/32".parse().unwrap()];
    assert_eq!(apply(&mut world, &changed), 2);
    world.refuse(A, &outbound, DropReason::NoFlow);
    world.refuse(A, &syn(40_001), DropReason::NameNotResolved);
}

#[test]
fn a_change_of_the_configuration_looks_local_names_up_again_at_once() {
    let mut world = world(&named("db.example.com.", "db 86400 A 172.18.0.108"));
    let [outbound, inbound] = world.connect(40_000, SERVER);
    let moved = named("db.example.com.", "db 86400 A 172.18.0.109");
    assert_eq!(apply(&mut world, &moved), 0);
    world.deliver(A, &syn(40_001), B2);
    world.deliver(A, &outbound, B);
    world.deliver(B, &inbound, A);
}

#[test]
fn another_name_is_another_resource_and_cuts_its_flows() {
    let text = "db 60 A 172.18.0.108\nother 60 A 172.18.0.109";
    let mut world = world(&named("db.example.com.", text));
    world.connect(40_000, SERVER);
    assert_eq!(apply(&mut world, &named("other.example.com.", text)), 2);
    world.deliver(A, &syn(40_001), B2);
}

#[test]
fn an_answer_to_a_name_that_the_resource_no_longer_has_is_not_taken() {
    let mut world = world(&named(OUTSIDE, ""));
    let late = id(&world);
    apply(
        &mut world,
        &named("db.example.com.", "db 60 A 172.18.0.108"),
    );
    tell(&world, late, OUTSIDE, 60, NEIGHBOUR);
    world.advance(SECOND);
    assert_eq!(known(&world).addresses, [Addr::v4(EC2)]);
    world.deliver(A, &syn(40_000), B);
}

#[test]
fn a_ttl_of_zero_is_a_second() {
    let mut world = world(&named("db.example.com.", "db 0 A 172.18.0.108"));
    let next = known(&world).next;
    assert_eq!(next, Some(world.now + SECOND));
    world.deliver(A, &syn(40_000), B);
}

#[test]
fn an_address_that_no_instance_has_leads_nowhere() {
    // The resolver's own is one of them.
    let text = format!("db 60 A {}", Addr::v4(RESOLVER.0));
    let mut world = world(&named("db.example.com.", &text));
    world.refuse(A, &syn(40_000), DropReason::NoTarget);
}

#[test]
fn a_connection_may_be_idle_for_twenty_minutes_where_its_resource_lets_it() {
    for (timeout, outlives) in [(1500, true), (600, false)] {
        let mut topology = named("db.example.com.", "db 5 A 172.18.0.108");
        topology.resource().idle_timeout = Some(Duration::from_secs(timeout));
        let mut world = world(&topology);
        let [outbound, inbound] = world.connect(40_000, SERVER);
        world.advance(20 * 60 * SECOND);
        match outlives {
            true => {
                world.deliver(A, &outbound, B);
                world.deliver(B, &inbound, A);
            }
            // Its client is told, and does not wait.
            false => {
                let said = world.refuse(A, &outbound, DropReason::NoFlow);
                assert_eq!((said.len(), said[0].bytes[33] & RST), (1, RST));
                let said = world.refuse(
                    B,
                    &inbound.segment(ACK, 5001, 1001),
                    DropReason::GatewayIngress,
                );
                assert_eq!((said.len(), said[0].bytes[33] & RST), (1, RST));
            }
        }
    }
}
