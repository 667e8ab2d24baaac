//! The questions that a first packet is asked, in the pipeline's order. Each is a plain function of the snapshot.

use super::config::{Destination, EniIdx, Resource, Role};
use super::dropped::Dropped;
use super::eni::Eni;
use super::flow::{Claim, FlowKey};
use super::groups::Direction;
use super::snapshot::Snapshot;
use super::verdict::DropReason;
use crate::net::{Addr, Headers, Protocol, Transport};

/// Who takes a first packet to an interface's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The instance behind the interface, in the sender's own VPC.
    Instance,
    /// Whoever the endpoint leads to.
    Endpoint,
    /// The interface itself: an echo that its resource does not offer to answer.
    Host,
}

/// The interfaces that a new flow through an endpoint passes, and what is offered behind them.
pub(super) struct Provider<'a> {
    pub(super) endpoint: &'a Eni,
    pub(super) gateway: &'a Eni,
    pub(super) resource: &'a Resource,
}

/// Where a new flow goes in the provider's VPC.
pub(super) struct Target<'a> {
    pub(super) eni: &'a Eni,
    pub(super) address: Addr,
}

impl Snapshot {
    /// The sending interface, if the packet's source is its own address (or it is exempt from that check).
    pub(super) fn source_check(&self, from: EniIdx, headers: &Headers) -> Result<&Eni, Dropped> {
        let source = self.eni(from).map_err(|reason| Dropped::at(from, reason))?;
        match source.interface.role {
            Role::Instance {
                source_dest_check: true,
            } if !source.owns(headers.tuple.src) => Err(Dropped::at(from, DropReason::SourceCheck)),
            _ => Ok(source),
        }
    }

    /// The interface in the sender's VPC that has the destination address.
    pub(super) fn route(&self, source: &Eni, headers: &Headers) -> Result<&Eni, Dropped> {
        self.lookup(source.interface.vpc, headers.tuple.dst)
            .map_err(|reason| Dropped::at(source.idx, reason))
    }

    /// Who answers at this interface?
    pub(super) fn answer(&self, destination: &Eni, headers: &Headers) -> Result<Answer, Dropped> {
        match destination.interface.role {
            Role::Instance { .. } => Ok(Answer::Instance),
            // It takes nothing in but answers, so its groups are not even asked.
            Role::Gateway | Role::Node { .. } => Err(Dropped::stray(
                destination.idx,
                DropReason::GatewayIngress,
                headers,
            )),
            // Nor are those of an interface that is silent, whoever asks.
            Role::Endpoint(Destination::Nothing) => Err(Dropped::at(
                destination.idx,
                DropReason::EndpointNotAvailable,
            )),
            Role::Endpoint(to) => {
                match headers.transport == Transport::EchoRequest && !self.offers_echo(to) {
                    true => Ok(Answer::Host),
                    false => Ok(Answer::Endpoint),
                }
            }
        }
    }

    fn offers_echo(&self, destination: Destination) -> bool {
        match destination {
            Destination::Resource { resource, .. } => self
                .resources
                .get(resource)
                .is_some_and(|resource| resource.protocols.icmp),
            Destination::LoadBalancer { .. } | Destination::Nothing => false,
        }
    }

    /// Do the sender's groups let it out, and the receiver's let it in?
    pub(super) fn admit(
        &self,
        source: &Eni,
        destination: &Eni,
        headers: &Headers,
    ) -> Result<(), Dropped> {
        let (from, to) = (headers.tuple.src, headers.tuple.dst);
        if !self
            .groups
            .admit(&source.interface.groups, Direction::Egress, headers, to)
        {
            return Err(Dropped::at(source.idx, DropReason::EgressDenied));
        }
        if !self.groups.admit(
            &destination.interface.groups,
            Direction::Ingress,
            headers,
            from,
        ) {
            return Err(Dropped::at(destination.idx, DropReason::IngressDenied));
        }
        Ok(())
    }

    /// The gateway and the resource behind this endpoint, if it offers what the packet asks for, and the packet asks first.
    pub(super) fn provider<'a>(
        &'a self,
        endpoint: &'a Eni,
        headers: &Headers,
    ) -> Result<Provider<'a>, Dropped> {
        let nothing = Dropped::at(endpoint.idx, DropReason::NoTarget);
        let Role::Endpoint(Destination::Resource { resource, gateway }) = endpoint.interface.role
        else {
            return Err(nothing);
        };
        let resource = self.resources.get(resource).ok_or(nothing)?;
        let gateway = self.eni(gateway).map_err(|_| nothing)?;
        resource
            .offers(headers)
            .map_err(|reason| Dropped::at(endpoint.idx, reason))?;
        match &headers.transport {
            Transport::Tcp(segment) if !segment.opens() => {
                Err(Dropped::stray(endpoint.idx, DropReason::NoFlow, headers))
            }
            _ => Ok(Provider {
                endpoint,
                gateway,
                resource,
            }),
        }
    }

    /// The instance behind the resource's address. A gateway leads to instances only: not to another endpoint, not to a gateway.
    pub(super) fn select_target(&self, provider: &Provider<'_>) -> Result<Target<'_>, Dropped> {
        let Provider {
            gateway, resource, ..
        } = provider;
        match self.lookup(gateway.interface.vpc, resource.target) {
            Ok(eni) if is_instance(eni) => Ok(Target {
                eni,
                address: resource.target,
            }),
            _ => Err(Dropped::at(gateway.idx, DropReason::NoTarget)),
        }
    }

    /// Do the gateway's groups let this flow out to its target?
    pub(super) fn admit_gateway(
        &self,
        provider: &Provider<'_>,
        target: &Target<'_>,
        headers: &Headers,
    ) -> Result<(), Dropped> {
        let gateway = provider.gateway;
        match self.groups.admit(
            &gateway.interface.groups,
            Direction::Egress,
            headers,
            target.address,
        ) {
            true => Ok(()),
            false => Err(Dropped::at(gateway.idx, DropReason::EgressDenied)),
        }
    }
}

impl Resource {
    /// Does it offer what this first packet asks for?
    fn offers(&self, headers: &Headers) -> Result<(), DropReason> {
        match headers.transport {
            Transport::EchoReply => Err(DropReason::ProtocolNotOffered),
            _ => self.serves(headers.tuple.protocol, headers.tuple.dst_port),
        }
    }

    /// Does it offer this protocol, at this port?
    pub(super) fn serves(&self, protocol: Protocol, port: u16) -> Result<(), DropReason> {
        let offers_port = || match self.ports.iter().any(|range| range.contains(port)) {
            true => Ok(()),
            false => Err(DropReason::PortNotOffered),
        };
        match protocol {
            Protocol::TCP if self.protocols.tcp => offers_port(),
            Protocol::UDP if self.protocols.udp => offers_port(),
            Protocol::ICMP if self.protocols.icmp => Ok(()),
            _ => Err(DropReason::ProtocolNotOffered),
        }
    }
}

/// Does an instance stand behind it?
pub(super) fn is_instance(eni: &Eni) -> bool {
    matches!(eni.interface.role, Role::Instance { .. })
}

/// The key of an instance's answers inside the VPC.
pub(super) fn answer_key(destination: &Eni, headers: &Headers) -> (FlowKey, Claim) {
    let key = FlowKey {
        ingress: destination.idx,
        tuple: headers.tuple.reversed(),
    };
    (key, Claim::Implied)
}
