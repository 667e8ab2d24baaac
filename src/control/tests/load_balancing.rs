//! Load balancers, target groups, targets and listeners: what is made, what is refused, and what compiles.

use std::time::Duration;

use super::*;
use crate::dataplane::config::{self, Role, Zone};

const ZONE_A: &str = "ap-northeast-1a";
const ZONE_C: &str = "ap-northeast-1c";

struct World {
    account: Account,
    vpc: VpcId,
    subnets: [SubnetId; 2],
    /// Of another VPC.
    elsewhere: (VpcId, SubnetId),
    instances: [InstanceId; 2],
}

fn world() -> World {
    let mut account = Account::new();
    let vpc = account.vpc("Vpc", "10.0.0.0/16");
    let subnets = [("A", "10.0.0.0/24", ZONE_A), ("C", "10.0.1.0/24", ZONE_C)]
        .map(|(token, range, zone)| account.subnet(token, vpc, range, zone));
    let other = account.vpc("Other", "10.0.0.0/16");
    let elsewhere = (
        other,
        account.subnet("OtherA", other, "10.0.0.0/24", ZONE_A),
    );
    let instances = ["Web1", "Web2"].map(|token| account.instance(instance(token, subnets[1])));
    World {
        account,
        vpc,
        subnets,
        elsewhere,
        instances,
    }
}

impl World {
    #[track_caller]
    fn refuses(&mut self, command: Command, property: &str, message: &str) {
        let error = self.account.refused(command);
        assert_eq!(without_ids(&error.to_string()), message);
        assert_eq!(error.property(), property);
    }

    fn register(&mut self, target_group: TargetGroupId, targets: Vec<TargetDescription>) {
        self.account.done(Command::RegisterTargets(RegisterTargets {
            target_group,
            targets,
        }));
    }
}

#[test]
fn a_load_balancer_has_a_node_in_each_subnet_at_its_address() {
    let mut world = world();
    let mapping = |subnet_id, address: Option<&str>| SubnetMapping {
        subnet_id,
        private_ipv4_address: address.map(str::to_owned),
    };
    let id = world.account.load_balancer(CreateLoadBalancer {
        subnets: vec![],
        subnet_mappings: vec![
            mapping(world.subnets[0], Some("10.0.0.254")),
            mapping(world.subnets[1], None),
        ],
        attributes: vec![
            attribute("load_balancing.cross_zone.enabled", "true"),
            attribute("secondary_ips.auto_assigned.per_subnet", "2"),
            attribute("dns_record.client_routing_policy", "any_availability_zone"),
        ],
        ..load_balancer("provider-NLB", &[])
    });
    let state = &world.account.state;
    let made = state.load_balancer(&id).unwrap();
    assert_eq!(made.full_name(), format!("net/provider-NLB/{id}"));
    assert_eq!(
        made.load_balancer_arn,
        format!(
            "arn:aws:elasticloadbalancing:ap-northeast-1:000000000000:loadbalancer/net/provider-NLB/{id}"
        )
    );
    assert_eq!(made.load_balancer_arn.parse(), Ok(id));
    assert_eq!(
        made.dns_name,
        format!("provider-NLB-{id}.elb.ap-northeast-1.amazonaws.com")
    );
    let nodes = made.network_interface_ids.iter();
    let nodes: Vec<_> = nodes
        .map(|id| state.network_interface(id).unwrap())
        .collect();
    let addresses: Vec<_> = nodes
        .iter()
        .map(|node| format!("{:?} {:?}", node.private_ip_addresses, node.groups))
        .collect();
    assert_eq!(
        addresses,
        [
            "[10.0.0.254, 10.0.0.253, 10.0.0.252] []",
            "[10.0.1.6, 10.0.1.254, 10.0.1.253] []"
        ]
    );
    let config = compile(state);
    let compiled = config.load_balancers.get(made.idx).unwrap();
    assert!(compiled.cross_zone && compiled.enforces_inbound_rules_on_private_link);
    let zones = nodes
        .iter()
        .map(|node| match config.enis.get(node.idx).unwrap().role {
            Role::Node {
                load_balancer,
                zone,
            } if load_balancer == made.idx => zone,
            ref other => panic!("{other:?}"),
        });
    assert!(zones.eq([Zone(b'a'.into()), Zone(b'c'.into())]));
}

