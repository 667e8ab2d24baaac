//! Against a real server on loopback, UDP and TCP, that this file is.

mod failover;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData};

use super::*;
use crate::dataplane::config::VpcIdx;

/// A server that answers as `answer` says, and how often it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` fills in a response. What it truncates is whole by TCP.
    fn start(answer: impl Fn(&Name, RecordType, &mut Message) + Send + Sync + 'static) -> Self {
        let (udp, tcp) = both();
        let server = Self {
            address: udp.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let answer = Arc::new(answer);
        let (asked, by_udp) = (Arc::clone(&server.asked), Arc::clone(&answer));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                asked.fetch_add(1, Ordering::Relaxed);
                if let Some(mut response) = respond(&buffer[..length], &*by_udp) {
                    if response.metadata.truncation {
                        response.answers.clear();
                    }
                    udp.send_to(&response.to_vec().unwrap(), from).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                let mut response = respond(&query, &*answer).unwrap();
                response.metadata.truncation = false;
                let response = response.to_vec().unwrap();
                stream
                    .write_all(&(response.len() as u16).to_be_bytes())
                    .unwrap();
                stream.write_all(&response).unwrap();
            }
        });
        server
    }

    fn upstream(&self) -> Upstream {
        Upstream::new(&Servers::These(vec![self.address]))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// One port for both.
fn both() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

/// `None`: silence.
fn respond(query: &[u8], answer: &dyn Fn(&Name, RecordType, &mut Message)) -> Option<Message> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.recursion_available = true;
    response.add_query(question.clone());
    answer(question.name(), question.query_type(), &mut response);
    (response.metadata.response_code != ResponseCode::BADCOOKIE).then_some(response)
}

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn ask(text: &str, record_type: RecordType) -> Ask {
    Ask {
        name: name(text),
        record_type,
    }
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn cname(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
}

fn soa(zone: &str) -> Record {
    let data = SOA::new(name("ns.test."), name("admin.test."), 1, 2, 3, 4, 30);
    Record::from_rdata(name(zone), 900, RData::SOA(data))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn lookup(upstream: &Upstream, ask: &Ask) -> dns::Upstream {
    runtime().block_on(upstream.lookup(View::Public, Asker::Itself, ask))
}

/// What it said, in one line.
fn said(upstream: &Upstream, text: &str, record_type: RecordType) -> String {
    match lookup(upstream, &ask(text, record_type)) {
        dns::Upstream::Records(records) => {
            let records: Vec<_> = records.iter().map(ToString::to_string).collect();
            records.join("; ")
        }
        dns::Upstream::Nothing { code, soa } => {
            let soa = soa.map(|soa| format!("{} {}", soa.name, soa.ttl));
            format!("nothing: {code}, {}", soa.unwrap_or_default())
        }
        dns::Upstream::Failed(code) => format!("failed: {code}"),
    }
}

#[test]
fn records_of_any_type_come_back_with_their_chain() {
    let server = Server::start(|asked, record_type, response| match record_type {
        RecordType::A if *asked == name("www.test.") => {
            response.add_answer(cname("www.test.", "web.test."));
            response.add_answer(a("web.test.", 60, 1));
            response.add_answer(a("web.test.", 60, 2));
        }
        RecordType::TXT => {
            let data = RData::TXT(TXT::new(vec!["v=1".into()]));
            response.add_answer(Record::from_rdata(asked.clone(), 60, data));
        }
        _ => {}
    });
    let upstream = server.upstream();
    assert_eq!(
        said(&upstream, "www.test.", RecordType::A),
        "www.test. 60 IN CNAME web.test.; web.test. 60 IN A 192.0.2.1; web.test. 60 IN A 192.0.2.2"
    );
    assert_eq!(
        said(&upstream, "x.test.", RecordType::TXT),
        "x.test. 60 IN TXT v=1"
    );
}

#[test]
fn what_is_missing_is_told_from_what_does_not_exist_and_lasts_as_the_soa_says() {
    let server = Server::start(|asked, _, response| {
        if *asked == name("no.test.") {
            response.metadata.response_code = ResponseCode::NXDomain;
        }
        if *asked != name("bare.test.") {
            response.add_authority(soa("test."));
        }
    });
    let upstream = server.upstream();
    for (text, expected) in [
        ("no.test.", "nothing: Non-Existent Domain, test. 30"),
        ("yes.test.", "nothing: No Error, test. 30"),
        ("bare.test.", "nothing: No Error, "),
    ] {
        assert_eq!(said(&upstream, text, RecordType::AAAA), expected);
    }
}

#[test]
fn an_alias_whose_target_upstream_does_not_know_is_still_told() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let server = Server::start(move |asked, _, response| {
            response.add_authority(soa("test."));
            if *asked == name("alias.test.") {
                response.add_answer(cname("alias.test.", "db.corp.test."));
            }
            response.metadata.response_code = code;
        });
        let upstream = server.upstream();
        for record_type in [RecordType::A, RecordType::CNAME] {
            assert_eq!(
                said(&upstream, "alias.test.", record_type),
                "alias.test. 60 IN CNAME db.corp.test."
            );
        }
        assert!(said(&upstream, "db.corp.test.", RecordType::A).starts_with("nothing"));
    }
}

