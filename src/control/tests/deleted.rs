//! What commands delete, and what keeps it from being deleted.

use super::*;

const ZONE: &str = "ap-northeast-1a";

/// A VPC with one of everything, by the noun's name as token.
struct Everything {
    account: Account,
    vpc: VpcId,
    subnet: SubnetId,
    group: SecurityGroupId,
    rule: SecurityGroupRuleId,
    instance: InstanceId,
    gateway: ResourceGatewayId,
    configuration: ResourceConfigurationId,
    endpoint: VpcEndpointId,
    load_balancer: LoadBalancerId,
    target_group: TargetGroupId,
    listener: ListenerId,
    service: VpcEndpointServiceId,
}

fn everything() -> Everything {
    let mut account = Account::new();
    let vpc = account.vpc("Vpc", "10.0.0.0/16");
    let subnet = account.subnet("Subnet", vpc, "10.0.0.0/24", ZONE);
    let group = account.group("Group", vpc);
    let rule = AuthorizeSecurityGroupIngress {
        cidr_ip: Some("10.0.0.0/16".into()),
        ..ingress("Rule", group)
    };
    let rule = match account.done(Command::AuthorizeSecurityGroupIngress(rule)) {
        Created::SecurityGroupRule(id) => id,
        other => panic!("{other}"),
    };
    let instance = account.instance(RunInstance {
        security_group_ids: vec![group],
        ..instance("Instance", subnet)
    });
    let gateway = account.gateway(gateway("Gateway", vpc, &[subnet]));
    let configuration = account.configuration(configuration("Configuration", gateway, "10.0.0.4"));
    let endpoint = account.endpoint(endpoint("Endpoint", vpc, configuration, &[subnet]));
    let load_balancer = account.load_balancer(load_balancer("Nlb", &[subnet]));
    let target_group = account.target_group(target_group("Targets", vpc));
    account.done(Command::RegisterTargets(RegisterTargets {
        target_group,
        targets: vec![target(instance)],
    }));
    let listener = account.listener(listener("Listener", load_balancer, target_group));
    let service = account.service(service("Service", &[load_balancer]));
    Everything {
        account,
        vpc,
        subnet,
        group,
        rule,
        instance,
        gateway,
        configuration,
        endpoint,
        load_balancer,
        target_group,
        listener,
        service,
    }
}

impl Everything {
    /// In the order in which nothing needs it any more.
    fn deletions(&self) -> [Command; 12] {
        [
            Command::DeleteVpcEndpoint(self.endpoint),
            Command::DeleteResourceConfiguration(self.configuration),
            Command::DeleteResourceGateway(self.gateway),
            Command::DeleteVpcEndpointServiceConfiguration(self.service),
            Command::DeleteListener(self.listener),
            Command::DeleteLoadBalancer(self.load_balancer),
            Command::DeleteTargetGroup(self.target_group),
            Command::TerminateInstance(self.instance),
            Command::RevokeSecurityGroupRule(self.rule),
            Command::DeleteSecurityGroup(self.group),
            Command::DeleteSubnet(self.subnet),
            Command::DeleteVpc(self.vpc),
        ]
    }
}

#[test]
fn everything_can_be_deleted_and_made_again_with_the_ids_it_had() {
    let mut world = everything();
    for command in world.deletions() {
        world.account.done(command);
    }
    let state = &world.account.state;
    assert_eq!(state.vpcs().count() + state.network_interfaces().count(), 0);
    assert_eq!(state.security_groups().count(), 0);
    let config = compile(state);
    let left = format!("{config:?}");
    assert_eq!(config.enis.iter().count(), 0, "{left}");
    assert_eq!(config.targets.iter().count(), 0, "{left}");

    let vpc = world.account.vpc("Vpc", "10.0.0.0/16");
    let subnet = world.account.subnet("Subnet", vpc, "10.0.0.0/24", ZONE);
    let instance = world.account.instance(instance("Instance", subnet));
    assert_eq!(
        (vpc, subnet, instance),
        (world.vpc, world.subnet, world.instance)
    );
}

