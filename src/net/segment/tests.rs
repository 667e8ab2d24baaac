//! etherparse is the oracle: it builds the super-packets and judges every checksum of the pieces.
#![allow(clippy::indexing_slicing)]

use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

/// A super-packet as a TUN gives it: the checksum field holds the pseudo-header's sum.
struct Super {
    header: VnetHeader,
    packet: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    TcpV4,
    TcpV6,
    UdpV4,
    UdpV6,
}

const SEQUENCE: u32 = u32::MAX - 3000;

fn super_packet(kind: Kind, payload: &[u8], gso_size: u16, flags: u8) -> Super {
    let v4 = || PacketBuilder::ipv4([172, 18, 0, 108], [172, 18, 1, 70], 64);
    let v6 = || PacketBuilder::ipv6([0xfd; 16], [0x20; 16], 64);
    let mut packet = Vec::new();
    let options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    match kind {
        Kind::TcpV4 | Kind::TcpV6 => {
            let ip = if matches!(kind, Kind::TcpV4) {
                v4()
            } else {
                v6()
            };
            let tcp = ip.tcp(41234, 80, SEQUENCE, 512).ack(77);
            let tcp = tcp.options_raw(&options).unwrap();
            tcp.write(&mut packet, payload).unwrap();
        }
        Kind::UdpV4 => v4().udp(41234, 53).write(&mut packet, payload).unwrap(),
        Kind::UdpV6 => v6().udp(41234, 53).write(&mut packet, payload).unwrap(),
    }
    let (gso_type, start, field) = match kind {
        Kind::TcpV4 => (1, 20, TCP_CHECKSUM),
        Kind::TcpV6 => (4, 40, TCP_CHECKSUM),
        Kind::UdpV4 => (5, 20, UDP_CHECKSUM),
        Kind::UdpV6 => (5, 40, UDP_CHECKSUM),
    };
    if field == TCP_CHECKSUM {
        packet[start + TCP_FLAGS] |= flags;
    }
    // What the kernel leaves there: the folded sum of the pseudo-header, not complemented.
    let addresses = if start == 20 { 12..20 } else { 8..40 };
    let length = (packet.len() - start) as u64;
    let protocol = if field == TCP_CHECKSUM { TCP } else { UDP };
    let pseudo = fold(u64::from(sum(&packet[addresses])) + u64::from(protocol) + length);
    put16(&mut packet, start + field, pseudo).unwrap();
    let header = VnetHeader {
        flags: VnetHeader::NEEDS_CSUM,
        gso_type,
        hdr_len: 0,
        gso_size,
        csum_start: start as u16,
        csum_offset: field as u16,
    };
    Super { header, packet }
}

fn cut(whole: &Super) -> Vec<Vec<u8>> {
    let mut scratch = vec![0xaa; 70_000];
    let mut cutter = Cutter::new(&whole.header, &whole.packet, &mut scratch).unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = cutter.next() {
        pieces.push(piece.to_vec());
    }
    pieces
}

/// Panics unless the IPv4 header's and the transport's checksum are what etherparse computes; the payload.
fn verify(piece: &[u8]) -> Vec<u8> {
    let sliced = SlicedPacket::from_ip(piece).unwrap();
    let transport = sliced.transport.unwrap();
    match (sliced.net.unwrap(), &transport) {
        (NetSlice::Ipv4(ip), transport) => {
            let header = ip.header();
            assert_eq!(
                header.header_checksum(),
                header.to_header().calc_header_checksum()
            );
            assert_eq!(usize::from(header.total_len()), piece.len());
            let expected = match transport {
                TransportSlice::Tcp(tcp) => {
                    tcp.calc_checksum_ipv4(header.source(), header.destination())
                }
                TransportSlice::Udp(udp) => udp.to_header().calc_checksum_ipv4_raw(
                    header.source(),
                    header.destination(),
                    udp.payload(),
                ),
                other => panic!("{other:?}"),
            };
            assert_eq!(checksum_of(transport), expected.unwrap());
        }
        (NetSlice::Ipv6(ip), transport) => {
            let header = ip.header();
            assert_eq!(usize::from(header.payload_length()), piece.len() - 40);
            let expected = match transport {
                TransportSlice::Tcp(tcp) => {
                    tcp.calc_checksum_ipv6(header.source(), header.destination())
                }
                TransportSlice::Udp(udp) => udp.to_header().calc_checksum_ipv6_raw(
                    header.source(),
                    header.destination(),
                    udp.payload(),
                ),
                other => panic!("{other:?}"),
            };
            assert_eq!(checksum_of(transport), expected.unwrap());
        }
        (other, _) => panic!("{other:?}"),
    }
    match transport {
        TransportSlice::Tcp(tcp) => tcp.payload().to_vec(),
        TransportSlice::Udp(udp) => {
            assert_eq!(usize::from(udp.length()), udp.payload().len() + 8);
            udp.payload().to_vec()
        }
        other => panic!("{other:?}"),
    }
}

fn checksum_of(transport: &TransportSlice) -> u16 {
    match transport {
        // For TCP 0 and 0xffff are the same sum; the oracle writes 0.
        TransportSlice::Tcp(tcp) if tcp.checksum() == u16::MAX => 0,
        TransportSlice::Tcp(tcp) => tcp.checksum(),
        TransportSlice::Udp(udp) => udp.checksum(),
        other => panic!("{other:?}"),
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::TcpV4),
        Just(Kind::TcpV6),
        Just(Kind::UdpV4),
        Just(Kind::UdpV6)
    ]
}

