//! etherparse builds the packets and puts the fragments together again.
#![allow(clippy::indexing_slicing)]

use etherparse::Ipv4Header;
use proptest::prelude::*;

use super::*;
use crate::sim::{PacketBuilder, SimPacket, echo_reply, reassembled, tcp, udp};

const SERVER: ([u8; 4], u16) = ([172, 18, 1, 70], 53);
const CLIENT: ([u8; 4], u16) = ([172, 18, 0, 108], 41234);

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 % 251) as u8).collect()
}

/// The packets that this one becomes, identified from 65,535 on.
fn fragmented(packet: &SimPacket, mtu: u16) -> Vec<Vec<u8>> {
    let headers = packet.headers().unwrap();
    let mut packet = packet.clone();
    let mut view = packet.view();
    view.parse().unwrap();
    assert!(view.is_unharmed(&headers));
    let (mut next, mut given) = (u16::MAX, Vec::new());
    let identification = || {
        next = next.wrapping_add(1);
        next.wrapping_sub(1)
    };
    view.fragment(&headers, mtu, identification, |piece| given.push(piece))
        .unwrap();
    assert!(given.iter().all(|piece| piece.len() <= usize::from(mtu)));
    given
}

fn header(piece: &[u8]) -> Ipv4Header {
    Ipv4Header::from_slice(piece).unwrap().0
}

/// As Linux sends it: with an identification, and "don't fragment".
fn built(builder: &PacketBuilder) -> SimPacket {
    let packet = builder.build();
    assert!(header(&packet.bytes).dont_fragment);
    packet
}

#[test]
fn fragments_come_in_order_and_each_but_the_last_is_as_long_as_may_be() {
    let whole = built(&udp(SERVER, CLIENT).payload(&payload(4000)));
    let pieces = fragmented(&whole, 1300);
    let seen: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let header = header(piece);
            assert!(!header.dont_fragment);
            let offset = usize::from(header.fragment_offset.value()) * 8;
            (
                header.identification,
                offset,
                piece.len(),
                header.more_fragments,
            )
        })
        .collect();
    // 1,280 bytes, a multiple of eight, beside the header.
    let expected = [(0, true), (1280, true), (2560, true), (3840, false)].map(|(at, more)| {
        let len = match more {
            true => 1300,
            false => 20 + 4008 - 3840,
        };
        (u16::MAX, at, len, more)
    });
    assert_eq!(seen, expected);
}

#[test]
fn each_datagram_of_a_super_packet_is_fragmented_for_itself_and_what_fits_stays_whole() {
    let bytes = payload(2 * 2000 + 500);
    let whole = built(&udp(SERVER, CLIENT).payload(&bytes).gso(2000));
    let pieces = fragmented(&whole, 1300);
    assert_eq!(pieces.len(), 5);
    let identifications: Vec<_> = pieces.iter().map(|it| header(it).identification).collect();
    assert_eq!(identifications[..4], [65535, 65535, 0, 0]);
    let first = reassembled(&pieces[..2]);
    let second = reassembled(&pieces[2..4]);
    let last = SimPacket {
        vnet: VnetHeader::default(),
        bytes: pieces[4].clone(),
    };
    assert!(header(&last.bytes).dont_fragment);
    let mut got = Vec::new();
    for datagram in [first, second, last] {
        assert!(datagram.checksums_are_right(), "{datagram:?}");
        got.extend_from_slice(&datagram.bytes[28..]);
    }
    assert_eq!(got, bytes);
}

#[test]
fn a_datagram_without_a_checksum_gets_none() {
    let mut whole = built(&udp(SERVER, CLIENT).payload(&payload(3000)));
    whole.bytes[26..28].fill(0);
    let datagram = reassembled(&fragmented(&whole, 552));
    assert_eq!(datagram.bytes[26..28], [0, 0]);
    assert_eq!(datagram.bytes[28..], whole.bytes[28..]);
}

#[test]
fn a_wrong_checksum_is_noticed_wherever_it_stands() {
    let kinds = [
        udp(SERVER, CLIENT).payload(&payload(3000)),
        tcp(SERVER, CLIENT).payload(&payload(3000)),
        echo_reply(SERVER.0, CLIENT.0, 7).payload(&payload(3000)),
    ];
    for builder in kinds {
        let right = built(&builder);
        let headers = right.headers().unwrap();
        // The time to live, of which only the IP header's checksum knows, and the last byte.
        for at in [8, right.bytes.len() - 1] {
            let mut wrong = right.clone();
            wrong.bytes[at] ^= 1;
            assert!(!wrong.view().is_unharmed(&headers), "{wrong:?} at {at}");
        }
        assert!(right.clone().view().is_unharmed(&headers));
    }
    let mut unfinished = built(&udp(SERVER, CLIENT).payload(&payload(3000)).needs_csum());
    let headers = unfinished.headers().unwrap();
    assert!(unfinished.view().is_unharmed(&headers));
    unfinished.bytes[8] ^= 1;
    assert!(!unfinished.view().is_unharmed(&headers));
}

