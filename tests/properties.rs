//! What holds for every packet, with etherparse as the oracle; and for every message to a resolver, with hickory's reader.

use std::sync::LazyLock;

use hickory_proto::op::{self, Edns, Message, MessageType, OpCode};
use hickory_proto::rr::{Name, RecordType};
use privlink::dataplane::{EniIdx, Verdict};
use privlink::net::{Addr, FiveTuple, VnetHeader, rewrite};
use privlink::sim::{
    Names, PacketBuilder, SimPacket, Topology, World, echo_reply, echo_request, tcp, udp,
};
use proptest::prelude::*;

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
