//! An established packet allocates nothing, either way, and neither does a dropped one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::sim::{PacketBuilder, SimPacket, Topology, World, tcp};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const A: EniIdx = Topology::EC2_A;
const B: EniIdx = Topology::EC2_B;
const PACKETS: usize = 1000;

/// The allocations of a thousand packets like `packet`, each a batch of its own, all with this verdict.
fn allocations(world: &mut World, from: EniIdx, packet: &SimPacket, expected: Verdict) -> usize {
    let mut packets = vec![packet.clone(); PACKETS];
    let World {
        dataplane,
        workers,
        now,
        ..
    } = world;
    let worker = &mut workers[from.index() as usize % 2];
    let before = ALLOCATIONS.load(Relaxed);
    for packet in &mut packets {
        dataplane.resume(worker);
        let verdict = dataplane.handle_packet(worker, from, &mut packet.view(), *now);
        assert_eq!(verdict, expected);
    }
    ALLOCATIONS.load(Relaxed) - before
}

// One test only: another one's thread would be counted as well.
#[test]
fn a_packet_of_a_flow_and_a_drop_allocate_nothing() {
    let mut world = World::new(&Topology::w1());
    let client = Topology::EC2_ADDRESS;
    let endpoint = Topology::ENDPOINT_C_ADDRESS;
    let [outbound, inbound] = world.connect(40_000, (endpoint, 80));
    let shapes: [fn(&PacketBuilder) -> PacketBuilder; 2] = [
        |packet| packet.clone().payload(&[7; 1400]),
        |packet| packet.clone().payload(&[7; 60_000]).gso(1448),
    ];
    for shape in shapes {
        let (there, back) = (shape(&outbound).build(), shape(&inbound).build());
        assert_eq!(allocations(&mut world, A, &there, Verdict::Forward(B)), 0);
        assert_eq!(allocations(&mut world, B, &back, Verdict::Forward(A)), 0);
    }

    let syn = |dst| tcp((client, 40_001), dst).build();
    let mut truncated = syn((endpoint, 80));
    truncated.bytes.truncate(30);
    for (packet, reason) in [
        (syn((endpoint, 81)), DropReason::IngressDenied),
        (syn(([172, 18, 9, 9], 80)), DropReason::NoSuchAddress),
        (syn(([8, 8, 8, 8], 80)), DropReason::NoRoute),
        (truncated, DropReason::Truncated),
    ] {
        assert_eq!(
            allocations(&mut world, A, &packet, Verdict::Drop(reason)),
            0,
            "{reason:?}"
        );
    }

    // The count counts: what opens a flow for the first time makes its table's memory.
    let mut fresh = World::new(&Topology::w1());
    let before = ALLOCATIONS.load(Relaxed);
    fresh.deliver(A, &tcp((client, 40_000), (endpoint, 80)), B);
    assert!(ALLOCATIONS.load(Relaxed) > before);
}
