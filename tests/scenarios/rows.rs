//! Packet rows: description, packet in, verdict, packet out. Readable without knowing the rest.

use privlink::dataplane::{DropReason, Verdict};
use privlink::net::VnetHeader;
use privlink::sim::{SimPacket, Topology, World, tcp, udp};

use super::{A, ACK, B, Connection, EC2, ENDPOINT};

struct Row {
    description: &'static str,
    packet: SimPacket,
    verdict: Verdict,
    /// Protocol, source and destination as they leave; `None` for a drop.
    out: Option<&'static str>,
}

const fn dropped(reason: DropReason) -> Verdict {
    Verdict::Drop(reason)
}

/// A data segment of 3,000 bytes on a live connection, with its vnet header changed.
fn forged(change: impl FnOnce(&mut VnetHeader)) -> SimPacket {
    let mut packet = tcp((EC2, 41234), (ENDPOINT, 80))
        .segment(ACK, 1001, 5001)
        .payload(&[0; 3000])
        .gso(1448)
        .build();
    change(&mut packet.vnet);
    packet
}

/// The same without offloads, with its bytes changed.
fn malformed(change: impl FnOnce(&mut Vec<u8>)) -> SimPacket {
    let mut packet = tcp((EC2, 41234), (ENDPOINT, 80))
        .segment(ACK, 1001, 5001)
        .payload(b"hello")
        .build();
    change(&mut packet.bytes);
    packet
}

/// The same as a fragment with these flags and offset, its header's checksum right.
fn fragment(place: u16, change: impl FnOnce(&mut Vec<u8>)) -> SimPacket {
    malformed(|bytes| {
        bytes[6..8].copy_from_slice(&place.to_be_bytes());
        change(bytes);
        let len = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        bytes[10..12].fill(0);
        let sum = !privlink::net::checksum::sum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    })
}

fn udp_forged(gso_size: u16, change: impl FnOnce(&mut VnetHeader)) -> SimPacket {
    let mut packet = udp((EC2, 41234), (ENDPOINT, 80))
        .payload(&[0; 3000])
        .gso(gso_size)
        .build();
    change(&mut packet.vnet);
    packet
}

fn row(description: &'static str, packet: SimPacket, verdict: Verdict) -> Row {
    let out =
        matches!(verdict, Verdict::Forward(_)).then_some("tcp 172.18.1.GATEWAY -> 172.18.0.108:80");
    Row {
        description,
        packet,
        verdict,
        out,
    }
}

