//! Walkthrough W1, compiled.

use ipnet::IpNet;

use super::*;
use crate::dataplane::config::{
    DataplaneConfig, Destination, Interface, Peer, PortRange, Protocols, ResourceTarget, Role,
    Rule, Traffic,
};
use crate::net::Addr;

/// W1: both VPCs 172.18.0.0/16, both instances 172.18.0.108, both endpoint interfaces pinned.
pub(super) fn account() -> Account {
    let mut account = Account::new();
    let vpcs = ["Vpc1", "Vpc2"].map(|token| account.vpc(token, "172.18.0.0/16"));
    let mut subnets = vec![];
    for (vpc_id, token) in vpcs.into_iter().zip(["Vpc1", "Vpc2"]) {
        subnets.push(account.subnet(
            &format!("{token}A"),
            vpc_id,
            "172.18.0.0/24",
            "ap-northeast-1a",
        ));
        subnets.push(account.subnet(
            &format!("{token}C"),
            vpc_id,
            "172.18.1.0/24",
            "ap-northeast-1c",
        ));
    }
    let endpoint_group = account.group("EndpointGroup", vpcs[0]);
    let gateway_group = account.group("GatewayGroup", vpcs[1]);
    let target_group = account.group("TargetGroup", vpcs[1]);
    for group_id in [endpoint_group, gateway_group] {
        account.done(Command::AuthorizeSecurityGroupIngress(
            AuthorizeSecurityGroupIngress {
                cidr_ip: Some("172.18.0.0/16".into()),
                ..ingress(&format!("{group_id}/0"), group_id)
            },
        ));
    }
    account.done(Command::AuthorizeSecurityGroupIngress(
        AuthorizeSecurityGroupIngress {
            source_security_group_id: Some(gateway_group),
            ..ingress("FromGateway", target_group)
        },
    ));
    let at = |token: &str, subnet_id| RunInstance {
        private_ip_address: Some("172.18.0.108".into()),
        ..instance(token, subnet_id)
    };
    account.instance(at("Ec2A", subnets[0]));
    account.instance(RunInstance {
        security_group_ids: vec![target_group],
        ..at("Ec2B", subnets[2])
    });
    let gateway_id = account.gateway(CreateResourceGateway {
        name: "privatelink-dev2-vpc-rscgw".into(),
        security_group_ids: vec![gateway_group],
        ..gateway("Gateway", vpcs[1], &subnets[2..])
    });
    let configuration_id = account.configuration(CreateResourceConfiguration {
        name: "privatelink-dev2-vpc-cfg".into(),
        ..configuration("Configuration", gateway_id, "172.18.0.108")
    });
    account.endpoint(CreateVpcEndpoint {
        security_group_ids: vec![endpoint_group],
        addresses: vec![
            (subnets[1], "172.18.1.70".into()),
            (subnets[0], "172.18.0.247".into()),
        ],
        ..endpoint("Endpoint", vpcs[0], configuration_id, &subnets[..2])
    });
    account
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<std::net::IpAddr>().unwrap())
}

fn interface(config: &DataplaneConfig, index: usize) -> Interface {
    config.enis.iter().nth(index).unwrap().1.clone()
}

#[test]
fn it_compiles_to_what_the_data_plane_needs() {
    let account = account();
    let config = compile(&account.state);

    let vpcs: Vec<_> = config.vpcs.iter().collect();
    assert_eq!(vpcs.len(), 2);
    assert!(
        vpcs.iter()
            .all(|(_, vpc)| vpc.cidrs == [net("172.18.0.0/16")])
    );
    let (vpc1, vpc2) = (vpcs[0].0, vpcs[1].0);

    let group = |name: &str| {
        let mut groups = account.state.security_groups();
        groups.find(|group| group.group_name == name).unwrap().idx
    };
    let default_of_vpc1 = account.state.security_groups().next().unwrap().idx;
    let enis: Vec<_> = config.enis.iter().map(|(idx, _)| idx).collect();
    assert_eq!(
        enis.len(),
        6,
        "two instances, two gateway and two endpoint interfaces"
    );

    for (index, vpc, group) in [(0, vpc1, default_of_vpc1), (1, vpc2, group("TargetGroup"))] {
        let instance = interface(&config, index);
        assert_eq!(instance.vpc, vpc);
        assert_eq!(instance.addresses, [addr("172.18.0.108")]);
        assert_eq!(instance.groups, [group]);
        let role = Role::Instance {
            source_dest_check: true,
        };
        assert_eq!(instance.role, role);
    }
    for (index, third) in [(2, 0), (3, 1)] {
        let gateway = interface(&config, index);
        assert_eq!(gateway.vpc, vpc2);
        assert_eq!(gateway.role, Role::Gateway);
        assert_eq!(gateway.groups, [group("GatewayGroup")]);
        let block: Vec<_> = (239..=254)
            .map(|last| Addr::v4([172, 18, third, last]))
            .collect();
        assert_eq!(gateway.addresses, block);
    }
    let (resource, offered) = config.resources.iter().next().unwrap();
    assert_eq!(config.resources.iter().count(), 1);
    assert_eq!(
        offered.target,
        ResourceTarget::Address(addr("172.18.0.108"))
    );
    assert_eq!(
        offered.ports,
        [PortRange {
            first: 1,
            last: 65535
        }]
    );
    let tcp = Protocols {
        tcp: true,
        udp: false,
        icmp: false,
    };
    assert_eq!(offered.protocols, tcp);
    assert_eq!(offered.idle_timeout, None);
    assert!(!offered.proxy_protocol);

    for (index, address, gateway) in [(4, "172.18.0.247", enis[2]), (5, "172.18.1.70", enis[3])] {
        let endpoint = interface(&config, index);
        assert_eq!(endpoint.vpc, vpc1);
        assert_eq!(endpoint.addresses, [addr(address)]);
        assert_eq!(endpoint.groups, [group("EndpointGroup")]);
        let destination = Destination::Resource { resource, gateway };
        assert_eq!(endpoint.role, Role::Endpoint(destination));
        let id = config.endpoint_ids.get(enis[index]).unwrap();
        assert!(id.starts_with(b"vpce-"), "{id:?}");
    }
}

