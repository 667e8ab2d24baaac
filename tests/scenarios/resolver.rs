//! The resolver of a VPC: who is answered what, what upstream is asked, and what is bounded.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use privlink::dataplane::config::{DnsZone, HealthCheckProtocol, Resolver, View};
use privlink::dataplane::dns::{Ask, Source, Transport as By, Upstream};
use privlink::dataplane::{
    AskId, Dataplane, DropReason, EniIdx, Event, QueryLog, ResolverCounters, Settings, Transmit,
    Verdict,
};
use privlink::net::Addr;
use privlink::sim::{
    PacketBuilder, Server, SimPacket, Topology, World, ask, echo_request, endpoint, tcp, udp, zone,
};

use super::health::{self, PORT};
use super::{A, B, EC2, NEIGHBOUR, RST, drops};

pub const RESOLVER: ([u8; 4], u16) = ([172, 18, 0, 2], 53);
const LINK_LOCAL: ([u8; 4], u16) = ([169, 254, 169, 253], 53);
pub const A2: EniIdx = Topology::EC2_A2;
pub const SECOND: Duration = Duration::from_secs(1);
pub const LONG: usize = 100;

/// A resolver with these zones of its own.
pub fn resolver(zones: Vec<DnsZone>) -> Option<Resolver> {
    Some(Resolver {
        addresses: [RESOLVER.0, LINK_LOCAL.0].map(Addr::v4).into(),
        zones: zones.into_iter().map(Arc::new).collect(),
    })
}

/// W1 with a resolver in each VPC, whose views have the same names, but not the same addresses.
pub fn topology() -> Topology {
    let mut topology = Topology::w1();
    let long: String = (0..LONG)
        .map(|number| format!("long 60 A 10.0.1.{number}\n"))
        .collect();
    let consumer = zone(
        "example.com.",
        &format!("www 60 A 10.0.0.1\n{long}away 60 CNAME www.example.org."),
    );
    let provider = zone("example.com.", "www 60 A 10.0.0.2");
    for (vpc, zone) in [
        (Topology::CONSUMER_VPC, consumer),
        (Topology::PROVIDER_VPC, provider),
    ] {
        topology.config.vpcs.get_mut(vpc).unwrap().resolver = resolver(vec![zone]);
    }
    topology
}

pub fn message(id: u16, name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(name).unwrap();
    message.add_query(Query::query(name, record_type));
    message
}

pub fn question(name: &str) -> Vec<u8> {
    message(7, name, RecordType::A).to_vec().unwrap()
}

/// A query for a name's addresses by UDP.
pub fn query(name: &str) -> PacketBuilder {
    udp((EC2, 40_000), RESOLVER).payload(&question(name))
}

pub fn packet(transmit: &Transmit) -> SimPacket {
    SimPacket {
        vnet: Default::default(),
        bytes: transmit.bytes.clone(),
    }
}

pub fn payload(transmit: &Transmit) -> Vec<u8> {
    let headers = packet(transmit).headers().unwrap();
    transmit.bytes[headers.len - headers.payload_len..].to_vec()
}

/// The one response that has come to this interface, from the address that was asked, its checksums verified.
fn response(said: &[Transmit], query: &PacketBuilder, to: EniIdx) -> Message {
    let [transmit] = said else { panic!("{said:?}") };
    assert_eq!(transmit.to, to);
    let packet = packet(transmit);
    assert!(packet.checksums_are_right());
    assert_eq!(packet.tuple(), query.build().tuple().reversed());
    let response = Message::from_vec(&payload(transmit)).unwrap();
    assert_eq!(response.metadata.id, 7);
    response
}

/// Asks by UDP; the response that comes at once.
pub fn exchange(world: &mut World, from: EniIdx, query: &PacketBuilder) -> Message {
    let outcome = world.send(from, query);
    assert_eq!(outcome.verdict, Verdict::Answered, "{}", world.describe());
    response(&outcome.replies, query, from)
}

pub fn addresses(response: &Message) -> Vec<[u8; 4]> {
    let answers = response.answers.iter();
    let addresses = answers.filter_map(|record| match &record.data {
        RData::A(address) => Some(address.0.octets()),
        _ => None,
    });
    addresses.collect()
}

/// What upstream is asked, since the last call.
pub fn asked(world: &World) -> Vec<(AskId, View, Ask)> {
    asked_of(&world.dataplane)
}