#[test]
fn a_load_balancer_that_cannot_be() {
    let mut world = world();
    let (a, c, other) = (world.subnets[0], world.subnets[1], world.elsewhere.1);
    let nlb = |change: fn(CreateLoadBalancer) -> CreateLoadBalancer| {
        Command::CreateLoadBalancer(change(load_balancer("Nlb", &[a])))
    };
    let rows: Vec<(Command, &str, &str)> = vec![
        (
            nlb(|c| CreateLoadBalancer {
                load_balancer_type: None,
                ..c
            }),
            "Type",
            "UnsupportedOperation: a load balancer of Type application, which CloudFormation takes where none is given, is not there yet; use network",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                load_balancer_type: Some("gateway".into()),
                ..c
            }),
            "Type",
            "UnsupportedOperation: a load balancer of Type gateway is not there yet; use network",
        ),
        (
            nlb(|c| CreateLoadBalancer { scheme: None, ..c }),
            "Scheme",
            "UnsupportedOperation: a load balancer of Scheme internet-facing, which CloudFormation takes where none is given, is not there yet; use internal",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                ip_address_type: Some("dualstack".into()),
                ..c
            }),
            "IpAddressType",
            "UnsupportedOperation: a load balancer of IpAddressType dualstack is not there yet; use ipv4",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                subnets: vec![],
                ..c
            }),
            "Subnets",
            "MissingParameter: Subnets is missing: name at least one subnet, there or in SubnetMappings",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                subnet_mappings: vec![SubnetMapping {
                    subnet_id: c.subnets[0],
                    private_ipv4_address: None,
                }],
                ..c
            }),
            "SubnetMappings",
            "InvalidParameterCombination: Subnets and SubnetMappings: give one of them; SubnetMappings can choose addresses",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                name: Some("internal-x".into()),
                ..c
            }),
            "Name",
            "InvalidParameterValue: `internal-x` is not a name that does not begin with internal-; one looks like provider-NLB",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                name: Some("a_b".into()),
                ..c
            }),
            "Name",
            "InvalidParameterValue: `a_b` is not a name of 1 to 32 letters, digits and hyphens between them; one looks like provider-NLB",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                enforce_security_group_inbound_rules_on_private_link_traffic: Some("yes".into()),
                ..c
            }),
            "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic",
            "InvalidParameterValue: `yes` is not on or off; one looks like on",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                attributes: vec![attribute("load_balancing.cross_zone.enabled", "yes")],
                ..c
            }),
            "LoadBalancerAttributes.0.Value",
            "InvalidParameterValue: `load_balancing.cross_zone.enabled=yes` is not true or false; one looks like true",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                attributes: vec![attribute("secondary_ips.auto_assigned.per_subnet", "8")],
                ..c
            }),
            "LoadBalancerAttributes.0.Value",
            "InvalidParameterValue: 8 is out of range for LoadBalancerAttributes.0.Value; it must be 0 to 7",
        ),
        (
            nlb(|c| CreateLoadBalancer {
                attributes: vec![
                    attribute("deletion_protection.enabled", "true"),
                    attribute("deletion_protection.enabled", "true"),
                ],
                ..c
            }),
            "LoadBalancerAttributes.1.Key",
            "InvalidParameterValue: attribute deletion_protection.enabled is listed twice",
        ),
        (
            Command::CreateLoadBalancer(load_balancer("Nlb", &[a, other])),
            "Subnets.1",
            "InvalidParameter: subnet `OtherA` (ID) is not of VPC `Vpc` (ID); its subnets are `A` (ID), `C` (ID)",
        ),
        (
            Command::CreateLoadBalancer(load_balancer("Nlb", &[c, c])),
            "Subnets.1",
            "InvalidParameterValue: subnet `C` (ID) is listed twice",
        ),
    ];
    for (command, property, message) in rows {
        world.refuses(command, property, message);
    }
    let unknown = nlb(|c| CreateLoadBalancer {
        attributes: vec![attribute("idle_timeout.timeout_seconds", "60")],
        ..c
    });
    let error = world.account.refused(unknown);
    assert_eq!(error.property(), "LoadBalancerAttributes.0.Key");
    assert!(error.to_string().starts_with(
        "ValidationError: `idle_timeout.timeout_seconds` is not an attribute here; there are load_balancing.cross_zone"
    ));
    let first = world.account.load_balancer(load_balancer("Nlb", &[a]));
    world.refuses(
        Command::CreateLoadBalancer(CreateLoadBalancer {
            name: Some("Nlb".into()),
            ..load_balancer("Second", &[c])
        }),
        "Name",
        &format!("DuplicateLoadBalancerName: load balancer `Nlb` (net/Nlb/{first}) has the name `Nlb` already"),
    );
}

