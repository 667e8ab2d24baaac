use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, *};
use hickory_proto::rr::{DNSClass, Name, Record};

use super::{Response, Source, Step, Upstream};
use crate::dataplane::dns::{Query, Resolution};
use crate::sim::{Names, ask, endpoint, zone};

fn said(response: &Response) -> String {
    let mut lines = vec![format!("{:?}", response.code)];
    lines.extend(response.answers.iter().map(ToString::to_string));
    lines.join("\n")
}

#[track_caller]
fn assert_said(names: &Names, name: &str, record_type: RecordType, expected: &[&str]) {
    let response = names.ask(name, record_type);
    assert_eq!(said(&response), expected.join("\n"), "{name} {record_type}");
}

fn hosted(text: &str) -> Names {
    Names::new(vec![zone("example.com.", text)], vec![])
}

fn source_of(apex: &str) -> Source {
    let zone = zone(apex, "");
    Source::Zone {
        name: zone.name,
        origin: zone.origin,
    }
}

fn soa() -> Record {
    let denied = hosted("").ask("x.example.com.", A);
    denied.authorities[0].clone()
}

#[test]
fn a_name_in_no_zone_is_asked_upstream_in_the_askers_case() {
    let mut names = hosted("");
    names.upstream_says("www.example.org.", "@ 5 A 192.0.2.1\n@ 5 A 192.0.2.2");
    let answers = [
        "NoError",
        "WWW.example.org. 5 IN A 192.0.2.1",
        "WWW.example.org. 5 IN A 192.0.2.2",
    ];
    assert_said(&names, "WWW.example.org.", A, &answers);
    assert_eq!(names.ask("www.example.org.", A).source, Source::Upstream);
}

#[test]
fn a_step_asks_until_it_is_told() {
    let names = hosted("");
    let mut resolution = Resolution::new(&Query::new("example.org.".parse().unwrap(), A));
    for _ in 0..2 {
        let Step::Ask(asked) = resolution.step(&names.zones, |_, _| true, 0) else {
            panic!("upstream has not been asked");
        };
        assert_eq!(asked, ask("example.org.", A));
    }
    resolution.told(Upstream::Failed(ResponseCode::ServFail));
    let Step::Respond(response) = resolution.step(&names.zones, |_, _| true, 0) else {
        panic!("upstream is asked again");
    };
    assert_eq!(response.code, ResponseCode::ServFail);
}

#[test]
fn what_upstream_does_not_have_is_denied_as_upstream_does() {
    let mut names = hosted("web 5 CNAME www.example.org.");
    for (record_type, code) in [(A, ResponseCode::NXDomain), (AAAA, ResponseCode::NoError)] {
        let nothing = Upstream::Nothing {
            code,
            soa: Some(soa()),
        };
        names
            .upstream
            .insert(ask("www.example.org.", record_type), nothing);
        let response = names.ask("www.example.org.", record_type);
        assert_eq!(response.code, code);
        assert_eq!(response.authorities, [soa()]);
        assert_eq!(response.source, Source::Upstream);
        // The code is the last name's, the CNAME before it is answered (RFC 6604).
        let response = names.ask("web.example.com.", record_type);
        assert_eq!((response.code, response.answers.len()), (code, 1));
    }
}

#[test]
fn what_upstream_fails_to_say_is_failed_with_nothing_said() {
    let mut names = hosted("web 5 CNAME www.example.org.");
    let failed = Upstream::Failed(ResponseCode::ServFail);
    names.upstream.insert(ask("www.example.org.", A), failed);
    assert_said(&names, "web.example.com.", A, &["ServFail"]);
    assert_said(&names, "web.example.com.", AAAA, &["Refused"]);
}

