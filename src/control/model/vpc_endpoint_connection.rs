//! What becomes of an endpoint after it has been asked for: the provider's answer, time, and the end.
//!
//! Every change of state goes through [`ControlState::happen`]; [`lifecycle`](crate::control::lifecycle) decides it.

use std::time::Duration;

use super::{EndpointDestination, VpcEndpoint};
use crate::control::checks::each;
use crate::control::command::VpcEndpointConnections;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{VpcEndpointId, VpcEndpointServiceId};
use crate::control::lifecycle::{Event, State, Zones};
use crate::control::{ControlState, parse};

/// Something that happened to an endpoint: what a connection notification tells (its first four are AWS's
/// `ConnectionEvents`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// What happened.
    pub kind: ConnectionEventKind,
    /// When, since the UNIX epoch.
    pub at: Duration,
    /// To which endpoint.
    pub vpc_endpoint_id: VpcEndpointId,
    /// The consumer's account.
    pub vpc_endpoint_owner: String,
    /// Of which service; `None`: of a resource.
    pub service_id: Option<VpcEndpointServiceId>,
    /// The endpoint's state afterwards.
    pub state: State,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEventKind {
    /// A consumer has asked for an endpoint.
    Connect,
    /// The provider has accepted it.
    Accept,
    /// The provider has rejected it, or taken away the permission.
    Reject,
    /// The consumer has deleted it.
    Delete,
    /// Beyond AWS: nobody accepted in time.
    Expire,
    /// Beyond AWS: the consumer has changed it, or the provider what stands behind it.
    Modify,
}

impl ConnectionEventKind {
    /// AWS's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "Connect",
            Self::Accept => "Accept",
            Self::Reject => "Reject",
            Self::Delete => "Delete",
            Self::Expire => "Expire",
            Self::Modify => "Modify",
        }
    }
}

impl ConnectionEvent {
    fn new(kind: ConnectionEventKind, endpoint: &VpcEndpoint, at: Duration) -> Self {
        Self {
            kind,
            at,
            vpc_endpoint_id: endpoint.vpc_endpoint_id,
            vpc_endpoint_owner: endpoint.owner_id.clone(),
            service_id: endpoint.service_id(),
            state: endpoint.state,
        }
    }

    /// That of an endpoint which is gone.
    pub(in crate::control) fn deleted(endpoint: &VpcEndpoint, at: Duration) -> Self {
        Self {
            state: State::Deleted,
            ..Self::new(ConnectionEventKind::Delete, endpoint, at)
        }
    }
}

impl ControlState {
    pub(in crate::control) fn accept_vpc_endpoint_connections(
        &mut self,
        command: VpcEndpointConnections,
    ) -> Result<VpcEndpointServiceId, ControlErrors> {
        let endpoints = self.connections(&command, Event::Accept)?;
        each(endpoints.iter().map(|id| self.check_permission(*id)))?;
        for id in endpoints {
            if self.happen(id, Event::Accept).is_ok() {
                self.provision(id);
            }
        }
        Ok(command.service_id)
    }

    pub(in crate::control) fn reject_vpc_endpoint_connections(
        &mut self,
        command: VpcEndpointConnections,
    ) -> Result<VpcEndpointServiceId, ControlErrors> {
        for id in self.connections(&command, Event::Reject)? {
            self.happen(id, Event::Reject)?;
        }
        Ok(command.service_id)
    }

    pub(in crate::control) fn delete_vpc_endpoint(
        &mut self,
        id: VpcEndpointId,
    ) -> Result<(), ControlErrors> {
        self.own(id, "VpcEndpointId")?;
        self.happen(id, Event::Delete)?;
        self.happen(id, Event::Removed)?;
        self.remove_vpc_endpoint(id);
        Ok(())
    }

    /// Takes an endpoint and its interfaces away.
    pub(in crate::control) fn remove_vpc_endpoint(&mut self, id: VpcEndpointId) {
        self.claim_domain(id, None);
        let endpoint = self.vpc_endpoints.remove(&id);
        for interface in endpoint.into_iter().flat_map(|e| e.network_interface_ids) {
            self.displace(interface);
        }
        self.mint.release(id);
    }

    /// It is `now`, since the UNIX epoch: requests expire, targets have drained. When `now` will matter next.
    pub fn advance(&mut self, now: Duration) -> Option<Duration> {
        self.now = self.now.max(now);
        let mut next = self.finish_draining();
        let pending = self.vpc_endpoints.iter();
        let deadlines: Vec<_> = pending
            .filter(|endpoint| endpoint.state == State::PendingAcceptance)
            .filter_map(|endpoint| {
                let service = self.vpc_endpoint_service(&endpoint.service_id()?)?;
                let deadline = endpoint.requested_at + service.acceptance_timeout;
                Some((endpoint.vpc_endpoint_id, deadline))
            })
            .collect();
        for (id, deadline) in deadlines {
            if deadline > self.now {
                next = Some(next.map_or(deadline, |next| next.min(deadline)));
            } else {
                // It is pending acceptance, and so can expire.
                let _ = self.happen(id, Event::Expire);
            }
        }
        next
    }

