//! The control state and the data plane's counters, as the views that people and programs ask for.
//!
//! Invariant: nothing is changed here; an index that control no longer knows is left out.

mod flows;
mod load_balancing;
mod notice;
mod vpc_endpoint;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::view;
use crate::control::id::{Id, SubnetId, VpcId};
use crate::control::{Attachment, ControlState, Instance, NetworkInterface};
use crate::dataplane::{Dataplane, DropReason, EniCounters, EniIdx, PortUsage};
use crate::io::Clock;

/// All that answers need: what stands, and what passes. A change of the topology makes another one.
pub struct Fabric {
    /// What the operator wants.
    pub state: ControlState,
    /// What passes.
    pub dataplane: Arc<Dataplane>,
    /// The data plane's time.
    pub clock: Clock,
    /// Who answers.
    pub daemon: view::Daemon,
    /// The templates that were loaded.
    pub stacks: Vec<view::Stack>,
    /// Their outputs.
    pub outputs: Vec<view::Output>,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// The namespaces that were missing.
    pub created_namespaces: Vec<String>,
    /// What became of interfaces; those that are well are not in here.
    pub trouble: Arc<Mutex<HashMap<EniIdx, String>>>,
}

impl Fabric {
    /// What stands.
    pub fn topology(&self) -> view::Topology {
        view::Topology {
            daemon: self.daemon.clone(),
            stacks: self.stacks.clone(),
            instances: self.instances(),
            vpc_endpoints: self
                .state
                .vpc_endpoints()
                .map(|endpoint| self.endpoint(endpoint))
                .collect(),
            outputs: self.outputs.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Every interface with its counters.
    pub fn network_interfaces(&self) -> Vec<view::NetworkInterface> {
        let counters: HashMap<_, _> = self.dataplane.counters().into_iter().collect();
        let none = EniCounters::default();
        let trouble = self.trouble.lock();
        self.state
            .network_interfaces()
            .map(|eni| {
                let counters = counters.get(&eni.idx).unwrap_or(&none);
                let (interface_type, owner, namespace) = self.attachment(eni);
                let (stack, owner_id) = self.stack_and_account(eni.network_interface_id);
                view::NetworkInterface {
                    network_interface_id: eni.network_interface_id.to_string(),
                    interface_type: interface_type.into(),
                    owner,
                    stack,
                    owner_id,
                    vpc: self.vpc_name(&eni.vpc_id),
                    vpc_id: eni.vpc_id.to_string(),
                    availability_zone: eni.availability_zone.clone(),
                    private_ip_addresses: eni
                        .private_ip_addresses
                        .iter()
                        .map(Ipv4Addr::to_string)
                        .collect(),
                    namespace,
                    status: trouble
                        .get(&eni.idx)
                        .cloned()
                        .unwrap_or_else(|| "in-use".into()),
                    packets_in: counters.packets_in,
                    bytes_in: counters.bytes_in,
                    packets_out: counters.packets_out,
                    bytes_out: counters.bytes_out,
                    packets_dropped: counters.drops().map(|(_, packets)| packets).sum(),
                }
            })
            .collect()
    }

    /// Every reason for which packets were dropped, most frequent first.
    pub fn drops(&self) -> Vec<view::Drop> {
        let mut drops: Vec<_> = self
            .dataplane
            .counters()
            .iter()
            .flat_map(|(idx, counters)| {
                counters
                    .drops()
                    .map(|(reason, packets)| self.drop(*idx, reason, packets))
            })
            .collect();
        drops.sort_by_key(|drop| std::cmp::Reverse(drop.packets));
        drops
    }

    fn instances(&self) -> Vec<view::Instance> {
        self.state
            .instances()
            .map(|instance| self.instance(instance))
            .collect()
    }

    fn instance(&self, instance: &Instance) -> view::Instance {
        let (stack, owner_id) = self.stack_and_account(instance.instance_id);
        view::Instance {
            logical_id: instance.client_token.clone(),
            stack,
            owner_id,
            instance_id: instance.instance_id.to_string(),
            name: instance.tags.name().map(Into::into),
            namespace: instance.namespace.clone(),
            namespace_created: self.created_namespaces.contains(&instance.namespace),
            private_ip_address: instance.private_ip_address.to_string(),
            vpc_id: instance.vpc_id.to_string(),
            vpc: self.vpc_name(&instance.vpc_id),
            cidr_block: self
                .state
                .vpc(&instance.vpc_id)
                .map(|vpc| vpc.cidr_block.to_string())
                .unwrap_or_default(),
            subnet: self.subnet_name(&instance.subnet_id),
            availability_zone: instance.availability_zone.clone(),
        }
    }

    /// The interface's type, its owner's logical id and its namespace.
    fn attachment(&self, eni: &NetworkInterface) -> (&'static str, String, Option<String>) {
        match &eni.attachment {
            Attachment::Instance(id) => {
                let instance = self.state.instance(id);
                (
                    "instance",
                    instance
                        .map(|instance| instance.client_token.clone())
                        .unwrap_or_default(),
                    instance.map(|instance| instance.namespace.clone()),
                )
            }
            Attachment::VpcEndpoint(id) => {
                let endpoint = self.state.vpc_endpoint(id);
                (
                    "vpc_endpoint",
                    endpoint
                        .map(|endpoint| endpoint.client_token.clone())
                        .unwrap_or_default(),
                    None,
                )
            }
            Attachment::ResourceGateway(id) => {
                let gateway = self.state.resource_gateway(id);
                (
                    "resource_gateway",
                    gateway
                        .map(|gateway| gateway.client_token.clone())
                        .unwrap_or_default(),
                    None,
                )
            }
            Attachment::LoadBalancer(id) => {
                let load_balancer = self.state.load_balancer(id);
                (
                    "network_load_balancer",
                    load_balancer
                        .map(|load_balancer| load_balancer.client_token.clone())
                        .unwrap_or_default(),
                    None,
                )
            }
        }
    }

    /// The stack that a thing is part of, and the account that it belongs to.
    pub fn stack_and_account(&self, id: impl Id) -> (String, String) {
        match self.state.owner_of(id) {
            Some(owner) => (
                owner.stack().unwrap_or_default().to_owned(),
                owner.account_id().to_owned(),
            ),
            None => Default::default(),
        }
    }

    /// An interface's id, its owner's logical id and its stack.
    fn named(&self, idx: EniIdx) -> (String, String, String) {
        match self.state.eni_by_idx(idx) {
            Some(eni) => (
                eni.network_interface_id.to_string(),
                self.attachment(eni).1,
                self.stack_and_account(eni.network_interface_id).0,
            ),
            // It was deleted, and what it did is still being counted.
            None => ["-"; 3].map(String::from).into(),
        }
    }

    /// An interface's owner in a sentence.
    pub fn label(&self, idx: EniIdx) -> String {
        let (_, owner, stack) = self.named(idx);
        view::in_stack(&stack, &owner, self.stacks.len() > 1)
    }

    /// How many ports of a gateway's address are in use towards one target.
    pub fn ports_run_short(&self, usage: &PortUsage) -> view::PortsRunShort {
        let (network_interface_id, logical_id, stack) = self.named(usage.gateway);
        view::PortsRunShort {
            stack,
            logical_id,
            network_interface_id,
            address: usage.address.to_string(),
            target: usage.target.to_string(),
            port: usage.port,
            protocol: flows::protocol_name(usage.protocol),
            used: usage.used,
            ports: usage.ports,
        }
    }

    fn drop(&self, idx: EniIdx, reason: DropReason, packets: u64) -> view::Drop {
        let (network_interface_id, owner, stack) = self.named(idx);
        view::Drop {
            network_interface_id,
            owner,
            stack,
            reason: reason.name().into(),
            packets,
            description: reason.description().into(),
        }
    }

    fn vpc_name(&self, id: &VpcId) -> String {
        self.state
            .vpc(id)
            .map(|vpc| vpc.client_token.clone())
            .unwrap_or_default()
    }

    fn subnet_name(&self, id: &SubnetId) -> String {
        self.state
            .subnet(id)
            .map(|subnet| subnet.client_token.clone())
            .unwrap_or_default()
    }
}

/// Consecutive addresses as `first-last`, runs separated by commas.
fn address_ranges(addresses: &[Ipv4Addr]) -> String {
    let mut numbers: Vec<u32> = addresses.iter().copied().map(u32::from).collect();
    numbers.sort_unstable();
    let runs = numbers
        .chunk_by(|a, b| a.checked_add(1) == Some(*b))
        .map(|run| match *run {
            [first, .., last] => format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)),
            [one] => Ipv4Addr::from(one).to_string(),
            [] => String::new(),
        });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_addresses_are_one_range() {
        let addresses: Vec<Ipv4Addr> = [
            "172.18.0.81",
            "172.18.0.80",
            "172.18.0.82",
            "172.18.0.99",
            "172.18.1.0",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        assert_eq!(
            address_ranges(&addresses),
            "172.18.0.80-172.18.0.82,172.18.0.99,172.18.1.0"
        );
        assert_eq!(address_ranges(&[]), "");
    }
}
