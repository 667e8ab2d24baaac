//! What compiles out of names: of instances, hosted zones and DNS resources.

use super::hosted_zones::{alias, record, zone};
use super::*;
use crate::dataplane::config::{DnsZone, RecordData, RecordSet, Resolver, ResourceTarget, View};

/// A VPC with both DNS attributes.
fn named_vpc(token: &str, cidr_block: &str) -> Command {
    Command::CreateVpc(CreateVpc {
        enable_dns_hostnames: Some(true),
        ..vpc(token, cidr_block)
    })
}

impl Account {
    #[track_caller]
    pub(super) fn named_vpc(&mut self, token: &str, cidr_block: &str) -> VpcId {
        match self.done(named_vpc(token, cidr_block)) {
            Created::Vpc(id) => id,
            other => panic!("{other}"),
        }
    }

    fn resolver(&self, vpc_id: VpcId) -> Option<Resolver> {
        let vpc = self.state.vpc(&vpc_id).unwrap();
        let config = compile(&self.state);
        config.vpcs.get(vpc.idx).unwrap().resolver.clone()
    }

    /// A line for each zone of the VPC's view, and one for each record in it.
    pub(super) fn zones(&self, vpc_id: VpcId) -> Vec<String> {
        let resolver = self.resolver(vpc_id).unwrap();
        resolver.zones.iter().flat_map(|zone| lines(zone)).collect()
    }
}

pub(super) fn lines(zone: &DnsZone) -> Vec<String> {
    let mut records: Vec<_> = zone
        .records()
        .flat_map(|(name, sets)| {
            sets.iter()
                .map(move |set| format!("  {name} {}", line(set)))
        })
        .collect();
    records.sort();
    records.insert(0, format!("{}", zone.name));
    records
}

fn line(set: &RecordSet) -> String {
    let data = match &set.data {
        RecordData::Plain(data) => data
            .iter()
            .map(|data| format!("{} {data}", data.record_type()))
            .collect::<Vec<_>>()
            .join(", "),
        RecordData::Alias(name) => format!("alias {name}"),
        RecordData::Endpoint(addresses) => format!("{addresses:?}"),
    };
    format!("{} {data}", set.ttl)
}

#[test]
fn an_instance_has_a_name_and_its_address_has_one() {
    let mut account = Account::new();
    let vpc_id = account.named_vpc("Vpc", "172.18.0.0/16");
    let subnet_id = account.subnet("A", vpc_id, "172.18.0.0/24", "ap-northeast-1a");
    for (token, address) in [("Ec2A", "172.18.0.108"), ("Ec2B", "172.18.0.10")] {
        account.instance(RunInstance {
            private_ip_address: Some(address.into()),
            ..instance(token, subnet_id)
        });
    }
    // Neither its addresses nor those of endpoints and nodes have names.
    account.gateway(gateway("Gateway", vpc_id, &[subnet_id]));
    assert_eq!(
        account.zones(vpc_id),
        [
            "ap-northeast-1.compute.internal.",
            "  ip-172-18-0-10.ap-northeast-1.compute.internal. 60 A 172.18.0.10",
            "  ip-172-18-0-108.ap-northeast-1.compute.internal. 60 A 172.18.0.108",
            "18.172.in-addr.arpa.",
            "  10.0.18.172.in-addr.arpa. 60 PTR ip-172-18-0-10.ap-northeast-1.compute.internal.",
            "  108.0.18.172.in-addr.arpa. 60 PTR ip-172-18-0-108.ap-northeast-1.compute.internal.",
        ]
    );
    let names: Vec<_> = account
        .state
        .instances()
        .map(|i| i.private_dns_name.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "ip-172-18-0-108.ap-northeast-1.compute.internal",
            "ip-172-18-0-10.ap-northeast-1.compute.internal",
        ]
    );
}

