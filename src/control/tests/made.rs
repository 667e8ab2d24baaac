//! What commands make.

use std::time::Duration;

use super::*;
use crate::control::compile;
use crate::dataplane::config::{PortRange, Protocols, Traffic};
use crate::net::Addr;

const ZONE_A: &str = "ap-northeast-1a";
const ZONE_C: &str = "ap-northeast-1c";

#[test]
fn a_range_loses_its_host_bits() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "100.68.0.18/18");
    let subnet_id = account.subnet("Subnet", vpc_id, "100.68.1.18/24", ZONE_A);
    let vpc = account.state.vpc(&vpc_id).unwrap();
    assert_eq!(vpc.cidr_block.to_string(), "100.68.0.0/18");
    assert!(vpc.enable_dns_support && !vpc.enable_dns_hostnames);
    let subnet = account.state.subnet(&subnet_id).unwrap();
    assert_eq!(subnet.cidr_block.to_string(), "100.68.1.0/24");
    assert_eq!(subnet.available_ip_address_count(), 251);
}

#[test]
fn what_no_instance_may_have_is_the_routers_the_resolvers_and_broadcast() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.1.0.0/20");
    account.subnet("Subnet", vpc_id, "10.1.4.0/26", ZONE_A);
    account.subnet("Other", vpc_id, "10.1.8.0/28", ZONE_C);
    let other = account.vpc("OtherVpc", "10.1.0.0/16");
    account.subnet("OfOther", other, "10.1.9.0/24", ZONE_A);
    let config = compile(&account.state);
    let vpc = account.state.vpc(&vpc_id).unwrap().idx;
    let reserved = &config.vpcs.get(vpc).unwrap().reserved;
    let reserved: Vec<_> = reserved.iter().map(Addr::to_string).collect();
    let expected = [
        "10.1.4.0",
        "10.1.4.1",
        "10.1.4.2",
        "10.1.4.3",
        "10.1.4.63",
        "10.1.8.0",
        "10.1.8.1",
        "10.1.8.2",
        "10.1.8.3",
        "10.1.8.15",
        "10.1.0.2",
        "10.1.15.255",
    ];
    assert_eq!(reserved, expected);
}

#[test]
fn a_subnet_without_a_zone_is_in_the_first() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    account.done(Command::CreateSubnet(CreateSubnet {
        availability_zone: None,
        ..subnet("Subnet", vpc_id, "10.0.0.0/24", "")
    }));
    assert_eq!(
        account.state.subnets().next().unwrap().availability_zone,
        ZONE_A
    );
}

#[test]
fn a_subnet_may_fill_its_vpc_and_neighbours_may_touch() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    account.subnet("Middle", vpc_id, "10.0.64.0/18", ZONE_A);
    account.subnet("Low", vpc_id, "10.0.0.0/18", ZONE_A);
    account.subnet("High", vpc_id, "10.0.128.0/17", ZONE_A);
    let whole = account.vpc("Whole", "255.255.0.0/16");
    account.subnet("WholeSubnet", whole, "255.255.0.0/16", ZONE_A);
}

#[test]
fn instances_take_the_lowest_free_address_and_the_default_group() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let subnet_id = account.subnet("Subnet", vpc_id, "10.0.0.0/24", ZONE_A);
    account.instance(RunInstance {
        private_ip_address: Some("10.0.0.5".into()),
        ..instance("Pinned", subnet_id)
    });
    account.instance(instance("First", subnet_id));
    let second = account.instance(RunInstance {
        tags: tags("web server"),
        source_dest_check: Some(false),
        ..instance("Second", subnet_id)
    });
    let addresses: Vec<_> = account
        .state
        .instances()
        .map(|i| i.private_ip_address.to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.5", "10.0.0.4", "10.0.0.6"]);
    let namespaces: Vec<_> = account
        .state
        .instances()
        .map(|i| i.namespace.as_str())
        .collect();
    assert_eq!(namespaces, ["Pinned", "First", "web server"]);
    let second = account.state.instance(&second).unwrap();
    let eni = account
        .state
        .network_interface(&second.network_interface_id)
        .unwrap();
    assert_eq!(
        eni.groups,
        [account.state.vpc(&vpc_id).unwrap().default_security_group]
    );
    assert_eq!(eni.attachment, Attachment::Instance(second.instance_id));
    assert!(!eni.source_dest_check);
    assert_eq!(
        account
            .state
            .subnet(&subnet_id)
            .unwrap()
            .available_ip_address_count(),
        248
    );
}

