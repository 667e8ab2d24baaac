//! A template that is loaded again, changed, while what it made the first time runs: what stays, what goes, what was decided
//! meanwhile.

use std::time::Duration;

use privlink::control::command::*;
use privlink::control::{
    ChangeAction, ConnectionEventKind, ControlState, DnsNameState, NetworkInterface, Owner, State,
    TargetGroup, VpcEndpoint, compile, plan,
};
use privlink::template::{Diagnostics, Options, Running, Source, Stack, Stacks, load, succeed};

const PROVIDER: &str = include_str!("../examples/saas-provider.yaml");
const CONSUMER: &str = include_str!("../examples/saas-consumer.yaml");

/// What the daemon has: the state that runs, and what its templates alone would have made.
struct Site {
    running: ControlState,
    base: ControlState,
    stacks: Vec<Stack>,
    provider: String,
    consumer: String,
}

impl Site {
    fn up() -> Self {
        let (provider, consumer) = (PROVIDER.to_owned(), CONSUMER.to_owned());
        let stacks = load(&sources(&provider, &consumer), &Options::default()).unwrap();
        let base = stacks.state.clone();
        let mut running = stacks.state;
        running.take_events();
        Self {
            running,
            base,
            stacks: stacks.list,
            provider,
            consumer,
        }
    }

    /// The successor.
    fn next(&self) -> Result<(Stacks, ControlState), Diagnostics> {
        self.next_of(&sources(&self.provider, &self.consumer))
    }

    fn next_of(&self, sources: &[Source]) -> Result<(Stacks, ControlState), Diagnostics> {
        let running = Running {
            state: &self.running,
            base: &self.base,
            stacks: &self.stacks.iter().collect::<Vec<_>>(),
        };
        succeed(sources, &Options::default(), &running)
    }

    /// What is wrong with going on without the stack of this name.
    fn refusal_without(&self, stack: &str) -> Option<String> {
        let sources = sources(&self.provider, &self.consumer);
        let left = sources.into_iter().filter(|s| s.stack_name != stack);
        let next = self.next_of(&left.collect::<Vec<_>>());
        next.err().map(|errors| errors.to_string())
    }

    /// Applies both templates as they are; what the plan says, a line for each change.
    fn apply(&mut self) -> Vec<String> {
        let (next, base) = self.next().unwrap();
        let changes = plan(&self.running, &next.state);
        self.base = base;
        self.running = next.state;
        self.stacks = next.list;
        let line = |change: &privlink::control::Change| {
            let action = match change.action {
                ChangeAction::Add => '+',
                ChangeAction::Modify => '~',
                ChangeAction::Remove => '-',
            };
            let names = change
                .properties
                .iter()
                .map(|property| property.name.as_str());
            let names: Vec<_> = names.collect();
            format!("{action}{} {}", change.logical_resource_id, names.join(","))
                .trim_end()
                .to_owned()
        };
        changes.iter().map(line).collect()
    }

    fn provider(&mut self, from: &str, to: &str) {
        self.provider = changed(&self.provider, from, to);
    }

    fn consumer(&mut self, from: &str, to: &str) {
        self.consumer = changed(&self.consumer, from, to);
    }

    fn endpoint(&self) -> &VpcEndpoint {
        self.running.vpc_endpoints().next().expect("the endpoint")
    }

    fn group(&self) -> &TargetGroup {
        self.running
            .target_groups()
            .next()
            .expect("the target group")
    }

    fn interface(&self, of: &str) -> &NetworkInterface {
        let mut interfaces = self.running.network_interfaces();
        interfaces
            .find(|interface| interface.description.contains(of))
            .unwrap_or_else(|| panic!("no interface of {of}"))
    }

    #[track_caller]
    fn execute_as(&mut self, account: &str, command: Command) {
        let owner = Owner::new(account, self.running.owner().region()).unwrap();
        self.running.act_as(owner);
        self.running.execute(command).unwrap();
        self.running.take_events();
    }

