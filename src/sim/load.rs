//! Packets of many flows, sent from one buffer as fast as a worker takes them: what benches measure and instructions are
//! counted of.

use super::packet::{PacketBuilder, SimPacket, tcp};
use super::topology::Topology;
use super::world::World;
use crate::dataplane::{Dataplane, EniIdx, Instant, Verdict, Worker};
use crate::net::{Packet, Segment, VnetHeader};

/// Packets between two looks at the newest topology, as `io`'s workers have it.
const BATCH: u64 = 64;
/// Source ports of [`Established`]'s flows; the rest of a flow's number is in its destination port.
const SOURCE_PORTS: usize = 50_000;

/// Packets that differ in nothing but where they enter, their addresses and their ports.
///
/// Two loads share no cache line, as two workers' buffers do not.
#[repr(align(128))]
#[derive(Clone, Debug)]
pub struct Load {
    vnet: VnetHeader,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    next: usize,
}

/// Where one packet enters, and the addresses and ports that stand in its header.
#[derive(Clone, Copy, Debug)]
struct Row {
    from: EniIdx,
    addresses: [u8; 8],
    ports: [u8; 4],
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// How many were forwarded.
    pub forwarded: u64,
    /// How many were dropped.
    pub dropped: u64,
}

impl Load {
    /// Packets like this one; none yet.
    pub fn new(like: &PacketBuilder) -> Self {
        let SimPacket { vnet, bytes } = like.build();
        Self {
            vnet,
            bytes,
            rows: vec![],
            next: 0,
        }
    }

    /// One more, with the addresses and ports of `packet`.
    pub fn push(&mut self, from: EniIdx, packet: &PacketBuilder) {
        let packet = packet.build();
        let (addresses, ports) = packet.bytes[12..24].split_at(8);
        self.rows.push(Row {
            from,
            addresses: addresses.try_into().unwrap(),
            ports: ports.try_into().unwrap(),
        });
    }

    /// Puts them in an order that is random, and the same for equal numbers of packets.
    pub fn shuffle(&mut self) {
        shuffle(&mut self.rows);
    }

    /// How many packets there are until they begin anew.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Back to the first packet.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// The next packet, in the buffer, and where it enters.
    #[inline]
    pub fn next_packet(&mut self) -> (EniIdx, Packet<'_>) {
        let row = &self.rows[self.next];
        self.next += 1;
        if self.next == self.rows.len() {
            self.next = 0;
        }
        self.bytes[12..20].copy_from_slice(&row.addresses);
        self.bytes[20..24].copy_from_slice(&row.ports);
        (row.from, Packet::new(&mut self.vnet, &mut self.bytes))
    }

    /// Has a worker handle the next so many packets, in batches.
    #[inline]
    pub fn send(
        &mut self,
        dataplane: &Dataplane,
        worker: &mut Worker,
        packets: u64,
        now: Instant,
    ) -> Fates {
        let mut fates = Fates::default();
        for number in 0..packets {
            if number % BATCH == 0 {
                dataplane.resume(worker);
                while dataplane.poll_transmit(worker).is_some() {}
            }
            let (from, mut packet) = self.next_packet();
            match dataplane.handle_packet(worker, from, &mut packet, now) {
                Verdict::Forward(_) | Verdict::ForwardAfter(_) => fates.forwarded += 1,
                Verdict::Drop(_) => fates.dropped += 1,
                Verdict::Answered => {}
            }
        }
        fates
    }
}

/// A world with flows through W1's endpoint, their handshakes done.
pub struct Established {
    /// The world, every port of it open.
    pub world: World,
    /// A full packet of each flow from EC2_A, in random order.
    pub outbound: Load,
    /// A full packet of each flow from EC2_B, in the same order.
    pub inbound: Load,
}

impl Established {
    /// So many flows, by EC2_A's source port and the endpoint's port.
    pub fn new(flows: usize, workers: usize) -> Self {
        // One interface gets half of the table.
        let mut world = World::open(2 * flows, workers);
        let (client, server) = (
            (Topology::EC2_ADDRESS, 0),
            (Topology::ENDPOINT_C_ADDRESS, 0),
        );
        let payload = [0; 1400];
        let like = tcp(client, server).payload(&payload);
        let mut outbound = Load::new(&like.clone().segment(Segment::ACK, 1001, 5001));
        let mut inbound = Load::new(&like.segment(Segment::ACK, 5001, 1001));
        for flow in 0..flows {
            let port = 1024 + (flow % SOURCE_PORTS) as u16;
            let server = (server.0, 1 + (flow / SOURCE_PORTS) as u16);
            let [out, back] = world.connect(port, server);
            outbound.push(Topology::EC2_A, &out);
            inbound.push(Topology::EC2_B, &back);
        }
        outbound.shuffle();
        inbound.shuffle();
        Self {
            world,
            outbound,
            inbound,
        }
    }
}

/// Fisher and Yates, with a xorshift generator: the same order every time.
pub fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(at, (state % (at as u64 + 1)) as usize);
    }
}
