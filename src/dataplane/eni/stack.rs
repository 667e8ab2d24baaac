//! The host behind an interface that no instance stands behind: smoltcp, fed and drained one packet at a time.
//!
//! It answers ICMP echo; later layers hang their sockets on it. It has no say in what reaches it: the pipeline has already
//! asked the security groups.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};

use super::super::time::Instant;
use crate::net::Addr;

/// A smoltcp interface with its two queues.
pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    link: Link,
}

impl Stack {
    /// A host that owns `addresses` and reaches everything directly.
    pub(super) fn new(addresses: &[Addr], mtu: u16) -> Self {
        let mut link = Link {
            mtu: mtu.into(),
            received: VecDeque::new(),
            sent: VecDeque::new(),
        };
        let now = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut link, now);
        interface.update_ip_addrs(|own| {
            // A prefix of length 0: every peer is on the link, whatever the VPC's CIDR.
            let cidrs = addresses
                .iter()
                .filter_map(|address| address.octets_v4())
                .map(|octets| IpCidr::new(Ipv4Address::from(octets).into(), 0));
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
        self.link.received.push_back(packet.to_vec());
        let now = smoltcp::time::Instant::from_micros(now.0.min(i64::MAX as u64) as i64);
        self.interface.poll(now, &mut self.link, &mut self.sockets);
        self.link.sent.drain(..).collect()
    }
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