#[test]
fn a_target_group_has_awss_defaults_and_what_is_written() {
    let mut world = world();
    let tcp = world.account.target_group(target_group("Tcp", world.vpc));
    let made = world.account.state.target_group(&tcp).unwrap();
    assert_eq!(made.describe_health_check(), "TCP traffic-port");
    assert_eq!(made.health_check.timeout, Duration::from_secs(10));
    assert_eq!(made.deregistration_delay, Duration::from_secs(300));
    assert_eq!(made.cross_zone, None);
    assert!(made.terminates_on_unhealthy && !made.terminates_on_deregistration);
    let udp = world.account.target_group(CreateTargetGroup {
        protocol: Some("UDP".into()),
        health_check: HealthCheckProperties {
            protocol: Some("HTTP".into()),
            port: Some("8080".into()),
            path: Some("/health".into()),
            matcher: Some("200,300-399".into()),
            interval_seconds: Some(5),
            ..HealthCheckProperties::default()
        },
        attributes: vec![
            attribute("stickiness.enabled", "true"),
            attribute("stickiness.type", "source_ip"),
            attribute("proxy_protocol_v2.enabled", "true"),
            attribute("load_balancing.cross_zone.enabled", "false"),
            attribute("deregistration_delay.timeout_seconds", "0"),
            attribute("preserve_client_ip.enabled", "true"),
        ],
        ..target_group("Udp", world.vpc)
    });
    let made = world.account.state.target_group(&udp).unwrap();
    assert!(made.stickiness && made.proxy_protocol_v2);
    assert!(made.terminates_on_deregistration && !made.terminates_on_unhealthy);
    let config = compile(&world.account.state);
    let compiled = config.target_groups.get(made.idx).unwrap();
    assert_eq!(compiled.cross_zone, Some(false));
    assert_eq!(compiled.deregistration_delay, Duration::ZERO);
    let check = config::HealthCheck {
        protocol: config::HealthCheckProtocol::Http {
            path: "/health".into(),
            matcher: vec![200..=200, 300..=399],
        },
        port: Some(8080),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        healthy_threshold: 5,
        unhealthy_threshold: 2,
    };
    assert_eq!(compiled.health_check, Some(check));
}

