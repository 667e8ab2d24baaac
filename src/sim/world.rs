//! A data plane with its workers, run by a test one packet at a time.

use std::collections::BTreeMap;
use std::iter;
use std::time::Duration;

use super::load::{Fates, Load};
use super::packet::{PacketBuilder, SimPacket, tcp};
use super::server::Server;
use super::topology::{Topology, any_from};
use crate::dataplane::{
    Dataplane, DropReason, EniIdx, Event, FlowView, Instant, Settings, Transmit, Verdict, Worker,
};
use crate::net::{Segment, VnetHeader};

/// A data plane, its workers, and the time.
pub struct World {
    /// The data plane under test.
    pub dataplane: Dataplane,
    /// Its workers; interfaces are spread over them by index.
    pub workers: Vec<Worker>,
    /// The time.
    pub now: Instant,
    /// Servers that answer what arrives at these interfaces' ports while time passes.
    pub servers: BTreeMap<(EniIdx, u16), Server>,
    seen: Drops,
}

/// Dropped packets by place and reason.
pub type Drops = BTreeMap<(EniIdx, DropReason), u64>;

/// What became of a packet: the verdict, the packet as it left, and what the core said because of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its fate.
    pub verdict: Verdict,
    /// The packet after it.
    pub packet: SimPacket,
    /// Packets that the core originated.
    pub replies: Vec<Transmit>,
}

impl World {
    /// A world with this topology, at [`Instant::START`].
    pub fn new(topology: &Topology) -> Self {
        Self::with(topology, Self::settings())
    }

    /// The settings of [`World::new`].
    pub fn settings() -> Settings {
        Settings {
            workers: 2,
            seed: 7,
            mtu: 9001,
            max_flows: 100_000,
            query_log: false,
        }
    }

    /// As [`World::new`], with other settings.
    pub fn with(topology: &Topology, settings: Settings) -> Self {
        let dataplane = Dataplane::new(settings.clone());
        dataplane.apply(topology.config.clone());
        let workers = (0..settings.workers)
            .map(|number| dataplane.worker(number))
            .collect();
        Self {
            dataplane,
            workers,
            now: Instant::START,
            servers: BTreeMap::new(),
            seen: Drops::new(),
        }
    }

    /// W1 with every port of the endpoint and the target open, and room for so many flows.
    pub fn open(max_flows: usize, workers: usize) -> Self {
        let mut topology = Topology::w1();
        for group in [Topology::ENDPOINT_GROUP, Topology::TARGET_GROUP] {
            topology.group(group).ingress.push(any_from("0.0.0.0/0"));
        }
        let settings = Settings {
            max_flows,
            workers,
            ..Self::settings()
        };
        Self::with(&topology, settings)
    }

    /// An instance sends a packet.
    pub fn send(&mut self, from: EniIdx, packet: &PacketBuilder) -> Outcome {
        self.send_packet(from, packet.build())
    }

    /// An instance sends these very bytes.
    pub fn send_packet(&mut self, from: EniIdx, mut packet: SimPacket) -> Outcome {
        let place = from.index() as usize % self.workers.len();
        let worker = &mut self.workers[place];
        self.dataplane.resume(worker);
        let verdict = self
            .dataplane
            .handle_packet(worker, from, &mut packet.view(), self.now);
        let replies = iter::from_fn(|| self.dataplane.poll_transmit(worker)).collect();
        self.dataplane.park(worker);
        Outcome {
            verdict,
            packet,
            replies,
        }
    }

    /// Sends a packet that must arrive at `to`; gives it as it arrives, its checksums verified.
    pub fn deliver(&mut self, from: EniIdx, packet: &PacketBuilder, to: EniIdx) -> SimPacket {
        let sent = packet.build();
        let outcome = self.send_packet(from, sent.clone());
        assert_eq!(
            outcome.verdict,
            Verdict::Forward(to),
            "{sent:?}\n{}",
            self.describe()
        );
        assert_eq!(outcome.replies, [], "{sent:?}");
        assert!(
            outcome.packet.checksums_are_right(),
            "checksums of {:?}",
            outcome.packet
        );
        outcome.packet
    }

    /// Sends a packet that must be dropped for `reason`; gives what the core says to its sender.
    pub fn refuse(
        &mut self,
        from: EniIdx,
        packet: &PacketBuilder,
        reason: DropReason,
    ) -> Vec<Transmit> {
        let sent = packet.build();
        let outcome = self.send_packet(from, sent.clone());
        assert_eq!(
            outcome.verdict,
            Verdict::Drop(reason),
            "{sent:?}\n{}",
            self.describe()
        );
        outcome.replies
    }

