//! One probe: a connection from a node's own address, on a smoltcp stack of its own, that lives until it has its result.
//!
//! Invariant: whatever its target sends, a probe holds a kilobyte of it at most, and ends at its deadline.

use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use super::super::config::{HealthCheck, HealthCheckProtocol};
use super::super::eni::Stack;
use super::super::flow::FlowKey;
use super::super::time::Instant;
use super::http::{self, Response};
use super::state::Failure;
use crate::net::proxy;

/// Room for what the target sends, in bytes.
const RECEIVES: usize = 1024;
/// How long a connection that has served may take to end, so that a server is not cut off in its answer.
const LINGER: Duration = Duration::from_secs(1);

/// A probe under way.
pub(super) struct Probe {
    stack: Stack,
    socket: SocketHandle,
    /// What it has to say, and how much of that it has said.
    says: Vec<u8>,
    said: usize,
    hears: Hears,
    deadline: Instant,
    /// The flow that its packets make.
    pub(super) key: FlowKey,
}

/// What it waits for.
enum Hears {
    /// The connection.
    Connection,
    /// An answer.
    Response(Response, HealthCheck),
    /// It has its result: the rest of the answer, which is not read.
    Rest,
    /// It has its result: what it says to be acknowledged.
    Nothing,
}

/// What has become of a probe.
pub(super) struct Step {
    /// To be sent.
    pub(super) packets: Vec<Vec<u8>>,
    /// Once.
    pub(super) result: Option<Result<(), Failure>>,
    /// Will there be no further one?
    pub(super) is_over: bool,
}

impl Probe {
    /// Begins to probe along `key`; `None` where smoltcp cannot, as to port 0.
    pub(super) fn new(
        key: FlowKey,
        check: &HealthCheck,
        proxy_protocol: bool,
        (mtu, seed): (u16, u64),
        now: Instant,
    ) -> Option<Self> {
        let mut says = match proxy_protocol {
            true => proxy::Header::local().as_bytes().to_vec(),
            false => Vec::new(),
        };
        let (to, port) = (key.tuple.dst, key.tuple.dst_port);
        let hears = match &check.protocol {
            HealthCheckProtocol::Tcp => Hears::Connection,
            HealthCheckProtocol::Http { path, .. } => {
                says.extend(http::request(path, to.ip(), port));
                Hears::Response(Response::default(), check.clone())
            }
        };
        let mut stack = Stack::new(&[key.tuple.src], mtu, seed);
        let from = (key.tuple.src, key.tuple.src_port);
        let socket = stack.connect(from, (to, port), (says.len(), RECEIVES))?;
        Some(Self {
            stack,
            socket,
            says,
            said: 0,
            hears,
            deadline: now + check.timeout,
            key,
        })
    }

    /// Takes a packet in, if there is one, and goes on.
    pub(super) fn step(&mut self, packet: Option<&[u8]>, now: Instant) -> Step {
        if let Some(packet) = packet {
            self.stack.receive(packet);
        }
        let mut packets: Vec<_> = self.stack.poll(now).collect();
        let socket = self.stack.socket(self.socket);
        let left = self.says.get(self.said..).unwrap_or_default();
        if socket.may_send() {
            self.said += socket.send_slice(left).unwrap_or(0);
        }
        let mut result = self.hears.listen(socket);
        if result.is_none() && now >= self.deadline && !self.hears.has_result() {
            result = Some(Err(Failure::Timeout));
        }
        if result.is_some() {
            self.hears = match self.hears {
                Hears::Response(..) => Hears::Rest,
                _ => Hears::Nothing,
            };
            self.deadline = self.deadline.min(now + LINGER);
        }
        let has_failed = result.is_some_and(|result| result.is_err());
        let is_over =
            has_failed || self.hears.has_result() && (now >= self.deadline || self.is_served());
        if is_over {
            // A RST leaves no TIME-WAIT behind that would keep the port from others.
            self.stack.socket(self.socket).abort();
        }
        packets.extend(self.stack.poll(now));
        Step {
            packets,
            result,
            is_over,
        }
    }

    /// When to go on, at the latest.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        let due = self.stack.due(now);
        due.map_or(self.deadline, |due| due.min(self.deadline))
    }

    /// Has the target had, and said, what there is?
    fn is_served(&mut self) -> bool {
        let socket = self.stack.socket(self.socket);
        let is_heard = self.said == self.says.len() && socket.send_queue() == 0;
        has_ended(socket) || is_heard && matches!(self.hears, Hears::Nothing)
    }
}

impl Hears {
    /// Reads what has come; the result, if that is one.
    fn listen(&mut self, socket: &mut Socket<'_>) -> Option<Result<(), Failure>> {
        match self {
            Self::Connection if socket.may_send() => return Some(Ok(())),
            Self::Connection | Self::Rest | Self::Nothing => {
                while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {}
            }
            Self::Response(response, check) => {
                while socket.can_recv() {
                    let read = socket.recv(|bytes| (bytes.len(), response.read(bytes)));
                    match read.unwrap_or(Ok(None)) {
                        Ok(None) => {}
                        Ok(Some(code)) => return Some(check.judge(code)),
                        Err(http::Malformed) => return Some(Err(Failure::Failed)),
                    }
                }
            }
        }
        (!self.has_result() && has_ended(socket)).then_some(Err(Failure::Failed))
    }

    const fn has_result(&self) -> bool {
        matches!(self, Self::Rest | Self::Nothing)
    }
}

/// Will nothing more come? A connection that has not been opened is open in this sense.
fn has_ended(socket: &Socket<'_>) -> bool {
    !socket.may_recv() && !matches!(socket.state(), State::SynSent | State::SynReceived)
}

impl HealthCheck {
    /// What this status code means.
    fn judge(&self, code: u16) -> Result<(), Failure> {
        match &self.protocol {
            HealthCheckProtocol::Http { matcher, .. }
                if !matcher.iter().any(|codes| codes.contains(&code)) =>
            {
                Err(Failure::ResponseCode(code))
            }
            _ => Ok(()),
        }
    }
}