#[test]
fn a_target_group_that_cannot_be() {
    let mut world = world();
    let vpc = world.vpc;
    let group = |change: fn(CreateTargetGroup) -> CreateTargetGroup| {
        Command::CreateTargetGroup(change(target_group("Targets", vpc)))
    };
    let check = |health_check: HealthCheckProperties| {
        Command::CreateTargetGroup(CreateTargetGroup {
            health_check,
            ..target_group("Targets", vpc)
        })
    };
    let none = HealthCheckProperties::default;
    let rows: Vec<(Command, &str, &str)> = vec![
        (
            group(|g| CreateTargetGroup {
                protocol: Some("TLS".into()),
                ..g
            }),
            "Protocol",
            "UnsupportedOperation: protocol TLS is not there yet; use TCP, UDP or TCP_UDP",
        ),
        (
            group(|g| CreateTargetGroup {
                protocol: Some("tcp".into()),
                ..g
            }),
            "Protocol",
            "InvalidParameterValue: `tcp` is not a protocol; one looks like TCP, UDP or TCP_UDP",
        ),
        (
            group(|g| CreateTargetGroup {
                protocol: None,
                ..g
            }),
            "Protocol",
            "MissingParameter: Protocol is missing: it is TCP, UDP or TCP_UDP",
        ),
        (
            group(|g| CreateTargetGroup { port: None, ..g }),
            "Port",
            "MissingParameter: Port is missing: a target without a port of its own has this one",
        ),
        (
            group(|g| CreateTargetGroup { port: Some(0), ..g }),
            "Port",
            "InvalidParameterValue: 0 is out of range for Port; it must be 1 to 65535",
        ),
        (
            group(|g| CreateTargetGroup { vpc_id: None, ..g }),
            "VpcId",
            "MissingParameter: VpcId is missing: targets stand in one VPC",
        ),
        (
            group(|g| CreateTargetGroup {
                target_type: Some("alb".into()),
                ..g
            }),
            "TargetType",
            "UnsupportedOperation: target type alb is not there yet; use instance or ip",
        ),
        (
            group(|g| CreateTargetGroup {
                attributes: vec![attribute("stickiness.type", "lb_cookie")],
                ..g
            }),
            "TargetGroupAttributes.0.Value",
            "InvalidParameterValue: `stickiness.type=lb_cookie` is not the only value there is here; one looks like source_ip",
        ),
        (
            group(|g| CreateTargetGroup {
                attributes: vec![attribute("deregistration_delay.timeout_seconds", "3601")],
                ..g
            }),
            "TargetGroupAttributes.0.Value",
            "InvalidParameterValue: 3601 is out of range for TargetGroupAttributes.0.Value; it must be 0 to 3600 seconds",
        ),
        (
            group(|g| CreateTargetGroup {
                protocol: Some("UDP".into()),
                attributes: vec![attribute(
                    "target_health_state.unhealthy.connection_termination.enabled",
                    "true",
                )],
                ..g
            }),
            "TargetGroupAttributes.0.Value",
            "InvalidParameterValue: `target_health_state.unhealthy.connection_termination.enabled=true` is not possible for UDP and TCP_UDP; one looks like false",
        ),
        (
            check(HealthCheckProperties {
                enabled: Some(false),
                ..none()
            }),
            "HealthCheckEnabled",
            "InvalidParameterValue: `false` is not possible for target types instance and ip, whose health checks are always on; one looks like true",
        ),
        (
            check(HealthCheckProperties {
                protocol: Some("HTTPS".into()),
                ..none()
            }),
            "HealthCheckProtocol",
            "UnsupportedOperation: an HTTPS health check is not there yet; use TCP or HTTP",
        ),
        (
            check(HealthCheckProperties {
                path: Some("/".into()),
                ..none()
            }),
            "HealthCheckPath",
            "InvalidParameterCombination: HealthCheckPath of a TCP health check: take it out, or give HealthCheckProtocol: HTTP",
        ),
        (
            check(HealthCheckProperties {
                protocol: Some("HTTP".into()),
                path: Some("health".into()),
                ..none()
            }),
            "HealthCheckPath",
            "InvalidParameterValue: `health` is not a path of at most 1024 characters without spaces; one looks like /health",
        ),
        (
            check(HealthCheckProperties {
                protocol: Some("HTTP".into()),
                matcher: Some("200-600".into()),
                ..none()
            }),
            "Matcher.HttpCode",
            "InvalidParameterValue: `200-600` is not codes from 200 to 599, in ranges or one by one; one looks like 200-399 or 200,202",
        ),
        (
            check(HealthCheckProperties {
                port: Some("http".into()),
                ..none()
            }),
            "HealthCheckPort",
            "InvalidParameterValue: `http` is not a port from 1 to 65535, or traffic-port; one looks like traffic-port",
        ),
        (
            check(HealthCheckProperties {
                interval_seconds: Some(4),
                ..none()
            }),
            "HealthCheckIntervalSeconds",
            "InvalidParameterValue: 4 is out of range for HealthCheckIntervalSeconds; it must be 5 to 300 seconds",
        ),
        (
            check(HealthCheckProperties {
                interval_seconds: Some(10),
                timeout_seconds: Some(11),
                ..none()
            }),
            "HealthCheckTimeoutSeconds",
            "InvalidParameterValue: 11 is out of range for HealthCheckTimeoutSeconds; it must be no longer than the interval",
        ),
        (
            check(HealthCheckProperties {
                healthy_threshold_count: Some(1),
                ..none()
            }),
            "HealthyThresholdCount",
            "InvalidParameterValue: 1 is out of range for HealthyThresholdCount; it must be 2 to 10",
        ),
        (
            check(HealthCheckProperties {
                unhealthy_threshold_count: Some(11),
                ..none()
            }),
            "UnhealthyThresholdCount",
            "InvalidParameterValue: 11 is out of range for UnhealthyThresholdCount; it must be 2 to 10",
        ),
    ];
    for (command, property, message) in rows {
        world.refuses(command, property, message);
    }
}

