//! Asked by real sockets, on loopback.

use std::io::{Read, Write};

use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::TcpSocket;

use super::*;
use crate::daemon::names::upstream::{Servers, Upstream};
use crate::dataplane::{Dataplane, DataplaneConfig, Settings};
use crate::io::Clock;
use crate::sim::zone;

/// Public DNS with one zone, and the servers that nobody may ask.
struct Public {
    address: SocketAddr,
    upstream: std::net::UdpSocket,
    runtime: tokio::runtime::Runtime,
}

fn public() -> Public {
    public_with(Duration::from_millis(500))
}

/// Connections may be silent for so long.
fn public_with(idle: Duration) -> Public {
    let dataplane = Dataplane::new(Settings {
        workers: 1,
        seed: 7,
        mtu: 9001,
        max_flows: 1024,
        query_log: false,
    });
    let zone = zone(
        "vpce-svc-1.ap-northeast-1.vpce.amazonaws.com.",
        "vpce-1 60 A 172.18.0.5
         vpce-1 60 A 172.18.1.5",
    );
    dataplane.apply(DataplaneConfig {
        public_zones: vec![Arc::new(zone)],
        ..DataplaneConfig::default()
    });
    let upstream = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    upstream.set_nonblocking(true).unwrap();
    let servers = Servers::These(vec![upstream.local_addr().unwrap()]);
    let dataplane = Arc::new(dataplane);
    let names = Names::new(Upstream::new(&servers), dataplane, Clock::start(), || ());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut sockets = runtime.block_on(async { Sockets::bind(any).unwrap() });
    sockets.idle = idle;
    let address = sockets.udp.local_addr().unwrap();
    runtime.spawn(sockets.serve(Arc::new(names)));
    Public {
        address,
        upstream,
        runtime,
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut query = Message::new(77, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    let name = Name::from_ascii(name).unwrap();
    query.add_query(Question::query(name, RecordType::A));
    query.to_vec().unwrap()
}

impl Public {
    fn by_udp(&self, name: &str) -> Message {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(IDLE)).unwrap();
        socket.send_to(&query(name), self.address).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    fn connect(&self) -> std::net::TcpStream {
        self.connect_from([127, 0, 0, 1])
    }

    fn connect_from(&self, client: [u8; 4]) -> std::net::TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((client, 0).into()).unwrap();
        let connect = self
            .runtime
            .block_on(async { socket.connect(self.address).await });
        let stream = connect.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(2 * IDLE)).unwrap();
        stream
    }
}

fn by_tcp(stream: &mut std::net::TcpStream, name: &str) -> Message {
    let query = query(name);
    let length = (query.len() as u16).to_be_bytes();
    stream.write_all(&[&length[..], &query].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

const ENDPOINT: &str = "vpce-1.vpce-svc-1.ap-northeast-1.vpce.amazonaws.com.";

#[test]
fn everybody_is_told_endpoints_names_and_nothing_else() {
    let public = public();
    let mut stream = public.connect();
    for (name, code, answers) in [
        (ENDPOINT, ResponseCode::NoError, 2),
        (
            "vpce-2.vpce-svc-1.ap-northeast-1.vpce.amazonaws.com.",
            ResponseCode::NXDomain,
            0,
        ),
        ("www.example.com.", ResponseCode::Refused, 0),
        (".", ResponseCode::Refused, 0),
    ] {
        for answer in [public.by_udp(name), by_tcp(&mut stream, name)] {
            let found = (answer.metadata.response_code, answer.answers.len());
            assert_eq!(found, (code, answers), "{name}");
            assert_eq!(answer.metadata.id, 77);
        }
    }
    // It would have stood here.
    let asked = public.upstream.recv(&mut [0; 512]);
    assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn what_is_no_query_harms_nobody() {
    let public = public();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let good = query(ENDPOINT);
    for length in 0..good.len() {
        socket.send_to(&good[..length], public.address).unwrap();
    }
    // Longer than any query, and cut off.
    let mut stream = public.connect();
    stream.write_all(&[255, 255, 1, 2, 3]).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(public.by_udp(ENDPOINT).answers.len(), 2);
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out_for_ever() {
    let public = public();
    let clients = (0..CONNECTIONS).map(|client| [127, 0, 1, client as u8]);
    let _silent: Vec<_> = clients.map(|client| public.connect_from(client)).collect();
    // It waits until one of them has been silent for too long.
    let answer = by_tcp(&mut public.connect(), ENDPOINT);
    assert_eq!(answer.answers.len(), 2);
}

#[test]
fn one_client_has_no_more_than_its_share_of_the_connections() {
    let public = public_with(Duration::from_secs(3600));
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| public.connect()).collect();
    let answer = by_tcp(&mut public.connect_from([127, 0, 0, 2]), ENDPOINT);
    assert_eq!(answer.answers.len(), 2);
    for (count, stream) in streams.iter_mut().enumerate() {
        match count < EACH {
            true => assert_eq!(by_tcp(stream, ENDPOINT).answers.len(), 2),
            false => assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "{count}"),
        }
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let Err(error) = Sockets::bind(address) else {
        panic!("it was free");
    };
    let said = format!("{error:#}");
    assert!(said.contains(&address.to_string()), "{said}");
    assert!(said.contains("--public-dns"), "{said}");
}
