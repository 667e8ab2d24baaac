//! What goes in comes out: cutting a super-packet gives back the packets that it was made of.
#![allow(clippy::indexing_slicing)]

use etherparse::PacketBuilder;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::net::checksum::pseudo_header;
use crate::net::segment::{Cutter, complete};
use crate::net::{Addr, Packet};

const SOURCE: [u8; 4] = [172, 18, 0, 108];
const DESTINATION: [u8; 4] = [172, 18, 0, 70];

/// One packet of a stream.
#[derive(Clone, Debug)]
struct Piece {
    tcp: bool,
    port: u16,
    sequence: u32,
    acknowledgement: u32,
    push: bool,
    identification: u16,
    dont_fragment: bool,
    payload: Vec<u8>,
}

const TCP: Piece = Piece {
    tcp: true,
    port: 80,
    sequence: 1000,
    acknowledgement: 7,
    push: false,
    identification: 0,
    dont_fragment: true,
    payload: Vec::new(),
};
const UDP: Piece = Piece {
    tcp: false,
    port: 80,
    sequence: 0,
    acknowledgement: 0,
    push: false,
    identification: 0,
    dont_fragment: true,
    payload: Vec::new(),
};

impl Piece {
    fn of(self, len: usize) -> Self {
        let payload = vec![len as u8; len];
        Self { payload, ..self }
    }

    /// The next of the stream, with so much payload.
    fn then(&self, len: usize) -> Self {
        let sequence = self.sequence.wrapping_add(self.payload.len() as u32);
        Self {
            sequence,
            ..self.clone()
        }
        .of(len)
    }

    /// [vnet header][packet] as a TUN gives it, its checksum to be completed.
    fn bytes(&self) -> Vec<u8> {
        let mut ip =
            etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, SOURCE, DESTINATION)
                .unwrap();
        ip.identification = self.identification;
        ip.dont_fragment = self.dont_fragment;
        let builder = PacketBuilder::ip(etherparse::IpHeaders::Ipv4(ip, Default::default()));
        let mut packet = Vec::new();
        if self.tcp {
            let mut tcp = builder
                .tcp(40_000, self.port, self.sequence, 512)
                .ack(self.acknowledgement);
            if self.push {
                tcp = tcp.psh();
            }
            let options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
            tcp.options_raw(&options)
                .unwrap()
                .write(&mut packet, &self.payload)
                .unwrap();
        } else {
            builder
                .udp(40_000, self.port)
                .write(&mut packet, &self.payload)
                .unwrap();
        }
        let (protocol, csum_offset) = if self.tcp {
            (Protocol::TCP, 16)
        } else {
            (Protocol::UDP, 6)
        };
        let sum = pseudo_header(
            Addr::v4(SOURCE),
            Addr::v4(DESTINATION),
            protocol,
            packet.len() - IP,
        );
        put16(&mut packet, IP + csum_offset, sum).unwrap();
        let vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            hdr_len: (packet.len() - self.payload.len()) as u16,
            csum_start: IP as u16,
            csum_offset: csum_offset as u16,
            ..VnetHeader::default()
        };
        [vnet.as_bytes(), &packet].concat()
    }

    /// As the target is to see it: finished.
    fn finished(&self) -> Vec<u8> {
        let bytes = self.bytes();
        let (vnet, packet) = VnetHeader::ref_from_prefix(&bytes).unwrap();
        let mut packet = packet.to_vec();
        complete(vnet, &mut packet).unwrap();
        packet
    }
}

/// Passes packets through as the shell does; what comes out, with the number of packets in each.
fn pass(pieces: &[Piece]) -> Vec<(Vec<u8>, usize)> {
    let mut out = Vec::new();
    let mut buffer = Vec::new();
    let mut open: Option<Coalesced> = None;
    let mut close = |open: Option<Coalesced>, buffer: &mut Vec<u8>| {
        let packets = open.map_or(1, |open| open.finish(buffer));
        out.extend((!buffer.is_empty()).then(|| (buffer.clone(), packets)));
    };
    for piece in pieces {
        let bytes = piece.bytes();
        let next = buffer.len()..buffer.len() + bytes.len();
        buffer.extend(&bytes);
        let appended = open
            .as_mut()
            .and_then(|open| open.append(&mut buffer, next.clone()));
        buffer.truncate(appended.unwrap_or(next.start));
        if appended.is_none() {
            close(open.take(), &mut buffer);
            open = Coalesced::of(&bytes);
            buffer = bytes;
        }
    }
    close(open, &mut buffer);
    out
}

/// How many packets each write would carry.
fn groups(pieces: &[Piece]) -> Vec<usize> {
    pass(pieces)
        .into_iter()
        .map(|(_, packets)| packets)
        .collect()
}

/// All packets that the target's kernel will see.
fn cut(out: &[(Vec<u8>, usize)]) -> Vec<Vec<u8>> {
    let mut scratch = vec![0; 70_000];
    let mut seen = Vec::new();
    for (bytes, packets) in out {
        let mut bytes = bytes.clone();
        let (vnet, packet) = VnetHeader::mut_from_prefix(&mut bytes).unwrap();
        // It is a packet that this very data plane would take.
        Packet::new(&mut vnet.clone(), packet).parse().unwrap();
        if *packets == 1 {
            complete(vnet, packet).unwrap();
            seen.push(packet.to_vec());
            continue;
        }
        let mut cutter = Cutter::new(vnet, packet, &mut scratch).unwrap();
        while let Some(piece) = cutter.next() {
            seen.push(piece.to_vec());
        }
    }
    seen
}