#[test]
fn targets_are_registered_by_instance_or_address_with_their_zones() {
    let mut world = world();
    let by_instance = world
        .account
        .target_group(target_group("Instances", world.vpc));
    let by_ip = world.account.target_group(CreateTargetGroup {
        target_type: Some("ip".into()),
        ..target_group("Addresses", world.vpc)
    });
    let [web1, web2] = world.instances;
    world.register(
        by_instance,
        vec![
            target(web1),
            TargetDescription {
                port: Some(8080),
                ..target(web2)
            },
        ],
    );
    world.register(by_instance, vec![target(web1)]);
    world.register(by_ip, vec![target("10.0.0.9")]);
    let lines = |world: &World, id: TargetGroupId| -> Vec<String> {
        let group = world.account.state.target_group(&id).unwrap();
        let config = compile(&world.account.state);
        let compiled = &config.target_groups.get(group.idx).unwrap().targets;
        let targets = compiled.iter().map(|idx| config.targets.get(*idx).unwrap());
        targets
            .map(|t| {
                format!(
                    "{}:{} zone {} {}",
                    t.address,
                    t.port,
                    t.zone.0 - 97,
                    t.draining
                )
            })
            .collect()
    };
    assert_eq!(
        lines(&world, by_instance),
        ["10.0.1.4:80 zone 2 false", "10.0.1.5:8080 zone 2 false"]
    );
    assert_eq!(lines(&world, by_ip), ["10.0.0.9:80 zone 0 false"]);

    // A deregistered target drains for the group's time; registered again, it does not.
    let at = Duration::from_secs;
    let deregister = |target_group, targets| {
        Command::DeregisterTargets(DeregisterTargets {
            target_group,
            targets,
        })
    };
    world.account.state.advance(at(1000));
    world
        .account
        .done(deregister(by_instance, vec![target(web1), target(web2)]));
    assert_eq!(
        lines(&world, by_instance),
        ["10.0.1.4:80 zone 2 true", "10.0.1.5:8080 zone 2 true"]
    );
    world.register(by_instance, vec![target(web1)]);
    assert_eq!(world.account.state.advance(at(1299)), Some(at(1300)));
    assert_eq!(lines(&world, by_instance).len(), 2);
    assert_eq!(world.account.state.advance(at(1300)), None);
    assert_eq!(lines(&world, by_instance), ["10.0.1.4:80 zone 2 false"]);
    let group = format!("`Instances` (targetgroup/Instances/{by_instance})");
    let error = world
        .account
        .refused(deregister(by_instance, vec![target(web2)]));
    assert_eq!(
        error.to_string(),
        format!(
            "InvalidTarget: {web2} is not registered with target group {group}; registered: {web1}:80"
        )
    );
}

