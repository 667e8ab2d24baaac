//! Datagrams in fragments: they arrive whole, in whatever order the fragments come; what makes no datagram ends by
//! name; and an interface that floods hurts itself only.

use std::time::Duration;

use privlink::dataplane::config::{Destination, EniIdx, ListenerProtocol, Role, Vpc, VpcIdx};
use privlink::dataplane::{DropReason, Reason, Transmit, Verdict};
use privlink::net::{Addr, Segment, checksum};
use privlink::sim::{
    PacketBuilder, SimPacket, Topology, World, any_from, echo_reply, echo_request, tcp, udp,
};

use super::resolver::{RESOLVER, question, resolver};
use super::{A, ACK, B, Connection, EC2, ENDPOINT, NEIGHBOUR, SYN, drops, proxy, source, tuple};

const A2: EniIdx = Topology::EC2_A2;
const CLIENT: ([u8; 4], u16) = (EC2, 41234);
const SERVER: ([u8; 4], u16) = (ENDPOINT, 53);
/// How long a datagram waits for its last fragment.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many datagrams of one interface wait.
const MOST: usize = 64;

/// W1 with UDP and echo offered, and every group open.
fn open_topology() -> Topology {
    let mut topology = Topology::w1();
    let protocols = &mut topology.resource().protocols;
    (protocols.udp, protocols.icmp) = (true, true);
    for group in [
        Topology::CONSUMER_GROUP,
        Topology::ENDPOINT_GROUP,
        Topology::TARGET_GROUP,
    ] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    topology
}

fn open_world() -> World {
    World::new(&open_topology())
}

/// So many bytes, no eight of them like others near.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn datagram(len: usize) -> SimPacket {
    udp(CLIENT, SERVER).payload(&bytes(len)).build()
}

/// Sends fragments that are to be kept, or to make a datagram; what they bring about.
#[track_caller]
fn send_all(world: &mut World, from: EniIdx, fragments: &[SimPacket]) -> Vec<Transmit> {
    let mut said = Vec::new();
    for fragment in fragments {
        let outcome = world.send_packet(from, fragment.clone());
        assert_eq!(outcome.verdict, Verdict::Answered, "{}", world.describe());
        said.extend(outcome.replies);
    }
    said
}

/// Sends fragments that make one datagram, which must arrive at `to` when the last of them has come: as one plain packet
/// with right checksums.
#[track_caller]
fn deliver(world: &mut World, from: EniIdx, fragments: &[SimPacket], to: EniIdx) -> SimPacket {
    let (last, others) = fragments.split_last().unwrap();
    assert_eq!(send_all(world, from, others), []);
    let said = send_all(world, from, std::slice::from_ref(last));
    let [transmit] = &said[..] else {
        panic!("{said:?}\n{}", world.describe())
    };
    assert_eq!(transmit.to, to);
    whole(transmit)
}

#[track_caller]
fn whole(transmit: &Transmit) -> SimPacket {
    let packet = SimPacket::of(transmit);
    assert!(packet.checksums_are_right(), "{packet:?}");
    assert_eq!(packet.bytes[6..8], [0, 0], "flags and offset");
    packet
}

#[track_caller]
fn refuse(world: &mut World, from: EniIdx, fragment: &SimPacket, reason: DropReason) {
    let outcome = world.send_packet(from, fragment.clone());
    assert_eq!(outcome.verdict, Verdict::Drop(reason));
    assert_eq!(outcome.replies, []);
    assert_eq!(world.new_drops(), drops([(from, reason)]));
}

/// The packet with these bytes at this place of its IP header, whose checksum is mended.
fn with(mut packet: SimPacket, at: usize, bytes: &[u8]) -> SimPacket {
    packet.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    mended(packet)
}

