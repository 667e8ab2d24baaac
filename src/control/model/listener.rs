//! A listener: a port at which a load balancer takes flows, and the target group to which it sends them.

use std::time::Duration;

use super::LoadBalancer;
use super::attribute::{self, Attributes};
use super::target_group::{port, protocol};
use crate::control::ControlState;
use crate::control::checks::All;
use crate::control::command::{Action, CreateListener};
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::*;
use crate::dataplane::config::{ListenerIdx, ListenerProtocol};

/// A listener of a network load balancer.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listener {
    /// Its id, the end of its ARN.
    #[serde(skip)]
    pub id: ListenerId,
    /// Its place in the data plane.
    #[serde(skip)]
    pub idx: ListenerIdx,
    /// Its ARN.
    pub listener_arn: String,
    /// Whose listener.
    #[serde(skip)]
    pub load_balancer_id: LoadBalancerId,
    /// Unique in its load balancer.
    pub port: u16,
    /// What it takes.
    #[serde(skip)]
    pub protocol: ListenerProtocol,
    /// Where it sends flows.
    #[serde(skip)]
    pub target_group_id: TargetGroupId,
    /// How long a TCP flow may be idle.
    pub tcp_idle_timeout: Duration,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

const ATTRIBUTES: Attributes = Attributes {
    list: "ListenerAttributes",
    used: &[IDLE_TIMEOUT],
    ignored: &[],
};
const IDLE_TIMEOUT: &str = "tcp.idle_timeout.seconds";
const FORWARD: &str = "DefaultActions.0";

impl ControlState {
    pub(in crate::control) fn create_listener(
        &mut self,
        command: CreateListener,
    ) -> Result<ListenerId, ControlErrors> {
        self.fresh::<ListenerId>(&command.client_token)?;
        let id = command.load_balancer;
        self.own(id, "LoadBalancerArn")?;
        let load_balancer = self.load_balancers.require(id, "LoadBalancerArn")?;
        let protocol = protocol("Protocol", command.protocol.as_deref());
        let (port, (protocol, target_group_id), tcp_idle_timeout) = (
            self.listener_port(load_balancer, command.port),
            (protocol, target_group(&command.default_actions))
                .all()
                .and_then(|(protocol, (property, group))| {
                    self.check_forward(load_balancer, protocol, group, property)?;
                    Ok((protocol, group))
                }),
            idle_timeout(&command),
        )
            .all()?;
        let full_name = load_balancer.full_name();
        let id: ListenerId = self.mint.mint(&self.owner, &command.client_token);
        let listener = Listener {
            id,
            idx: self.indices.listeners.allocate(id),
            listener_arn: self.owner.arn(
                "elasticloadbalancing",
                &format!("listener/{full_name}/{id}"),
            ),
            load_balancer_id: command.load_balancer,
            port,
            protocol,
            target_group_id,
            tcp_idle_timeout,
            client_token: command.client_token,
        };
        self.listeners.insert(id, listener);
        Ok(id)
    }

    pub(in crate::control) fn delete_listener(
        &mut self,
        id: ListenerId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "ListenerArn")?;
        self.remove_listener(id);
        Ok(())
    }

    /// Takes a listener away.
    pub(super) fn remove_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.remove(&id) {
            self.indices.listeners.release(listener.idx);
            self.mint.release(id);
        }
    }

    fn listener_port(
        &self,
        load_balancer: &LoadBalancer,
        given: Option<i64>,
    ) -> Result<u16, ControlError> {
        let port = port(given, "a listener listens at a port")?;
        let mut listeners = self.listeners_of(load_balancer.id);
        match listeners.find(|listener| listener.port == port) {
            None => Ok(port),
            Some(by) => Err(ControlError::DuplicateListener {
                port,
                by: self.named_listener(by.id),
                load_balancer: self.named_load_balancer(load_balancer.id),
            }),
        }
    }

    /// Can this load balancer forward this protocol to that group?
    fn check_forward(
        &self,
        load_balancer: &LoadBalancer,
        protocol: ListenerProtocol,
        group_id: TargetGroupId,
        property: &str,
    ) -> Result<(), ControlErrors> {
        self.own(group_id, property)?;
        let group = self.target_groups.require(group_id, property)?;
        let vpc = match group.vpc_id == load_balancer.vpc_id {
            true => Ok(()),
            false => Err(ControlError::OfOtherVpc {
                code: "InvalidConfigurationRequest",
                property: property.to_owned(),
                given: format!("target group {}", self.named_target_group(group_id)),
                with: format!(
                    "load balancer {}",
                    self.named_load_balancer(load_balancer.id)
                ),
                vpc: self.named_vpc(load_balancer.vpc_id),
                choices: self
                    .target_groups
                    .iter()
                    .filter(|group| group.vpc_id == load_balancer.vpc_id)
                    .map(|group| self.named_target_group(group.id).to_string())
                    .collect(),
            }),
        };
        let elsewhere = self.listeners.iter().find(|listener| {
            listener.target_group_id == group_id && listener.load_balancer_id != load_balancer.id
        });
        let taken = match elsewhere {
            None => Ok(()),
            Some(listener) => Err(ControlError::TargetGroupTaken {
                property: property.to_owned(),
                target_group: self.named_target_group(group_id),
                by: self.named_load_balancer(listener.load_balancer_id),
            }),
        };
        let (fits, wanted) = match protocol {
            ListenerProtocol::Tcp => (group.protocol.tcp(), "TCP or TCP_UDP"),
            ListenerProtocol::Udp => (group.protocol.udp(), "UDP or TCP_UDP"),
            ListenerProtocol::TcpUdp => (group.protocol == ListenerProtocol::TcpUdp, "TCP_UDP"),
        };
        let compatible = match fits {
            true => Ok(()),
            false => Err(ControlError::IncompatibleProtocols {
                property: property.to_owned(),
                listener: protocol.name(),
                target_group: self.named_target_group(group_id),
                protocol: group.protocol.name(),
                wanted,
            }),
        };
        (vpc, taken, compatible).all()?;
        Ok(())
    }
}

/// The one group to which the one action forwards, and where it is named.
fn target_group(actions: &[Action]) -> Result<(&'static str, TargetGroupId), ControlError> {
    let [action] = actions else {
        return Err(ControlError::Malformed {
            property: "DefaultActions".to_owned(),
            given: format!("{} actions", actions.len()),
            wanted: "what a listener of a network load balancer has",
            example: "one action of type forward",
        });
    };
    if action.action_type != "forward" {
        return Err(ControlError::InvalidAction {
            property: format!("{FORWARD}.Type"),
            given: action.action_type.clone(),
        });
    }
    match *action.target_groups {
        [group] => Ok((FORWARD, group)),
        [] => Err(ControlError::Missing {
            property: FORWARD.to_owned(),
            wanted: "name the TargetGroupArn to forward to",
        }),
        _ => Err(ControlError::NotYet {
            property: format!("{FORWARD}.ForwardConfig"),
            what: "forwarding to several target groups".to_owned(),
            wanted: "one",
        }),
    }
}

fn idle_timeout(command: &CreateListener) -> Result<Duration, ControlErrors> {
    ATTRIBUTES.check(&command.attributes)?;
    let seconds = match ATTRIBUTES.find(&command.attributes, IDLE_TIMEOUT) {
        None => 350,
        Some(given) if command.protocol.as_deref() == Some("UDP") => {
            return Err(given
                .refused("for a UDP listener", "an attribute of a TCP listener")
                .into());
        }
        Some(given) => attribute::number(given, (60, 6000), "60 to 6000 seconds")?,
    };
    Ok(Duration::from_secs(seconds))
}
