//! Addresses outside of the headers that NAT translates: IP options and ICMP extensions end at an endpoint.

use privlink::dataplane::config::Protocols;
use privlink::dataplane::{EniIdx, Verdict};
use privlink::sim::{
    PacketBuilder, SimPacket, Topology, World, any_from, echo_reply, echo_request, tcp, udp,
};

use super::{A, ACK, B, EC2, ENDPOINT, NEIGHBOUR, SYN, source, unreachable_quoting};

/// An address of the sender's own network, which its peer must not see.
const SECRET: [u8; 4] = [172, 18, 0, 77];
/// Record route, one of three slots filled (RFC 791).
const RECORD_ROUTE: [u8; 15] = [7, 15, 8, 172, 18, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0];
/// Timestamps with addresses, one of two slots filled.
const TIMESTAMP: [u8; 20] = [
    68, 20, 13, 1, 172, 18, 0, 77, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// An end of the list, with something behind it.
const BEHIND_THE_END: [u8; 8] = [1, 0, 172, 18, 0, 77, 9, 9];
/// Each of them, and what an endpoint makes of it.
const OPTIONS: [(&[u8], &[u8]); 3] = [
    (
        &RECORD_ROUTE,
        &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
    ),
    (&TIMESTAMP, &[1; 20]),
    (&BEHIND_THE_END, &[1, 0, 0, 0, 0, 0, 0, 0]),
];

/// W1 with every protocol offered and every port open.
fn resource() -> Topology {
    let mut topology = Topology::w1();
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress = vec![any_from("0.0.0.0/0")];
    }
    topology.resource().protocols = Protocols {
        tcp: true,
        udp: true,
        icmp: true,
    };
    topology
}

/// Sends a packet with options; what arrives has these in their place, and is otherwise as without options.
fn crosses(
    world: &mut World,
    (from, to): (EniIdx, EniIdx),
    packet: &PacketBuilder,
    (options, expected): (&[u8], &[u8]),
) -> SimPacket {
    let sent = packet.build().with_ip_options(options);
    let outcome = world.send_packet(from, sent.clone());
    assert_eq!(outcome.verdict, Verdict::Forward(to), "{sent:?}");
    let arrived = outcome.packet;
    assert!(arrived.checksums_are_right(), "{arrived:?}");
    let header_len = 20 + expected.len();
    assert_eq!(arrived.bytes[20..header_len], *expected, "{sent:?}");
    assert_eq!(arrived.bytes[0], sent.bytes[0]);
    assert_eq!(arrived.bytes.len(), sent.bytes.len());
    assert_eq!({ arrived.vnet.csum_start }, { sent.vnet.csum_start });
    assert!(!holds(&arrived.bytes, SECRET), "{arrived:?}");
    arrived
}

fn holds(bytes: &[u8], address: [u8; 4]) -> bool {
    bytes.windows(4).any(|window| window == address)
}

#[test]
fn no_ip_option_of_a_connection_crosses_an_endpoint() {
    for (topology, target) in [(resource(), B), (Topology::w2(2), Topology::target_eni(1))] {
        for option in OPTIONS {
            let mut world = World::new(&topology);
            let (there, back) = ((A, target), (target, A));
            let syn = tcp((EC2, 41234), (ENDPOINT, 80)).mss(9000);
            let arrived = crosses(&mut world, there, &syn, option).tuple();
            let answer = tcp(
                (arrived.dst.octets_v4().unwrap(), arrived.dst_port),
                source(&arrived),
            );
            let accept = answer.clone().segment(SYN | ACK, 5000, 1001);
            crosses(&mut world, back, &accept, option);
            let ack = tcp((EC2, 41234), (ENDPOINT, 80)).segment(ACK, 1001, 5001);
            crosses(&mut world, there, &ack, option);
            let data = ack.payload(&[7; 3000]).gso(1448);
            let arrived = crosses(&mut world, there, &data, option);
            assert_eq!(
                (arrived.vnet.gso_type, { arrived.vnet.gso_size }),
                (1, 1448)
            );
            let data = answer.segment(ACK, 5001, 4001).payload(&[7; 3000]);
            crosses(&mut world, back, &data.gso(1448), option);
        }
    }
}