pub fn asked_of(dataplane: &Dataplane) -> Vec<(AskId, View, Ask)> {
    let events = iter::from_fn(|| dataplane.poll_event());
    let asks = events.filter_map(|event| match event {
        Event::Ask { id, view, ask, .. } => Some((id, view, ask)),
        _ => None,
    });
    asks.collect()
}

/// Upstream says that a name has this address.
pub fn tell(world: &World, id: AskId, name: &str, ttl: u32, address: [u8; 4]) {
    let text = format!("@ {ttl} A {}", Addr::v4(address));
    world
        .dataplane
        .handle_resolved(id, records(name, &text), world.now);
}

/// What upstream says of a name, by a master file's text.
pub fn records(name: &str, text: &str) -> Upstream {
    let mut names = privlink::sim::Names::default();
    names.upstream_says(name, text);
    names.upstream.remove(&ask(name, RecordType::A)).unwrap()
}

pub fn counters(world: &World, vpc: u32) -> ResolverCounters {
    world.dataplane.resolver_counters()[vpc as usize].1
}

pub const CONSUMER: View = View::Vpc(Topology::CONSUMER_VPC);

#[test]
fn two_vpcs_of_one_range_get_different_answers_at_the_same_address() {
    let mut world = World::new(&topology());
    let query = query("www.example.com.");
    for (from, address) in [(A, [10, 0, 0, 1]), (B, [10, 0, 0, 2])] {
        let response = exchange(&mut world, from, &query);
        assert_eq!(response.metadata.response_code, ResponseCode::NoError);
        assert_eq!(addresses(&response), [address]);
    }
    let expected = ResolverCounters {
        udp: 1,
        hosted_zones: 1,
        ..Default::default()
    };
    assert_eq!([0, 1].map(|vpc| counters(&world, vpc)), [expected; 2]);
    assert_eq!(world.new_drops(), drops([]));
    assert_eq!(world.flows().len(), 0);
}

#[test]
fn the_link_local_address_answers_as_itself() {
    let mut world = World::new(&topology());
    let query = udp((EC2, 40_000), LINK_LOCAL).payload(&question("www.example.com."));
    let response = exchange(&mut world, A, &query);
    assert_eq!(addresses(&response), [[10, 0, 0, 1]]);
}

#[test]
fn security_groups_do_not_matter() {
    let mut topology = topology();
    topology.group(Topology::CONSUMER_GROUP).egress.clear();
    topology.group(Topology::CONSUMER_GROUP).ingress.clear();
    let mut world = World::new(&topology);
    exchange(&mut world, A, &query("www.example.com."));
    let outcome = world.send(A, &tcp((EC2, 40_000), RESOLVER));
    assert_eq!(outcome.replies.len(), 1);
}

#[test]
fn a_forged_source_is_refused_by_the_source_check_and_a_vpc_without_dns_support_has_no_resolver() {
    let mut topology = topology();
    let vpc = topology.config.vpcs.get_mut(Topology::PROVIDER_VPC);
    vpc.unwrap().resolver = None;
    let mut world = World::new(&topology);
    let forged = udp((NEIGHBOUR, 40_000), RESOLVER).payload(&question("www.example.com."));
    assert_eq!(world.refuse(A, &forged, DropReason::SourceCheck), []);
    let query = query("www.example.com.");
    assert_eq!(world.refuse(B, &query, DropReason::NoSuchAddress), []);
    assert_eq!(counters(&world, 0), ResolverCounters::default());
    assert_eq!(world.dataplane.resolver_counters().len(), 1);
}

#[test]
fn an_ipv6_address_that_a_name_does_not_have_is_nodata_and_a_name_that_is_not_there_nxdomain() {
    let mut world = World::new(&topology());
    for (name, record_type, code) in [
        ("www.example.com.", RecordType::AAAA, ResponseCode::NoError),
        ("not.example.com.", RecordType::A, ResponseCode::NXDomain),
    ] {
        let message = message(7, name, record_type).to_vec().unwrap();
        let query = udp((EC2, 40_000), RESOLVER).payload(&message);
        let response = exchange(&mut world, A, &query);
        assert_eq!(response.metadata.response_code, code);
        assert_eq!(response.answers, []);
        let soa = response.authorities.iter().map(|it| it.record_type());
        assert_eq!(soa.collect::<Vec<_>>(), [RecordType::SOA]);
    }
    let counters = counters(&world, 0);
    assert_eq!((counters.nodata, counters.nxdomain), (1, 1));
}

