//! Why packets are rewritten and not terminated: the same TCP payload, carried both ways in memory.
//!
//! *rewrite*: an established flow through [`Dataplane::handle_packet`](privlink::dataplane::Dataplane::handle_packet), the
//! data one way and an acknowledgement per burst the other. *terminate*: what stands in the middle of two TCP connections
//! instead, two smoltcp interfaces with a socket each and one copy between them.
//!
//! Only the one in the middle is on the clock. The terminating relay's peers, smoltcp hosts as well, fill and empty their
//! queues while it stands still; the rewriting one pays for having its packet's header prepared. Neither pays for a TUN:
//! *copy* is the least that reading and writing the bytes adds to both.
//!
//! Super-packets come with offloads, so nobody computes their checksums; packets of MTU 1500 without, so the relay verifies
//! and computes them, and rewriting updates them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant as Clock};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use privlink::dataplane::Verdict;
use privlink::sim::{SimPacket, Topology, World};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address};

/// A way of cutting the payload into packets.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// Payload of one packet, in bytes.
    payload: usize,
    /// Are checksums left to the device?
    offload: bool,
}

const IP_AND_TCP: usize = 40;
/// What a sender hands over at a time, in bytes: one super-packet, or a burst of packets.
const BURST: usize = 64_000;
const SHAPES: [Shape; 2] = [
    Shape {
        name: "super-packets",
        payload: BURST,
        offload: true,
    },
    Shape {
        name: "mtu 1500",
        payload: 1460,
        offload: false,
    },
];

/// A flow through the data plane, and its packets as templates.
struct Rewriting {
    world: World,
    data: SimPacket,
    acknowledgement: SimPacket,
}

impl Rewriting {
    fn new(shape: Shape) -> Self {
        let mut world = World::new(&Topology::w1());
        let [outbound, inbound] = world.connect(40_000, (Topology::ENDPOINT_C_ADDRESS, 80));
        let data = outbound.payload(&vec![7; shape.payload]);
        let (data, acknowledgement) = match shape.offload {
            true => (data.gso(1460), inbound.needs_csum()),
            false => (data, inbound),
        };
        Self {
            world,
            data: data.build(),
            acknowledgement: acknowledgement.build(),
        }
    }

    /// Carries so many bursts; the time it took.
    fn carry(&mut self, shape: Shape, bursts: u64) -> Duration {
        let World {
            dataplane,
            workers,
            now,
            ..
        } = &mut self.world;
        let (consumer, provider) = (Topology::EC2_A, Topology::EC2_B);
        let mut buffer = self.data.clone();
        let mut short = self.acknowledgement.clone();
        let mut carried = 0;
        let start = Clock::now();
        for _ in 0..bursts {
            dataplane.resume(&mut workers[0]);
            for _ in 0..BURST.div_ceil(shape.payload) {
                buffer.vnet = self.data.vnet;
                buffer.bytes[..IP_AND_TCP].copy_from_slice(&self.data.bytes[..IP_AND_TCP]);
                let mut packet = buffer.view();
                let verdict = dataplane.handle_packet(&mut workers[0], consumer, &mut packet, *now);
                carried += u64::from(verdict == Verdict::Forward(provider));
            }
            short.clone_from(&self.acknowledgement);
            let verdict =
                dataplane.handle_packet(&mut workers[1], provider, &mut short.view(), *now);
            carried += u64::from(verdict == Verdict::Forward(consumer));
        }
        let took = start.elapsed();
        let packets = BURST.div_ceil(shape.payload) as u64 + 1;
        assert_eq!(carried, bursts * packets, "every packet has passed");
        took
    }
}

/// A packet, in a buffer that is used again.
struct Frame {
    buffer: Box<[u8]>,
    len: usize,
}

/// One direction of a cable.
type Wire = Rc<RefCell<VecDeque<Frame>>>;

/// An interface's end of a cable.
struct Link {
    capabilities: DeviceCapabilities,
    received: Wire,
    sent: Wire,
    spare: Rc<RefCell<Vec<Frame>>>,
}

struct RxToken(Frame, Rc<RefCell<Vec<Frame>>>);
struct TxToken<'a>(&'a Link);

