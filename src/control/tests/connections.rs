//! Endpoints of a service, from the request to the end: who may do what, and what traffic may pass.

use std::time::Duration;

use super::*;
use crate::dataplane::config::{Destination, Role};

pub(super) const ZONES: [&str; 3] = ["us-west-2a", "us-west-2b", "us-west-2c"];
pub(super) const PROVIDER: &str = "111122223333";
pub(super) const CONSUMER: &str = "444455556666";
const OTHER: &str = "777788889999";

/// Walkthrough W2: a provider with a load balancer in zones a and c, and a consumer with subnets in a, b and c; both VPCs
/// are 10.100.0.0/16.
pub(super) struct World {
    pub(super) account: Account,
    pub(super) service_id: VpcEndpointServiceId,
    pub(super) service_name: String,
    pub(super) load_balancer: LoadBalancerId,
    pub(super) provider_subnets: Vec<SubnetId>,
    pub(super) consumer: VpcId,
    pub(super) subnets: Vec<SubnetId>,
}

pub(super) fn owner(account_id: &str) -> Owner {
    Owner::new(account_id, "us-west-2").unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        Self::offering(|service| service)
    }

    /// The service as `change` makes it.
    pub(super) fn offering(
        change: impl FnOnce(
            CreateVpcEndpointServiceConfiguration,
        ) -> CreateVpcEndpointServiceConfiguration,
    ) -> Self {
        let mut account = Account {
            state: ControlState::new(owner(PROVIDER)),
        };
        let (provider, provider_subnets) = vpc_with_subnets(&mut account, "Provider");
        let nodes = [provider_subnets[0], provider_subnets[2]];
        let load_balancer = account.load_balancer(load_balancer("Nlb", &nodes));
        let group = account.target_group(target_group("Targets", provider));
        account.listener(listener("Http", load_balancer, group));
        let service_id = account.service(change(service("Service", &[load_balancer])));
        let service = account.state.vpc_endpoint_service(&service_id).unwrap();
        let service_name = service.service_name.clone();
        account.state.act_as(owner(CONSUMER));
        let (consumer, subnets) = vpc_with_subnets(&mut account, "Consumer");
        let mut world = Self {
            account,
            service_id,
            service_name,
            load_balancer,
            provider_subnets,
            consumer,
            subnets,
        };
        world.permit(&[&format!("arn:aws:iam::{CONSUMER}:root")], &[]);
        world
    }

    #[track_caller]
    pub(super) fn permit(&mut self, add: &[&str], remove: &[&str]) {
        let command = self.permissions(add, remove);
        self.by(PROVIDER).done(command);
    }

    pub(super) fn permissions(&self, add: &[&str], remove: &[&str]) -> Command {
        let own = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect();
        Command::ModifyVpcEndpointServicePermissions(ModifyVpcEndpointServicePermissions {
            service_id: self.service_id,
            add_allowed_principals: own(add),
            remove_allowed_principals: own(remove),
        })
    }

    pub(super) fn by(&mut self, account_id: &str) -> &mut Account {
        self.account.state.act_as(owner(account_id));
        &mut self.account
    }

    /// The consumer's endpoint, in these of its subnets.
    pub(super) fn asked(&self, token: &str, subnets: &[usize]) -> CreateVpcEndpoint {
        let subnets: Vec<_> = subnets.iter().map(|i| self.subnets[*i]).collect();
        interface_endpoint(token, self.consumer, &self.service_name, &subnets)
    }

    #[track_caller]
    pub(super) fn ask(&mut self, token: &str, subnets: &[usize]) -> VpcEndpointId {
        let command = self.asked(token, subnets);
        self.by(CONSUMER).endpoint(command)
    }

    pub(super) fn answer(&self, ids: &[VpcEndpointId]) -> VpcEndpointConnections {
        VpcEndpointConnections {
            service_id: self.service_id,
            vpc_endpoint_ids: ids.into(),
        }
    }

    #[track_caller]
    pub(super) fn accept(&mut self, id: VpcEndpointId) {
        let command = self.answer(&[id]);
        self.by(PROVIDER)
            .done(Command::AcceptVpcEndpointConnections(command));
    }

    #[track_caller]
    pub(super) fn reject(&mut self, id: VpcEndpointId) {
        let command = self.answer(&[id]);
        self.by(PROVIDER)
            .done(Command::RejectVpcEndpointConnections(command));
    }

    pub(super) fn state(&self, id: VpcEndpointId) -> State {
        self.account.state.vpc_endpoint(&id).unwrap().state
    }

    /// For each of the endpoint's interfaces: its zone, and the zone of the node that it leads to.
    pub(super) fn ways(&self, id: VpcEndpointId) -> Vec<(String, Option<String>)> {
        let state = &self.account.state;
        let config = compile(state);
        let interfaces = &state.vpc_endpoint(&id).unwrap().network_interface_ids;
        let interfaces = interfaces
            .iter()
            .map(|id| state.network_interface(id).unwrap());
        interfaces
            .map(|interface| {
                let way = match &config.enis.get(interface.idx).unwrap().role {
                    Role::Endpoint(Destination::LoadBalancer { node }) => {
                        let node = state.eni_by_idx(*node).unwrap();
                        Some(node.availability_zone.clone())
                    }
                    Role::Endpoint(Destination::Nothing) => None,
                    other => panic!("{other:?}"),
                };
                (interface.availability_zone.clone(), way)
            })
            .collect()
    }

    #[track_caller]
    pub(super) fn refuses(&mut self, account_id: &str, command: Command, message: &str) {
        let error = self.by(account_id).refused(command);
        assert_eq!(without_ids(&error.to_string()), message);
    }
}