    fn accept(&mut self) {
        let command = self.connections();
        self.execute_as(PROVIDERS, Command::AcceptVpcEndpointConnections(command));
        assert_eq!(self.endpoint().state, State::Available);
    }

    fn connections(&self) -> VpcEndpointConnections {
        VpcEndpointConnections {
            service_id: self.endpoint().service_id().unwrap(),
            vpc_endpoint_ids: vec![self.endpoint().vpc_endpoint_id],
        }
    }

    fn events(&mut self) -> Vec<(ConnectionEventKind, State)> {
        let events = self.running.take_events();
        events
            .iter()
            .map(|event| (event.kind, event.state))
            .collect()
    }
}

const PROVIDERS: &str = "111122223333";
const CONSUMERS: &str = "444455556666";

fn sources<'s>(provider: &'s str, consumer: &'s str) -> [Source<'s>; 2] {
    [("provider", provider), ("consumer", consumer)]
        .map(|(stack_name, text)| Source::new(stack_name, text, stack_name))
}

#[track_caller]
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// An instance without a chosen address, before all others.
const ANOTHER: (&str, &str) = (
    "  Provider1:\n    Type: AWS::EC2::Instance\n",
    "  Another:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: another}}
    Properties: {SubnetId: !Ref SubnetC}

  Provider1:
    Type: AWS::EC2::Instance
",
);

#[test]
fn the_same_templates_again_change_nothing() {
    let mut site = Site::up();
    site.accept();
    let before = format!("{:?}", compile(&site.running));
    assert_eq!(site.apply(), Vec::<String>::new());
    assert_eq!(format!("{:?}", compile(&site.running)), before);
    assert_eq!(site.events(), []);
}

#[test]
fn what_stays_keeps_its_place_and_its_automatic_address_whatever_comes_before_it() {
    let mut site = Site::up();
    site.accept();
    let places = |site: &Site| {
        let interfaces = site.running.network_interfaces();
        let mut places: Vec<_> = interfaces
            .filter(|interface| !interface.description.contains("Another"))
            .map(|i| {
                (
                    i.network_interface_id,
                    i.idx,
                    i.private_ip_addresses.clone(),
                )
            })
            .collect();
        places.sort_by_key(|(id, ..)| *id);
        places
    };
    let before = places(&site);
    site.provider(ANOTHER.0, ANOTHER.1);
    assert_eq!(site.apply(), ["+Another"]);
    assert_eq!(places(&site), before);
    let another = site.interface("Another").clone();
    assert!(before.iter().all(|(_, idx, addresses)| {
        *idx != another.idx && *addresses != another.private_ip_addresses
    }));

    site.provider(ANOTHER.1, ANOTHER.0);
    assert_eq!(site.apply(), ["-Another"]);
    site.provider(ANOTHER.0, ANOTHER.1);
    site.apply();
    let again = site.interface("Another").idx;
    assert_eq!(
        again.index(),
        another.idx.index(),
        "the place is free again"
    );
    assert_ne!(again.generation(), another.idx.generation());
}

#[test]
fn an_address_of_something_that_stays_cannot_be_chosen_but_that_of_something_that_goes_can() {
    let mut site = Site::up();
    let node = site.interface("load balancer").private_ip_addresses[0];
    site.provider(ANOTHER.0, ANOTHER.1);
    let chosen = format!("SubnetId: !Ref SubnetC, PrivateIpAddress: {node}}}");
    site.provider("SubnetId: !Ref SubnetC}", &chosen);
    let error = site.next().unwrap_err().to_string();
    assert!(error.contains("LoadBalancer"), "{error}");

    let mut site = Site::up();
    site.provider("        - Id: !Ref Provider2\n", "");
    site.provider("  Provider2:\n", "  Successor:\n");
    assert_eq!(
        site.apply(),
        ["-Provider2", "~TargetGroup Targets", "+Successor"]
    );
}

