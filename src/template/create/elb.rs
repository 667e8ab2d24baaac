//! The commands of `AWS::ElasticLoadBalancingV2`'s types.

use super::Creation;
use super::place::{Place, boolean, integer, list, tags, text};
use crate::control::command::*;
use crate::control::id::TargetGroupId;
use crate::control::{ControlState, Created};
use crate::template::node::Node;

impl Creation<'_, '_> {
    pub(super) fn load_balancer(&mut self, place: Place) -> Option<CreateLoadBalancer> {
        // All ids first, so that one run shows all their errors.
        let subnets = self.ids(place, "Subnets");
        let security_groups = self.ids(place, "SecurityGroups");
        let mut subnet_mappings = Some(Vec::new());
        for (i, node) in list(place, "SubnetMappings").iter().enumerate() {
            let prefix = &format!("{}SubnetMappings.{i}.", place.prefix);
            let mapping = Place { node, prefix };
            let subnet_id = self.id(mapping, "SubnetId");
            subnet_mappings = subnet_mappings.zip(subnet_id).map(|(mut list, subnet_id)| {
                list.push(SubnetMapping {
                    subnet_id,
                    private_ipv4_address: text(mapping, "PrivateIPv4Address"),
                });
                list
            });
        }
        Some(CreateLoadBalancer {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name"),
            load_balancer_type: text(place, "Type"),
            scheme: text(place, "Scheme"),
            ip_address_type: text(place, "IpAddressType"),
            subnets: subnets?,
            subnet_mappings: subnet_mappings?,
            security_groups: security_groups?,
            enforce_security_group_inbound_rules_on_private_link_traffic: text(
                place,
                "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic",
            ),
            attributes: attributes(place, "LoadBalancerAttributes"),
            tags: tags(place),
        })
    }

    pub(super) fn target_group(
        &mut self,
        place: Place,
        state: &mut ControlState,
    ) -> Option<Created> {
        let matcher = place.node.child("Matcher").map(|node| Place {
            node,
            prefix: "Matcher.",
        });
        let command = CreateTargetGroup {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name"),
            protocol: text(place, "Protocol"),
            port: integer(place, "Port"),
            vpc_id: self.optional_id(place, "VpcId")?,
            target_type: text(place, "TargetType"),
            ip_address_type: text(place, "IpAddressType"),
            health_check: HealthCheckProperties {
                enabled: boolean(place, "HealthCheckEnabled"),
                protocol: text(place, "HealthCheckProtocol"),
                port: text(place, "HealthCheckPort"),
                path: text(place, "HealthCheckPath"),
                matcher: matcher.and_then(|matcher| text(matcher, "HttpCode")),
                interval_seconds: integer(place, "HealthCheckIntervalSeconds"),
                timeout_seconds: integer(place, "HealthCheckTimeoutSeconds"),
                healthy_threshold_count: integer(place, "HealthyThresholdCount"),
                unhealthy_threshold_count: integer(place, "UnhealthyThresholdCount"),
            },
            attributes: attributes(place, "TargetGroupAttributes"),
            tags: tags(place),
        };
        let created = self.execute(Command::CreateTargetGroup(command), place, state)?;
        let Created::TargetGroup(target_group) = created else {
            return None;
        };
        let targets: Vec<_> = list(place, "Targets").iter().map(target).collect();
        if !targets.is_empty() {
            let command = RegisterTargets {
                target_group,
                targets,
            };
            self.execute(Command::RegisterTargets(command), place, state)?;
        }
        Some(created)
    }

    pub(super) fn listener(&mut self, place: Place) -> Option<CreateListener> {
        let load_balancer = self.id(place, "LoadBalancerArn");
        let actions = list(place, "DefaultActions").iter().enumerate();
        let actions: Vec<_> = actions
            .map(|(i, node)| {
                let prefix = &format!("{}DefaultActions.{i}.", place.prefix);
                self.action(Place { node, prefix })
            })
            .collect();
        let default_actions: Option<Vec<_>> = actions.into_iter().collect();
        Some(CreateListener {
            client_token: self.logical_id.to_owned(),
            load_balancer: load_balancer?,
            port: integer(place, "Port"),
            protocol: text(place, "Protocol"),
            default_actions: default_actions?,
            attributes: attributes(place, "ListenerAttributes"),
        })
    }

    /// `TargetGroupArn`, and the list of `ForwardConfig`, which may name the same one again.
    fn action(&mut self, place: Place) -> Option<Action> {
        let mut target_groups: Vec<TargetGroupId> = Vec::new();
        target_groups.extend(self.optional_id::<TargetGroupId>(place, "TargetGroupArn")?);
        let config = place.node.child("ForwardConfig");
        let tuples = config.and_then(|config| config.child("TargetGroups"));
        let tuples = tuples.and_then(Node::as_list).unwrap_or_default();
        for (i, node) in tuples.iter().enumerate() {
            let prefix = &format!("{}ForwardConfig.TargetGroups.{i}.", place.prefix);
            let id = self.optional_id(Place { node, prefix }, "TargetGroupArn")?;
            target_groups.extend(id.filter(|id| !target_groups.contains(id)));
        }
        Some(Action {
            action_type: text(place, "Type")?,
            target_groups,
        })
    }
}

fn target(node: &Node) -> TargetDescription {
    let place = Place { node, prefix: "" };
    TargetDescription {
        id: text(place, "Id").unwrap_or_default(),
        port: integer(place, "Port"),
        availability_zone: text(place, "AvailabilityZone"),
    }
}

fn attributes(place: Place, key: &str) -> Vec<Attribute> {
    let attribute = |node: &Node| {
        let part = |key| node.child(key).and_then(Node::as_text).map(str::to_owned);
        Attribute {
            key: part("Key").unwrap_or_default(),
            value: part("Value").unwrap_or_default(),
        }
    };
    list(place, key).iter().map(attribute).collect()
}
