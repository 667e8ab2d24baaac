//! Templates from their text to the control state, and what is said when something is wrong with them.

use privlink::template::{Options, Source, Stack, load};

fn load_text(text: &str) -> Result<Stack, String> {
    let source = Source {
        name: "t.yaml",
        text,
    };
    load(source, &Options::default()).map_err(|e| e.to_string())
}

const W1: &str = include_str!("../examples/resource-endpoint.yaml");

#[test]
fn walkthrough_1_loads_with_both_endpoint_interfaces_pinned() {
    let stack = load_text(W1).unwrap();
    for o in &stack.outputs {
        println!("{o:?}");
    }
    for n in &stack.notes {
        println!("{n}");
    }
    for n in stack.state.network_interfaces() {
        println!("{n:?}");
    }
    let endpoint = stack.state.vpc_endpoints().next().unwrap();
    let addresses: Vec<_> = endpoint
        .network_interface_ids
        .iter()
        .map(|id| stack.state.network_interface(id).unwrap())
        .map(|eni| format!("{} {}", eni.availability_zone, eni.private_ip_addresses[0]))
        .collect();
    assert_eq!(
        addresses,
        [
            "ap-northeast-1a 172.18.0.247",
            "ap-northeast-1c 172.18.1.70"
        ]
    );
}