/// 10.100.0.0/16 with a subnet in each zone, and with private names.
fn vpc_with_subnets(account: &mut Account, token: &str) -> (VpcId, Vec<SubnetId>) {
    let vpc_id = account.named_vpc(token, "10.100.0.0/16");
    let subnets = ZONES.iter().enumerate().map(|(i, zone)| {
        let token = format!("{token}{i}");
        account.subnet(&token, vpc_id, &format!("10.100.{i}.0/24"), zone)
    });
    let subnets = subnets.collect();
    (vpc_id, subnets)
}

fn way(zone: &str) -> (String, Option<String>) {
    (zone.to_owned(), Some(zone.to_owned()))
}

fn silent(zone: &str) -> (String, Option<String>) {
    (zone.to_owned(), None)
}

#[test]
fn an_endpoint_is_silent_until_it_is_accepted_and_after_it_is_rejected() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[0, 2]);
    assert_eq!(world.state(id), State::PendingAcceptance);
    assert_eq!(world.ways(id), [silent(ZONES[0]), silent(ZONES[2])]);
    world.accept(id);
    assert_eq!(world.state(id), State::Available);
    assert_eq!(world.ways(id), [way(ZONES[0]), way(ZONES[2])]);
    world.reject(id);
    assert_eq!(world.state(id), State::Rejected);
    assert_eq!(world.ways(id), [silent(ZONES[0]), silent(ZONES[2])]);
    world.accept(id);
    assert_eq!(world.state(id), State::Available);
    let kinds: Vec<_> = world
        .account
        .state
        .take_events()
        .iter()
        .map(|event| (event.kind.name(), event.state.name()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("Connect", "pendingAcceptance"),
            ("Accept", "pending"),
            ("Reject", "rejected"),
            ("Accept", "pending"),
        ]
    );
    assert!(world.account.state.take_events().is_empty());
}

#[test]
fn without_acceptance_an_endpoint_is_available_at_once() {
    let mut world = World::offering(|service| CreateVpcEndpointServiceConfiguration {
        acceptance_required: Some(false),
        ..service
    });
    let id = world.ask("Endpoint", &[0]);
    assert_eq!(world.state(id), State::Available);
    assert_eq!(world.ways(id), [way(ZONES[0])]);
}

