//! A link with a smaller MTU behind the consumer: its reports stay here, and what is too large for it is cut here
//! (docs/design/0012).

use std::time::Duration;

use privlink::dataplane::config::Role;
use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::net::segment::Cutter;
use privlink::net::{Segment, Transport, checksum};
use privlink::sim::{
    PacketBuilder, SimPacket, Topology, World, any_from, echo_reply, echo_request, reassembled,
    tcp, udp,
};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, FIN, NEIGHBOUR, RST, SYN, drops, proxy, source};

/// What fills the path: an endpoint's largest segment.
const MSS: usize = 8148;
/// How long a report is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// An ICMP fragmentation-needed from `src` to `dst` that quotes 28 bytes.
fn fragmentation_needed(src: [u8; 4], dst: [u8; 4], mtu: u16, quoted: &[u8]) -> SimPacket {
    let error = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu },
    );
    let quoted = &quoted[..quoted.len().min(28)];
    let mut bytes = Vec::new();
    etherparse::PacketBuilder::ipv4(src, dst, 64)
        .icmpv4(error)
        .write(&mut bytes, quoted)
        .unwrap();
    SimPacket {
        vnet: Default::default(),
        bytes,
    }
}

/// EC2_A reports that what arrived there does not fit a link of `mtu` bytes.
fn report(world: &mut World, mtu: u16, arrived: &SimPacket) -> Verdict {
    let to = source(&arrived.tuple()).0;
    let outcome = world.send_packet(A, fragmentation_needed(EC2, to, mtu, &arrived.bytes));
    assert_eq!(outcome.replies, []);
    outcome.verdict
}

/// The same, and it is believed.
fn reported(world: &mut World, mtu: u16, arrived: &SimPacket) {
    assert_eq!(report(world, mtu, arrived), Verdict::Answered, "{mtu}");
    assert_eq!(world.new_drops(), drops([]), "{mtu}");
}

/// Every protocol and port is open.
fn open() -> Topology {
    let mut topology = Topology::w1();
    let protocols = &mut topology.resource().protocols;
    (protocols.udp, protocols.icmp) = (true, true);
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    topology
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 % 251) as u8).collect()
}

fn segment(packet: &SimPacket) -> Segment {
    match packet.headers().unwrap().transport {
        Transport::Tcp(segment) => segment,
        other => panic!("{other:?}"),
    }
}

/// The maximum segment size that a SYN announces, behind 20 bytes of IP and TCP headers each.
fn mss(syn: &SimPacket) -> u16 {
    assert_eq!(syn.bytes[40..42], [2, 4]);
    u16::from_be_bytes([syn.bytes[42], syn.bytes[43]])
}

/// What becomes of a packet where super-packets are cut.
fn cut(packet: &SimPacket) -> Vec<SimPacket> {
    let plain = |bytes: &[u8]| SimPacket {
        vnet: Default::default(),
        bytes: bytes.to_vec(),
    };
    let mut scratch = vec![0; 65_536];
    let mut pieces = Vec::new();
    let mut cutter = Cutter::new(&packet.vnet, &packet.bytes, &mut scratch).unwrap();
    while let Some(piece) = cutter.next() {
        pieces.push(plain(piece));
    }
    pieces
}

/// The packet arrives in segments of so many bytes of IP, which say what it says.
fn arrives_in_segments(world: &mut World, packet: &PacketBuilder, mtu: usize) -> SimPacket {
    let sent = packet.build();
    let arrived = world.deliver(B, packet, A);
    let pieces = cut(&arrived);
    let (last, others) = pieces.split_last().unwrap();
    let mut seq = segment(&sent).seq;
    let mut payload = Vec::new();
    for piece in &pieces {
        assert!(piece.checksums_are_right(), "{piece:?}");
        let segment = segment(piece);
        assert_eq!(segment.seq, seq);
        seq = seq.wrapping_add(segment.payload_len);
        payload.extend(&piece.bytes[piece.bytes.len() - segment.payload_len as usize..]);
    }
    assert!(others.iter().all(|piece| piece.bytes.len() == mtu));
    assert!(!others.is_empty() && last.bytes.len() <= mtu);
    assert_eq!(segment(last).flags, segment(&sent).flags);
    assert!(sent.bytes.ends_with(&payload), "{} bytes", payload.len());
    arrived
}