#[test]
fn targets_that_lead_nowhere() {
    let mut world = world();
    let stranger = world.account.instance(RunInstance {
        ..instance("Stranger", world.elsewhere.1)
    });
    let by_instance = world
        .account
        .target_group(target_group("Instances", world.vpc));
    let by_ip = world.account.target_group(CreateTargetGroup {
        target_type: Some("ip".into()),
        ..target_group("Addresses", world.vpc)
    });
    let register = |target_group, target| {
        Command::RegisterTargets(RegisterTargets {
            target_group,
            targets: vec![target],
        })
    };
    let web = world.instances[0];
    let rows: Vec<(Command, &str, &str)> = vec![
        (
            register(by_instance, target("10.0.0.9")),
            "Targets.0.Id",
            "InvalidParameterValue: `10.0.0.9` is not the id of an instance, as target type `instance` has them; one looks like ID",
        ),
        (
            register(by_instance, target("i-00000000000000000")),
            "Targets.0.Id",
            "InvalidInstanceID.NotFound: there is no instance ID",
        ),
        (
            register(by_instance, target(stranger)),
            "Targets.0.Id",
            "InvalidTarget: ID cannot be a target: instance `Stranger` (ID) is not of VPC `Vpc` (ID), the target group's",
        ),
        (
            register(
                by_instance,
                TargetDescription {
                    port: Some(0),
                    ..target(web)
                },
            ),
            "Targets.0.Port",
            "InvalidParameterValue: 0 is out of range for Targets.0.Port; it must be 1 to 65535",
        ),
        (
            register(
                by_instance,
                TargetDescription {
                    availability_zone: Some("all".into()),
                    ..target(web)
                },
            ),
            "Targets.0.AvailabilityZone",
            "InvalidParameterValue: `all` is not the zone of this target; one looks like what is right when AvailabilityZone is left out",
        ),
        (register(by_ip, target(web)), "Targets.0.Id", ""),
        (
            register(by_ip, target("10.0.7.9")),
            "Targets.0.Id",
            "InvalidTarget: 10.0.7.9 cannot be a target: no subnet of VPC `Vpc` (ID), the target group's, has this address",
        ),
        (
            Command::RegisterTargets(RegisterTargets {
                target_group: by_ip,
                targets: vec![],
            }),
            "Targets",
            "MissingParameter: Targets is missing: name at least one target",
        ),
    ];
    for (command, property, message) in rows {
        let error = world.account.refused(command);
        assert_eq!(error.property(), property);
        if !message.is_empty() {
            assert_eq!(without_ids(&error.to_string()), message);
        }
    }
    let many = |range: std::ops::Range<i64>| RegisterTargets {
        target_group: by_instance,
        targets: range
            .map(|port| TargetDescription {
                port: Some(port + 1),
                ..target(web)
            })
            .collect(),
    };
    world.account.done(Command::RegisterTargets(many(0..1000)));
    let error = world
        .account
        .refused(Command::RegisterTargets(many(999..1001)));
    assert_eq!(
        error.to_string(),
        format!(
            "TooManyTargets: target group `Instances` (targetgroup/Instances/{by_instance}) would have more than 1000 \
             targets, the most there may be"
        )
    );
}

#[test]
fn a_listener_leads_to_its_target_group() {
    let mut world = world();
    let nlb = world
        .account
        .load_balancer(load_balancer("Nlb", &world.subnets));
    let group = world.account.target_group(CreateTargetGroup {
        protocol: Some("TCP_UDP".into()),
        ..target_group("Targets", world.vpc)
    });
    let tcp = world.account.listener(CreateListener {
        attributes: vec![attribute("tcp.idle_timeout.seconds", "60")],
        ..listener("Tcp", nlb, group)
    });
    world.account.listener(CreateListener {
        port: Some(53),
        protocol: Some("UDP".into()),
        ..listener("Udp", nlb, group)
    });
    let state = &world.account.state;
    let made = state.listener(&tcp).unwrap();
    assert_eq!(
        made.listener_arn,
        format!(
            "arn:aws:elasticloadbalancing:ap-northeast-1:000000000000:listener/net/Nlb/{nlb}/{tcp}"
        )
    );
    assert_eq!(made.listener_arn.parse(), Ok(tcp));
    let config = compile(state);
    let listeners = &config.load_balancers.iter().next().unwrap().1.listeners;
    let listeners: Vec<_> = listeners
        .iter()
        .map(|idx| config.listeners.get(*idx).unwrap())
        .map(|l| format!("{} {} {:?}", l.protocol.name(), l.port, l.tcp_idle_timeout))
        .collect();
    assert_eq!(listeners, ["TCP 80 60s", "UDP 53 350s"]);
}

