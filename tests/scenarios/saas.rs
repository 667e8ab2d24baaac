//! Walkthrough W2 from its templates: what commands on the control state mean for packets, with virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use privlink::control::command::*;
use privlink::control::id::{InstanceId, VpcEndpointId};
use privlink::control::{Command, ControlState, Owner, State, compile};
use privlink::dataplane::{DropReason, EniIdx, Verdict};
use privlink::sim::{PacketBuilder, Topology, World, echo_request, tcp, udp};
use privlink::template::{Options, Source, load};

use super::{ACK, SYN, drops, source};

const PROVIDER: &str = include_str!("../../examples/saas-provider.yaml");
const CONSUMER: &str = include_str!("../../examples/saas-consumer.yaml");
const CLIENT: [u8; 4] = [10, 100, 1, 11];
const ENDPOINT: [u8; 4] = [10, 100, 1, 70];
const MOMENT: Duration = Duration::from_millis(10);

/// The provider's stack and two consumers', whose VPCs and addresses are all the same.
struct Saas {
    state: ControlState,
    world: World,
}

/// One consumer's instance, and its endpoint.
#[derive(Clone, Copy)]
struct Customer {
    account: &'static str,
    client: EniIdx,
    interface: EniIdx,
    endpoint: VpcEndpointId,
}

impl Saas {
    fn new() -> (Self, [Customer; 2]) {
        Self::offering(&PROVIDER.replace(
            "Default: arn:aws:iam::444455556666:root",
            "Default: arn:aws:iam::444455556666:root,arn:aws:iam::777788889999:root",
        ))
    }

    fn offering(provider: &str) -> (Self, [Customer; 2]) {
        let second = CONSUMER
            .replace("444455556666", "777788889999")
            .replace("Namespace: client ", "Namespace: client2 ");
        let [provider, first, second] = [
            ("provider", provider),
            ("consumer", CONSUMER),
            ("second", &second),
        ]
        .map(|(name, text)| Source::new(name, text, name));
        let stacks = load(&[provider, first, second], &Options::default());
        let state = stacks.unwrap_or_else(|errors| panic!("{errors}")).state;
        let world = World::new(&topology(&state));
        let saas = Self { state, world };
        let customers = [("444455556666", "client"), ("777788889999", "client2")];
        let customers = customers.map(|(account, namespace)| saas.customer(account, namespace));
        (saas, customers)
    }

    fn customer(&self, account: &'static str, namespace: &str) -> Customer {
        let mut endpoints = self.state.vpc_endpoints();
        let endpoint = endpoints.find(|e| e.owner_id == account).unwrap();
        let interface = endpoint.network_interface_ids[0];
        Customer {
            account,
            client: self.instance(namespace).1,
            interface: self.state.network_interface(&interface).unwrap().idx,
            endpoint: endpoint.vpc_endpoint_id,
        }
    }

    fn instance(&self, namespace: &str) -> (InstanceId, EniIdx) {
        let mut instances = self.state.instances();
        let instance = instances.find(|i| i.namespace == namespace).unwrap();
        let interface = self.state.network_interface(&instance.network_interface_id);
        (instance.instance_id, interface.unwrap().idx)
    }

    /// Executes a command in this account's name, and applies what has become of the state; who gets a RST.
    #[track_caller]
    fn execute(&mut self, account: &str, command: Command) -> Vec<EniIdx> {
        let owner = Owner::new(account, "us-west-2").unwrap();
        self.state.act_as(owner);
        self.state.execute(command).unwrap();
        self.apply()
    }

    fn apply(&mut self) -> Vec<EniIdx> {
        self.world.dataplane.apply(compile(&self.state));
        let said = self.world.advance(MOMENT);
        said.iter().map(|transmit| transmit.to).collect()
    }

    #[track_caller]
    fn by_provider(&mut self, command: Command) -> Vec<EniIdx> {
        self.execute("111122223333", command)
    }