#[test]
fn upstreams_answer_to_something_else_is_a_failure() {
    let mut names = hosted("");
    names.upstream_says("www.example.org.", "other 5 A 192.0.2.1");
    assert_said(&names, "www.example.org.", A, &["ServFail"]);
    names.upstream_says("www.example.org.", "");
    assert_said(&names, "www.example.org.", A, &["ServFail"]);
}

#[test]
fn a_cname_leads_through_the_views_zones_and_upstream() {
    let mut names = hosted("web 5 CNAME www\nwww 6 CNAME www.example.org.");
    names.upstream_says(
        "www.example.org.",
        "@ 7 CNAME edge\nedge 8 A 192.0.2.1\nedge 8 A 192.0.2.2",
    );
    let answers = [
        "NoError",
        "WEB.example.com. 5 IN CNAME www.example.com.",
        "www.example.com. 6 IN CNAME www.example.org.",
        "www.example.org. 7 IN CNAME edge.www.example.org.",
        "edge.www.example.org. 8 IN A 192.0.2.1",
        "edge.www.example.org. 8 IN A 192.0.2.2",
    ];
    assert_said(&names, "WEB.example.com.", A, &answers);
    // Who asks for the CNAME itself gets no more.
    assert_said(&names, "WEB.example.com.", CNAME, &answers[..2]);
}

#[test]
fn a_cname_of_upstreams_into_a_zone_of_the_view_is_answered_from_there() {
    let mut names = hosted("www 60 A 10.0.0.1");
    names.upstream_says(
        "www.example.org.",
        "@ 7 CNAME www.example.com.\nwww.example.com. 8 A 192.0.2.1",
    );
    let answers = [
        "NoError",
        "www.example.org. 7 IN CNAME www.example.com.",
        "www.example.com. 60 IN A 10.0.0.1",
    ];
    assert_said(&names, "www.example.org.", A, &answers);
    assert_eq!(
        names.ask("www.example.org.", A).source,
        source_of("example.com.")
    );
    let response = names.ask("www.example.org.", AAAA);
    assert_eq!(
        (response.answers.len(), &response.authorities[..]),
        (1, &[soa()][..])
    );
}

#[test]
fn a_cname_of_upstreams_without_what_it_leads_to_is_asked_on() {
    let mut names = hosted("");
    names.upstream_says("www.example.org.", "@ 7 CNAME edge.example.org.");
    names.upstream_says("edge.example.org.", "@ 8 A 192.0.2.1");
    assert_eq!(names.ask("www.example.org.", A).answers.len(), 2);
}

#[test]
fn a_loop_of_cnames_is_a_failure() {
    let mut names =
        hosted("a 5 CNAME b\nb 5 CNAME a\nself 5 CNAME self\nout 5 CNAME out.example.org.");
    names.upstream_says("out.example.org.", "@ 5 CNAME out.example.com.");
    names.upstream_says("self.example.org.", "@ 5 CNAME self.example.org.");
    for name in [
        "a.example.com.",
        "self.example.com.",
        "out.example.com.",
        "self.example.org.",
    ] {
        assert_said(&names, name, A, &["ServFail"]);
    }
}

#[test]
fn a_chain_of_sixteen_is_followed_and_no_longer_one() {
    let links: String = (0..17)
        .map(|n| format!("n{n} 5 CNAME n{}\n", n + 1))
        .collect();
    let names = hosted(&(links + "n17 5 A 10.0.0.1"));
    assert_eq!(names.ask("n1.example.com.", A).answers.len(), 17);
    assert_said(&names, "n0.example.com.", A, &["ServFail"]);
}