/// The packet arrives whole.
fn arrives_whole(world: &mut World, packet: &PacketBuilder) -> SimPacket {
    let arrived = world.deliver(B, packet, A);
    assert_eq!(arrived.vnet.gso_type, 0, "{arrived:?}");
    arrived
}

/// The packet arrives in fragments that fit `mtu`, in their order; the datagram that they make.
fn arrives_in_fragments(world: &mut World, packet: &SimPacket, mtu: usize) -> SimPacket {
    let outcome = world.send_packet(B, packet.clone());
    assert_eq!(outcome.verdict, Verdict::Answered, "{packet:?}");
    assert!(outcome.replies.len() > 1);
    let mut fragments = Vec::new();
    let mut offset = 0;
    for transmit in outcome.replies {
        let fragment = transmit.bytes;
        assert_eq!(transmit.to, A);
        assert!(fragment.len() <= mtu, "{} bytes", fragment.len());
        let flags = u16::from_be_bytes([fragment[6], fragment[7]]);
        assert_eq!(flags & 0x4000, 0, "don't fragment");
        assert_eq!(usize::from(flags & 0x1fff) * 8, offset, "not in order");
        offset += fragment.len() - 20;
        fragments.push(fragment);
    }
    let datagram = reassembled(&fragments);
    assert!(datagram.checksums_are_right(), "{datagram:?}");
    datagram
}

fn identification(packet: &SimPacket) -> u16 {
    u16::from_be_bytes([packet.bytes[4], packet.bytes[5]])
}

/// A connection whose target has been reported a link of `mtu` bytes.
fn narrowed(world: &mut World, port: u16, mtu: u16) -> Connection {
    let connection = Connection::open(world, port);
    let data = connection.inbound(ACK, 5001, 1001).payload(&bytes(MSS));
    let arrived = arrives_whole(world, &data);
    reported(world, mtu, &arrived);
    connection
}

