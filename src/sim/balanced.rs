//! Walkthrough W2 as the data plane sees it: W1's endpoints lead to a load balancer with a node in each zone.

use std::time::Duration;

use super::topology::{Topology, from_group, tcp_from};
use crate::dataplane::config::{
    Destination, EniIdx, HealthCheck, HealthCheckProtocol, Listener, ListenerIdx, ListenerProtocol,
    LoadBalancer, LoadBalancerIdx, Role, Target, TargetGroup, TargetGroupIdx, TargetIdx, Zone,
};
use crate::net::Addr;

impl Topology {
    /// The load balancer, which stands where W1's resource gateway does.
    pub const LOAD_BALANCER: LoadBalancerIdx = LoadBalancerIdx::new(0, 0);
    /// Its listener: TCP, port 80.
    pub const LISTENER: ListenerIdx = ListenerIdx::new(0, 0);
    /// The group to which the listener sends.
    pub const TARGETS: TargetGroupIdx = TargetGroupIdx::new(0, 0);
    /// Its node in zone a.
    pub const NODE_A: EniIdx = Self::GATEWAY_A;
    /// Its node in zone c.
    pub const NODE_C: EniIdx = Self::GATEWAY_C;
    /// Zone a.
    pub const ZONE_A: Zone = Zone(0);
    /// Zone c.
    pub const ZONE_C: Zone = Zone(1);
    /// The targets' port.
    pub const TARGET_PORT: u16 = 8080;

    /// The address of the node in zone c.
    pub const NODE_C_ADDRESS: [u8; 4] = [172, 18, 1, 80];

    /// W2 with so many targets, which are not probed: those with even numbers in zone a, the others in zone c. They admit everything from the load
    /// balancer's group, and that admits TCP port 80.
    pub fn w2(targets: u32) -> Self {
        let mut topology = Self::w1();
        topology.add_load_balancer();
        topology.group(Self::TARGET_GROUP).ingress = vec![from_group(Self::GATEWAY_GROUP)];
        topology.group(Self::GATEWAY_GROUP).ingress = vec![tcp_from(80, "172.18.0.0/16")];
        for number in 0..targets {
            let zone = [Self::ZONE_A, Self::ZONE_C][number as usize % 2];
            topology.add_target(number, zone);
        }
        topology
    }

    fn add_load_balancer(&mut self) {
        for (endpoint, node, zone) in [
            (Self::ENDPOINT_A, Self::NODE_A, Self::ZONE_A),
            (Self::ENDPOINT_C, Self::NODE_C, Self::ZONE_C),
        ] {
            self.interface(endpoint).role = Role::Endpoint(Destination::LoadBalancer { node });
            let interface = self.interface(node);
            interface.addresses.truncate(1);
            interface.role = Role::Node {
                load_balancer: Self::LOAD_BALANCER,
                zone,
            };
        }
        let load_balancer = LoadBalancer {
            listeners: vec![Self::LISTENER],
            cross_zone: false,
            enforces_inbound_rules_on_private_link: true,
        };
        let listener = Listener {
            protocol: ListenerProtocol::Tcp,
            port: 80,
            target_group: Self::TARGETS,
            tcp_idle_timeout: Duration::from_secs(350),
        };
        let target_group = TargetGroup {
            targets: vec![],
            stickiness: false,
            cross_zone: None,
            deregistration_delay: Duration::from_secs(300),
            terminates_on_deregistration: false,
            terminates_on_unhealthy: true,
            health_check: None,
            proxy_protocol: false,
        };
        let config = &mut self.config;
        config
            .load_balancers
            .insert(Self::LOAD_BALANCER, load_balancer);
        config.listeners.insert(Self::LISTENER, listener);
        config.target_groups.insert(Self::TARGETS, target_group);
    }

    /// AWS's defaults for a health check, which takes the targets' groups as they are.
    pub fn health_check(protocol: HealthCheckProtocol) -> HealthCheck {
        HealthCheck {
            protocol,
            port: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
        }
    }

    /// Registers one more instance.
    pub fn add_target(&mut self, number: u32, zone: Zone) {
        let address = Self::target_address(number);
        let instance = Role::Instance {
            source_dest_check: true,
        };
        self.add(
            Self::target_eni(number),
            Self::PROVIDER_VPC,
            &[address],
            Self::TARGET_GROUP,
            instance,
        );
        let idx = TargetIdx::new(number, 0);
        let target = Target {
            address: Addr::v4(address),
            port: Self::TARGET_PORT,
            zone,
            draining: false,
        };
        self.config.targets.insert(idx, target);
        self.target_group().targets.push(idx);
    }

    /// The interface of a target's instance.
    pub const fn target_eni(number: u32) -> EniIdx {
        EniIdx::new(100 + number, 0)
    }

    /// The address of a target's instance.
    pub const fn target_address(number: u32) -> [u8; 4] {
        [172, 18, 16 + (number / 250) as u8, 4 + (number % 250) as u8]
    }

    /// The load balancer, to be changed.
    pub fn load_balancer(&mut self) -> &mut LoadBalancer {
        let load_balancers = &mut self.config.load_balancers;
        load_balancers.get_mut(Self::LOAD_BALANCER).unwrap()
    }

    /// Its listener, to be changed.
    pub fn listener(&mut self) -> &mut Listener {
        self.config.listeners.get_mut(Self::LISTENER).unwrap()
    }

    /// The target group, to be changed.
    pub fn target_group(&mut self) -> &mut TargetGroup {
        self.config.target_groups.get_mut(Self::TARGETS).unwrap()
    }

    /// A target, to be changed.
    pub fn target(&mut self, number: u32) -> &mut Target {
        let idx = TargetIdx::new(number, 0);
        self.config.targets.get_mut(idx).unwrap()
    }
}