    /// A TCP connection from EC2_A through an endpoint's `server` address to EC2_B, its handshake done; gives what each
    /// side, the client first, goes on to send.
    pub fn connect(&mut self, port: u16, server: ([u8; 4], u16)) -> [PacketBuilder; 2] {
        let client = (Topology::EC2_ADDRESS, port);
        self.connect_between(Topology::EC2_A, client, server, Topology::EC2_B)
    }

    /// As [`World::connect`], between any two instances.
    pub fn connect_between(
        &mut self,
        a: EniIdx,
        client: ([u8; 4], u16),
        server: ([u8; 4], u16),
        b: EniIdx,
    ) -> [PacketBuilder; 2] {
        let outbound = tcp(client, server);
        let arrived = self.deliver(a, &outbound, b).tuple();
        let [gateway, target] = [
            (arrived.src, arrived.src_port),
            (arrived.dst, arrived.dst_port),
        ]
        .map(|(address, port)| (address.octets_v4().unwrap(), port));
        let (syn, ack) = (Segment::SYN, Segment::ACK);
        let inbound = tcp(target, gateway);
        self.deliver(b, &inbound.clone().segment(syn | ack, 5000, 1001), a);
        let outbound = outbound.segment(ack, 1001, 5001);
        self.deliver(a, &outbound, b);
        [outbound, inbound.segment(ack, 5001, 1001)]
    }

    /// The first worker takes the next so many packets of this load.
    #[inline]
    pub fn carry(&mut self, load: &mut Load, packets: u64) -> Fates {
        load.send(&self.dataplane, &mut self.workers[0], packets, self.now)
    }

    /// Time passes; all that falls due meanwhile happens when it is due. What the core said meanwhile.
    pub fn advance(&mut self, duration: Duration) -> Vec<Transmit> {
        let until = self.now + duration;
        let mut said = Vec::new();
        while let Some(due) = self.due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let from = said.len();
            for worker in &mut self.workers {
                self.dataplane.resume(worker);
                self.dataplane.handle_timeout(worker, self.now);
                said.extend(iter::from_fn(|| self.dataplane.poll_transmit(worker)));
                self.dataplane.park(worker);
            }
            self.serve(&mut said, from);
        }
        self.now = until;
        said
    }

    /// The servers answer what the core has said to them, beginning with the packet `from`, and what it says to that.
    fn serve(&mut self, said: &mut Vec<Transmit>, mut from: usize) {
        while let Some(transmit) = said.get(from) {
            from += 1;
            let packet = SimPacket {
                vnet: VnetHeader::default(),
                bytes: transmit.bytes.clone(),
            };
            let port = packet.headers().map_or(0, |headers| headers.tuple.dst_port);
            let Some(server) = self.servers.get(&(transmit.to, port)) else {
                continue;
            };
            let to = transmit.to;
            for answer in server.answer(&packet) {
                said.extend(self.send(to, &answer).replies);
            }
        }
    }

    /// What the core would have people know, since the last call.
    pub fn events(&self) -> Vec<Event> {
        iter::from_fn(|| self.dataplane.poll_event()).collect()
    }

    /// When something falls due next.
    pub fn due(&self) -> Option<Instant> {
        let deadlines = self.workers.iter().filter_map(|worker| {
            let deadline = self.dataplane.poll_timeout(worker)?;
            Some(deadline.at)
        });
        deadlines.min()
    }

    /// The drop counters that have moved since the last call, every one of them.
    pub fn new_drops(&mut self) -> Drops {
        let mut all = Drops::new();
        for (eni, counters) in self.dataplane.counters() {
            all.extend(
                counters
                    .drops()
                    .map(|(reason, count)| ((eni, reason), count)),
            );
        }
        let before = std::mem::replace(&mut self.seen, all.clone());
        all.retain(|key, count| {
            *count -= before.get(key).copied().unwrap_or(0);
            *count > 0
        });
        all
    }

    /// The flows alive now.
    pub fn flows(&self) -> Vec<FlowView> {
        let flows = self.dataplane.flows(0..usize::MAX, self.now);
        flows.map(|(_, flow)| flow).collect()
    }

    /// The whole state, for a failing test's message.
    pub fn describe(&mut self) -> String {
        let drops = self.new_drops();
        format!(
            "at {:?}\nflows {:#?}\nnew drops {drops:?}",
            self.now,
            self.flows()
        )
    }
}