#[test]
fn a_consumers_report_of_a_smaller_mtu_never_reaches_the_target_and_what_is_sent_again_is_cut() {
    let mut world = World::new(&Topology::w1());
    let connection = narrowed(&mut world, 41234, 1300);
    let data = |len| {
        connection
            .inbound(ACK | Segment::PSH, 5001, 1001)
            .payload(&bytes(len))
    };
    arrives_in_segments(&mut world, &data(MSS), 1300);
    arrives_in_segments(&mut world, &data(MSS).needs_csum(), 1300);
    arrives_in_segments(&mut world, &data(60_000).gso(MSS as u16), 1300);
    arrives_in_segments(&mut world, &data(1261), 1300);
    arrives_whole(&mut world, &data(1260));
    // With options there is less room for data.
    let end = connection.inbound(ACK | FIN, 5001, 1001).timestamps(7, 9);
    arrives_in_segments(&mut world, &end.payload(&bytes(MSS)), 1300);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn what_the_consumer_sends_and_a_neighbours_connections_stay_as_they_are() {
    let mut world = World::new(&Topology::w1());
    let connection = narrowed(&mut world, 41234, 1300);
    let upload = connection.outbound(ACK, 1001, 5001).payload(&bytes(MSS));
    assert_eq!(world.deliver(A, &upload, B).vnet.gso_type, 0);

    // Another consumer address, and the same gateway, target and port.
    let syn = tcp((NEIGHBOUR, 41234), (ENDPOINT, 80)).mss(9000);
    let arrived = world.deliver(Topology::EC2_A2, &syn, B);
    assert_eq!(usize::from(mss(&arrived)), MSS);
    let answer = tcp((EC2, 80), source(&arrived.tuple())).segment(SYN | ACK, 5000, 1001);
    world.deliver(B, &answer, Topology::EC2_A2);
    let data = answer.segment(ACK, 5001, 1001).payload(&bytes(MSS));
    let arrived = world.deliver(B, &data, Topology::EC2_A2);
    assert_eq!(arrived.vnet.gso_type, 0);
}

#[test]
fn new_flows_of_the_same_consumer_start_with_it_for_ten_minutes() {
    let mut world = World::new(&open());
    narrowed(&mut world, 41234, 1300);
    let syn = |port| tcp((EC2, port), (ENDPOINT, 80)).mss(9000);
    let answered = |world: &mut World, port| {
        let arrived = world.deliver(A, &syn(port), B);
        let answer = tcp((EC2, 80), source(&arrived.tuple())).mss(9000);
        let answer = world.deliver(B, &answer.segment(SYN | ACK, 5000, 1001), A);
        // What the consumer may send is the path's affair.
        assert_eq!(usize::from(mss(&answer)), MSS);
        (mss(&arrived), source(&arrived.tuple()))
    };
    let (limit, gateway) = answered(&mut world, 41235);
    assert_eq!(limit, 1260);
    let data = tcp((EC2, 80), gateway)
        .segment(ACK, 5001, 1001)
        .payload(&bytes(MSS));
    arrives_in_segments(&mut world, &data, 1300);
    // Of whatever protocol.
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
    let gateway = source(&world.deliver(A, &question, B).tuple());
    let answer = udp((EC2, 53), gateway).payload(&bytes(4000)).build();
    arrives_in_fragments(&mut world, &answer, 1300);

    world.advance(REMEMBERED - Duration::from_secs(1));
    assert_eq!(answered(&mut world, 41236).0, 1260);
    world.advance(Duration::from_secs(1));
    let (limit, gateway) = answered(&mut world, 41237);
    assert_eq!(usize::from(limit), MSS);
    let data = tcp((EC2, 80), gateway)
        .segment(ACK, 5001, 1001)
        .payload(&bytes(MSS));
    arrives_whole(&mut world, &data);
}

#[test]
fn a_datagram_is_fragmented_whether_or_not_it_may_be() {
    let mut world = World::new(&open());
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
    let gateway = source(&world.deliver(A, &question, B).tuple());
    let answer = |len| udp((EC2, 53), gateway).payload(&bytes(len));
    let arrived = arrives_whole(&mut world, &answer(8000));
    reported(&mut world, 1300, &arrived);

    let mut may_be = answer(8000).build();
    assert_eq!(may_be.bytes[6], 0x40, "don't fragment");
    may_be.bytes[6] = 0;
    let sum = {
        may_be.bytes[10..12].fill(0);
        !checksum::sum(&may_be.bytes[..20])
    };
    may_be.bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut identifications = Vec::new();
    for packet in [
        answer(8000).build(),
        answer(8000).needs_csum().build(),
        may_be,
        answer(1273).build(),
    ] {
        let datagram = arrives_in_fragments(&mut world, &packet, 1300);
        assert_eq!(datagram.tuple(), question.build().tuple().reversed());
        assert_eq!(datagram.bytes[28..], packet.bytes[28..]);
        identifications.push(identification(&datagram));
    }
    let first = identifications[0];
    let expected = [0, 1, 2, 3].map(|number| first.wrapping_add(number));
    assert_eq!(identifications, expected);
    arrives_whole(&mut world, &answer(1272));

    // Each of a super-packet's datagrams for itself.
    let outcome = world.send(B, &answer(3 * 2000).gso(2000));
    assert_eq!(
        (outcome.verdict, outcome.replies.len()),
        (Verdict::Answered, 6)
    );
    for (number, pair) in outcome.replies.chunks(2).enumerate() {
        let fragments: Vec<_> = pair.iter().map(|it| it.bytes.clone()).collect();
        let datagram = reassembled(&fragments);
        assert!(datagram.checksums_are_right());
        assert_eq!(datagram.bytes[28..], bytes(6000)[number * 2000..][..2000]);
    }
}

#[test]
fn two_targets_datagrams_to_one_consumer_have_different_identifications() {
    let mut topology = open();
    let mut second = Topology::w1();
    let resource = privlink::dataplane::config::ResourceIdx::new(1, 0);
    second.resource().target =
        privlink::dataplane::config::ResourceTarget::Address(privlink::net::Addr::v4(NEIGHBOUR));
    second.resource().protocols.udp = true;
    let second = second.config.resources.take(Topology::RESOURCE).unwrap();
    topology.config.resources.insert(resource, second);
    let gateway = Topology::GATEWAY_A;
    topology.interface(Topology::ENDPOINT_A).role =
        Role::Endpoint(privlink::dataplane::config::Destination::Resource { resource, gateway });
    let mut world = World::new(&topology);
    let targets = [
        (ENDPOINT, B, EC2),
        (Topology::ENDPOINT_A_ADDRESS, Topology::EC2_B2, NEIGHBOUR),
    ];
    let mut answers = Vec::new();
    for (endpoint, target, address) in targets {
        let question = udp((EC2, 5353), (endpoint, 53)).payload(b"?");
        let gateway = source(&world.deliver(A, &question, target).tuple());
        let answer = udp((address, 53), gateway).payload(&bytes(3000)).build();
        let arrived = world.send_packet(target, answer.clone()).packet;
        reported(&mut world, 1300, &arrived);
        answers.push((target, answer));
    }
    // Read by different workers, and both begin at random.
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        for (target, answer) in &answers {
            let outcome = world.send_packet(*target, answer.clone());
            let fragment = &outcome.replies[0].bytes;
            assert!(seen.insert([fragment[4], fragment[5]]), "{seen:?}");
        }
    }
}