#[test]
fn an_accepted_endpoint_stays_accepted_and_a_change_of_it_is_told() {
    let mut site = Site::up();
    site.running.advance(Duration::from_secs(100));
    site.accept();
    site.consumer(
        "        - !Ref EndpointSecurityGroup\n",
        "        - !GetAtt Vpc.DefaultSecurityGroup\n",
    );
    assert_eq!(site.apply(), ["~Endpoint Groups"]);
    assert_eq!(site.endpoint().state, State::Available);
    assert_eq!(
        site.events(),
        [(ConnectionEventKind::Modify, State::Pending)]
    );
}

#[test]
fn an_endpoint_that_nobody_has_accepted_yet_goes_on_waiting() {
    let mut site = Site::up();
    let asked = site.endpoint().requested_at;
    site.running.advance(Duration::from_secs(100));
    site.apply();
    assert_eq!(site.endpoint().state, State::PendingAcceptance);
    assert_eq!(site.endpoint().requested_at, asked);
}

#[test]
fn a_rejected_endpoint_cannot_be_changed_and_then_nothing_is() {
    let mut site = Site::up();
    let command = site.connections();
    site.execute_as(PROVIDERS, Command::RejectVpcEndpointConnections(command));
    site.apply();
    assert_eq!(site.endpoint().state, State::Rejected);
    site.consumer(
        "        - !Ref EndpointSecurityGroup\n",
        "        - !GetAtt Vpc.DefaultSecurityGroup\n",
    );
    let error = site.next().unwrap_err().to_string();
    assert!(
        error.contains("Endpoint") && error.contains("rejected"),
        "{error}"
    );
}

#[test]
fn a_principal_that_is_not_allowed_any_more_loses_its_endpoint() {
    let mut site = Site::up();
    site.accept();
    site.provider("iam::444455556666:root", "iam::777788889999:root");
    let plan = site.apply();
    assert!(plan.contains(&"~Endpoint State".to_owned()), "{plan:?}");
    assert_eq!(site.endpoint().state, State::Rejected);
    assert_eq!(
        site.events(),
        [(ConnectionEventKind::Reject, State::Rejected)]
    );
}

#[test]
fn a_deleted_endpoint_comes_back_only_when_its_template_asks_for_another() {
    let mut site = Site::up();
    site.accept();
    let id = site.endpoint().vpc_endpoint_id;
    site.execute_as(CONSUMERS, Command::DeleteVpcEndpoint(id));
    for _ in 0..2 {
        assert_eq!(site.apply(), Vec::<String>::new());
        assert_eq!(site.events(), []);
    }
    // Another change is none of its own.
    site.consumer(
        "GroupName: for-access-provider-NLB",
        "GroupName: for-access",
    );
    assert_eq!(site.apply(), ["~EndpointSecurityGroup GroupName"]);

    let groups = (
        "- !Ref EndpointSecurityGroup\n",
        "- !GetAtt Vpc.DefaultSecurityGroup\n",
    );
    site.consumer(groups.0, groups.1);
    assert_eq!(site.apply(), ["+Endpoint"]);
    assert_eq!(site.endpoint().state, State::PendingAcceptance);
    assert_eq!(
        site.events(),
        [(ConnectionEventKind::Connect, State::PendingAcceptance)]
    );
}

#[test]
fn a_deleted_endpoint_comes_back_when_its_template_has_been_without_it() {
    let mut site = Site::up();
    let id = site.endpoint().vpc_endpoint_id;
    site.execute_as(CONSUMERS, Command::DeleteVpcEndpoint(id));
    let whole = site.consumer.clone();
    let from = whole.find("  Endpoint:\n").expect("the endpoint");
    site.consumer = whole[..from].to_owned();
    assert_eq!(site.apply(), Vec::<String>::new());
    site.consumer = whole;
    assert_eq!(site.apply(), ["+Endpoint"]);
}