fn mended(mut packet: SimPacket) -> SimPacket {
    let header_len = usize::from(packet.bytes[0] & 15) * 4;
    packet.bytes[10..12].fill(0);
    let sum = !checksum::sum(&packet.bytes[..header_len]);
    packet.bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn a_datagram_arrives_whole_in_whatever_order_its_fragments_come() {
    let sent = datagram(20_000);
    let in_order = sent.fragments(7, 1500);
    assert_eq!(in_order.len(), 14);
    let mut reversed = in_order.clone();
    reversed.reverse();
    let mut first_late = in_order.clone();
    first_late.rotate_left(1);
    let mut last_first = in_order.clone();
    last_first.rotate_right(1);
    let alternating = |rest| in_order.iter().skip(rest).step_by(2);
    let alternating = alternating(1).chain(alternating(0)).cloned().collect();
    for fragments in [in_order, reversed, first_late, last_first, alternating] {
        let mut world = open_world();
        let arrived = deliver(&mut world, A, &fragments, B);
        assert_eq!(arrived.bytes[28..], sent.bytes[28..]);
        let (src, dst) = (source(&arrived.tuple()), (EC2, 53));
        assert_eq!(arrived.tuple(), udp(src, dst).build().tuple());
        assert_eq!(src.0[..3], [172, 18, 1], "the gateway's");

        // The answer of the same size comes back in fragments as well.
        let answer = udp(dst, src).payload(&bytes(20_001)).build();
        let back = deliver(&mut world, B, &answer.fragments(9, 9001), A);
        assert_eq!(back.tuple(), sent.tuple().reversed());
        assert_eq!(back.bytes[28..], answer.bytes[28..]);
        assert_eq!(world.new_drops(), drops([]));
        // The flow carries what comes unfragmented, too.
        world.deliver(A, &udp(CLIENT, SERVER).payload(b"small"), B);
        assert_eq!(world.flows().len(), 1);
    }
}

#[test]
fn datagrams_of_every_size_and_mtu_arrive() {
    let mut world = open_world();
    for len in [1473, 4000, 8500, 9000, 60_000, 65_507] {
        for mtu in [68, 576, 1500, 9001] {
            let sent = datagram(len);
            if len + 28 > mtu {
                let arrived = deliver(&mut world, A, &sent.fragments(len as u16, mtu), B);
                assert_eq!(arrived.bytes[28..], sent.bytes[28..], "{len} at {mtu}");
            }
        }
    }
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn a_checksum_that_is_wrong_arrives_wrong() {
    let mut world = open_world();
    let mut sent = datagram(3000);
    sent.bytes[2000] ^= 1;
    let said = send_all(&mut world, A, &sent.fragments(7, 1500));
    assert!(!SimPacket::of(&said[0]).checksums_are_right());
    // And one that was not computed stays so.
    let mut sent = datagram(3000);
    sent.bytes[26..28].fill(0);
    let arrived = deliver(&mut world, A, &sent.fragments(8, 1500), B);
    assert_eq!(arrived.bytes[26..28], [0, 0]);
}

#[test]
fn echo_passes_an_endpoint_that_offers_it_and_another_answers_it_whole() {
    let mut world = open_world();
    let request = echo_request(EC2, ENDPOINT, 5).payload(&bytes(20_000));
    let arrived = deliver(&mut world, A, &request.build().fragments(7, 1500), B);
    let (gateway, id) = source(&arrived.tuple());
    let reply = echo_reply(EC2, gateway, id).payload(&bytes(20_000));
    let back = deliver(&mut world, B, &reply.build().fragments(7, 1500), A);
    assert_eq!(back.tuple(), request.build().tuple().reversed());
    assert_eq!(back.bytes[28..], bytes(20_000));

    let mut topology = open_topology();
    topology.resource().protocols.icmp = false;
    let mut world = World::new(&topology);
    let fragments = request.build().fragments(7, 1500);
    let said = send_all(&mut world, A, &fragments);
    assert_eq!((said.len(), said[0].to), (1, A));
    let back = SimPacket::of(&said[0]);
    assert!(back.checksums_are_right());
    assert_eq!(back.tuple(), request.build().tuple().reversed());
    assert_eq!(back.bytes[28..], bytes(20_000));
}

#[test]
fn inside_a_vpc_every_protocol_arrives_as_it_was_sent() {
    let mut world = open_world();
    let udp = udp((EC2, 1), (NEIGHBOUR, 2049)).payload(&bytes(8000));
    let echo = echo_request(EC2, NEIGHBOUR, 5).payload(&bytes(20_000));
    // GRE, which has no ports.
    let gre = with(datagram(5000), 9, &[47]);
    let gre = with(gre, 16, &NEIGHBOUR);
    for sent in [udp.build(), echo.build(), gre] {
        let arrived = deliver(&mut world, A, &sent.fragments(7, 1500), A2);
        let expected = with(with(sent, 4, &[0, 7]), 6, &[0, 0]);
        assert_eq!(arrived.bytes, expected.bytes);
    }
}

#[test]
fn a_tcp_segment_in_fragments_belongs_to_its_connection() {
    let mut world = World::new(&Topology::w1());
    // The SYN, with data as for Fast Open, opens it.
    let syn = tcp(CLIENT, (ENDPOINT, 80)).mss(8961).payload(&bytes(1000));
    let arrived = deliver(&mut world, A, &syn.build().fragments(7, 576), B);
    let connection = Connection {
        client: CLIENT,
        server: (ENDPOINT, 80),
        gateway: source(&arrived.tuple()),
    };
    assert_eq!(arrived.bytes[40..44], [2, 4, 31, 212], "its MSS is clamped");
    connection.answer(&mut world, SYN | ACK, 5000, 2001);
    connection.say(&mut world, ACK, 2001, 5001);
    assert_eq!(world.flows()[0].state.name(), "established");
    let data = connection.inbound(ACK, 5001, 2001).payload(&bytes(4000));
    let back = deliver(&mut world, B, &data.build().fragments(7, 1500), A);
    assert_eq!(back.tuple(), tuple(connection.server, connection.client));
    assert_eq!(back.bytes[40..], bytes(4000));
    // One of no connection is answered as every other.
    let stray = tcp((EC2, 2), (ENDPOINT, 80)).segment(ACK, 1, 1);
    let fragments = stray.payload(&bytes(2000)).build().fragments(8, 1500);
    send_all(&mut world, A, &fragments[..1]);
    let outcome = world.send_packet(A, fragments[1].clone());
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::NoFlow));
    let reset = SimPacket::of(&outcome.replies[0]).headers().unwrap();
    assert!(
        matches!(reset.transport, privlink::net::Transport::Tcp(segment) if segment.has(Segment::RST))
    );
}