#[test]
fn an_echo_is_fragmented_as_well() {
    let mut world = World::new(&open());
    let arrived = world.deliver(A, &echo_request(EC2, ENDPOINT, 7).payload(&bytes(8000)), B);
    let (gateway, id) = source(&arrived.tuple());
    let reply = echo_reply(EC2, gateway, id).payload(&bytes(8000));
    let arrived = arrives_whole(&mut world, &reply);
    reported(&mut world, 1300, &arrived);
    let whole = arrives_in_fragments(&mut world, &reply.build(), 1300);
    assert_eq!(whole.bytes, arrived_with(&arrived, &whole));
}

/// The bytes of a packet with the other's identification, and without "don't fragment".
fn arrived_with(packet: &SimPacket, other: &SimPacket) -> Vec<u8> {
    let mut bytes = packet.bytes.clone();
    bytes[4..8].copy_from_slice(&other.bytes[4..8]);
    bytes[10..12].copy_from_slice(&other.bytes[10..12]);
    bytes
}

#[test]
fn a_wrong_checksum_ends_what_would_have_to_be_cut_and_is_never_made_right() {
    let mut world = World::new(&open());
    let connection = narrowed(&mut world, 41234, 1300);
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
    let gateway = source(&world.deliver(A, &question, B).tuple());
    let ping = echo_request(EC2, ENDPOINT, 7).payload(&bytes(8000));
    let (pinger, id) = source(&world.deliver(A, &ping, B).tuple());
    for whole in [
        connection.inbound(ACK, 5001, 1001).payload(&bytes(MSS)),
        udp((EC2, 53), gateway).payload(&bytes(4000)),
        echo_reply(EC2, pinger, id).payload(&bytes(4000)),
    ] {
        // Its last byte, and its time to live.
        for at in [2000, 8] {
            let mut wrong = whole.build();
            wrong.bytes[at] ^= 1;
            let before = world.flows();
            let outcome = world.send_packet(B, wrong);
            assert_eq!(
                (outcome.verdict, outcome.replies),
                (Verdict::Drop(DropReason::BadTransportHeader), vec![])
            );
            let seen = [before, world.flows()]
                .map(|flows| flows.iter().map(|flow| flow.target.packets).sum::<u64>());
            assert_eq!(seen[0], seen[1], "it is not counted to its flow");
        }
    }
    assert_eq!(
        world.new_drops(),
        [((B, DropReason::BadTransportHeader), 6)].into()
    );
}

#[test]
fn what_segments_cannot_carry_goes_in_fragments() {
    let mut world = World::new(&Topology::w1());
    let connection = narrowed(&mut world, 41234, 1300);
    for flags in [ACK | Segment::URG, ACK | RST] {
        let sent = connection
            .inbound(flags, 5001, 1001)
            .payload(&bytes(4000))
            .build();
        let whole = arrives_in_fragments(&mut world, &sent, 1300);
        assert_eq!(segment(&whole), segment(&sent));
        assert_eq!(whole.bytes[40..], sent.bytes[40..]);
    }
    // The answer to a SYN with data.
    let syn = tcp((EC2, 41235), (ENDPOINT, 80));
    let gateway = source(&world.deliver(A, &syn, B).tuple());
    let sent = tcp((EC2, 80), gateway).segment(SYN | ACK, 5000, 1001);
    let sent = sent.payload(&bytes(4000)).build();
    let whole = arrives_in_fragments(&mut world, &sent, 1300);
    assert_eq!(segment(&whole), segment(&sent));
}

