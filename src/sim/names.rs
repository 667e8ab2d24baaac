//! Names without packets: a view's zones, and an upstream that has nothing but what it was given.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use hickory_proto::serialize::txt::Parser;

use crate::dataplane::config::{
    DnsZone, EndpointAddress, LoadBalancerIdx, NameKey, Origin, RecordData, RecordSet, Zone,
};
use crate::dataplane::dns::{Ask, Query, Resolution, Response, Step, Transport, Upstream, Zones};
use crate::net::Addr;

/// More than a question may ask upstream.
const ENDLESS: usize = 100;

/// A view of names, and what is upstream.
#[derive(Debug, Default)]
pub struct Names {
    /// The view's zones.
    pub zones: Zones,
    /// What upstream says; to all else it says REFUSED.
    pub upstream: HashMap<Ask, Upstream>,
    /// Where no target is healthy.
    pub unhealthy: HashSet<(LoadBalancerIdx, Zone)>,
    /// How far addresses are turned.
    pub rotation: u32,
}

impl Names {
    /// The load balancer of all endpoints here.
    pub const LOAD_BALANCER: LoadBalancerIdx = LoadBalancerIdx::new(0, 0);

    /// A view of these zones, some its own, some everybody's.
    pub fn new(own: Vec<DnsZone>, public: Vec<DnsZone>) -> Self {
        let [own, public] =
            [own, public].map(|zones| zones.into_iter().map(Arc::new).collect::<Vec<_>>());
        Self {
            zones: Zones::public(&public).with(&own),
            ..Self::default()
        }
    }

    /// A VPC's view with a zone of each kind, in which everything occurs that a zone may have.
    pub fn everything() -> Self {
        // One set that is longer than any reply by UDP, and many that fill one.
        let long = (0..100).map(|at| format!("long 10 TXT {at:060}\n"));
        let link = |at| format!("{at:060}.{at:060}.chain");
        let links = (0..14).map(|at| format!("{} 10 CNAME {}\n", link(at), link(at + 1)));
        let first = format!("chain 10 CNAME {}\n", link(0));
        let hosted = "www 60 A 10.0.0.1
             www 60 A 10.0.0.2
             www 60 AAAA fd00::1
             web 30 CNAME www
             * 20 TXT wild
             *.web 20 CNAME outside.example.org.
             below.nothing 20 A 10.0.0.3
             here 20 CNAME here
             away 20 CNAME www.example.org.
             @ 10 ANAME endpoint
             endpoint 10 ANAME vpce-1.vpce.amazonaws.com.
             _ldap._tcp 10 SRV 1 2 389 www\n";
        let hosted = hosted.to_owned() + &long.chain(links).collect::<String>() + &first;
        let hosted = zone("example.com.", &hosted);
        let reverse = zone("18.172.in-addr.arpa.", "10.0 60 PTR ip-172-18-0-10");
        let mut names = Self::new(
            vec![hosted, reverse],
            vec![endpoint(1, &[[172, 18, 0, 5], [172, 18, 1, 5]])],
        );
        names.upstream_says("www.example.org.", "@ 5 CNAME web.example.com.");
        names.upstream_says("outside.example.org.", "@ 5 A 192.0.2.1");
        names
    }

    /// Lets upstream answer questions about a name with these records, whichever are asked for.
    pub fn upstream_says(&mut self, name: &str, records: &str) {
        let records: Vec<_> = records_of(name, records).collect();
        for record_type in [RecordType::A, RecordType::AAAA, RecordType::ANY] {
            let upstream = Upstream::Records(records.clone());
            self.upstream.insert(ask(name, record_type), upstream);
        }
    }

    /// Asks, and asks upstream as often as need be.
    pub fn ask(&self, name: &str, record_type: RecordType) -> Response {
        self.resolve(&Query::new(parsed(name), record_type))
    }

    /// The same for a query that somebody has sent.
    pub fn resolve(&self, query: &Query) -> Response {
        let mut resolution = Resolution::new(query);
        let is_healthy = |load_balancer, zone| !self.unhealthy.contains(&(load_balancer, zone));
        for _ in 0..ENDLESS {
            match resolution.step(&self.zones, is_healthy, self.rotation) {
                Step::Respond(response) => return response,
                Step::Ask(ask) => resolution.told(self.upstream_answer(&ask)),
            }
        }
        panic!("{query:?} comes to no end");
    }

