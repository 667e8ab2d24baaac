//! What a question costs, from its bytes to its reply's: no packet, no smoltcp.
//!
//! The view is one VPC's: two hosted zones and the instances' reverse names of its own, and 10,000 endpoints' names of everybody's.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use privlink::dataplane::dns::Transport;
use privlink::sim::{Names, endpoint, zone};

const ENDPOINTS: u32 = 10_000;

fn names() -> Names {
    let instances: String = (4..=250)
        .map(|at| format!("ip-172-18-0-{at} 60 A 172.18.0.{at}\n"))
        .collect();
    let reverse: String = (4..=250)
        .map(|at| format!("{at}.0 60 PTR ip-172-18-0-{at}\n"))
        .collect();
    let own = vec![
        zone(
            "example.com.",
            "www 60 A 10.0.0.1\nwww 60 A 10.0.0.2\nweb 60 CNAME www\n*.app 60 A 10.0.0.3",
        ),
        zone("ap-northeast-1.compute.internal.", &instances),
        zone("18.172.in-addr.arpa.", &reverse),
    ];
    let addresses = [[172, 18, 0, 5], [172, 18, 1, 5]];
    let public = (0..ENDPOINTS).map(|number| endpoint(number, &addresses));
    Names::new(own, public.collect())
}

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).unwrap();
    message.add_query(Query::query(name, RecordType::A));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

fn questions(criterion: &mut Criterion) {
    let names = names();
    let mut group = criterion.benchmark_group("names");
    let deep = "a.".repeat(120) + "example.net.";
    for (title, name) in [
        ("an address", "www.example.com."),
        ("a CNAME and addresses", "web.example.com."),
        ("a wildcard", "some.app.example.com."),
        ("no such name", "none.example.com."),
        ("an endpoint of 10,000", "vpce-7777.vpce.amazonaws.com."),
        ("in no zone", "www.example.net."),
        ("in no zone, 122 labels", &deep),
    ] {
        let query = query(name);
        group.bench_function(title, |bencher| {
            bencher.iter(|| black_box(names.reply(black_box(&query), Transport::Udp, 4096)));
        });
    }
    group.finish();
}

criterion_group!(benches, questions);
criterion_main!(benches);
