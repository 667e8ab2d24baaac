//! How rules are added to a security group.

use ipnet::IpNet;

use super::{RULES_PER_DIRECTION, RulePeer, SecurityGroup, SecurityGroupRule};
use crate::control::checks::All;
use crate::control::command::{AuthorizeSecurityGroupEgress, AuthorizeSecurityGroupIngress};
use crate::control::error::{ControlError, ControlErrors, Named};
use crate::control::id::{SecurityGroupId, SecurityGroupRuleId};
use crate::control::{ControlState, parse};
use crate::dataplane::config::{PortRange, Traffic};

/// What the two directions' commands have in common.
struct Permission {
    client_token: String,
    group_id: SecurityGroupId,
    ip_protocol: String,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    cidr_ipv6: Option<String>,
    security_group_id: Option<SecurityGroupId>,
    prefix_list_id: Option<String>,
    description: Option<String>,
}

/// How a direction's properties are called.
struct Words {
    direction: &'static str,
    security_group_id: &'static str,
    prefix_list_id: &'static str,
    choices: &'static str,
}

const INGRESS: Words = Words {
    direction: "ingress",
    security_group_id: "SourceSecurityGroupId",
    prefix_list_id: "SourcePrefixListId",
    choices: "CidrIp, CidrIpv6 or SourceSecurityGroupId",
};
const EGRESS: Words = Words {
    direction: "egress",
    security_group_id: "DestinationSecurityGroupId",
    prefix_list_id: "DestinationPrefixListId",
    choices: "CidrIp, CidrIpv6 or DestinationSecurityGroupId",
};

impl ControlState {
    pub(in crate::control) fn authorize_security_group_ingress(
        &mut self,
        command: AuthorizeSecurityGroupIngress,
    ) -> Result<SecurityGroupRuleId, ControlErrors> {
        let permission = Permission {
            client_token: command.client_token,
            group_id: command.group_id,
            ip_protocol: command.ip_protocol,
            from_port: command.from_port,
            to_port: command.to_port,
            cidr_ip: command.cidr_ip,
            cidr_ipv6: command.cidr_ipv6,
            security_group_id: command.source_security_group_id,
            prefix_list_id: command.source_prefix_list_id,
            description: command.description,
        };
        self.authorize(permission, &INGRESS, false, |group| &mut group.ingress)
    }

    pub(in crate::control) fn authorize_security_group_egress(
        &mut self,
        command: AuthorizeSecurityGroupEgress,
    ) -> Result<SecurityGroupRuleId, ControlErrors> {
        let permission = Permission {
            client_token: command.client_token,
            group_id: command.group_id,
            ip_protocol: command.ip_protocol,
            from_port: command.from_port,
            to_port: command.to_port,
            cidr_ip: command.cidr_ip,
            cidr_ipv6: command.cidr_ipv6,
            security_group_id: command.destination_security_group_id,
            prefix_list_id: command.destination_prefix_list_id,
            description: command.description,
        };
        self.authorize(permission, &EGRESS, command.replaces_default, |group| {
            &mut group.egress
        })
    }

    /// Takes a rule out of its group.
    pub(in crate::control) fn revoke_security_group_rule(
        &mut self,
        rule_id: SecurityGroupRuleId,
    ) -> Result<(), ControlErrors> {
        self.own(rule_id, "SecurityGroupRuleIds")?;
        for group in self.security_groups.iter_mut() {
            let stays = |rule: &SecurityGroupRule| rule.security_group_rule_id != rule_id;
            group.ingress.retain(stays);
            group.egress.retain(stays);
        }
        self.mint.release(rule_id);
        Ok(())
    }

    fn authorize(
        &mut self,
        permission: Permission,
        words: &Words,
        replaces_default: bool,
        rules: impl Fn(&mut SecurityGroup) -> &mut Vec<SecurityGroupRule>,
    ) -> Result<SecurityGroupRuleId, ControlErrors> {
        self.fresh::<SecurityGroupRuleId>(&permission.client_token)?;
        self.own(permission.group_id, "GroupId")?;
        let (traffic, peer) = (
            traffic(
                &permission.ip_protocol,
                permission.from_port,
                permission.to_port,
            ),
            self.rule_peer(&permission, words),
        )
            .all()?;
        let group = self.named_security_group(permission.group_id);
        let Some(rules) = self
            .security_groups
            .find_mut(&permission.group_id)
            .map(rules)
        else {
            return Err(ControlError::not_found(permission.group_id, "GroupId").into());
        };
        let stays = |rule: &SecurityGroupRule| !(replaces_default && rule.is_default);
        let kept = rules.iter().filter(|rule| stays(rule));
        check_room(kept, traffic, peer, group, words.direction)?;
        let rule_id = self.mint.mint(&self.owner, &permission.client_token);
        for replaced in rules.iter().filter(|rule| !stays(rule)) {
            self.mint.release(replaced.security_group_rule_id);
        }
        rules.retain(stays);
        rules.push(SecurityGroupRule {
            security_group_rule_id: rule_id,
            traffic,
            peer,
            description: permission.description,
            is_default: false,
        });
        Ok(rule_id)
    }

