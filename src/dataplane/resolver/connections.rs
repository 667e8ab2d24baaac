//! The TCP connections to all resolvers.
//!
//! Invariant: a connection's place in the schedule is when it has something to do; it goes when it is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use rand_chacha::rand_core::Rng;

use super::super::Dataplane;
use super::super::config::EniIdx;
use super::super::dropped::Dropped;
use super::super::schedule::{Due, Schedule};
use super::super::time::Instant;
use super::super::verdict::{DropReason, Verdict};
use super::super::worker::Worker;
use super::connection::Connection;
use super::quota::Quota;
use super::{Asked, Client, Host};
use crate::net::{Headers, Packet, Transport};

/// How many there may be.
const MOST: usize = 2048;
/// Of them, those of one interface.
const MOST_EACH: usize = 32;
/// Connections that have their turn in one go.
const MOST_AT_ONCE: usize = 16;
/// Questions taken from one connection in one go: some microseconds each.
const MOST_QUERIES: usize = 16;
/// Until whoever has asked too much is listened to again.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection's key, as words.
type Key = [u64; 6];

/// All connections.
pub(super) struct Connections {
    due: Due,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    open: HashMap<Key, Held, FixedState>,
    schedule: Schedule<Key>,
    quota: Quota<EniIdx>,
    /// How many there have been.
    opened: u64,
}

struct Held {
    connection: Connection,
    /// Its place in the schedule.
    wake: Option<Instant>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            due: Due::default(),
            ledger: Mutex::new(Ledger {
                open: HashMap::default(),
                schedule: Schedule::default(),
                quota: Quota::new(MOST, MOST_EACH),
                opened: 0,
            }),
        }
    }
}

impl Connections {
    /// Shows what there is to do without the lock.
    fn note(&self, ledger: &Ledger) {
        self.due.note(ledger.schedule.first());
    }
}

impl Ledger {
    /// A SYN has come.
    fn open(&mut self, mut client: Client, stack: (u16, u64), now: Instant) -> bool {
        let eni = client.key.ingress;
        if !self.quota.take(eni) {
            return false;
        }
        self.opened += 1;
        client.connection = self.opened;
        let Some(connection) = Connection::new(client, stack, now) else {
            self.quota.give_back(eni);
            return false;
        };
        let key = client.key.to_words();
        let mut wake = None;
        self.schedule.put(key, &mut wake, Some(now));
        self.open.insert(key, Held { connection, wake });
        true
    }

    /// Looks at a connection again when that has something to do; or never again.
    fn settle(&mut self, key: Key, now: Instant) {
        let Some(held) = self.open.get_mut(&key) else {
            return;
        };
        let is_over = held.connection.is_over();
        let due = (!is_over).then(|| held.connection.due(now));
        self.schedule.put(key, &mut held.wake, due);
        if is_over {
            self.quota.give_back(held.connection.client.key.ingress);
            self.open.remove(&key);
        }
    }
}

impl Dataplane {
    /// When [`Dataplane::tend_connections`] has something to do.
    pub(in crate::dataplane) fn due_connections(&self) -> Option<Instant> {
        self.resolvers.connections.due.at()
    }

    /// Gives the connections that are due their turn.
    pub(in crate::dataplane) fn tend_connections(&self, worker: &mut Worker, now: Instant) {
        if self.due_connections().is_none_or(|due| now < due) {
            return;
        }
        let connections = &self.resolvers.connections;
        let Some(mut ledger) = connections.ledger.try_lock() else {
            return;
        };
        for _ in 0..MOST_AT_ONCE {
            let Some(key) = ledger.schedule.next_due(now) else {
                break;
            };
            self.tend(worker, &mut ledger, key, now);
        }
        connections.note(&ledger);
    }

    /// A segment to a resolver: it belongs to a connection, or begins one.
    pub(super) fn ask_by_segment(
        &self,
        worker: &mut Worker,
        resolver: &Host,
        client: Client,
        packet: &Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let (key, eni) = (client.key.to_words(), client.key.ingress);
        let opens = matches!(&headers.transport, Transport::Tcp(segment) if segment.opens());
        let connections = &self.resolvers.connections;
        let mut ledger = connections.ledger.lock();
        if !ledger.open.contains_key(&key) {
            if !opens {
                return Err(Dropped::stray(eni, DropReason::NoFlow, headers));
            }
            let stack = (self.settings.mtu, worker.random.next_u64());
            if !ledger.open(client, stack, now) {
                resolver.counters.limited();
                return Err(Dropped::at(eni, DropReason::ResolverLimit));
            }
        }
        if let Some(held) = ledger.open.get_mut(&key) {
            held.connection.receive(packet.bytes());
        }
        self.tend(worker, &mut ledger, key, now);
        connections.note(&ledger);
        Ok(Verdict::Answered)
    }

    /// A question that has waited is answered, if its connection is still there.
    pub(super) fn answer_on_connection(
        &self,
        worker: &mut Worker,
        client: Client,
        answer: &[u8],
        now: Instant,
    ) {
        let key = client.key.to_words();
        let connections = &self.resolvers.connections;
        let mut ledger = connections.ledger.lock();
        let Some(Held { connection, .. }) = ledger.open.get_mut(&key) else {
            return;
        };
        if connection.client.connection != client.connection {
            return;
        }
        connection.waiting -= 1;
        connection.say(answer, now);
        self.tend(worker, &mut ledger, key, now);
        connections.note(&ledger);
    }

    /// Gives a connection its turn.
    fn tend(&self, worker: &mut Worker, ledger: &mut Ledger, key: Key, now: Instant) {
        let Some(Held { connection, .. }) = ledger.open.get_mut(&key) else {
            return;
        };
        let snapshot = Arc::clone(&worker.snapshot);
        let eni = connection.client.key.ingress;
        let resolver = snapshot.resolvers.get(connection.client.vpc);
        let mut packets = connection.go_on(now);
        match resolver.zip(snapshot.eni(eni).ok()) {
            Some((resolver, source)) => {
                for _ in 0..MOST_QUERIES {
                    // Several questions in one packet count as several packets.
                    if connection.has_query(now) && !source.asked.lock().admit(1, now) {
                        connection.pause(now + PAUSE);
                    }
                    let Some(query) = connection.next_query(now) else {
                        break;
                    };
                    match self.ask(worker, resolver, connection.client, &query, now) {
                        Asked::Answered(answer) => connection.say(&answer, now),
                        Asked::Waits => connection.waiting += 1,
                        Asked::Nothing => connection.abort(),
                    }
                    packets.extend(connection.go_on(now));
                }
            }
            // There is no resolver any more.
            None => connection.abort(),
        }
        packets.extend(connection.go_on(now));
        for packet in packets {
            worker.tell(eni, packet);
        }
        ledger.settle(key, now);
    }
}
