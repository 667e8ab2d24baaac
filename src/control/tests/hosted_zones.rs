//! Hosted zones and their record sets: what is refused, and what is left when they are deleted.

use super::*;

/// A private zone of these VPCs.
pub(super) fn zone(token: &str, name: &str, vpcs: &[VpcId]) -> CreateHostedZone {
    let vpcs = vpcs.iter().map(|vpc_id| ZoneVpc {
        vpc_id: *vpc_id,
        vpc_region: "ap-northeast-1".into(),
    });
    CreateHostedZone {
        client_token: token.into(),
        name: name.into(),
        vpcs: vpcs.collect(),
        ..CreateHostedZone::default()
    }
}

pub(super) fn record(
    token: &str,
    zone: HostedZoneId,
    name: &str,
    record_type: &str,
    values: &[&str],
) -> CreateRecordSet {
    CreateRecordSet {
        client_token: token.into(),
        hosted_zone_id: Some(zone),
        name: name.into(),
        record_type: record_type.into(),
        ttl: Some(300),
        resource_records: values.iter().map(ToString::to_string).collect(),
        ..CreateRecordSet::default()
    }
}

pub(super) fn alias(token: &str, zone: HostedZoneId, name: &str, target: &str) -> CreateRecordSet {
    CreateRecordSet {
        ttl: None,
        alias_target: Some(AliasTarget {
            dns_name: target.into(),
            hosted_zone_id: "Z2E726K9Y6RL4W".into(),
        }),
        ..record(token, zone, name, "A", &[])
    }
}

