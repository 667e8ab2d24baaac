//! One probe from a node's own address, which lives until it has its result: a handshake, or an exchange by HTTP.

use super::super::config::{HealthCheck, HealthCheckProtocol};
use super::super::flow::FlowKey;
use super::super::time::Instant;
use super::exchange::Exchange;
use super::handshake::Handshake;
use super::state::Failure;
use crate::net::{Headers, Packet, Transport};

/// A probe under way.
pub(super) struct Probe {
    way: Way,
    /// The flow that its packets make.
    pub(super) key: FlowKey,
}

enum Way {
    Handshake(Handshake),
    Exchange(Box<Exchange>),
}

/// What has become of a probe.
#[derive(Default)]
pub(super) struct Step {
    /// To be sent.
    pub(super) packets: Vec<Vec<u8>>,
    /// Once.
    pub(super) result: Option<Result<(), Failure>>,
    /// Will there be no further one?
    pub(super) is_over: bool,
}

impl Probe {
    /// Begins to probe along `key`, over HTTP behind a PROXY header where the group has those; `None` where smoltcp cannot.
    pub(super) fn new(
        key: FlowKey,
        check: &HealthCheck,
        proxy_protocol: bool,
        (mtu, seed): (u16, u64),
        now: Instant,
    ) -> Option<Self> {
        let way = match &check.protocol {
            HealthCheckProtocol::Tcp => {
                Way::Handshake(Handshake::new(&key.tuple, check.timeout, seed, now))
            }
            HealthCheckProtocol::Http { path, .. } => {
                let settings = (proxy_protocol, mtu, seed);
                let exchange = Exchange::new(&key.tuple, check, path, settings, now)?;
                Way::Exchange(Box::new(exchange))
            }
        };
        Some(Self { way, key })
    }

    /// Takes a packet in, if there is one, and goes on.
    pub(super) fn step(&mut self, received: Option<(&Packet<'_>, &Headers)>, now: Instant) -> Step {
        match &mut self.way {
            Way::Handshake(handshake) => {
                let segment = received.and_then(|(_, headers)| match &headers.transport {
                    Transport::Tcp(segment) => Some((headers, segment)),
                    _ => None,
                });
                handshake.step(segment, now)
            }
            Way::Exchange(exchange) => {
                exchange.step(received.map(|(packet, _)| packet.bytes()), now)
            }
        }
    }

    /// When to go on, at the latest.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        match &mut self.way {
            Way::Handshake(handshake) => handshake.due(),
            Way::Exchange(exchange) => exchange.due(now),
        }
    }
}