impl Device for Link {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _: Instant) -> Option<(RxToken, TxToken<'_>)> {
        let frame = self.received.borrow_mut().pop_front()?;
        Some((RxToken(frame, Rc::clone(&self.spare)), TxToken(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        Some(TxToken(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Self(frame, spare) = self;
        let result = f(&frame.buffer[..frame.len]);
        spare.borrow_mut().push(frame);
        result
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let spare = self.0.spare.borrow_mut().pop();
        let mut frame = spare.unwrap_or_else(|| Frame {
            buffer: vec![0; 65_536].into(),
            len: 0,
        });
        frame.len = len;
        let result = f(&mut frame.buffer[..len]);
        self.0.sent.borrow_mut().push_back(frame);
        result
    }
}

/// A host with one TCP socket.
struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    link: Link,
}

/// Two hosts on a cable: the first connects to the second.
fn pair(shape: Shape, clock: Instant) -> [Host; 2] {
    let wires = [Wire::default(), Wire::default()];
    let spare = Rc::default();
    let addresses = [[10, 0, 0, 1], [10, 0, 0, 2]].map(Ipv4Address::from);
    let host = |which: usize| {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = shape.payload + IP_AND_TCP;
        if shape.offload {
            capabilities.checksum.tcp = Checksum::None;
        }
        let mut link = Link {
            capabilities,
            received: Rc::clone(&wires[1 - which]),
            sent: Rc::clone(&wires[which]),
            spare: Rc::clone(&spare),
        };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut link, clock);
        interface.update_ip_addrs(|own| {
            own.push(IpCidr::new(addresses[which].into(), 24)).unwrap();
        });
        let buffer = || SocketBuffer::new(vec![0; 4 * BURST]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        Host {
            interface,
            sockets,
            socket,
            link,
        }
    };
    let mut hosts = [host(0), host(1)];
    let [client, server] = &mut hosts;
    server.socket().listen(80).unwrap();
    let socket = client.sockets.get_mut::<Socket>(client.socket);
    let to = (IpAddress::from(addresses[1]), 80);
    socket
        .connect(client.interface.context(), to, 40_000)
        .unwrap();
    while !(client.socket().may_send() && server.socket().may_send()) {
        client.poll(clock);
        server.poll(clock);
    }
    hosts
}

impl Host {
    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn poll(&mut self, clock: Instant) {
        self.interface
            .poll(clock, &mut self.link, &mut self.sockets);
    }
}

/// client - consumer's side of the relay, copy, provider's side of the relay - server.
struct Terminating {
    client: Host,
    consumer_side: Host,
    provider_side: Host,
    server: Host,
    clock: Instant,
}

impl Terminating {
    fn new(shape: Shape) -> Self {
        let clock = Instant::ZERO;
        let [client, consumer_side] = pair(shape, clock);
        let [provider_side, server] = pair(shape, clock);
        Self {
            client,
            consumer_side,
            provider_side,
            server,
            clock,
        }
    }

    /// Carries so many bursts from client to server; the time that the relay spent on it.
    fn carry(&mut self, bursts: u64) -> Duration {
        let burst = vec![7; BURST];
        let mut relay = Duration::ZERO;
        let (mut sent, mut arrived) = (0, 0);
        let all = bursts as usize * BURST;
        while arrived < all {
            self.clock += smoltcp::time::Duration::from_micros(10);
            let want = BURST.min(all - sent);
            sent += self.client.socket().send_slice(&burst[..want]).unwrap();
            self.client.poll(self.clock);
            let start = Clock::now();
            self.relay();
            relay += start.elapsed();
            self.server.poll(self.clock);
            let socket = self.server.socket();
            while socket.can_recv() {
                arrived += socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
            }
        }
        relay
    }

    /// One round: what has come in is acknowledged, copied across and sent on.
    fn relay(&mut self) {
        self.consumer_side.poll(self.clock);
        let from = self
            .consumer_side
            .sockets
            .get_mut::<Socket>(self.consumer_side.socket);
        let to = self
            .provider_side
            .sockets
            .get_mut::<Socket>(self.provider_side.socket);
        while from.can_recv() && to.can_send() {
            from.recv(|bytes| {
                let taken = to.send_slice(bytes).unwrap();
                (taken, ())
            })
            .unwrap();
        }
        self.provider_side.poll(self.clock);
    }
}

/// Reads and writes the bytes once each, as a TUN does.
fn copy(bursts: u64) -> Duration {
    let (kernel, mut buffer) = (vec![7_u8; BURST], vec![0_u8; BURST]);
    let mut out = vec![0_u8; BURST];
    let start = Clock::now();
    for _ in 0..bursts {
        buffer.copy_from_slice(black_box(&kernel));
        out.copy_from_slice(black_box(&buffer));
        black_box(&mut out);
    }
    start.elapsed()
}

fn carry(criterion: &mut Criterion) {
    for shape in SHAPES {
        let mut group = criterion.benchmark_group(shape.name);
        group
            .throughput(Throughput::Bytes(BURST as u64))
            .sample_size(20)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2));
        let mut rewriting = Rewriting::new(shape);
        group.bench_function("rewrite", |bencher| {
            bencher.iter_custom(|bursts| rewriting.carry(shape, bursts));
        });
        let mut terminating = Terminating::new(shape);
        group.bench_function("terminate", |bencher| {
            bencher.iter_custom(|bursts| terminating.carry(bursts));
        });
        group.bench_function("copy", |bencher| bencher.iter_custom(copy));
    }
}

criterion_group!(benches, carry);
criterion_main!(benches);
