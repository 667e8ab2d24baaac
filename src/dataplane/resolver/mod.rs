//! The resolver of each VPC (Amazon Route 53 VPC Resolver): from a packet to a question, and from an answer to a packet.
//!
//! A packet to a resolver's address is taken right behind the source check, whatever security groups say. A datagram's question is
//! answered at once, without a lock but the socket's, unless upstream has to be asked: then it waits (`questions`), and whichever
//! worker sees it told goes on. A connection is a host of its own (`connection`).
//!
//! Invariant: whoever asks, and whatever upstream does, what is held for it is bounded: in number, in bytes and in time.

mod connection;
mod connections;
mod counters;
mod host;
mod questions;
mod quota;
mod rate;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foldhash::fast::FixedState;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};

use super::config::{EniIdx, View, VpcIdx};
use super::dns::{self, Query, Resolution, Response, Source, Step, Upstream};
use super::dropped::Dropped;
use super::eni::Eni;
use super::flow::FlowKey;
use super::snapshot::Snapshot;
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use super::{Dataplane, Event};
use crate::net::segment::Cutter;
use crate::net::{Addr, Headers, Packet, Protocol, Transport};
use connections::Connections;
pub use counters::ResolverCounters;
pub(super) use host::Host;
use questions::Questions;
pub use questions::{AskId, Asker};
pub(super) use questions::{Waiting, Who};
pub use quota::Quota;
pub(super) use rate::Rate;

/// Where resolvers are asked.
const PORT: u16 = 53;
/// Questions that go on in one go: some microseconds each.
const MOST: usize = 32;

/// What all resolvers share.
pub(super) struct Resolvers {
    pub(super) questions: Questions,
    connections: Connections,
    /// How many questions there have been.
    asked: AtomicU64,
    hasher: FixedState,
}

/// Who has asked a question by a packet, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    vpc: VpcIdx,
    /// Its packets'.
    key: FlowKey,
    /// Which of the connections between these two ends it is.
    connection: u64,
}

/// A question that an instance has asked its VPC's resolver, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLog {
    /// Who has asked.
    pub eni: EniIdx,
    /// From which address and port.
    pub client: (Addr, u16),
    /// How.
    pub transport: dns::Transport,
    /// About which name.
    pub name: Name,
    /// For which records.
    pub record_type: RecordType,
    /// The response's code.
    pub code: ResponseCode,
    /// Its answer section.
    pub answers: Vec<Record>,
    /// Where it was found.
    pub source: Source,
}

/// What has come of a message.
enum Asked {
    Answered(Vec<u8>),
    /// It waits for upstream.
    Waits,
    /// It is none that is answered.
    Nothing,
}

impl Resolvers {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            questions: Questions::default(),
            connections: Connections::default(),
            asked: AtomicU64::new(0),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Turns the order of addresses, whoever asks for what in which order.
    fn rotation(&self) -> u32 {
        self.hasher.hash_one(self.asked.fetch_add(1, Relaxed)) as u32
    }
}

impl Client {
    fn transport(&self) -> dns::Transport {
        match self.key.tuple.protocol {
            Protocol::TCP => dns::Transport::Tcp,
            _ => dns::Transport::Udp,
        }
    }
}

impl Snapshot {
    /// The resolver that this packet goes to.
    pub(super) fn resolver(&self, source: &Eni, headers: &Headers) -> Option<&Host> {
        let host = self.resolvers.get(source.interface.vpc)?;
        host.owns(headers.tuple.dst).then_some(host)
    }
}

impl Dataplane {
    /// Goes on with a question of one's own, in this view, as far as it goes without upstream.
    pub fn resolve(&self, view: View, resolution: &mut Resolution) -> Step {
        self.step(&self.snapshot.load(), view, resolution)
    }

    /// What upstream says to an [`Event::Ask`]. A worker goes on with it: one should be woken.
    pub fn handle_resolved(&self, id: AskId, upstream: Upstream, now: Instant) {
        self.resolvers.questions.tell(id, upstream, now);
    }

    /// What each VPC's resolver has counted, in index order; VPCs without one are not there.
    pub fn resolver_counters(&self) -> Vec<(VpcIdx, ResolverCounters)> {
        let snapshot = self.snapshot.load();
        let resolvers = snapshot.resolvers.iter();
        resolvers.map(|(vpc, host)| (vpc, host.totals())).collect()
    }

    pub(super) fn step(
        &self,
        snapshot: &Snapshot,
        view: View,
        resolution: &mut Resolution,
    ) -> Step {
        let is_healthy = |lb, zone| snapshot.balancers.is_zone_healthy(lb, zone);
        resolution.step(snapshot.zones(view), is_healthy, self.resolvers.rotation())
    }

    /// A packet that an instance has sent to its VPC's resolver.
    pub(super) fn ask_resolver(
        &self,
        worker: &mut Worker,
        source: &Eni,
        resolver: &Host,
        packet: &Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        if !source
            .asked
            .lock()
            .admit(count_packets(packet, headers), now)
        {
            resolver.counters.limited();
            return Err(Dropped::at(source.idx, DropReason::ResolverLimit));
        }
        let is_tcp = match headers.transport {
            Transport::Tcp(_) => true,
            Transport::Udp => false,
            _ => return Err(Dropped::at(source.idx, DropReason::NotForResolver)),
        };
        if !packet.is_intact(headers) {
            return Err(Dropped::at(source.idx, DropReason::BadTransportHeader));
        }
        let client = Client {
            vpc: resolver.vpc,
            key: FlowKey {
                ingress: source.idx,
                tuple: headers.tuple,
            },
            connection: 0,
        };
        if is_tcp && headers.tuple.dst_port == PORT {
            return self.ask_by_segment(worker, resolver, client, packet, headers, now);
        }
        match packet.vnet().gso_size {
            0 => self.ask_by_datagram(worker, resolver, client, packet.bytes(), now),
            _ => self.ask_by_datagrams(worker, resolver, client, packet, now),
        }
        Ok(Verdict::Answered)
    }