fn vnet_rows() -> Vec<Row> {
    use DropReason::*;
    vec![
        row(
            "a super-packet as Linux sends it",
            forged(|_| {}),
            Verdict::Forward(B),
        ),
        row(
            "DATA_VALID beside NEEDS_CSUM",
            forged(|v| v.flags = 3),
            Verdict::Forward(B),
        ),
        row(
            "hdr_len beyond the packet: corrected",
            forged(|v| v.hdr_len = 60_000),
            Verdict::Forward(B),
        ),
        row(
            "a flag that Linux does not define",
            forged(|v| v.flags = 0x41),
            dropped(VnetFlags),
        ),
        row(
            "a super-packet without NEEDS_CSUM",
            forged(|v| v.flags = 0),
            dropped(VnetFlags),
        ),
        row(
            "csum_offset 2: the destination port",
            forged(|v| v.csum_offset = 2),
            dropped(VnetChecksumOffset),
        ),
        row(
            "csum_offset of UDP on TCP",
            forged(|v| v.csum_offset = 6),
            dropped(VnetChecksumOffset),
        ),
        row(
            "csum_start in the IP header",
            forged(|v| v.csum_start = 12),
            dropped(VnetChecksumStart),
        ),
        row(
            "csum_start beyond the packet",
            forged(|v| v.csum_start = 65535),
            dropped(VnetChecksumStart),
        ),
        row(
            "gso_size 1: three thousand packets of one",
            forged(|v| v.gso_size = 1),
            dropped(VnetGsoSize),
        ),
        row(
            "gso_size 0",
            forged(|v| v.gso_size = 0),
            dropped(VnetGsoSize),
        ),
        row(
            "gso_size just below the floor",
            forged(|v| v.gso_size = 471),
            dropped(VnetGsoSize),
        ),
        row(
            "gso_size at the floor",
            forged(|v| v.gso_size = 472),
            Verdict::Forward(B),
        ),
        row(
            "gso_size beyond any MTU, payload small",
            forged(|v| v.gso_size = 65535),
            Verdict::Forward(B),
        ),
        row(
            "GSO type TCPv6 on IPv4",
            forged(|v| v.gso_type = 4),
            dropped(VnetGsoType),
        ),
        row(
            "GSO type UFO, obsolete",
            forged(|v| v.gso_type = 3),
            dropped(VnetGsoType),
        ),
        row(
            "GSO type of UDP on TCP",
            forged(|v| v.gso_type = 5),
            dropped(VnetGsoType),
        ),
        row(
            "ECN beside TCPv4",
            forged(|v| v.gso_type = 0x81),
            Verdict::Forward(B),
        ),
        row(
            "ECN without a super-packet",
            forged(|v| v.gso_type = 0x80),
            dropped(VnetGsoType),
        ),
        row(
            "GSO type of TCP on UDP",
            udp_forged(1448, |v| v.gso_type = 1),
            dropped(VnetGsoType),
        ),
        row(
            "more than 128 datagrams in one",
            udp_forged(23, |_| {}),
            dropped(VnetGsoSize),
        ),
        row(
            "csum_offset of TCP on UDP",
            udp_forged(1448, |v| v.csum_offset = 16),
            dropped(VnetChecksumOffset),
        ),
    ]
}

fn header_rows() -> Vec<Row> {
    use DropReason::*;
    vec![
        row("plain data", malformed(|_| {}), Verdict::Forward(B)),
        row(
            "nothing at all",
            malformed(|b| b.clear()),
            dropped(Truncated),
        ),
        row(
            "half an IPv4 header",
            malformed(|b| b.truncate(10)),
            dropped(Truncated),
        ),
        row(
            "shorter than its total length",
            malformed(|b| b.truncate(44)),
            dropped(Truncated),
        ),
        row(
            "IP version 5",
            malformed(|b| b[0] = 0x55),
            dropped(BadIpHeader),
        ),
        row(
            "an IPv4 header of 16 bytes",
            malformed(|b| b[0] = 0x44),
            dropped(BadIpHeader),
        ),
        row(
            "total length below the header's",
            malformed(|b| b[2..4].copy_from_slice(&[0, 19])),
            dropped(BadIpHeader),
        ),
        row(
            "a time to live of zero",
            malformed(|b| b[8] = 0),
            dropped(BadIpHeader),
        ),
        row(
            "a byte behind the packet",
            malformed(|b| b.push(0)),
            dropped(BadIpHeader),
        ),
        row("IPv6", malformed(|b| b[0] = 0x60), dropped(Ipv6)),
        row(
            "a fragment whose header has another checksum",
            malformed(|b| b[6] = 0x20),
            dropped(BadIpHeader),
        ),
        row(
            "a first fragment of 25 bytes, no multiple of eight",
            fragment(0x2000, |_| {}),
            dropped(BadFragment),
        ),
        row(
            "a last fragment without a byte",
            fragment(3, |b| b.truncate(20)),
            dropped(BadFragment),
        ),
        row(
            "a fragment that ends beyond 65,535 bytes",
            fragment(0x1fff, |_| {}),
            dropped(BadFragment),
        ),
        row(
            "a first fragment that ends in its TCP header",
            fragment(0x2000, |b| b.truncate(36)),
            dropped(TinyFragment),
        ),
        row(
            "a first fragment that ends in its TCP options",
            fragment(0x2000, |b| {
                b[32] = 0x70;
                b.truncate(44);
            }),
            dropped(TinyFragment),
        ),
        row(
            "a later fragment that begins in the TCP header",
            fragment(2, |_| {}),
            dropped(TinyFragment),
        ),
        row(
            "a fragment longer than the MTU",
            fragment(0x2000, |b| b.resize(9004, 0)),
            dropped(PacketTooBig),
        ),
        row(
            "a fragment with its checksum left to us",
            SimPacket {
                vnet: VnetHeader {
                    flags: VnetHeader::NEEDS_CSUM,
                    csum_start: 20,
                    csum_offset: 16,
                    ..VnetHeader::default()
                },
                ..fragment(0x2000, |b| b.truncate(44))
            },
            dropped(VnetFlags),
        ),
        row(
            "a fragment to be cut into segments",
            SimPacket {
                vnet: VnetHeader {
                    gso_type: 1,
                    gso_size: 1448,
                    ..VnetHeader::default()
                },
                ..fragment(0x2000, |b| b.truncate(44))
            },
            dropped(VnetGsoType),
        ),
        row(
            "a TCP header of 16 bytes",
            malformed(|b| b[32] = 0x40),
            dropped(BadTransportHeader),
        ),
        row(
            "a TCP header longer than the packet",
            malformed(|b| b[32] = 0xf0),
            dropped(Truncated),
        ),
        row(
            "SYN and FIN",
            malformed(|b| b[33] = 0x03),
            dropped(BadTransportHeader),
        ),
        row(
            "SYN and RST",
            malformed(|b| b[33] = 0x06),
            dropped(BadTransportHeader),
        ),
        row(
            "no TCP flag",
            malformed(|b| b[33] = 0),
            dropped(BadTransportHeader),
        ),
        row("an ICMP redirect", icmp(5), dropped(IcmpType)),
        row("an ICMP timestamp request", icmp(13), dropped(IcmpType)),
        row(
            "UDP that claims less than it has",
            short_udp(),
            dropped(BadTransportHeader),
        ),
    ]
}