    /// The one peer that a rule names.
    fn rule_peer(&self, permission: &Permission, words: &Words) -> Result<RulePeer, ControlError> {
        if let Some(list) = &permission.prefix_list_id {
            return Err(ControlError::NotYet {
                property: words.prefix_list_id.to_owned(),
                what: format!("prefix list {list}"),
                wanted: words.choices,
            });
        }
        match (
            &permission.cidr_ip,
            &permission.cidr_ipv6,
            permission.security_group_id,
        ) {
            (Some(range), None, None) => {
                parse::ipv4_range("CidrIp", range).map(|range| RulePeer::Cidr(IpNet::V4(range)))
            }
            (None, Some(range), None) => {
                parse::ipv6_range("CidrIpv6", range).map(|range| RulePeer::Cidr(IpNet::V6(range)))
            }
            (None, None, Some(peer)) => self.peer_group(permission.group_id, peer, words),
            (ipv4, ipv6, group) => Err(ControlError::RulePeer {
                property: match (ipv6, group) {
                    _ if ipv4.is_none() && ipv6.is_none() => "",
                    (_, Some(_)) => words.security_group_id,
                    _ => "CidrIpv6",
                }
                .to_owned(),
                given: usize::from(ipv4.is_some())
                    + usize::from(ipv6.is_some())
                    + usize::from(group.is_some()),
                choices: words.choices,
            }),
        }
    }

    /// A group as peer: of the same VPC, as there is no peering yet.
    fn peer_group(
        &self,
        group_id: SecurityGroupId,
        peer_id: SecurityGroupId,
        words: &Words,
    ) -> Result<RulePeer, ControlError> {
        let group = self.security_groups.require(group_id, "GroupId")?;
        let peer = self
            .security_groups
            .require(peer_id, words.security_group_id)?;
        match peer.vpc_id == group.vpc_id {
            true => Ok(RulePeer::Group(peer_id)),
            false => Err(ControlError::GroupOfOtherVpc {
                property: words.security_group_id.to_owned(),
                group: self.named_security_group(peer_id),
                with: format!("security group {}", self.named_security_group(group_id)),
                vpc: self.named_vpc(group.vpc_id),
            }),
        }
    }
}

/// May one more rule join `rules`?
fn check_room<'r>(
    rules: impl Iterator<Item = &'r SecurityGroupRule>,
    traffic: Traffic,
    peer: RulePeer,
    group: Named,
    direction: &'static str,
) -> Result<(), ControlError> {
    let mut count = 0;
    for rule in rules {
        if rule.traffic == traffic && rule.peer == peer {
            return Err(ControlError::DuplicateRule {
                group,
                direction,
                rule: rule.to_string(),
            });
        }
        count += 1;
    }
    match count < RULES_PER_DIRECTION {
        true => Ok(()),
        false => Err(ControlError::TooManyRules {
            group,
            direction,
            limit: RULES_PER_DIRECTION,
        }),
    }
}

/// `IpProtocol`, `FromPort` and `ToPort` as the packets they speak of.
fn traffic(protocol: &str, from: Option<i64>, to: Option<i64>) -> Result<Traffic, ControlErrors> {
    match protocol {
        "-1" => return Ok(Traffic::All),
        "tcp" | "6" => return ports(from, to).map(Traffic::Tcp),
        "udp" | "17" => return ports(from, to).map(Traffic::Udp),
        "icmp" | "1" => {
            return icmp(from, to).map(|(kind, code)| Traffic::Icmp { kind, code });
        }
        // EC2 takes ICMPv6 without a type for any.
        "icmpv6" | "58" if from.is_none() && to.is_none() => {
            return Ok(Traffic::Icmpv6 {
                kind: None,
                code: None,
            });
        }
        "icmpv6" | "58" => {
            return icmp(from, to).map(|(kind, code)| Traffic::Icmpv6 { kind, code });
        }
        _ => {}
    }
    let number = protocol.parse().map_err(|_| ControlError::Malformed {
        property: "IpProtocol".to_owned(),
        given: protocol.to_owned(),
        wanted: "a protocol: tcp, udp, icmp, icmpv6, a number from 0 to 255, or -1 for all",
        example: "tcp",
    })?;
    Ok(Traffic::Protocol(number))
}

fn ports(from: Option<i64>, to: Option<i64>) -> Result<PortRange, ControlErrors> {
    let port = |property: &str, given: Option<i64>| {
        let given = required(
            property,
            given,
            "TCP and UDP rules say from which port to which",
        )?;
        parse::number(property, given, (0, u16::MAX), "0 to 65535")
    };
    let (first, last) = (port("FromPort", from), port("ToPort", to)).all()?;
    match first <= last {
        true => Ok(PortRange { first, last }),
        false => Err(ControlError::OutOfRange {
            property: "ToPort".to_owned(),
            given: last.to_string(),
            wanted: "FromPort or more",
        }
        .into()),
    }
}

fn icmp(kind: Option<i64>, code: Option<i64>) -> Result<(Option<u8>, Option<u8>), ControlErrors> {
    let number = |property: &str, given: Option<i64>| match required(
        property,
        given,
        "ICMP rules give type and code, -1 for any",
    )? {
        -1 => Ok(None),
        given => parse::number(property, given, (0, u8::MAX), "0 to 255, or -1 for any").map(Some),
    };
    match (number("FromPort", kind), number("ToPort", code)).all()? {
        (None, Some(code)) => Err(ControlError::Combination {
            property: "ToPort".to_owned(),
            what: format!("code {code} of every ICMP type"),
            wanted: "every type (FromPort -1) goes with every code (ToPort -1)",
        }
        .into()),
        numbers => Ok(numbers),
    }
}

fn required(property: &str, given: Option<i64>, wanted: &'static str) -> Result<i64, ControlError> {
    given.ok_or_else(|| ControlError::Missing {
        property: property.to_owned(),
        wanted,
    })
}
