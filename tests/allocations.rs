//! A packet of a flow allocates nothing, whatever it is made of, and neither does one that is dropped in silence.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use privlink::dataplane::config::{Destination, Protocols, Resolver, ResourceTarget, Role, View};
use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::net::{Addr, Segment, VnetHeader, checksum};
use privlink::sim::{
    PacketBuilder, SimPacket, Topology, World, any_from, echo_reply, echo_request, tcp, udp,
};

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
const ENDPOINT: ([u8; 4], u16) = (Topology::ENDPOINT_C_ADDRESS, 80);
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

/// A world in which everything passes that there is.
fn open_world() -> World {
    let mut topology = Topology::w1();
    for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
        topology.group(group).ingress.push(any_from("0.0.0.0/0"));
    }
    topology.resource().protocols = Protocols {
        tcp: true,
        udp: true,
        icmp: true,
    };
    World::new(&topology)
}

/// Flows of each kind through the endpoint, packets of both sides.
fn flows(world: &mut World) -> Vec<(&'static str, SimPacket, SimPacket)> {
    let (client, server) = ((Topology::EC2_ADDRESS, 40_000), ENDPOINT);
    let [outbound, inbound] = world.connect(client.1, server);
    let data = |packet: &PacketBuilder| packet.clone().payload(&[7; 1400]).build();
    let large = |packet: &PacketBuilder| packet.clone().payload(&[7; 60_000]).gso(1448).build();

    let datagram = udp(client, server).payload(&[7; 1000]);
    let arrived = world.deliver(A, &datagram, B).tuple();
    let gateway = (arrived.src.octets_v4().unwrap(), arrived.src_port);
    let answer = udp((Topology::EC2_ADDRESS, server.1), gateway).payload(&[7; 1000]);
    let large_datagrams = |packet: &PacketBuilder| packet.clone().payload(&[7; 9000]).gso(1000);

    let ping = echo_request(client.0, server.0, 7);
    let arrived = world.deliver(A, &ping, B).tuple();
    let pong = echo_reply(
        Topology::EC2_ADDRESS,
        arrived.src.octets_v4().unwrap(),
        arrived.src_port,
    );
    vec![
        ("TCP", data(&outbound), data(&inbound)),
        ("TCP super-packets", large(&outbound), large(&inbound)),
        ("UDP", datagram.build(), answer.build()),
        (
            "UDP super-packets",
            large_datagrams(&datagram).build(),
            large_datagrams(&answer).build(),
        ),
        ("ICMP echo", ping.build(), pong.build()),
    ]
}

/// A connection whose target has just acknowledged a PROXY header, and packets of both sides.
fn proxied() -> (World, SimPacket, SimPacket) {
    let mut topology = Topology::w1();
    topology.resource().proxy_protocol = true;
    let mut world = World::new(&topology);
    let client = tcp((Topology::EC2_ADDRESS, 40_000), ENDPOINT);
    let arrived = world.deliver(A, &client, B).tuple();
    let gateway = (arrived.src.octets_v4().unwrap(), arrived.src_port);
    let server = tcp((Topology::EC2_ADDRESS, 80), gateway);
    let (syn, ack) = (Segment::SYN, Segment::ACK);
    world.deliver(B, &server.clone().segment(syn | ack, 5000, 901), A);
    let client = client.segment(ack, 1001, 5001);
    assert_eq!(world.send(A, &client).replies.len(), 1);
    let server = server.segment(ack, 5001, 1001);
    world.deliver(B, &server, A);
    let data = |packet: PacketBuilder| packet.payload(&[7; 1400]).build();
    (world, data(client), data(server))
}