#[test]
fn a_proxy_header_goes_before_a_segment_in_fragments() {
    let mut world = World::new(&proxy::topology());
    let connection = Connection::syn(&mut world, 41234);
    connection.answer(&mut world, SYN | ACK, 5000, 901);
    let data = connection.outbound(ACK, 1001, 5001).payload(&bytes(3000));
    let said = send_all(&mut world, A, &data.build().fragments(7, 1500));
    let payloads: Vec<_> = said
        .iter()
        .map(|transmit| whole_or_plain(transmit)[40..].to_vec())
        .collect();
    assert_eq!(payloads, [proxy::header(41234), bytes(3000)]);
}

fn whole_or_plain(transmit: &Transmit) -> Vec<u8> {
    assert_eq!(transmit.to, B);
    assert!(SimPacket::of(transmit).checksums_are_right());
    transmit.bytes.clone()
}

#[test]
fn a_load_balancers_target_gets_whole_datagrams() {
    let mut topology = Topology::w2(2);
    topology.listener().protocol = ListenerProtocol::Udp;
    for group in [Topology::ENDPOINT_GROUP, Topology::GATEWAY_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let mut world = World::new(&topology);
    let listener = (ENDPOINT, 80);
    let sent = udp(CLIENT, listener).payload(&bytes(60_000)).build();
    let target = Topology::target_eni(1);
    let arrived = deliver(&mut world, A, &sent.fragments(7, 1500), target);
    assert_eq!(arrived.bytes[28..], bytes(60_000));
    let server = (Topology::target_address(1), Topology::TARGET_PORT);
    let answer = udp(server, source(&arrived.tuple())).payload(&bytes(4000));
    let back = deliver(&mut world, target, &answer.build().fragments(7, 1500), A);
    assert_eq!(back.tuple(), udp(listener, CLIENT).build().tuple());
}

#[test]
fn the_resolver_takes_a_query_in_fragments() {
    let mut topology = Topology::w1();
    let vpc = topology.config.vpcs.get_mut(Topology::CONSUMER_VPC);
    vpc.unwrap().resolver = resolver(vec![]);
    let mut world = World::new(&topology);
    let query = udp(CLIENT, RESOLVER)
        .payload(&question("localhost."))
        .build();
    let said = send_all(&mut world, A, &query.fragments(7, 28));
    assert_eq!((said.len(), said[0].to), (1, A));
    assert_eq!(
        SimPacket::of(&said[0]).tuple(),
        query.tuple().reversed(),
        "the answer"
    );
}

/// A consumer of another account, with the addresses of the first one; another worker reads its TUN.
const OTHER: EniIdx = EniIdx::new(21, 0);

fn two_accounts() -> Topology {
    let mut topology = open_topology();
    let vpc = VpcIdx::new(2, 0);
    let cidrs = vec!["172.18.0.0/16".parse().unwrap()];
    let resolver = None;
    let reserved = vec![];
    let config = Vpc {
        cidrs,
        reserved,
        resolver,
    };
    topology.config.vpcs.insert(vpc, config);
    let instance = Role::Instance {
        source_dest_check: true,
    };
    let group = Topology::CONSUMER_GROUP;
    topology.add(OTHER, vpc, &[EC2], group, instance);
    let endpoint = Role::Endpoint(Destination::Resource {
        resource: Topology::RESOURCE,
        gateway: Topology::GATEWAY_C,
    });
    let group = Topology::ENDPOINT_GROUP;
    topology.add(EniIdx::new(20, 0), vpc, &[ENDPOINT], group, endpoint);
    topology
}

#[test]
fn fragments_of_two_accounts_with_one_identification_never_meet() {
    let mut world = World::new(&two_accounts());
    let sent = [1, 2].map(|byte| udp(CLIENT, SERVER).payload(&[byte; 5000]).build());
    let [first, second] = [&sent[0], &sent[1]].map(|packet| packet.fragments(7, 1500));
    let mut arrived = Vec::new();
    for (ours, theirs) in first.into_iter().zip(second) {
        arrived.extend(send_all(&mut world, A, &[ours]));
        arrived.extend(send_all(&mut world, OTHER, &[theirs]));
    }
    let arrived: Vec<_> = arrived.iter().map(whole).collect();
    let [ours, theirs] = &arrived[..] else {
        panic!("{arrived:?}")
    };
    assert_eq!(ours.bytes[28..], [1; 5000]);
    assert_eq!(theirs.bytes[28..], [2; 5000]);
    assert_ne!(ours.tuple(), theirs.tuple());
    // The target may be a router that fragments them again: by then they have an identification each.
    assert_ne!(ours.bytes[4..6], theirs.bytes[4..6]);
}

#[test]
fn many_datagrams_behind_one_gateway_have_an_identification_each() {
    let mut world = World::new(&two_accounts());
    let fragments = datagram(2000).fragments(7, 1500);
    let mut seen = std::collections::HashSet::new();
    for from in [A, OTHER].repeat(2_000) {
        let arrived = deliver(&mut world, from, &fragments, B);
        assert!(seen.insert([arrived.bytes[4], arrived.bytes[5]]));
    }
}

#[test]
fn fragments_of_several_datagrams_of_one_sender_may_be_mixed() {
    let mut world = open_world();
    // All that makes a datagram differs in one: identification, destination, protocol.
    let packets = [
        (datagram(4000), 7),
        (datagram(4000), 8),
        (with(datagram(4000), 16, &Topology::ENDPOINT_A_ADDRESS), 7),
        (
            echo_request(EC2, ENDPOINT, 1).payload(&bytes(4000)).build(),
            7,
        ),
    ];
    let fragments = packets.map(|(packet, id)| packet.fragments(id, 1500));
    let mut arrived = Vec::new();
    for at in 0..fragments[0].len() {
        for of_one in &fragments {
            arrived.extend(send_all(&mut world, A, &of_one[at..=at]));
        }
    }
    assert_eq!(arrived.len(), 4);
    for transmit in &arrived[..2] {
        assert_eq!(whole(transmit).bytes[28..], bytes(4000));
    }
    assert_eq!(SimPacket::of(&arrived[3]).bytes[9], 1);
}

#[test]
fn a_datagram_with_a_gap_never_arrives_and_ends_after_five_seconds() {
    let mut world = open_world();
    let fragments = datagram(20_000).fragments(7, 1500);
    for missing in [0, 5, fragments.len() - 1] {
        let mut others = fragments.clone();
        let late = others.remove(missing);
        assert_eq!(send_all(&mut world, A, &others), []);
        world.advance(PATIENCE - Duration::from_micros(1));
        assert_eq!(world.new_drops(), drops([]));
        world.advance(Duration::from_micros(1));
        let timeout = drops([(A, DropReason::FragmentTimeout)]);
        assert_eq!(world.new_drops(), timeout, "one for the datagram");
        // It comes too late, and waits by itself.
        assert_eq!(send_all(&mut world, A, &[late]), []);
        world.advance(PATIENCE);
        assert_eq!(world.new_drops(), timeout);
    }
    let deadline = world.dataplane.poll_timeout(&world.workers[0]);
    assert_eq!(deadline, None, "nothing is left");
}

#[test]
fn the_time_runs_from_the_first_fragment_that_has_arrived() {
    let mut world = open_world();
    let fragments = datagram(4000).fragments(7, 1500);
    let half = PATIENCE / 2;
    send_all(&mut world, A, &fragments[..1]);
    world.advance(half);
    send_all(&mut world, A, &fragments[1..2]);
    let other = datagram(4000).fragments(8, 1500);
    send_all(&mut world, A, &other[..2]);
    let reason = Reason::Fragments;
    let deadline = world.dataplane.poll_timeout(&world.workers[0]).unwrap();
    assert_eq!((deadline.reason, deadline.at), (reason, world.now + half));
    world.advance(half);
    let timeout = drops([(A, DropReason::FragmentTimeout)]);
    assert_eq!(world.new_drops(), timeout);
    // The second has its own time, and is in time.
    deliver(&mut world, A, &other[2..], B);
    send_all(&mut world, A, &fragments[2..]);
    world.advance(PATIENCE);
    assert_eq!(world.new_drops(), timeout);
}

#[test]
fn a_late_fragment_completes_nothing_even_before_the_timer_has_run() {
    let mut world = open_world();
    let fragments = datagram(2000).fragments(7, 1500);
    send_all(&mut world, A, &fragments[..1]);
    world.now = world.now + PATIENCE;
    assert_eq!(send_all(&mut world, A, &fragments[1..]), []);
    assert_eq!(world.new_drops(), drops([(A, DropReason::FragmentTimeout)]));
}

#[test]
fn a_duplicate_changes_nothing_and_is_counted() {
    let sent = datagram(4000);
    let fragments = sent.fragments(7, 1500);
    let mut world = open_world();
    let (last, others) = fragments.split_last().unwrap();
    for fragment in others {
        send_all(&mut world, A, std::slice::from_ref(fragment));
        refuse(&mut world, A, fragment, DropReason::DuplicateFragment);
    }
    let arrived = deliver(&mut world, A, std::slice::from_ref(last), B);
    assert_eq!(arrived.bytes[28..], sent.bytes[28..]);
    // The last one first: a second of it is a duplicate as well.
    send_all(&mut world, A, std::slice::from_ref(last));
    refuse(&mut world, A, last, DropReason::DuplicateFragment);
    deliver(&mut world, A, others, B);
}

/// Of a payload of 4,008 bytes: the parts that come, and then the one that contradicts them.
#[test]
fn any_other_overlap_is_the_datagrams_end_until_its_time_is_over() {
    let sent = datagram(4000);
    let part = |part| sent.fragment(7, part);
    let mut other_bytes = part(1480..2960);
    other_bytes.bytes[20] ^= 1;
    let more = |packet: SimPacket| {
        let place = packet.bytes[6] | 0x20;
        with(packet, 6, &[place])
    };
    let no_more = |packet: SimPacket| {
        let place = packet.bytes[6] & 0x1f;
        with(packet, 6, &[place])
    };
    let rows = [
        ("other bytes", vec![part(1480..2960)], other_bytes),
        ("longer", vec![part(1480..2960)], part(1480..2968)),
        ("shorter", vec![part(1480..2960)], part(1480..2952)),
        ("inside", vec![part(1480..2960)], part(1488..2952)),
        ("around", vec![part(1480..2960)], part(1472..2968)),
        ("into the next", vec![part(1480..2960)], part(0..1488)),
        ("over the one before", vec![part(0..1480)], part(1472..2960)),
        (
            "over two",
            vec![part(0..1480), part(1480..2960)],
            part(1400..1600),
        ),
        (
            "an end before what has come",
            vec![part(2960..3000)],
            no_more(part(1480..2960)),
        ),
        (
            "an end before the end",
            vec![part(2960..4008)],
            no_more(part(1480..2960)),
        ),
        (
            "an end behind the end",
            vec![no_more(part(1480..2960))],
            part(2960..4008),
        ),
        (
            "more behind the end",
            vec![no_more(part(1480..2960))],
            part(2960..3000),
        ),
        (
            "the last one, with more to follow",
            vec![part(2960..4008)],
            more(part(2960..4008)),
        ),
        (
            "with more to follow, and the last one",
            vec![more(part(2960..4008))],
            part(2960..4008),
        ),
    ];
    for (description, before, overlapping) in rows {
        let mut world = open_world();
        assert_eq!(send_all(&mut world, A, &before), [], "{description}");
        let reason = DropReason::OverlappingFragment;
        refuse(&mut world, A, &overlapping, reason);
        for fragment in sent.fragments(7, 1500) {
            refuse(&mut world, A, &fragment, reason);
        }
        world.advance(PATIENCE);
        assert_eq!(world.new_drops(), drops([]), "{description}");
        deliver(&mut world, A, &sent.fragments(7, 1500), B);
    }
}

#[test]
fn a_datagram_longer_than_any_packet_is_none() {
    let mut world = open_world();
    // 65,515 bytes of payload, and with the first fragment's header 24 bytes too many.
    let sent = datagram(65_507);
    let mut first = sent.fragment(7, 0..1480);
    first.bytes.splice(20..20, [1; 24]);
    first.bytes[0] = 0x4b;
    let len = first.bytes.len() as u16;
    let first = with(first, 2, &len.to_be_bytes());
    let rest: Vec<_> = sent.fragments(7, 1500)[1..].to_vec();
    assert_eq!(send_all(&mut world, A, &rest), []);
    refuse(&mut world, A, &first, DropReason::BadFragment);
    world.advance(PATIENCE);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn what_the_first_fragment_says_of_itself_stays_and_congestion_is_not_forgotten() {
    let mut world = open_world();
    let mut sent = datagram(3000);
    sent.bytes.splice(20..20, [1, 148, 4, 0, 0, 1, 1, 0]);
    sent.bytes[0] = 0x47;
    let len = (sent.bytes.len() as u16).to_be_bytes();
    (sent.bytes[1], sent.bytes[8]) = (0xb8 | 2, 9);
    let sent = with(sent, 2, &len);
    let mut fragments = sent.fragments(7, 1500);
    // A router on the way has marked the second.
    fragments[1] = with(fragments[1].clone(), 1, &[3]);
    let arrived = deliver(&mut world, A, &fragments, B);
    assert_eq!((arrived.bytes[0], arrived.bytes[1]), (0x47, 0xb8 | 3));
    assert_eq!(arrived.bytes[8], 9, "time to live");
    assert_eq!(arrived.bytes[36..], bytes(3000));
}

#[test]
fn security_groups_are_asked_once_of_the_whole() {
    let mut topology = open_topology();
    topology.group(Topology::ENDPOINT_GROUP).ingress.clear();
    let mut world = World::new(&topology);
    let fragments = datagram(4000).fragments(7, 1500);
    let (last, others) = fragments.split_last().unwrap();
    send_all(&mut world, A, others);
    let outcome = world.send_packet(A, last.clone());
    let reason = DropReason::IngressDenied;
    assert_eq!(outcome.verdict, Verdict::Drop(reason));
    assert_eq!(world.new_drops(), drops([(Topology::ENDPOINT_C, reason)]));
}

#[test]
fn a_forged_source_takes_no_room() {
    let mut world = open_world();
    let forged = udp((NEIGHBOUR, 1), SERVER).payload(&bytes(4000)).build();
    for fragment in forged.fragments(7, 1500) {
        refuse(&mut world, A, &fragment, DropReason::SourceCheck);
    }
    assert_eq!(world.dataplane.poll_timeout(&world.workers[0]), None);
    // An interface that is not there has none either.
    let fragment = datagram(4000).fragment(7, 0..1480);
    let outcome = world.send_packet(EniIdx::new(0, 1), fragment);
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::InterfaceGone));
}

