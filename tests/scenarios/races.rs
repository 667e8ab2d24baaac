//! Threads that open, close, expire and reopen flows in a table that is always full, while others follow them: no
//! packet goes along a flow that is not its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use parking_lot::Mutex;
use privlink::dataplane::{Dataplane, DropReason, EniIdx, Instant, Settings, Verdict, Worker};
use privlink::net::Packet;
use privlink::sim::{SimPacket, Topology, World, tcp, udp};

use super::{A, ACK, B, EC2, ENDPOINT, NEIGHBOUR, RST, SYN, resolver};

const RUN: Duration = Duration::from_secs(2);
/// For what has to come, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Few, so that places are used again and again.
const FLOWS: usize = 96;
/// Few, so that five-tuples are.
const PORTS: u64 = 64;

type Gateway = ([u8; 4], u16);

struct Arena {
    dataplane: Dataplane,
    /// Virtual time; it runs so fast that flows expire between two packets.
    now: AtomicU64,
    stop: AtomicBool,
    /// Whom each gateway address and port has stood for; the newest last.
    owners: Mutex<HashMap<Gateway, Vec<(EniIdx, u16)>>>,
}

impl Arena {
    fn now(&self) -> Instant {
        Instant::START + Duration::from_micros(self.now.load(Ordering::Relaxed))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn send(&self, worker: &mut Worker, from: EniIdx, packet: &mut SimPacket) -> Verdict {
        let SimPacket { vnet, bytes } = packet;
        let mut view = Packet::new(vnet, bytes);
        let verdict = self
            .dataplane
            .handle_packet(worker, from, &mut view, self.now());
        while self.dataplane.poll_transmit(worker).is_some() {}
        verdict
    }

    /// Batches of `work` until the end; now and then the worker sleeps.
    fn batches(&self, number: usize, mut work: impl FnMut(&mut Worker, &mut u64)) {
        let mut worker = self.dataplane.worker(number);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ number as u64;
        while !self.stopped() {
            self.dataplane.resume(&mut worker);
            for _ in 0..16 {
                work(&mut worker, &mut random);
            }
            if next(&mut random).is_multiple_of(64) {
                self.dataplane.park(&mut worker);
                thread::yield_now();
            }
        }
        self.dataplane.park(&mut worker);
    }

    /// A consumer: a SYN or an ACK of a random port; the ACK arrives from where its SYN did, or not at all.
    fn consume(&self, number: usize, from: EniIdx, address: [u8; 4], tell: SyncSender<Gateway>) {
        let packet = |port, flags| {
            tcp((address, port), (ENDPOINT, 80))
                .segment(flags, 1, 0)
                .build()
        };
        let mut bound = HashMap::<u16, Gateway>::new();
        let (mut opened, mut followed) = (0, 0);
        self.batches(number, |worker, random| {
            let port = 2000 + (next(random) % PORTS) as u16;
            let flags = [SYN, ACK, ACK, RST][(next(random) % 4) as usize];
            let mut sent = packet(port, flags);
            match self.send(worker, from, &mut sent) {
                Verdict::Forward(to) => {
                    assert_eq!((to, destination(&sent)), (B, (EC2, 80)));
                    let gateway = source(&sent);
                    if flags != SYN || bound.get(&port) == Some(&gateway) {
                        assert_eq!(bound.get(&port), Some(&gateway), "port {port}");
                        followed += 1;
                        return;
                    }
                    self.owners
                        .lock()
                        .entry(gateway)
                        .or_default()
                        .push((from, port));
                    bound.insert(port, gateway);
                    opened += 1;
                    // The provider may be behind: then it answers others.
                    let _ = tell.try_send(gateway);
                }
                Verdict::Drop(DropReason::NoFlow | DropReason::FlowTableFull) => {}
                verdict => panic!("{verdict:?}"),
            }
        });
        assert!(
            opened > 100 && followed > 100,
            "{opened} opened, {followed} followed"
        );
    }

    /// The provider: answers to gateway addresses and ports that are, or were a moment ago, somebody's.
    fn provide(&self, number: usize, told: Receiver<Gateway>) {
        let packet = |to, flags| tcp((EC2, 80), to).segment(flags, 1, 2).build();
        let mut known = Vec::<Gateway>::new();
        let mut answered = 0;
        self.batches(number, |worker, random| {
            if let Ok(gateway) = told.try_recv() {
                match known.len() < 64 {
                    true => known.push(gateway),
                    false => known[(next(random) % 64) as usize] = gateway,
                }
            }
            let Some(gateway) = known.get((next(random) % 64) as usize) else {
                return;
            };
            let flags = [SYN | ACK, ACK, ACK, RST | ACK][(next(random) % 4) as usize];
            let mut sent = packet(*gateway, flags);
            match self.send(worker, B, &mut sent) {
                Verdict::Forward(to) => {
                    assert_eq!(source(&sent), (ENDPOINT, 80));
                    let (address, port) = destination(&sent);
                    assert_eq!(address, if to == A { EC2 } else { NEIGHBOUR });
                    assert!(
                        self.owned(gateway, (to, port)),
                        "{gateway:?}: {to:?} {port}"
                    );
                    answered += 1;
                }
                Verdict::Drop(DropReason::GatewayIngress) => {}
                verdict => panic!("{verdict:?}"),
            }
        });
        assert!(answered > 100, "{answered} answered");
    }

    /// Does the gateway's address and port stand for this consumer? One that has just got it may not have said so yet.
    fn owned(&self, gateway: &Gateway, consumer: (EniIdx, u16)) -> bool {
        let deadline = Clock::now() + Duration::from_millis(500);
        loop {
            let owners = self.owners.lock();
            if owners
                .get(gateway)
                .is_some_and(|all| all.iter().rev().take(2).any(|one| *one == consumer))
            {
                return true;
            }
            drop(owners);
            if Clock::now() > deadline {
                return false;
            }
            thread::yield_now();
        }
    }

    /// Time passes, and what has expired is swept.
    fn sweep(&self, number: usize) {
        self.batches(number, |worker, random| {
            let step = next(random) % 2_000_000;
            self.now.fetch_add(step, Ordering::Relaxed);
            self.dataplane.handle_timeout(worker, self.now());
        });
    }
}

#[test]
fn flows_that_come_and_go_under_four_threads_are_never_mixed_up() {
    let arena = Arena {
        dataplane: Dataplane::new(Settings {
            workers: 5,
            max_flows: FLOWS,
            ..World::settings()
        }),
        now: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        owners: Mutex::default(),
    };
    arena.dataplane.apply(Topology::w1().config);
    thread::scope(|scope| {
        let arena = &arena;
        let (tell, told) = sync_channel(64);
        let also = tell.clone();
        let threads = [
            scope.spawn(move || arena.consume(0, A, EC2, tell)),
            scope.spawn(move || arena.consume(1, Topology::EC2_A2, NEIGHBOUR, also)),
            scope.spawn(move || arena.provide(2, told)),
            scope.spawn(move || arena.sweep(3)),
            scope.spawn(move || arena.sweep(4)),
        ];
        let end = Clock::now() + RUN;
        while Clock::now() < end && threads.iter().all(|thread| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(10));
        }
        arena.stop.store(true, Ordering::Relaxed);
    });
    // Every place has come back, once: else the table would be too small, or two flows would share one.
    let mut worker = arena.dataplane.worker(0);
    let mut now = arena.now() + Duration::from_secs(1000);
    for _ in 0..100 {
        arena.dataplane.resume(&mut worker);
        arena.dataplane.handle_timeout(&mut worker, now);
        now = now + Duration::from_secs(5);
    }
    assert_eq!(
        arena.dataplane.poll_timeout(&worker),
        None,
        "flows are left"
    );
    let mut gateways = HashMap::new();
    for port in 0..FLOWS as u16 {
        let (from, address) = match port % 2 {
            0 => (A, EC2),
            _ => (Topology::EC2_A2, NEIGHBOUR),
        };
        let mut syn = tcp((address, port), (ENDPOINT, 80)).build();
        arena.dataplane.resume(&mut worker);
        let mut view = Packet::new(&mut syn.vnet, &mut syn.bytes);
        match arena
            .dataplane
            .handle_packet(&mut worker, from, &mut view, now)
        {
            Verdict::Forward(_) => gateways.insert(source(&syn), port),
            _ => break,
        };
    }
    // Two consumers, and as much again for others.
    assert_eq!(gateways.len(), FLOWS * 2 / 3);
    assert_eq!(
        arena.dataplane.flows(0..usize::MAX, now).count(),
        gateways.len()
    );
}