#[test]
fn only_the_provider_answers_and_only_the_consumer_changes_and_deletes() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[0]);
    let no_service = "InvalidVpcEndpointServiceId.NotFound: there is no VPC endpoint service ID";
    let no_endpoint = "InvalidVpcEndpointId.NotFound: there is no VPC endpoint ID";
    let answer = world.answer(&[id]);
    for account in [CONSUMER, OTHER] {
        let accept = Command::AcceptVpcEndpointConnections(answer.clone());
        world.refuses(account, accept, no_service);
        let reject = Command::RejectVpcEndpointConnections(answer.clone());
        world.refuses(account, reject, no_service);
        let permissions = world.permissions(&["*"], &[]);
        world.refuses(account, permissions, no_service);
        let delete = Command::DeleteVpcEndpointServiceConfiguration(world.service_id);
        world.refuses(account, delete, no_service);
    }
    for account in [PROVIDER, OTHER] {
        world.refuses(account, Command::DeleteVpcEndpoint(id), no_endpoint);
        let modify = modification(id);
        world.refuses(account, Command::ModifyVpcEndpoint(modify), no_endpoint);
    }
    assert_eq!(world.state(id), State::PendingAcceptance);
}

pub(super) fn modification(vpc_endpoint_id: VpcEndpointId) -> ModifyVpcEndpoint {
    ModifyVpcEndpoint {
        vpc_endpoint_id,
        add_subnet_ids: vec![],
        remove_subnet_ids: vec![],
        add_security_group_ids: vec![],
        remove_security_group_ids: vec![],
        addresses: vec![],
        private_dns_enabled: None,
    }
}

#[test]
fn an_answer_to_several_endpoints_is_given_to_all_or_to_none() {
    let mut world = World::new();
    let ids = ["A", "B"].map(|token| world.ask(token, &[0]));
    let nowhere: VpcEndpointId = "vpce-00000000000000000".parse().unwrap();
    world.refuses(
        PROVIDER,
        Command::AcceptVpcEndpointConnections(world.answer(&[ids[0], nowhere])),
        "InvalidVpcEndpointId.NotFound: there is no VPC endpoint ID",
    );
    world.refuses(
        PROVIDER,
        Command::AcceptVpcEndpointConnections(world.answer(&[])),
        "MissingParameter: VpcEndpointIds is missing: name at least one endpoint",
    );
    world.refuses(
        PROVIDER,
        Command::AcceptVpcEndpointConnections(world.answer(&[ids[0], ids[0]])),
        "InvalidParameterValue: VPC endpoint `A` (ID) is listed twice",
    );
    let accept = world.answer(&ids);
    world
        .by(PROVIDER)
        .done(Command::AcceptVpcEndpointConnections(accept));
    assert!(ids.iter().all(|id| world.state(*id) == State::Available));
    world.refuses(
        PROVIDER,
        Command::AcceptVpcEndpointConnections(world.answer(&[ids[1]])),
        "InvalidState: VPC endpoint `B` (ID) is available: the provider can reject it, the consumer change or delete it",
    );
}

#[test]
fn a_request_expires_after_the_services_time() {
    let mut world = World::offering(|service| CreateVpcEndpointServiceConfiguration {
        acceptance_timeout: Some(60),
        ..service
    });
    let at = Duration::from_secs;
    world.account.state.advance(at(1000));
    let early = world.ask("Early", &[0]);
    assert_eq!(world.account.state.advance(at(1010)), Some(at(1060)));
    let late = world.ask("Late", &[0]);
    let accepted = world.ask("Accepted", &[0]);
    world.accept(accepted);
    assert_eq!(world.account.state.advance(at(1059)), Some(at(1060)));
    assert_eq!(world.state(early), State::PendingAcceptance);
    assert_eq!(world.account.state.advance(at(1060)), Some(at(1070)));
    assert_eq!(world.state(early), State::Expired);
    assert_eq!(world.account.state.advance(at(9999)), None);
    assert_eq!(world.state(late), State::Expired);
    assert_eq!(world.state(accepted), State::Available);
    world.refuses(
        PROVIDER,
        Command::AcceptVpcEndpointConnections(world.answer(&[early])),
        "InvalidState: VPC endpoint `Early` (ID) is expired: the consumer can delete it and ask again",
    );
    let events = world.account.state.take_events();
    let expired = events
        .iter()
        .filter(|e| e.kind == ConnectionEventKind::Expire);
    let expired: Vec<_> = expired
        .map(|event| (event.at, event.vpc_endpoint_id))
        .collect();
    assert_eq!(expired, [(at(1060), early), (at(9999), late)]);
}