#[test]
fn larger_than_the_path_itself_is_answered_as_before() {
    let mut world = World::new(&Topology::w1());
    let connection = narrowed(&mut world, 41234, 1300);
    let data = connection.inbound(ACK, 5001, 1001).payload(&bytes(8461));
    let replies = world.refuse(B, &data, DropReason::PacketTooBig);
    let [reply] = &replies[..] else {
        panic!("{replies:?}")
    };
    assert_eq!(reply.to, B);
    assert_eq!(u16::from_be_bytes([reply.bytes[26], reply.bytes[27]]), 8500);
}

#[test]
fn a_flow_with_a_proxy_header_is_cut_before_and_after_its_target_has_acknowledged_that() {
    let mut world = World::new(&proxy::topology());
    let connection = Connection::syn(&mut world, 41234);
    let len = proxy::header(41234).len() as u32;
    connection.answer(&mut world, SYN | ACK, 5000, 1001 - len);
    let ack = world.send(A, &connection.outbound(ACK, 1001, 5001));
    assert_eq!(ack.verdict, Verdict::Answered);
    // The target acknowledges nothing of the header yet.
    let greeting = |ack| connection.inbound(ACK, 5001, ack).payload(&bytes(MSS));
    let arrived = world.send(B, &greeting(1001 - len)).packet;
    reported(&mut world, 1300, &arrived);
    let arrived = world.send(B, &greeting(1001 - len)).packet;
    assert_eq!(
        (arrived.vnet.gso_type, { arrived.vnet.gso_size }),
        (1, 1260)
    );
    assert!(arrived.checksums_are_right());
    assert_eq!(segment(&arrived).ack, 1001);
    for _ in 0..2 {
        arrives_in_segments(&mut world, &greeting(1001), 1300);
        world.advance(Duration::from_secs(2));
    }
}

#[test]
fn so_is_a_flow_of_a_client_in_the_load_balancers_own_vpc() {
    let mut topology = Topology::w2(1);
    topology.load_balancer().cross_zone = true;
    let client = Topology::EC2_B2;
    let mut world = World::new(&topology);
    let target = Topology::target_eni(0);
    let node = (Topology::NODE_C_ADDRESS, 80);
    let [_, inbound] = world.connect_between(client, (NEIGHBOUR, 41234), node, target);
    let data = inbound.payload(&bytes(MSS));
    let arrived = world.deliver(target, &data, client);
    let error = fragmentation_needed(NEIGHBOUR, node.0, 1300, &arrived.bytes);
    assert_eq!(world.send_packet(client, error).verdict, Verdict::Answered);
    let arrived = world.deliver(target, &data, client);
    assert_eq!(
        (arrived.vnet.gso_type, { arrived.vnet.gso_size }),
        (1, 1260)
    );
}

#[test]
fn inside_a_vpc_and_towards_the_consumer_reports_are_forwarded() {
    let mut world = World::new(&Topology::w1());
    let [_, inbound] = world.connect_between(
        Topology::EC2_A2,
        (NEIGHBOUR, 41234),
        (EC2, 80),
        Topology::EC2_A,
    );
    let data = inbound.payload(&bytes(MSS));
    let arrived = world.deliver(A, &data, Topology::EC2_A2);
    let error = fragmentation_needed(NEIGHBOUR, EC2, 1300, &arrived.bytes);
    let outcome = world.send_packet(Topology::EC2_A2, error);
    assert_eq!(outcome.verdict, Verdict::Forward(A));
    assert_eq!(world.deliver(A, &data, Topology::EC2_A2).vnet.gso_type, 0);

    let connection = Connection::open(&mut world, 41235);
    let upload = connection.outbound(ACK, 1001, 5001).payload(&bytes(MSS));
    let arrived = world.deliver(A, &upload, B);
    let error = fragmentation_needed(EC2, connection.gateway.0, 1300, &arrived.bytes);
    let outcome = world.send_packet(B, error);
    assert_eq!(outcome.verdict, Verdict::Forward(A));
    assert!(outcome.packet.checksums_are_right());
    assert_eq!(outcome.packet.bytes[26..28], 1300u16.to_be_bytes());
    assert_eq!(world.deliver(A, &upload, B).vnet.gso_type, 0);
    let download = connection.inbound(ACK, 5001, 1001).payload(&bytes(MSS));
    arrives_whole(&mut world, &download);
}

