//! Private DNS of endpoints: who may claim which name, and when it is answered.

use super::connections::{CONSUMER, PROVIDER, World, modification};
use super::endpoint_names::records;
use super::hosted_zones::zone;
use super::private_names::named;
use super::*;
use crate::dataplane::config::Origin;

const NAME: &str = "app.example.com";

impl World {
    fn private(&self, token: &str) -> CreateVpcEndpoint {
        CreateVpcEndpoint {
            private_dns_enabled: Some(true),
            ..self.asked(token, &[0])
        }
    }

    #[track_caller]
    fn ask_privately(&mut self, token: &str) -> VpcEndpointId {
        let command = self.private(token);
        self.by(CONSUMER).endpoint(command)
    }

    fn answers(&self, id: VpcEndpointId) -> Option<String> {
        answered(&self.account, id)
    }

    fn verify(&mut self) {
        let value = self.configuration().value;
        assert!(self.found(&[&value]).0);
    }

    /// Another service of the same load balancer.
    fn second(&mut self, name: Option<&str>) -> String {
        let load_balancer = self.load_balancer;
        let id = self
            .by(PROVIDER)
            .service(CreateVpcEndpointServiceConfiguration {
                private_dns_name: name.map(Into::into),
                acceptance_required: Some(false),
                ..service(name.unwrap_or("Unnamed"), &[load_balancer])
            });
        self.by(PROVIDER)
            .done(Command::ModifyVpcEndpointServicePermissions(
                ModifyVpcEndpointServicePermissions {
                    service_id: id,
                    add_allowed_principals: vec!["*".into()],
                    remove_allowed_principals: vec![],
                },
            ));
        let service = self.account.state.vpc_endpoint_service(&id).unwrap();
        service.service_name.clone()
    }

    #[track_caller]
    fn refuses_private(&mut self, command: CreateVpcEndpoint, message: &str) {
        let command = Command::CreateVpcEndpoint(command);
        let error = self.by(CONSUMER).refused(command);
        assert_eq!(without_ids(&error.to_string()), message);
        assert_eq!(error.property(), "PrivateDnsEnabled");
    }
}

fn answered(account: &Account, id: VpcEndpointId) -> Option<String> {
    let state = &account.state;
    let name = state.answered_name(state.vpc_endpoint(&id).unwrap());
    name.map(ToString::to_string)
}

#[test]
fn an_endpoint_answers_to_its_services_name_once_that_is_verified_and_while_traffic_passes() {
    let mut world = named(NAME);
    let [private, plain] = [world.ask_privately("Private"), world.ask("Plain", &[0])];
    assert_eq!(world.answers(private), None);
    world.accept(private);
    world.accept(plain);
    assert_eq!(world.answers(private), None);
    world.verify();
    assert_eq!(world.answers(private).as_deref(), Some(NAME));
    assert_eq!(world.answers(plain), None);
    world.reject(private);
    assert_eq!(world.answers(private), None);

    let state = &world.account.state;
    let entries = |id| state.dns_entries(state.vpc_endpoint(&id).unwrap());
    let names: Vec<_> = entries(private).into_iter().map(|e| e.dns_name).collect();
    assert_eq!((names.len(), names[2].as_str()), (3, NAME));
    assert_eq!(entries(plain).len(), 2);
}

#[test]
fn private_dns_needs_both_attributes_of_the_vpc() {
    for (support, hostnames, wanted) in [
        (None, None, "EnableDnsHostnames: true"),
        (Some(false), Some(true), "EnableDnsSupport: true"),
        (
            Some(false),
            None,
            "EnableDnsSupport: true and EnableDnsHostnames: true",
        ),
    ] {
        let message = format!(
            "InvalidParameter: Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes \
             set to true for VPC `Dark` (ID); write {wanted} there"
        );
        let mut world = named(NAME);
        let created = world.by(CONSUMER).done(Command::CreateVpc(CreateVpc {
            enable_dns_support: support,
            enable_dns_hostnames: hostnames,
            ..vpc("Dark", "10.0.0.0/16")
        }));
        let Created::Vpc(vpc_id) = created else {
            panic!("{created}");
        };
        let subnet = world.by(CONSUMER);
        let subnet = subnet.subnet("DarkA", vpc_id, "10.0.0.0/24", "us-west-2a");
        let command = CreateVpcEndpoint {
            vpc_id,
            subnet_ids: vec![subnet],
            ..world.private("Endpoint")
        };
        world.refuses_private(command, &message);
    }
}

#[test]
fn private_dns_needs_a_service_with_a_name() {
    let mut world = World::new();
    let command = world.private("Endpoint");
    world.refuses_private(
        command,
        "InvalidParameter: Private DNS can't be enabled because the service com.amazonaws.vpce.us-west-2.ID does not provide \
         a private DNS name.",
    );
}

#[test]
fn two_endpoints_of_one_vpc_cannot_claim_one_domain() {
    let mut world = named(NAME);
    let first = world.ask_privately("First");
    let conflict = |name: &str| {
        format!(
            "InvalidParameter: private-dns-enabled cannot be set because there is already a conflicting DNS domain for {name} \
             in the VPC `Consumer` (ID): that of VPC endpoint `First` (ID)"
        )
    };
    let command = world.private("Second");
    world.refuses_private(command, &conflict(NAME));
    for (name, conflicts) in [("*.app.example.com", true), ("*.example.com", false)] {
        let command = CreateVpcEndpoint {
            service_name: Some(world.second(Some(name))),
            ..world.private(name)
        };
        match conflicts {
            true => world.refuses_private(command, &conflict(name)),
            false => drop(world.by(CONSUMER).endpoint(command)),
        }
    }
    // Another VPC has names of its own.
    let account = world.by(CONSUMER);
    let vpc_id = account.named_vpc("Elsewhere", "10.100.0.0/16");
    let subnet = account.subnet("ElsewhereA", vpc_id, "10.100.0.0/24", "us-west-2a");
    let command = CreateVpcEndpoint {
        vpc_id,
        subnet_ids: vec![subnet],
        ..world.private("Elsewhere")
    };
    world.by(CONSUMER).endpoint(command);

    world.by(CONSUMER).done(Command::DeleteVpcEndpoint(first));
    world.ask_privately("Second");
}