/// The provider's template without its service, and without what names that.
fn without_service(provider: &str) -> String {
    let from = provider.find("  Service:\n").expect("the service");
    provider[..from].to_owned()
}

#[test]
fn a_service_does_not_go_while_endpoints_lead_to_it() {
    for (is_removed, place) in [(false, "provider:16:3"), (true, "provider:1:1")] {
        let mut site = Site::up();
        match is_removed {
            true => site.provider = without_service(&site.provider),
            false => site.provider("\"111122223333\"", "\"111122224444\""),
        }
        let error = site.next().unwrap_err().to_string();
        let id = site.endpoint().vpc_endpoint_id;
        assert!(
            error.starts_with(&format!(
                "{place}: Resources.Service: ExistingVpcEndpointConnections: "
            )) && error.contains(&format!("VPC endpoint `Endpoint` ({id})")),
            "{error}"
        );
        // One that goes with it is no reason to stay.
        site.consumer("444455556666", "444455557777");
        let next = site.next();
        let said = next
            .err()
            .map(|errors| errors.to_string())
            .unwrap_or_default();
        assert!(!said.contains("ExistingVpcEndpointConnections"), "{said}");
    }
}

#[test]
fn a_service_without_live_endpoints_may_go() {
    let mut site = Site::up();
    let command = site.connections();
    site.execute_as(PROVIDERS, Command::RejectVpcEndpointConnections(command));
    site.provider("\"111122223333\"", "\"111122224444\"");
    let plan = site.apply();
    assert!(plan.contains(&"-Service".to_owned()), "{plan:?}");
    assert!(plan.contains(&"+Service".to_owned()), "{plan:?}");
}

#[test]
fn a_stack_goes_when_nothing_of_it_is_in_use() {
    let site = Site::up();
    let error = site.refusal_without("provider").expect("a refusal");
    assert!(
        error.starts_with("stack provider: ExistingVpcEndpointConnections: "),
        "{error}"
    );
    assert_eq!(site.refusal_without("consumer"), None);

    // Without the endpoint the name alone is in use.
    let mut site = Site::up();
    let command = site.connections();
    site.execute_as(PROVIDERS, Command::RejectVpcEndpointConnections(command));
    let error = site.refusal_without("provider").expect("a refusal");
    assert!(
        error.starts_with("consumer:")
            && error.contains(
                "Export provider-service-name cannot be deleted as it is in use by consumer; stack provider exports it"
            ),
        "{error}"
    );
}

#[test]
fn an_endpoint_that_leads_elsewhere_is_another_one() {
    let mut site = Site::up();
    site.accept();
    let second = "
  SecondService:
    Type: AWS::EC2::VPCEndpointService
    Properties: {AcceptanceRequired: false, NetworkLoadBalancerArns: [!Ref LoadBalancer]}
  SecondPermissions:
    Type: AWS::EC2::VPCEndpointServicePermissions
    Properties: {ServiceId: !Ref SecondService, AllowedPrincipals: ['*']}

Outputs:

  SecondName:
    Value: !Sub \"com.amazonaws.vpce.${AWS::Region}.${SecondService}\"
    Export: {Name: second-service-name}
";
    site.provider("\nOutputs:\n", second);
    site.consumer(
        "!ImportValue provider-service-name",
        "!ImportValue second-service-name",
    );
    site.apply();
    assert_eq!(site.endpoint().state, State::Available);
    assert_eq!(
        site.events(),
        [
            (ConnectionEventKind::Delete, State::Deleted),
            (ConnectionEventKind::Connect, State::Pending)
        ]
    );
}

