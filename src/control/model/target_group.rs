//! A target group: targets that stand for each other, and how they are probed.

use std::time::Duration;

use super::attribute::{self, Attributes};
use super::load_balancer::elb_name;
use super::{Tags, Target, health_check};
use crate::control::checks::{All, unused};
use crate::control::command::CreateTargetGroup;
use crate::control::error::{ControlError, ControlErrors, Named};
use crate::control::id::*;
use crate::control::{ControlState, parse};
use crate::dataplane::config::{HealthCheck, ListenerProtocol, TargetGroupIdx};

/// A target group of a network load balancer.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetGroup {
    /// Its id, the end of its ARN.
    #[serde(skip)]
    pub id: TargetGroupId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: TargetGroupIdx,
    /// Its ARN.
    pub target_group_arn: String,
    /// Unique in the account.
    pub target_group_name: String,
    /// What its targets take.
    #[serde(skip)]
    pub protocol: ListenerProtocol,
    /// The port of targets that are registered without one.
    pub port: u16,
    /// Where its targets stand.
    pub vpc_id: VpcId,
    /// What its targets are named by.
    pub target_type: TargetType,
    /// Its targets, draining ones too, in the order of their registration.
    #[serde(skip)]
    pub targets: Vec<Target>,
    /// How they are probed.
    #[serde(skip)]
    pub health_check: HealthCheck,
    /// Does a client keep its target (`stickiness.type` `source_ip`)?
    pub stickiness: bool,
    /// Does a connection begin with a PROXY protocol header?
    pub proxy_protocol_v2: bool,
    /// May targets of other zones be chosen? `None`: as the load balancer says.
    pub cross_zone: Option<bool>,
    /// How long a target drains.
    pub deregistration_delay: Duration,
    /// Are a target's flows reset when it has drained?
    pub terminates_on_deregistration: bool,
    /// Are a target's flows reset when it becomes unhealthy?
    pub terminates_on_unhealthy: bool,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

impl TargetGroup {
    /// The attributes that mean nothing for packets here.
    pub const IGNORED_ATTRIBUTES: &[&str] = &[
        // What comes through an endpoint has the node's address, whatever it says.
        "preserve_client_ip.enabled",
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "target_health_state.unhealthy.draining_interval_seconds",
    ];
}

/// What targets are named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetType {
    /// The ids of instances.
    Instance,
    /// Addresses.
    Ip,
}

const ATTRIBUTES: Attributes = Attributes {
    list: "TargetGroupAttributes",
    used: &[
        STICKINESS,
        STICKINESS_TYPE,
        PROXY_PROTOCOL,
        CROSS_ZONE,
        DELAY,
        ON_DEREGISTRATION,
        ON_UNHEALTHY,
    ],
    ignored: TargetGroup::IGNORED_ATTRIBUTES,
};
const STICKINESS: &str = "stickiness.enabled";
const STICKINESS_TYPE: &str = "stickiness.type";
const PROXY_PROTOCOL: &str = "proxy_protocol_v2.enabled";
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
const DELAY: &str = "deregistration_delay.timeout_seconds";
const ON_DEREGISTRATION: &str = "deregistration_delay.connection_termination.enabled";
const ON_UNHEALTHY: &str = "target_health_state.unhealthy.connection_termination.enabled";

/// What the attributes say.
struct Settings {
    stickiness: bool,
    proxy_protocol_v2: bool,
    cross_zone: Option<bool>,
    deregistration_delay: Duration,
    terminates_on_deregistration: bool,
    terminates_on_unhealthy: bool,
}