fn icmp(kind: u8) -> SimPacket {
    let mut packet = privlink::sim::echo_request(EC2, ENDPOINT, 1).build();
    packet.bytes[20] = kind;
    packet
}

fn short_udp() -> SimPacket {
    let mut packet = udp((EC2, 41234), (ENDPOINT, 80)).payload(b"hello").build();
    packet.bytes[25] = 9;
    packet
}

#[test]
fn rows() {
    for Row {
        description,
        packet,
        verdict,
        out,
    } in vnet_rows().into_iter().chain(header_rows())
    {
        let mut world = World::new(&Topology::w1());
        Connection::open(&mut world, 41234);
        let outcome = world.send_packet(A, packet);
        assert_eq!(outcome.verdict, verdict, "{description}");
        let Some(out) = out else {
            let Verdict::Drop(reason) = verdict else {
                panic!("{description}")
            };
            assert_eq!(
                world.new_drops(),
                [((A, reason), 1)].into(),
                "{description}: exactly one counter moves"
            );
            continue;
        };
        let tuple = outcome.packet.tuple();
        let gateway = tuple.src.to_string();
        assert!(gateway.starts_with("172.18.1."), "{description}: {tuple:?}");
        let seen = format!(
            "{} 172.18.1.GATEWAY -> {}:{}",
            tuple.protocol, tuple.dst, tuple.dst_port
        );
        assert_eq!(seen, out, "{description}");
        assert!(outcome.packet.checksums_are_right(), "{description}");
        assert_eq!(
            outcome.packet.vnet.flags & VnetHeader::DATA_VALID,
            0,
            "{description}"
        );
        assert!(
            usize::from(outcome.packet.vnet.hdr_len) <= outcome.packet.bytes.len(),
            "{description}"
        );
    }
}

#[test]
fn every_drop_reason_has_a_name_and_a_sentence() {
    for (number, reason) in DropReason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, number);
        assert!(
            !reason.name().is_empty() && reason.description().ends_with('.'),
            "{reason:?}"
        );
    }
}