#[test]
fn no_ip_option_of_a_datagram_or_an_echo_crosses_an_endpoint() {
    let mut world = World::new(&resource());
    for option in OPTIONS {
        let request = echo_request(EC2, ENDPOINT, 77).payload(b"ping");
        let (gateway, id) = source(&crosses(&mut world, (A, B), &request, option).tuple());
        let reply = echo_reply(EC2, gateway, id).payload(b"ping");
        crosses(&mut world, (B, A), &reply, option);
        let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(b"?");
        let gateway = source(&crosses(&mut world, (A, B), &question, option).tuple());
        let answer = udp((EC2, 53), gateway).payload(b"!");
        crosses(&mut world, (B, A), &answer, option);
    }
}

#[test]
fn inside_a_vpc_ip_options_stay_as_they_are() {
    let mut world = World::new(&Topology::w1());
    let (there, back) = ((A, Topology::EC2_A2), (Topology::EC2_A2, A));
    for (option, _) in OPTIONS {
        let sent = |packet: PacketBuilder| packet.build().with_ip_options(option);
        let pairs = [
            (there, echo_request(EC2, NEIGHBOUR, 5)),
            (back, echo_reply(NEIGHBOUR, EC2, 5)),
            (there, tcp((EC2, 1), (NEIGHBOUR, 22))),
            (
                back,
                tcp((NEIGHBOUR, 22), (EC2, 1)).segment(SYN | ACK, 1, 1001),
            ),
        ];
        for ((from, to), packet) in pairs {
            let outcome = world.send_packet(from, sent(packet.clone()));
            assert_eq!(outcome.verdict, Verdict::Forward(to));
            assert_eq!(outcome.packet.bytes, sent(packet).bytes);
        }
    }
}

/// UDP from the consumer to the target and back: what each side has received, and may send errors about.
fn both_received(world: &mut World, payload: &[u8]) -> [(EniIdx, EniIdx, SimPacket); 2] {
    let question = udp((EC2, 5353), (ENDPOINT, 53)).payload(payload);
    let question = world.deliver(A, &question, B);
    let answer = udp((EC2, 53), source(&question.tuple())).payload(payload);
    let answer = world.deliver(B, &answer, A);
    [(B, A, question), (A, B, answer)]
}

/// The error as it arrives: in place, or made anew because it has become shorter.
fn error_arrives(world: &mut World, from: EniIdx, to: EniIdx, error: SimPacket) -> SimPacket {
    let outcome = world.send_packet(from, error);
    let arrived = match (outcome.verdict, &outcome.replies[..]) {
        (Verdict::Forward(arrived_at), []) if arrived_at == to => outcome.packet,
        (Verdict::Answered, [reply]) if reply.to == to => SimPacket {
            vnet: Default::default(),
            bytes: reply.bytes.clone(),
        },
        (verdict, replies) => panic!("{verdict:?} {replies:?}"),
    };
    assert!(arrived.checksums_are_right(), "{arrived:?}");
    arrived
}

#[test]
fn no_ip_option_of_an_icmp_error_or_of_its_quote_crosses_an_endpoint() {
    for (option, expected) in OPTIONS {
        let mut world = World::new(&resource());
        for (from, to, received) in both_received(&mut world, b"12345678") {
            let tuple = received.tuple();
            let [src, dst] = [tuple.dst, tuple.src].map(|addr| addr.octets_v4().unwrap());
            let quoted = received.with_ip_options(option);
            let error = unreachable_quoting(src, dst, &quoted.bytes).with_ip_options(option);
            let arrived = error_arrives(&mut world, from, to, error);
            assert!(!holds(&arrived.bytes, SECRET), "{arrived:?}");
            let header_len = 20 + expected.len();
            assert_eq!(arrived.bytes[20..header_len], *expected);
            let quote = SimPacket {
                vnet: Default::default(),
                bytes: arrived.bytes[header_len + 8..].to_vec(),
            };
            assert_eq!(quote.bytes[20..header_len], *expected);
            assert!(quote.checksums_are_right(), "{quote:?}");
        }
    }
}