#[test]
fn what_was_said_is_kept_for_its_time_and_counts_down() {
    let server = Server::start(|asked, _, response| {
        let ttl = if *asked == name("short.test.") { 1 } else { 60 };
        response.add_answer(a(&asked.to_string(), ttl, 1));
    });
    let upstream = server.upstream();
    assert_eq!(
        said(&upstream, "long.test.", RecordType::A),
        "long.test. 60 IN A 192.0.2.1"
    );
    said(&upstream, "short.test.", RecordType::A);
    assert_eq!(server.asked(), 2);
    std::thread::sleep(Duration::from_millis(2100));
    said(&upstream, "short.test.", RecordType::A);
    assert_eq!(server.asked(), 3, "its time was over");
    let dns::Upstream::Records(records) = lookup(&upstream, &ask("LONG.test.", RecordType::A))
    else {
        panic!("no records");
    };
    assert_eq!(server.asked(), 3, "it was to be kept");
    assert!(records[0].ttl <= 58, "{}", records[0].ttl);
}

#[test]
fn what_is_large_is_not_kept_whatever_makes_it_large() {
    let text = |length| RData::TXT(TXT::new(vec!["x".repeat(length); 8]));
    let server = Server::start(move |asked, _, response| {
        let owner = asked.to_string();
        response.metadata.truncation = true;
        match owner.split('.').next() {
            Some("addresses") => (0..200).for_each(|last| {
                response.add_answer(a(&owner, 60, last));
            }),
            Some("text") => {
                response.add_answer(Record::from_rdata(asked.clone(), 60, text(100)));
            }
            Some("characters") => {
                let data = RData::TXT(TXT::new(vec!["x".into(); 300]));
                response.add_answer(Record::from_rdata(asked.clone(), 60, data));
            }
            Some("absence") => {
                response.add_authority(soa("test."));
                (0..200).for_each(|last| {
                    response.add_authority(a(&owner, 60, last));
                });
            }
            Some("alias") => {
                response.add_answer(cname(&owner, "addresses.test."));
            }
            Some("few") => (0..8).for_each(|last| {
                response.add_answer(a(&owner, 60, last));
            }),
            _ => {
                response.add_answer(Record::from_rdata(asked.clone(), 60, text(20)));
            }
        }
    });
    let upstream = server.upstream();
    let times_asked = |text: &str, record_type| {
        let before = server.asked();
        said(&upstream, text, record_type);
        server.asked() - before
    };
    for (text, record_type, large) in [
        ("addresses.test.", RecordType::A, true),
        ("text.test.", RecordType::TXT, true),
        ("characters.test.", RecordType::TXT, true),
        ("absence.test.", RecordType::A, true),
        ("alias.test.", RecordType::A, true),
        ("addresses.test.", RecordType::A, true),
        ("few.test.", RecordType::A, false),
        ("note.test.", RecordType::TXT, false),
    ] {
        assert!(times_asked(text, record_type) > 0, "{text}");
        let again = times_asked(text, record_type);
        assert_eq!(again > 0, large, "{text}: {again}");
    }
}

#[test]
fn views_do_not_share_what_they_know_and_forget_it_when_they_go() {
    let server = Server::start(|asked, _, response| {
        response.add_answer(a(&asked.to_string(), 60, 1));
    });
    let upstream = server.upstream();
    let ask = ask("x.test.", RecordType::A);
    let (one, two) = (vpc(1), vpc(2));
    let count = |views: &[View]| {
        let before = server.asked();
        runtime().block_on(async {
            for view in views {
                upstream.lookup(*view, Asker::Instance, &ask).await;
            }
        });
        server.asked() - before
    };
    assert_eq!(count(&[one, two, View::Public, one, two]), 3);
    upstream.retain(|view| view != two);
    assert_eq!(count(&[one, two, two]), 1);
}

#[test]
fn what_is_truncated_is_asked_again_by_tcp() {
    let server = Server::start(|asked, _, response| {
        response.metadata.truncation = true;
        for last in 1..=100 {
            response.add_answer(a(&asked.to_string(), 60, last));
        }
    });
    let dns::Upstream::Records(records) =
        lookup(&server.upstream(), &ask("many.test.", RecordType::A))
    else {
        panic!("no records");
    };
    assert_eq!(records.len(), 100);
}

