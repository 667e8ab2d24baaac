//! Several servers, of which some fail: who decides.

use std::thread;

use hickory_resolver::proto::op::Edns;

use super::*;

/// How far away the servers stand that are far away.
const FAR: Duration = Duration::from_millis(30);

/// A server by UDP that answers a query with these bytes, and how many different names it was asked for.
struct Raw {
    address: SocketAddr,
    names: Arc<parking_lot::Mutex<std::collections::HashSet<Name>>>,
}

impl Raw {
    fn start(away: Duration, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: udp.local_addr().unwrap(),
            names: Arc::default(),
        };
        let names = Arc::clone(&server.names);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let query = &buffer[..length];
                let asked = Message::from_vec(query).unwrap().queries[0].name().clone();
                names.lock().insert(asked);
                if let Some(answer) = answer(query) {
                    thread::sleep(away);
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        server
    }

    fn says(code: ResponseCode) -> Self {
        Self::start(Duration::ZERO, coded(code))
    }

    /// Has the address 192.0.2.1 for every name.
    fn good(away: Duration) -> Self {
        Self::start(away, address)
    }

    fn asked(&self) -> usize {
        self.names.lock().len()
    }
}

fn coded(code: ResponseCode) -> impl Fn(&[u8]) -> Option<Vec<u8>> {
    move |query| {
        let mut response = respond(query, &|_, _, _| ())?;
        response.metadata.response_code = code;
        response.to_vec().ok()
    }
}

fn address(query: &[u8]) -> Option<Vec<u8>> {
    let answer = |name: &Name, _: RecordType, response: &mut Message| {
        response.add_answer(a(&name.to_string(), 60, 1));
    };
    respond(query, &answer)?.to_vec().ok()
}

/// A port that is closed to all but its own socket, which keeps other tests from it.
struct Closed(UdpSocket);

impl Closed {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

fn of(servers: &[SocketAddr]) -> Upstream {
    Upstream::new(&Servers::These(servers.to_vec()))
}

/// How often an address is found, of 20 names asked for one after the other.
fn found_of_20(upstream: &Upstream) -> usize {
    let found = |number: &usize| {
        let name = format!("x{number}.test.");
        said(upstream, &name, RecordType::A) == format!("{name} 60 IN A 192.0.2.1")
    };
    (0..20).filter(found).count()
}

#[test]
fn the_first_server_to_fail_does_not_decide_however_far_away_the_next_is() {
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::NotImp,
        ResponseCode::FormErr,
        ResponseCode::NotAuth,
        ResponseCode::Unknown(14),
    ] {
        let (failing, good) = (Raw::says(code), Raw::good(FAR));
        let upstream = of(&[failing.address, good.address]);
        assert_eq!(found_of_20(&upstream), 20, "{code}");
        assert!(failing.asked() > 0, "{code}: in the order of the list");
    }
}

#[test]
fn what_is_no_answer_does_not_decide() {
    type Answer = fn(&[u8]) -> Option<Vec<u8>>;
    let rows: [(&str, Answer); 5] = [
        ("the query itself", |query| Some(query.to_vec())),
        ("a header and nonsense", |query| {
            let mut answer = vec![0xff; 40];
            answer[..2].copy_from_slice(&query[..2]);
            Some(answer)
        }),
        ("half of an answer", |query| {
            let answer = address(query)?;
            Some(answer[..answer.len() - 7].to_vec())
        }),
        ("another class", |query| {
            let answer = |name: &Name, _: RecordType, response: &mut Message| {
                let mut record = a(&name.to_string(), 60, 2);
                record.dns_class = hickory_resolver::proto::rr::DNSClass::CH;
                response.add_answer(record);
            };
            respond(query, &answer)?.to_vec().ok()
        }),
        ("truncated, and nothing by TCP", |query| {
            let mut response = respond(query, &|_, _, _| ())?;
            response.metadata.truncation = true;
            response.to_vec().ok()
        }),
    ];
    for (what, answer) in rows {
        let (failing, good) = (Raw::start(Duration::ZERO, answer), Raw::good(FAR));
        let upstream = of(&[failing.address, good.address]);
        assert_eq!(found_of_20(&upstream), 20, "{what}");
        assert!(failing.asked() > 0, "{what}");
    }
}

#[test]
fn what_is_truncated_and_nonsense_by_tcp_does_not_decide() {
    let (udp, tcp) = both();
    let nonsense = udp.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let mut response = respond(&buffer[..length], &|_, _, _| ()).unwrap();
            response.metadata.truncation = true;
            udp.send_to(&response.to_vec().unwrap(), from).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let _ = stream.unwrap().write_all(&[0xff; 100]);
        }
    });
    let good = Raw::good(FAR);
    assert_eq!(found_of_20(&of(&[nonsense, good.address])), 20);
}

