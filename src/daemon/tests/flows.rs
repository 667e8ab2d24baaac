//! `GET /v1/flows`: pages, filters, and what is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{ask_live, fabric, fabric_for};
use crate::daemon::describe::Fabric;
use crate::daemon::live::Live;
use crate::dataplane::{EniIdx, Verdict, Worker};
use crate::net::Segment;
use crate::sim::tcp;

const CLIENT: [u8; 4] = [172, 18, 0, 108];
const ENDPOINT: [u8; 4] = [172, 18, 1, 70];
const OTHER_ENDPOINT: [u8; 4] = [172, 18, 0, 247];

fn eni_of(fabric: &Fabric, logical_id: &str) -> EniIdx {
    let mut instances = fabric.state.instances();
    let instance = instances.find(|it| it.client_token == logical_id).unwrap();
    let eni = fabric
        .state
        .network_interface(&instance.network_interface_id);
    eni.unwrap().idx
}

/// EC2A connects to an endpoint's address from this port; the gateway's address and port that EC2B sees.
fn open(fabric: &Fabric, worker: &mut Worker, port: u16, endpoint: [u8; 4]) -> ([u8; 4], u16) {
    let (from, to) = (eni_of(fabric, "EC2A"), eni_of(fabric, "EC2B"));
    let mut packet = tcp((CLIENT, port), (endpoint, 80)).build();
    let now = fabric.clock.now();
    fabric.dataplane.resume(worker);
    let verdict = fabric
        .dataplane
        .handle_packet(worker, from, &mut packet.view(), now);
    assert_eq!(verdict, Verdict::Forward(to));
    let arrived = packet.tuple();
    // The next one is newer.
    while fabric.clock.now() == now {}
    (arrived.src.octets_v4().unwrap(), arrived.src_port)
}

/// EC2B answers to that, and EC2A completes the handshake from this port.
fn establish(fabric: &Fabric, worker: &mut Worker, port: u16, gateway: ([u8; 4], u16)) {
    let (syn, ack) = (Segment::SYN, Segment::ACK);
    let answer = tcp((CLIENT, 80), gateway).segment(syn | ack, 5000, 1001);
    let third = tcp((CLIENT, port), (ENDPOINT, 80)).segment(ack, 1001, 5001);
    for (from, packet) in [("EC2B", answer), ("EC2A", third)] {
        let (from, now) = (eni_of(fabric, from), fabric.clock.now());
        let mut packet = packet.build();
        let verdict = fabric
            .dataplane
            .handle_packet(worker, from, &mut packet.view(), now);
        assert!(matches!(verdict, Verdict::Forward(_)));
    }
}

fn page(live: &Arc<Live>, query: &str) -> Value {
    let (status, mut body) = ask_live(live, &format!("GET /v1/flows?{query}"), None);
    assert!(status.ends_with("200 OK"), "{query}: {status} {body:?}");
    body.remove(0)
}

/// The source ports of a page's flows, as their initiators know them.
fn ports(page: &Value) -> Vec<u64> {
    let flows = page["Flows"].as_array().unwrap().iter();
    let port = |flow: &Value| flow["Initiator"]["SourcePort"].as_u64().unwrap();
    flows.map(port).collect()
}

#[test]
fn all_flows_come_in_pages_of_a_thousand_each_once_and_each_page_is_newest_first() {
    let fabric = fabric();
    let mut worker = fabric.dataplane.worker(0);
    for port in 2000..4500 {
        open(&fabric, &mut worker, port, ENDPOINT);
    }
    let live = Arc::new(Live::standing(fabric));
    let (mut seen, mut lengths, mut query) = (BTreeSet::new(), Vec::new(), String::new());
    loop {
        let page = page(&live, &query);
        let ages = page["Flows"].as_array().unwrap().iter();
        let ages = ages.map(|flow| flow["AgeSeconds"].as_f64().unwrap());
        assert!(ages.is_sorted());
        lengths.push(ports(&page).len());
        for port in ports(&page) {
            assert!(seen.insert(port), "{port} twice");
        }
        match page["NextToken"].as_str() {
            Some(token) => query = format!("next-token={token}"),
            None => break,
        }
    }
    assert_eq!(lengths, [1000, 1000, 500]);
    assert_eq!(seen, (2000..4500).collect());
    // A limit ends it; within a page it leaves the newest.
    let newest = page(&live, "limit=2&from=EC2A");
    assert_eq!(newest["NextToken"], Value::Null);
    assert_eq!(ports(&newest), [2999, 2998]);
}

