//! The names that endpoints are given.

use super::connections::{World, ZONES};
use super::*;

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