#[test]
fn a_service_is_unknown_to_those_who_may_not_ask_for_it() {
    let mut world = World::new();
    let refused = format!(
        "InvalidServiceName: The Vpc Endpoint Service '{}' does not exist",
        without_ids(&world.service_name)
    );
    let vpc_id = {
        let account = world.by(OTHER);
        vpc_with_subnets(account, "Other")
    };
    let ask = |world: &World, principal: Option<&str>| CreateVpcEndpoint {
        principal: principal.map(str::to_owned),
        ..interface_endpoint("Endpoint", vpc_id.0, &world.service_name, &vpc_id.1[..1])
    };
    let command = ask(&world, None);
    world.refuses(OTHER, Command::CreateVpcEndpoint(command), &refused);
    let role = format!("arn:aws:iam::{OTHER}:role/network");
    world.permit(&[&role], &[]);
    let command = ask(&world, None);
    world.refuses(OTHER, Command::CreateVpcEndpoint(command), &refused);
    let user = format!("arn:aws:iam::{OTHER}:user/network");
    let command = ask(&world, Some(&user));
    world.refuses(OTHER, Command::CreateVpcEndpoint(command), &refused);
    let foreign = format!("arn:aws:iam::{CONSUMER}:role/network");
    let command = ask(&world, Some(&foreign));
    world.refuses(
        OTHER,
        Command::CreateVpcEndpoint(command),
        &format!(
            "InvalidParameterValue: `{foreign}` is not a user or role of the endpoint's own account; \
             one looks like arn:aws:iam::111122223333:role/network"
        ),
    );
    let command = ask(&world, Some(&role));
    world.by(OTHER).endpoint(command);
    world.permit(&["*"], &[]);
    let command = CreateVpcEndpoint {
        client_token: "Second".into(),
        ..ask(&world, None)
    };
    world.by(OTHER).endpoint(command);
}

#[test]
fn the_services_own_account_needs_no_permission() {
    let mut world = World::new();
    let (vpc_id, subnets) = vpc_with_subnets(world.by(PROVIDER), "Own");
    let command = interface_endpoint("Endpoint", vpc_id, &world.service_name, &subnets[..1]);
    let id = world.by(PROVIDER).endpoint(command);
    assert_eq!(world.state(id), State::PendingAcceptance);
    world.accept(id);
    assert_eq!(world.state(id), State::Available);
}

#[test]
fn taking_a_permission_away_rejects_those_who_had_no_other() {
    let mut world = World::new();
    let consumer = format!("arn:aws:iam::{CONSUMER}:root");
    let id = world.ask("Endpoint", &[0]);
    world.accept(id);
    world.permit(&["*"], &[&consumer]);
    assert_eq!(world.state(id), State::Available, "`*` still admits it");
    world.permit(&[], &["*"]);
    assert_eq!(world.state(id), State::Rejected);
    assert_eq!(world.ways(id), [silent(ZONES[0])]);
    world.refuses(
        PROVIDER,
        Command::AcceptVpcEndpointConnections(world.answer(&[id])),
        &format!(
            "OperationNotPermitted: {consumer}, who asked for VPC endpoint `Endpoint` (ID), is not among the allowed \
             principals: allow it again first"
        ),
    );
    world.permit(&[&consumer], &[]);
    world.accept(id);
    assert_eq!(world.state(id), State::Available);
}

