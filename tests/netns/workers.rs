//! Worker threads with the real core and the real kernel, without the daemon: two instances of one VPC.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use privlink::dataplane::config::{
    GroupIdx, Interface, Peer, Role, Rule, SecurityGroup, Traffic, Vpc, VpcIdx,
};
use privlink::dataplane::{Dataplane, DataplaneConfig, EniIdx, Settings};
use privlink::io::{
    Clock, IoEvent, Namespace, Offload, Tun, TunSpec, WorkerOptions, Workers, privileged,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::io::{Scratch, packets_written, run};
use crate::tests;

tests![
    super_packets_arrive_intact,
    finished_packets_arrive_intact_without_vnet_headers,
    super_packets_are_cut_for_a_link_without_vnet_headers,
    udp_super_packets_arrive_as_their_datagrams,
    idle_workers_use_no_cpu,
    a_link_that_is_down_is_waited_for,
    a_deleted_link_is_reported_once_and_without_spinning,
    a_deleted_namespace_is_reported_and_let_go,
    a_removed_interface_is_gone_while_the_others_go_on,
];

const ADDRESSES: [Ipv4Addr; 2] = [
    Ipv4Addr::new(172, 18, 0, 108),
    Ipv4Addr::new(172, 18, 1, 70),
];

/// Two instances, their links and the threads between them.
struct Pair {
    workers: Workers,
    events: UnboundedReceiver<IoEvent>,
    dataplane: Arc<Dataplane>,
    tuns: Vec<Arc<Tun>>,
    namespaces: Vec<Scratch>,
    /// The threads' names and their CPU time are the process's: one pair at a time.
    _turn: MutexGuard<'static, ()>,
}

impl Pair {
    fn new(name: &str, offloads: [Offload; 2]) -> anyhow::Result<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dataplane = Arc::new(Dataplane::new(Settings {
            workers: 2,
            seed: 1,
            mtu: 1500,
            max_flows: 1000,
            query_log: false,
        }));
        dataplane.apply(config());
        let (mut namespaces, mut tuns) = (Vec::new(), Vec::new());
        for (index, offload) in offloads.into_iter().enumerate() {
            let namespace = Scratch::new(&format!("io-t-{name}-{index}"))?;
            let spec = TunSpec {
                addresses: vec![format!("{}/24", ADDRESSES[index]).parse()?],
                mtu: 1500,
                offload,
            };
            tuns.push(Arc::new(privileged::open_tun(&namespace.0, &spec)?));
            namespaces.push(namespace);
        }
        let indexed = tuns.iter().cloned().enumerate();
        let (workers, events) = Workers::start(
            dataplane.clone(),
            indexed.map(|(index, tun)| (eni(index), tun)).collect(),
            WorkerOptions {
                workers: 2,
                clock: Clock::start(),
            },
        )?;
        Ok(Self {
            workers,
            events,
            dataplane,
            tuns,
            namespaces,
            _turn: turn,
        })
    }

    /// Sends `length` bytes from one instance to the other and back; fails unless they come back the same.
    fn echo(&self, from: usize, length: usize) -> anyhow::Result<()> {
        let to = 1 - from;
        let address = SocketAddr::from((ADDRESSES[to], 7));
        let listener = inside(&self.namespaces[to].0, move || TcpListener::bind(address))??;
        let server = thread::spawn(move || -> anyhow::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            stream.write_all(&bytes)?;
            Ok(())
        });
        let timeout = Duration::from_secs(5);
        let mut stream = inside(&self.namespaces[from].0, move || {
            TcpStream::connect_timeout(&address, timeout)
        })??;
        stream.set_read_timeout(Some(timeout))?;
        // A period that no segment size divides: a piece in the wrong place would show.
        let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        stream.write_all(&sent)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received)?;
        ensure!(received == sent, "the bytes came back changed");
        server.join().expect("the server does not panic")
    }

    fn packets_written(&self, index: usize) -> anyhow::Result<u64> {
        packets_written(self.namespaces[index].0.name())
    }

    fn event(&mut self) -> anyhow::Result<IoEvent> {
        for _ in 0..200 {
            match self.events.try_recv() {
                Ok(event) => return Ok(event),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        anyhow::bail!("no event within two seconds")
    }
}

fn eni(index: usize) -> EniIdx {
    EniIdx::new(index as u32, 0)
}

/// One VPC with two instances whose group admits everything.
fn config() -> DataplaneConfig {
    let (vpc, group) = (VpcIdx::new(0, 0), GroupIdx::new(0, 0));
    let all = || Rule {
        traffic: Traffic::All,
        peer: Peer::Cidr("0.0.0.0/0".parse().expect("a CIDR")),
    };
    let mut config = DataplaneConfig::default();
    config.vpcs.insert(
        vpc,
        Vpc {
            cidrs: vec!["172.18.0.0/16".parse().expect("a CIDR")],
            reserved: vec![],
            resolver: None,
        },
    );
    config.groups.insert(
        group,
        SecurityGroup {
            ingress: vec![all()],
            egress: vec![all()],
        },
    );
    for (index, address) in ADDRESSES.into_iter().enumerate() {
        config.enis.insert(
            eni(index),
            Interface {
                vpc,
                addresses: vec![address.into()],
                groups: vec![group],
                role: Role::Instance {
                    source_dest_check: true,
                },
            },
        );
    }
    config
}

/// Runs `work` inside of a namespace.
fn inside<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| -> anyhow::Result<T> {
            namespace.enter()?;
            Ok(work())
        });
        thread.join().expect("the work does not panic")
    })
}