#[test]
fn a_reused_place_of_the_data_plane_is_of_a_new_generation() {
    let mut world = everything();
    let old = world
        .account
        .state
        .instance(&world.instance)
        .unwrap()
        .network_interface_id;
    let old = world.account.state.network_interface(&old).unwrap().idx;
    world
        .account
        .done(Command::TerminateInstance(world.instance));
    let new = world.account.instance(instance("Another", world.subnet));
    let new = world
        .account
        .state
        .instance(&new)
        .unwrap()
        .network_interface_id;
    let new = world.account.state.network_interface(&new).unwrap().idx;
    assert_eq!(old.index(), new.index());
    assert_ne!(old, new);
    assert!(world.account.state.eni_by_idx(old).is_none());
}

#[test]
fn what_is_in_use_is_not_deleted_and_the_message_names_by_what() {
    let mut world = everything();
    let nlb = format!("`Nlb` (net/Nlb/{})", world.load_balancer);
    let targets = format!("`Targets` (targetgroup/Targets/{})", world.target_group);
    let group_user = world.account.group("User", world.vpc);
    world.account.done(Command::AuthorizeSecurityGroupIngress(
        AuthorizeSecurityGroupIngress {
            source_security_group_id: Some(world.group),
            ..ingress("FromGroup", group_user)
        },
    ));
    let rows = [
        (Command::DeleteVpc(world.vpc), format!("DependencyViolation: VPC `Vpc` (ID) is in use by subnet `Subnet` (ID), security group `Group` (ID), security group `User` (ID), target group {targets}; delete those first")),
        (Command::DeleteSubnet(world.subnet), format!("DependencyViolation: subnet `Subnet` (ID) is in use by ID, instance `Instance` (ID), ID, resource gateway `Gateway` (ID), ID, VPC endpoint `Endpoint` (ID), ID, load balancer {nlb}; delete that first")),
        (Command::DeleteSecurityGroup(world.group), "DependencyViolation: security group `Group` (ID) is in use by ID, instance `Instance` (ID), a rule of security group `User` (ID); take it away there first".into()),
        (Command::DeleteResourceGateway(world.gateway), "ConflictException: resource gateway `Gateway` (ID) is in use by resource configuration `Configuration` (ID); delete that first".into()),
        (Command::DeleteResourceConfiguration(world.configuration), "ConflictException: resource configuration `Configuration` (ID) is in use by VPC endpoint `Endpoint` (ID); delete that first".into()),
        (Command::DeleteLoadBalancer(world.load_balancer), format!("ResourceInUse: load balancer {nlb} is in use by VPC endpoint service `Service` (ID); take it out there first")),
        (Command::DeleteTargetGroup(world.target_group), format!("ResourceInUse: target group {targets} is in use by listener `Listener` ({}); delete that first", world.listener)),
    ];
    for (command, message) in rows {
        let error = world.account.refused(command);
        assert_eq!(without_ids(&error.to_string()), message);
    }
    let default = world
        .account
        .state
        .vpc(&world.vpc)
        .unwrap()
        .default_security_group;
    let error = world.account.refused(Command::DeleteSecurityGroup(default));
    assert_eq!(
        without_ids(&error.to_string()),
        "CannotDelete: security group `Vpc/default` (ID) is the default of its VPC: it goes with the VPC"
    );
}

#[test]
fn what_belongs_to_another_account_does_not_exist() {
    let mut world = everything();
    let other = Owner::new("111122223333", "ap-northeast-1").unwrap();
    world.account.state.act_as(other);
    for command in world.deletions() {
        let what = format!("{command:?}");
        let error = world.account.refused(command);
        assert!(
            matches!(error, ControlError::NotFound { .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn a_terminated_instance_is_no_target_any_more() {
    let mut world = everything();
    world
        .account
        .done(Command::TerminateInstance(world.instance));
    let group = world
        .account
        .state
        .target_group(&world.target_group)
        .unwrap();
    assert_eq!(group.targets, []);
    assert_eq!(compile(&world.account.state).targets.iter().count(), 0);
}

#[test]
fn a_load_balancer_can_be_protected_from_deletion() {
    let mut world = everything();
    let id = world.account.load_balancer(CreateLoadBalancer {
        attributes: vec![attribute("deletion_protection.enabled", "true")],
        ..load_balancer("Protected", &[world.subnet])
    });
    let error = world.account.refused(Command::DeleteLoadBalancer(id));
    assert_eq!(
        error.to_string(),
        format!(
            "OperationNotPermitted: load balancer `Protected` (net/Protected/{id}) has deletion protection: set its \
             attribute deletion_protection.enabled to false first"
        )
    );
}
