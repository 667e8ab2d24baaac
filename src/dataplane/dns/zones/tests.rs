use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, *};

use crate::dataplane::config::{Origin, Zone};
use crate::dataplane::dns::{Response, Source};
use crate::sim::{Names, endpoint, zone};

/// The response's code, records and SOAs, a line each.
fn said(response: &Response) -> String {
    let mut lines = vec![format!("{:?}", response.code)];
    lines.extend(response.answers.iter().map(ToString::to_string));
    let authorities = response.authorities.iter();
    lines.extend(authorities.map(|record| format!("; {record}")));
    lines.join("\n")
}

#[track_caller]
fn assert_said(names: &Names, name: &str, record_type: RecordType, expected: &[&str]) {
    let response = names.ask(name, record_type);
    assert_eq!(said(&response), expected.join("\n"), "{name} {record_type}");
}

const DENIED: &str = "; example.com. 900 IN SOA ns-0.awsdns-00.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";

fn hosted(text: &str) -> Names {
    Names::new(vec![zone("example.com.", text)], vec![])
}

#[test]
fn of_the_zones_that_a_name_lies_in_the_longest_answers() {
    let names = Names::new(
        vec![
            zone("com.", "a.b.example 1 A 10.0.0.1"),
            zone("b.example.com.", "a 1 A 10.0.0.3"),
            zone("example.com.", "a.b 1 A 10.0.0.2"),
        ],
        vec![zone("a.b.example.com.", "@ 1 TXT public")],
    );
    assert_said(
        &names,
        "a.b.example.com.",
        TXT,
        &["NoError", "a.b.example.com. 1 IN TXT public"],
    );
    // What the longest does not have, no other has.
    assert_eq!(names.ask("a.b.example.com.", A).answers, []);
    assert_eq!(
        names.ask("x.b.example.com.", A).code,
        ResponseCode::NXDomain
    );
    let source = Source::Zone {
        name: "b.example.com.".parse().unwrap(),
        origin: Origin::HostedZone("b.example.com.".into()),
    };
    assert_eq!(names.ask("x.b.example.com.", A).source, source);
}

#[test]
fn of_zones_with_one_name_the_first_answers_and_the_views_own_before_everybodys() {
    let names = Names::new(
        vec![
            zone("example.com.", "@ 1 A 10.0.0.1"),
            zone("EXAMPLE.com.", "@ 1 A 10.0.0.2"),
        ],
        vec![zone("example.com.", "@ 1 A 10.0.0.3")],
    );
    assert_said(
        &names,
        "example.com.",
        A,
        &["NoError", "example.com. 1 IN A 10.0.0.1"],
    );
}

#[test]
fn a_zone_at_the_root_has_what_no_other_has() {
    let names = Names::new(
        vec![zone(".", "org 1 A 10.0.0.1"), zone("com.", "")],
        vec![],
    );
    assert_said(&names, "org.", A, &["NoError", "org. 1 IN A 10.0.0.1"]);
    assert_eq!(names.ask("net.", A).code, ResponseCode::NXDomain);
    assert_eq!(names.ask(".", SOA).answers.len(), 1);
}

#[test]
fn owners_are_compared_without_case_and_answered_in_the_askers() {
    let names = hosted("WWW 60 A 10.0.0.1");
    assert_said(
        &names,
        "wWw.eXample.COM.",
        A,
        &["NoError", "wWw.eXample.COM. 60 IN A 10.0.0.1"],
    );
}

#[test]
fn one_name_has_sets_of_several_types() {
    let names = hosted("www 60 A 10.0.0.1\nwww 5 TXT text\nwww 7 AAAA fd00::1");
    assert_said(
        &names,
        "www.example.com.",
        TXT,
        &["NoError", "www.example.com. 5 IN TXT text"],
    );
    assert_said(
        &names,
        "www.example.com.",
        AAAA,
        &["NoError", "www.example.com. 7 IN AAAA fd00::1"],
    );
}

#[test]
fn a_type_that_a_name_does_not_have_is_denied_with_the_zones_soa() {
    let names = hosted("www 60 A 10.0.0.1");
    assert_said(&names, "www.example.com.", AAAA, &["NoError", DENIED]);
    assert_said(&names, "example.com.", A, &["NoError", DENIED]);
}

#[test]
fn a_name_that_does_not_exist_is_denied_with_the_zones_soa() {
    assert_said(
        &hosted("www 60 A 10.0.0.1"),
        "web.example.com.",
        A,
        &["NXDomain", DENIED],
    );
}