#[test]
fn no_mtu_below_552_is_believed_and_an_old_routers_zero_means_that() {
    for (mtu, expected) in [(0, 552), (68, 552), (551, 552), (552, 552), (553, 553)] {
        let mut world = World::new(&Topology::w1());
        let connection = narrowed(&mut world, 41234, mtu);
        let data = connection.inbound(ACK, 5001, 1001);
        arrives_in_segments(&mut world, &data.clone().payload(&bytes(MSS)), expected);
        arrives_whole(&mut world, &data.payload(&bytes(expected - 40)));
        let syn = tcp((EC2, 41235), (ENDPOINT, 80)).mss(9000);
        let arrived = world.deliver(A, &syn, B);
        assert_eq!(usize::from(mss(&arrived)), expected - 40, "{mtu}");
    }
}

#[test]
fn an_mtu_is_only_ever_lowered() {
    let mut world = World::new(&Topology::w1());
    let connection = narrowed(&mut world, 41234, 1000);
    let data = connection.inbound(ACK, 5001, 1001).payload(&bytes(MSS));
    let arrived = arrives_in_segments(&mut world, &data, 1000);
    // Sent before the first report had come.
    reported(&mut world, 1300, &arrived);
    arrives_in_segments(&mut world, &data, 1000);
    reported(&mut world, 600, &arrived);
    arrives_in_segments(&mut world, &data, 600);
}

#[test]
fn an_implausible_report_changes_nothing_and_is_counted() {
    let mut world = World::new(&open());
    let connection = Connection::open(&mut world, 41234);
    let segment = |seq, len| connection.inbound(ACK, seq, 1001).payload(&bytes(len));
    arrives_whole(&mut world, &segment(5001, 1000));
    connection.say(&mut world, ACK, 1001, 6001);
    let arrived = arrives_whole(&mut world, &segment(6001, MSS));
    let unanswered = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
    world.deliver(A, &unanswered, B);

    let back = |seq: u32, len| {
        let mut packet = tcp((ENDPOINT, 80), (EC2, 41234));
        packet = packet.segment(ACK, seq, 1001).payload(&bytes(len));
        packet.build()
    };
    let end = 6001 + MSS as u32;
    let unasked = udp((ENDPOINT, 53), (EC2, 5353))
        .payload(&bytes(8000))
        .build();
    for (description, mtu, quoted) in [
        ("smaller than any link's", 1, arrived.clone()),
        ("smaller than any link's", 67, arrived.clone()),
        ("what the packet needs", 8188, arrived.clone()),
        ("more than it needs", 9000, arrived.clone()),
        ("the largest", 65535, arrived.clone()),
        ("acknowledged", 1300, back(5001, MSS)),
        ("not sent yet", 1300, back(end, MSS)),
        ("far ahead", 1300, back(end.wrapping_add(1 << 30), MSS)),
        ("far behind", 1300, back(6001u32.wrapping_sub(1 << 30), MSS)),
        ("smaller than the MTU", 1300, back(6001, 1000)),
        ("a datagram that has not been sent", 1300, unasked),
    ] {
        let verdict = report(&mut world, mtu, &quoted);
        assert_eq!(
            verdict,
            Verdict::Drop(DropReason::ImplausibleMtu),
            "{description}"
        );
        assert_eq!(
            world.new_drops(),
            drops([(A, DropReason::ImplausibleMtu)]),
            "{description}"
        );
    }
    // Right, but for one bit of the error's own header, or of the message.
    for at in [8, 27] {
        let mut error = fragmentation_needed(EC2, ENDPOINT, 1300, &arrived.bytes);
        error.bytes[at] ^= 1;
        let verdict = world.send_packet(A, error).verdict;
        assert_eq!(verdict, Verdict::Drop(DropReason::BadTransportHeader));
    }
    assert_eq!(
        world.new_drops(),
        [((A, DropReason::BadTransportHeader), 2)].into()
    );
    arrives_whole(&mut world, &segment(6001, MSS));
    let syn = tcp((EC2, 41235), (ENDPOINT, 80)).mss(9000);
    assert_eq!(usize::from(mss(&world.deliver(A, &syn, B))), MSS);
    // A super-packet may be longer than any MTU, and still its segments fit the path.
    let whole = world.deliver(B, &segment(6001, 60_000).gso(MSS as u16), A);
    let verdict = report(&mut world, 8500, &whole);
    assert_eq!(verdict, Verdict::Drop(DropReason::ImplausibleMtu));
    assert_eq!(world.new_drops(), drops([(A, DropReason::ImplausibleMtu)]));
    reported(&mut world, 1300, &whole);
}

