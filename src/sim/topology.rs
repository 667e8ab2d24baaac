//! Walkthrough W1 as the data plane sees it, with a second instance in each VPC.

use crate::dataplane::config::{
    DataplaneConfig, Destination, EndpointId, EniIdx, GroupIdx, Interface, Peer, PortRange,
    Protocols, Resource, ResourceIdx, ResourceTarget, Role, Rule, SecurityGroup, Traffic, Vpc,
    VpcIdx,
};
use crate::net::Addr;

/// Two VPCs with the same CIDR, 172.18.0.0/16, and an endpoint in two zones that leads from one to the other.
///
/// Every index and address is a constant, so that a test reads like the picture; every part can be changed before the
/// world is built.
#[derive(Clone, Debug)]
pub struct Topology {
    /// What the data plane gets.
    pub config: DataplaneConfig,
}

impl Topology {
    /// The consumer's VPC.
    pub const CONSUMER_VPC: VpcIdx = VpcIdx::new(0, 0);
    /// The provider's VPC.
    pub const PROVIDER_VPC: VpcIdx = VpcIdx::new(1, 0);
    /// EC2_A, in the consumer's VPC.
    pub const EC2_A: EniIdx = EniIdx::new(0, 0);
    /// EC2_B, in the provider's VPC.
    pub const EC2_B: EniIdx = EniIdx::new(1, 0);
    /// The endpoint's interface in zone a.
    pub const ENDPOINT_A: EniIdx = EniIdx::new(2, 0);
    /// The endpoint's interface in zone c.
    pub const ENDPOINT_C: EniIdx = EniIdx::new(3, 0);
    /// The gateway's interface in zone a.
    pub const GATEWAY_A: EniIdx = EniIdx::new(4, 0);
    /// The gateway's interface in zone c.
    pub const GATEWAY_C: EniIdx = EniIdx::new(5, 0);
    /// A neighbour of EC2_A's.
    pub const EC2_A2: EniIdx = EniIdx::new(6, 0);
    /// A neighbour of EC2_B's.
    pub const EC2_B2: EniIdx = EniIdx::new(7, 0);
    /// What the endpoint leads to: TCP, ports 1 to 65535, of EC2_B.
    pub const RESOURCE: ResourceIdx = ResourceIdx::new(0, 0);
    /// EC2_A's group: admits everything out, and everything in from its own members.
    pub const CONSUMER_GROUP: GroupIdx = GroupIdx::new(0, 0);
    /// The endpoint's group: admits port 80 from the VPC's CIDR.
    pub const ENDPOINT_GROUP: GroupIdx = GroupIdx::new(1, 0);
    /// The gateway's group: admits everything out.
    pub const GATEWAY_GROUP: GroupIdx = GroupIdx::new(2, 0);
    /// EC2_B's group: admits port 80 from the gateway's group.
    pub const TARGET_GROUP: GroupIdx = GroupIdx::new(3, 0);

    /// Address of EC2_A, and of EC2_B: they are the same.
    pub const EC2_ADDRESS: [u8; 4] = [172, 18, 0, 108];
    /// Address of the neighbours EC2_A2 and EC2_B2.
    pub const NEIGHBOUR_ADDRESS: [u8; 4] = [172, 18, 0, 109];
    /// Address of the endpoint in zone a.
    pub const ENDPOINT_A_ADDRESS: [u8; 4] = [172, 18, 0, 247];
    /// Address of the endpoint in zone c.
    pub const ENDPOINT_C_ADDRESS: [u8; 4] = [172, 18, 1, 70];

    /// The endpoint's id.
    pub const ENDPOINT_ID: &EndpointId = b"vpce-0123456789abcdef0";

    /// Walkthrough W1.
    pub fn w1() -> Self {
        let mut config = DataplaneConfig::default();
        for vpc in [Self::CONSUMER_VPC, Self::PROVIDER_VPC] {
            config.vpcs.insert(
                vpc,
                Vpc {
                    cidrs: vec!["172.18.0.0/16".parse().unwrap()],
                    reserved: reserved(),
                    resolver: None,
                },
            );
        }
        let from_gateway = Rule {
            traffic: Traffic::Tcp(port(80)),
            peer: Peer::Group(Self::GATEWAY_GROUP),
        };
        let anywhere = || vec![any_from("0.0.0.0/0")];
        for (group, ingress, egress) in [
            (
                Self::CONSUMER_GROUP,
                vec![from_group(Self::CONSUMER_GROUP)],
                anywhere(),
            ),
            (
                Self::ENDPOINT_GROUP,
                vec![tcp_from(80, "172.18.0.0/16")],
                vec![],
            ),
            (Self::GATEWAY_GROUP, vec![], anywhere()),
            (Self::TARGET_GROUP, vec![from_gateway], anywhere()),
        ] {
            config
                .groups
                .insert(group, SecurityGroup { ingress, egress });
        }
        config.resources.insert(
            Self::RESOURCE,
            Resource {
                target: ResourceTarget::Address(Addr::v4(Self::EC2_ADDRESS)),
                ports: vec![PortRange {
                    first: 1,
                    last: 65535,
                }],
                protocols: Protocols {
                    tcp: true,
                    udp: false,
                    icmp: false,
                },
                idle_timeout: None,
                proxy_protocol: false,
            },
        );
        let mut topology = Self { config };
        topology.add_interfaces();
        topology
    }

