//! The sizes that benches ask for: nothing may grow with the square.

use super::*;
use crate::sim::Estate;

/// 500 VPCs, 5,000 endpoints, 50,000 rules: half of the benches' size, in a debug build.
#[test]
fn five_thousand_endpoints_and_fifty_thousand_rules_compile() {
    let estate = Estate::new(500, 5_000, 50);
    let config = compile(&estate.state);
    assert_eq!(config.enis.iter().count(), 500 * (1 + 1 + 10));
    let rules = config.groups.iter().map(|(_, group)| group.ingress.len());
    assert_eq!(rules.sum::<usize>(), 500 * (2 * 50 + 1));
}

/// A `/16` filled to its last address, one by one.
#[test]
fn filling_a_subnet_takes_linear_time() {
    let mut account = Account::new();
    let vpc_id = account.vpc("Vpc", "10.0.0.0/16");
    let subnet_id = account.subnet("Subnet", vpc_id, "10.0.0.0/18", "ap-northeast-1a");
    let capacity = (1 << 14) - 5;
    for i in 0..capacity {
        account.instance(instance(&format!("i{i}"), subnet_id));
    }
    let full = account.state.subnet(&subnet_id).unwrap();
    assert_eq!(full.available_ip_address_count(), 0);
    let error = account
        .state
        .execute(Command::RunInstance(instance("x", subnet_id)))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("InsufficientFreeAddressesInSubnet: 1 needed, 0 of 16379 free")
    );
}