#[test]
fn the_apex_has_route_53s_soa_and_name_servers() {
    let names = hosted("");
    assert_said(&names, "example.com.", SOA, &["NoError", &DENIED[2..]]);
    let expected = [
        "NoError",
        "example.com. 172800 IN NS ns-0.awsdns-00.com.",
        "example.com. 172800 IN NS ns-512.awsdns-00.net.",
        "example.com. 172800 IN NS ns-1024.awsdns-00.org.",
        "example.com. 172800 IN NS ns-1536.awsdns-00.co.uk.",
    ];
    assert_said(&names, "example.com.", NS, &expected);
    assert_said(&names, "www.example.com.", SOA, &["NXDomain", DENIED]);
}

/// RFC 4592, 2.2.1: its zone and its questions.
#[test]
fn wildcards_answer_as_in_rfc_4592() {
    let names = Names::new(
        vec![zone(
            "example.",
            "@ 3600 MX 10 host1
             * 3600 TXT wildcard
             * 3600 MX 10 host1
             sub.* 3600 TXT no-wildcard
             host1 3600 A 192.0.2.1
             _ssh._tcp.host1 3600 SRV 0 0 22 host1
             _ssh._tcp.host2 3600 SRV 0 0 22 host2",
        )],
        vec![],
    );
    for (name, record_type, answer) in [
        (
            "host3.example.",
            MX,
            "host3.example. 3600 IN MX 10 host1.example.",
        ),
        (
            "foo.bar.example.",
            TXT,
            "foo.bar.example. 3600 IN TXT wildcard",
        ),
        ("*.example.", TXT, "*.example. 3600 IN TXT wildcard"),
        (
            "sub.*.example.",
            TXT,
            "sub.*.example. 3600 IN TXT no-wildcard",
        ),
    ] {
        assert_said(&names, name, record_type, &["NoError", answer]);
    }
    for (name, record_type, code) in [
        // The wildcard has no A.
        ("host3.example.", A, ResponseCode::NoError),
        // These exist.
        ("host1.example.", MX, ResponseCode::NoError),
        ("sub.*.example.", MX, ResponseCode::NoError),
        ("_tcp.host1.example.", TXT, ResponseCode::NoError),
        ("host2.example.", MX, ResponseCode::NoError),
        // What is above them exists, and has no wildcard.
        ("_telnet._tcp.host1.example.", SRV, ResponseCode::NXDomain),
        ("ghost.*.example.", MX, ResponseCode::NXDomain),
    ] {
        let response = names.ask(name, record_type);
        assert_eq!((response.code, response.answers.len()), (code, 0), "{name}");
    }
}

#[test]
fn a_wildcard_may_be_a_cname_or_an_alias() {
    let names = hosted("*.c 60 CNAME www\n*.a 60 ANAME www\nwww 5 A 10.0.0.1");
    let answers = [
        "NoError",
        "x.c.example.com. 60 IN CNAME www.example.com.",
        "www.example.com. 5 IN A 10.0.0.1",
    ];
    assert_said(&names, "x.c.example.com.", A, &answers);
    assert_said(
        &names,
        "x.a.example.com.",
        A,
        &["NoError", "x.a.example.com. 5 IN A 10.0.0.1"],
    );
}

#[test]
fn any_gets_all_records_of_the_name_or_its_cname() {
    let names = hosted(
        "@ 60 MX 10 mail\nwww 60 A 10.0.0.1\nwww 60 A 10.0.0.2\nwww 30 TXT text\nweb 5 CNAME www\n\
         alias 90 TXT own\nalias 90 ANAME www\ndead 90 ANAME none\na.ent 60 A 10.0.0.3",
    );
    let any = |name: &str| {
        let response = names.ask(name, ANY);
        let answers = response.answers.iter().map(ToString::to_string);
        let answers: Vec<_> = answers.collect();
        (response.code, answers)
    };
    let rows: [(&str, &[&str]); 5] = [
        (
            "www.example.com.",
            &[
                "www.example.com. 60 IN A 10.0.0.1",
                "www.example.com. 60 IN A 10.0.0.2",
                "www.example.com. 30 IN TXT text",
            ],
        ),
        (
            "web.example.com.",
            &["web.example.com. 5 IN CNAME www.example.com."],
        ),
        (
            "alias.example.com.",
            &[
                "alias.example.com. 90 IN TXT own",
                "alias.example.com. 60 IN A 10.0.0.1",
                "alias.example.com. 60 IN A 10.0.0.2",
            ],
        ),
        ("dead.example.com.", &[]),
        ("ent.example.com.", &[]),
    ];
    for (name, expected) in rows {
        let (code, answers) = any(name);
        assert_eq!(code, ResponseCode::NoError, "{name}");
        assert_eq!(answers, expected, "{name}");
    }
    assert_eq!(any("none.example.com.").0, ResponseCode::NXDomain);
    let (_, apex) = any("example.com.");
    let types: Vec<_> = apex
        .iter()
        .map(|it| it.split(' ').nth(3).unwrap())
        .collect();
    assert_eq!(types, ["SOA", "NS", "NS", "NS", "NS", "MX"]);
}