#[test]
fn a_listener_that_cannot_be() {
    let mut world = world();
    let nlb = world
        .account
        .load_balancer(load_balancer("Nlb", &world.subnets));
    let other_nlb = world
        .account
        .load_balancer(load_balancer("Nlb2", &world.subnets));
    let group = world
        .account
        .target_group(target_group("Targets", world.vpc));
    let elsewhere = world
        .account
        .target_group(target_group("Elsewhere", world.elsewhere.0));
    let first = world.account.listener(listener("First", nlb, group));
    let named_nlb = format!("`Nlb` (net/Nlb/{nlb})");
    let named = format!("`Targets` (targetgroup/Targets/{group})");
    let at = |port: i64, protocol: &str| CreateListener {
        port: Some(port),
        protocol: Some(protocol.into()),
        ..listener("L", nlb, group)
    };
    let action = |action_type: &str, target_groups: &[TargetGroupId]| CreateListener {
        default_actions: vec![Action {
            action_type: action_type.into(),
            target_groups: target_groups.into(),
        }],
        ..at(81, "TCP")
    };
    let rows: Vec<(CreateListener, &str, String)> = vec![
        (at(80, "TCP"), "Port", format!("DuplicateListener: listener `First` ({first}) of load balancer {named_nlb} has port 80 already; one port has one listener (TCP_UDP takes both protocols)")),
        (at(0, "TCP"), "Port", "InvalidParameterValue: 0 is out of range for Port; it must be 1 to 65535".into()),
        (at(81, "TLS"), "Protocol", "UnsupportedOperation: protocol TLS is not there yet; use TCP, UDP or TCP_UDP".into()),
        (at(81, "UDP"), "DefaultActions.0", format!("IncompatibleProtocols: a UDP listener cannot forward to target group {named} of protocol TCP; take one of UDP or TCP_UDP")),
        (at(81, "TCP_UDP"), "DefaultActions.0", format!("IncompatibleProtocols: a TCP_UDP listener cannot forward to target group {named} of protocol TCP; take one of TCP_UDP")),
        (listener("L", other_nlb, group), "DefaultActions.0", format!("TargetGroupAssociationLimit: target group {named} belongs to load balancer {named_nlb}; a target group has one")),
        (action("forward", &[elsewhere]), "DefaultActions.0", format!("InvalidConfigurationRequest: target group `Elsewhere` (targetgroup/Elsewhere/{elsewhere}) is not of VPC `Vpc` (ID), in which load balancer {named_nlb} stands; there are {named}")),
        (action("redirect", &[]), "DefaultActions.0.Type", "InvalidLoadBalancerAction: action type `redirect` is not for a network load balancer, which can only forward".into()),
        (action("forward", &[]), "DefaultActions.0", "MissingParameter: DefaultActions.0 is missing: name the TargetGroupArn to forward to".into()),
        (action("forward", &[group, elsewhere]), "DefaultActions.0.ForwardConfig", "UnsupportedOperation: forwarding to several target groups is not there yet; use one".into()),
        (CreateListener { default_actions: vec![], ..at(81, "TCP") }, "DefaultActions", "InvalidParameterValue: `0 actions` is not what a listener of a network load balancer has; one looks like one action of type forward".into()),
        (CreateListener { attributes: vec![attribute("tcp.idle_timeout.seconds", "59")], ..at(81, "TCP") }, "ListenerAttributes.0.Value", "InvalidParameterValue: 59 is out of range for ListenerAttributes.0.Value; it must be 60 to 6000 seconds".into()),
    ];
    for (command, property, message) in rows {
        world.refuses(Command::CreateListener(command), property, &message);
    }
}
