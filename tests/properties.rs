//! What holds for every packet, with etherparse as the oracle; and for every message to a resolver, with hickory's reader.

use std::sync::LazyLock;
use std::time::Duration;

use hickory_proto::op::{self, Edns, Message, MessageType, OpCode};
use hickory_proto::rr::{Name, RecordType};
use privlink::dataplane::{DropReason, EniIdx, Reason, Verdict};
use privlink::net::{Addr, FiveTuple, VnetHeader, rewrite};
use privlink::sim::{
    Names, PacketBuilder, SimPacket, Topology, World, any_from, echo_reply, echo_request, tcp, udp,
};
use proptest::prelude::*;
use proptest::sample::Index;

static NAMES: LazyLock<Names> = LazyLock::new(Names::everything);

fn endpoint() -> impl Strategy<Value = ([u8; 4], u16)> {
    (any::<[u8; 4]>(), any::<u16>())
}

/// Any packet that Linux might send: the three protocols, any payload, each kind of offload.
fn packet() -> impl Strategy<Value = PacketBuilder> {
    let payload = proptest::collection::vec(any::<u8>(), 0..2000);
    let segment = (
        any::<u32>(),
        any::<u32>(),
        prop_oneof![Just(0x10u8), Just(0x02), Just(0x12), Just(0x18), Just(0x11)],
    );
    (0..8, endpoint(), endpoint(), payload, segment).prop_map(
        |(kind, src, dst, payload, (seq, ack, flags))| {
            let tcp = || tcp(src, dst).segment(flags, seq, ack).payload(&payload);
            let udp = || udp(src, dst).payload(&payload);
            match kind {
                0 => tcp(),
                1 => tcp().needs_csum(),
                2 => tcp().gso(700),
                3 => udp(),
                4 => udp().needs_csum(),
                5 => udp().gso(700),
                6 => echo_request(src.0, dst.0, src.1).payload(&payload),
                _ => echo_reply(src.0, dst.0, src.1).payload(&payload),
            }
        },
    )
}