fn source(packet: &SimPacket) -> Gateway {
    at(packet, 12, 20)
}

fn destination(packet: &SimPacket) -> Gateway {
    at(packet, 16, 22)
}

fn at(packet: &SimPacket, address: usize, port: usize) -> Gateway {
    let bytes = &packet.bytes;
    let address = [0, 1, 2, 3].map(|i| bytes[address + i]);
    (address, u16::from_be_bytes([bytes[port], bytes[port + 1]]))
}

/// xorshift64
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 11
}

#[test]
fn questions_under_four_threads_are_each_answered_while_upstream_and_the_topology_go_on() {
    const QUESTIONS: u16 = 600;
    let (topology, instances) = resolver::crowd(4);
    let dataplane = Dataplane::new(Settings {
        workers: 4,
        ..World::settings()
    });
    dataplane.apply(topology.config.clone());
    let stop = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let ask = |number: usize| {
        let mut worker = dataplane.worker(number);
        let (eni, address) = instances[number];
        let count = |worker: &mut Worker, now| {
            dataplane.resume(worker);
            dataplane.handle_timeout(worker, now);
            while dataplane.poll_transmit(worker).is_some() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut now = Instant::START;
        for question in 0..QUESTIONS {
            // Many of them are others' as well.
            let name = format!("{}.example.{}.", question % 50, ["com", "org"][number % 2]);
            let query = resolver::question(&name);
            let query = udp((address, 1024 + question), resolver::RESOLVER).payload(&query);
            now = now + Duration::from_millis(2);
            dataplane.resume(&mut worker);
            let mut packet = query.build();
            let verdict = dataplane.handle_packet(&mut worker, eni, &mut packet.view(), now);
            assert_eq!(verdict, Verdict::Answered);
            count(&mut worker, now);
        }
        while !stop.load(Ordering::Relaxed) {
            count(&mut worker, now);
        }
        dataplane.park(&mut worker);
    };
    thread::scope(|scope| {
        for number in 0..4 {
            let ask = &ask;
            scope.spawn(move || ask(number));
        }
        let began = Clock::now();
        let all = 4 * u64::from(QUESTIONS);
        while answered.load(Ordering::Relaxed) < all && began.elapsed() < PATIENCE {
            for (id, ..) in resolver::asked_of(&dataplane) {
                let upstream = resolver::records("example.org.", "@ 1 A 192.0.2.1");
                dataplane.handle_resolved(id, upstream, Instant::START);
            }
            dataplane.apply(topology.config.clone());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(answered.into_inner(), 4 * u64::from(QUESTIONS));
}
