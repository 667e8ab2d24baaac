//! The host behind an interface that no instance stands behind: smoltcp, fed and drained one packet at a time.
//!
//! It answers ICMP echo, opens the connections of HTTP health checks, each on a stack of its own, and has the resolvers' sockets. It has no
//! say in what reaches it: the pipeline has already asked the security groups, and checked checksums where there is one.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::socket::udp::{self, PacketBuffer, PacketMetadata};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};

use super::super::time::Instant;
use crate::net::Addr;

/// A smoltcp interface with its two queues.
pub(in crate::dataplane) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    link: Link,
}

impl Stack {
    /// A host that owns `addresses` and reaches everything directly; its sequence numbers begin as `seed` says.
    pub(in crate::dataplane) fn new(addresses: &[Addr], mtu: u16, seed: u64) -> Self {
        let mut link = Link {
            mtu: mtu.into(),
            received: VecDeque::new(),
            sent: VecDeque::new(),
        };
        let now = smoltcp::time::Instant::ZERO;
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut link, now);
        interface.update_ip_addrs(|own| {
            // A prefix of length 0: every peer is on the link, whatever the VPC's CIDR.
            let cidrs = addresses
                .iter()
                .filter_map(|address| Some(IpCidr::new(v4(*address)?.into(), 0)));
            own.extend(cidrs.take(own.capacity()));
        });
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            link,
        }
    }

    /// Hands `packet` in and takes out what the stack sends because of it.
    pub(super) fn exchange(&mut self, packet: &[u8], now: Instant) -> Vec<Vec<u8>> {
        self.receive(packet);
        self.poll(now).collect()
    }

    /// Hands a packet in.
    pub(in crate::dataplane) fn receive(&mut self, packet: &[u8]) {
        self.link.received.push_back(packet.to_vec());
    }

    /// Does what is to be done, and takes out what is to be sent.
    pub(in crate::dataplane) fn poll(&mut self, now: Instant) -> impl Iterator<Item = Vec<u8>> {
        self.interface
            .poll(to_smoltcp(now), &mut self.link, &mut self.sockets);
        self.link.sent.drain(..)
    }

    /// When [`Stack::poll`] has something to do by itself.
    pub(in crate::dataplane) fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.interface.poll_at(to_smoltcp(now), &self.sockets)?;
        Some(Instant(due.total_micros().try_into().unwrap_or(0)))
    }

    /// Begins to open a TCP connection between these addresses and ports, with buffers of these many bytes to send and to receive.
    pub(in crate::dataplane) fn connect(
        &mut self,
        (from, own_port): (Addr, u16),
        (to, port): (Addr, u16),
        (sends, receives): (usize, usize),
    ) -> Option<SocketHandle> {
        let mut socket = new_socket(sends, receives);
        let context = self.interface.context();
        socket
            .connect(context, (v4(to)?, port), (v4(from)?, own_port))
            .ok()?;
        Some(self.sockets.add(socket))
    }

    /// Waits for one TCP connection to this port, with buffers of these many bytes to send and to receive.
    pub(in crate::dataplane) fn listen(
        &mut self,
        port: u16,
        (sends, receives): (usize, usize),
    ) -> Option<SocketHandle> {
        let mut socket = new_socket(sends, receives);
        socket.listen(port).ok()?;
        Some(self.sockets.add(socket))
    }

    /// Takes datagrams to this port, one at a time, with room for these many bytes to send and to receive.
    pub(in crate::dataplane) fn bind(
        &mut self,
        port: u16,
        (sends, receives): (usize, usize),
    ) -> Option<SocketHandle> {
        let buffer = |bytes| PacketBuffer::new(vec![PacketMetadata::EMPTY], vec![0; bytes]);
        let mut socket = udp::Socket::new(buffer(receives), buffer(sends));
        socket.bind(port).ok()?;
        Some(self.sockets.add(socket))
    }

    /// The socket of a connection.
    pub(in crate::dataplane) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// The socket of a port for datagrams.
    pub(in crate::dataplane) fn datagrams(
        &mut self,
        handle: SocketHandle,
    ) -> &mut udp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

fn new_socket(sends: usize, receives: usize) -> Socket<'static> {
    let buffer = |bytes| SocketBuffer::new(vec![0; bytes]);
    let mut socket = Socket::new(buffer(receives), buffer(sends));
    // Whoever waits for an answer can have his acknowledgement at once.
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    socket
}

fn v4(address: Addr) -> Option<Ipv4Address> {
    address.octets_v4().map(Ipv4Address::from)
}

fn to_smoltcp(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(now.0.min(i64::MAX as u64) as i64)
}

/// The link between the data plane and the stack.
struct Link {
    mtu: usize,
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl Device for Link {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        Some((
            Received(self.received.pop_front()?),
            Sending(&mut self.sent),
        ))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // A packet from a TUN may have none yet.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}