#[test]
fn targets_registered_at_run_time_stay_until_the_template_says_otherwise() {
    let mut site = Site::up();
    let target = |site: &Site, name: &str, port| {
        let mut instances = site.running.instances();
        let instance = instances.find(|instance| instance.client_token == name);
        TargetDescription {
            id: instance.unwrap().instance_id.to_string(),
            port,
            availability_zone: None,
        }
    };
    let group = site.group().id;
    let (added, removed) = (
        target(&site, "Provider1", Some(8080)),
        target(&site, "Provider2", None),
    );
    site.execute_as(
        PROVIDERS,
        Command::RegisterTargets(RegisterTargets {
            target_group: group,
            targets: vec![added],
        }),
    );
    site.execute_as(
        PROVIDERS,
        Command::DeregisterTargets(DeregisterTargets {
            target_group: group,
            targets: vec![removed],
        }),
    );
    let before = site.group().targets.clone();
    assert_eq!(site.apply(), Vec::<String>::new());
    assert_eq!(site.group().targets, before);

    // The template's own list changes: what it does not have drains.
    site.running.advance(Duration::from_secs(10));
    site.provider("        - Id: !Ref Provider2\n", "");
    site.apply();
    let targets = &site.group().targets;
    let drains: Vec<_> = targets
        .iter()
        .map(|target| (target.port, target.draining_since.is_some()))
        .collect();
    assert_eq!(drains, [(80, false), (80, true), (8080, true)]);
    assert_eq!(targets[1].draining_since, before[1].draining_since);
    let idx = |port| {
        let mut all = before.iter();
        all.find(|target| target.port == port).unwrap().idx
    };
    assert_eq!(targets[2].idx, idx(8080), "its flows live on");
}

/// The provider's service with this private DNS name.
fn with_name(name: &str) -> (&'static str, String) {
    let to = format!(
        "  Service:\n    Metadata: {{privlink: {{PrivateDnsName: {name}}}}}\n    Type: AWS::EC2::VPCEndpointService\n"
    );
    ("  Service:\n    Type: AWS::EC2::VPCEndpointService\n", to)
}

#[test]
fn a_private_name_stays_verified_while_it_stays() {
    let mut site = Site::up();
    let (from, to) = with_name("app.example.com");
    site.provider(from, &to);
    assert_eq!(site.apply(), ["~Service PrivateDnsName"]);
    let service = site.running.vpc_endpoint_services().next().unwrap().clone();
    let name = service.private_dns_name.unwrap();
    let record = name.configuration(service.service_id);
    let state = &mut site.running;
    assert!(state.verify_private_dns_name(service.service_id, &[record.value]));

    let verified = |site: &Site| {
        let service = site.running.vpc_endpoint_services().next().unwrap();
        service.private_dns_name.as_ref().unwrap().state
    };
    site.provider("AcceptanceRequired: true", "AcceptanceRequired: false");
    assert_eq!(site.apply(), ["~Service AcceptanceRequired"]);
    assert_eq!(verified(&site), DnsNameState::Verified);
    assert_eq!(site.running.private_dns_look_ups(), []);

    site.provider("app.example.com", "web.example.com");
    assert_eq!(site.apply(), ["~Service PrivateDnsName"]);
    assert_eq!(verified(&site), DnsNameState::PendingVerification);
    assert_eq!(site.running.private_dns_look_ups().len(), 1);
}

#[test]
fn private_dns_is_turned_on_by_an_apply_and_outlives_the_name() {
    let mut site = Site::up();
    let (from, to) = with_name("app.example.com");
    site.provider(from, &to);
    site.consumer(
        "      CidrBlock: 10.100.0.0/16\n",
        "      CidrBlock: 10.100.0.0/16\n      EnableDnsHostnames: true\n",
    );
    site.apply();
    site.accept();
    let private = "      VpcEndpointType: Interface\n      PrivateDnsEnabled: true\n";
    site.consumer("      VpcEndpointType: Interface\n", private);
    assert_eq!(site.apply(), ["~Endpoint PrivateDnsEnabled"]);
    assert_eq!(
        site.events(),
        [(ConnectionEventKind::Modify, State::Pending)]
    );
    assert_eq!(site.endpoint().state, State::Available);

    // The provider may take its name away; whose endpoints have had it cannot help it.
    site.provider(&to, from);
    assert_eq!(site.apply(), ["~Service PrivateDnsName"]);
    let endpoint = site.endpoint();
    assert!(endpoint.private_dns_enabled);
    assert_eq!(site.running.answered_name(endpoint), None);
}

