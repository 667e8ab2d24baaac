//! What the core alone costs, in memory: no TUN, no system call.
//!
//! Every figure includes preparing the packet in its buffer, which `prepare` measures by itself.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant as Clock};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use privlink::dataplane::flow::Flow;
use privlink::dataplane::{Dataplane, EniIdx, Instant, Settings, Verdict, Worker};
use privlink::net::{Addr, FiveTuple, Packet, Segment, VnetHeader, rewrite};
use privlink::sim::{SimPacket, Topology, World, any_from, tcp};

const A: EniIdx = Topology::EC2_A;
const B: EniIdx = Topology::EC2_B;
const ENDPOINT: [u8; 4] = Topology::ENDPOINT_C_ADDRESS;
/// Packets between two looks at the newest topology, as `io`'s workers have it.
const BATCH: u64 = 64;
/// Source ports of the flows; the rest of a flow's number is in its destination port.
const SOURCE_PORTS: usize = 50_000;
/// Numbers of flows.
const SIZES: [(&str, usize); 3] = [("1k", 1_000), ("100k", 100_000), ("1M", 1_000_000)];

/// A buffer with an MTU-sized packet, whose addresses and ports are set anew before each use.
struct Buffer {
    vnet: VnetHeader,
    bytes: Vec<u8>,
}

/// Addresses and ports of one flow's packets, as they stand in the header.
type Row = ([u8; 8], [u8; 4]);

impl Buffer {
    fn new() -> Self {
        let packet = tcp((Topology::EC2_ADDRESS, 0), (ENDPOINT, 0));
        let packet = packet.segment(Segment::ACK, 1001, 5001).payload(&[0; 1400]);
        let SimPacket { vnet, bytes } = packet.build();
        Self { vnet, bytes }
    }

    #[inline]
    fn set(&mut self, (addresses, ports): &Row) -> Packet<'_> {
        self.bytes[12..20].copy_from_slice(addresses);
        self.bytes[20..24].copy_from_slice(ports);
        Packet::new(&mut self.vnet, &mut self.bytes)
    }
}

fn row(packet: &SimPacket) -> Row {
    let (addresses, ports) = packet.bytes[12..24].split_at(8);
    (addresses.try_into().unwrap(), ports.try_into().unwrap())
}

/// W1 with every port open.
fn world(max_flows: usize) -> World {
    let mut topology = Topology::w1();
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    let settings = Settings {
        workers: 1,
        seed: 7,
        mtu: 9001,
        max_flows,
    };
    World::with(&topology, settings)
}

/// A world with this many established flows, and their packets in random order.
struct Established {
    world: RefCell<World>,
    outbound: Vec<Row>,
    inbound: Vec<Row>,
}

impl Established {
    fn new(flows: usize) -> Self {
        // One interface gets half of the table.
        let mut world = world(2 * flows);
        let mut rows: Vec<_> = (0..flows)
            .map(|n| {
                let server = (ENDPOINT, 1 + (n / SOURCE_PORTS) as u16);
                let [outbound, inbound] = world.connect(1024 + (n % SOURCE_PORTS) as u16, server);
                (row(&outbound.build()), row(&inbound.build()))
            })
            .collect();
        shuffle(&mut rows);
        let (outbound, inbound) = rows.into_iter().unzip();
        Self {
            world: RefCell::new(world),
            outbound,
            inbound,
        }
    }

    fn run(&self, from: EniIdx, rows: &[Row], packets: u64) -> Duration {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let World {
            dataplane, workers, ..
        } = &mut *world;
        let worker = &mut workers[0];
        let mut buffer = Buffer::new();
        let mut rows = rows.iter().cycle();
        let mut forwarded = 0;
        let start = Clock::now();
        batches(dataplane, worker, packets, |dataplane, worker| {
            let Some(row) = rows.next() else { return };
            let mut packet = buffer.set(row);
            let verdict = dataplane.handle_packet(worker, from, &mut packet, now);
            forwarded += u64::from(matches!(verdict, Verdict::Forward(_)));
        });
        let took = start.elapsed();
        assert_eq!(forwarded, packets);
        took
    }
}

/// Calls `each` so often, with a new batch before every [`BATCH`] of them.
#[inline]
fn batches(
    dataplane: &Dataplane,
    worker: &mut Worker,
    packets: u64,
    mut each: impl FnMut(&Dataplane, &mut Worker),
) {
    for packet in 0..packets {
        if packet % BATCH == 0 {
            dataplane.resume(worker);
        }
        each(dataplane, worker);
    }
}

/// Fisher and Yates, with a xorshift generator: the same order every time.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(at, (state % (at as u64 + 1)) as usize);
    }
}

/// A packet of an established flow, each one of another flow than the last.
fn established(criterion: &mut Criterion) {
    let mut group = group(criterion, "established");
    for (name, flows) in SIZES {
        let flows = LazyLock::new(move || Established::new(flows));
        // Not on the clock, not even of the warm-up.
        let made = || LazyLock::force(&flows);
        group.bench_function(format!("outbound/{name}"), |bencher| {
            let flows = made();
            bencher.iter_custom(|packets| flows.run(A, &flows.outbound, packets));
        });
        group.bench_function(format!("inbound/{name}"), |bencher| {
            let flows = made();
            bencher.iter_custom(|packets| flows.run(B, &flows.inbound, packets));
        });
    }
}

