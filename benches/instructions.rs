//! Instructions per packet, by callgrind: a regression that needs no clock, so that a busy machine cannot hide it.
//!
//! Each scenario runs twice, the second time with more packets; the difference is what the packets cost, without the set-up. A
//! figure more than a fiftieth away from the one in `benches/instructions.toml` fails, in both directions: what has become
//! faster is recorded, so that the next loss is seen from there.
//!
//! ```text
//! cargo bench --bench instructions                 count and compare
//! cargo bench --bench instructions -- --record     count and record
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use privlink::dataplane::config::{HealthCheck, HealthCheckProtocol};
use privlink::dataplane::{EniIdx, Verdict};
use privlink::net::Segment;
use privlink::sim::{Established, Estate, Load, PacketBuilder, Server, Topology, World, tcp, udp};

const ENDPOINT: ([u8; 4], u16) = (Topology::ENDPOINT_C_ADDRESS, 80);
const CLIENT: ([u8; 4], u16) = (Topology::EC2_ADDRESS, 40_000);
/// Flows of the scenarios with many.
const FLOWS: u64 = 1_000;
/// Packets of the shorter run, and of the longer.
const RUNS: [u64; 2] = [10 * FLOWS, 60 * FLOWS];
/// How far a figure may be from the recorded one.
const TOLERANCE: f64 = 0.02;
/// Of glibc's copying functions those that every such machine has: which it takes would otherwise depend on the CPU.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-ERMS,-AVX_Fast_Unaligned_Load";
/// The recorded figures are of this architecture's instructions.
const ARCHITECTURE: &str = "x86_64";

/// A scenario: its name, and what sends so many packets.
type Scenario = (&'static str, fn(u64));

const SCENARIOS: [Scenario; 13] = [
    ("established_outbound", established_outbound),
    ("established_inbound", established_inbound),
    ("established_udp_inside_vpc", established_udp_inside_vpc),
    ("new_flow_and_its_end", new_flow_and_its_end),
    ("established_with_1k_endpoints", |packets| {
        let estate = large();
        let mut world = World::new(&estate.topology());
        let mut load = estate.established(&mut world, FLOWS as usize, estate.endpoints.len());
        assert_eq!(world.carry(&mut load, packets).forwarded, packets);
    }),
    ("established_to_1k_probed_targets", established_to_probed),
    ("new_flow_with_1k_endpoints", |packets| {
        let estate = large();
        let mut world = World::new(&estate.topology());
        let load = estate.opening(FLOWS as usize, estate.endpoints.len());
        open_and_end(&mut world, load, packets);
    }),
    ("new_flow_to_one_of_1k_targets", |packets| {
        let mut topology = Topology::w2(1_000);
        topology.load_balancer().cross_zone = true;
        let mut world = World::new(&topology);
        let load = load(Topology::EC2_A, |port| tcp((CLIENT.0, port), ENDPOINT));
        open_and_end(&mut world, load, packets);
    }),
    ("dropped_bad_transport_header", |packets| {
        drop_all(tcp(CLIENT, ENDPOINT).segment(0, 1, 0), packets);
    }),
    ("dropped_source_check", |packets| {
        drop_all(tcp(([10, 0, 0, 1], 40_000), ENDPOINT), packets);
    }),
    ("dropped_no_such_address", |packets| {
        drop_all(tcp(CLIENT, ([172, 18, 9, 9], 80)), packets);
    }),
    ("dropped_ingress_denied", |packets| {
        drop_all(tcp(CLIENT, (ENDPOINT.0, 81)), packets);
    }),
    ("dropped_no_flow_with_reset", |packets| {
        let stray = tcp(CLIENT, ENDPOINT).segment(Segment::ACK, 1001, 5001);
        drop_all(stray, packets);
    }),
];

fn established_outbound(packets: u64) {
    let Established {
        mut world,
        mut outbound,
        ..
    } = Established::new(FLOWS as usize, 2);
    assert_eq!(world.carry(&mut outbound, packets).forwarded, packets);
}

fn established_inbound(packets: u64) {
    let Established {
        mut world,
        mut inbound,
        ..
    } = Established::new(FLOWS as usize, 2);
    assert_eq!(world.carry(&mut inbound, packets).forwarded, packets);
}

/// 500,000 packets a second to targets that are probed as often as may be, 200 of them each second.
fn established_to_probed(packets: u64) {
    let mut topology = Topology::w2(1_000);
    topology.load_balancer().cross_zone = true;
    topology.config.enis.take(Topology::NODE_A);
    topology.target_group().health_check = Some(HealthCheck {
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        ..Topology::health_check(HealthCheckProtocol::Tcp)
    });
    for number in 0..1_000 {
        topology.target(number).zone = Topology::ZONE_C;
    }
    let mut world = World::new(&topology);
    for number in 0..1_000 {
        let place = (Topology::target_eni(number), Topology::TARGET_PORT);
        world.servers.insert(place, Server::Accepts);
    }
    world.advance(Duration::from_secs(12));
    let payload = [0; 1400];
    let like = tcp(CLIENT, ENDPOINT).payload(&payload);
    let mut load = Load::new(&like.segment(Segment::ACK, 1001, 5001));
    for port in 1024..1024 + FLOWS as u16 {
        let client = (CLIENT.0, port);
        let Verdict::Forward(target) = world.send(Topology::EC2_A, &tcp(client, ENDPOINT)).verdict
        else {
            panic!("no target for {client:?}")
        };
        let [outbound, _] = world.connect_between(Topology::EC2_A, client, ENDPOINT, target);
        load.push(Topology::EC2_A, &outbound);
    }
    load.shuffle();
    for _ in 0..packets / FLOWS {
        assert_eq!(world.carry(&mut load, FLOWS).forwarded, FLOWS);
        world.advance(Duration::from_millis(2));
    }
}

fn established_udp_inside_vpc(packets: u64) {
    let mut world = World::new(&Topology::w1());
    let mut load = load(Topology::EC2_A2, |port| {
        udp((Topology::NEIGHBOUR_ADDRESS, port), CLIENT)
    });
    assert_eq!(world.carry(&mut load, packets).forwarded, packets);
}

fn new_flow_and_its_end(packets: u64) {
    let mut world = World::open(4 * FLOWS as usize, 2);
    let load = load(Topology::EC2_A, |port| tcp((CLIENT.0, port), ENDPOINT));
    open_and_end(&mut world, load, packets);
}

fn open_and_end(world: &mut World, mut load: Load, packets: u64) {
    for _ in 0..packets / FLOWS {
        assert_eq!(world.carry(&mut load, FLOWS).forwarded, FLOWS);
        assert_eq!(world.flows().len() as u64, FLOWS);
        // Those that nobody has answered end after four minutes.
        world.advance(Duration::from_secs(300));
    }
}

/// 100 VPCs with 1,000 endpoints and 5 rules per group, so that rules do not outweigh the rest.
fn large() -> Estate {
    Estate::new(100, 1_000, 5)
}

fn drop_all(packet: PacketBuilder, packets: u64) {
    let mut world = World::new(&Topology::w1());
    let mut load = Load::new(&packet);
    load.push(Topology::EC2_A, &packet);
    assert_eq!(world.carry(&mut load, packets).dropped, packets);
}

/// The first packets of many flows, by their client's port, in random order.
fn load(from: EniIdx, packet: impl Fn(u16) -> PacketBuilder) -> Load {
    let mut load = Load::new(&packet(0));
    for port in 1024..1024 + FLOWS as u16 {
        load.push(from, &packet(port));
    }
    load.shuffle();
    load
}

fn main() -> Result<ExitCode> {
    // Cargo adds --bench.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => compare(),
        ["--record"] => record(),
        [scenario, packets] => {
            let mut scenarios = SCENARIOS.iter();
            let found = scenarios.find(|(name, _)| *name == scenario);
            let (_, run) = found.with_context(|| format!("no scenario {scenario}"))?;
            run(packets.parse()?);
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("usage: cargo bench --bench instructions [-- --record]"),
    }
}

fn recorded_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml")
}

