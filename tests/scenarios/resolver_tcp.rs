//! The resolver of a VPC by TCP: connections, and what they are bounded by.

use std::collections::BTreeMap;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use privlink::dataplane::{DropReason, Transmit, Verdict};
use privlink::net::{Segment, Transport};
use privlink::sim::{PacketBuilder, Topology, World, ask, tcp};

use super::resolver::{
    A2, CONSUMER, LONG, RESOLVER, SECOND, addresses, asked, counters, exchange, message, packet,
    payload, query, question, tell, topology,
};
use super::{A, ACK, EC2, FIN, NEIGHBOUR, RST, SYN};

const PSH: u8 = Segment::PSH;

/// A connection to the resolver, as EC2_A's kernel would have it.
struct Stream {
    segment: PacketBuilder,
    seq: u32,
    ack: u32,
    heard: Vec<u8>,
}

impl Stream {
    fn open(world: &mut World, port: u16) -> Self {
        Self::open_as(world, tcp((EC2, port), RESOLVER))
    }

    fn open_as(world: &mut World, syn: PacketBuilder) -> Self {
        let outcome = world.send(A, &syn);
        let [syn_ack] = &outcome.replies[..] else {
            panic!("{outcome:?}\n{}", world.describe())
        };
        let headers = packet(syn_ack).headers().unwrap();
        let Transport::Tcp(segment) = headers.transport else {
            panic!("{syn_ack:?}")
        };
        assert_eq!((segment.flags, segment.ack), (SYN | ACK, 1001));
        let mut stream = Self {
            segment: syn,
            seq: 1001,
            ack: segment.seq.wrapping_add(1),
            heard: vec![],
        };
        let sent = stream.send(world, ACK, &[]);
        assert_eq!(sent, 0);
        stream
    }

    /// Sends a segment, and acknowledges what comes; the flags of all that came.
    fn send(&mut self, world: &mut World, flags: u8, bytes: &[u8]) -> u8 {
        let segment = self.segment.clone().segment(flags, self.seq, self.ack);
        let outcome = world.send(A, &segment.payload(bytes));
        assert_eq!(outcome.verdict, Verdict::Answered, "{}", world.describe());
        self.seq = self.seq.wrapping_add(bytes.len() as u32);
        self.take(world, outcome.replies)
    }

    fn take(&mut self, world: &mut World, said: Vec<Transmit>) -> u8 {
        let mut flags = 0;
        let own = self.segment.build().tuple().reversed();
        let is_own = |it: &Transmit| packet(it).tuple() == own;
        for transmit in said.iter().filter(|it| is_own(it)) {
            assert!(packet(transmit).checksums_are_right());
            let headers = packet(transmit).headers().unwrap();
            let Transport::Tcp(segment) = headers.transport else {
                panic!("{transmit:?}")
            };
            flags |= segment.flags;
            let payload = payload(transmit);
            if segment.seq == self.ack && !payload.is_empty() {
                self.ack = self.ack.wrapping_add(payload.len() as u32);
                self.heard.extend(payload);
                flags |= self.send(world, ACK, &[]);
            }
        }
        flags
    }

    /// Asks for these names' addresses in one segment; the answers that come at once.
    fn ask(&mut self, world: &mut World, names: &[&str]) -> Vec<Message> {
        let mut bytes = vec![];
        for (id, name) in names.iter().enumerate() {
            let query = message(id as u16, name, RecordType::A).to_vec().unwrap();
            bytes.extend((query.len() as u16).to_be_bytes());
            bytes.extend(query);
        }
        self.send(world, PSH | ACK, &bytes);
        self.messages()
    }

    /// Time passes.
    fn wait(&mut self, world: &mut World, time: Duration) -> u8 {
        let said = world.advance(time);
        self.take(world, said)
    }

    fn messages(&mut self) -> Vec<Message> {
        let mut messages = vec![];
        while let [high, low, rest @ ..] = &self.heard[..] {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            if rest.len() < len {
                break;
            }
            messages.push(Message::from_vec(&rest[..len]).unwrap());
            self.heard.drain(..2 + len);
        }
        messages
    }
}

#[test]
fn several_questions_on_a_connection_are_answered_each_as_soon_as_it_can_be() {
    let mut world = World::new(&topology());
    let mut stream = Stream::open(&mut world, 40_000);
    let names = ["www.example.org.", "www.example.com.", "long.example.com."];
    let ids = |answers: &[Message]| -> Vec<_> { answers.iter().map(|it| it.metadata.id).collect() };
    let answers = stream.ask(&mut world, &names);
    assert_eq!(ids(&answers), [1, 2]);
    let [(id, view, asked)] = &asked(&world)[..] else {
        panic!("upstream is asked once")
    };
    assert_eq!((*view, asked), (CONSUMER, &ask(names[0], RecordType::A)));
    tell(&world, *id, names[0], 60, [192, 0, 2, 1]);
    stream.wait(&mut world, Duration::ZERO);
    let answers = stream.messages();
    assert_eq!(ids(&answers), [0]);
    assert_eq!(addresses(&answers[0]), [[192, 0, 2, 1]]);
    let counters = counters(&world, 0);
    assert_eq!((counters.udp, counters.tcp), (0, 3));
}

