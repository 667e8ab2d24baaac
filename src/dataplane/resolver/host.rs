//! The resolver of one VPC: its zones, its addresses, and the sockets that stand behind them.
//!
//! Invariant: its UDP socket is empty whenever nobody holds it; a datagram is taken out as soon as it is in.

use std::sync::Arc;

use parking_lot::Mutex;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::UdpMetadata;
use smoltcp::wire::Ipv4Address;

use super::super::config::{self, VpcIdx};
use super::super::dns::Zones;
use super::super::eni::Stack;
use super::super::time::Instant;
use super::PORT;
use super::counters::{Counters, ResolverCounters};
use crate::net::{Addr, FiveTuple};

/// The longest answer by UDP, in bytes, whatever its asker takes.
const LONGEST: u16 = 4096;
/// IPv4 and UDP headers, in bytes.
const HEADERS: u16 = 28;

/// The resolver of one VPC, in one snapshot.
pub(in crate::dataplane) struct Host {
    pub(in crate::dataplane) vpc: VpcIdx,
    addresses: Vec<Addr>,
    pub(in crate::dataplane) zones: Zones,
    /// What outlives the snapshot.
    pub(super) counters: Arc<Counters>,
    udp: Arc<Mutex<Udp>>,
    mtu: u16,
}

/// The host that takes datagrams, and refuses all else.
struct Udp {
    stack: Stack,
    socket: Option<SocketHandle>,
}

/// What has come of a packet.
#[derive(Default)]
pub(super) struct Received {
    /// What the host says of it: nobody is at this port.
    pub(super) packets: Vec<Vec<u8>>,
    /// What somebody asks.
    pub(super) query: Option<Vec<u8>>,
}

impl Host {
    /// The resolver of `vpc`; `before`, at the same addresses, counts on.
    pub(in crate::dataplane) fn new(
        vpc: VpcIdx,
        resolver: &config::Resolver,
        public: &Zones,
        mtu: u16,
        before: Option<&Self>,
    ) -> Self {
        let config::Resolver { addresses, zones } = resolver;
        let same = before.filter(|before| before.addresses == *addresses);
        let udp = match same {
            Some(same) => Arc::clone(&same.udp),
            None => Arc::new(Mutex::new(Udp::new(addresses, mtu))),
        };
        Self {
            vpc,
            zones: public.with(zones),
            counters: before.map_or_else(Arc::default, |before| Arc::clone(&before.counters)),
            addresses: addresses.clone(),
            udp,
            mtu,
        }
    }

    /// Is this one of its addresses?
    pub(in crate::dataplane) fn owns(&self, address: Addr) -> bool {
        self.addresses.contains(&address)
    }

    pub(super) fn totals(&self) -> ResolverCounters {
        self.counters.totals()
    }

    /// The longest answer by UDP, in bytes.
    pub(super) fn longest(&self) -> usize {
        LONGEST.min(self.mtu.saturating_sub(HEADERS)).into()
    }

    /// Hands in a packet that belongs to no connection.
    pub(super) fn receive(&self, packet: &[u8], now: Instant) -> Received {
        let mut udp = self.udp.lock();
        udp.stack.receive(packet);
        let packets = udp.stack.poll(now).collect();
        let query = udp.take();
        Received { packets, query }
    }

    /// The packet that answers whoever asked by `query`, from the address that was asked.
    pub(super) fn send(&self, query: &FiveTuple, answer: &[u8], now: Instant) -> Vec<Vec<u8>> {
        let mut udp = self.udp.lock();
        udp.put(query, answer);
        udp.stack.poll(now).collect()
    }
}

impl Udp {
    fn new(addresses: &[Addr], mtu: u16) -> Self {
        let mut stack = Stack::new(addresses, mtu, 0);
        let socket = stack.bind(PORT, (LONGEST.into(), mtu.into()));
        Self { stack, socket }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let (bytes, _) = self.stack.datagrams(self.socket?).recv().ok()?;
        Some(bytes.to_vec())
    }

    fn put(&mut self, query: &FiveTuple, answer: &[u8]) -> Option<()> {
        let v4 = |address: Addr| address.octets_v4().map(Ipv4Address::from);
        let mut to = UdpMetadata::from((v4(query.src)?, query.src_port));
        to.local_address = Some(v4(query.dst)?.into());
        // To port or address 0, from which a sender without a source check may ask, nothing goes.
        self.stack
            .datagrams(self.socket?)
            .send_slice(answer, to)
            .ok()
    }
}