#[test]
fn a_packet_without_checksum_yet_is_answered_and_one_with_a_wrong_one_is_not() {
    let mut world = World::new(&topology());
    let unfinished = query("www.example.com.").needs_csum();
    exchange(&mut world, A, &unfinished);
    let outcome = world.send(A, &tcp((EC2, 40_000), RESOLVER).needs_csum());
    assert_eq!(outcome.replies.len(), 1);

    let mut none = query("www.example.com.").build();
    none.bytes[26..28].fill(0);
    assert_eq!(world.send_packet(A, none).verdict, Verdict::Answered);
    let mut wrong = query("www.example.com.").build();
    wrong.bytes[26] ^= 1;
    let outcome = world.send_packet(A, wrong);
    assert_eq!(
        outcome.verdict,
        Verdict::Drop(DropReason::BadTransportHeader)
    );
}

#[test]
fn the_datagrams_of_a_super_packet_are_a_query_each() {
    let mut world = World::new(&topology());
    let one = question("www.example.com.");
    let query = udp((EC2, 40_000), RESOLVER).payload(&one.repeat(3));
    let outcome = world.send(A, &query.gso(one.len() as u16));
    assert_eq!(outcome.replies.len(), 3);
    assert_eq!(counters(&world, 0).udp, 3);
}