/// CPU time that the worker threads have used so far.
fn cpu_time() -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // A thread of another test may have ended.
        let Ok(name) = fs::read_to_string(task.join("comm")) else {
            continue;
        };
        if name.starts_with("worker-") {
            let stat = fs::read_to_string(task.join("schedstat"))?;
            let first = stat.split(' ').next().context("schedstat is empty")?;
            nanos += first.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Fails if the workers use the CPU although nothing happens.
fn quiet() -> anyhow::Result<()> {
    // The polling budget after the last packet, generously.
    thread::sleep(Duration::from_millis(100));
    let before = cpu_time()?;
    thread::sleep(Duration::from_millis(500));
    let used = cpu_time()? - before;
    ensure!(used < Duration::from_millis(5), "{used:?} in 500 ms");
    Ok(())
}

fn super_packets_arrive_intact() -> anyhow::Result<()> {
    let pair = Pair::new("super", [Offload::On, Offload::On])?;
    pair.echo(0, 20_000_000)?;
    let packets = pair.packets_written(1)?;
    ensure!(
        packets < 20_000_000 / 1448,
        "{packets} packets: none was super"
    );
    pair.echo(1, 1)
}

fn finished_packets_arrive_intact_without_vnet_headers() -> anyhow::Result<()> {
    let pair = Pair::new("plain", [Offload::Off, Offload::Off])?;
    pair.echo(0, 5_000_000)?;
    pair.echo(1, 1)
}

fn super_packets_are_cut_for_a_link_without_vnet_headers() -> anyhow::Result<()> {
    let pair = Pair::new("mixed", [Offload::On, Offload::Off])?;
    pair.echo(0, 20_000_000)?;
    let packets = pair.packets_written(1)?;
    ensure!(
        packets > 20_000_000 / 1460,
        "{packets} packets: they were not cut"
    );
    pair.echo(1, 20_000_000)?;
    let errors = run("ip netns exec io-t-mixed-1 nstat -asz TcpInCsumErrors IpInHdrErrors")?;
    for line in errors.lines().skip(1) {
        ensure!(line.split_whitespace().nth(1) == Some("0"), "{line}");
    }
    Ok(())
}

fn udp_super_packets_arrive_as_their_datagrams() -> anyhow::Result<()> {
    // 17 is SOL_UDP, 103 UDP_SEGMENT.
    const SEND: &str = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.setsockopt(17, 103, 1000)\n\
        s.sendto(b''.join(bytes([n]) * 1000 for n in range(9)) + b'end', ('172.18.1.70', 9))\n";
    for (name, receiver) in [("uso", Offload::On), ("usocut", Offload::Off)] {
        let pair = Pair::new(name, [Offload::On, receiver])?;
        let socket = inside(&pair.namespaces[1].0, || UdpSocket::bind("0.0.0.0:9"))??;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let sent = Command::new("ip")
            .args(["netns", "exec", pair.namespaces[0].0.name()])
            .args(["python3", "-c", SEND])
            .status()?;
        ensure!(sent.success());
        let mut buffer = [0; 2000];
        for n in 0..9 {
            let length = socket.recv(&mut buffer)?;
            ensure!(buffer[..length] == [n; 1000], "{name}: datagram {n}");
        }
        let length = socket.recv(&mut buffer)?;
        ensure!(&buffer[..length] == b"end", "{name}: the last, shorter one");
        let packets = pair.packets_written(1)?;
        let expected = if receiver == Offload::On { 1 } else { 10 };
        ensure!(packets == expected, "{name}: {packets} packets");
    }
    Ok(())
}

fn a_link_that_is_down_is_waited_for() -> anyhow::Result<()> {
    let mut pair = Pair::new("down", [Offload::On, Offload::On])?;
    pair.echo(0, 1000)?;
    run("ip -n io-t-down-1 link set eni0 down")?;
    let address = SocketAddr::from((ADDRESSES[1], 7));
    let connect = move || TcpStream::connect_timeout(&address, Duration::from_millis(200));
    ensure!(inside(&pair.namespaces[0].0, connect)?.is_err());
    quiet()?;
    run("ip -n io-t-down-1 link set eni0 up")?;
    run("ip -n io-t-down-1 route add default dev eni0")?;
    pair.echo(0, 1000)?;
    ensure!(pair.events.try_recv().is_err(), "nothing is gone");
    Ok(())
}

fn idle_workers_use_no_cpu() -> anyhow::Result<()> {
    let pair = Pair::new("idle", [Offload::On, Offload::On])?;
    quiet()?;
    pair.echo(0, 100_000)?;
    quiet()
}

fn a_deleted_link_is_reported_once_and_without_spinning() -> anyhow::Result<()> {
    let mut pair = Pair::new("link", [Offload::On, Offload::On])?;
    pair.echo(0, 1000)?;
    run("ip -n io-t-link-1 link delete eni0")?;
    let event = pair.event()?;
    ensure!(
        matches!(&event, IoEvent::LinkGone { eni: gone, .. } if *gone == eni(1)),
        "{event:?}"
    );
    let address = SocketAddr::from((ADDRESSES[1], 7));
    let connected = inside(&pair.namespaces[0].0, move || {
        TcpStream::connect_timeout(&address, Duration::from_millis(200))
    })?;
    ensure!(connected.is_err());
    quiet()?;
    ensure!(pair.events.try_recv().is_err(), "it was reported twice");
    Ok(())
}

fn a_deleted_namespace_is_reported_and_let_go() -> anyhow::Result<()> {
    let mut pair = Pair::new("gone", [Offload::On, Offload::On])?;
    pair.echo(0, 1000)?;
    run("ip netns delete io-t-gone-1")?;
    let event = pair.event()?;
    ensure!(
        matches!(
            &event,
            IoEvent::NamespaceGone { namespace, enis } if namespace == "io-t-gone-1" && *enis == [eni(1)]
        ),
        "{event:?}"
    );
    pair.workers.remove(eni(1));
    let tun = pair.tuns.pop().context("two TUNs")?;
    ensure!(Arc::strong_count(&tun) == 1, "somebody still holds the TUN");
    quiet()
}

fn a_removed_interface_is_gone_while_the_others_go_on() -> anyhow::Result<()> {
    let pair = Pair::new("change", [Offload::On, Offload::On])?;
    pair.echo(0, 1000)?;
    pair.workers.remove(eni(1));
    ensure!(Arc::strong_count(&pair.tuns[1]) == 1);
    pair.dataplane.apply(config());
    pair.workers.wake();
    let address = SocketAddr::from((ADDRESSES[1], 7));
    let connect = move || TcpStream::connect_timeout(&address, Duration::from_millis(200));
    ensure!(inside(&pair.namespaces[0].0, connect)?.is_err());
    pair.workers.add(eni(1), pair.tuns[1].clone());
    pair.echo(0, 1_000_000)?;
    pair.echo(1, 1_000_000)
}