/// `packet`, rewritten to other addresses and ports (an echo's zero port stays).
fn rewritten(packet: &SimPacket, src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> SimPacket {
    let mut packet = packet.clone();
    let headers = packet.headers().unwrap();
    let keep_zero = |old: u16, new: u16| {
        if old == 0 && headers.tuple.protocol.0 == 1 {
            0
        } else {
            new
        }
    };
    let to = FiveTuple {
        protocol: headers.tuple.protocol,
        src: Addr::v4(src.0),
        src_port: keep_zero(headers.tuple.src_port, src.1),
        dst: Addr::v4(dst.0),
        dst_port: keep_zero(headers.tuple.dst_port, dst.1),
    };
    rewrite(&mut packet.view(), &headers, &to);
    packet
}

/// Some name that the view has, the case mixed, with labels before it that it has or has not.
fn name() -> impl Strategy<Value = Name> {
    let above = proptest::sample::select(vec![
        "long.example.com.",
        "chain.example.com.",
        "WWW.example.com.",
        "web.Example.com.",
        "here.example.com.",
        "away.example.com.",
        "endpoint.example.com.",
        "nothing.example.com.",
        "outside.example.org.",
        "vpce-1.vpce.amazonaws.com.",
        "10.0.18.172.in-addr.arpa.",
        "localhost.",
        ".",
    ]);
    let label = proptest::sample::select(vec!["a", "*", "web", "below", "_tcp"]);
    let labels = proptest::collection::vec(label, 0..3);
    (0..4, labels, above).prop_map(|(kind, labels, above)| {
        let above = Name::from_ascii(above).unwrap();
        match kind {
            0 => Name::from_labels(labels)
                .unwrap()
                .append_domain(&above)
                .unwrap(),
            _ => above,
        }
    })
}

/// A query such as clients send.
fn query() -> impl Strategy<Value = Vec<u8>> {
    let record_type = prop_oneof![
        Just(RecordType::A),
        Just(RecordType::TXT),
        Just(RecordType::ANY),
        any::<u16>().prop_map(RecordType::from),
    ];
    let edns = proptest::option::of((0u16..5000, any::<bool>()));
    (any::<u16>(), name(), record_type, edns).prop_map(|(id, name, record_type, edns)| {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.add_query(op::Query::query(name, record_type));
        if let Some((payload, dnssec_ok)) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    })
}

/// A packet to the endpoint of [`everything_open`], of any length that there is, and its fragments in any order, some of them
/// twice.
fn fragmented() -> impl Strategy<Value = (SimPacket, Vec<SimPacket>)> {
    let cuts = proptest::collection::vec(any::<Index>(), 1..20);
    let len = prop_oneof![24usize..200, 24usize..9_000, 24usize..65_480];
    (0..3, len, any::<u8>(), cuts)
        .prop_map(|(kind, len, first, cuts)| {
            let (client, server) = (
                (Topology::EC2_ADDRESS, 40_000),
                (Topology::ENDPOINT_C_ADDRESS, 80),
            );
            let packet = match kind {
                0 => udp(client, server),
                1 => echo_request(client.0, server.0, 5),
                _ => tcp(client, server),
            };
            let bytes = (0..len).map(|at| first.wrapping_add((at * 31 + at / 251) as u8));
            let packet = packet.payload(&bytes.collect::<Vec<_>>()).build();
            // Nowhere before the end of the longest of these transport headers, of 20 bytes.
            let len = packet.bytes.len() - 20;
            let mut cuts: Vec<_> = cuts
                .iter()
                .map(|cut| 24 + cut.index(len.div_ceil(8) - 3) * 8)
                .chain([0, len])
                .collect();
            cuts.sort_unstable();
            cuts.dedup();
            // As an MTU of 9001 wants it.
            let parts = cuts.windows(2).flat_map(|cut| {
                let (from, to) = (cut[0], cut[1].min(len));
                (from..to)
                    .step_by(8_976)
                    .map(move |at| at..to.min(at + 8_976))
            });
            let fragments: Vec<_> = parts.map(|part| packet.fragment(7, part)).collect();
            (packet, fragments)
        })
        .prop_flat_map(|(packet, fragments)| {
            let twice = proptest::collection::vec(any::<Index>(), 0..4);
            let twice = (Just(fragments), twice).prop_flat_map(|(mut fragments, twice)| {
                let again: Vec<_> = twice
                    .iter()
                    .map(|index| index.get(&fragments).clone())
                    .collect();
                fragments.extend(again);
                Just(fragments).prop_shuffle()
            });
            (Just(packet), twice)
        })
}

/// W1 with all protocols offered and every group open.
fn everything_open() -> World {
    let mut topology = Topology::w1();
    let protocols = &mut topology.resource().protocols;
    (protocols.udp, protocols.icmp) = (true, true);
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    World::new(&topology)
}

/// A fragment of one of a few datagrams, with any place and length.
fn fragment() -> impl Strategy<Value = SimPacket> {
    let protocol = prop_oneof![Just(1u8), Just(6), Just(17), Just(47)];
    let place = prop_oneof![1u16..8, 0x2000u16..0x2008, any::<u16>()];
    let place = place.prop_filter("a whole packet", |place| place & 0x3fff != 0);
    let payload = proptest::collection::vec(any::<u8>(), 0..64);
    (protocol, place, 0u8..2, payload).prop_map(|(protocol, place, id, payload)| {
        let len = (20 + payload.len() as u16).to_be_bytes();
        let place = place.to_be_bytes();
        let mut bytes = vec![
            0x45, 0, len[0], len[1], 0, id, place[0], place[1], 64, protocol, 0, 0,
        ];
        bytes.extend(Topology::EC2_ADDRESS);
        bytes.extend(Topology::ENDPOINT_C_ADDRESS);
        let sum = !privlink::net::checksum::sum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(payload);
        SimPacket {
            vnet: VnetHeader::default(),
            bytes,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_datagram_in_any_fragments_in_any_order_arrives_byte_by_byte((packet, fragments) in fragmented()) {
        let mut world = everything_open();
        let mut arrived = Vec::new();
        for fragment in &fragments {
            let outcome = world.send_packet(Topology::EC2_A, fragment.clone());
            let duplicate = Verdict::Drop(DropReason::DuplicateFragment);
            prop_assert!([Verdict::Answered, duplicate].contains(&outcome.verdict));
            arrived.extend(outcome.replies);
        }
        // The fragments that came twice may make it a second time.
        prop_assert!(!arrived.is_empty());
        for transmit in &arrived {
            prop_assert_eq!(transmit.to, Topology::EC2_B);
            let whole = SimPacket::of(transmit);
            prop_assert!(whole.checksums_are_right());
            let payload = |packet: &SimPacket| {
                let headers = packet.headers().unwrap();
                packet.bytes[headers.len - headers.payload_len..].to_vec()
            };
            prop_assert_eq!(payload(&whole), payload(&packet));
        }
    }

    #[test]
    fn no_fragments_make_the_pipeline_panic_or_keep_them_for_ever(
        fragments in proptest::collection::vec((fragment(), 0u64..1_000), 0..80),
    ) {
        let mut world = everything_open();
        for (fragment, millis) in fragments {
            let outcome = world.send_packet(Topology::EC2_A, fragment);
            prop_assert!(matches!(outcome.verdict, Verdict::Answered | Verdict::Drop(_)));
            world.advance(Duration::from_millis(millis));
        }
        world.advance(Duration::from_secs(5));
        let deadline = world.dataplane.poll_timeout(&world.workers[0]);
        prop_assert!(deadline.is_none_or(|deadline| deadline.reason != Reason::Fragments));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_incremental_checksum_equals_the_full_one(packet in packet(), src in endpoint(), dst in endpoint()) {
        let packet = packet.build();
        prop_assert!(packet.checksums_are_right());
        let after = rewritten(&packet, src, dst);
        prop_assert!(after.checksums_are_right(), "{packet:?} -> {after:?}");
    }

    #[test]
    fn a_rewrite_and_its_reverse_are_the_identity(packet in packet(), src in endpoint(), dst in endpoint()) {
        let mut packet = packet.build();
        packet.view().parse().unwrap();
        let old = packet.tuple();
        let there = rewritten(&packet, src, dst);
        let (old_src, old_dst) = (old.src.octets_v4().unwrap(), old.dst.octets_v4().unwrap());
        let back = rewritten(&there, (old_src, old.src_port), (old_dst, old.dst_port));
        prop_assert_eq!(back, packet);
    }

    #[test]
    fn the_parser_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), vnet in any::<[u8; 10]>()) {
        let vnet: VnetHeader = zerocopy::transmute!(vnet);
        let _ = SimPacket { vnet, bytes }.headers();
    }

    #[test]
    fn no_damage_to_a_packet_makes_the_pipeline_panic_or_leave_its_flow(
        packet in packet(),
        damage in proptest::collection::vec((0usize..80, any::<u8>()), 0..6),
        vnet in proptest::option::weighted(0.3, any::<[u8; 10]>()),
        cut in proptest::option::weighted(0.3, 0usize..120),
    ) {
        let mut world = World::new(&Topology::w1());
        let mut packet = packet.build();
        packet.bytes[12..16].copy_from_slice(&Topology::EC2_ADDRESS);
        packet.bytes[16..20].copy_from_slice(&Topology::ENDPOINT_C_ADDRESS);
        for (at, value) in damage {
            if let Some(byte) = packet.bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Some(vnet) = vnet {
            packet.vnet = zerocopy::transmute!(vnet);
        }
        packet.bytes.truncate(cut.unwrap_or(usize::MAX));
        let provider = EniIdx::new(Topology::EC2_B2.index(), 0);
        let from_consumer = world.send_packet(Topology::EC2_A, packet.clone()).verdict;
        prop_assert_ne!(from_consumer, Verdict::Forward(provider));
        let from_provider = world.send_packet(Topology::EC2_B2, packet).verdict;
        prop_assert_ne!(from_provider, Verdict::Forward(Topology::EC2_A));
    }

    #[test]
    fn whatever_a_resolver_is_sent_its_replies_are_messages_of_the_length_asked_for(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        NAMES.endure(&bytes);
    }

    #[test]
    fn no_damage_to_a_query_makes_the_resolver_panic_or_go_on_for_ever(
        mut query in query(),
        damage in proptest::collection::vec((0usize..80, any::<u8>()), 0..4),
        tail in proptest::option::weighted(0.3, proptest::collection::vec(any::<u8>(), 0..20)),
        cut in proptest::option::weighted(0.3, 0usize..120),
    ) {
        for (at, value) in damage { if let Some(byte) = query.get_mut(at) { *byte = value; } }
        query.extend(tail.unwrap_or_default());
        query.truncate(cut.unwrap_or(usize::MAX));
        NAMES.endure(&query);
    }
}