#[test]
fn every_fragment_is_counted_where_it_was_sent_and_the_datagram_where_it_arrives() {
    let mut world = open_world();
    let fragments = datagram(4000).fragments(7, 1500);
    deliver(&mut world, A, &fragments, B);
    let counters = world.dataplane.counters();
    let of = |eni| counters.iter().find(|(idx, _)| *idx == eni).unwrap().1;
    assert_eq!((of(A).packets_out, of(A).bytes_out), (3, 4008 + 3 * 20));
    assert_eq!((of(B).packets_in, of(B).bytes_in), (1, 4028));
}

/// The first fragments of so many datagrams, which never become whole.
fn flood(world: &mut World, from: EniIdx, address: [u8; 4], count: usize) {
    let first = udp((address, 1), SERVER).payload(&bytes(4000)).build();
    let first = first.fragment(0, 0..1480);
    for id in 0..count as u16 {
        send_all(world, from, &[with(first.clone(), 4, &id.to_be_bytes())]);
    }
}

#[test]
fn a_flood_takes_its_own_oldest_and_no_neighbours() {
    let mut world = open_world();
    let of_neighbour = udp((NEIGHBOUR, 1), SERVER).payload(&bytes(20_000));
    let (early, late) = {
        let fragments = of_neighbour.build().fragments(7, 1500);
        (fragments[..7].to_vec(), fragments[7..].to_vec())
    };
    send_all(&mut world, A2, &early);
    // The flooder's own datagram that was under way is lost, and one that follows closely is not.
    let own = datagram(4000).fragments(60_000, 1500);
    send_all(&mut world, A, &own[..2]);
    flood(&mut world, A, EC2, 50_000);
    let lost = 50_000 - MOST as u64 + 1;
    assert_eq!(
        world.new_drops(),
        [((A, DropReason::FragmentLimit), lost)].into()
    );
    deliver(&mut world, A2, &late, B);
    let own = datagram(4000).fragments(60_001, 1500);
    deliver(&mut world, A, &own, B);
    world.deliver(A, &udp(CLIENT, SERVER), B);
    // One of those that waited has made room.
    world.new_drops();
    world.advance(PATIENCE);
    assert_eq!(
        world.new_drops(),
        [((A, DropReason::FragmentTimeout), MOST as u64 - 1)].into()
    );
}

