use hickory_proto::op::{self, Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::{Query, Transport};
use crate::dataplane::dns::{Response, Source};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn message(asked: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(op::Query::query(name(asked), record_type));
    message
}

fn with_edns(payload: u16) -> Message {
    let mut message = message("www.example.com.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

fn parse(message: &Message) -> Query {
    Query::parse(&message.to_vec().unwrap()).unwrap()
}

/// The refusal of a message as bytes.
#[track_caller]
fn refusal(bytes: &[u8]) -> Message {
    let reply = Query::parse(bytes).unwrap_err().expect("a refusal");
    Message::from_vec(&reply).unwrap()
}

fn texts(count: usize, owner: &str) -> Vec<Record> {
    let text = |at| RData::TXT(TXT::new(vec![format!("{at:060}")]));
    let record = |at| Record::from_rdata(name(owner), 60, text(at));
    (0..count).map(record).collect()
}

fn response(answers: Vec<Record>) -> Response {
    Response {
        answers,
        ..Response::failure(ResponseCode::NoError, Source::Nowhere)
    }
}

#[track_caller]
fn reply(
    query: &Query,
    response: &Response,
    transport: Transport,
    most: usize,
) -> (Message, usize) {
    let bytes = query.reply(response, transport, most);
    (Message::from_vec(&bytes).unwrap(), bytes.len())
}

#[test]
fn a_query_is_read_in_its_askers_case() {
    let query = parse(&message("wWw.Example.com.", RecordType::AAAA));
    assert!(query.name.eq_case(&name("wWw.Example.com.")));
    assert_eq!(query.record_type, RecordType::AAAA);
    assert_eq!(query.class, DNSClass::IN);
}

#[test]
fn a_reply_has_the_querys_id_question_rd_and_cd_and_offers_recursion() {
    for (recursion_desired, checking_disabled) in [(true, false), (false, true)] {
        let mut message = message("wWw.Example.com.", RecordType::A);
        message.metadata.recursion_desired = recursion_desired;
        message.metadata.checking_disabled = checking_disabled;
        message.metadata.authentic_data = true;
        let a = RData::A(A::new(10, 0, 0, 1));
        let answers = vec![Record::from_rdata(name("wWw.Example.com."), 60, a)];
        let (reply, _) = reply(
            &parse(&message),
            &response(answers.clone()),
            Transport::Udp,
            4096,
        );
        assert_eq!(reply.metadata.id, 0x1234);
        assert_eq!(reply.metadata.message_type, MessageType::Response);
        assert_eq!(reply.metadata.recursion_desired, recursion_desired);
        assert_eq!(reply.metadata.checking_disabled, checking_disabled);
        assert!(reply.metadata.recursion_available);
        assert!(!reply.metadata.authentic_data && !reply.metadata.authoritative);
        assert!(!reply.metadata.truncation);
        assert!(reply.queries[0].name.eq_case(&name("wWw.Example.com.")));
        assert!(reply.answers[0].name.eq_case(&name("wWw.Example.com.")));
        assert_eq!(reply.answers, answers);
        assert_eq!(reply.edns, None);
    }
}

#[test]
fn a_denial_has_its_code_and_its_soa() {
    let soa = SOA::new(name("ns."), name("mail."), 1, 2, 3, 4, 5);
    let denial = Response {
        authorities: vec![Record::from_rdata(name("com."), 900, RData::SOA(soa))],
        ..Response::failure(ResponseCode::NXDomain, Source::Nowhere)
    };
    let (reply, _) = reply(&parse(&with_edns(1232)), &denial, Transport::Udp, 4096);
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(reply.authorities, denial.authorities);
}

#[test]
fn edns_is_answered_with_edns_and_the_do_bit_as_it_came() {
    for dnssec_ok in [false, true] {
        let mut message = with_edns(1232);
        message.edns.as_mut().unwrap().set_dnssec_ok(dnssec_ok);
        let (reply, _) = reply(&parse(&message), &response(vec![]), Transport::Udp, 4096);
        let edns = reply.edns.unwrap();
        assert_eq!(edns.flags().dnssec_ok, dnssec_ok);
        assert_eq!((edns.version(), edns.max_payload()), (0, 4096));
    }
}

#[test]
fn a_reply_by_udp_is_no_longer_than_edns_and_its_carrier_allow() {
    let answers = response(texts(100, "www.example.com."));
    for (query, most, expected) in [
        (message("www.example.com.", RecordType::TXT), 4096, 512),
        (with_edns(100), 4096, 512),
        (with_edns(1232), 4096, 1232),
        (with_edns(65_535), 65_535, 4096),
        (with_edns(4096), 1400, 1400),
        (with_edns(4096), 0, 512),
    ] {
        let query = parse(&query);
        // Sets of one, so that the last that fits comes close to the bound.
        let mut sets = answers.clone();
        for (at, record) in sets.answers.iter_mut().enumerate() {
            record.name = name(&format!("n{at}.example.com."));
        }
        let (reply, length) = reply(&query, &sets, Transport::Udp, most);
        assert!(reply.metadata.truncation);
        assert!(
            length <= expected && length > expected - 100,
            "{length} {expected}"
        );
        assert_eq!(reply.edns.is_some(), query.edns.is_some());
        let kept = reply.answers.len();
        assert_eq!(reply.answers, sets.answers[..kept]);
    }
}

#[test]
fn however_much_fits_there_is_room_for_opt() {
    let mut sets = response(texts(30, "www.example.com."));
    for (at, record) in sets.answers.iter_mut().enumerate() {
        record.name = name(&format!("n{at}.example.com."));
    }
    for payload in 512..700 {
        let query = parse(&with_edns(payload));
        let (reply, length) = reply(&query, &sets, Transport::Udp, 4096);
        assert!(
            reply.edns.is_some() && length <= payload.into(),
            "{payload}"
        );
    }
}

#[test]
fn truncation_leaves_out_whole_record_sets_and_all_after_the_first() {
    let cname = hickory_proto::rr::rdata::CNAME(name("edge.example.com."));
    let mut answers = vec![Record::from_rdata(
        name("www.example.com."),
        60,
        RData::CNAME(cname),
    )];
    answers.extend(texts(20, "edge.example.com."));
    answers.extend(texts(1, "last.example.com."));
    let mut response = response(answers.clone());
    response.authorities = texts(1, "example.com.");
    let query = parse(&message("www.example.com.", RecordType::TXT));
    let (short, _) = reply(&query, &response, Transport::Udp, 4096);
    assert!(short.metadata.truncation);
    assert_eq!(short.answers, answers[..1]);
    assert_eq!(short.authorities, []);
    let (whole, _) = reply(&query, &response, Transport::Tcp, 65_535);
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers, answers);
    assert_eq!(whole.authorities.len(), 1);
}

#[test]
fn a_reply_by_tcp_is_no_longer_than_its_length_field_can_say() {
    let mut answers = texts(600, "www.example.com.");
    answers.extend(texts(600, "more.example.com."));
    let query = parse(&with_edns(4096));
    let (reply, length) = reply(&query, &response(answers), Transport::Tcp, usize::MAX);
    assert!(reply.metadata.truncation);
    assert_eq!(reply.answers.len(), 600);
    assert!(length > 4096 && length <= 65_535);
}

#[test]
fn a_response_is_never_answered_nor_is_what_has_no_header() {
    let mut message = message("www.example.com.", RecordType::A);
    message.metadata.message_type = MessageType::Response;
    assert_eq!(Query::parse(&message.to_vec().unwrap()).unwrap_err(), None);
    for length in 0..12 {
        assert_eq!(Query::parse(&[0; 12][..length]).unwrap_err(), None);
    }
}

#[test]
fn what_does_not_ask_one_thing_is_a_format_error() {
    let one = message("www.example.com.", RecordType::A);
    let mut none = one.clone();
    none.queries.clear();
    let mut two = one.clone();
    two.queries.push(one.queries[0].clone());
    let mut many = one.clone();
    many.additionals = texts(4, "example.com.");
    for message in [none, two, many] {
        let refusal = refusal(&message.to_vec().unwrap());
        assert_eq!(refusal.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(refusal.metadata.id, 0x1234);
        assert!(refusal.metadata.recursion_desired && refusal.metadata.recursion_available);
    }
}

#[test]
fn what_is_cut_anywhere_is_a_format_error() {
    let bytes = with_edns(1232).to_vec().unwrap();
    for length in 12..bytes.len() {
        let refusal = refusal(&bytes[..length]);
        assert_eq!(
            refusal.metadata.response_code,
            ResponseCode::FormErr,
            "{length}"
        );
    }
}

#[test]
fn two_opt_records_or_one_with_a_name_are_a_format_error() {
    let bytes = with_edns(1232).to_vec().unwrap();
    let opt = bytes.len() - 11;
    let mut twice = [&bytes[..], &bytes[opt..]].concat();
    twice[11] = 2;
    assert_eq!(
        refusal(&twice).metadata.response_code,
        ResponseCode::FormErr
    );
    // A name that points to the question's.
    let named = [&bytes[..opt], &[0xc0, 12], &bytes[opt + 1..]].concat();
    assert_eq!(
        refusal(&named).metadata.response_code,
        ResponseCode::FormErr
    );
}

#[test]
fn other_records_and_options_are_stepped_over_whatever_they_hold() {
    let bytes = with_edns(1232).to_vec().unwrap();
    let opt = bytes.len() - 11;
    // An A record of one byte, then OPT with options that are none.
    let junk = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 7];
    let mut query = [&bytes[..opt], &junk, &bytes[opt..], &[1, 2, 3]].concat();
    query[11] = 2;
    let rdlength = query.len() - 4;
    query[rdlength] = 3;
    let query = Query::parse(&query).unwrap();
    assert_eq!(query.edns.unwrap().max_payload(), 1232);
}

#[test]
fn another_operation_is_not_implemented() {
    for op_code in [
        OpCode::Status,
        OpCode::Notify,
        OpCode::Update,
        OpCode::Unknown(6),
    ] {
        let mut message = with_edns(1232);
        message.metadata.op_code = op_code;
        let whole = refusal(&message.to_vec().unwrap());
        assert_eq!(whole.metadata.response_code, ResponseCode::NotImp);
        assert_eq!(whole.metadata.op_code, op_code);
        assert_eq!(whole.queries, message.queries);
        assert!(whole.edns.is_some());
        let cut = refusal(&message.to_vec().unwrap()[..14]);
        assert_eq!(cut.metadata.response_code, ResponseCode::NotImp);
    }
}

#[test]
fn another_version_of_edns_is_bad() {
    let mut message = with_edns(1232);
    message.edns.as_mut().unwrap().set_version(1);
    let refusal = refusal(&message.to_vec().unwrap());
    // BADVERS and BADSIG are both 16.
    assert_eq!(
        u16::from(refusal.metadata.response_code),
        u16::from(ResponseCode::BADVERS)
    );
    assert_eq!(refusal.edns.unwrap().version(), 0);
    assert_eq!(refusal.queries, message.queries);
}