#[test]
fn a_closed_port_does_not_decide_and_is_noticed_at_once() {
    let (one, other, good) = (Closed::new(), Closed::new(), Raw::good(FAR));
    let upstream = of(&[one.address(), good.address]);
    let begun = std::time::Instant::now();
    assert_eq!(found_of_20(&upstream), 20);
    // Not after the time that a silent server has, 20 times.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let upstream = of(&[one.address(), other.address()]);
    let begun = std::time::Instant::now();
    assert_eq!(
        said(&upstream, "x.test.", RecordType::A),
        "failed: Server Failure"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn that_there_is_nothing_is_an_answer_and_the_next_server_is_not_asked() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let (first, second) = (Raw::says(code), Raw::good(Duration::ZERO));
        let upstream = of(&[first.address, second.address]);
        for number in 0..20 {
            let said = said(&upstream, &format!("x{number}.test."), RecordType::A);
            assert_eq!(said, format!("nothing: {code}, "));
        }
        assert_eq!((first.asked(), second.asked()), (20, 0), "{code}");
    }
}

#[test]
fn where_all_fail_the_last_servers_code_is_the_answer() {
    use ResponseCode::{FormErr, NotImp, Refused, ServFail};
    let rows: [(&[Option<ResponseCode>], &str); 6] = [
        (&[Some(ServFail), Some(Refused)], "Query Refused"),
        (&[Some(Refused), Some(ServFail)], "Server Failure"),
        (&[Some(Refused), Some(NotImp)], "Not Implemented"),
        (&[None, Some(FormErr)], "Form Error"),
        (&[Some(Refused), None], "Query Refused"),
        (&[None, None, None], "Server Failure"),
    ];
    for (codes, expected) in rows {
        let closed: Vec<_> = codes.iter().map(|_| Closed::new()).collect();
        let server = |(code, closed): (&Option<ResponseCode>, &Closed)| match code {
            Some(code) => Raw::says(*code).address,
            None => closed.address(),
        };
        let upstream = of(&codes.iter().zip(&closed).map(server).collect::<Vec<_>>());
        for number in 0..5 {
            let said = said(&upstream, &format!("x{number}.test."), RecordType::A);
            assert_eq!(said, format!("failed: {expected}"), "{codes:?}");
        }
    }
}

#[test]
fn a_code_that_needs_edns_is_no_code_for_an_asker() {
    let server = Raw::start(Duration::ZERO, |query| {
        let mut response = respond(query, &|_, _, _| ())?;
        response.metadata.response_code = ResponseCode::BADVERS;
        let mut edns = Edns::new();
        edns.set_rcode_high(ResponseCode::BADVERS.high());
        response.set_edns(edns);
        response.to_vec().ok()
    });
    let upstream = of(&[server.address]);
    assert_eq!(
        said(&upstream, "x.test.", RecordType::A),
        "failed: Server Failure"
    );
}

#[test]
fn a_server_that_stays_silent_is_asked_last_for_a_while() {
    let silent = Raw::start(Duration::ZERO, |_| None);
    let good = Raw::good(FAR);
    let upstream = of(&[silent.address, good.address]);
    assert_eq!(found_of_20(&upstream), 20);
    assert_eq!((silent.asked(), good.asked()), (3, 20));
}

#[test]
fn a_server_that_is_silent_and_one_that_fails_end_in_the_code() {
    let silent = Raw::start(Duration::ZERO, |_| None);
    let failing = Raw::says(ResponseCode::Refused);
    for servers in [
        [silent.address, failing.address],
        [failing.address, silent.address],
    ] {
        assert_eq!(
            said(&of(&servers), "x.test.", RecordType::A),
            "failed: Query Refused"
        );
    }
}

#[test]
fn the_next_server_is_asked_by_tcp_too_what_is_truncated() {
    let failing = Raw::says(ResponseCode::ServFail);
    let large = Server::start(|asked, _, response| {
        response.metadata.truncation = true;
        for last in 1..=100 {
            response.add_answer(a(&asked.to_string(), 60, last));
        }
    });
    let upstream = of(&[failing.address, large.address]);
    let dns::Upstream::Records(records) = lookup(&upstream, &ask("many.test.", RecordType::A))
    else {
        panic!("no records");
    };
    assert_eq!(records.len(), 100);
}