impl ControlState {
    pub(in crate::control) fn create_target_group(
        &mut self,
        command: CreateTargetGroup,
    ) -> Result<TargetGroupId, ControlErrors> {
        self.fresh::<TargetGroupId>(&command.client_token)?;
        // Another type would have other properties: they are judged only when it is right.
        let target_type = target_type(&command)?;
        let name = elb_name(command.name.as_deref(), &command.client_token);
        let (name, port, vpc_id, health_check, (protocol, settings)) = (
            name.and_then(|name| self.check_target_group_name(name)),
            port(
                command.port,
                "a target without a port of its own has this one",
            ),
            self.target_group_vpc(&command),
            health_check::read(&command.health_check),
            protocol("Protocol", command.protocol.as_deref())
                .map_err(ControlErrors::from)
                .and_then(|protocol| Ok((protocol, settings(&command, protocol)?))),
        )
            .all()?;
        let id: TargetGroupId = self.mint.mint(&self.owner, &command.client_token);
        self.target_group_names.insert(self.owner.named(&name), id);
        let target_group = TargetGroup {
            id,
            idx: self.indices.target_groups.allocate(id),
            target_group_arn: self
                .owner
                .arn("elasticloadbalancing", &format!("targetgroup/{name}/{id}")),
            target_group_name: name,
            protocol,
            port,
            vpc_id,
            target_type,
            targets: Vec::new(),
            health_check,
            stickiness: settings.stickiness,
            proxy_protocol_v2: settings.proxy_protocol_v2,
            cross_zone: settings.cross_zone,
            deregistration_delay: settings.deregistration_delay,
            terminates_on_deregistration: settings.terminates_on_deregistration,
            terminates_on_unhealthy: settings.terminates_on_unhealthy,
            tags: command.tags,
            client_token: command.client_token,
        };
        self.target_groups.insert(id, target_group);
        Ok(id)
    }

    pub(in crate::control) fn delete_target_group(
        &mut self,
        id: TargetGroupId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "TargetGroupArn")?;
        let listeners = self.listeners.iter();
        let by = listeners
            .filter(|listener| listener.target_group_id == id)
            .map(|listener| format!("listener {}", self.named_listener(listener.id)));
        let what = format!("target group {}", self.named_target_group(id));
        unused("ResourceInUse", what, by, "delete that first")?;
        if let Some(target_group) = self.target_groups.remove(&id) {
            for target in target_group.targets {
                self.indices.targets.release(target.idx);
            }
            self.indices.target_groups.release(target_group.idx);
            self.target_group_names
                .remove(&self.owner.named(&target_group.target_group_name));
        }
        self.mint.release(id);
        Ok(())
    }

    /// How messages name it.
    pub(in crate::control) fn named_target_group(&self, id: TargetGroupId) -> Named {
        let target_group = self.target_group(&id);
        let name = target_group.map_or_else(
            || id.to_string(),
            |group| format!("targetgroup/{}/{id}", group.target_group_name),
        );
        self.named(id, target_group.map(|g| g.client_token.as_str()), name)
    }

    fn target_group_vpc(&self, command: &CreateTargetGroup) -> Result<VpcId, ControlError> {
        let vpc_id = command.vpc_id.ok_or_else(|| ControlError::Missing {
            property: "VpcId".to_owned(),
            wanted: "targets stand in one VPC",
        })?;
        self.own(vpc_id, "VpcId")?;
        Ok(vpc_id)
    }

    fn check_target_group_name(&self, name: String) -> Result<String, ControlError> {
        match self.target_group_names.get(&self.owner.named(&name)) {
            None => Ok(name),
            Some(by) => Err(ControlError::NameTaken {
                code: "DuplicateTargetGroupName",
                name,
                by: format!("target group {}", self.named_target_group(*by)),
            }),
        }
    }
}

fn target_type(command: &CreateTargetGroup) -> Result<TargetType, ControlErrors> {
    let target_type = match command.target_type.as_deref() {
        None | Some("instance") => Ok(TargetType::Instance),
        Some("ip") => Ok(TargetType::Ip),
        Some(kind @ ("alb" | "lambda")) => Err(ControlError::NotYet {
            property: "TargetType".to_owned(),
            what: format!("target type {kind}"),
            wanted: "instance or ip",
        }),
        Some(other) => Err(ControlError::Malformed {
            property: "TargetType".to_owned(),
            given: other.to_owned(),
            wanted: "a target type",
            example: "instance or ip",
        }),
    };
    let address_type = match command.ip_address_type.as_deref() {
        None | Some("ipv4") => Ok(()),
        Some(other) => Err(ControlError::NotYet {
            property: "IpAddressType".to_owned(),
            what: format!("IP address type {other} of a target group"),
            wanted: "ipv4",
        }),
    };
    let (target_type, ()) = (target_type, address_type).all()?;
    Ok(target_type)
}

