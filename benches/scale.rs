//! Whether size costs: 1,000 VPCs with 10,000 endpoints and 100,000 rules, against two VPCs with one endpoint.
//!
//! `change` is what one command costs until packets see it, and `resume` what a worker pays for it; the others are packets, through one endpoint of the many, and
//! through all of them.

use std::time::{Duration, Instant as Clock};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use privlink::control::compile;
use privlink::dataplane::{Dataplane, Settings};
use privlink::sim::{Estate, Load, World};

const RULES_PER_GROUP: usize = 50;
/// Flows, each through another endpoint where there are as many.
const FLOWS: usize = 10_000;

fn small() -> Estate {
    Estate::new(2, 1, RULES_PER_GROUP)
}

fn large() -> Estate {
    Estate::new(1_000, 10_000, RULES_PER_GROUP)
}

/// From a command to the snapshot that packets see.
fn change(criterion: &mut Criterion) {
    let mut group = group(criterion, "change");
    let mut estate = large();
    let dataplane = Dataplane::new(World::settings());
    dataplane.apply(compile(&estate.state));
    group.bench_function("compile", |bencher| {
        bencher.iter(|| compile(&estate.state));
    });
    group.bench_function("apply", |bencher| {
        bencher.iter_custom(|times| {
            let times = 0..times;
            let applied = times.map(|_| {
                let config = compile(&estate.state);
                timed(|| dataplane.apply(config))
            });
            applied.sum()
        });
    });
    let mut worker = dataplane.worker(0);
    group.bench_function("resume", |bencher| {
        bencher.iter_custom(|times| {
            let times = 0..times;
            let taken_up = times.map(|_| {
                dataplane.apply(compile(&estate.state));
                timed(|| dataplane.resume(&mut worker))
            });
            taken_up.sum()
        });
    });
    let mut changes = 0;
    group.bench_function("one endpoint more", |bencher| {
        bencher.iter_custom(|times| {
            let times = 0..times;
            let made = times.map(|_| {
                changes += 1;
                let (consumer, provider) = (changes % 1_000, (changes + 1) % 1_000);
                timed(|| {
                    estate.add_endpoint(consumer, provider);
                    dataplane.apply(compile(&estate.state));
                })
            });
            made.sum()
        });
    });
    group.bench_function("one rule more", |bencher| {
        bencher.iter_custom(|times| {
            let times = 0..times;
            let made = times.map(|_| {
                changes += 1;
                let group = estate.vpcs[changes % 1_000].endpoint_group;
                let range = format!("172.16.{}.0/24", changes / 1_000);
                timed(|| {
                    estate.add_rule(group, &range);
                    dataplane.apply(compile(&estate.state));
                })
            });
            made.sum()
        });
    });
}

fn timed(what: impl FnOnce()) -> Duration {
    let start = Clock::now();
    what();
    start.elapsed()
}

/// A fabric by name, with how many of its endpoints the flows go through.
type Fabric = (&'static str, fn() -> Estate, usize);

const FABRICS: [Fabric; 3] = [
    ("1 endpoint", small, 1),
    ("1 of 10k endpoints", large, 1),
    ("10k endpoints", large, 10_000),
];

/// A world of this account.
fn world(estate: &Estate) -> World {
    let settings = Settings {
        max_flows: 8 * FLOWS,
        ..World::settings()
    };
    World::with(&estate.topology(), settings)
}

/// Sends so many packets, all of which must be forwarded.
fn forward(world: &mut World, load: &mut Load, packets: u64) -> Duration {
    timed(|| assert_eq!(world.carry(load, packets).forwarded, packets))
}

/// A packet of an established flow.
fn established(criterion: &mut Criterion) {
    let mut group = group(criterion, "established");
    for (name, estate, endpoints) in FABRICS {
        let estate = estate();
        let mut world = world(&estate);
        let mut load = estate.established(&mut world, FLOWS, endpoints);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|packets| forward(&mut world, &mut load, packets));
        });
    }
}

/// A SYN, asked of 50 rules at the endpoint and 50 at the target.
fn opening(criterion: &mut Criterion) {
    let mut group = group(criterion, "new flow");
    for (name, estate, endpoints) in FABRICS {
        let estate = estate();
        let (mut world, mut load) = (world(&estate), estate.opening(FLOWS, endpoints));
        let mut round = |packets| {
            load.rewind();
            let took = forward(&mut world, &mut load, packets);
            // Those that nobody has answered end after four minutes.
            world.advance(Duration::from_secs(300));
            assert_eq!(world.flows().len(), 0);
            took
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|packets| {
                let full = 0..packets / FLOWS as u64;
                let full = full.map(|_| round(FLOWS as u64)).sum::<Duration>();
                full + round(packets % FLOWS as u64)
            });
        });
    }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group
}

criterion_group!(benches, change, established, opening);
criterion_main!(benches);
