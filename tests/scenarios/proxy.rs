//! PROXY protocol: a header before the initiator's data, and the numbers around it (docs/design/0005).

use std::time::Duration;

use privlink::dataplane::{DropReason, Transmit, Verdict};
use privlink::net::{Headers, Segment, Transport, proxy};
use privlink::sim::{PacketBuilder, SimPacket, Topology, World, tcp, udp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT, FIN, RST, SYN, drops};

/// The header's length.
const LEN: u32 = 100;
/// How long the translation goes on after the header has been sent once.
const SETTLED: Duration = Duration::from_millis(200);

pub fn topology() -> Topology {
    let mut topology = Topology::w1();
    topology.resource().proxy_protocol = true;
    topology
}

/// The header of a client's connection from this port.
pub fn header(port: u16) -> Vec<u8> {
    let client = tcp((EC2, port), (ENDPOINT, 80)).build().tuple();
    proxy::Header::proxy(&client, Some(Topology::ENDPOINT_ID))
        .as_bytes()
        .to_vec()
}

fn segment(packet: &SimPacket) -> Segment {
    match packet.headers().unwrap().transport {
        Transport::Tcp(segment) => segment,
        other => panic!("{other:?}"),
    }
}

fn payload(packet: &SimPacket) -> &[u8] {
    let Headers { payload_len, .. } = packet.headers().unwrap();
    &packet.bytes[packet.bytes.len() - payload_len..]
}

/// What the core has said, all of it right and for B.
fn said(transmits: &[Transmit]) -> Vec<SimPacket> {
    let packet = |transmit: &Transmit| {
        assert_eq!(transmit.to, B);
        let packet = SimPacket {
            vnet: Default::default(),
            bytes: transmit.bytes.clone(),
        };
        assert!(packet.checksums_are_right(), "{packet:?}");
        packet
    };
    transmits.iter().map(packet).collect()
}

/// The header, in one segment, is all that has been said.
fn assert_header(transmits: &[Transmit], connection: &Connection) -> SimPacket {
    let [packet] = &said(transmits)[..] else {
        panic!("{transmits:?}")
    };
    assert_eq!(payload(packet), header(connection.client.1));
    assert_eq!(segment(packet).seq, 1001 - LEN);
    assert_eq!(
        packet.tuple(),
        connection.inbound(ACK, 0, 0).build().tuple().reversed()
    );
    packet.clone()
}

/// The SYN and its answer, as both sides see them.
fn half_open(world: &mut World, port: u16) -> Connection {
    let connection = Connection::syn(world, port);
    let answer = connection.inbound(SYN | ACK, 5000, 1001 - LEN).window(1000);
    let answer = segment(&world.deliver(B, &answer, A));
    assert_eq!((answer.seq, answer.ack), (5000, 1001));
    assert_eq!(answer.window, 1000 - LEN as u16, "it ends where it did");
    connection
}

/// The header has been sent, and not been acknowledged.
fn introduced(world: &mut World, port: u16) -> Connection {
    let connection = half_open(world, port);
    let outcome = world.send(A, &connection.outbound(ACK, 1001, 5001).window(777));
    assert_eq!(outcome.verdict, Verdict::Answered);
    let packet = assert_header(&outcome.replies, &connection);
    let Segment {
        ack, flags, window, ..
    } = segment(&packet);
    assert_eq!((ack, window), (5001, 777), "it says what the ACK said");
    assert_eq!(flags, ACK | Segment::PSH);
    connection
}

/// The header goes first, then the packet as it was.
fn assert_goes_after_header(world: &mut World, connection: &Connection, packet: &PacketBuilder) {
    let outcome = world.send(A, packet);
    assert_eq!(outcome.verdict, Verdict::ForwardAfter(B), "{packet:?}");
    assert_header(&outcome.replies, connection);
    let (sent, arrived) = (segment(&packet.build()), segment(&outcome.packet));
    assert_eq!(arrived, sent);
    assert!(outcome.packet.checksums_are_right());
}