#[test]
fn other_ports_refuse_as_a_host_does_and_nothing_answers_ping() {
    let mut world = World::new(&topology());
    let outcome = world.send(A, &udp((EC2, 40_000), (RESOLVER.0, 5353)).payload(b"?"));
    let [unreachable] = &outcome.replies[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(unreachable.bytes[20..22], [3, 3]);
    let outcome = world.send(A, &tcp((EC2, 40_000), (RESOLVER.0, 80)));
    let [reset] = &outcome.replies[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(reset.bytes[33] & RST, RST);
    let ping = echo_request(EC2, RESOLVER.0, 1);
    assert_eq!(world.refuse(A, &ping, DropReason::NotForResolver), []);
    assert_eq!(world.new_drops(), drops([(A, DropReason::NotForResolver)]));
}

#[test]
fn edns_makes_room_for_4096_bytes_and_no_more_than_the_path_takes() {
    let mut message = message(7, "long.example.com.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    let query = udp((EC2, 40_000), RESOLVER).payload(&message.to_vec().unwrap());
    for (mtu, is_truncated) in [(9001, false), (1500, true)] {
        let settings = Settings {
            mtu,
            ..World::settings()
        };
        let mut world = World::with(&topology(), settings);
        let response = exchange(&mut world, A, &query);
        assert_eq!(response.metadata.truncation, is_truncated, "{mtu}");
    }
}

/// W1's consumer VPC with so many instances more; their interfaces and addresses.
pub fn crowd(count: u8) -> (Topology, Vec<(EniIdx, [u8; 4])>) {
    let mut topology = topology();
    let role = topology.interface(A).role;
    let instances: Vec<_> = (0..count)
        .map(|number| {
            (
                EniIdx::new(100 + u32::from(number), 0),
                [172, 18, 2, 10 + number],
            )
        })
        .collect();
    for (idx, address) in &instances {
        let vpc = Topology::CONSUMER_VPC;
        topology.add(*idx, vpc, &[*address], Topology::CONSUMER_GROUP, role);
    }
    (topology, instances)
}

#[test]
fn ten_thousand_queries_a_second_of_sixteen_instances_are_all_answered() {
    let (topology, instances) = crowd(16);
    let mut world = World::new(&topology);
    let question = question("www.example.com.");
    for _ in 0..3 * 625 {
        for (eni, address) in &instances {
            let query = udp((*address, 40_000), RESOLVER).payload(&question);
            assert_eq!(world.send(*eni, &query).replies.len(), 1);
        }
        world.advance(SECOND / 625);
    }
    assert_eq!(counters(&world, 0).hosted_zones, 30_000);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn one_instance_gets_1024_packets_a_second_through_and_the_rest_are_counted() {
    let mut world = World::new(&topology());
    for _ in 0..2000 {
        world.send(A, &query("www.example.com."));
        world.advance(SECOND / 2000);
    }
    let counted = counters(&world, 0);
    assert_eq!((counted.hosted_zones, counted.limited), (1024, 976));
    let limited = [((A, DropReason::ResolverLimit), 976)];
    assert_eq!(world.new_drops(), limited.into());
    // Nobody else pays for that, and a change of the topology does not help.
    let neighbour = udp((NEIGHBOUR, 40_000), RESOLVER).payload(&question("www.example.com."));
    exchange(&mut world, A2, &neighbour);
    world.dataplane.apply(topology().config);
    for _ in 0..1200 {
        world.send(A, &query("www.example.com."));
    }
    world.advance(2 * SECOND);
    let counted = counters(&world, 0).hosted_zones;
    assert!((1024 + 1..1024 + 100).contains(&counted), "{counted}");
    exchange(&mut world, A, &query("www.example.com."));
}

#[test]
fn what_lies_in_no_zone_is_asked_upstream_and_answered_when_that_has_said_something() {
    let mut world = World::new(&topology());
    let query = query("www.example.org.");
    let outcome = world.send(A, &query);
    assert_eq!(
        (outcome.verdict, outcome.replies),
        (Verdict::Answered, vec![])
    );
    let [(id, view, asked)] = &asked(&world)[..] else {
        panic!("upstream is asked once")
    };
    assert_eq!(*view, CONSUMER);
    assert_eq!(*asked, ask("www.example.org.", RecordType::A));
    // Others are not held up meanwhile.
    exchange(&mut world, A, &self::query("www.example.com."));
    tell(&world, *id, "www.example.org.", 60, [192, 0, 2, 1]);
    let said = world.advance(Duration::ZERO);
    assert_eq!(addresses(&response(&said, &query, A)), [[192, 0, 2, 1]]);
    assert_eq!(counters(&world, 0).upstream, 1);
    assert_eq!(world.due(), None);
    // It has been told.
    tell(&world, *id, "www.example.org.", 60, [192, 0, 2, 1]);
    assert_eq!(world.advance(10 * SECOND), []);
}

#[test]
fn a_cname_out_of_a_zone_is_followed_upstream() {
    let mut world = World::new(&topology());
    let query = query("away.example.com.");
    world.send(A, &query);
    let [(id, _, asked)] = &asked(&world)[..] else {
        panic!("upstream is asked once")
    };
    assert_eq!(*asked, ask("www.example.org.", RecordType::A));
    tell(&world, *id, "www.example.org.", 60, [192, 0, 2, 1]);
    let said = world.advance(Duration::ZERO);
    let response = response(&said, &query, A);
    assert_eq!(response.answers.len(), 2);
    assert_eq!(addresses(&response), [[192, 0, 2, 1]]);
}

#[test]
fn a_question_that_upstream_never_answers_is_servfail_after_five_seconds() {
    let mut world = World::new(&topology());
    let query = query("www.example.org.");
    world.send(A, &query);
    let [(id, ..)] = asked(&world)[..] else {
        panic!("upstream is asked once")
    };
    assert_eq!(world.advance(Duration::from_millis(4_999)), []);
    let said = world.advance(Duration::from_millis(1));
    let response = response(&said, &query, A);
    assert_eq!(response.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(counters(&world, 0).servfail, 1);
    // Its answer is too late, and the next question is a new one.
    tell(&world, id, "www.example.org.", 60, [192, 0, 2, 1]);
    assert_eq!(world.advance(SECOND), []);
    world.send(A, &query);
    assert_eq!(asked(&world).len(), 1);
}

#[test]
fn the_same_question_of_one_view_is_asked_once_and_of_another_view_again() {
    let mut world = World::new(&topology());
    let question = question("www.example.org.");
    for (eni, address) in [(A, EC2), (A2, NEIGHBOUR), (B, EC2)] {
        for port in [1000, 2000] {
            world.send(eni, &udp((address, port), RESOLVER).payload(&question));
        }
    }
    let asked = asked(&world);
    let views: Vec<_> = asked.iter().map(|(_, view, _)| *view).collect();
    assert_eq!(views, [CONSUMER, View::Vpc(Topology::PROVIDER_VPC)]);
    tell(&world, asked[0].0, "www.example.org.", 60, [192, 0, 2, 1]);
    let told: Vec<_> = world
        .advance(Duration::ZERO)
        .iter()
        .map(|it| it.to)
        .collect();
    assert_eq!(told, [A, A, A2, A2]);
    tell(&world, asked[1].0, "www.example.org.", 60, [192, 0, 2, 2]);
    let told: Vec<_> = world
        .advance(Duration::ZERO)
        .iter()
        .map(|it| it.to)
        .collect();
    assert_eq!(told, [B, B]);
}

#[test]
fn whoever_asks_upstream_too_much_at_once_is_told_and_the_others_are_not() {
    let (topology, instances) = crowd(20);
    let mut world = World::new(&topology);
    let ask = |world: &mut World, (eni, address): (EniIdx, [u8; 4]), number: usize| {
        let question = question(&format!("{number}.example.org."));
        world
            .send(eni, &udp((address, 40_000), RESOLVER).payload(&question))
            .replies
    };
    let mut waiting = 0;
    for number in 0..10_000 {
        waiting += usize::from(ask(&mut world, instances[number % 16], number).is_empty());
    }
    assert!((4000..8192).contains(&waiting), "{waiting}");
    assert_eq!(counters(&world, 0).servfail as usize, 10_000 - waiting);
    assert_eq!(ask(&mut world, instances[18], 0), []);
    world.advance(6 * SECOND);
    assert_eq!(world.due(), None);
    assert_eq!(ask(&mut world, instances[0], 1), []);
}

#[test]
fn thousands_of_malformed_queries_change_nothing() {
    let mut world = World::new(&topology());
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % below
    };
    let good = question("www.example.com.");
    for round in 0..20_000u64 {
        let mut bytes = good.clone();
        for _ in 0..=next(6) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        bytes.truncate(bytes.len() - next(8) * next(4));
        let outcome = world.send(A, &udp((EC2, 40_000), RESOLVER).payload(&bytes));
        assert_eq!(outcome.verdict, Verdict::Answered, "{round}: {bytes:02x?}");
        assert!(outcome.replies.len() <= 1);
        world.events();
        world.advance(SECOND / 1000);
    }
    world.advance(6 * SECOND);
    assert!(counters(&world, 0).formerr > 1000);
    exchange(&mut world, A, &query("www.example.com."));
    assert_eq!(world.due(), None);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn the_query_log_says_who_asked_what_and_where_the_answer_came_from() {
    let settings = Settings {
        query_log: true,
        ..World::settings()
    };
    let mut world = World::with(&topology(), settings);
    let response = exchange(&mut world, A, &query("www.example.com."));
    let [Event::Query(log)] = &world.events()[..] else {
        panic!("not one query")
    };
    let expected = QueryLog {
        eni: A,
        client: (Addr::v4(EC2), 40_000),
        transport: By::Udp,
        name: Name::from_ascii("www.example.com.").unwrap(),
        record_type: RecordType::A,
        code: ResponseCode::NoError,
        answers: response.answers,
        source: log.source.clone(),
    };
    assert_eq!(**log, expected);
    assert!(matches!(log.source, Source::Zone { .. }));
}

#[test]
fn an_endpoints_name_has_the_healthy_zones_addresses_in_turn_whatever_else_is_asked() {
    let mut topology = health::probed(2, HealthCheckProtocol::Tcp);
    let vpc = topology.config.vpcs.get_mut(Topology::CONSUMER_VPC);
    vpc.unwrap().resolver = resolver(vec![]);
    let in_zones = [Topology::ENDPOINT_A_ADDRESS, Topology::ENDPOINT_C_ADDRESS];
    topology.config.public_zones = vec![Arc::new(endpoint(1, &in_zones))];
    let mut world = health::world(&topology, &Server::Accepts);
    world.advance(2 * SECOND);
    let name = "vpce-1.vpce.amazonaws.com.";
    let others = message(7, name, RecordType::AAAA).to_vec().unwrap();
    let others = udp((EC2, 40_000), RESOLVER).payload(&others);
    let mut first = BTreeMap::<_, usize>::new();
    for _ in 0..200 {
        let answer = addresses(&exchange(&mut world, A, &query(name)));
        assert_eq!(answer.len(), 2);
        *first.entry(answer[0]).or_default() += 1;
        // As a stub resolver does for each name.
        exchange(&mut world, A, &others);
    }
    assert!(
        first.len() == 2 && first.values().all(|it| *it > 60),
        "{first:?}"
    );
    world
        .servers
        .insert((Topology::target_eni(0), PORT), Server::Refuses);
    world.advance(21 * SECOND);
    let answer = addresses(&exchange(&mut world, A, &query(name)));
    assert_eq!(answer, [Topology::ENDPOINT_C_ADDRESS]);
    assert_eq!(counters(&world, 0).endpoints, 401);
}
