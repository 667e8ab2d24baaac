//! Security groups: who may open a flow. Asked for first packets only; the flow itself is the answer for all later ones.
//!
//! Rules have no order and only admit (AWS: "Security group rules"), so the answer is whether any of any group does.

use std::collections::HashSet;

use foldhash::fast::FixedState;

use super::config::{GroupIdx, Interface, Peer, Rule, SecurityGroup, Traffic};
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
    rules: SecurityGroup,
    members: HashSet<Addr, FixedState>,
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
                    rules,
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
        groups
            .iter()
            .filter_map(|group| self.table.get(*group))
            .any(|group| {
                let rules = match direction {
                    Direction::Ingress => &group.rules.ingress,
                    Direction::Egress => &group.rules.egress,
                };
                rules
                    .iter()
                    .any(|rule| speaks_of(rule, headers) && self.is_peer(rule, peer))
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
