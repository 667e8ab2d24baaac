//! What a million flows take: bytes, and no large piece of work for any one packet.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use privlink::dataplane::{Settings, Verdict};
use privlink::net::Segment;
use privlink::sim::{SimPacket, Topology, World, any_from, tcp};

/// The system's allocator, counting bytes.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FLOWS: usize = 1_000_000;
const PORTS: usize = 60_000;
const EACH: usize = 300;
/// A chunk of flows, or the buckets of a shard: what is made in one go while a packet waits.
const PIECE: usize = 256 * 1024;

// One test only: another one's thread would be counted as well.
#[test]
fn a_million_flows_of_one_interface_take_300_bytes_each_and_come_in_small_pieces() {
    let mut topology = Topology::w1();
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let endpoint = Topology::ENDPOINT_C_ADDRESS;
    let packet = tcp((Topology::EC2_ADDRESS, 0), (endpoint, 0)).build();
    let (syn, ack) = (Segment::SYN, Segment::ACK);
    let [answer, third] = [(syn | ack, 5000, 1001), (ack, 1001, 5001)].map(|(flags, seq, ack)| {
        tcp((Topology::EC2_ADDRESS, 0), (endpoint, 0))
            .segment(flags, seq, ack)
            .build()
    });
    let before = LIVE.load(Relaxed);
    let settings = Settings {
        workers: 1,
        max_flows: 2 * FLOWS,
        ..World::settings()
    };
    let mut world = World::with(&topology, settings);
    LARGEST.store(0, Relaxed);
    let World {
        dataplane,
        workers,
        now,
        ..
    } = &mut world;
    let (client, server) = (Topology::EC2_A, Topology::EC2_B);
    let mut buffers = [packet.clone(), answer.clone(), third.clone()];
    for flow in 0..FLOWS {
        dataplane.resume(&mut workers[0]);
        let mut send = |like: &SimPacket, buffer: &mut SimPacket, from, to, ends: [u8; 12]| {
            buffer.vnet = like.vnet;
            buffer.bytes[..12].copy_from_slice(&like.bytes[..12]);
            buffer.bytes[12..24].copy_from_slice(&ends);
            buffer.bytes[24..].copy_from_slice(&like.bytes[24..]);
            let worker = &mut workers[0];
            let verdict = dataplane.handle_packet(worker, from, &mut buffer.view(), *now);
            assert_eq!(verdict, Verdict::Forward(to), "flow {flow}");
        };
        let [first, second, last] = &mut buffers;
        let mut ends: [u8; 12] = packet.bytes[12..24].try_into().unwrap();
        ends[8..10].copy_from_slice(&(1024 + (flow % PORTS) as u16).to_be_bytes());
        ends[10..12].copy_from_slice(&(1 + (flow / PORTS) as u16).to_be_bytes());
        send(&packet, first, client, server, ends);
        // Half-open connections of one interface are bounded: each completes its handshake.
        let [a, b, c, d, e, f, g, h, i, j, k, l]: [u8; 12] =
            first.bytes[12..24].try_into().unwrap();
        let reversed = [e, f, g, h, a, b, c, d, k, l, i, j];
        send(&answer, second, server, client, reversed);
        send(&third, last, client, server, ends);
    }
    let each = (LIVE.load(Relaxed) - before) / FLOWS;
    assert!(each <= EACH, "{each} bytes for each flow");
    assert!(each >= 256, "{each} bytes: that is less than a flow");
    let largest = LARGEST.load(Relaxed);
    assert!(largest <= PIECE, "{largest} bytes in one piece");
    assert_eq!(dataplane.flows(0..usize::MAX, *now).count(), FLOWS);
}