#[test]
fn the_header_goes_out_with_the_ack_that_completes_the_handshake() {
    let mut world = World::new(&topology());
    let syn = world.deliver(A, &tcp((EC2, 41234), (ENDPOINT, 80)), B);
    assert_eq!(segment(&syn).seq, 1000 - LEN);
    let connection = introduced(&mut world, 41235);

    // The target greets, and the client answers: the same numbers on both sides.
    let greeting = connection
        .inbound(ACK, 5001, 1001)
        .payload(b"220 ready\r\n");
    let arrived = world.deliver(B, &greeting, A);
    assert_eq!(segment(&arrived), segment(&greeting.build()));
    let data = connection.outbound(ACK, 1001, 5012).payload(b"EHLO a\r\n");
    let arrived = world.deliver(A, &data, B);
    assert_eq!(segment(&arrived), segment(&data.build()));
    assert_eq!(payload(&arrived), b"EHLO a\r\n");
    assert_eq!(world.advance(Duration::from_secs(60)), []);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn data_that_completes_the_handshake_goes_after_the_header() {
    let mut world = World::new(&topology());
    let connection = half_open(&mut world, 41234);
    let request = connection.outbound(ACK, 1001, 5001).payload(b"GET /");
    assert_goes_after_header(&mut world, &connection, &request);
    // A super-packet as well: all of it stays one.
    let connection = half_open(&mut world, 41235);
    let data = connection.outbound(ACK, 1001, 5001).payload(&[7; 30_000]);
    assert_goes_after_header(&mut world, &connection, &data.gso(1448));
    // And the end, if that is all there is to say.
    let connection = half_open(&mut world, 41236);
    assert_goes_after_header(
        &mut world,
        &connection,
        &connection.outbound(FIN | ACK, 1001, 5001),
    );
}

#[test]
fn the_targets_acknowledgement_of_less_than_the_header_says_nothing_to_the_client() {
    let mut world = World::new(&topology());
    let connection = half_open(&mut world, 41234);
    for port in [41235, 41236] {
        let connection = introduced(&mut world, port);
        for (ack, window) in [(1001 - LEN, 900), (950, 949), (1000, 999), (1001, 1000)] {
            let outcome = world.send(B, &connection.inbound(ACK, 5001, ack).window(1000));
            let seen = segment(&outcome.packet);
            assert_eq!((seen.ack, seen.window), (1001, window), "for {ack}");
            assert!(outcome.packet.checksums_are_right());
        }
    }
    // A number of an older connection's is not taken for one of this one's.
    let stray = world.deliver(B, &connection.inbound(ACK, 5001, 700), A);
    assert_eq!(segment(&stray).ack, 700);
}

#[test]
fn a_scaled_window_ends_where_it_did_to_within_its_scale() {
    let mut world = World::new(&topology());
    let connection = Connection::syn(&mut world, 41234);
    let answer = connection.inbound(SYN | ACK, 5000, 901).window_scale(4);
    assert_eq!(segment(&world.deliver(B, &answer.window(50), A)).window, 0);
    world.send(A, &connection.outbound(ACK, 1001, 5001));
    let outcome = world.send(B, &connection.inbound(ACK, 5001, 901).window(50));
    assert_eq!(segment(&outcome.packet).window, (800 - 100) / 16);
}

#[test]
fn a_lost_header_goes_again_when_the_target_shows_it_and_then_by_time() {
    let mut world = World::new(&topology());
    let connection = introduced(&mut world, 41234);
    let data = connection.outbound(ACK, 1001, 5001).payload(b"GET /");
    world.deliver(A, &data, B);
    // The target has got the data alone.
    let gap = connection
        .inbound(ACK, 5001, 1001 - LEN)
        .sack((1001, 1006), [None; 3]);
    let outcome = world.send(B, &gap);
    assert_eq!(outcome.verdict, Verdict::Forward(A));
    assert_eq!(segment(&outcome.packet).ack, 1001);
    assert_header(&outcome.replies, &connection);
    world.deliver(B, &gap, A);

    for wait in [200, 400, 800, 1600, 3200, 6400, 12_800] {
        assert_eq!(world.advance(Duration::from_millis(wait - 1)), []);
        assert_header(&world.advance(Duration::from_millis(1)), &connection);
    }
    assert_eq!(world.advance(Duration::from_millis(25_600 - 1)), []);
    let resets = world.advance(Duration::from_millis(1));
    let [client, target, behind] = &resets[..] else {
        panic!("{resets:?}")
    };
    let reset = |transmit: &Transmit| {
        let packet = SimPacket {
            vnet: Default::default(),
            bytes: transmit.bytes.clone(),
        };
        assert!(packet.checksums_are_right());
        let Segment { seq, flags, .. } = segment(&packet);
        assert_eq!(flags, RST | ACK);
        (transmit.to, seq, packet.tuple())
    };
    let to_client = connection.outbound(RST, 0, 0).build().tuple().reversed();
    let to_target = connection.inbound(RST, 0, 0).build().tuple().reversed();
    assert_eq!(reset(client), (A, 5001, to_client));
    // One of these is what it expects, whether it has got the header or not.
    assert_eq!(reset(target), (B, 1006, to_target));
    assert_eq!(reset(behind), (B, 1001 - LEN, to_target));
    assert_eq!(world.advance(Duration::from_secs(200)), []);
    // Neither side is kept from beginning anew.
    Connection::syn(&mut world, 41234);
}

#[test]
fn a_client_that_sends_something_again_has_the_header_sent_again() {
    let mut world = World::new(&topology());
    let data = |connection: &Connection| connection.outbound(ACK, 1001, 5001).payload(b"GET /");
    let connection = introduced(&mut world, 41234);
    world.deliver(A, &data(&connection), B);
    assert_goes_after_header(&mut world, &connection, &data(&connection));
    let more = connection.outbound(ACK, 1006, 5001).payload(b"index");
    world.deliver(A, &more, B);
    // Its end alone, twice.
    let connection = introduced(&mut world, 41235);
    let fin = connection.outbound(FIN | ACK, 1001, 5001);
    world.deliver(A, &fin, B);
    assert_goes_after_header(&mut world, &connection, &fin);
    // A keepalive, with and without a byte, and a window probe are the same thing.
    let connection = introduced(&mut world, 41236);
    let keepalive = connection.outbound(ACK, 1000, 5001);
    assert_goes_after_header(&mut world, &connection, &keepalive);
    assert_goes_after_header(&mut world, &connection, &keepalive.payload(b"\0"));
    // What acknowledges only says nothing about the header.
    world.deliver(A, &connection.outbound(ACK, 1001, 5001), B);
}

#[test]
fn a_reset_reaches_the_target_as_one_that_it_takes() {
    let mut world = World::new(&topology());
    // Before the header the target still expects it.
    let connection = half_open(&mut world, 41234);
    let arrived = world.deliver(A, &connection.outbound(RST, 1001, 0), B);
    assert_eq!(segment(&arrived).seq, 1001 - LEN);
    assert!(world.flows()[0].state.closing());
    // After it, it does not, or the header goes first.
    let connection = introduced(&mut world, 41235);
    assert_goes_after_header(&mut world, &connection, &connection.outbound(RST, 1001, 0));
    // The target's own are as they were.
    let connection = introduced(&mut world, 41236);
    let rst = connection.inbound(RST | ACK, 5001, 1001 - LEN);
    let arrived = world.deliver(B, &rst, A);
    assert_eq!((segment(&arrived).seq, segment(&arrived).ack), (5001, 1001));
    assert!(world.flows().iter().all(|flow| flow.state.closing()));
    let said = world.advance(Duration::from_secs(60));
    assert_eq!(said, [], "nobody waits for these headers");
}

#[test]
fn a_target_that_refuses_is_heard_at_once() {
    let mut world = World::new(&topology());
    let connection = Connection::syn(&mut world, 41234);
    let refusal = connection.inbound(RST | ACK, 0, 1001 - LEN).window(0);
    let arrived = segment(&world.deliver(B, &refusal, A));
    assert_eq!((arrived.ack, arrived.window), (1001, 0));
    assert_eq!(world.flows()[0].state.name(), "reset");
    // One that acknowledges something else refuses nothing.
    let connection = Connection::syn(&mut world, 41235);
    world.deliver(B, &connection.inbound(RST | ACK, 0, 1002), A);
    assert!(world.flows().iter().any(|flow| !flow.state.closing()));
}

#[test]
fn data_in_a_syn_stays_here_and_comes_again() {
    let mut world = World::new(&topology());
    let syn = tcp((EC2, 41234), (ENDPOINT, 80)).mss(1460);
    let outcome = world.send(A, &syn.clone().payload(b"early"));
    assert_eq!(outcome.verdict, Verdict::Answered);
    let [arrived] = &said(&outcome.replies)[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(segment(arrived).seq, 1000 - LEN);
    assert_eq!(segment(arrived).flags, SYN);
    assert_eq!(payload(arrived), b"");
    assert_eq!(
        arrived.bytes.len(),
        syn.build().bytes.len(),
        "its options are there"
    );
    assert_eq!(world.dataplane.counters()[1].1.packets_in, 1);
    // A refusal acknowledges the SYN alone.
    let (gateway, port) = super::source(&arrived.tuple());
    let refusal = tcp((EC2, 80), (gateway, port)).segment(RST | ACK, 0, 1001 - LEN);
    world.deliver(B, &refusal, A);
    assert_eq!(world.flows()[0].state.name(), "reset");
}

#[test]
fn a_target_with_a_small_segment_size_gets_the_header_in_pieces() {
    let mut world = World::new(&topology());
    for (port, stamped, largest) in [(41234, false, 88), (41235, true, 76)] {
        let connection = Connection::syn(&mut world, port);
        let answer = connection.inbound(SYN | ACK, 5000, 1001 - LEN).mss(88);
        world.deliver(B, &answer.timestamps(71, 0), A);
        let ack = connection.outbound(ACK, 1001, 5001);
        let ack = if stamped { ack.timestamps(42, 71) } else { ack };
        let pieces = said(&world.send(A, &ack).replies);
        let mut bytes: Vec<u8> = vec![];
        for piece in &pieces {
            assert_eq!(segment(piece).seq, 1001 - LEN + bytes.len() as u32);
            assert!(payload(piece).len() <= largest);
            bytes.extend(payload(piece));
        }
        assert_eq!(bytes, header(port));
        assert_eq!(pieces.len(), 2);
        // The second alone has arrived: the client, who has sent nothing, sees none of it acknowledged.
        let gap = connection.inbound(ACK, 5001, 1001 - LEN);
        let gap = gap.sack((1001 - LEN + largest as u32, 1001), [None; 3]);
        let outcome = world.send(B, &gap);
        assert_eq!(outcome.packet.bytes[40..50], [1; 10], "no-operations");
        assert!(outcome.packet.checksums_are_right());
    }
}

#[test]
fn the_header_carries_the_timestamps_that_its_connection_uses() {
    let mut world = World::new(&topology());
    let connection = Connection::syn(&mut world, 41234);
    let answer = connection.inbound(SYN | ACK, 5000, 1001 - LEN);
    world.deliver(B, &answer.timestamps(7_000, 0), A);
    let ack = connection.outbound(ACK, 1001, 5001).timestamps(42, 7_000);
    let packet = assert_header(&world.send(A, &ack).replies, &connection);
    let mut option = vec![1, 1, 8, 10];
    option.extend(42u32.to_be_bytes());
    option.extend(7_000u32.to_be_bytes());
    assert_eq!(packet.bytes[40..52], option);

    // What the client's SYN offers alone is not in use.
    let offer = tcp((EC2, 41235), (ENDPOINT, 80)).timestamp(41);
    let gateway = super::source(&world.deliver(A, &offer, B).tuple());
    let answer = tcp((EC2, 80), gateway).segment(SYN | ACK, 5000, 1001 - LEN);
    world.deliver(B, &answer, A);
    let ack = tcp((EC2, 41235), (ENDPOINT, 80)).segment(ACK, 1001, 5001);
    let [packet] = &said(&world.send(A, &ack).replies)[..] else {
        panic!()
    };
    assert_eq!(packet.bytes[40..], header(41235));
}

#[test]
fn a_client_that_answers_what_the_target_has_not_said_has_its_header_in_one_piece() {
    let mut world = World::new(&topology());
    let connection = Connection::syn(&mut world, 41234);
    let outcome = world.send(A, &connection.outbound(ACK, 1001, 5001));
    assert_header(&outcome.replies, &connection);
}

#[test]
fn a_selective_acknowledgement_of_the_header_says_nothing_to_the_client() {
    let mut world = World::new(&topology());
    let connection = introduced(&mut world, 41234);
    let twice = (1001 - LEN, 1001);
    for (blocks, left) in [
        // A duplicate of the header, alone and before others.
        ((twice, [None; 3]), vec![]),
        (
            (twice, [Some((1500, 2000)), None, None]),
            vec![(1500, 2000)],
        ),
        (
            (twice, [Some((1500, 2000)), Some((2500, 3000)), None]),
            vec![(1500, 2000), (2500, 3000)],
        ),
        // Header and data in one.
        (((1001 - LEN, 1200), [None; 3]), vec![(1001, 1200)]),
        // Data only.
        (((1001, 1200), [None; 3]), vec![(1001, 1200)]),
    ] {
        let packet = connection.inbound(ACK, 5001, 1001).sack(blocks.0, blocks.1);
        for packet in [packet.clone(), packet.needs_csum()] {
            let outcome = world.send(B, &packet);
            assert!(outcome.packet.checksums_are_right());
            let (_, headers) = etherparse::Ipv4Header::from_slice(&outcome.packet.bytes).unwrap();
            let (header, _) = etherparse::TcpHeader::from_slice(headers).unwrap();
            let mut seen = vec![];
            for option in header.options_iterator().map(Result::unwrap) {
                if let etherparse::TcpOptionElement::SelectiveAcknowledgement(first, rest) = option
                {
                    seen.push(first);
                    seen.extend(rest.into_iter().flatten());
                }
            }
            assert_eq!(seen, left);
        }
    }
}

#[test]
fn an_error_about_the_syn_or_the_header_quotes_what_the_client_sent() {
    let mut world = World::new(&topology());
    let connection = Connection::syn(&mut world, 41234);
    for (quoted, seen) in [(1000 - LEN, 1000), (1001 - LEN, 1001), (1001, 1001)] {
        let target = tcp(connection.gateway, (EC2, 80)).segment(SYN, quoted, 0);
        for len in [28, 40] {
            let mut error = Vec::new();
            let kind = etherparse::Icmpv4Type::DestinationUnreachable(
                etherparse::icmpv4::DestUnreachableHeader::Host,
            );
            etherparse::PacketBuilder::ipv4(EC2, connection.gateway.0, 64)
                .icmpv4(kind)
                .write(&mut error, &target.build().bytes[..len])
                .unwrap();
            let packet = SimPacket {
                vnet: Default::default(),
                bytes: error,
            };
            let outcome = world.send_packet(B, packet);
            assert_eq!(outcome.verdict, Verdict::Forward(A));
            assert!(outcome.packet.checksums_are_right());
            let quote = &outcome.packet.bytes[28..];
            assert_eq!(quote[24..28], u32::to_be_bytes(seen));
            let expected = connection.outbound(SYN, seen, 0).build();
            if len == 40 {
                assert_eq!(
                    quote[36..38],
                    expected.bytes[36..38],
                    "its checksum is right"
                );
            }
        }
    }
}

#[test]
fn once_acknowledged_and_settled_nothing_is_translated() {
    let mut world = World::new(&topology());
    let connection = introduced(&mut world, 41234);
    let old = connection.inbound(ACK, 5001, 1001 - LEN);
    world.deliver(B, &connection.inbound(ACK, 5001, 1001), A);
    assert_eq!(segment(&world.deliver(B, &old, A)).ack, 1001, "a late one");
    assert_eq!(world.advance(SETTLED), []);
    assert_eq!(segment(&world.deliver(B, &old, A)).ack, 1001 - LEN);

    // A header that has been sent twice leaves traces for longer.
    let connection = introduced(&mut world, 41235);
    let old = connection.inbound(ACK, 5001, 1001 - LEN);
    assert_header(&world.send(B, &old).replies, &connection);
    world.deliver(B, &connection.inbound(ACK, 5001, 1001), A);
    world.advance(SETTLED);
    assert_eq!(segment(&world.deliver(B, &old, A)).ack, 1001);
    world.advance(Duration::from_secs(1));
    assert_eq!(segment(&world.deliver(B, &old, A)).ack, 1001 - LEN);
}

#[test]
fn what_the_target_claims_to_have_got_too_early_does_not_count() {
    let mut world = World::new(&topology());
    // Before the header, and more than has been sent.
    let connection = half_open(&mut world, 41234);
    world.deliver(B, &connection.inbound(ACK, 5001, 1001), A);
    let outcome = world.send(A, &connection.outbound(ACK, 1001, 5001));
    assert_header(&outcome.replies, &connection);
    world.deliver(B, &connection.inbound(ACK, 5001, 9999), A);
    assert_header(&world.advance(SETTLED), &connection);
}

#[test]
fn a_syn_that_comes_again_is_the_same_to_the_target_and_another_one_is_another() {
    let mut world = World::new(&topology());
    let connection = Connection::syn(&mut world, 41234);
    for seq in [1000, 1000, 7000, u32::MAX, 50] {
        let arrived = world.deliver(A, &connection.outbound(SYN, seq, 0), B);
        assert_eq!(segment(&arrived).seq, seq.wrapping_sub(LEN));
    }
    let answer = connection.inbound(SYN | ACK, 5000, 51_u32.wrapping_sub(LEN));
    assert_eq!(segment(&world.deliver(B, &answer, A)).ack, 51);
    let outcome = world.send(A, &connection.outbound(ACK, 51, 5001));
    let [packet] = &said(&outcome.replies)[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(segment(packet).seq, 51_u32.wrapping_sub(LEN));
}

#[test]
fn a_connection_with_a_header_closes_and_rests_like_any_other() {
    let mut topology = topology();
    topology
        .interface(Topology::GATEWAY_C)
        .addresses
        .truncate(1);
    let mut world = World::new(&topology);
    let connection = introduced(&mut world, 41234);
    world.deliver(B, &connection.inbound(ACK, 5001, 1001), A);
    connection.close(&mut world);
    assert_eq!(world.flows()[0].state.name(), "closing");
    let ports = |world: &World| world.flows().len();
    assert_eq!(ports(&world), 1);
    assert_eq!(world.advance(Duration::from_secs(240 + 5)), []);
    assert_eq!(ports(&world), 0);
    assert_eq!(world.new_drops(), drops([]));
}

#[test]
fn an_endpoint_that_is_gone_lets_no_connection_begin_without_its_header() {
    let mut world = World::new(&topology());
    let connection = half_open(&mut world, 41234);
    let mut without = topology();
    without.config.enis.take(Topology::ENDPOINT_C);
    world.dataplane.apply(without.config);
    world.refuse(
        A,
        &connection.outbound(ACK, 1001, 5001),
        DropReason::InterfaceGone,
    );
}

#[test]
fn other_protocols_of_such_a_resource_have_no_header() {
    let mut topology = topology();
    topology.resource().protocols.udp = true;
    topology
        .group(Topology::ENDPOINT_GROUP)
        .ingress
        .push(privlink::sim::any_from("0.0.0.0/0"));
    topology
        .group(Topology::TARGET_GROUP)
        .ingress
        .push(privlink::sim::any_from("0.0.0.0/0"));
    let mut world = World::new(&topology);
    let question = udp((EC2, 41234), (ENDPOINT, 53)).payload(b"question");
    assert_eq!(payload(&world.deliver(A, &question, B)), b"question");
}

#[test]
fn ten_thousand_connections_at_once_have_a_header_each() {
    let mut world = World::new(&topology());
    let connections: Vec<_> = (0..10_000)
        .map(|number| half_open(&mut world, 20_000 + number))
        .collect();
    for connection in &connections {
        let outcome = world.send(A, &connection.outbound(ACK, 1001, 5001));
        assert_header(&outcome.replies, connection);
    }
    // Every other one arrives.
    for connection in connections.iter().step_by(2) {
        world.deliver(B, &connection.inbound(ACK, 5001, 1001), A);
    }
    let again = said(&world.advance(SETTLED));
    assert_eq!(again.len(), 5_000);
    let mut lost: Vec<_> = again
        .iter()
        .map(|packet| payload(packet).to_vec())
        .collect();
    let mut expected: Vec<_> = connections
        .iter()
        .skip(1)
        .step_by(2)
        .map(|connection| header(connection.client.1))
        .collect();
    lost.sort();
    expected.sort();
    assert_eq!(lost, expected);
}

#[test]
fn a_load_balancers_target_is_told_which_endpoint_its_client_came_through_if_any() {
    let mut topology = Topology::w2(2);
    topology.target_group().proxy_protocol = true;
    let mut world = World::new(&topology);
    let neighbour = Topology::NEIGHBOUR_ADDRESS;
    let node = Topology::NODE_C_ADDRESS;
    for (from, client, server, endpoint) in [
        (A, (EC2, 41234), ENDPOINT, Some(Topology::ENDPOINT_ID)),
        (Topology::EC2_B2, (neighbour, 41234), node, None),
    ] {
        let syn = tcp(client, (server, 80));
        let outcome = world.send(from, &syn);
        let Verdict::Forward(target) = outcome.verdict else {
            panic!("{outcome:?}\n{}", world.describe())
        };
        let arrived = outcome.packet.tuple();
        assert_eq!(arrived.dst_port, Topology::TARGET_PORT);
        let (gateway, own) = (super::source(&arrived), super::source(&arrived.reversed()));
        let answer = tcp(own, gateway).segment(SYN | ACK, 5000, 1001 - LEN);
        world.deliver(target, &answer, from);
        let outcome = world.send(from, &syn.clone().segment(ACK, 1001, 5001));
        let [Transmit { to, bytes }] = &outcome.replies[..] else {
            panic!("{outcome:?}")
        };
        assert_eq!(*to, target);
        let expected = proxy::Header::proxy(&syn.build().tuple(), endpoint);
        assert_eq!(bytes[40..], *expected.as_bytes());
        assert_eq!(expected.as_bytes().len() as u32, LEN);
    }
}