    fn answer(&self, customer: Customer) -> VpcEndpointConnections {
        VpcEndpointConnections {
            service_id: self
                .state
                .vpc_endpoint_services()
                .next()
                .unwrap()
                .service_id,
            vpc_endpoint_ids: vec![customer.endpoint],
        }
    }

    #[track_caller]
    fn accept(&mut self, customer: Customer) {
        let answer = self.answer(customer);
        let resets = self.by_provider(Command::AcceptVpcEndpointConnections(answer));
        assert_eq!(resets, []);
    }

    fn targets(&self) -> [EniIdx; 2] {
        ["provider-1", "provider-2"].map(|namespace| self.instance(namespace).1)
    }

    /// An established connection: what the client says next, and the target.
    #[track_caller]
    fn connect(&mut self, customer: Customer, port: u16) -> (PacketBuilder, EniIdx) {
        let client = (CLIENT, port);
        let packet = tcp(client, (ENDPOINT, 80));
        let outcome = self.world.send(customer.client, &packet);
        let Verdict::Forward(target) = outcome.verdict else {
            panic!("{:?}\n{}", outcome.verdict, self.world.describe());
        };
        let (node, address) = (source(&outcome.packet.tuple()), outcome.packet.tuple().dst);
        let address = match address.ip() {
            std::net::IpAddr::V4(address) => address.octets(),
            other => panic!("{other}"),
        };
        let answer = tcp((address, 80), node).segment(SYN | ACK, 5000, 1001);
        self.world.deliver(target, &answer, customer.client);
        let next = tcp(client, (ENDPOINT, 80)).segment(ACK, 1001, 5001);
        self.world.deliver(customer.client, &next, target);
        (next, target)
    }

    /// A connection that gets nowhere: every packet of it is dropped at the endpoint without a word.
    #[track_caller]
    fn is_silent(&mut self, customer: Customer) {
        self.world.new_drops();
        let packets = [
            tcp((CLIENT, 40000), (ENDPOINT, 80)),
            udp((CLIENT, 40000), (ENDPOINT, 80)),
            echo_request(CLIENT, ENDPOINT, 7),
        ];
        for packet in packets {
            let outcome = self.world.send(customer.client, &packet);
            assert_eq!(
                outcome.verdict,
                Verdict::Drop(DropReason::EndpointNotAvailable),
                "{}",
                self.world.describe()
            );
            assert_eq!(outcome.replies, []);
            assert_eq!(
                self.world.new_drops(),
                drops([(customer.interface, DropReason::EndpointNotAvailable)])
            );
        }
    }
}

fn topology(state: &ControlState) -> Topology {
    Topology {
        config: compile(state),
    }
}

#[test]
fn not_one_packet_passes_before_the_provider_accepts_and_then_both_targets_answer() {
    let (mut saas, [first, second]) = Saas::new();
    saas.is_silent(first);
    saas.is_silent(second);
    saas.accept(first);
    let mut got = BTreeMap::new();
    for port in 1024..1224 {
        let (_, target) = saas.connect(first, port);
        *got.entry(target).or_insert(0) += 1;
    }
    assert_eq!(
        got.keys().copied().collect::<BTreeSet<_>>(),
        saas.targets().into()
    );
    assert!(got.values().all(|count| *count > 60), "{got:?}");
    saas.is_silent(second);
    saas.accept(second);
    saas.connect(second, 1024);
}