fn stream(first: &Piece, lens: impl IntoIterator<Item = usize>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for len in lens {
        let piece = match pieces.last() {
            Some(last) => last.then(len),
            None => first.clone().of(len),
        };
        pieces.push(piece);
    }
    pieces
}

proptest! {
    #[test]
    fn cutting_gives_back_what_went_in(
        tcp in any::<bool>(),
        steps in prop::collection::vec((0usize..4, 0u8..24), 1..150),
    ) {
        // Mostly one size, so that there is something to coalesce; sometimes something happens to the stream.
        let first = Piece { dont_fragment: false, identification: 65_500, ..if tcp { TCP } else { UDP } };
        let mut pieces: Vec<Piece> = Vec::new();
        for (len, event) in steps {
            let len = [1448, 1448, 64, 0][len];
            let mut piece = pieces.last().map_or_else(|| first.clone().of(len), |last| last.then(len));
            piece.identification = piece.identification.wrapping_add(1);
            match event {
                0 => piece.port ^= 1,
                1 => piece.sequence = piece.sequence.wrapping_add(1),
                2 => piece.acknowledgement += 1,
                3 => piece.identification = piece.identification.wrapping_add(9),
                _ => {}
            }
            piece.push = event == 4;
            pieces.push(piece);
        }
        let finished: Vec<_> = pieces.iter().map(Piece::finished).collect();
        prop_assert_eq!(cut(&pass(&pieces)), finished);
    }

    #[test]
    fn hostile_bytes_never_panic(
        held in any::<bool>(),
        protocol in prop_oneof![Just(6u8), Just(17), any::<u8>()],
        flags in 0u8..3,
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = bytes;
        for (at, value) in [(0, flags), (1, 0), (10, 0x45), (19, protocol)] {
            if let Some(byte) = bytes.get_mut(at) { *byte = value; }
        }
        let first = if held { TCP.of(1448).bytes() } else { bytes.clone() };
        let next = first.len()..first.len() + bytes.len();
        let mut buffer = [first, bytes].concat();
        if let Some(mut coalesced) = Coalesced::of(&buffer[..next.start]) {
            coalesced.append(&mut buffer, next);
            coalesced.finish(&mut buffer);
        }
    }
}

#[test]
fn datagrams_of_one_size_become_one_super_packet() {
    assert_eq!(groups(&stream(&UDP, [64; 60])), [60]);
    assert_eq!(groups(&stream(&UDP, [64, 64, 10, 64, 64])), [3, 2]);
    assert_eq!(groups(&stream(&UDP, [10, 64])), [1, 1]);
    assert_eq!(groups(&stream(&UDP, [0, 0])), [1, 1]);
    assert_eq!(groups(&stream(&UDP, [1; 200])), [128, 72]);
    assert_eq!(groups(&stream(&UDP, [8000; 10])), [8, 2]);
}

#[test]
fn segments_of_one_size_become_one_super_packet_up_to_a_push() {
    assert_eq!(groups(&stream(&TCP, [1448; 10])), [10]);
    assert_eq!(groups(&stream(&TCP, [1448; 60])), [45, 15]);
    let mut pieces = stream(&TCP, [1448; 4]);
    pieces[1].push = true;
    assert_eq!(groups(&pieces), [2, 2]);
    pieces[2].push = true;
    assert_eq!(groups(&pieces), [2, 1, 1]);
    // A super-packet of smaller segments would be refused when it is sent on.
    assert_eq!(groups(&stream(&TCP, [100; 4])), [1, 1, 1, 1]);
}

#[test]
fn what_does_not_continue_the_stream_is_not_appended() {
    let apart = |change: fn(&mut Piece)| {
        let mut pieces = stream(&TCP, [1448; 2]);
        change(&mut pieces[1]);
        groups(&pieces) == [1, 1]
    };
    assert!(!apart(|_| {}));
    assert!(apart(|piece| piece.sequence += 1));
    assert!(apart(|piece| piece.acknowledgement += 1));
    assert!(apart(|piece| piece.port += 1));
    assert!(apart(|piece| piece.dont_fragment = false));
    assert!(apart(|piece| piece.tcp = false));
}

#[test]
fn a_packet_whose_ip_header_has_a_wrong_checksum_is_not_appended() {
    let [first, second] = &stream(&TCP, [1448; 2])[..] else {
        unreachable!()
    };
    let mut buffer = first.bytes();
    let mut next = second.bytes();
    let mut held = Coalesced::of(&buffer).unwrap();
    let range = buffer.len()..buffer.len() + next.len();
    next[VnetHeader::LEN + 11] ^= 1;
    buffer.extend(&next);
    assert_eq!(held.append(&mut buffer, range.clone()), None);
    buffer[range.start + VnetHeader::LEN + 11] ^= 1;
    assert!(held.append(&mut buffer, range).is_some());
}

#[test]
fn only_a_packet_without_a_finished_checksum_is_taken() {
    let mut bytes = UDP.of(64).bytes();
    bytes[0] = 0;
    assert!(Coalesced::of(&bytes).is_none());
}