    fn add_interfaces(&mut self) {
        let instance = || Role::Instance {
            source_dest_check: true,
        };
        let block = |subnet: u8| {
            (0..16)
                .map(|i| [172, 18, subnet, 80 + i])
                .collect::<Vec<_>>()
        };
        let through = |gateway| {
            Role::Endpoint(Destination::Resource {
                resource: Self::RESOURCE,
                gateway,
            })
        };
        for endpoint in [Self::ENDPOINT_A, Self::ENDPOINT_C] {
            self.config
                .endpoint_ids
                .insert(endpoint, *Self::ENDPOINT_ID);
        }
        let (consumer, provider) = (Self::CONSUMER_VPC, Self::PROVIDER_VPC);
        self.add(
            Self::EC2_A,
            consumer,
            &[Self::EC2_ADDRESS],
            Self::CONSUMER_GROUP,
            instance(),
        );
        self.add(
            Self::EC2_A2,
            consumer,
            &[Self::NEIGHBOUR_ADDRESS],
            Self::CONSUMER_GROUP,
            instance(),
        );
        self.add(
            Self::EC2_B,
            provider,
            &[Self::EC2_ADDRESS],
            Self::TARGET_GROUP,
            instance(),
        );
        self.add(
            Self::EC2_B2,
            provider,
            &[Self::NEIGHBOUR_ADDRESS],
            Self::TARGET_GROUP,
            instance(),
        );
        let (a, c) = (through(Self::GATEWAY_A), through(Self::GATEWAY_C));
        self.add(
            Self::ENDPOINT_A,
            consumer,
            &[Self::ENDPOINT_A_ADDRESS],
            Self::ENDPOINT_GROUP,
            a,
        );
        self.add(
            Self::ENDPOINT_C,
            consumer,
            &[Self::ENDPOINT_C_ADDRESS],
            Self::ENDPOINT_GROUP,
            c,
        );
        self.add(
            Self::GATEWAY_A,
            provider,
            &block(0),
            Self::GATEWAY_GROUP,
            Role::Gateway,
        );
        self.add(
            Self::GATEWAY_C,
            provider,
            &block(1),
            Self::GATEWAY_GROUP,
            Role::Gateway,
        );
    }

    /// Adds an interface, or puts it in the place of the one at `idx`.
    pub fn add(
        &mut self,
        idx: EniIdx,
        vpc: VpcIdx,
        addresses: &[[u8; 4]],
        group: GroupIdx,
        role: Role,
    ) {
        let addresses = addresses.iter().copied().map(Addr::v4).collect();
        self.config.enis.insert(
            idx,
            Interface {
                vpc,
                addresses,
                groups: vec![group],
                role,
            },
        );
    }

    /// The group at `idx`, to be changed.
    pub fn group(&mut self, idx: GroupIdx) -> &mut SecurityGroup {
        self.config.groups.get_mut(idx).unwrap()
    }

    /// The interface at `idx`, to be changed.
    pub fn interface(&mut self, idx: EniIdx) -> &mut Interface {
        self.config.enis.get_mut(idx).unwrap()
    }

    /// The resource, to be changed.
    pub fn resource(&mut self) -> &mut Resource {
        self.config.resources.get_mut(Self::RESOURCE).unwrap()
    }
}

/// The first four addresses and the last of both subnets, and the last of the VPC.
fn reserved() -> Vec<Addr> {
    let of_subnets = [0, 1].map(|subnet| [0, 1, 2, 3, 255].map(|host| [172, 18, subnet, host]));
    let of_subnets = of_subnets.into_iter().flatten();
    of_subnets
        .chain([[172, 18, 255, 255]])
        .map(Addr::v4)
        .collect()
}

const fn port(port: u16) -> PortRange {
    PortRange {
        first: port,
        last: port,
    }
}

/// A rule: TCP to this port, with peers in `cidr`.
pub fn tcp_from(to: u16, cidr: &str) -> Rule {
    Rule {
        traffic: Traffic::Tcp(port(to)),
        peer: Peer::Cidr(cidr.parse().unwrap()),
    }
}

/// A rule: everything, with peers in `cidr`.
pub fn any_from(cidr: &str) -> Rule {
    Rule {
        traffic: Traffic::All,
        peer: Peer::Cidr(cidr.parse().unwrap()),
    }
}

/// A rule: everything, with members of `group`.
pub fn from_group(group: GroupIdx) -> Rule {
    Rule {
        traffic: Traffic::All,
        peer: Peer::Group(group),
    }
}