#[test]
fn a_server_that_fails_refuses_or_is_silent_is_told_apart() {
    let server = Server::start(|asked, _, response| {
        response.metadata.response_code = match asked {
            _ if *asked == name("refused.test.") => ResponseCode::Refused,
            _ if *asked == name("failed.test.") => ResponseCode::ServFail,
            // Silence.
            _ => ResponseCode::BADCOOKIE,
        };
    });
    let upstream = server.upstream();
    for (text, expected) in [
        ("refused.test.", "failed: Query Refused"),
        ("failed.test.", "failed: Server Failure"),
        ("silent.test.", "failed: Server Failure"),
    ] {
        assert_eq!(said(&upstream, text, RecordType::A), expected);
    }
}

/// A server that answers for one name, and says nothing of all others.
fn mostly_dead() -> Server {
    Server::start(|asked, _, response| match *asked == name("good.test.") {
        true => {
            response.add_answer(a("good.test.", 60, 1));
        }
        false => response.metadata.response_code = ResponseCode::BADCOOKIE,
    })
}

type Lookup<'a> = Pin<Box<dyn Future<Output = dns::Upstream> + 'a>>;

/// Asks for many names that nobody answers; those of the questions that were not refused at once, and so are under way.
async fn pile_up(upstream: &Upstream, view: View, asker: Asker) -> Vec<Lookup<'_>> {
    let mut under_way: Vec<Lookup<'_>> = Vec::new();
    for number in 0..2 * IN_FLIGHT {
        let ask = ask(&format!("x{number}.test."), RecordType::A);
        let mut lookup: Lookup<'_> =
            Box::pin(async move { upstream.lookup(view, asker, &ask).await });
        match poll_fn(|context| Poll::Ready(lookup.as_mut().poll(context))).await {
            Poll::Pending => under_way.push(lookup),
            Poll::Ready(said) => {
                let refused = matches!(said, dns::Upstream::Failed(ResponseCode::ServFail));
                assert!(refused, "{said:?}");
            }
        }
    }
    under_way
}

async fn is_answered(upstream: &Upstream, view: View, asker: Asker) -> bool {
    let good = ask("good.test.", RecordType::A);
    let said = upstream.lookup(view, asker, &good).await;
    matches!(said, dns::Upstream::Records(_))
}

fn vpc(number: u32) -> View {
    View::Vpc(VpcIdx::new(number, 1))
}

#[test]
fn instances_that_ask_a_dead_server_keep_out_neither_other_vpcs_nor_privlink_itself() {
    let server = mostly_dead();
    let upstream = server.upstream();
    runtime().block_on(async {
        let mut held = Vec::new();
        for number in 1..=8 {
            assert!(is_answered(&upstream, vpc(number), Asker::Instance).await);
            let more = pile_up(&upstream, vpc(number), Asker::Instance).await;
            assert!((1..=shares::EACH).contains(&more.len()), "{}", more.len());
            held.extend(more);
        }
        assert!(held.len() <= shares::INSTANCES, "{}", held.len());
        assert!(!is_answered(&upstream, vpc(1), Asker::Instance).await);
        assert!(is_answered(&upstream, vpc(1), Asker::Itself).await);
        assert!(is_answered(&upstream, View::Public, Asker::Itself).await);
        // What was under way is over.
        drop(held);
        assert!(is_answered(&upstream, vpc(1), Asker::Instance).await);
    });
}

#[test]
fn no_more_questions_are_under_way_than_allowed() {
    let server = mostly_dead();
    let upstream = server.upstream();
    runtime().block_on(async {
        let all = pile_up(&upstream, View::Public, Asker::Itself).await;
        assert_eq!(all.len(), IN_FLIGHT);
        assert!(!is_answered(&upstream, vpc(1), Asker::Instance).await);
    });
}

#[test]
fn without_a_server_nothing_exists() {
    let upstream = Upstream::new(&Servers::These(Vec::new()));
    assert_eq!(
        said(&upstream, "x.test.", RecordType::A),
        "nothing: Non-Existent Domain, "
    );
    assert!(upstream.servers().is_empty() && upstream.note().is_none());
}

#[test]
fn a_server_is_an_address_with_or_without_a_port() {
    for (text, expected) in [
        ("192.0.2.1", "192.0.2.1:53"),
        ("192.0.2.1:5353", "192.0.2.1:5353"),
        ("2001:db8::1", "[2001:db8::1]:53"),
        ("[2001:db8::1]", "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
    ] {
        assert_eq!(parse_server(text).unwrap().to_string(), expected);
    }
    for wrong in ["", "localhost", "192.0.2.1:0", "192.0.2.1:x", "192.0.2"] {
        assert!(parse_server(wrong).is_err(), "{wrong}");
    }
    let upstream = Upstream::new(&Servers::These(vec![
        "192.0.2.1:53".parse().unwrap(),
        "192.0.2.2:5353".parse().unwrap(),
    ]));
    assert_eq!(upstream.servers(), ["192.0.2.1", "192.0.2.2:5353"]);
}