/// What the machine's memory allows: a chain of loads over as much memory as so many flows take, each of whose address is the
/// last one's result. A packet of a cold flow waits for two such loads, its bucket and its flow.
fn memory(criterion: &mut Criterion) {
    const LINE: usize = 64;
    let mut group = group(criterion, "dependent load");
    for (name, flows) in SIZES {
        let chain = LazyLock::new(move || {
            let mut order: Vec<_> = (0..flows * size_of::<Flow>() / LINE).collect();
            shuffle(&mut order);
            let mut chain = vec![[0; LINE / size_of::<usize>()]; order.len()];
            for (at, next) in order.iter().zip(order.iter().cycle().skip(1)) {
                chain[*at][0] = *next;
            }
            chain
        });
        group.bench_function(name, |bencher| {
            let mut at = 0;
            let chain = LazyLock::force(&chain);
            bencher.iter(|| at = chain[at][0]);
        });
    }
}

/// The parts that every packet passes.
fn parts(criterion: &mut Criterion) {
    let mut group = group(criterion, "parts");
    let mut buffer = Buffer::new();
    let there = row(&tcp((Topology::EC2_ADDRESS, 40_000), (ENDPOINT, 80)).build());
    group.bench_function("prepare", |bencher| {
        bencher.iter(|| {
            black_box(buffer.set(black_box(&there)));
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| black_box(buffer.set(black_box(&there)).parse()));
    });
    let to = FiveTuple {
        src: Addr::v4([172, 18, 1, 83]),
        src_port: 50_211,
        dst: Addr::v4(Topology::EC2_ADDRESS),
        ..tcp((ENDPOINT, 80), (ENDPOINT, 80)).build().tuple()
    };
    group.bench_function("parse and rewrite", |bencher| {
        bencher.iter(|| {
            let mut packet = buffer.set(black_box(&there));
            if let Ok(headers) = packet.parse() {
                rewrite(&mut packet, &headers, black_box(&to));
            }
        });
    });
}

/// A SYN that opens a flow through the endpoint. The places are taken back between rounds, so that they are not fresh memory.
fn opening(criterion: &mut Criterion) {
    const ROUND: u64 = SOURCE_PORTS as u64;
    let mut group = group(criterion, "new flow");
    let world = LazyLock::new(|| RefCell::new(world(2 * SOURCE_PORTS)));
    let syns = LazyLock::new(|| {
        let syn = |n| tcp((Topology::EC2_ADDRESS, 1024 + n as u16), (ENDPOINT, 80));
        let mut rows: Vec<_> = (0..ROUND).map(|n| row(&syn(n).build())).collect();
        shuffle(&mut rows);
        rows
    });
    let round = |packets: u64| {
        let mut world = world.borrow_mut();
        let now = world.now;
        let World {
            dataplane, workers, ..
        } = &mut *world;
        let mut buffer = Buffer::new();
        buffer.bytes[33] = Segment::SYN;
        let mut rows = syns.iter();
        let start = Clock::now();
        batches(dataplane, &mut workers[0], packets, |dataplane, worker| {
            let Some(row) = rows.next() else { return };
            let _ = black_box(dataplane.handle_packet(worker, A, &mut buffer.set(row), now));
        });
        let took = start.elapsed();
        assert_eq!(world.flows().len() as u64, packets);
        world.advance(Duration::from_secs(300));
        assert_eq!(world.flows().len(), 0);
        took
    };
    group.bench_function("through the endpoint", |bencher| {
        bencher.iter_custom(|packets| {
            let full = (0..packets / ROUND).map(|_| round(ROUND)).sum::<Duration>();
            full + round(packets % ROUND)
        });
    });
}

/// Packets that end here.
fn dropped(criterion: &mut Criterion) {
    let mut group = group(criterion, "dropped");
    let mut world = World::new(&Topology::w1());
    let (own, stranger) = (Topology::EC2_ADDRESS, [10, 0, 0, 1]);
    for (name, src, dst) in [
        ("IngressDenied", (own, 40_000), (ENDPOINT, 81)),
        ("NoSuchAddress", (own, 40_000), ([172, 18, 9, 9], 80)),
        ("SourceCheck", (stranger, 40_000), (ENDPOINT, 80)),
    ] {
        let row = row(&tcp(src, dst).build());
        let mut buffer = Buffer::new();
        buffer.bytes[33] = Segment::SYN;
        let now: Instant = world.now;
        let World {
            dataplane, workers, ..
        } = &mut world;
        let verdict = dataplane.handle_packet(&mut workers[0], A, &mut buffer.set(&row), now);
        assert!(
            matches!(verdict, Verdict::Drop(reason) if reason.name() == name),
            "{verdict:?}"
        );
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| dataplane.handle_packet(&mut workers[0], A, &mut buffer.set(&row), now));
        });
    }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    group
}

criterion_group!(benches, parts, memory, established, opening, dropped);
criterion_main!(benches);
