//! What a million flows take: bytes, and no large piece of work for any one packet.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use privlink::dataplane::{Settings, Verdict};
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
    let mut buffer = packet.clone();
    for flow in 0..FLOWS {
        dataplane.resume(&mut workers[0]);
        let SimPacket { vnet, bytes } = &mut buffer;
        *vnet = packet.vnet;
        bytes.copy_from_slice(&packet.bytes);
        bytes[20..22].copy_from_slice(&(1024 + (flow % PORTS) as u16).to_be_bytes());
        bytes[22..24].copy_from_slice(&(1 + (flow / PORTS) as u16).to_be_bytes());
        let verdict =
            dataplane.handle_packet(&mut workers[0], Topology::EC2_A, &mut buffer.view(), *now);
        assert_eq!(verdict, Verdict::Forward(Topology::EC2_B), "flow {flow}");
    }
    let each = (LIVE.load(Relaxed) - before) / FLOWS;
    assert!(each <= EACH, "{each} bytes for each flow");
    assert!(each >= 256, "{each} bytes: that is less than a flow");
    let largest = LARGEST.load(Relaxed);
    assert!(largest <= PIECE, "{largest} bytes in one piece");
    assert_eq!(dataplane.flows(0..usize::MAX, *now).count(), FLOWS);
}
