//! Checksums are verified or adjusted, and never made right (RFC 5508, REQ-3; RFC 1624).

use privlink::dataplane::{DropReason, Verdict};
use privlink::sim::{SimPacket, Topology, World, echo_request, tcp, udp};

use super::{
    A, ACK, B, Connection, EC2, ENDPOINT, NEIGHBOUR, SYN, drops, port_unreachable, source,
};

const A2: privlink::dataplane::EniIdx = Topology::EC2_A2;
/// Where an ICMP error's own checksum stands, and that of the IP header that it quotes.
const OF_ERROR: usize = 20 + 2;
const OF_QUOTE: usize = 28 + 10;

/// One bit of the checksum at `at` is wrong; that of the whole message is right, unless it is the wrong one.
fn with_wrong(mut packet: SimPacket, at: usize) -> SimPacket {
    packet.bytes[at] ^= 1;
    if at != OF_ERROR {
        packet.bytes[OF_ERROR..OF_ERROR + 2].fill(0);
        let sum = !privlink::net::checksum::sum(&packet.bytes[20..]);
        packet.bytes[OF_ERROR..OF_ERROR + 2].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

#[test]
fn an_icmp_error_with_a_wrong_checksum_crosses_no_endpoint_in_either_direction() {
    let mut world = World::new(&Topology::w1());
    let connection = Connection::open(&mut world, 41234);
    let to_target = connection.outbound(ACK, 1001, 5001);
    let arrived = world.deliver(A, &to_target, B);
    let to_client = connection.inbound(ACK, 5001, 1001);
    let returned = world.deliver(B, &to_client, A);
    let rows = [
        (
            B,
            A,
            port_unreachable(EC2, connection.gateway.0, &arrived.bytes),
        ),
        (A, B, port_unreachable(EC2, ENDPOINT, &returned.bytes)),
    ];
    for (from, to, error) in rows {
        for wrong in [OF_ERROR, OF_QUOTE] {
            world.new_drops();
            let outcome = world.send_packet(from, with_wrong(error.clone(), wrong));
            let refused = DropReason::BadTransportHeader;
            assert_eq!(outcome.verdict, Verdict::Drop(refused), "{from:?} {wrong}");
            assert_eq!(world.new_drops(), drops([(from, refused)]));
        }
        let outcome = world.send_packet(from, error);
        assert_eq!(outcome.verdict, Verdict::Forward(to));
        assert!(outcome.packet.checksums_are_right());
    }
}

#[test]
fn inside_a_vpc_an_icmp_error_with_a_wrong_checksum_is_dropped_as_well() {
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).ingress = vec![privlink::sim::any_from("0.0.0.0/0")];
    topology.interface(A2).groups = vec![Topology::CONSUMER_GROUP];
    let mut world = World::new(&topology);
    let arrived = world.deliver(A, &udp((EC2, 9), (NEIGHBOUR, 53)), A2);
    let error = port_unreachable(NEIGHBOUR, EC2, &arrived.bytes);
    for wrong in [OF_ERROR, OF_QUOTE] {
        let outcome = world.send_packet(A2, with_wrong(error.clone(), wrong));
        let refused = Verdict::Drop(DropReason::BadTransportHeader);
        assert_eq!(outcome.verdict, refused, "{wrong}");
    }
    assert_eq!(world.send_packet(A2, error).verdict, Verdict::Forward(A));
}

/// A router that records its route changes a header's options, and may leave the header's checksum as it was (Linux).
#[test]
fn a_quoted_header_with_options_is_not_verified() {
    let mut topology = Topology::w1();
    topology.group(Topology::CONSUMER_GROUP).ingress = vec![privlink::sim::any_from("0.0.0.0/0")];
    topology.interface(A2).groups = vec![Topology::CONSUMER_GROUP];
    let mut world = World::new(&topology);
    let sent = udp((EC2, 9), (NEIGHBOUR, 53)).build();
    let mut arrived = sent.with_ip_options(&[7, 7, 4, 0, 0, 0, 0]);
    world.send_packet(A, arrived.clone());
    arrived.bytes[23..27].copy_from_slice(&NEIGHBOUR);
    let quoted = arrived.bytes.clone();
    let mut error = port_unreachable(NEIGHBOUR, EC2, &quoted);
    let quote = &quoted[28..36];
    error.bytes.extend_from_slice(quote);
    let len = error.bytes.len() as u16;
    error.bytes[2..4].copy_from_slice(&len.to_be_bytes());
    error.bytes[10..12].fill(0);
    let sum = !privlink::net::checksum::sum(&error.bytes[..20]);
    error.bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    error.bytes[OF_ERROR..OF_ERROR + 2].fill(0);
    let sum = !privlink::net::checksum::sum(&error.bytes[20..]);
    error.bytes[OF_ERROR..OF_ERROR + 2].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(world.send_packet(A2, error).verdict, Verdict::Forward(A));
}

#[test]
fn an_echo_with_a_wrong_checksum_to_an_endpoint_itself_is_counted() {
    let mut topology = Topology::w1();
    topology.group(Topology::ENDPOINT_GROUP).ingress = vec![privlink::sim::any_from("0.0.0.0/0")];
    let mut world = World::new(&topology);
    let mut echo = echo_request(EC2, ENDPOINT, 7).payload(b"payload").build();
    assert_eq!(world.send_packet(A, echo.clone()).replies.len(), 1);
    world.new_drops();
    *echo.bytes.last_mut().unwrap() ^= 1;
    let outcome = world.send_packet(A, echo);
    let refused = DropReason::BadTransportHeader;
    assert_eq!(outcome.verdict, Verdict::Drop(refused));
    assert_eq!(outcome.replies, []);
    let counted = drops([(Topology::ENDPOINT_C, refused)]);
    assert_eq!(world.new_drops(), counted);
}

/// The PROXY header's segment stands for the client's acknowledgement, and would have a right checksum.
#[test]
fn a_segment_with_a_wrong_checksum_brings_no_proxy_header() {
    let mut topology = Topology::w1();
    topology.resource().proxy_protocol = true;
    let mut world = World::new(&topology);
    let (client, server) = ((EC2, 41234), (ENDPOINT, 80));
    let data_in_syn = tcp(client, server).payload(&[1; 100]).build();
    let mut wrong = data_in_syn.clone();
    *wrong.bytes.last_mut().unwrap() ^= 1;
    let refused = Verdict::Drop(DropReason::BadTransportHeader);
    assert_eq!(world.send_packet(A, wrong).verdict, refused);
    let outcome = world.send(A, &tcp(client, server));
    let gateway = source(&outcome.packet.tuple());
    let expected = u32::from_be_bytes(outcome.packet.bytes[24..28].try_into().unwrap()) + 1;
    let answer = tcp((EC2, 80), gateway).segment(SYN | ACK, 5000, expected);
    world.deliver(B, &answer, A);
    let third = tcp(client, server).segment(ACK, 1001, 5001).build();
    let mut wrong = third.clone();
    wrong.bytes[36] ^= 1;
    let outcome = world.send_packet(A, wrong);
    assert_eq!((outcome.verdict, outcome.replies), (refused, vec![]));
    assert_eq!(world.send_packet(A, third).replies.len(), 1, "the header");
}