#[test]
fn a_vpcs_reverse_zones_are_its_range_and_no_more() {
    let mut account = Account::new();
    for (range, count, first, last) in [
        ("10.1.0.0/16", 1, "1.10.in-addr.arpa.", "1.10.in-addr.arpa."),
        (
            "10.2.16.0/20",
            16,
            "16.2.10.in-addr.arpa.",
            "31.2.10.in-addr.arpa.",
        ),
        (
            "10.3.7.0/24",
            1,
            "7.3.10.in-addr.arpa.",
            "7.3.10.in-addr.arpa.",
        ),
        (
            "10.4.0.16/28",
            16,
            "16.0.4.10.in-addr.arpa.",
            "31.0.4.10.in-addr.arpa.",
        ),
    ] {
        let vpc_id = account.named_vpc(first, range);
        let subnet_range = format!("{}/28", range.split('/').next().unwrap());
        let subnet_id = account.subnet(first, vpc_id, &subnet_range, "ap-northeast-1a");
        account.instance(instance(first, subnet_id));
        let zones = account.resolver(vpc_id).unwrap().zones;
        let names: Vec<_> = zones
            .iter()
            .skip(1)
            .map(|zone| zone.name.to_string())
            .collect();
        assert_eq!(names.len(), count, "{range}");
        assert_eq!((&*names[0], &*names[count - 1]), (first, last));
        assert!(zones.iter().all(|zone| zone.name.is_fqdn()));
        let pointers: Vec<_> = zones
            .iter()
            .skip(1)
            .flat_map(|zone| zone.records().map(|(name, _)| name))
            .collect();
        assert_eq!(pointers.len(), 1, "{range}");
        let zone = zones
            .iter()
            .skip(1)
            .find(|zone| zone.records().next().is_some())
            .unwrap();
        assert!(zone.name.zone_of(&pointers[0].clone().into()), "{range}");
    }
}

#[test]
fn the_resolver_is_asked_at_an_address_that_nobody_can_have() {
    let mut account = Account::new();
    let vpc_id = account.named_vpc("Vpc", "172.18.0.0/16");
    let subnet_id = account.subnet("A", vpc_id, "172.18.0.0/28", "ap-northeast-1a");
    let addresses = account.resolver(vpc_id).unwrap().addresses;
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| address.to_string())
        .collect();
    assert_eq!(addresses, ["172.18.0.2", "169.254.169.253"]);
    let chosen = RunInstance {
        private_ip_address: Some("172.18.0.2".into()),
        ..instance("Ec2A", subnet_id)
    };
    let error = account.refused(Command::RunInstance(chosen)).to_string();
    assert!(
        error.contains("172.18.0.2 is reserved for the DNS server"),
        "{error}"
    );
    let chosen = CreateLoadBalancer {
        subnets: vec![],
        subnet_mappings: vec![SubnetMapping {
            subnet_id,
            private_ipv4_address: Some("172.18.0.2".into()),
        }],
        ..load_balancer("Nlb", &[])
    };
    let error = account
        .refused(Command::CreateLoadBalancer(chosen))
        .to_string();
    assert!(
        error.contains("172.18.0.2 is reserved for the DNS server"),
        "{error}"
    );
    // All that are left, one by one.
    for i in 0..11 {
        account.instance(instance(&format!("i{i}"), subnet_id));
    }
    let mut interfaces = account.state.network_interfaces();
    let resolver = "172.18.0.2".parse().unwrap();
    assert!(interfaces.all(|eni| !eni.private_ip_addresses.contains(&resolver)));
}

#[test]
fn without_dns_support_there_is_no_resolver_and_without_dns_hostnames_no_names() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "172.18.0.0/16");
    assert_eq!(account.zones(vpc_id), Vec::<String>::new());
    let mut mute = |token: &str, hostnames| {
        let command = CreateVpc {
            enable_dns_support: Some(false),
            enable_dns_hostnames: Some(hostnames),
            ..vpc(token, "172.18.0.0/16")
        };
        match account.done(Command::CreateVpc(command)) {
            Created::Vpc(id) => id,
            other => panic!("{other}"),
        }
    };
    for vpc_id in [mute("Mute1", false), mute("Mute2", true)] {
        assert!(account.resolver(vpc_id).is_none());
    }
}