#[test]
fn private_dns_is_turned_on_and_off_and_the_name_is_free_then() {
    let mut world = named(NAME);
    world.verify();
    let id = world.ask("Endpoint", &[0]);
    world.accept(id);
    for (enabled, name) in [(true, Some(NAME)), (false, None)] {
        let command = ModifyVpcEndpoint {
            private_dns_enabled: Some(enabled),
            ..modification(id)
        };
        world.by(CONSUMER).done(Command::ModifyVpcEndpoint(command));
        assert_eq!(world.state(id), State::Available);
        assert_eq!(world.answers(id).as_deref(), name);
    }
    let other = world.ask_privately("Other");
    let command = ModifyVpcEndpoint {
        private_dns_enabled: Some(true),
        ..modification(id)
    };
    world.refuses(
        CONSUMER,
        Command::ModifyVpcEndpoint(command),
        "InvalidParameter: private-dns-enabled cannot be set because there is already a conflicting DNS domain for \
         app.example.com in the VPC `Consumer` (ID): that of VPC endpoint `Other` (ID)",
    );
    // What was on stays on, and does not conflict with itself.
    world
        .by(CONSUMER)
        .done(Command::ModifyVpcEndpoint(modification(other)));
}

#[test]
fn an_endpoint_of_a_resource_answers_to_its_custom_domain_name_if_it_has_one() {
    for name in [Some("db.example.com"), None] {
        let mut account = Account::new();
        let [consumer, provider] =
            ["Consumer", "Provider"].map(|t| account.named_vpc(t, "10.0.0.0/16"));
        let [here, there] = [("A", consumer), ("B", provider)]
            .map(|(token, vpc)| account.subnet(token, vpc, "10.0.0.0/24", "ap-northeast-1a"));
        let gateway_id = account.gateway(gateway("Gateway", provider, &[there]));
        let configuration = account.configuration(CreateResourceConfiguration {
            custom_domain_name: name.map(str::to_uppercase),
            ..configuration("Database", gateway_id, "10.0.0.9")
        });
        let id = account.endpoint(CreateVpcEndpoint {
            private_dns_enabled: Some(true),
            ..endpoint("Endpoint", consumer, configuration, &[here])
        });
        assert_eq!(answered(&account, id).as_deref(), name);
    }
}

#[test]
fn a_private_name_is_a_zone_of_the_endpoints_vpc_and_of_no_other() {
    for (name, record) in [
        (NAME, " 60 10.100.0.4 a"),
        ("*.app.example.com", "* 60 10.100.0.4 a"),
    ] {
        let mut world = named(name);
        let id = world.ask_privately("Endpoint");
        world.accept(id);
        let compiled = |world: &World| {
            let config = compile(&world.account.state);
            let views = config.vpcs.iter().map(|(_, vpc)| {
                let zones = vpc.resolver.as_ref().unwrap().zones.iter();
                let private = zones.filter(|zone| matches!(zone.origin, Origin::PrivateDns(_)));
                private.cloned().collect::<Vec<_>>()
            });
            views.collect::<Vec<_>>()
        };
        assert_eq!(compiled(&world).concat().len(), 0, "not verified yet");
        world.verify();
        let [provider, consumer] = &compiled(&world)[..] else {
            panic!("two VPCs");
        };
        assert_eq!(provider.len(), 0);
        let [zone] = &consumer[..] else {
            panic!("{consumer:?}");
        };
        assert_eq!(zone.name.to_string(), "app.example.com.");
        assert_eq!(zone.origin, Origin::PrivateDns(id.to_string().into()));
        assert_eq!(records(zone), [record]);
        world.reject(id);
        assert_eq!(compiled(&world).concat().len(), 0);
    }
}

#[test]
fn a_hosted_zone_and_private_dns_cannot_have_one_name_in_one_vpc() {
    let hosted = |world: &World| {
        let mut command = zone("Zone", NAME, &[world.consumer]);
        command.vpcs[0].vpc_region = "us-west-2".into();
        Command::CreateHostedZone(command)
    };
    let mut world = named(NAME);
    let command = hosted(&world);
    let created = world.by(CONSUMER).done(command.clone());
    let asked = world.private("Endpoint");
    let message = format!(
        "InvalidParameter: private-dns-enabled cannot be set because there is already a conflicting DNS domain for \
         app.example.com in the VPC `Consumer` (ID): that of hosted zone `Zone` ({created})"
    );
    world.refuses_private(asked, &message);
    let mut world = named(NAME);
    world.ask_privately("Endpoint");
    world.refuses(
        CONSUMER,
        command,
        "ConflictingDomainExists: VPC `Consumer` (ID) has the name app.example.com already, as the private DNS of VPC endpoint \
         `Endpoint` (ID); put PrivateDnsEnabled: false there, or the records into a hosted zone below that name",
    );
}