#[test]
fn its_groups_compile_with_their_rules() {
    let account = account();
    let config = compile(&account.state);
    let everything = |peer| Rule {
        traffic: Traffic::All,
        peer,
    };
    let http = |peer| Rule {
        traffic: Traffic::Tcp(PortRange {
            first: 80,
            last: 80,
        }),
        peer,
    };
    let everywhere = [
        everything(Peer::Cidr(net("0.0.0.0/0"))),
        everything(Peer::Cidr(net("::/0"))),
    ];
    let from_vpc1 = http(Peer::Cidr(net("172.18.0.0/16")));
    let gateway = account
        .state
        .resource_gateways()
        .next()
        .unwrap()
        .security_group_ids[0];
    let gateway = account.state.security_group(&gateway).unwrap().idx;
    assert_eq!(config.groups.iter().count(), 5);
    for (group, (idx, compiled)) in account.state.security_groups().zip(config.groups.iter()) {
        assert_eq!(group.idx, idx);
        assert_eq!(compiled.egress, everywhere, "{}", group.group_name);
        let ingress = match group.group_name.as_str() {
            "default" => everything(Peer::Group(idx)),
            "TargetGroup" => http(Peer::Group(gateway)),
            _ => from_vpc1.clone(),
        };
        assert_eq!(compiled.ingress, [ingress], "{}", group.group_name);
    }
}

#[test]
fn two_runs_make_the_same_ids_and_the_same_configuration() {
    let (one, two) = (account(), account());
    let ids = |account: &Account| -> Vec<String> {
        let state = &account.state;
        let interfaces = state
            .network_interfaces()
            .map(|eni| eni.network_interface_id.to_string());
        interfaces
            .chain(
                state
                    .vpc_endpoints()
                    .map(|endpoint| endpoint.vpc_endpoint_id.to_string()),
            )
            .collect()
    };
    assert_eq!(ids(&one), ids(&two));
    let configs = [one, two].map(|account| format!("{:?}", compile(&account.state)));
    assert_eq!(configs[0], configs[1]);
}

#[test]
fn what_was_there_keeps_its_indices_when_more_comes() {
    let mut account = account();
    let before = compile(&account.state);
    let vpc3 = account.vpc("Vpc3", "172.18.0.0/16");
    let subnet3 = account.subnet("Vpc3A", vpc3, "172.18.0.0/24", "ap-northeast-1a");
    account.instance(instance("Ec2C", subnet3));
    let after = compile(&account.state);
    assert_eq!(after.enis.iter().count(), 7);
    for (idx, interface) in before.enis.iter() {
        assert_eq!(
            format!("{:?}", after.enis.get(idx).unwrap()),
            format!("{interface:?}")
        );
        let named = account.state.eni_by_idx(idx).unwrap();
        assert_eq!(
            interface.addresses[0].ip(),
            named.private_ip_address().unwrap()
        );
    }
}

#[test]
fn an_interface_says_who_stands_behind_it() {
    let account = account();
    let descriptions: Vec<_> = account
        .state
        .network_interfaces()
        .map(|eni| eni.description.split(" (").next().unwrap())
        .collect();
    let expected = [
        "instance `Ec2A`",
        "instance `Ec2B`",
        "resource gateway `Gateway`",
        "resource gateway `Gateway`",
        "VPC endpoint `Endpoint`",
        "VPC endpoint `Endpoint`",
    ];
    assert_eq!(descriptions, expected);
}
