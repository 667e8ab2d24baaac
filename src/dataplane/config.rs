//! What control tells the data plane: dense indices and values; no names but those that resolvers answer, and ids of AWS's
//! only where packets carry them.
//!
//! `control::compile` makes it, [`Dataplane::apply`](super::Dataplane::apply) turns it into the snapshot that packets see.

mod load_balancer;
mod names;

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use ipnet::IpNet;

use super::idx::{Idx, Table};
use crate::net::Addr;

pub use crate::net::proxy::EndpointId;
pub use load_balancer::{
    HealthCheck, HealthCheckProtocol, Listener, ListenerProtocol, LoadBalancer, Target,
    TargetGroup, Zone,
};
pub use names::{DnsZone, EndpointAddress, NameKey, Origin, RecordData, RecordSet, Resolver, View};

/// Index of a [`Vpc`].
pub type VpcIdx = Idx<Vpc>;
/// Index of an elastic network interface ([`Interface`]); also the name of a packet's place of entry and exit.
pub type EniIdx = Idx<Interface>;
/// Index of a [`SecurityGroup`].
pub type GroupIdx = Idx<SecurityGroup>;
/// Index of a [`Resource`].
pub type ResourceIdx = Idx<Resource>;
/// Index of a [`LoadBalancer`].
pub type LoadBalancerIdx = Idx<LoadBalancer>;
/// Index of a [`Listener`].
pub type ListenerIdx = Idx<Listener>;
/// Index of a [`TargetGroup`].
pub type TargetGroupIdx = Idx<TargetGroup>;
/// Index of a [`Target`].
pub type TargetIdx = Idx<Target>;

/// The whole topology.
#[derive(Clone, Debug, Default)]
pub struct DataplaneConfig {
    /// Every VPC.
    pub vpcs: Table<Vpc>,
    /// Every network interface: of instances, endpoints, gateways and load balancers.
    pub enis: Table<Interface>,
    /// The ids of the endpoints that have these interfaces, as PROXY headers give them.
    pub endpoint_ids: Table<Interface, EndpointId>,
    /// Every security group.
    pub groups: Table<SecurityGroup>,
    /// Every resource that an endpoint leads to.
    pub resources: Table<Resource>,
    /// Every network load balancer.
    pub load_balancers: Table<LoadBalancer>,
    /// Every listener of theirs.
    pub listeners: Table<Listener>,
    /// Every target group.
    pub target_groups: Table<TargetGroup>,
    /// Every target of theirs.
    pub targets: Table<Target>,
    /// The zones that everybody sees: endpoints' own names.
    pub public_zones: Vec<Arc<DnsZone>>,
}

/// A VPC: an address space of its own.
#[derive(Clone, Debug)]
pub struct Vpc {
    /// The implicit `local` route covers these.
    pub cidrs: Vec<IpNet>,
    /// Addresses that no instance may have: router, resolver, broadcast and what else AWS reserves.
    pub reserved: Vec<Addr>,
    /// `None` without DNS support.
    pub resolver: Option<Resolver>,
}

/// An elastic network interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Whose address space it stands in.
    pub vpc: VpcIdx,
    /// Its addresses, primary first; a resource gateway's has a whole block, a load balancer's up to seven more.
    pub addresses: Vec<Addr>,
    /// Its security groups.
    pub groups: Vec<GroupIdx>,
    /// Who stands behind it.
    pub role: Role,
}

/// Who stands behind an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An instance: packets enter and leave through its TUN.
    Instance {
        /// Must a packet's source be one of the interface's addresses?
        source_dest_check: bool,
    },
    /// A VPC endpoint in a consumer VPC. Its groups count for ingress only.
    Endpoint(Destination),
    /// A resource gateway in a provider VPC. Its groups count for egress only.
    Gateway,
    /// A load balancer's node: its interface in one zone, in a provider VPC. Without groups everything passes it.
    Node {
        /// The load balancer.
        load_balancer: LoadBalancerIdx,
        /// The zone.
        zone: Zone,
    },
}

/// What a VPC endpoint leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A resource.
    Resource {
        /// The resource.
        resource: ResourceIdx,
        /// The resource gateway's interface in the same zone, in the provider VPC.
        gateway: EniIdx,
    },
    /// A load balancer.
    LoadBalancer {
        /// Its node in the same zone, in the provider VPC.
        node: EniIdx,
    },
    /// Nothing: it is not available (yet, or any more), and its interface is silent.
    Nothing,
}

impl Destination {
    /// The interface from whose addresses its flows reach their targets.
    pub const fn gateway(self) -> Option<EniIdx> {
        match self {
            Self::Resource { gateway, .. } => Some(gateway),
            Self::LoadBalancer { node } => Some(node),
            Self::Nothing => None,
        }
    }
}

/// What a resource configuration of type SINGLE defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Where it is in the gateway's VPC.
    pub target: ResourceTarget,
    /// The ports that are offered, for TCP and UDP.
    pub ports: Vec<PortRange>,
    /// The protocols that are offered.
    pub protocols: Protocols,
    /// How long a flow may be idle; `None`: the protocol's own default.
    pub idle_timeout: Option<Duration>,
    /// Does a TCP connection begin with a PROXY header, version 2?
    pub proxy_protocol: bool,
}

/// Where a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceTarget {
    /// At this address.
    Address(Addr),
    /// Wherever its name leads, as long as the answers' TTLs say.
    Name {
        /// Its domain name, fully qualified.
        name: Name,
        /// Whose view of names it is looked up in.
        view: View,
        /// The ranges that its addresses may be of: others are not used, whoever has answered them.
        allowed: Vec<IpNet>,
    },
}

/// The transport protocols that a resource offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// TCP.
    pub tcp: bool,
    /// UDP.
    pub udp: bool,
    /// ICMP echo.
    pub icmp: bool,
}

/// Ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// Is `port` one of them?
    #[inline]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// How many there are.
    pub const fn count(self) -> usize {
        self.last as usize - self.first as usize + 1
    }
}

/// The rules of a security group.
#[derive(Clone, Debug, Default)]
pub struct SecurityGroup {
    /// Who may open flows to its members.
    pub ingress: Vec<Rule>,
    /// To whom its members may open flows.
    pub egress: Vec<Rule>,
}

/// One rule: this traffic, with this peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which packets.
    pub traffic: Traffic,
    /// Whose.
    pub peer: Peer,
}

/// The packets that a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Every protocol (`-1`).
    All,
    /// TCP to these destination ports.
    Tcp(PortRange),
    /// UDP to these destination ports.
    Udp(PortRange),
    /// ICMP of this type and code; `None`: any.
    Icmp {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// ICMPv6 of this type and code; `None`: any.
    Icmpv6 {
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
    /// An IP protocol by number.
    Protocol(u8),
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address range.
    Cidr(IpNet),
    /// The addresses of all interfaces that carry this group.
    Group(GroupIdx),
}