const ZONE: &str = "
  PrivateZone:
    Type: AWS::Route53::HostedZone
    Properties: {Name: example.com, VPCs: [{VPCId: !Ref Vpc, VPCRegion: !Ref AWS::Region}]}
  App:
    Type: AWS::Route53::RecordSet
    Properties: {HostedZoneId: !Ref PrivateZone, Name: app.example.com, Type: A, TTL: 60, ResourceRecords: [10.100.0.4]}
  Group:
    Type: AWS::Route53::RecordSetGroup
    Properties:
      HostedZoneId: !Ref PrivateZone
      RecordSets:
        - {Name: a.example.com, Type: CNAME, TTL: 60, ResourceRecords: [app.example.com]}
        - {Name: b.example.com, Type: CNAME, TTL: 60, ResourceRecords: [app.example.com]}

Outputs:
";

#[test]
fn a_changed_record_set_is_a_change_of_it_alone() {
    let mut site = Site::up();
    site.provider("\nOutputs:\n", ZONE);
    let added = [
        "+PrivateZone",
        "+App",
        "+Group/a.example.com CNAME",
        "+Group/b.example.com CNAME",
    ];
    assert_eq!(site.apply(), added);
    assert_eq!(site.apply(), Vec::<String>::new());
    site.provider(
        "TTL: 60, ResourceRecords: [10.100.0.4]",
        "TTL: 5, ResourceRecords: [10.100.0.5]",
    );
    assert_eq!(site.apply(), ["~App ResourceRecords,TTL"]);
    // A group's record sets are known by their names, not by their places.
    let line = "        - {Name: a.example.com, Type: CNAME, TTL: 60, ResourceRecords: [app.example.com]}\n";
    site.provider(line, "");
    assert_eq!(site.apply(), ["-Group/a.example.com CNAME"]);
    site.provider(
        "VPCRegion: !Ref AWS::Region}]}",
        "VPCRegion: !Ref AWS::Region}], HostedZoneConfig: {Comment: a}}",
    );
    assert_eq!(site.apply(), ["~PrivateZone Comment"]);
}

const NAMED: &str = "
  Gateway:
    Type: AWS::VpcLattice::ResourceGateway
    Properties: {Name: gateway, VpcIdentifier: !Ref Vpc, SubnetIds: [!Ref SubnetC]}
  Configuration:
    Type: AWS::VpcLattice::ResourceConfiguration
    Properties:
      Name: database
      ResourceConfigurationType: SINGLE
      ResourceGatewayId: !Ref Gateway
      PortRanges: ['5432']
      ResourceConfigurationDefinition: {DnsResource: {DomainName: db.example.com, IpAddressType: IPV4}}

Outputs:
";

#[test]
fn a_resource_that_gets_another_name_stays_in_its_place() {
    let mut site = Site::up();
    site.provider("\nOutputs:\n", NAMED);
    site.apply();
    let place = |site: &Site| site.running.resource_configurations().next().unwrap().idx;
    let before = place(&site);
    site.provider("db.example.com", "db2.example.com");
    assert_eq!(site.apply(), ["~Configuration DnsResource"]);
    assert_eq!(place(&site), before);
    site.provider(
        "DnsResource: {DomainName: db2.example.com, IpAddressType: IPV4}",
        "IpResource: 10.100.0.4",
    );
    assert_eq!(site.apply(), ["~Configuration IpResource,DnsResource"]);
    assert_eq!(place(&site), before);
    site.provider(
        "VpcIdentifier: !Ref Vpc",
        "VpcIdentifier: !Ref Vpc, ResourceConfigDnsResolution: IN_VPC",
    );
    assert_eq!(site.apply(), ["~Gateway ResourceConfigDnsResolution"]);
}