#[test]
fn a_hosted_zone_is_seen_in_its_vpcs_before_the_names_of_instances() {
    let mut account = Account::new();
    let vpcs = ["Vpc1", "Vpc2", "Vpc3"].map(|token| account.named_vpc(token, "10.0.0.0/16"));
    let without_hostnames = account.vpc("Vpc4", "10.0.0.0/16");
    let id = account.zone(zone(
        "Zone",
        "Example.com.",
        &[vpcs[0], vpcs[1], without_hostnames],
    ));
    for (token, name, record_type, values) in [
        ("Apex", "example.com", "MX", &["10 mail.example.com."][..]),
        ("App", "app.example.com", "A", &["10.0.0.4", "10.0.0.5"]),
        ("App6", "app.example.com", "AAAA", &["2001:db8::4"]),
        (
            "Text",
            "_t.example.com",
            "TXT",
            &[r#""vpce:token" "second""#],
        ),
        ("Www", "WWW.example.com.", "CNAME", &["app.example.com."]),
        ("Any", "*.any.example.com", "A", &["10.0.0.6"]),
        (
            "Xmpp",
            "_x._tcp.example.com",
            "SRV",
            &["1 10 5269 app.example.com"],
        ),
        ("Back", "4.example.com", "PTR", &["app.example.com"]),
    ] {
        account.record(record(token, id, name, record_type, values));
    }
    let endpoint = "vpce-1-a.vpce-svc-1.ap-northeast-1.vpce.amazonaws.com";
    account.record(alias("Alias", id, "db.example.com", endpoint));
    let wanted = [
        "example.com.",
        "  *.any.example.com. 300 A 10.0.0.6",
        "  4.example.com. 300 PTR app.example.com.",
        "  _t.example.com. 300 TXT vpce:tokensecond",
        "  _x._tcp.example.com. 300 SRV 1 10 5269 app.example.com.",
        "  app.example.com. 300 A 10.0.0.4, A 10.0.0.5",
        "  app.example.com. 300 AAAA 2001:db8::4",
        "  db.example.com. 4294967295 alias vpce-1-a.vpce-svc-1.ap-northeast-1.vpce.amazonaws.com.",
        "  example.com. 300 MX 10 mail.example.com.",
        "  www.example.com. 300 CNAME app.example.com.",
        "ap-northeast-1.compute.internal.",
        "0.10.in-addr.arpa.",
    ];
    assert_eq!(account.zones(vpcs[0]), wanted);
    assert_eq!(account.zones(vpcs[1]), wanted);
    assert_eq!(account.zones(vpcs[2]), wanted[10..]);
    assert_eq!(account.zones(without_hostnames), Vec::<String>::new());
}

/// A configuration of a name.
fn named(token: &str, gateway_id: ResourceGatewayId, name: &str) -> CreateResourceConfiguration {
    CreateResourceConfiguration {
        resource_configuration_definition: Some(ResourceConfigurationDefinition::DnsResource {
            domain_name: name.into(),
            ip_address_type: "IPV4".into(),
        }),
        ..configuration(token, gateway_id, "")
    }
}

#[test]
fn a_name_behind_a_gateway_is_looked_up_where_the_gateway_says_and_an_instances_always_in_its_vpc()
{
    let mut account = Account::new();
    let vpc_id = account.named_vpc("Vpc", "172.18.0.0/16");
    let idx = account.state.vpc(&vpc_id).unwrap().idx;
    let subnet_id = account.subnet("A", vpc_id, "172.18.0.0/24", "ap-northeast-1a");
    let in_vpc = account.gateway(CreateResourceGateway {
        resource_config_dns_resolution: Some("IN_VPC".into()),
        ..gateway("InVpc", vpc_id, &[subnet_id])
    });
    let public = account.gateway(gateway("Public", vpc_id, &[subnet_id]));
    let instance = "ip-172-18-0-10.ap-northeast-1.compute.internal";
    for (gateway_id, name, view) in [
        (in_vpc, "DB.example.com.", View::Vpc(idx)),
        (public, "db.example.com", View::Public),
        (public, instance, View::Vpc(idx)),
        (public, "ip-172-18-0-10.ec2.internal", View::Public),
    ] {
        let token = format!("cfg{}", account.state.resource_configurations().count());
        let id = account.configuration(named(&token, gateway_id, name));
        let idx = account.state.resource_configuration(&id).unwrap().idx;
        let config = compile(&account.state);
        let wanted = ResourceTarget::Name {
            name: format!("{}.", name.trim_end_matches('.').to_lowercase())
                .parse()
                .unwrap(),
            view,
            allowed: vec!["172.18.0.0/16".parse().unwrap()],
        };
        assert_eq!(config.resources.get(idx).unwrap().target, wanted, "{name}");
    }
}

#[test]
fn a_name_leads_to_private_addresses_of_its_gateways_vpc_only() {
    let mut account = Account::new();
    for (range, allowed) in [
        ("10.1.0.0/16", true),
        ("172.31.0.0/16", true),
        ("192.168.0.0/16", true),
        ("100.127.0.0/16", true),
        ("172.32.0.0/16", false),
        ("198.51.0.0/16", false),
    ] {
        let vpc_id = account.vpc(range, range);
        let range = range.parse().unwrap();
        let vpc = account.state.vpc(&vpc_id).unwrap();
        assert_eq!(vpc.private_range(), allowed.then_some(range));
    }
}