#[test]
fn rules_read_as_ec2_reads_them() {
    let port = |first, last| PortRange { first, last };
    let rows = [
        ("-1", None, None, Traffic::All),
        ("-1", Some(80), Some(80), Traffic::All),
        ("tcp", Some(80), Some(443), Traffic::Tcp(port(80, 443))),
        ("6", Some(0), Some(65535), Traffic::Tcp(PortRange::ALL)),
        ("udp", Some(53), Some(53), Traffic::Udp(port(53, 53))),
        ("17", Some(53), Some(53), Traffic::Udp(port(53, 53))),
        (
            "icmp",
            Some(-1),
            Some(-1),
            Traffic::Icmp {
                kind: None,
                code: None,
            },
        ),
        (
            "1",
            Some(8),
            Some(-1),
            Traffic::Icmp {
                kind: Some(8),
                code: None,
            },
        ),
        (
            "icmp",
            Some(3),
            Some(4),
            Traffic::Icmp {
                kind: Some(3),
                code: Some(4),
            },
        ),
        (
            "icmpv6",
            None,
            None,
            Traffic::Icmpv6 {
                kind: None,
                code: None,
            },
        ),
        (
            "58",
            Some(128),
            Some(0),
            Traffic::Icmpv6 {
                kind: Some(128),
                code: Some(0),
            },
        ),
        ("47", None, None, Traffic::Protocol(47)),
        ("47", Some(1), Some(2), Traffic::Protocol(47)),
    ];
    for (ip_protocol, from_port, to_port, traffic) in rows {
        let mut account = Account::new();
        let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
        let group_id = account.group("Group", vpc_id);
        account.done(Command::AuthorizeSecurityGroupIngress(
            AuthorizeSecurityGroupIngress {
                ip_protocol: ip_protocol.into(),
                from_port,
                to_port,
                cidr_ip: Some("10.0.0.7/8".into()),
                description: Some("why".into()),
                ..ingress("Rule", group_id)
            },
        ));
        let rule = &account.state.security_group(&group_id).unwrap().ingress[0];
        assert_eq!(
            rule.traffic, traffic,
            "{ip_protocol} {from_port:?} {to_port:?}"
        );
        assert_eq!(rule.peer, RulePeer::Cidr("10.0.0.0/8".parse().unwrap()));
        assert_eq!(rule.description.as_deref(), Some("why"));
    }
}

#[test]
fn a_templates_egress_rule_takes_the_default_ones_away_and_the_apis_does_not() {
    for (replaces_default, count) in [(true, 2), (false, 4)] {
        let mut account = Account::new();
        let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
        let group_id = account.group("Group", vpc_id);
        assert_eq!(
            account
                .state
                .security_group(&group_id)
                .unwrap()
                .egress
                .len(),
            2
        );
        for (token, range) in [("One", "2001:db8::1/32"), ("Two", "fd00::/8")] {
            account.done(Command::AuthorizeSecurityGroupEgress(
                AuthorizeSecurityGroupEgress {
                    cidr_ipv6: Some(range.into()),
                    replaces_default,
                    ..egress(token, group_id)
                },
            ));
        }
        let rules = &account.state.security_group(&group_id).unwrap().egress;
        assert_eq!(rules.len(), count);
        assert!(
            rules
                .iter()
                .any(|rule| rule.to_string() == "tcp 80-80 with 2001:db8::/32")
        );
    }
}

#[test]
fn a_template_may_spell_the_default_egress_rule_out() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let group_id = account.group("Group", vpc_id);
    account.done(Command::AuthorizeSecurityGroupEgress(
        AuthorizeSecurityGroupEgress {
            ip_protocol: "-1".into(),
            cidr_ip: Some("0.0.0.0/0".into()),
            ..egress("Rule", group_id)
        },
    ));
    assert_eq!(
        account
            .state
            .security_group(&group_id)
            .unwrap()
            .egress
            .len(),
        1
    );
}