#[test]
fn an_alias_answers_with_the_others_addresses_and_ttl_as_its_own() {
    let mut names = Names::new(
        vec![zone(
            "example.com.",
            "@ 300 ANAME vpce-1.vpce.amazonaws.com.\n@ 300 TXT text\ntwice 300 ANAME example.com.",
        )],
        vec![endpoint(1, &[[10, 0, 0, 1], [10, 0, 1, 1]])],
    );
    names.rotation = 1;
    for name in ["Example.com.", "twice.example.com."] {
        let answers = [
            "NoError",
            &format!("{name} 60 IN A 10.0.1.1"),
            &format!("{name} 60 IN A 10.0.0.1"),
        ];
        assert_said(&names, name, A, &answers);
    }
    let source = names.ask("example.com.", A).source;
    assert!(
        matches!(source, Source::Zone { name, .. } if name.to_string() == "vpce-1.vpce.amazonaws.com.")
    );
    // Other types than addresses are its owner's business.
    assert_said(
        &names,
        "example.com.",
        TXT,
        &["NoError", "example.com. 300 IN TXT text"],
    );
    assert_said(&names, "example.com.", MX, &["NoError"]);
}

#[test]
fn nobody_sees_the_cnames_behind_an_alias_but_their_ttls_count() {
    let mut names = hosted(
        "app 300 ANAME web\nweb 20 CNAME www.example.org.\ndirect 300 ANAME www.example.org.",
    );
    names.upstream_says("www.example.org.", "@ 7 CNAME edge\nedge 80 A 192.0.2.1");
    assert_said(
        &names,
        "app.example.com.",
        A,
        &["NoError", "app.example.com. 7 IN A 192.0.2.1"],
    );
    assert_said(
        &names,
        "direct.example.com.",
        A,
        &["NoError", "direct.example.com. 7 IN A 192.0.2.1"],
    );
}

#[test]
fn an_alias_that_leads_to_nothing_exists_and_has_no_addresses() {
    let mut names = hosted("app 300 ANAME none\nout 300 ANAME none.example.org.");
    let nothing = Upstream::Nothing {
        code: ResponseCode::NXDomain,
        soa: None,
    };
    names.upstream.insert(ask("none.example.org.", A), nothing);
    for name in ["app.example.com.", "out.example.com."] {
        let response = names.ask(name, A);
        assert_eq!(said(&response), "NoError");
        assert_eq!(response.authorities, [soa()]);
    }
}

#[test]
fn an_explicit_set_goes_before_an_alias() {
    let names = hosted("app 300 ANAME www\napp 5 A 10.0.0.9\nwww 1 A 10.0.0.1\nwww 1 AAAA fd00::1");
    assert_said(
        &names,
        "app.example.com.",
        A,
        &["NoError", "app.example.com. 5 IN A 10.0.0.9"],
    );
    assert_said(
        &names,
        "app.example.com.",
        AAAA,
        &["NoError", "app.example.com. 1 IN AAAA fd00::1"],
    );
}

#[test]
fn any_is_asked_upstream_for_what_is_in_no_zone() {
    let mut names = hosted("");
    names.upstream_says(
        "www.example.org.",
        "@ 7 CNAME edge\n@ 7 TXT text\nedge 7 A 192.0.2.1",
    );
    let response = names.ask("www.example.org.", ANY);
    assert_eq!(response.answers.len(), 2);
}

#[test]
fn a_question_for_no_resolver_is_refused_and_upstream_not_asked() {
    let name = || "www.example.org.".parse::<Name>().unwrap();
    let mut names = hosted("");
    names.upstream_says("www.example.org.", "@ 7 A 192.0.2.1");
    for record_type in [AXFR, IXFR, TSIG, OPT, ZERO, Unknown(249), Unknown(253)] {
        let response = names.resolve(&Query::new(name(), record_type));
        assert_eq!(
            (response.code, response.source),
            (ResponseCode::Refused, Source::Nowhere)
        );
    }
    for (class, code) in [
        (DNSClass::CH, ResponseCode::Refused),
        (DNSClass::Unknown(7), ResponseCode::Refused),
        (DNSClass::ANY, ResponseCode::NoError),
    ] {
        let mut query = Query::new(name(), A);
        query.class = class;
        assert_eq!(names.resolve(&query).code, code, "{class}");
    }
}