#[test]
fn principals_are_everybody_accounts_users_and_roles() {
    let mut world = World::new();
    for wrong in [
        "",
        "444455556666",
        "arn:aws:iam::44445555666:root",
        "arn:aws:iam::444455556666:group/admins",
        "arn:aws:iam::444455556666:role/path/network",
        "arn:aws:sts::444455556666:assumed-role/a/b",
    ] {
        let command = world.permissions(&[wrong], &[]);
        world.refuses(
            PROVIDER,
            command,
            &format!(
                "InvalidPrincipal: `{wrong}` is not a principal; one is *, or an ARN of an account, a user or a role, for \
                 example arn:aws:iam::111122223333:root"
            ),
        );
    }
    let command = world.permissions(&[], &["*"]);
    world.refuses(
        PROVIDER,
        command,
        "InvalidParameter: * is not among the allowed principals of VPC endpoint service `Service` (ID)",
    );
}

#[test]
fn a_zone_without_a_node_is_refused_and_the_others_are_named() {
    let mut world = World::new();
    let command = world.asked("Endpoint", &[0, 1]);
    let error = world
        .by(CONSUMER)
        .refused(Command::CreateVpcEndpoint(command));
    assert_eq!(error.property(), "SubnetIds.1");
    assert_eq!(
        without_ids(&error.to_string()),
        "InvalidParameter: The VPC endpoint service com.amazonaws.vpce.us-west-2.ID does not support the availability zone \
         of the subnet: `Consumer1` (ID), which is in us-west-2b; take subnets in us-west-2a, us-west-2c"
    );
}

#[test]
fn the_consumer_changes_subnets_and_groups_without_being_accepted_again() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[0]);
    world.accept(id);
    let old = world.account.state.vpc_endpoint(&id).unwrap().clone();
    let group = {
        let consumer = world.consumer;
        world.by(CONSUMER).group("Group", consumer)
    };
    let (a, b, c) = (world.subnets[0], world.subnets[1], world.subnets[2]);
    let change = ModifyVpcEndpoint {
        add_subnet_ids: vec![c],
        remove_subnet_ids: vec![a],
        add_security_group_ids: vec![group],
        remove_security_group_ids: old.groups.clone(),
        addresses: vec![(c, "10.100.2.70".into())],
        ..modification(id)
    };
    world.by(CONSUMER).done(Command::ModifyVpcEndpoint(change));
    assert_eq!(world.state(id), State::Available);
    assert_eq!(world.ways(id), [way(ZONES[2])]);
    let state = &world.account.state;
    let interface = state.vpc_endpoint(&id).unwrap().network_interface_ids[0];
    let interface = state.network_interface(&interface).unwrap();
    assert_eq!(interface.groups, [group]);
    assert_eq!(interface.private_ip_addresses[0].to_string(), "10.100.2.70");
    assert!(
        state
            .network_interface(&old.network_interface_ids[0])
            .is_none()
    );
    assert_eq!(state.subnet(&a).unwrap().available_ip_address_count(), 251);

    let unsupported = ModifyVpcEndpoint {
        add_subnet_ids: vec![b],
        ..modification(id)
    };
    world.refuses(
        CONSUMER,
        Command::ModifyVpcEndpoint(unsupported),
        "InvalidParameter: The VPC endpoint service com.amazonaws.vpce.us-west-2.ID does not support the availability zone \
         of the subnet: `Consumer1` (ID), which is in us-west-2b; take subnets in us-west-2a, us-west-2c",
    );
    let nowhere = ModifyVpcEndpoint {
        remove_subnet_ids: vec![c],
        ..modification(id)
    };
    world.refuses(
        CONSUMER,
        Command::ModifyVpcEndpoint(nowhere),
        "MissingParameter: SubnetIds is missing: name at least one subnet",
    );
    let bare = ModifyVpcEndpoint {
        remove_security_group_ids: vec![group],
        ..modification(id)
    };
    world.refuses(
        CONSUMER,
        Command::ModifyVpcEndpoint(bare),
        "MissingParameter: RemoveSecurityGroupIds is missing: an endpoint keeps at least one security group; add another",
    );
    world.reject(id);
    world.refuses(
        CONSUMER,
        Command::ModifyVpcEndpoint(modification(id)),
        "InvalidState: VPC endpoint `Endpoint` (ID) is rejected: the provider can accept it, the consumer delete it",
    );
}