/// A packet for every reason that ends packets of an instance in silence.
fn silent_drops() -> Vec<(DropReason, SimPacket)> {
    use DropReason::*;
    let syn = |dst| tcp((Topology::EC2_ADDRESS, 40_001), dst).build();
    let bytes = |change: fn(&mut Vec<u8>)| {
        let mut packet = syn(ENDPOINT);
        change(&mut packet.bytes);
        packet
    };
    let vnet = |change: fn(&mut VnetHeader)| {
        let segment = tcp((Topology::EC2_ADDRESS, 40_001), ENDPOINT).segment(Segment::ACK, 1, 1);
        let mut packet = segment.payload(&[7; 3000]).gso(1448).build();
        change(&mut packet.vnet);
        packet
    };
    // Its header's checksum is mended: 20 bytes with others to follow, or in the middle of the TCP header.
    let fragment = |place: u16| {
        let mut packet = syn(ENDPOINT);
        packet.bytes[6..8].copy_from_slice(&place.to_be_bytes());
        packet.bytes[10..12].fill(0);
        let sum = !checksum::sum(&packet.bytes[..20]);
        packet.bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    let mut redirect = echo_request(Topology::EC2_ADDRESS, ENDPOINT.0, 1).build();
    redirect.bytes[20] = 5;
    vec![
        (VnetFlags, vnet(|vnet| vnet.flags = 0x41)),
        (VnetGsoType, vnet(|vnet| vnet.gso_type = 4)),
        (VnetGsoSize, vnet(|vnet| vnet.gso_size = 1)),
        (VnetChecksumStart, vnet(|vnet| vnet.csum_start = 12)),
        (VnetChecksumOffset, vnet(|vnet| vnet.csum_offset = 2)),
        (Truncated, bytes(|bytes| bytes.truncate(30))),
        (BadIpHeader, bytes(|bytes| bytes[0] = 0x55)),
        (Ipv6, bytes(|bytes| bytes[0] = 0x60)),
        (BadFragment, fragment(0x2000)),
        (TinyFragment, fragment(1)),
        (BadTransportHeader, bytes(|bytes| bytes[33] = 0)),
        (IcmpType, redirect),
        (SourceCheck, tcp(([10, 0, 0, 1], 1), ENDPOINT).build()),
        (NoRoute, syn(([8, 8, 8, 8], 80))),
        (NoSuchAddress, syn(([172, 18, 9, 9], 80))),
        (IngressDenied, syn((ENDPOINT.0, 81))),
    ]
}

// One test only: another one's thread would be counted as well.
#[test]
fn a_packet_of_a_flow_and_a_silent_drop_allocate_nothing() {
    let mut world = open_world();
    for (kind, there, back) in flows(&mut world) {
        let outbound = allocations(&mut world, A, &there, Verdict::Forward(B));
        let inbound = allocations(&mut world, B, &back, Verdict::Forward(A));
        assert_eq!((outbound, inbound), (0, 0), "{kind}");
    }

    let (mut world, there, back) = proxied();
    let outbound = allocations(&mut world, A, &there, Verdict::Forward(B));
    let inbound = allocations(&mut world, B, &back, Verdict::Forward(A));
    assert_eq!((outbound, inbound), (0, 0), "behind a PROXY header");

    let mut world = World::new(&Topology::w1());
    for (reason, packet) in silent_drops() {
        let allocations = allocations(&mut world, A, &packet, Verdict::Drop(reason));
        assert_eq!(allocations, 0, "{reason:?}");
    }
    // From behind a gateway nothing opens, and nothing is said of it.
    let gateway = ([172, 18, 1, 80], 5000);
    let forged = tcp((Topology::EC2_ADDRESS, 80), gateway).build();
    let reason = DropReason::GatewayIngress;
    let count = allocations(&mut world, B, &forged, Verdict::Drop(reason));
    assert_eq!(count, 0, "{reason:?}");
    for (reason, change) in refusals() {
        let mut topology = Topology::w1();
        change(&mut topology);
        let mut world = World::new(&topology);
        let syn = tcp((Topology::EC2_ADDRESS, 40_001), ENDPOINT).build();
        let count = allocations(&mut world, A, &syn, Verdict::Drop(reason));
        assert_eq!(count, 0, "{reason:?}");
    }

    let mut topology = Topology::w1();
    let resolver = [172, 18, 0, 2];
    let vpc = topology.config.vpcs.get_mut(Topology::CONSUMER_VPC);
    vpc.unwrap().resolver = Some(Resolver {
        addresses: vec![Addr::v4(resolver)],
        zones: vec![],
    });
    let mut world = World::new(&topology);
    let ping = echo_request(Topology::EC2_ADDRESS, resolver, 1).build();
    for reason in [DropReason::NotForResolver, DropReason::ResolverLimit] {
        let count = allocations(&mut world, A, &ping, Verdict::Drop(reason));
        assert_eq!(count, 0, "{reason:?}");
        // With these it is 1,024 within the second.
        (PACKETS..1024).for_each(|_| drop(world.send_packet(A, ping.clone())));
    }

    // The count counts: what opens a flow for the first time makes its table's memory.
    let mut fresh = World::new(&Topology::w1());
    let before = ALLOCATIONS.load(Relaxed);
    fresh.deliver(A, &tcp((Topology::EC2_ADDRESS, 40_000), ENDPOINT), B);
    assert!(ALLOCATIONS.load(Relaxed) > before);
}

/// A reason to refuse what W1 admits, and the change that brings it about.
type Refusal = (DropReason, fn(&mut Topology));

fn refusals() -> [Refusal; 6] {
    use DropReason::*;
    [
        (EndpointNotAvailable, |topology| {
            topology.interface(Topology::ENDPOINT_C).role = Role::Endpoint(Destination::Nothing);
        }),
        (EgressDenied, |topology| {
            topology.group(Topology::CONSUMER_GROUP).egress.clear();
        }),
        (ProtocolNotOffered, |topology| {
            topology.resource().protocols.tcp = false;
        }),
        (PortNotOffered, |topology| topology.resource().ports.clear()),
        (NameNotResolved, |topology| {
            topology.resource().target = ResourceTarget::Name {
                name: "example.com.".parse().unwrap(),
                view: View::Public,
                allowed: vec![],
            };
        }),
        (NoTarget, |topology| {
            topology.resource().target = ResourceTarget::Address(Addr::v4([172, 18, 9, 9]));
        }),
    ]
}