#[test]
fn any_gets_an_endpoints_addresses_in_healthy_zones_in_turn() {
    let served = endpoint(1, &[[10, 0, 0, 1], [10, 0, 1, 1], [10, 0, 2, 1]]);
    let mut names = Names::new(vec![], vec![served]);
    names.unhealthy.insert((Names::LOAD_BALANCER, Zone(1)));
    names.rotation = 1;
    let answers = names.ask(ENDPOINT, ANY).answers;
    let answers: Vec<_> = answers.iter().map(|it| it.data.to_string()).collect();
    assert_eq!(answers, ["10.0.2.1", "10.0.0.1"]);
}

fn addresses(names: &Names, name: &str) -> Vec<String> {
    let response = names.ask(name, A);
    let answers = response.answers.iter();
    answers.map(|record| record.data.to_string()).collect()
}

#[test]
fn addresses_are_answered_in_turn() {
    let mut names = hosted("www 60 A 10.0.0.1\nwww 60 A 10.0.0.2\nwww 60 A 10.0.0.3");
    assert_eq!(
        addresses(&names, "www.example.com."),
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    );
    names.rotation = 7;
    assert_eq!(
        addresses(&names, "www.example.com."),
        ["10.0.0.2", "10.0.0.3", "10.0.0.1"]
    );
    names.rotation = u32::MAX;
    assert_eq!(addresses(&names, "www.example.com.").len(), 3);
}

const ENDPOINT: &str = "vpce-1.vpce.amazonaws.com.";

#[test]
fn an_endpoints_name_leaves_out_zones_without_a_healthy_target_unless_all_are() {
    let served = endpoint(1, &[[10, 0, 0, 1], [10, 0, 1, 1], [10, 0, 2, 1]]);
    let mut names = Names::new(vec![], vec![served]);
    assert_eq!(
        addresses(&names, ENDPOINT),
        ["10.0.0.1", "10.0.1.1", "10.0.2.1"]
    );
    names.unhealthy.insert((Names::LOAD_BALANCER, Zone(1)));
    names.rotation = 1;
    assert_eq!(addresses(&names, ENDPOINT), ["10.0.2.1", "10.0.0.1"]);
    for zone in 0..3 {
        names.unhealthy.insert((Names::LOAD_BALANCER, Zone(zone)));
    }
    assert_eq!(
        addresses(&names, ENDPOINT),
        ["10.0.1.1", "10.0.2.1", "10.0.0.1"]
    );
    assert_eq!(names.ask(ENDPOINT, AAAA).code, ResponseCode::NoError);
    assert_eq!(names.ask(ENDPOINT, AAAA).answers, []);
}

#[test]
fn special_use_names_are_answered_here() {
    let names = Names::new(vec![], vec![]);
    for (name, record_type, expected) in [
        ("localhost.", A, "localhost. 10800 IN A 127.0.0.1"),
        ("app.LocalHost.", AAAA, "app.LocalHost. 10800 IN AAAA ::1"),
        (
            "1.0.0.127.in-addr.arpa.",
            PTR,
            "1.0.0.127.in-addr.arpa. 10800 IN PTR localhost.",
        ),
    ] {
        assert_said(&names, name, record_type, &["NoError", expected]);
    }
    let loopback = hickory_proto::rr::Name::from(std::net::Ipv6Addr::LOCALHOST).to_string();
    assert_eq!(names.ask(&loopback, PTR).answers.len(), 1);
    for name in [
        "2.0.0.127.in-addr.arpa.",
        "253.169.254.169.in-addr.arpa.",
        "a.invalid.",
    ] {
        let response = names.ask(name, PTR);
        assert_eq!(response.code, ResponseCode::NXDomain, "{name}");
        let Source::Zone { origin, .. } = response.source else {
            panic!("{name}: {:?}", response.source);
        };
        assert_eq!(origin, Origin::SpecialUse);
    }
}