#[test]
fn a_page_is_made_of_a_bounded_part_of_the_table_even_if_nothing_in_it_matches() {
    let fabric = fabric_for(30_000);
    let mut worker = fabric.dataplane.worker(0);
    for port in 1..=8_000 {
        open(&fabric, &mut worker, port, ENDPOINT);
    }
    for port in 1..=1_000 {
        open(&fabric, &mut worker, port, OTHER_ENDPOINT);
    }
    let live = Arc::new(Live::standing(fabric));
    let first = page(&live, "to=172.18.0.247:80&from=172.18.0.108:1000");
    assert_eq!(ports(&first), [0; 0]);
    let next = first["NextToken"].as_str().unwrap();
    let query = format!("to=172.18.0.247:80&from=172.18.0.108:1000&next-token={next}");
    let second = page(&live, &query);
    assert_eq!(ports(&second), [1000]);
    assert_eq!(second["NextToken"], Value::Null);
}

#[test]
fn flows_are_found_by_their_ends_their_endpoint_and_their_state() {
    let fabric = fabric();
    let mut worker = fabric.dataplane.worker(0);
    let gateway = open(&fabric, &mut worker, 2000, ENDPOINT);
    establish(&fabric, &mut worker, 2000, gateway);
    open(&fabric, &mut worker, 2001, ENDPOINT);
    let id = |name: &str| {
        let eni = fabric.state.eni_by_idx(eni_of(&fabric, name)).unwrap();
        eni.network_interface_id.to_string()
    };
    let (eni_a, eni_b) = (id("EC2A"), id("EC2B"));
    let endpoint = fabric.state.vpc_endpoints().next().unwrap();
    let vpce = endpoint.vpc_endpoint_id.to_string();
    let [other, endpoint_eni] = [0, 1].map(|nth| endpoint.network_interface_ids[nth].to_string());
    let gateway_eni = fabric.state.network_interfaces().find(|eni| {
        let addresses = &eni.private_ip_addresses;
        addresses.contains(&gateway.0.into()) && addresses.len() > 1
    });
    let gateway_eni = gateway_eni.unwrap().network_interface_id.to_string();
    let ([_, _, _, last], port) = gateway;
    let gateway = format!("172.18.1.{last}");
    let live = Arc::new(Live::standing(fabric));
    let both = &[2000, 2001][..];
    for (query, expected) in [
        ("", both),
        ("from=172.18.0.108", both),
        ("from=172.18.0.108:2001", &[2001]),
        ("from=172.18.0.0/24&to=172.18.1.70:80", both),
        ("to=172.18.1.70:81", &[]),
        ("to=172.18.0.108", both),
        ("to=10.0.0.0/8", &[]),
        ("from=EC2A", both),
        ("from=resource-endpoint:EC2A&to=ec2-b", both),
        ("from=EC2_A", both),
        ("to=EC2A", &[]),
        (&format!("from={gateway}:{port}"), &[2000]),
        (&format!("from={eni_a}&to={eni_b}"), both),
        (&format!("to={endpoint_eni}"), both),
        (&format!("to={other}"), &[]),
        (&format!("from={gateway_eni}"), both),
        ("endpoint=Endpoint", both),
        (&format!("endpoint={vpce}&state=half-open"), &[2001]),
        ("state=established", &[2000]),
        ("state=closing", &[]),
    ] {
        let mut found = ports(&page(&live, query));
        found.sort_unstable();
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn a_filter_that_cannot_be_is_an_error_that_names_it_and_what_it_takes() {
    let live = Arc::new(Live::standing(fabric()));
    for (query, parts) in [
        (
            "from=ec2-x",
            [
                "--from: there is no instance `ec2-x`; did you mean",
                "a CIDR (",
            ],
        ),
        (
            "to=172.18.0.300",
            [
                "--to: there is no instance `172.18.0.300`",
                "an address (172.18.0.108)",
            ],
        ),
        (
            "to=10.0.0.0/33",
            [
                "--to: there is no instance `10.0.0.0/33`",
                "a CIDR (172.18.0.0/16)",
            ],
        ),
        (
            "from=eni-0",
            [
                "--from: there is no network interface `eni-0`",
                "`privlink show interfaces`",
            ],
        ),
        (
            "endpoint=vpce-0",
            [
                "--endpoint: there is no VPC endpoint `vpce-0`",
                "`privlink endpoints list`",
            ],
        ),
        (
            "state=open",
            [
                "--state: there is no state `open`",
                "half-open, established, closing, reset",
            ],
        ),
        ("limit=0", ["limit", "nonzero"]),
        ("limit=ten", ["limit", "invalid digit"]),
        ("colour=red", ["unknown field `colour`", "`endpoint`"]),
        (
            "next-token=first",
            ["next-token is the NextToken", "unchanged"],
        ),
    ] {
        let (status, body) = ask_live(&live, &format!("GET /v1/flows?{query}"), None);
        assert!(status.ends_with("400 Bad Request"), "{query}: {status}");
        let message = body[0]["Message"].as_str().unwrap();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}