#[test]
fn a_gateway_has_a_block_in_each_subnet_around_what_is_taken() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let subnets = [("A", "10.0.0.0/28", ZONE_A), ("C", "10.0.1.0/28", ZONE_C)]
        .map(|(token, range, zone)| account.subnet(token, vpc_id, range, zone));
    account.instance(RunInstance {
        private_ip_address: Some("10.0.0.13".into()),
        ..instance("Pinned", subnets[0])
    });
    let id = account.gateway(CreateResourceGateway {
        ipv4_addresses_per_eni: Some(3),
        ip_address_type: Some("IPV4".into()),
        ..gateway("Gateway", vpc_id, &subnets)
    });
    let gateway = account.state.resource_gateway(&id).unwrap();
    let blocks: Vec<_> = gateway
        .network_interface_ids
        .iter()
        .map(|id| account.state.network_interface(id).unwrap())
        .map(|eni| {
            eni.private_ip_addresses
                .iter()
                .map(|address| address.octets()[3])
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(blocks, [[11, 12, 14], [12, 13, 14]]);
    assert_eq!(
        gateway.arn,
        format!("arn:aws:vpc-lattice:ap-northeast-1:000000000000:resourcegateway/{id}")
    );
}

#[test]
fn a_configuration_offers_what_it_lists() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let subnet_id = account.subnet("Subnet", vpc_id, "10.0.0.0/24", ZONE_A);
    let gateway_id = account.gateway(gateway("Gateway", vpc_id, &[subnet_id]));
    let id = account.configuration(CreateResourceConfiguration {
        port_ranges: vec!["443".into(), "8000-8080".into()],
        protocols: Some(vec!["TCP".into(), "ICMP".into()]),
        idle_timeout: Some(5),
        proxy_protocol: Some(true),
        ..configuration("Configuration", gateway_id, "10.0.0.4")
    });
    let made = account.state.resource_configuration(&id).unwrap();
    let tcp_icmp = Protocols {
        tcp: true,
        udp: false,
        icmp: true,
    };
    assert_eq!(made.protocols, tcp_icmp);
    assert_eq!(made.idle_timeout, Some(Duration::from_secs(5)));
    assert!(made.proxy_protocol);
    let ports = [
        PortRange {
            first: 443,
            last: 443,
        },
        PortRange {
            first: 8000,
            last: 8080,
        },
    ];
    assert_eq!(made.port_ranges, ports);
    assert_eq!(made.arn.parse::<ResourceConfigurationId>(), Ok(id));
    account.configuration(CreateResourceConfiguration {
        port_ranges: vec![],
        protocols: Some(vec!["ICMP".into()]),
        ..configuration("PingOnly", gateway_id, "10.0.0.4")
    });
}

#[test]
fn an_endpoint_takes_free_addresses_where_none_are_chosen() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let subnets = [("A", "10.0.0.0/24", ZONE_A), ("C", "10.0.1.0/24", ZONE_C)]
        .map(|(token, range, zone)| account.subnet(token, vpc_id, range, zone));
    let gateway_id = account.gateway(gateway("Gateway", vpc_id, &subnets));
    let configuration_id = account.configuration(configuration("Cfg", gateway_id, "10.0.0.9"));
    // Consumer and provider may be the same VPC.
    let id = account.endpoint(CreateVpcEndpoint {
        addresses: vec![(subnets[1], "10.0.1.70".into())],
        private_dns_enabled: Some(false),
        ip_address_type: Some("ipv4".into()),
        ..endpoint("Endpoint", vpc_id, configuration_id, &subnets)
    });
    let made = account.state.vpc_endpoint(&id).unwrap();
    assert_eq!(
        (made.state, made.state.name()),
        (State::Available, "available")
    );
    assert_eq!(
        made.groups,
        [account.state.vpc(&vpc_id).unwrap().default_security_group]
    );
    let addresses: Vec<_> = made
        .network_interface_ids
        .iter()
        .map(|id| account.state.network_interface(id).unwrap())
        .map(|eni| {
            (
                eni.availability_zone.as_str(),
                eni.private_ip_address().unwrap().to_string(),
            )
        })
        .collect();
    assert_eq!(
        addresses,
        [(ZONE_A, "10.0.0.4".into()), (ZONE_C, "10.0.1.70".into())]
    );
}
