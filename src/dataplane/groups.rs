//! Security groups: who may open a flow. Asked for first packets only; the flow itself is the answer for all later ones.
//!
//! Rules have no order and only admit (AWS: "Security group rules"), so the answer is whether any of any group does. That is
//! asked of all of them, so most take a quarter of a cache line: ports of a protocol, with an IPv4 range.

use std::collections::HashSet;

use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::config::{GroupIdx, Interface, Peer, PortRange, Rule, SecurityGroup, Traffic};
use super::idx::Table;
use crate::net::{Addr, Headers, Protocol, Transport};

/// The direction of a flow, as seen from the interface that carries the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// All groups of a snapshot, with the addresses that references to them stand for.
#[derive(Default)]
pub(super) struct Groups {
    table: Table<SecurityGroup, Group>,
}

struct Group {
    ingress: Rules,
    egress: Rules,
    members: HashSet<Addr, FixedState>,
}

/// The rules of one direction.
struct Rules {
    ranges: Box<[RangeRule]>,
    others: Box<[Rule]>,
}

/// A rule whose peer is an IPv4 range. All of it are equations and bounds, so that it is asked without a branch.
#[derive(Clone, Copy)]
struct RangeRule {
    network: u32,
    mask: u32,
    ports: PortRange,
    protocol: u8,
    /// 0 for every protocol.
    protocol_mask: u8,
}

impl Groups {
    /// The groups and, from the interfaces that carry them, their members.
    pub(super) fn new<'a>(
        groups: Table<SecurityGroup>,
        interfaces: impl Iterator<Item = &'a Interface>,
    ) -> Self {
        let mut members = Table::<SecurityGroup, HashSet<Addr, FixedState>>::new();
        for interface in interfaces {
            for group in &interface.groups {
                if members.get(*group).is_none() {
                    members.insert(*group, HashSet::default());
                }
                if let Some(addresses) = members.get_mut(*group) {
                    addresses.extend(&interface.addresses);
                }
            }
        }
        let mut table = Table::new();
        for (idx, rules) in groups.into_entries() {
            table.insert(
                idx,
                Group {
                    ingress: Rules::new(rules.ingress),
                    egress: Rules::new(rules.egress),
                    members: members.take(idx).unwrap_or_default(),
                },
            );
        }
        Self { table }
    }

    /// Does any rule of `groups` admit a first packet with these headers, from or to `peer`?
    pub(super) fn admit(
        &self,
        groups: &[GroupIdx],
        direction: Direction,
        headers: &Headers,
        peer: Addr,
    ) -> bool {
        self.ask(groups, direction, headers, peer, |rule| {
            self.is_peer(rule, peer)
        })
    }

    /// As [`Groups::admit`], for a peer in another VPC: no reference to a group means it, whoever has its address here.
    pub(super) fn admit_stranger(
        &self,
        groups: &[GroupIdx],
        direction: Direction,
        headers: &Headers,
        peer: Addr,
    ) -> bool {
        self.ask(groups, direction, headers, peer, |rule| {
            matches!(rule.peer, Peer::Cidr(_)) && self.is_peer(rule, peer)
        })
    }

    fn ask(
        &self,
        groups: &[GroupIdx],
        direction: Direction,
        headers: &Headers,
        peer: Addr,
        is_peer: impl Fn(&Rule) -> bool,
    ) -> bool {
        groups
            .iter()
            .filter_map(|group| self.table.get(*group))
            .any(|group| {
                let rules = match direction {
                    Direction::Ingress => &group.ingress,
                    Direction::Egress => &group.egress,
                };
                rules.admit(headers, peer, &is_peer)
            })
    }

    fn is_peer(&self, rule: &Rule, address: Addr) -> bool {
        match &rule.peer {
            Peer::Cidr(cidr) => cidr.contains(&address.ip()),
            Peer::Group(group) => self
                .table
                .get(*group)
                .is_some_and(|group| group.members.contains(&address)),
        }
    }
}

impl Rules {
    fn new(rules: Vec<Rule>) -> Self {
        let mut ranges = Vec::with_capacity(rules.len());
        let mut others = Vec::new();
        for rule in rules {
            match RangeRule::new(&rule) {
                Some(range) => ranges.push(range),
                None => others.push(rule),
            }
        }
        Self {
            ranges: ranges.into(),
            others: others.into(),
        }
    }