    /// What has happened to endpoints since this was asked last, oldest first.
    pub fn take_events(&mut self) -> Vec<ConnectionEvent> {
        std::mem::take(&mut self.events)
    }

    /// Takes an endpoint to its next state, and remembers what happened.
    pub(in crate::control) fn happen(
        &mut self,
        id: VpcEndpointId,
        event: Event,
    ) -> Result<(), ControlError> {
        let state = self.endpoint_after(id, event)?;
        if let Some(endpoint) = self.vpc_endpoints.find_mut(&id) {
            endpoint.state = state;
        }
        let kind = match event {
            Event::Accept => ConnectionEventKind::Accept,
            Event::Reject | Event::PrincipalRemoved => ConnectionEventKind::Reject,
            Event::Expire => ConnectionEventKind::Expire,
            Event::Modify => ConnectionEventKind::Modify,
            Event::Removed => ConnectionEventKind::Delete,
            Event::Provisioned(_) | Event::Delete => return Ok(()),
        };
        self.remember(id, kind);
        Ok(())
    }

    /// What was being made of an accepted endpoint has been: the data plane takes a configuration up as a whole.
    pub(in crate::control) fn provision(&mut self, id: VpcEndpointId) {
        let Some(endpoint) = self.vpc_endpoint(&id) else {
            return;
        };
        let leads = |zone: &str| self.leads_from(endpoint, zone);
        let (mut with, mut without) = (false, false);
        for interface in self.interfaces_of(endpoint) {
            match leads(&interface.availability_zone) {
                true => with = true,
                false => without = true,
            }
        }
        let zones = match (with, without) {
            (true, false) => Zones::All,
            (true, true) => Zones::Some,
            (false, _) => Zones::None,
        };
        // One that has yet to be accepted is not provisioned.
        let _ = self.happen(id, Event::Provisioned(zones));
    }

    pub(super) fn remember(&mut self, id: VpcEndpointId, kind: ConnectionEventKind) {
        if let Some(endpoint) = self.vpc_endpoint(&id) {
            let event = ConnectionEvent::new(kind, endpoint, self.now);
            self.events.push(event);
        }
    }

    /// Is there a way to the provider from an endpoint's interface in this zone?
    fn leads_from(&self, endpoint: &VpcEndpoint, zone: &str) -> bool {
        match endpoint.destination {
            EndpointDestination::Service(id) => self.service_node_in(id, zone).is_some(),
            EndpointDestination::ResourceConfiguration(id) => {
                self.gateway_interface_in(id, zone).is_some()
            }
        }
    }

    pub(super) fn endpoint_after(
        &self,
        id: VpcEndpointId,
        event: Event,
    ) -> Result<State, ControlError> {
        let endpoint = self.vpc_endpoints.require(id, "VpcEndpointId")?;
        let state = endpoint.state.after(event);
        state.map_err(|refused| ControlError::State {
            what: format!("VPC endpoint {}", self.named_vpc_endpoint(id)),
            refused,
        })
    }

    /// The endpoints of a command, each of the service, which is the commanding account's, and ready for `event`.
    fn connections(
        &self,
        command: &VpcEndpointConnections,
        event: Event,
    ) -> Result<Vec<VpcEndpointId>, ControlErrors> {
        self.own(command.service_id, "ServiceId")?;
        let given = &command.vpc_endpoint_ids;
        if given.is_empty() {
            return Err(ControlError::Missing {
                property: "VpcEndpointIds".to_owned(),
                wanted: "name at least one endpoint",
            }
            .into());
        }
        each(given.iter().enumerate().map(|(index, id)| {
            let property = parse::item("VpcEndpointIds", index);
            let endpoint = self.vpc_endpoints.require(*id, property.as_str())?;
            if endpoint.service_id() != Some(command.service_id) {
                return Err(ControlError::not_found(*id, property));
            }
            if given.iter().take(index).any(|earlier| earlier == id) {
                return Err(ControlError::Repeated {
                    property,
                    given: format!("VPC endpoint {}", self.named_vpc_endpoint(*id)),
                });
            }
            self.endpoint_after(*id, event)?;
            Ok(*id)
        }))
    }

    /// May the endpoint's consumer still have it?
    fn check_permission(&self, id: VpcEndpointId) -> Result<(), ControlError> {
        let endpoint = self.vpc_endpoints.require(id, "VpcEndpointIds")?;
        let service = endpoint.service_id();
        let service = service.and_then(|id| self.vpc_endpoint_service(&id));
        match service {
            Some(service) if !service.admits(&endpoint.principal) => {
                Err(ControlError::NotPermitted {
                    code: "OperationNotPermitted",
                    what: format!(
                        "{}, who asked for VPC endpoint {}, is not among the allowed principals",
                        endpoint.principal,
                        self.named_vpc_endpoint(id)
                    ),
                    instead: "allow it again first",
                })
            }
            _ => Ok(()),
        }
    }
}