#[test]
fn a_query_may_come_byte_by_byte_and_a_hundred_in_one_segment() {
    let mut world = World::new(&topology());
    let mut stream = Stream::open(&mut world, 40_000);
    let query = question("www.example.com.");
    let len = (query.len() as u16).to_be_bytes();
    for byte in len.iter().chain(&query) {
        assert_eq!(stream.messages().len(), 0);
        stream.send(&mut world, ACK, &[*byte]);
    }
    assert_eq!(stream.messages().len(), 1);
    let many = stream.ask(&mut world, &["www.example.com."; 100]).len();
    assert!(many <= 16, "a packet takes a bounded time: {many}");
    stream.wait(&mut world, SECOND);
    assert_eq!(many + stream.messages().len(), 100);
}

#[test]
fn a_connection_ends_when_its_client_ends_it_and_after_ten_seconds_without_a_question() {
    let mut world = World::new(&topology());
    let mut ended = Stream::open(&mut world, 40_000);
    ended.ask(&mut world, &["www.example.com."]);
    assert_eq!(ended.send(&mut world, FIN | ACK, &[]) & FIN, FIN);

    let mut idle = Stream::open(&mut world, 40_001);
    assert_eq!(idle.wait(&mut world, 9 * SECOND) & FIN, 0);
    assert_eq!(idle.ask(&mut world, &["www.example.com."]).len(), 1);
    assert_eq!(idle.wait(&mut world, 9 * SECOND) & FIN, 0);
    assert_eq!(idle.wait(&mut world, 2 * SECOND) & FIN, FIN);
    // It does not acknowledge that.
    assert_eq!(idle.wait(&mut world, 4 * SECOND) & RST, RST);
    world.advance(10 * SECOND);
    assert_eq!(world.due(), None);
    // A stranger's segment gets a RST.
    let stray = tcp((EC2, 40_001), RESOLVER).segment(ACK, 5, 5);
    assert_eq!(world.refuse(A, &stray, DropReason::NoFlow).len(), 1);
}

#[test]
fn a_flood_of_half_open_connections_takes_a_bounded_share_and_passes() {
    let mut world = World::new(&topology());
    let mut verdicts = BTreeMap::<_, usize>::new();
    for port in 0..200 {
        let outcome = world.send(A, &tcp((EC2, 20_000 + port), RESOLVER));
        let is_open = outcome.verdict == Verdict::Answered;
        *verdicts.entry(is_open).or_default() += 1;
    }
    assert_eq!(verdicts, [(true, 32), (false, 168)].into());
    assert_eq!(
        world.new_drops(),
        [((A, DropReason::ResolverLimit), 168)].into()
    );
    assert_eq!(counters(&world, 0).limited, 168);
    // Others do not notice, and it may go on itself when they have been given up.
    let neighbour = world.send(A2, &tcp((NEIGHBOUR, 20_000), RESOLVER));
    assert_eq!(neighbour.replies.len(), 1);
    world.advance(4 * SECOND);
    Stream::open(&mut world, 40_000);
}

#[test]
fn who_does_not_read_and_who_says_what_is_no_query_is_not_held_for_long() {
    let mut world = World::new(&topology());
    let mut deaf = Stream::open(&mut world, 40_000);
    let query = question("long.example.com.");
    for _ in 0..200 {
        let mut bytes = (query.len() as u16).to_be_bytes().to_vec();
        bytes.extend(&query);
        let segment = deaf.segment.clone().segment(ACK, deaf.seq, deaf.ack);
        world.send(A, &segment.payload(&bytes));
        deaf.seq += bytes.len() as u32;
    }
    let asked = counters(&world, 0).tcp;
    assert!((10..60).contains(&asked), "{asked} answers wait");
    let mut loud = Stream::open(&mut world, 40_001);
    let flags = loud.send(&mut world, ACK, &[0xff; 1000]);
    assert_eq!(flags & RST, RST);
    world.advance(60 * SECOND);
    assert_eq!(world.due(), None);
}

#[test]
fn what_is_too_long_for_udp_is_truncated_and_comes_whole_by_tcp() {
    let mut world = World::new(&topology());
    let short = exchange(&mut world, A, &query("long.example.com."));
    assert!(short.metadata.truncation && short.answers.is_empty());
    assert_eq!(counters(&world, 0).truncated, 1);

    let mut stream = Stream::open(&mut world, 40_000);
    let [whole] = &stream.ask(&mut world, &["long.example.com."])[..] else {
        panic!("not one answer")
    };
    assert!(!whole.metadata.truncation);
    assert_eq!(addresses(whole).len(), LONG);
}

#[test]
fn a_resolver_that_goes_takes_its_connections_along_and_what_it_counted_stays_with_one_that_stays()
{
    let mut world = World::new(&topology());
    Stream::open(&mut world, 40_000).ask(&mut world, &["www.example.com."]);
    world.dataplane.apply(topology().config);
    world.advance(SECOND);
    assert_eq!(counters(&world, 0).tcp, 1);
    let mut stream = Stream::open(&mut world, 40_001);
    world.send(A, &query("www.example.org."));
    let mut without = topology();
    for vpc in [Topology::CONSUMER_VPC, Topology::PROVIDER_VPC] {
        without.config.vpcs.get_mut(vpc).unwrap().resolver = None;
    }
    world.dataplane.apply(without.config);
    assert_eq!(stream.wait(&mut world, 15 * SECOND) & RST, RST);
    assert_eq!(world.due(), None);
}
