//! Several accounts and stacks in one state.

use super::*;

const ZONE: &str = "ap-northeast-1a";

fn stack(account_id: &str, name: &str) -> Owner {
    let owner = Owner::new(account_id, "ap-northeast-1").unwrap();
    owner.with_stack(name)
}

/// A VPC, a subnet and an instance by the same logical ids in every stack.
fn web(account: &mut Account, owner: &Owner, namespace: &str) -> InstanceId {
    account.state.act_as(owner.clone());
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let subnet_id = account.subnet("Subnet", vpc_id, "10.0.0.0/24", ZONE);
    account.instance(RunInstance {
        namespace: Some(namespace.into()),
        ..instance("Web", subnet_id)
    })
}

#[test]
fn stacks_use_the_same_logical_ids_and_every_object_knows_its_owner() {
    let owners = [
        stack("000000000000", "a"),
        stack("000000000000", "b"),
        stack("111122223333", "c"),
    ];
    let mut account = Account::new();
    for owner in &owners {
        web(&mut account, owner, owner.stack().unwrap());
    }
    let state = &account.state;
    assert!(
        state
            .instances()
            .map(|i| state.owner_of(i.instance_id))
            .eq(owners.iter().map(Some))
    );
    let enis = state.network_interfaces();
    assert!(
        enis.map(|eni| state.owner_of(eni.network_interface_id))
            .eq(owners.iter().map(Some))
    );
    let accounts: Vec<_> = state.vpcs().map(|vpc| vpc.owner_id.as_str()).collect();
    assert_eq!(accounts, ["000000000000", "000000000000", "111122223333"]);
    // Alone, a stack gets the ids that it has among others.
    let mut alone = Account::new();
    let again = web(&mut alone, &owners[1], "b");
    assert_eq!(state.instances().nth(1).map(|i| i.instance_id), Some(again));
}

#[test]
fn namespaces_are_unique_over_all_stacks_and_the_error_names_both() {
    let mut account = Account::new();
    let first = web(&mut account, &stack("000000000000", "a"), "web");
    let other = web(&mut account, &stack("111122223333", "b"), "other");
    let subnet_id = account.state.instance(&other).unwrap().subnet_id;
    let error = account.refused(Command::RunInstance(RunInstance {
        namespace: Some("web".into()),
        ..instance("Web2", subnet_id)
    }));
    assert_eq!(
        error.to_string(),
        format!(
            "InvalidParameterValue: instance `Web` of stack `a` ({first}) lives in network namespace `web` already; \
             give each its own with Metadata: privlink: Namespace"
        )
    );
}

#[test]
fn names_of_gateways_and_configurations_are_unique_in_an_account_only() {
    let mut account = Account::new();
    for (account_id, name) in [("000000000000", "a"), ("111122223333", "b")] {
        let owner = stack(account_id, name);
        let instance_id = web(&mut account, &owner, name);
        let instance = account.state.instance(&instance_id).unwrap();
        let (vpc_id, subnet_id) = (instance.vpc_id, instance.subnet_id);
        let gateway_id = account.gateway(gateway("Gateway", vpc_id, &[subnet_id]));
        account.configuration(configuration("Cfg", gateway_id, "10.0.0.4"));
        let again = CreateResourceGateway {
            name: "gateway".into(),
            ..gateway("Second", vpc_id, &[subnet_id])
        };
        let error = account.refused(Command::CreateResourceGateway(again));
        assert!(error.to_string().contains("`Gateway`"), "{error}");
    }
    let arns: Vec<_> = account.state.resource_gateways().map(|g| &g.arn).collect();
    assert!(arns[0].contains(":000000000000:") && arns[1].contains(":111122223333:"));
}

#[test]
fn an_endpoint_of_one_account_leads_to_the_resource_of_another() {
    let mut account = Account::new();
    let target = web(&mut account, &stack("111122223333", "provider"), "web");
    let target = account.state.instance(&target).unwrap();
    let (vpc_id, subnet_id) = (target.vpc_id, target.subnet_id);
    let gateway_id = account.gateway(gateway("Gateway", vpc_id, &[subnet_id]));
    let configuration_id = account.configuration(configuration("Cfg", gateway_id, "10.0.0.4"));
    let consumer = stack("444455556666", "consumer");
    let client = web(&mut account, &consumer, "client");
    let client = account.state.instance(&client).unwrap();
    let (vpc_id, subnet_id) = (client.vpc_id, client.subnet_id);
    let id = account.endpoint(endpoint("Endpoint", vpc_id, configuration_id, &[subnet_id]));
    assert_eq!(account.state.owner_of(id), Some(&consumer));
    assert_eq!(
        account.state.vpc_endpoint(&id).unwrap().owner_id,
        "444455556666"
    );
}

#[test]
fn what_belongs_to_another_account_cannot_be_built_upon() {
    let mut account = Account::new();
    let theirs = web(&mut account, &stack("111122223333", "theirs"), "theirs");
    let theirs = account.state.instance(&theirs).unwrap();
    let (their_vpc, their_subnet) = (theirs.vpc_id, theirs.subnet_id);
    let their_group = account.group("Group", their_vpc);
    let their_gateway = account.gateway(gateway("Gateway", their_vpc, &[their_subnet]));
    web(&mut account, &stack("444455556666", "ours"), "ours");
    let nlb = load_balancer("Nlb", &[their_subnet]);
    let commands = [
        Command::CreateSubnet(subnet("S", their_vpc, "10.0.1.0/24", ZONE)),
        Command::CreateSecurityGroup(group("G", their_vpc)),
        Command::AuthorizeSecurityGroupIngress(AuthorizeSecurityGroupIngress {
            cidr_ip: Some("0.0.0.0/0".into()),
            ..ingress("R", their_group)
        }),
        Command::RunInstance(instance("I", their_subnet)),
        Command::CreateResourceGateway(gateway("Gw", their_vpc, &[their_subnet])),
        Command::CreateResourceConfiguration(configuration("Cfg", their_gateway, "10.0.0.4")),
        Command::CreateLoadBalancer(nlb),
        Command::CreateTargetGroup(target_group("Targets", their_vpc)),
        Command::CreateVpcEndpoint(interface_endpoint("E", their_vpc, "x", &[their_subnet])),
    ];
    for command in commands {
        let what = format!("{command:?}");
        let errors = account.refused_for(command);
        let unknown = |error: &ControlError| matches!(error, ControlError::NotFound { .. });
        assert!(errors.iter().all(unknown), "{what}: {errors:?}");
    }
}
