//! The names that endpoints are given.

use super::connections::{PROVIDER, World, ZONES};
use super::*;
use crate::dataplane::config::{DnsZone, Origin, RecordData, Zone};

impl World {
    fn names(&self, id: VpcEndpointId) -> Vec<String> {
        let state = &self.account.state;
        let entries = state.dns_entries(state.vpc_endpoint(&id).unwrap());
        entries.into_iter().map(|entry| entry.dns_name).collect()
    }
}

#[test]
fn an_endpoint_of_a_service_has_a_regional_name_and_one_per_zone_from_the_beginning() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[2, 0]);
    assert_eq!(world.state(id), State::PendingAcceptance);
    let names = world.names(id);
    let domain = format!(".{}.us-west-2.vpce.amazonaws.com", world.service_id);
    let labels: Vec<_> = names
        .iter()
        .map(|name| name.strip_suffix(domain.as_str()).unwrap())
        .collect();
    let hash = labels[0].strip_prefix(&format!("{id}-")).unwrap();
    assert_eq!(hash.len(), 8);
    assert!(hash.bytes().all(|b| b.is_ascii_alphanumeric()), "{hash}");
    let zonal = |zone: usize| format!("{id}-{hash}-{}", ZONES[zone]);
    assert_eq!(labels[1..], [zonal(2), zonal(0)]);

    world.accept(id);
    assert_eq!(world.names(id), names);
    let other = world.ask("Other", &[0]);
    assert_ne!(world.names(other)[0].split('-').nth(2), Some(hash));
}

#[test]
fn the_entries_of_a_region_have_one_hosted_zone_for_each_type_of_endpoint() {
    let mut world = World::new();
    let ids = [world.ask("Endpoint", &[0, 2]), world.ask("Other", &[0])];
    let state = &world.account.state;
    let entries = ids.map(|id| state.dns_entries(state.vpc_endpoint(&id).unwrap()));
    let zone = &entries[0][0].hosted_zone_id;
    assert!(zone.starts_with('Z') && zone.len() == 14, "{zone}");
    let mut all = entries.iter().flatten();
    assert!(all.all(|entry| entry.hosted_zone_id == *zone));
}

#[test]
fn an_endpoint_of_a_resource_has_one_name() {
    let state = &w1::account().state;
    let endpoint = state.vpc_endpoints().next().unwrap();
    let configuration = state.resource_configurations().next().unwrap();
    let entries = state.dns_entries(endpoint);
    let names: Vec<_> = entries
        .iter()
        .map(|entry| entry.dns_name.as_str())
        .collect();
    let (endpoint, configuration) = (endpoint.vpc_endpoint_id, configuration.id);
    let domain = "4232ccc.vpc-lattice-rsc.ap-northeast-1.on.aws";
    assert_eq!(names, [format!("{endpoint}.{configuration}.{domain}")]);
}

/// The zone's records: names without the apex, addresses with the letter of the zone whose health decides.
pub(super) fn records(zone: &DnsZone) -> Vec<String> {
    let apex = zone.name.to_string();
    let mut records: Vec<_> = zone
        .records()
        .map(|(name, sets)| {
            let [set] = sets else {
                panic!("{sets:?}");
            };
            let RecordData::Endpoint(addresses) = &set.data else {
                panic!("{set:?}");
            };
            let addresses = addresses.iter().map(|address| {
                let letter = |(_, Zone(letter))| char::from(letter as u8);
                let zone = address.zone.map_or('-', letter);
                format!(" {} {zone}", address.address)
            });
            let name = name.to_string();
            let name = name.strip_suffix(&apex).unwrap();
            format!(
                "{} {}{}",
                name.trim_end_matches('.'),
                set.ttl,
                addresses.collect::<String>()
            )
        })
        .collect();
    records.sort();
    records
}

#[test]
fn each_service_has_a_zone_with_the_names_of_all_its_endpoints_and_all_below_them() {
    let mut world = World::new();
    let unused = compile(&world.account.state).public_zones;
    assert_eq!(unused.len(), 1);
    assert_eq!(records(&unused[0]), [""; 0], "yet nobody else is asked");

    let id = world.ask("Endpoint", &[2, 0]);
    let zones = compile(&world.account.state).public_zones;
    let [zone] = &zones[..] else {
        panic!("{zones:?}");
    };
    let apex = format!("{}.us-west-2.vpce.amazonaws.com.", world.service_id);
    assert_eq!(zone.name.to_string(), apex);
    assert_eq!(
        zone.origin,
        Origin::Endpoint(world.service_id.to_string().into())
    );
    let regional = world.names(id).remove(0);
    let label = regional.split('.').next().unwrap();
    let mut expected = vec![];
    for name in [label.to_owned(), format!("*.{label}")] {
        expected.extend([
            format!("{name} 60 10.100.2.4 c 10.100.0.4 a"),
            format!("{name}-us-west-2a 60 10.100.0.4 a"),
            format!("{name}-us-west-2c 60 10.100.2.4 c"),
        ]);
    }
    expected.sort();
    assert_eq!(records(zone), expected);
}

#[test]
fn a_zone_that_leads_nowhere_is_left_out_of_the_regional_name_only() {
    let mut world = World::new();
    let id = world.ask("Endpoint", &[0, 2]);
    let subnet = world.provider_subnets[0];
    let only_a = load_balancer("NlbA", &[subnet]);
    let only_a = world.by(PROVIDER).load_balancer(only_a);
    let command = ModifyVpcEndpointServiceConfiguration {
        service_id: world.service_id,
        acceptance_required: None,
        add_network_load_balancer_arns: vec![only_a],
        remove_network_load_balancer_arns: vec![world.load_balancer],
    };
    let command = Command::ModifyVpcEndpointServiceConfiguration(command);
    world.by(PROVIDER).done(command);
    let zones = compile(&world.account.state).public_zones;
    let records = records(&zones[0]);
    assert_eq!(world.names(id).len(), 3);
    assert!(records[3].ends_with(" 60 10.100.0.4 a"), "{records:?}");
    assert!(
        records[5].ends_with("-us-west-2c 60 10.100.2.4 -"),
        "{records:?}"
    );
}

#[test]
fn an_endpoint_of_a_resource_answers_with_all_its_addresses() {
    let state = &w1::account().state;
    let zones = compile(state).public_zones;
    let endpoint = state.vpc_endpoints().next().unwrap().vpc_endpoint_id;
    let answer = "60 172.18.0.247 - 172.18.1.70 -";
    let expected = [
        format!("*.{endpoint} {answer}"),
        format!("{endpoint} {answer}"),
    ];
    assert_eq!(records(&zones[0]), expected);
}