#[test]
fn no_report_concerns_a_flow_of_others() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let data = connection.inbound(ACK, 5001, 1001).payload(&bytes(MSS));
    let arrived = arrives_whole(&mut world, &data);
    let neighbour = Topology::EC2_A2;
    for src in [NEIGHBOUR, EC2] {
        let error = fragmentation_needed(src, ENDPOINT, 552, &arrived.bytes);
        let verdict = world.send_packet(neighbour, error).verdict;
        assert!(matches!(verdict, Verdict::Drop(_)), "{src:?}: {verdict:?}");
    }
    // Nor of a tuple that no flow has, or the other direction of this one.
    let upload = connection
        .outbound(ACK, 1001, 5001)
        .payload(&bytes(MSS))
        .build();
    let other = tcp((ENDPOINT, 80), (EC2, 41235))
        .payload(&bytes(MSS))
        .build();
    for quoted in [&upload, &other] {
        let error = fragmentation_needed(EC2, ENDPOINT, 552, &quoted.bytes);
        let verdict = world.send_packet(A, error).verdict;
        assert_eq!(verdict, Verdict::Drop(DropReason::IcmpType));
    }
    arrives_whole(&mut world, &data);
}

#[test]
fn a_report_does_not_keep_its_flow() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let data = connection.inbound(ACK, 5001, 1001).payload(&bytes(MSS));
    let arrived = arrives_whole(&mut world, &data);
    world.advance(Duration::from_secs(349));
    reported(&mut world, 1300, &arrived);
    world.advance(Duration::from_secs(1));
    let verdict = report(&mut world, 1300, &arrived);
    assert_eq!(verdict, Verdict::Drop(DropReason::IcmpType));
    world.refuse(B, &data, DropReason::GatewayIngress);
}

#[test]
fn a_flood_of_addresses_pushes_out_none_of_another_interface() {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![any_from("0.0.0.0/0")];
    let flooder = Topology::EC2_A2;
    topology.interface(flooder).role = Role::Instance {
        source_dest_check: false,
    };
    let mut world = World::new(&topology);
    narrowed(&mut world, 41234, 1300);
    let connect = |world: &mut World, from: EniIdx, address: [u8; 4]| {
        let [_, inbound] = world.connect_between(from, (address, 40_000), (ENDPOINT, 80), B);
        inbound
    };
    let address = |number: u32| [10, 0, (number >> 8) as u8, number as u8];
    for number in 0..2_000 {
        let inbound = connect(&mut world, flooder, address(number));
        let arrived = world.deliver(B, &inbound.payload(&bytes(MSS)), flooder);
        let error = fragmentation_needed(address(number), ENDPOINT, 552, &arrived.bytes);
        assert_eq!(world.send_packet(flooder, error).verdict, Verdict::Answered);
    }
    let limit = |world: &mut World, from, address, port| {
        let syn = tcp((address, port), (ENDPOINT, 80)).mss(9000);
        mss(&world.deliver(from, &syn, B))
    };
    assert_eq!(limit(&mut world, A, EC2, 41235), 1260);
    assert_eq!(limit(&mut world, flooder, address(1_999), 40_001), 512);
    assert_eq!(
        usize::from(limit(&mut world, flooder, address(0), 40_001)),
        MSS
    );
    assert_eq!(usize::from(limit(&mut world, flooder, EC2, 40_001)), MSS);
}

#[test]
fn what_is_remembered_outlives_a_change_of_the_topology() {
    let topology = Topology::w1();
    let mut world = World::new(&topology);
    narrowed(&mut world, 41234, 1300);
    world.dataplane.apply(topology.config);
    let syn = tcp((EC2, 41235), (ENDPOINT, 80)).mss(9000);
    assert_eq!(mss(&world.deliver(A, &syn, B)), 1260);
}