/// `Protocol` of a target group or listener.
pub(super) fn protocol(
    property: &str,
    given: Option<&str>,
) -> Result<ListenerProtocol, ControlError> {
    let property = property.to_owned();
    match given {
        Some("TCP") => Ok(ListenerProtocol::Tcp),
        Some("UDP") => Ok(ListenerProtocol::Udp),
        Some("TCP_UDP") => Ok(ListenerProtocol::TcpUdp),
        None => Err(ControlError::Missing {
            property,
            wanted: "it is TCP, UDP or TCP_UDP",
        }),
        Some(kind @ ("TLS" | "HTTP" | "HTTPS" | "GENEVE" | "QUIC" | "TCP_QUIC")) => {
            Err(ControlError::NotYet {
                property,
                what: format!("protocol {kind}"),
                wanted: "TCP, UDP or TCP_UDP",
            })
        }
        Some(other) => Err(ControlError::Malformed {
            property,
            given: other.to_owned(),
            wanted: "a protocol",
            example: "TCP, UDP or TCP_UDP",
        }),
    }
}

/// `Port` of a target group or listener; `why` it must be there.
pub(super) fn port(given: Option<i64>, why: &'static str) -> Result<u16, ControlError> {
    let given = given.ok_or_else(|| ControlError::Missing {
        property: "Port".to_owned(),
        wanted: why,
    })?;
    parse::number("Port", given, (1, u16::MAX), "1 to 65535")
}

fn settings(
    command: &CreateTargetGroup,
    protocol: ListenerProtocol,
) -> Result<Settings, ControlErrors> {
    const CROSS_ZONES: &str = "true, false or use_load_balancer_configuration";
    ATTRIBUTES.check(&command.attributes)?;
    let find = |key| ATTRIBUTES.find(&command.attributes, key);
    let boolean = |key| find(key).map(attribute::boolean).transpose();
    let (stickiness, (), proxy_protocol_v2, cross_zone, delay, terminates) = (
        boolean(STICKINESS),
        find(STICKINESS_TYPE).map_or(Ok(()), |given| attribute::word(given, "source_ip")),
        boolean(PROXY_PROTOCOL),
        find(CROSS_ZONE)
            .map(|given| {
                attribute::boolean_or(given, "use_load_balancer_configuration", CROSS_ZONES)
            })
            .transpose(),
        find(DELAY)
            .map(|given| attribute::number(given, (0, 3600), "0 to 3600 seconds"))
            .transpose(),
        (boolean(ON_DEREGISTRATION), unhealthy(command, protocol)).all(),
    )
        .all()?;
    let (on_deregistration, on_unhealthy) = terminates;
    Ok(Settings {
        stickiness: stickiness.unwrap_or(false),
        proxy_protocol_v2: proxy_protocol_v2.unwrap_or(false),
        cross_zone: cross_zone.flatten(),
        deregistration_delay: Duration::from_secs(delay.unwrap_or(300)),
        terminates_on_deregistration: on_deregistration.unwrap_or(protocol.udp()),
        terminates_on_unhealthy: on_unhealthy,
    })
}

/// Are the connections of an unhealthy target reset? A group that takes UDP has it off.
fn unhealthy(
    command: &CreateTargetGroup,
    protocol: ListenerProtocol,
) -> Result<bool, ControlError> {
    let find = || ATTRIBUTES.find(&command.attributes, ON_UNHEALTHY);
    match find().map(attribute::boolean).transpose()? {
        None => Ok(!protocol.udp()),
        Some(true) if protocol.udp() => Err(match find() {
            Some(given) => given.refused("possible for UDP and TCP_UDP", "false"),
            None => ControlError::Missing {
                property: ON_UNHEALTHY.to_owned(),
                wanted: "false",
            },
        }),
        Some(given) => Ok(given),
    }
}
