//! Network load balancers: their listeners, and the targets behind them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ListenerIdx, TargetGroupIdx, TargetIdx};
use crate::net::Addr;

/// An Availability Zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(pub u16);

/// A network load balancer. Its nodes, one per enabled zone, are [`Interface`](super::Interface)s that name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Where it takes flows.
    pub listeners: Vec<ListenerIdx>,
    /// May a node choose targets of other zones?
    pub cross_zone: bool,
    /// Do the ingress rules of its groups count for what comes through an endpoint? They are asked about the consumer's own
    /// address.
    pub enforces_inbound_rules_on_private_link: bool,
}

/// A port at which a load balancer takes flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Which protocols it takes.
    pub protocol: ListenerProtocol,
    /// The port.
    pub port: u16,
    /// Where it sends them.
    pub target_group: TargetGroupIdx,
    /// How long a TCP flow may be idle: 60 to 6000 seconds.
    pub tcp_idle_timeout: Duration,
}

/// The protocols of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// Both, at one port.
    TcpUdp,
}

impl ListenerProtocol {
    /// Does it take TCP?
    pub const fn tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpUdp)
    }

    /// AWS's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
    }

    /// Does it take UDP?
    pub const fn udp(self) -> bool {
        matches!(self, Self::Udp | Self::TcpUdp)
    }
}

/// Targets that stand for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Its targets, draining ones too.
    pub targets: Vec<TargetIdx>,
    /// `source_ip`: does a client keep its target for as long as that is usable?
    pub stickiness: bool,
    /// As [`LoadBalancer::cross_zone`], for this group; `None`: as the load balancer says.
    pub cross_zone: Option<bool>,
    /// How long a target drains.
    pub deregistration_delay: Duration,
    /// Are a target's flows reset when it has drained?
    pub terminates_on_deregistration: bool,
    /// Are a target's flows reset when it becomes unhealthy?
    pub terminates_on_unhealthy: bool,
    /// How its targets are probed; `None`: they are not, and count as healthy.
    pub health_check: Option<HealthCheck>,
    /// Does a TCP connection begin with a PROXY header, version 2?
    pub proxy_protocol: bool,
}

/// A target, registered with one group. One of another group is another one, even with the same address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address in the load balancer's VPC.
    pub address: Addr,
    /// Its port.
    pub port: u16,
    /// Where it stands.
    pub zone: Zone,
    /// Has it been deregistered? It keeps its flows, and gets no new one.
    pub draining: bool,
}

/// How targets are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// With what.
    pub protocol: HealthCheckProtocol,
    /// At which port; `None`: the target's own (`traffic-port`).
    pub port: Option<u16>,
    /// From the beginning of a probe to that of the next one.
    pub interval: Duration,
    /// After which a probe has failed.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy target healthy.
    pub healthy_threshold: u8,
    /// Failures in a row that make a healthy target unhealthy.
    pub unhealthy_threshold: u8,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheckProtocol {
    /// It opens a connection.
    Tcp,
    /// It asks for a page.
    Http {
        /// The request's path.
        path: String,
        /// The status codes of a healthy target.
        matcher: Vec<RangeInclusive<u16>>,
    },
}
