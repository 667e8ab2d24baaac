//! The private DNS names of services, and the proof whose they are.

use super::connections::{CONSUMER, PROVIDER, World};
use super::*;

const NAME: &str = "app.example.com";

pub(super) fn named(name: &str) -> World {
    World::offering(|service| CreateVpcEndpointServiceConfiguration {
        private_dns_name: Some(name.into()),
        ..service
    })
}

impl World {
    pub(super) fn configuration(&self) -> PrivateDnsNameConfiguration {
        let service = self.account.state.vpc_endpoint_service(&self.service_id);
        let name = service.unwrap().private_dns_name.as_ref().unwrap();
        name.configuration(self.service_id)
    }

    fn start(&self) -> Command {
        let service_id = self.service_id;
        Command::StartVpcEndpointServicePrivateDnsVerification(
            StartVpcEndpointServicePrivateDnsVerification { service_id },
        )
    }

    /// Does the answer change anything, and what has happened since?
    pub(super) fn found(&mut self, texts: &[&str]) -> (bool, Vec<DnsNameState>) {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        let state = &mut self.account.state;
        let changes = state.verify_private_dns_name(self.service_id, &texts);
        (changes, self.happened())
    }

    fn happened(&mut self) -> Vec<DnsNameState> {
        let events = self.account.state.take_private_dns_events();
        let ours = |event: &PrivateDnsNameEvent| event.service_id == self.service_id;
        assert!(events.iter().all(ours));
        events.into_iter().map(|event| event.state).collect()
    }

    fn look_ups(&self) -> Vec<String> {
        let look_ups = self.account.state.private_dns_look_ups();
        look_ups.into_iter().map(|(_, record)| record).collect()
    }
}

#[test]
fn a_private_name_is_verified_once_its_record_is_found() {
    let mut world = named("App.Example.com.");
    let record = world.configuration();
    let token = record.value.strip_prefix("vpce:").unwrap();
    assert_eq!(record.name, format!("_{token}.{NAME}"));
    assert_eq!(record.state, DnsNameState::PendingVerification);

    // The record may be there already; if not, nothing is lost.
    assert_eq!(world.look_ups(), [record.name.as_str()]);
    assert_eq!(world.found(&["v=spf1 -all"]), (true, vec![]));
    assert_eq!(world.look_ups(), [""; 0]);
    assert_eq!(world.found(&[&record.value]), (false, vec![]), "too late");

    let start = world.start();
    world.by(PROVIDER).done(start.clone());
    assert_eq!(world.look_ups(), [record.name.as_str()]);
    assert_eq!(world.found(&[]), (true, vec![DnsNameState::Failed]));
    world.by(PROVIDER).done(start.clone());
    assert_eq!(world.happened(), [DnsNameState::PendingVerification]);
    let texts = ["v=spf1 -all", record.value.as_str()];
    assert_eq!(world.found(&texts), (true, vec![DnsNameState::Verified]));

    world.by(PROVIDER).done(start);
    assert_eq!((world.look_ups(), world.happened()), (vec![], vec![]));
    assert_eq!(world.found(&[]), (false, vec![]));
    assert_eq!(world.configuration().state, DnsNameState::Verified);
}

#[test]
fn a_record_that_is_published_before_the_service_is_there_verifies_it_at_once() {
    let record = named(NAME).configuration();
    let mut world = named(NAME);
    let answer = world.found(&[&record.value]);
    assert_eq!(answer, (true, vec![DnsNameState::Verified]));
}

#[test]
fn each_service_and_each_domain_has_a_record_of_its_own_and_a_wildcard_its_domains() {
    let records = [NAME, "db.example.com", "*.app.example.com"].map(|n| named(n).configuration());
    assert_ne!(records[0].value, records[1].value);
    assert_eq!(records[0], records[2]);

    let mut world = named(NAME);
    let load_balancer = world.load_balancer;
    let other = world
        .by(PROVIDER)
        .service(CreateVpcEndpointServiceConfiguration {
            private_dns_name: Some(NAME.into()),
            ..service("Other", &[load_balancer])
        });
    let other = world.account.state.vpc_endpoint_service(&other).unwrap();
    let name = other.private_dns_name.as_ref().unwrap();
    assert_ne!(name.configuration(other.service_id).value, records[0].value);
}

#[test]
fn only_the_provider_of_a_named_service_starts_its_verification() {
    let mut world = named(NAME);
    let start = world.start();
    world.refuses(
        CONSUMER,
        start,
        "InvalidVpcEndpointServiceId.NotFound: there is no VPC endpoint service ID",
    );
    let mut world = World::new();
    let start = world.start();
    world.refuses(
        PROVIDER,
        start,
        "InvalidParameter: VPC endpoint service `Service` (ID) has no private DNS name; \
         give it one with Metadata: privlink: PrivateDnsName",
    );
}

#[test]
fn a_private_name_that_cannot_be() {
    for (given, why) in [
        ("", "it is empty"),
        (
            "localhost",
            "it has one label only; one looks like db.example.com",
        ),
        (
            "*.com",
            "it has one label only; one looks like db.example.com",
        ),
        (
            "*",
            "`*` can stand only for the first label of a record's name",
        ),
        (
            "a.*.example.com",
            "`*` can stand only for the first label of a record's name",
        ),
        ("a..example.com", "a label is empty"),
    ] {
        let mut world = World::new();
        let command = CreateVpcEndpointServiceConfiguration {
            private_dns_name: Some(given.into()),
            ..service("Other", &[world.load_balancer])
        };
        let command = Command::CreateVpcEndpointServiceConfiguration(command);
        let error = world.by(PROVIDER).refused(command);
        let message = format!("InvalidParameterValue: `{given}` is not a domain name: {why}");
        assert_eq!(error.to_string(), message);
        assert_eq!(error.property(), "Metadata.privlink.PrivateDnsName");
    }
}
