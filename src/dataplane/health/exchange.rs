//! A probe by HTTP: a connection on a smoltcp stack of its own, a request, and as much of the answer as decides.
//!
//! Invariant: whatever its target sends, a probe holds a kilobyte of it at most, and ends at its deadline.

use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use super::super::config::{HealthCheck, HealthCheckProtocol};
use super::super::eni::Stack;
use super::super::time::Instant;
use super::http::{self, Response};
use super::probe::Step;
use super::state::Failure;
use crate::net::{FiveTuple, proxy};

/// Room for what the target sends, in bytes.
const RECEIVES: usize = 1024;
/// How long a connection that has served may take to end, so that a server is not cut off in its answer.
const LINGER: Duration = Duration::from_secs(1);

/// A connection under way.
pub(super) struct Exchange {
    stack: Stack,
    socket: SocketHandle,
    /// What it has to say, and how much of that it has said.
    says: Vec<u8>,
    said: usize,
    check: HealthCheck,
    /// What it waits for; `None` once it has its result: the rest of the answer is not read.
    response: Option<Response>,
    deadline: Instant,
}

impl Exchange {
    /// Begins to connect; `None` where smoltcp cannot, as to port 0.
    pub(super) fn new(
        tuple: &FiveTuple,
        check: &HealthCheck,
        path: &str,
        (proxy_protocol, mtu, seed): (bool, u16, u64),
        now: Instant,
    ) -> Option<Self> {
        let mut says = match proxy_protocol {
            true => proxy::Header::local().as_bytes().to_vec(),
            false => Vec::new(),
        };
        let (to, port) = (tuple.dst, tuple.dst_port);
        says.extend(http::request(path, to.ip(), port));
        let mut stack = Stack::new(&[tuple.src], mtu, seed);
        let from = (tuple.src, tuple.src_port);
        let socket = stack.connect(from, (to, port), (says.len(), RECEIVES))?;
        Some(Self {
            stack,
            socket,
            says,
            said: 0,
            check: check.clone(),
            response: Some(Response::default()),
            deadline: now + check.timeout,
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
        let mut result = listen(socket, &mut self.response, &self.check);
        if result.is_none() && now >= self.deadline && self.response.is_some() {
            result = Some(Err(Failure::Timeout));
        }
        if result.is_some() {
            self.response = None;
            self.deadline = self.deadline.min(now + LINGER);
        }
        let has_failed = result.is_some_and(|result| result.is_err());
        let has_result = self.response.is_none();
        let is_over = has_failed || has_result && (now >= self.deadline || has_ended(socket));
        if is_over {
            // A RST leaves no TIME-WAIT behind that would keep the port from others.
            socket.abort();
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
}

/// Reads what has come; the result, if that is one.
fn listen(
    socket: &mut Socket<'_>,
    response: &mut Option<Response>,
    check: &HealthCheck,
) -> Option<Result<(), Failure>> {
    while socket.can_recv() {
        let read = socket.recv(|bytes| {
            let read = response.as_mut().map(|response| response.read(bytes));
            (bytes.len(), read.unwrap_or(Ok(None)))
        });
        match read.unwrap_or(Ok(None)) {
            Ok(None) => {}
            Ok(Some(code)) => return Some(check.judge(code)),
            Err(http::Malformed) => return Some(Err(Failure::Failed)),
        }
    }
    (response.is_some() && has_ended(socket)).then_some(Err(Failure::Failed))
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
