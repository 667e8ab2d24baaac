//! What the core alone costs, in memory: no TUN, no system call.
//!
//! Packets go through it as `io`'s workers hand them over, in batches. Every figure includes preparing the packet in its
//! buffer, which `parts/prepare` measures by itself.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::{Barrier, LazyLock};
use std::thread;
use std::time::{Duration, Instant as Clock};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use privlink::dataplane::config::Role;
use privlink::dataplane::flow::Flow;
use privlink::dataplane::{DropReason, Settings, Verdict, Worker};
use privlink::net::{Addr, FiveTuple, Segment, rewrite};
use privlink::sim::{Established, Load, Topology, World, shuffle, tcp};

const ENDPOINT: ([u8; 4], u16) = (Topology::ENDPOINT_C_ADDRESS, 80);
/// Numbers of flows.
const SIZES: [(&str, usize); 3] = [("1k", 1_000), ("100k", 100_000), ("1M", 1_000_000)];

/// Sends so many packets by one worker, all of which must be forwarded; the time it took.
fn forward(world: &mut World, load: &mut Load, packets: u64) -> Duration {
    let start = Clock::now();
    assert_eq!(world.carry(load, packets).forwarded, packets);
    start.elapsed()
}

/// A packet of an established flow, each one of another flow than the last.
fn established(criterion: &mut Criterion) {
    let mut group = group(criterion, "established");
    for (name, flows) in SIZES {
        let flows = LazyLock::new(move || RefCell::new(Established::new(flows, 1)));
        group.bench_function(format!("outbound/{name}"), |bencher| {
            // Not on the clock, not even of the warm-up.
            let mut flows = LazyLock::force(&flows).borrow_mut();
            let Established {
                world, outbound, ..
            } = &mut *flows;
            bencher.iter_custom(|packets| forward(world, outbound, packets));
        });
        group.bench_function(format!("inbound/{name}"), |bencher| {
            let mut flows = LazyLock::force(&flows).borrow_mut();
            let Established { world, inbound, .. } = &mut *flows;
            bencher.iter_custom(|packets| forward(world, inbound, packets));
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
    let there = tcp((Topology::EC2_ADDRESS, 40_000), ENDPOINT);
    let to = FiveTuple {
        src: Addr::v4([172, 18, 1, 83]),
        src_port: 50_211,
        dst: Addr::v4(Topology::EC2_ADDRESS),
        ..there.build().tuple()
    };
    let mut load = Load::new(&there.clone().payload(&[0; 1400]));
    load.push(Topology::EC2_A, &there);
    group.bench_function("prepare", |bencher| {
        bencher.iter(|| {
            black_box(black_box(&mut load).next_packet());
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| black_box(black_box(&mut load).next_packet().1.parse()));
    });
    group.bench_function("parse and rewrite", |bencher| {
        bencher.iter(|| {
            let (_, mut packet) = black_box(&mut load).next_packet();
            if let Ok(headers) = packet.parse() {
                rewrite(&mut packet, &headers, black_box(&to));
            }
        });
    });
}

/// A SYN that opens a flow. The places are taken back between rounds, so that they are not fresh memory.
fn opening(criterion: &mut Criterion) {
    const ROUND: u64 = 50_000;
    let mut group = group(criterion, "new flow");
    let (own, neighbour) = (Topology::EC2_ADDRESS, Topology::NEIGHBOUR_ADDRESS);
    let alone = |client| move |port| (client, port);
    // So that not all of them have the same target.
    let many = |port| {
        (
            [172, 18, 64 + (port % 8) as u8, (port / 8 % 250) as u8],
            port,
        )
    };
    let through = (Topology::EC2_A, ENDPOINT);
    let inside = (Topology::EC2_A2, (own, 80));
    let w1 = || World::open(2 * ROUND as usize, 1);
    let balanced = |stickiness| {
        let mut topology = Topology::w2(1_000);
        topology.load_balancer().cross_zone = true;
        topology.target_group().stickiness = stickiness;
        topology.interface(Topology::EC2_A).role = Role::Instance {
            source_dest_check: false,
        };
        let settings = Settings {
            max_flows: 2 * ROUND as usize,
            workers: 1,
            ..World::settings()
        };
        World::with(&topology, settings)
    };
    type Client<'a> = &'a dyn Fn(u16) -> ([u8; 4], u16);
    let rows: [(_, _, _, Client<'_>); 4] = [
        ("through the endpoint", w1(), through, &alone(own)),
        ("inside the VPC", w1(), inside, &alone(neighbour)),
        ("to one of 1,000 targets", balanced(false), through, &many),
        (
            "to a client's own of 1,000 targets",
            balanced(true),
            through,
            &many,
        ),
    ];
    for (name, mut world, (from, to), client) in rows {
        let mut load = Load::new(&tcp(client(0), to));
        for port in 1024..1024 + ROUND as u16 {
            load.push(from, &tcp(client(port), to));
        }
        load.shuffle();
        let mut round = |packets: u64| {
            load.rewind();
            let took = forward(&mut world, &mut load, packets);
            assert_eq!(world.flows().len() as u64, packets);
            // Those that nobody has answered end after four minutes.
            world.advance(Duration::from_secs(300));
            assert_eq!(world.flows().len(), 0);
            took
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|packets| {
                let full = (0..packets / ROUND).map(|_| round(ROUND)).sum::<Duration>();
                full + round(packets % ROUND)
            });
        });
    }
}

/// Packets that end here, in the order of the pipeline's questions.
fn dropped(criterion: &mut Criterion) {
    let mut group = group(criterion, "dropped");
    let mut world = World::new(&Topology::w1());
    let World {
        dataplane,
        workers,
        now,
        ..
    } = &mut world;
    let (own, port) = (Topology::EC2_ADDRESS, 40_000);
    let syn = |to| tcp((own, port), to);
    for (reason, packet) in [
        (
            DropReason::BadTransportHeader,
            syn(ENDPOINT).segment(0, 1, 0),
        ),
        (
            DropReason::SourceCheck,
            tcp(([10, 0, 0, 1], port), ENDPOINT),
        ),
        (DropReason::NoRoute, syn(([8, 8, 8, 8], 80))),
        (DropReason::NoSuchAddress, syn(([172, 18, 9, 9], 80))),
        (DropReason::IngressDenied, syn((ENDPOINT.0, 81))),
        // Its sender gets a RST.
        (
            DropReason::NoFlow,
            syn(ENDPOINT).segment(Segment::ACK, 1001, 5001),
        ),
    ] {
        let worker = &mut workers[0];
        let mut load = Load::new(&packet);
        load.push(Topology::EC2_A, &packet);
        let (from, mut first) = load.next_packet();
        let verdict = dataplane.handle_packet(worker, from, &mut first, *now);
        assert_eq!(verdict, Verdict::Drop(reason));
        group.bench_function(reason.name(), |bencher| {
            bencher.iter_custom(|packets| {
                let start = Clock::now();
                let fates = load.send(dataplane, worker, packets, *now);
                let took = start.elapsed();
                assert_eq!(fates.dropped, packets);
                took
            });
        });
    }
}

/// Two packets, by one worker and by two at once. An iteration is a packet of each load: two workers that are in no one's
/// way take half the time.
fn two_workers(criterion: &mut Criterion) {
    let mut group = group(criterion, "two workers");
    group.throughput(Throughput::Elements(2));

    // What the machine gives: each worker has a data plane of its own.
    let mut alone = [Established::new(1_000, 1), Established::new(1_000, 1)];
    group.bench_function("nothing shared/one", |bencher| {
        bencher.iter_custom(|packets| {
            let each = alone.iter_mut();
            each.map(|flows| forward(&mut flows.world, &mut flows.outbound, packets))
                .sum()
        });
    });
    group.bench_function("nothing shared/two", |bencher| {
        bencher.iter_custom(|packets| {
            let [one, two] = &mut alone;
            at_once(
                || forward(&mut one.world, &mut one.outbound, packets),
                || forward(&mut two.world, &mut two.outbound, packets),
            )
        });
    });

    for (name, flows) in [
        ("different flows", different_flows()),
        ("two directions of one flow", both_directions(1)),
        ("two directions of 1k flows", both_directions(1_000)),
    ] {
        let (world, mut loads) = flows;
        let World {
            dataplane,
            mut workers,
            now,
            ..
        } = world;
        let send = |worker: &mut Worker, load: &mut Load, packets| {
            let start = Clock::now();
            let fates = load.send(&dataplane, worker, packets, now);
            let took = start.elapsed();
            assert_eq!(fates.forwarded, packets);
            took
        };
        group.bench_function(format!("{name}/one"), |bencher| {
            bencher.iter_custom(|packets| {
                let loads = loads.iter_mut();
                loads.map(|load| send(&mut workers[0], load, packets)).sum()
            });
        });
        group.bench_function(format!("{name}/two"), |bencher| {
            bencher.iter_custom(|packets| {
                let ([one, two], [first, second]) = (&mut loads, &mut workers[..]) else {
                    unreachable!("two workers");
                };
                at_once(|| send(first, one, packets), || send(second, two, packets))
            });
        });
    }
}

/// A thousand flows of EC2_A's, and a thousand of its neighbour's.
fn different_flows() -> (World, [Load; 2]) {
    let mut world = World::open(4_000, 2);
    let loads = [
        (Topology::EC2_A, Topology::EC2_ADDRESS),
        (Topology::EC2_A2, Topology::NEIGHBOUR_ADDRESS),
    ]
    .map(|(from, address)| {
        let like = tcp((address, 0), ENDPOINT).segment(Segment::ACK, 1001, 5001);
        let mut load = Load::new(&like.payload(&[0; 1400]));
        for port in 1024..2024 {
            let client = (address, port);
            let [outbound, _] = world.connect_between(from, client, ENDPOINT, Topology::EC2_B);
            load.push(from, &outbound);
        }
        load.shuffle();
        load
    });
    (world, loads)
}

fn both_directions(flows: usize) -> (World, [Load; 2]) {
    let Established {
        world,
        outbound,
        inbound,
    } = Established::new(flows, 2);
    (world, [outbound, inbound])
}

/// Runs both at the same time; the time that the longer one takes.
fn at_once(
    one: impl FnOnce() -> Duration + Send,
    two: impl FnOnce() -> Duration + Send,
) -> Duration {
    let ready = Barrier::new(2);
    thread::scope(|scope| {
        let one = scope.spawn(|| {
            ready.wait();
            one()
        });
        ready.wait();
        let two = two();
        one.join().unwrap().max(two)
    })
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    group
}

criterion_group!(
    benches,
    parts,
    memory,
    established,
    opening,
    dropped,
    two_workers
);
criterion_main!(benches);