#[test]
fn a_syn_a_reset_and_urgent_data_cannot_be_cut_into_segments() {
    let builder = |flags| {
        tcp(SERVER, CLIENT)
            .segment(flags, 1, 1)
            .payload(&payload(3000))
    };
    let can = |builder: PacketBuilder| {
        let mut packet = builder.build();
        let headers = packet.headers().unwrap();
        packet.view().can_be_segmented(&headers)
    };
    const ACK: u8 = Segment::ACK;
    for (flags, expected) in [
        (ACK, true),
        (ACK | Segment::PSH, true),
        (ACK | Segment::FIN, true),
        (ACK | Segment::CWR, true),
        (ACK | Segment::SYN, false),
        (ACK | Segment::RST, false),
        (ACK | Segment::URG, false),
    ] {
        assert_eq!(can(builder(flags)), expected, "{flags:#x}");
        assert!(
            can(builder(flags).gso(1000)),
            "{flags:#x}: its sender has cut it"
        );
    }
    assert!(!can(udp(SERVER, CLIENT).payload(&payload(3000))));
}

#[test]
fn only_the_first_of_the_segments_carries_cwr() {
    let flags = Segment::ACK | Segment::CWR;
    let mut packet = built(
        &tcp(SERVER, CLIENT)
            .segment(flags, 1, 1)
            .payload(&payload(3000)),
    );
    let headers = packet.headers().unwrap();
    packet.view().segment_to_fit(&headers, 1300).unwrap();
    let expected = GsoType::TcpV4 as u8 | VnetHeader::GSO_ECN;
    assert_eq!(
        (packet.vnet.gso_type, { packet.vnet.gso_size }),
        (expected, 1260)
    );
    let mut scratch = vec![0; 2000];
    let mut cutter = Cutter::new(&packet.vnet, &packet.bytes, &mut scratch).unwrap();
    let mut seen = Vec::new();
    while let Some(piece) = cutter.next() {
        seen.push(piece[33]);
    }
    assert_eq!(seen, [flags, Segment::ACK, Segment::ACK]);
}

proptest! {
    #[test]
    fn fragments_put_together_are_the_datagram(
        kind in 0..4,
        len in 0usize..9000,
        mtu in 552u16..9000,
    ) {
        let bytes = payload(len);
        let builder = match kind {
            0 => udp(SERVER, CLIENT).payload(&bytes),
            1 => udp(SERVER, CLIENT).payload(&bytes).needs_csum(),
            2 => echo_reply(SERVER.0, CLIENT.0, 7).payload(&bytes),
            _ => tcp(SERVER, CLIENT).segment(Segment::ACK, 1, 1).payload(&bytes),
        };
        let whole = built(&builder);
        let pieces = fragmented(&whole, mtu);
        let datagram = match &pieces[..] {
            [only] => SimPacket { vnet: VnetHeader::default(), bytes: only.clone() },
            pieces => reassembled(pieces),
        };
        prop_assert!(datagram.checksums_are_right());
        prop_assert_eq!(datagram.tuple(), whole.tuple());
        prop_assert_eq!(&datagram.bytes[datagram.bytes.len() - len..], &bytes[..]);
    }

    #[test]
    fn segments_put_together_are_the_segment(
        len in 533usize..9000,
        mtu in 552u16..9000,
        offload in 0..3,
        flags in prop_oneof![Just(Segment::ACK), Just(Segment::ACK | Segment::PSH | Segment::FIN)],
    ) {
        let bytes = payload(len);
        let builder = tcp(SERVER, CLIENT).segment(flags, 7, 1).timestamp(9).payload(&bytes);
        let builder = match offload {
            0 => builder,
            1 => builder.needs_csum(),
            _ => builder.gso(8148),
        };
        let mut whole = built(&builder);
        let headers = { let mut view = whole.view(); view.parse().unwrap() };
        prop_assume!(headers.wire_len > usize::from(mtu));
        prop_assert!(whole.view().can_be_segmented(&headers));
        whole.view().segment_to_fit(&headers, mtu).unwrap();
        prop_assert!(whole.checksums_are_right(), "the pseudo-header's sum");
        // What comes is what a neighbour might have sent.
        prop_assert_eq!(whole.headers().unwrap().wire_len, usize::from(mtu).min(headers.len));
        let mut scratch = vec![0; 65_536];
        let mut cutter = Cutter::new(&whole.vnet, &whole.bytes, &mut scratch).unwrap();
        let (mut got, mut last) = (Vec::new(), 0);
        while let Some(piece) = cutter.next() {
            let piece = SimPacket { vnet: VnetHeader::default(), bytes: piece.to_vec() };
            prop_assert!(piece.checksums_are_right() && piece.bytes.len() <= usize::from(mtu));
            prop_assert!(header(&piece.bytes).dont_fragment);
            let Transport::Tcp(segment) = piece.headers().unwrap().transport else { panic!() };
            prop_assert_eq!(segment.seq as usize, 7 + got.len());
            got.extend_from_slice(&piece.bytes[piece.bytes.len() - segment.payload_len as usize..]);
            last = segment.flags;
            if got.len() < len {
                prop_assert_eq!(segment.flags, Segment::ACK);
            }
        }
        prop_assert_eq!(last, flags);
        prop_assert_eq!(got, bytes);
    }
}