/// An extension structure of one object: interface information, with an address (RFC 4884, RFC 5837).
fn extension() -> Vec<u8> {
    let mut extension = vec![0x20, 0, 0, 0, 0, 12, 2, 0b0000_1000, 0, 1, 0, 0];
    extension.extend(SECRET);
    let sum = !privlink::net::checksum::sum(&extension);
    extension[2..4].copy_from_slice(&sum.to_be_bytes());
    extension
}

/// An error of this type that quotes so much of `quoted`, padded to `padded` bytes, with an extension behind it; `words` is what its length
/// field says.
fn extended(kind: u8, words: u8, padded: usize, quoted: &SimPacket) -> SimPacket {
    let tuple = quoted.tuple();
    let [src, dst] = [tuple.dst, tuple.src].map(|addr| addr.octets_v4().unwrap());
    let mut quote = quoted.bytes.clone();
    quote.resize(padded, 0);
    quote.extend(extension());
    let mut error = unreachable_quoting(src, dst, &quote);
    let icmp = &mut error.bytes[20..];
    icmp[0] = kind;
    icmp[5] = words;
    icmp[2..4].fill(0);
    let sum = !privlink::net::checksum::sum(icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    error
}

#[test]
fn the_extension_of_an_icmp_error_does_not_cross_an_endpoint() {
    // A datagram shorter than the 128 bytes that an extension begins behind, one as long, and a longer one; of an odd length each.
    for payload in [9, 101, 333] {
        let mut world = World::new(&resource());
        for (from, to, received) in both_received(&mut world, &vec![7; payload]) {
            for kind in [3, 11, 12] {
                // The length field; and none, as before RFC 4884 (its section 5.5).
                for words in [32, 0] {
                    let arrived =
                        error_arrives(&mut world, from, to, extended(kind, words, 128, &received));
                    assert!(!holds(&arrived.bytes, SECRET), "{arrived:?}");
                    let quoted = (28 + payload).min(128);
                    assert_eq!(arrived.bytes.len(), 28 + quoted);
                    assert_eq!(arrived.bytes[20], kind);
                    assert_eq!(arrived.bytes[25], 0, "the length field");
                    assert!(arrived.bytes.ends_with(&[7]), "{:?}", arrived.bytes);
                }
            }
        }
    }
}

#[test]
fn an_icmp_error_without_extension_keeps_its_length() {
    let mut world = World::new(&resource());
    for (from, to, received) in both_received(&mut world, &[7; 500]) {
        let tuple = received.tuple();
        let [src, dst] = [tuple.dst, tuple.src].map(|addr| addr.octets_v4().unwrap());
        for quoted in [28, 100, 200, 528] {
            let error = unreachable_quoting(src, dst, &received.bytes[..quoted]);
            let outcome = world.send_packet(from, error);
            assert_eq!(outcome.verdict, Verdict::Forward(to));
            assert_eq!(outcome.packet.bytes.len(), 28 + quoted);
        }
    }
}

#[test]
fn inside_a_vpc_the_extension_of_an_icmp_error_is_kept() {
    let mut world = World::new(&Topology::w1());
    let question = udp((EC2, 5353), (NEIGHBOUR, 53)).payload(&[7; 9]);
    let received = world.deliver(A, &question, Topology::EC2_A2);
    let error = extended(3, 32, 128, &received);
    let outcome = world.send_packet(Topology::EC2_A2, error.clone());
    assert_eq!(outcome.verdict, Verdict::Forward(A));
    assert_eq!(outcome.packet.bytes, error.bytes);
}