fn compare() -> Result<ExitCode> {
    if std::env::consts::ARCH != ARCHITECTURE {
        println!("the recorded figures are of {ARCHITECTURE}: nothing to compare with here");
        return Ok(ExitCode::SUCCESS);
    }
    let file = recorded_file();
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let recorded = parse(&text)?;
    let mut failed = 0;
    for (name, _) in SCENARIOS {
        let count = count(name)?;
        let recorded = recorded.get(name).copied();
        let recorded = recorded.with_context(|| format!("{name} is not recorded"))?;
        let change = count / recorded - 1.0;
        let verdict = match change {
            change if change > TOLERANCE => "FAILED: more instructions than recorded",
            change if change < -TOLERANCE => {
                "FAILED: fewer; record them: cargo bench --bench instructions -- --record"
            }
            _ => "ok",
        };
        failed += usize::from(verdict != "ok");
        let percent = change * 100.0;
        println!("{name:30} {count:8.1} instructions per packet, {percent:+5.1} % ... {verdict}");
    }
    let (passed, word) = match (SCENARIOS.len() - failed, failed) {
        (passed, 0) => (passed, "ok"),
        (passed, _) => (passed, "FAILED"),
    };
    println!("\ntest result: {word}. {passed} passed; {failed} failed");
    match failed {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

fn record() -> Result<ExitCode> {
    ensure!(
        std::env::consts::ARCH == ARCHITECTURE,
        "figures are recorded on {ARCHITECTURE}"
    );
    let mut text = String::from(
        "# Instructions per packet, made by: cargo bench --bench instructions -- --record\n",
    );
    for (name, _) in SCENARIOS {
        let line = format!("{name} = {:.1}\n", count(name)?);
        print!("{line}");
        text += &line;
    }
    fs::write(recorded_file(), text)?;
    Ok(ExitCode::SUCCESS)
}

/// The file's lines, each `name = figure`.
fn parse(text: &str) -> Result<BTreeMap<&str, f64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figures = lines.map(|line| {
        let (name, figure) = line.split_once(" = ").with_context(|| line.to_owned())?;
        Ok((name, figure.parse()?))
    });
    figures.collect()
}

/// The instructions that one packet of a scenario costs.
fn count(scenario: &str) -> Result<f64> {
    let [short, long] = RUNS;
    let more = run(scenario, long)? - run(scenario, short)?;
    Ok(more / (long - short) as f64)
}

/// The instructions of a whole run. The profile stays where callgrind_annotate finds it.
fn run(scenario: &str, packets: u64) -> Result<f64> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    fs::create_dir_all(&dir)?;
    let profile = dir.join(format!("{scenario}.{packets}.out"));
    let output = Command::new("valgrind")
        .env("GLIBC_TUNABLES", TUNABLES)
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe()?)
        .args([scenario, &packets.to_string()])
        .output()
        .context("cannot run valgrind (Debian's package valgrind)")?;
    ensure!(
        output.status.success(),
        "{scenario}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read_to_string(&profile)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.context("no totals in callgrind's file")?.parse()?)
}