    /// Each datagram of a super-packet is one.
    fn ask_by_datagrams(
        &self,
        worker: &mut Worker,
        resolver: &Host,
        client: Client,
        packet: &Packet<'_>,
        now: Instant,
    ) {
        let mut scratch = vec![0; packet.bytes().len()];
        if let Ok(mut cutter) = Cutter::new(&packet.vnet(), packet.bytes(), &mut scratch) {
            while let Some(piece) = cutter.next() {
                self.ask_by_datagram(worker, resolver, client, piece, now);
            }
        }
    }

    fn ask_by_datagram(
        &self,
        worker: &mut Worker,
        resolver: &Host,
        client: Client,
        packet: &[u8],
        now: Instant,
    ) {
        let received = resolver.receive(packet, now);
        for refusal in received.packets {
            worker.tell(client.key.ingress, refusal);
        }
        if let Some(query) = received.query
            && let Asked::Answered(answer) = self.ask(worker, resolver, client, &query, now)
        {
            send(worker, resolver, client, &answer, now);
        }
    }

    /// Takes a message of a client's.
    fn ask(
        &self,
        worker: &Worker,
        resolver: &Host,
        client: Client,
        message: &[u8],
        now: Instant,
    ) -> Asked {
        resolver.counters.query(client.transport());
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(answer) => {
                resolver.counters.malformed();
                return answer.map_or(Asked::Nothing, Asked::Answered);
            }
        };
        let waiting = Waiting {
            view: View::Vpc(client.vpc),
            resolution: Resolution::new(&query),
            who: Who::Client(client, Box::new(query)),
        };
        match self.pursue(&worker.snapshot, waiting, now) {
            Some((Who::Client(_, query), response)) => {
                Asked::Answered(self.reply(resolver, client, &query, &response))
            }
            _ => Asked::Waits,
        }
    }

    /// Goes on with a question; gives the response, unless upstream has to be asked.
    pub(super) fn pursue(
        &self,
        snapshot: &Snapshot,
        mut waiting: Waiting,
        now: Instant,
    ) -> Option<(Who, Response)> {
        let ask = match self.step(snapshot, waiting.view, &mut waiting.resolution) {
            Step::Respond(response) => return Some((waiting.who, response)),
            Step::Ask(ask) => ask,
        };
        match self.resolvers.questions.put(ask, waiting, now) {
            Ok(event) => {
                event.into_iter().for_each(|event| self.events.push(event));
                None
            }
            Err(waiting) => {
                let response = Response::failure(ResponseCode::ServFail, Source::Upstream);
                Some((waiting.who, response))
            }
        }
    }

    /// The response as bytes, counted and logged.
    fn reply(
        &self,
        resolver: &Host,
        client: Client,
        query: &Query,
        response: &Response,
    ) -> Vec<u8> {
        let transport = client.transport();
        let most = match transport {
            dns::Transport::Udp => resolver.longest(),
            dns::Transport::Tcp => usize::from(u16::MAX),
        };
        let answer = query.reply(response, transport, most);
        resolver.counters.answer(query, response, &answer);
        if self.settings.query_log {
            let log = QueryLog {
                eni: client.key.ingress,
                client: (client.key.tuple.src, client.key.tuple.src_port),
                transport,
                name: query.name.clone(),
                record_type: query.record_type,
                code: response.code,
                answers: response.answers.clone(),
                source: response.source.clone(),
            };
            self.events.push(Event::Query(Box::new(log)));
        }
        answer
    }

    /// When [`Dataplane::answer_askers`] has something to do.
    pub(super) fn due_answers(&self) -> Option<Instant> {
        self.resolvers.questions.due()
    }

    /// Goes on with questions of which upstream has been asked: it has said something, or has been given up.
    pub(super) fn answer_askers(&self, worker: &mut Worker, now: Instant) {
        if self.due_answers().is_none_or(|due| now < due) {
            return;
        }
        for (mut waiting, upstream) in self.resolvers.questions.take_told(MOST, now) {
            waiting.resolution.told(upstream);
            match self.pursue(&worker.snapshot, waiting, now) {
                Some((Who::Client(client, query), response)) => {
                    self.answer_client(worker, client, &query, &response, now);
                }
                Some((Who::Resource(resource, known), response)) => {
                    self.name_resolved(resource, &known, &response, now);
                }
                None => {}
            }
        }
    }

    fn answer_client(
        &self,
        worker: &mut Worker,
        client: Client,
        query: &Query,
        response: &Response,
        now: Instant,
    ) {
        let snapshot = Arc::clone(&worker.snapshot);
        let Some(resolver) = snapshot.resolvers.get(client.vpc) else {
            return;
        };
        let answer = self.reply(resolver, client, query, response);
        match client.transport() {
            dns::Transport::Udp => send(worker, resolver, client, &answer, now),
            dns::Transport::Tcp => self.answer_on_connection(worker, client, &answer, now),
        }
    }
}

/// Sends a datagram to whoever has asked.
fn send(worker: &mut Worker, resolver: &Host, client: Client, answer: &[u8], now: Instant) {
    for packet in resolver.send(&client.key.tuple, answer, now) {
        worker.tell(client.key.ingress, packet);
    }
}

/// How many packets it is on the wire.
fn count_packets(packet: &Packet<'_>, headers: &Headers) -> usize {
    match packet.vnet().gso_size {
        0 => 1,
        size => headers.payload_len.div_ceil(size.into()),
    }
}