proptest! {
    #[test]
    fn the_pieces_are_the_whole_and_every_checksum_is_right(
        kind in kinds(),
        payload in prop::collection::vec(any::<u8>(), 0..6000),
        gso_size in 1u16..3000,
    ) {
        let whole = super_packet(kind, &payload, gso_size.max(payload.len() as u16 / 16 + 1), 0);
        let pieces = cut(&whole);
        let size = usize::from(whole.header.gso_size);
        prop_assert_eq!(pieces.len(), payload.len().div_ceil(size).max(1));
        let mut joined = Vec::new();
        for piece in &pieces {
            joined.extend(verify(piece));
        }
        prop_assert_eq!(joined, payload);
    }

    #[test]
    fn a_missing_checksum_is_completed(kind in kinds(), payload in prop::collection::vec(any::<u8>(), 0..3000)) {
        let mut one = super_packet(kind, &payload, 0, 0);
        complete(&one.header, &mut one.packet).unwrap();
        prop_assert_eq!(verify(&one.packet), payload);
    }

    #[test]
    fn hostile_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        first in prop_oneof![Just(0x45u8), Just(0x4f), Just(0x60), any::<u8>()],
        protocol in prop_oneof![Just(TCP), Just(UDP), any::<u8>()],
        fields in any::<[u16; 4]>(),
        gso_type in 0u8..8,
    ) {
        let mut packet = bytes;
        if let Some(byte) = packet.first_mut() { *byte = first; }
        if let Some(byte) = packet.get_mut(9) { *byte = protocol; }
        let [hdr_len, gso_size, csum_start, csum_offset] = fields;
        let header = VnetHeader { flags: VnetHeader::NEEDS_CSUM, gso_type, hdr_len, gso_size, csum_start, csum_offset };
        let mut scratch = vec![0; 4096];
        if let Ok(mut cutter) = Cutter::new(&header, &packet, &mut scratch) {
            while cutter.next().is_some() {}
        }
        let _ = complete(&header, &mut packet);
    }
}

#[test]
fn ids_and_sequence_numbers_count_up_and_flags_stand_where_they_belong() {
    let whole = super_packet(Kind::TcpV4, &[7; 4000], 1448, FIN | PSH | CWR);
    let pieces = cut(&whole);
    let id = take16(&whole.packet, 4).unwrap();
    let seen: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let sliced = SlicedPacket::from_ip(piece).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
                panic!("not TCP")
            };
            assert_eq!(
                sliced.net.unwrap().ip_payload_ref().unwrap().ip_number,
                IpNumber::TCP
            );
            let offset = tcp.sequence_number().wrapping_sub(SEQUENCE);
            let id = take16(piece, 4).unwrap().wrapping_sub(id);
            (id, offset, tcp.fin(), tcp.psh(), tcp.cwr(), tcp.ack())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0, 0, false, false, true, true),
            (1, 1448, false, false, false, true),
            (2, 2896, true, true, false, true),
        ]
    );
}

#[test]
fn an_ip_headers_checksum_that_is_wrong_is_wrong_in_each_piece() {
    let mut whole = super_packet(Kind::TcpV4, &[7; 4000], 1448, 0);
    assert!(
        cut(&whole)
            .iter()
            .all(|piece| sum(&piece[..20]) == u16::MAX)
    );
    whole.packet[11] ^= 1;
    let pieces = cut(&whole);
    assert_eq!(pieces.len(), 3);
    assert!(pieces.iter().all(|piece| sum(&piece[..20]) != u16::MAX));
}

#[test]
fn what_cannot_be_cut_says_why() {
    let whole = super_packet(Kind::TcpV4, &[1; 3000], 1448, 0);
    let mut scratch = [0; 2000];
    let error = |header: VnetHeader, packet: &[u8], scratch: &mut [u8]| {
        Cutter::new(&header, packet, scratch).err()
    };
    let header = whole.header;
    let packet = &whole.packet[..];
    let with_type = |gso_type| VnetHeader { gso_type, ..header };
    let ecn = with_type(1 | VnetHeader::GSO_ECN);
    assert_eq!(error(ecn, packet, &mut scratch), None);
    assert_eq!(
        error(with_type(4), packet, &mut scratch),
        Some(SegmentError::Mismatch)
    );
    assert_eq!(
        error(with_type(5), packet, &mut scratch),
        Some(SegmentError::Mismatch)
    );
    assert_eq!(
        error(with_type(0), packet, &mut scratch),
        Some(SegmentError::Mismatch)
    );
    let zero = VnetHeader {
        gso_size: 0,
        ..header
    };
    assert_eq!(
        error(zero, packet, &mut scratch),
        Some(SegmentError::SegmentSize)
    );
    assert_eq!(
        error(header, &packet[..30], &mut scratch),
        Some(SegmentError::Truncated)
    );
    let needed = 20 + 32 + 1448;
    assert_eq!(
        error(header, packet, &mut scratch[..needed - 1]),
        Some(SegmentError::Scratch { needed })
    );
    assert_eq!(error(header, packet, &mut scratch[..needed]), None);
}
