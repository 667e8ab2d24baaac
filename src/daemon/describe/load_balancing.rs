//! What providers offer: endpoint services, the load balancers behind them, and their targets.

use super::{Fabric, address_ranges, view};
use crate::control::{
    EndpointDestination, Listener, LoadBalancer, Target, TargetGroup, VpcEndpointService,
};
use crate::dataplane::TargetHealthView;

impl Fabric {
    /// Every endpoint service.
    pub fn vpc_endpoint_services(&self) -> Vec<view::VpcEndpointService> {
        let services = self.state.vpc_endpoint_services();
        services.map(|service| self.service(service)).collect()
    }

    /// Every load balancer with its nodes and listeners.
    pub fn load_balancers(&self) -> Vec<view::LoadBalancer> {
        let load_balancers = self.state.load_balancers();
        load_balancers.map(|lb| self.load_balancer(lb)).collect()
    }

    /// Every target group with its targets.
    pub fn target_groups(&self) -> Vec<view::TargetGroup> {
        let health = self.dataplane.target_health();
        let groups = self.state.target_groups();
        groups
            .map(|group| self.target_group(group, &health))
            .collect()
    }

    /// The ports and protocols of a service's listeners.
    pub(super) fn offer(&self, service: &VpcEndpointService) -> (Vec<String>, Vec<String>) {
        let load_balancers = service.load_balancers.iter();
        let listeners = load_balancers.flat_map(|id| self.state.listeners_of(*id));
        let (mut ports, mut protocols) = (vec![], vec![]);
        for listener in listeners {
            let port = listener.port.to_string();
            if !ports.contains(&port) {
                ports.push(port);
            }
            let tcp = listener.protocol.tcp().then_some("TCP");
            let udp = listener.protocol.udp().then_some("UDP");
            for protocol in tcp.into_iter().chain(udp).map(str::to_owned) {
                if !protocols.contains(&protocol) {
                    protocols.push(protocol);
                }
            }
        }
        (ports, protocols)
    }

    fn service(&self, service: &VpcEndpointService) -> view::VpcEndpointService {
        let leads_here = EndpointDestination::Service(service.service_id);
        let endpoints = self.state.vpc_endpoints();
        let mut endpoints: Vec<_> = endpoints
            .filter(|endpoint| endpoint.destination == leads_here)
            .collect();
        let count = endpoints.len();
        endpoints.retain(|endpoint| endpoint.state.passes());
        let load_balancers = service.load_balancers.iter();
        let load_balancers = load_balancers.filter_map(|id| self.state.load_balancer(id));
        let name = service.private_dns_name.as_ref();
        let (stack, owner_id) = self.stack_and_account(service.service_id);
        view::VpcEndpointService {
            logical_id: service.client_token.clone(),
            stack,
            owner_id,
            service_id: service.service_id.to_string(),
            service_name: service.service_name.clone(),
            service_state: service.state.name().into(),
            acceptance_required: service.acceptance_required,
            allowed_principals: service
                .allowed_principals
                .iter()
                .map(ToString::to_string)
                .collect(),
            load_balancers: load_balancers.map(|lb| lb.client_token.clone()).collect(),
            private_dns_name: name.map(|name| name.name.to_string()),
            private_dns_name_configuration: name.map(|name| {
                let configuration = name.configuration(service.service_id);
                view::PrivateDnsNameConfiguration {
                    name: configuration.name,
                    record_type: "TXT".into(),
                    value: configuration.value,
                    state: configuration.state.name().into(),
                }
            }),
            endpoints: count,
            available_endpoints: endpoints.len(),
        }
    }

    fn load_balancer(&self, load_balancer: &LoadBalancer) -> view::LoadBalancer {
        let nodes = load_balancer.network_interface_ids.iter();
        let nodes = nodes.filter_map(|id| self.state.network_interface(id));
        let nodes = nodes.map(|node| view::LoadBalancerNode {
            network_interface_id: node.network_interface_id.to_string(),
            availability_zone: node.availability_zone.clone(),
            subnet: self.subnet_name(&node.subnet_id),
            private_ip_addresses: address_ranges(&node.private_ip_addresses),
        });
        let listeners = self.state.listeners_of(load_balancer.id);
        let (stack, owner_id) = self.stack_and_account(load_balancer.id);
        view::LoadBalancer {
            logical_id: load_balancer.client_token.clone(),
            stack,
            owner_id,
            load_balancer_arn: load_balancer.load_balancer_arn.clone(),
            load_balancer_name: load_balancer.load_balancer_name.clone(),
            dns_name: load_balancer.dns_name.clone(),
            vpc_id: load_balancer.vpc_id.to_string(),
            vpc: self.vpc_name(&load_balancer.vpc_id),
            cross_zone: load_balancer.cross_zone,
            nodes: nodes.collect(),
            listeners: listeners.map(|listener| self.listener(listener)).collect(),
        }
    }

    fn listener(&self, listener: &Listener) -> view::Listener {
        let group = self.state.target_group(&listener.target_group_id);
        view::Listener {
            logical_id: listener.client_token.clone(),
            listener_arn: listener.listener_arn.clone(),
            protocol: listener.protocol.name().into(),
            port: listener.port,
            target_group: group.map(|g| g.client_token.clone()).unwrap_or_default(),
            tcp_idle_timeout_seconds: listener.tcp_idle_timeout.as_secs(),
        }
    }

    fn target_group(&self, group: &TargetGroup, health: &[TargetHealthView]) -> view::TargetGroup {
        let (stack, owner_id) = self.stack_and_account(group.id);
        view::TargetGroup {
            logical_id: group.client_token.clone(),
            stack,
            owner_id,
            target_group_arn: group.target_group_arn.clone(),
            target_group_name: group.target_group_name.clone(),
            protocol: group.protocol.name().into(),
            port: group.port,
            vpc_id: group.vpc_id.to_string(),
            vpc: self.vpc_name(&group.vpc_id),
            health_check: group.describe_health_check(),
            targets: group
                .targets
                .iter()
                .map(|target| self.target(target, health))
                .collect(),
        }
    }

    /// A target, with its part of all targets' health, which is in their order.
    fn target(&self, target: &Target, health: &[TargetHealthView]) -> view::Target {
        let from = health.partition_point(|view| view.target < target.idx);
        let of_it = health.iter().skip(from);
        let of_it = of_it.take_while(|view| view.target == target.idx);
        view::Target {
            id: target.id.to_string(),
            port: target.port,
            private_ip_address: target.address.to_string(),
            availability_zone: target.availability_zone.clone(),
            is_draining: target.draining_since.is_some(),
            target_health: of_it.map(|view| self.target_health(view)).collect(),
        }
    }

    fn target_health(&self, view: &TargetHealthView) -> view::TargetHealth {
        let node = view.node.and_then(|(idx, _)| self.state.eni_by_idx(idx));
        view::TargetHealth {
            network_interface_id: node.map(|node| node.network_interface_id.to_string()),
            availability_zone: node.map(|node| node.availability_zone.clone()),
            state: view.health.state().into(),
            reason: view.health.reason().map(Into::into),
            description: view.health.description(),
        }
    }
}