    /// A message's way from its bytes to its reply's; `None` if it gets none.
    pub fn reply(&self, message: &[u8], transport: Transport, most: usize) -> Option<Vec<u8>> {
        match Query::parse(message) {
            Ok(query) => Some(query.reply(&self.resolve(&query), transport, most)),
            Err(reply) => reply,
        }
    }

    /// Takes whatever somebody sends through everything.
    ///
    /// # Panics
    /// If a reply is not a response to that message that can be read, or is longer than was asked for.
    pub fn endure(&self, message: &[u8]) {
        for (transport, most, expected) in [
            (Transport::Udp, 0, 512),
            (Transport::Udp, 1400, 1400),
            (Transport::Udp, usize::MAX, 4096),
            (Transport::Tcp, usize::MAX, 65_535),
        ] {
            let Some(reply) = self.reply(message, transport, most) else {
                continue;
            };
            assert!(reply.len() <= expected, "{} bytes", reply.len());
            assert_eq!(reply[..2], message[..2], "the id");
            let mut decoder = BinDecoder::new(&reply);
            let read = Message::read(&mut decoder).expect("a message");
            assert!(decoder.is_empty(), "{} bytes behind it", decoder.len());
            if let (Ok(_), Ok(asked)) = (Query::parse(message), Message::from_vec(message)) {
                assert_eq!(read.queries, asked.queries);
                assert_eq!(read.edns.is_some(), asked.edns.is_some());
            }
            let Err(None) = Query::parse(&reply) else {
                panic!("the reply would be answered");
            };
        }
    }

    fn upstream_answer(&self, ask: &Ask) -> Upstream {
        let refused = Upstream::Failed(ResponseCode::Refused);
        self.upstream.get(ask).cloned().unwrap_or(refused)
    }
}

/// What upstream is asked.
pub fn ask(name: &str, record_type: RecordType) -> Ask {
    Ask {
        name: parsed(name),
        record_type,
    }
}

/// A private hosted zone, out of a master file's text (RFC 1035, 5). ANAME stands for an alias.
pub fn zone(apex: &str, text: &str) -> DnsZone {
    let mut sets = BTreeMap::<_, Vec<_>>::new();
    for record in records_of(apex, text) {
        let set = (record.name.clone(), record.record_type());
        sets.entry(set).or_default().push(record);
    }
    let mut zone = DnsZone::new(parsed(apex), Origin::HostedZone(apex.into()));
    for ((owner, _), set) in sets {
        let ttl = set[0].ttl;
        let data = match &set[0].data {
            RData::ANAME(alias) => RecordData::Alias(alias.0.clone()),
            _ => RecordData::Plain(set.into_iter().map(|record| record.data).collect()),
        };
        zone.add(NameKey::from(&owner), [RecordSet { ttl, data }]);
    }
    zone
}

/// The names of endpoint `vpce-NUMBER`, with an address in each of the zones 0, 1, ...
pub fn endpoint(number: u32, addresses: &[[u8; 4]]) -> DnsZone {
    let name = parsed(&format!("vpce-{number}.vpce.amazonaws.com."));
    let in_zone = |(zone, address): (u16, &[u8; 4])| EndpointAddress {
        address: Addr::v4(*address),
        zone: Some((Names::LOAD_BALANCER, Zone(zone))),
    };
    let set = RecordSet {
        ttl: 60,
        data: RecordData::Endpoint((0..).zip(addresses).map(in_zone).collect()),
    };
    let origin = Origin::Endpoint(format!("vpce-{number}").into());
    let mut zone = DnsZone::new(name, origin);
    zone.add(zone.apex().clone(), [set]);
    zone
}

fn records_of(origin: &str, text: &str) -> impl Iterator<Item = Record> + use<> {
    let lines: String = text
        .lines()
        .map(|line| line.trim().to_owned() + "\n")
        .collect();
    let parser = Parser::new(lines, None, Some(parsed(origin)));
    let (_, sets) = parser.parse().unwrap();
    sets.into_values().flat_map(|set| set.into_parts().records)
}

fn parsed(name: &str) -> Name {
    Name::from_ascii(name).unwrap()
}