#[test]
fn an_endpoint_is_partial_or_failed_where_its_service_has_no_node_any_more() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[0, 2]);
    world.accept(id);
    let zone_c = {
        let subnet = world.provider_subnets[2];
        world
            .by(PROVIDER)
            .load_balancer(load_balancer("NlbC", &[subnet]))
    };
    let zone_b = {
        let subnet = world.provider_subnets[1];
        world
            .by(PROVIDER)
            .load_balancer(load_balancer("NlbB", &[subnet]))
    };
    let change = |world: &mut World, add: &[LoadBalancerId], remove: &[LoadBalancerId]| {
        let command = ModifyVpcEndpointServiceConfiguration {
            service_id: world.service_id,
            acceptance_required: None,
            add_network_load_balancer_arns: add.into(),
            remove_network_load_balancer_arns: remove.into(),
        };
        let command = Command::ModifyVpcEndpointServiceConfiguration(command);
        world.by(PROVIDER).done(command);
    };
    let first = world.load_balancer;
    change(&mut world, &[zone_c], &[first]);
    assert_eq!(world.state(id), State::Partial);
    assert_eq!(world.ways(id), [silent(ZONES[0]), way(ZONES[2])]);
    change(&mut world, &[zone_b], &[zone_c]);
    assert_eq!(world.state(id), State::Failed);
    assert_eq!(world.ways(id), [silent(ZONES[0]), silent(ZONES[2])]);
    change(&mut world, &[first], &[]);
    assert_eq!(world.state(id), State::Available);
    assert_eq!(world.ways(id), [way(ZONES[0]), way(ZONES[2])]);
    let none = ModifyVpcEndpointServiceConfiguration {
        service_id: world.service_id,
        acceptance_required: None,
        add_network_load_balancer_arns: vec![],
        remove_network_load_balancer_arns: vec![first, zone_b],
    };
    world.refuses(
        PROVIDER,
        Command::ModifyVpcEndpointServiceConfiguration(none),
        "MissingParameter: RemoveNetworkLoadBalancerArns is missing: a service keeps at least one network load balancer; \
         add another, or delete the service",
    );
}

#[test]
fn a_service_is_deleted_only_without_live_endpoints() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[0]);
    let delete = Command::DeleteVpcEndpointServiceConfiguration(world.service_id);
    let existing = "ExistingVpcEndpointConnections: VPC endpoint service `Service` (ID) is in use by VPC endpoint \
                    `Endpoint` (ID); reject its endpoints, or let their consumers delete them, and then delete it";
    world.refuses(PROVIDER, delete.clone(), existing);
    world.accept(id);
    world.refuses(PROVIDER, delete.clone(), existing);
    world.reject(id);
    world.by(PROVIDER).done(delete);
    assert_eq!(
        world.state(id),
        State::Rejected,
        "its consumer still has it"
    );
    assert_eq!(world.ways(id), [silent(ZONES[0])]);
    world.by(CONSUMER).done(Command::DeleteVpcEndpoint(id));
    let state = &world.account.state;
    assert!(state.vpc_endpoint(&id).is_none());
    let endpoint = |eni: &&NetworkInterface| matches!(eni.attachment, Attachment::VpcEndpoint(_));
    assert_eq!(state.network_interfaces().filter(endpoint).count(), 0);
}