#[test]
fn a_rejection_a_permission_taken_away_and_a_deletion_cut_that_customers_connections_only() {
    let (mut saas, [first, second]) = Saas::new();
    let service_id = saas.answer(first).service_id;
    let permissions = |add: &[&str], remove: &[&str]| {
        let arns = |accounts: &[&str]| {
            let arns = accounts.iter().map(|a| format!("arn:aws:iam::{a}:root"));
            arns.collect()
        };
        Command::ModifyVpcEndpointServicePermissions(ModifyVpcEndpointServicePermissions {
            service_id,
            add_allowed_principals: arns(add),
            remove_allowed_principals: arns(remove),
        })
    };
    saas.accept(second);
    let (other, other_target) = saas.connect(second, 5000);

    saas.accept(first);
    let (packet, target) = saas.connect(first, 5000);
    let reject = Command::RejectVpcEndpointConnections(saas.answer(first));
    let resets = saas.by_provider(reject);
    assert_eq!(BTreeSet::from_iter(resets), [first.client, target].into());
    assert_eq!(
        saas.world.send(first.client, &packet).verdict,
        Verdict::Drop(DropReason::EndpointNotAvailable)
    );
    saas.is_silent(first);
    saas.world.deliver(second.client, &other, other_target);

    saas.accept(first);
    let (_, target) = saas.connect(first, 5001);
    let resets = saas.by_provider(permissions(&[], &[first.account]));
    assert_eq!(BTreeSet::from_iter(resets), [first.client, target].into());
    saas.is_silent(first);
    saas.world.deliver(second.client, &other, other_target);

    saas.by_provider(permissions(&[first.account], &[]));
    saas.accept(first);
    let (packet, target) = saas.connect(first, 5002);
    let resets = saas.execute(first.account, Command::DeleteVpcEndpoint(first.endpoint));
    assert_eq!(BTreeSet::from_iter(resets), [first.client, target].into());
    assert_eq!(
        saas.world.send(first.client, &packet).verdict,
        Verdict::Drop(DropReason::NoSuchAddress)
    );
    saas.world.deliver(second.client, &other, other_target);
}

#[test]
fn a_request_that_nobody_answers_expires_and_stays_silent() {
    let (mut saas, [first, second]) = Saas::new();
    saas.accept(second);
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(saas.state.advance(week - MOMENT), Some(week));
    assert_eq!(saas.state.advance(week), None);
    assert_eq!(saas.apply(), []);
    let state = |customer: Customer| saas.state.vpc_endpoint(&customer.endpoint).unwrap().state;
    assert_eq!(
        (state(first), state(second)),
        (State::Expired, State::Available)
    );
    saas.is_silent(first);
    saas.connect(second, 5000);
}

#[test]
fn a_consumers_change_cuts_nothing_that_it_does_not_concern() {
    let (mut saas, [first, _]) = Saas::new();
    saas.accept(first);
    let (packet, target) = saas.connect(first, 5000);
    let endpoint = saas.state.vpc_endpoint(&first.endpoint).unwrap().clone();
    let vpc = saas
        .state
        .vpc(&endpoint.vpc_id)
        .unwrap()
        .default_security_group;
    let resets = saas.execute(
        first.account,
        Command::ModifyVpcEndpoint(ModifyVpcEndpoint {
            vpc_endpoint_id: first.endpoint,
            add_subnet_ids: vec![],
            remove_subnet_ids: vec![],
            add_security_group_ids: vec![vpc],
            remove_security_group_ids: vec![],
            addresses: vec![],
            private_dns_enabled: None,
        }),
    );
    assert_eq!(resets, []);
    saas.world.deliver(first.client, &packet, target);
}

#[test]
fn a_deregistered_target_keeps_its_connections_while_it_drains_and_gets_no_new_one() {
    let (mut saas, [first, _]) = Saas::new();
    saas.accept(first);
    let leaving = saas.instance("provider-1");
    let group = saas.state.target_groups().next().unwrap().id;
    let kept = (5000..).find_map(|port| {
        let (packet, target) = saas.connect(first, port);
        (target == leaving.1).then_some(packet)
    });
    let kept = kept.unwrap();
    let resets = saas.by_provider(Command::DeregisterTargets(DeregisterTargets {
        target_group: group,
        targets: vec![TargetDescription {
            id: leaving.0.to_string(),
            ..TargetDescription::default()
        }],
    }));
    assert_eq!(resets, []);
    saas.world.deliver(first.client, &kept, leaving.1);
    for port in 6000..6100 {
        assert_ne!(saas.connect(first, port).1, leaving.1);
    }
    saas.state.advance(Duration::from_secs(300));
    saas.apply();
    assert_eq!(saas.state.target_group(&group).unwrap().targets.len(), 1);
    saas.connect(first, 7000);
}