impl Account {
    #[track_caller]
    pub(super) fn zone(&mut self, command: CreateHostedZone) -> HostedZoneId {
        match self.done(Command::CreateHostedZone(command)) {
            Created::HostedZone(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    pub(super) fn record(&mut self, command: CreateRecordSet) -> RecordSetId {
        match self.done(Command::CreateRecordSet(command)) {
            Created::RecordSet(id) => id,
            other => panic!("{other}"),
        }
    }
}

/// Each is refused with one error: its property, and its message.
#[track_caller]
fn refused(
    account: &mut Account,
    rows: impl IntoIterator<Item = (Command, &'static str, &'static str)>,
) {
    for (command, property, message) in rows {
        let error = account.refused(command);
        assert_eq!(
            (error.property(), &*without_zone_ids(&error.to_string())),
            (property, message)
        );
    }
}

/// The message with `ID` for every id.
fn without_zone_ids(message: &str) -> String {
    let words = without_ids(message);
    let words: Vec<_> = words
        .split(' ')
        .map(
            |word| match word.trim_start_matches('(').starts_with('Z') && word.len() >= 15 {
                true => word.replace(
                    |char: char| char.is_ascii_uppercase() || char.is_ascii_digit(),
                    "",
                ),
                false => word.to_owned(),
            },
        )
        .collect();
    words.join(" ").replace("()", "(ID)")
}

#[test]
fn a_hosted_zone_that_cannot_be() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    account.zone(zone("Zone", "example.com", &[vpc_id]));
    let elsewhere = CreateHostedZone {
        vpcs: vec![ZoneVpc {
            vpc_id,
            vpc_region: "us-east-1".into(),
        }],
        ..zone("New", "example.org", &[])
    };
    let unknown = "vpc-0123456789abcdef0".parse().unwrap();
    let talkative = CreateHostedZone {
        comment: Some("x".repeat(257)),
        ..zone("New", "example.org", &[vpc_id])
    };
    let create = Command::CreateHostedZone;
    #[rustfmt::skip]
    refused(&mut account, [
        (create(zone("New", "example..org", &[vpc_id])), "Name", "InvalidParameterValue: `example..org` is not a domain name: a label is empty"),
        (create(zone("New", "*.example.org", &[vpc_id])), "Name", "InvalidParameterValue: `*.example.org` is not a domain name: `*` can stand only for the first label of a record's name"),
        (create(zone("New", "example.org", &[])), "VPCs", "UnsupportedOperation: a hosted zone without VPCs, a public one, is not there yet; use VPCs; public names are upstream's"),
        (create(zone("New", "example.org", &[vpc_id, vpc_id])), "VPCs.1", "InvalidParameterValue: VPC `Vpc` (ID) is listed twice"),
        (create(zone("New", "example.org", &[unknown])), "VPCs.0.VPCId", "InvalidVpcID.NotFound: there is no VPC ID"),
        (create(elsewhere), "VPCs.0.VPCRegion", "UnsupportedOperation: a VPC of us-east-1 in a stack of ap-northeast-1 is not there yet; use VPCs of the stack's own region"),
        (create(zone("New", "Example.com.", &[vpc_id])), "VPCs.0", "ConflictingDomainExists: VPC `Vpc` (ID) is associated with hosted zone `Zone` (ID) of the same name example.com already; put the records into that one"),
        (create(talkative), "HostedZoneConfig.Comment", "InvalidParameterValue: 257 characters is out of range for HostedZoneConfig.Comment; it must be at most 256 characters"),
        (create(zone("Zone", "example.org", &[vpc_id])), "", "IdempotentParameterMismatch: client token `Zone` has already made ; give each object a token of its own"),
    ]);
    // Below it, and in another VPC, there may be another.
    account.zone(zone("Below", "app.example.com", &[vpc_id]));
    let other = account.vpc("Other", "10.0.0.0/16");
    account.zone(zone("Same", "example.com", &[other]));
}

#[test]
fn a_vpc_of_another_account_needs_an_authorization_that_is_not_there_yet() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let other = Owner::new("111122223333", "ap-northeast-1").unwrap();
    account.state.act_as(other);
    let command = Command::CreateHostedZone(zone("Zone", "example.com", &[vpc_id]));
    let error = account.refused(command);
    assert_eq!(error.property(), "VPCs.0.VPCId");
    assert_eq!(
        without_ids(&error.to_string()),
        "NotAuthorizedException: VPC ID belongs to account 000000000000, and to associate it has not been authorized, which \
         is not there yet; make the hosted zone in a stack of that account"
    );
}

#[test]
fn a_record_set_that_cannot_be() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let id = account.zone(zone("Zone", "example.com", &[vpc_id]));
    account.record(record("App", id, "app.example.com", "A", &["10.0.0.4"]));
    account.record(record(
        "Www",
        id,
        "www.example.com",
        "CNAME",
        &["app.example.com"],
    ));
    let of = |name, record_type, values| {
        Command::CreateRecordSet(record("New", id, name, record_type, values))
    };
    let with = |change: fn(&mut CreateRecordSet)| {
        let mut command = record("New", id, "a.example.com", "A", &["10.0.0.4"]);
        change(&mut command);
        Command::CreateRecordSet(command)
    };
    let own_zone = CreateRecordSet {
        alias_target: Some(AliasTarget {
            dns_name: "app.example.org".into(),
            hosted_zone_id: id.to_string(),
        }),
        ..alias("New", id, "a.example.com", "")
    };
    #[rustfmt::skip]
    refused(&mut account, [
        (of("app.example.org", "A", &["10.0.0.4"]), "Name", "InvalidChangeBatch: RRSet with DNS name app.example.org. is not permitted in zone example.com.; its name must be example.com or end in .example.com"),
        (of("a.*.example.com", "A", &["10.0.0.4"]), "Name", "InvalidParameterValue: `a.*.example.com` is not a domain name: `*` can stand only for the first label of a record's name"),
        (of("example.com", "CNAME", &["app.example.com"]), "Type", "InvalidChangeBatch: RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com.; take an alias (AliasTarget) of type A"),
        (of("app.example.com", "CNAME", &["b.example.com"]), "Type", "InvalidChangeBatch: RRSet of type CNAME with DNS name app.example.com. is not permitted because record set `App` (app.example.com A) with the same DNS name is there already, and a CNAME stands alone"),
        (of("www.example.com", "TXT", &["\"a\""]), "Type", "InvalidChangeBatch: RRSet of type TXT with DNS name www.example.com. is not permitted because record set `Www` (www.example.com CNAME) with the same DNS name is there already, and a CNAME stands alone"),
        (of("App.example.com.", "A", &["10.0.0.5"]), "Name", "InvalidChangeBatch: Tried to create resource record set [name='app.example.com.', type='A'] but it already exists: `App` (app.example.com A); one record set has all the values"),
        (of("a.example.com", "NS", &["b.example.com"]), "Type", "UnsupportedOperation: record type NS is not there yet; use A, AAAA, CNAME, MX, PTR, SRV or TXT"),
        (of("a.example.com", "B", &["b"]), "Type", "InvalidParameterValue: `B` is not a type of records; one looks like A"),
        (of("a.example.com", "A", &["10.0.0.4", "10.0.0"]), "ResourceRecords.1", "InvalidChangeBatch: Invalid Resource Record: `10.0.0` is not an IPv4 address, as type A has; one looks like 172.18.0.10"),
        (of("a.example.com", "A", &["10.0.0.4", "10.0.0.4"]), "ResourceRecords.1", "InvalidParameterValue: resource record 10.0.0.4 is listed twice"),
        (of("a.example.com", "CNAME", &["b.example.com", "c.example.com"]), "ResourceRecords.1", "InvalidChangeBatch: `c.example.com` is a second value; a CNAME has one"),
        (of("a.example.com", "TXT", &["a"]), "ResourceRecords.0", "InvalidChangeBatch: Invalid Resource Record: `a` is not strings in quotation marks, each of at most 255 characters, as type TXT has; one looks like \"v=spf1 -all\" \"more\""),
        (of("a.example.com", "A", &[]), "", "InvalidInput: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]], but found none"),
        (with(|c| c.ttl = None), "ResourceRecords", "InvalidInput: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]], but found ResourceRecords without TTL"),
        (with(|c| c.ttl = Some(-1)), "TTL", "InvalidParameterValue: -1 is out of range for TTL; it must be 0 to 2147483647 seconds"),
        (with(|c| c.hosted_zone_id = None), "HostedZoneId", "MissingParameter: HostedZoneId is missing: give it, or HostedZoneName"),
        (with(|c| c.hosted_zone_name = Some("example.com.".into())), "HostedZoneName", "InvalidParameterCombination: HostedZoneId and HostedZoneName: give one of them"),
        (with(|c| (c.hosted_zone_id, c.hosted_zone_name) = (None, Some("example.org.".into()))), "HostedZoneName", "NoSuchHostedZone: there is no hosted zone example.org; where the same template makes it, give its HostedZoneId"),
        (with(|c| c.hosted_zone_id = "Z2FDTNDATAQYW2".parse().ok()), "HostedZoneId", "NoSuchHostedZone: there is no hosted zone Z2FDTNDATAQYW2"),
        (with(|c| c.alias_target = Some(AliasTarget { dns_name: "a.b".into(), hosted_zone_id: "Z".into() })), "TTL", "InvalidInput: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]], but found AliasTarget and TTL"),
        (Command::CreateRecordSet(CreateRecordSet { record_type: "TXT".into(), ..alias("New", id, "a.example.com", "b.example.com") }), "AliasTarget", "UnsupportedOperation: an alias of type TXT is not there yet; use an alias of type A or AAAA, or the values themselves"),
        (Command::CreateRecordSet(alias("New", id, "a.example.com", "b..c")), "AliasTarget.DNSName", "InvalidParameterValue: `b..c` is not a domain name: a label is empty"),
        (Command::CreateRecordSet(own_zone), "AliasTarget.DNSName", "InvalidChangeBatch: Tried to create an alias that targets app.example.org., type A in zone `Zone` (ID), but the alias target name does not lie within the target zone"),
    ]);
}