    fn admit(&self, headers: &Headers, peer: Addr, is_peer: impl Fn(&Rule) -> bool) -> bool {
        let in_range = peer.octets_v4().is_some_and(|octets| {
            let peer = u32::from_be_bytes(octets);
            self.ranges.iter().any(|rule| rule.admits(headers, peer))
        });
        in_range
            || self
                .others
                .iter()
                .any(|rule| speaks_of(rule, headers) && is_peer(rule))
    }
}

impl RangeRule {
    /// `None` for a rule that does not fit.
    fn new(rule: &Rule) -> Option<Self> {
        let Peer::Cidr(IpNet::V4(range)) = rule.peer else {
            return None;
        };
        let (protocol, protocol_mask, ports) = match rule.traffic {
            Traffic::All => (0, 0, PortRange::ALL),
            Traffic::Tcp(ports) => (Protocol::TCP.0, u8::MAX, ports),
            Traffic::Udp(ports) => (Protocol::UDP.0, u8::MAX, ports),
            Traffic::Protocol(number) => (number, u8::MAX, PortRange::ALL),
            Traffic::Icmp { .. } | Traffic::Icmpv6 { .. } => return None,
        };
        Some(Self {
            network: range.network().to_bits(),
            mask: range.netmask().to_bits(),
            ports,
            protocol,
            protocol_mask,
        })
    }

    #[inline]
    fn admits(&self, headers: &Headers, peer: u32) -> bool {
        let port = headers.tuple.dst_port;
        (peer & self.mask == self.network)
            & (headers.tuple.protocol.0 & self.protocol_mask == self.protocol)
            & (self.ports.first <= port)
            & (port <= self.ports.last)
    }
}

fn speaks_of(rule: &Rule, headers: &Headers) -> bool {
    let tuple = &headers.tuple;
    match rule.traffic {
        Traffic::All => true,
        Traffic::Tcp(ports) => tuple.protocol == Protocol::TCP && ports.contains(tuple.dst_port),
        Traffic::Udp(ports) => tuple.protocol == Protocol::UDP && ports.contains(tuple.dst_port),
        Traffic::Icmp { kind, code } => {
            // Only echoes open flows, and their code is 0.
            let echo = match headers.transport {
                Transport::EchoRequest => 8,
                Transport::EchoReply => 0,
                _ => return false,
            };
            kind.is_none_or(|kind| kind == echo) && code.is_none_or(|code| code == 0)
        }
        Traffic::Icmpv6 { .. } => false,
        Traffic::Protocol(number) => tuple.protocol == Protocol(number),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;
    use crate::sim::{PacketBuilder, echo_request, tcp, udp};

    fn traffic() -> impl Strategy<Value = Traffic> {
        let ports = (0u16..4, 0u16..4).prop_map(|(first, more)| PortRange {
            first,
            last: first + more,
        });
        prop_oneof![
            Just(Traffic::All),
            ports.clone().prop_map(Traffic::Tcp),
            ports.prop_map(Traffic::Udp),
            prop_oneof![Just(1), Just(6), Just(17), Just(47)].prop_map(Traffic::Protocol),
        ]
    }

    /// A first packet to port 0 to 7, and the peer that it is asked for.
    fn packet() -> impl Strategy<Value = (PacketBuilder, [u8; 4])> {
        let peer = any::<u32>().prop_map(|bits| (bits & 0x0303_0303).to_be_bytes());
        (peer, 0u16..8, 0..3).prop_map(|(peer, port, kind)| {
            let (src, dst) = ((peer, 1000), ([9, 9, 9, 9], port));
            let packet = match kind {
                0 => tcp(src, dst),
                1 => udp(src, dst),
                _ => echo_request(src.0, dst.0, 1),
            };
            (packet, peer)
        })
    }

    proptest! {
        #[test]
        fn a_rule_says_the_same_in_its_short_form(
            traffic in traffic(),
            (network, length) in (any::<u32>(), 0u8..=32),
            (packet, peer) in packet(),
        ) {
            let network = Ipv4Addr::from_bits(network & 0x0303_0303);
            let range = Ipv4Net::new(network, length).unwrap().trunc();
            let rule = Rule { traffic, peer: Peer::Cidr(range.into()) };
            let headers = packet.build().headers().unwrap();
            let short = RangeRule::new(&rule).unwrap();
            let expected = speaks_of(&rule, &headers) && range.contains(&Ipv4Addr::from(peer));
            prop_assert_eq!(short.admits(&headers, u32::from_be_bytes(peer)), expected);
        }
    }

    #[test]
    fn a_rule_takes_a_quarter_of_a_cache_line() {
        assert_eq!(size_of::<RangeRule>(), 16);
    }
}