#[test]
fn many_that_flood_leave_room_for_a_newcomer() {
    let mut topology = open_topology();
    let flooders: Vec<_> = (0..100u8)
        .map(|number| {
            (
                EniIdx::new(100 + u32::from(number), 0),
                [172, 18, 9, number],
            )
        })
        .collect();
    for (eni, address) in &flooders {
        let instance = Role::Instance {
            source_dest_check: true,
        };
        let (vpc, group) = (Topology::CONSUMER_VPC, Topology::CONSUMER_GROUP);
        topology.add(*eni, vpc, &[*address], group, instance);
    }
    let mut world = World::new(&topology);
    for _ in 0..3 {
        for (eni, address) in &flooders {
            flood(&mut world, *eni, *address, 100);
        }
        let sent = datagram(20_000).fragments(7, 1500);
        deliver(&mut world, A, &sent, B);
    }
    // What they have left behind goes with its time, and all may begin anew.
    world.advance(PATIENCE);
    world.new_drops();
    flood(&mut world, flooders[0].0, flooders[0].1, MOST);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn fragments_of_an_interface_that_has_gone_are_given_up() {
    let mut topology = open_topology();
    let mut world = World::new(&topology);
    flood(&mut world, A, EC2, MOST);
    topology.config.enis.take(A);
    world.dataplane.apply(topology.config);
    world.advance(PATIENCE);
    assert_eq!(world.new_drops(), drops([]));
    assert_eq!(world.dataplane.poll_timeout(&world.workers[0]), None);
}

#[test]
fn what_a_flow_was_opened_for_matters_and_not_that_it_came_in_fragments() {
    let mut world = open_world();
    let arrived = deliver(&mut world, A, &datagram(9000).fragments(7, 1500), B);
    // The provider's fragments come back along the flow only.
    let (gateway, _) = source(&arrived.tuple());
    let elsewhere = udp((EC2, 53), (gateway, 9)).payload(&bytes(4000)).build();
    let fragments = elsewhere.fragments(7, 1500);
    send_all(&mut world, B, &fragments[..2]);
    let outcome = world.send_packet(B, fragments[2].clone());
    assert_eq!(outcome.verdict, Verdict::Drop(DropReason::GatewayIngress));
    assert_eq!(arrived.tuple().dst, Addr::v4(EC2));
}

/// A datagram larger than an endpoint's path of 8,500 bytes is refused in one piece, and carried in fragments, however large these are.
#[test]
fn fragments_may_be_as_large_as_the_senders_mtu() {
    let mut world = open_world();
    let whole: PacketBuilder = udp(CLIENT, SERVER).payload(&bytes(8900));
    world.refuse(A, &whole, DropReason::PacketTooBig);
    let sent = datagram(17_000);
    let fragments = sent.fragments(7, 9001);
    assert_eq!(fragments[0].bytes.len(), 8996);
    deliver(&mut world, A, &fragments, B);
}