#[test]
fn a_zone_may_be_named_while_there_is_only_one_of_its_name() {
    let mut account = Account::new();
    let vpcs = ["Vpc1", "Vpc2"].map(|token| account.vpc(token, "10.0.0.0/16"));
    let id = account.zone(zone("Zone1", "example.com", &vpcs[..1]));
    let by_name = |token: &str| CreateRecordSet {
        hosted_zone_id: None,
        hosted_zone_name: Some("Example.com.".into()),
        ..record(
            token,
            id,
            &format!("{token}.example.com"),
            "A",
            &["10.0.0.4"],
        )
    };
    let record_set = account.record(by_name("one"));
    assert_eq!(
        account
            .state
            .record_set(&record_set)
            .unwrap()
            .hosted_zone_id,
        id
    );
    account.zone(zone("Zone2", "example.com", &vpcs[1..]));
    refused(
        &mut account,
        [(
            Command::CreateRecordSet(by_name("two")),
            "HostedZoneName",
            "InvalidInput: hosted zones `Zone1` (ID) and `Zone2` (ID) have the name example.com; give the HostedZoneId of one of them",
        )],
    );
}

#[test]
fn what_is_in_use_is_not_deleted_and_what_is_deleted_can_be_made_again() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let id = account.zone(zone("Zone", "example.com", &[vpc_id]));
    let record_set = account.record(record("App", id, "app.example.com", "A", &["10.0.0.4"]));
    refused(
        &mut account,
        [
            (
                Command::DeleteHostedZone(id),
                "",
                "HostedZoneNotEmpty: hosted zone `Zone` (ID) is in use by record set `App` (app.example.com A); delete that first",
            ),
            (
                Command::DeleteVpc(vpc_id),
                "",
                "DependencyViolation: VPC `Vpc` (ID) is in use by hosted zone `Zone` (ID); delete those first",
            ),
        ],
    );
    account.done(Command::DeleteRecordSet(record_set));
    let cname = record("App", id, "app.example.com", "CNAME", &["www.example.com"]);
    assert_eq!(account.record(cname), record_set);
    account.done(Command::DeleteRecordSet(record_set));
    account.done(Command::DeleteHostedZone(id));
    assert_eq!(account.zone(zone("Zone", "example.com", &[vpc_id])), id);
    account.done(Command::DeleteHostedZone(id));
    account.done(Command::DeleteVpc(vpc_id));
}
