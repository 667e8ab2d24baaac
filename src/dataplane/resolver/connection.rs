//! A TCP connection to a resolver (RFC 7766): a host of its own, with one socket, for several questions at once.
//!
//! Invariant: whatever its peer sends, or does not read, it holds some 100 KiB at most, and ends when nothing has been asked for
//! ten seconds.

use std::collections::VecDeque;
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use super::super::eni::Stack;
use super::super::time::Instant;
use super::{Client, PORT};

/// The socket's buffers, in bytes.
const SENDS: usize = 8192;
const RECEIVES: usize = 4096;
/// The longest query, in bytes: there is nothing that would make one longer.
const LONGEST: usize = 4096;
/// Answers that have not been sent, in bytes, with which no further question is taken; one more may come on top.
const MOST_UNSENT: usize = 32_768;
/// Questions that may wait for upstream.
const MOST_WAITING: usize = 16;
/// Until a connection that nothing is asked on is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Until one that is not opened, or not closed, by its peer is reset.
const HALF_OPEN: Duration = Duration::from_secs(3);

/// A connection.
pub(super) struct Connection {
    pub(super) client: Client,
    stack: Stack,
    socket: SocketHandle,
    /// The beginning of a query.
    heard: VecDeque<u8>,
    /// What is to be said.
    says: VecDeque<u8>,
    /// How many of its questions wait for upstream.
    pub(super) waiting: usize,
    state: Phase,
    deadline: Instant,
    /// Until when no further question is taken.
    pauses: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closing,
}

impl Connection {
    /// Waits for the SYN.
    pub(super) fn new(client: Client, (mtu, seed): (u16, u64), now: Instant) -> Option<Self> {
        let mut stack = Stack::new(&[client.key.tuple.dst], mtu, seed);
        let socket = stack.listen(PORT, (SENDS, RECEIVES))?;
        Some(Self {
            client,
            stack,
            socket,
            heard: VecDeque::new(),
            says: VecDeque::new(),
            waiting: 0,
            state: Phase::Opening,
            deadline: now + HALF_OPEN,
            pauses: None,
        })
    }

    /// Hands a packet in.
    pub(super) fn receive(&mut self, packet: &[u8]) {
        self.stack.receive(packet);
    }

    /// Does what is to be done, and gives what is to be sent.
    pub(super) fn go_on(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets: Vec<_> = self.stack.poll(now).collect();
        if now >= self.deadline {
            self.end(now);
        }
        self.hear(now);
        self.speak();
        let is_done = self.waiting == 0 && self.says.is_empty() && self.message().is_none();
        let socket = self.stack.socket(self.socket);
        if socket.state() == State::CloseWait && is_done {
            self.close(now);
        }
        packets.extend(self.stack.poll(now));
        packets
    }

    /// The next query, if it is to be taken now.
    pub(super) fn next_query(&mut self, now: Instant) -> Option<Vec<u8>> {
        let len = self.message().filter(|_| self.has_query(now))?;
        self.pauses = None;
        self.deadline = now + IDLE;
        self.heard.drain(..2);
        Some(self.heard.drain(..len).collect())
    }

    /// Has it a query that is to be taken now?
    pub(super) fn has_query(&self, now: Instant) -> bool {
        self.may_ask() && self.pauses.is_none_or(|until| until <= now)
    }

    fn may_ask(&self) -> bool {
        let has_room = self.waiting < MOST_WAITING && self.says.len() <= MOST_UNSENT;
        has_room && self.message().is_some()
    }

    /// Takes no further query until then.
    pub(super) fn pause(&mut self, until: Instant) {
        self.pauses = Some(until);
    }

    /// Answers one query.
    pub(super) fn say(&mut self, answer: &[u8], now: Instant) {
        let Ok(len) = u16::try_from(answer.len()) else {
            return;
        };
        // Whoever does not read has no use for more.
        if self.says.len() <= MOST_UNSENT {
            self.says.extend(len.to_be_bytes());
            self.says.extend(answer);
        }
        self.deadline = now + IDLE;
    }

    /// Its peer does not speak our language.
    pub(super) fn abort(&mut self) {
        self.stack.socket(self.socket).abort();
    }

    /// Will nothing more come?
    pub(super) fn is_over(&mut self) -> bool {
        let state = self.stack.socket(self.socket).state();
        matches!(state, State::Listen | State::Closed | State::TimeWait)
    }

    /// When to go on, at the latest.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        let mut due = self.deadline;
        due = due.min(self.stack.due(now).unwrap_or(due));
        if self.may_ask() {
            due = due.min(self.pauses.unwrap_or(now));
        }
        due
    }

    /// The length of the query that has been heard whole.
    fn message(&self) -> Option<usize> {
        let len = self.announced()?;
        (self.heard.len() >= 2 + len).then_some(len)
    }

    /// The length of the query that has begun.
    fn announced(&self) -> Option<usize> {
        let (high, low) = (*self.heard.front()?, *self.heard.get(1)?);
        Some(usize::from(u16::from_be_bytes([high, low])))
    }

    /// Reads what has come, a query at most ahead of what is taken.
    fn hear(&mut self, now: Instant) {
        let socket = self.stack.socket(self.socket);
        if self.state == Phase::Opening && socket.may_send() {
            self.state = Phase::Open;
            self.deadline = now + IDLE;
        }
        while socket.can_recv() && self.heard.len() < 2 + LONGEST {
            let room = 2 + LONGEST - self.heard.len();
            let heard = &mut self.heard;
            let read = socket.recv(|bytes| {
                let taken = bytes.get(..room).unwrap_or(bytes);
                heard.extend(taken);
                (taken.len(), ())
            });
            if read.is_err() {
                break;
            }
        }
        if self.announced().is_some_and(|len| len > LONGEST) {
            self.abort();
        }
    }

    /// Writes what is to be said, as far as there is room.
    fn speak(&mut self) {
        let socket = self.stack.socket(self.socket);
        while socket.can_send() && !self.says.is_empty() {
            let (first, _) = self.says.as_slices();
            match socket.send_slice(first) {
                Ok(sent) if sent > 0 => drop(self.says.drain(..sent)),
                _ => break,
            }
        }
    }

    /// Its time is over.
    fn end(&mut self, now: Instant) {
        match self.state {
            // Upstream has not been given up yet.
            Phase::Open if self.waiting > 0 => self.deadline = now + IDLE,
            Phase::Open => self.close(now),
            Phase::Opening | Phase::Closing => self.abort(),
        }
    }

    fn close(&mut self, now: Instant) {
        if self.state != Phase::Closing {
            self.state = Phase::Closing;
            self.deadline = now + HALF_OPEN;
            self.stack.socket(self.socket).close();
        }
    }
}
