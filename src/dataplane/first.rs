//! The questions that a first packet is asked, in the pipeline's order. Each is a plain function of the snapshot.

use std::sync::Arc;

use super::balance::{Listener, Node};
use super::config::{Destination, EniIdx, Resource, ResourceTarget, Role};
use super::dropped::Dropped;
use super::eni::Eni;
use super::flow::{Claim, FlowKey};
use super::groups::Direction;
use super::names::{Known, is_allowed};
use super::snapshot::Snapshot;
use super::verdict::DropReason;
use crate::net::{Addr, FiveTuple, Headers, Protocol, Transport};

/// Who takes a first packet to an interface's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The instance behind the interface, in the sender's own VPC.
    Instance,
    /// Whoever the endpoint, or the load balancer, leads to.
    Endpoint,
    /// The interface itself: an echo that its resource does not offer to answer.
    Host,
}

/// The interfaces that a new flow through an endpoint passes, and what is offered behind them.
pub(super) struct Provider<'a> {
    /// The endpoint's, or, for a client in the load balancer's own VPC, the node's.
    pub(super) endpoint: &'a Eni,
    /// The resource gateway's, or the node's.
    pub(super) gateway: &'a Eni,
    pub(super) offer: Offer<'a>,
}

/// What an endpoint leads to.
pub(super) enum Offer<'a> {
    /// If the resource is a name, what is known of it.
    Resource(&'a Resource, Option<&'a Known>),
    Listener(&'a Node, &'a Listener),
}

/// Where a new flow goes in the provider's VPC.
pub(super) struct Target<'a> {
    pub(super) eni: &'a Eni,
    /// The first packet's, with the target's address and port; only the gateway's own are to be found.
    pub(super) headers: Headers,
}

impl Snapshot {
    /// The sending interface, if the packet's source is its own address; or, where it is exempt from that check, one that another
    /// instance or a host outside of the VPC may have.
    pub(super) fn source_check(&self, from: EniIdx, headers: &Headers) -> Result<&Eni, Dropped> {
        let source = self.eni(from).map_err(|reason| Dropped::at(from, reason))?;
        let (vpc, address) = (source.interface.vpc, headers.tuple.src);
        match source.interface.role {
            Role::Instance { .. } if source.owns(address) => Ok(source),
            Role::Instance {
                source_dest_check: true,
            } => Err(Dropped::at(from, DropReason::SourceCheck)),
            Role::Instance { .. } if self.is_reserved(vpc, address) => {
                Err(Dropped::at(from, DropReason::ReservedSource))
            }
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
            Role::Gateway => Err(Dropped::stray(
                destination.idx,
                DropReason::GatewayIngress,
                headers,
            )),
            // A target's late answer is told so, whatever its groups say.
            Role::Node { .. } => match &headers.transport {
                Transport::Tcp(segment) if !segment.opens() => {
                    Err(Dropped::stray(destination.idx, DropReason::NoFlow, headers))
                }
                _ => Ok(Answer::Endpoint),
            },
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
        if !self.lets_pass(source, Direction::Egress, headers, to) {
            return Err(Dropped::at(source.idx, DropReason::EgressDenied));
        }
        if !self.lets_pass(destination, Direction::Ingress, headers, from) {
            return Err(Dropped::at(destination.idx, DropReason::IngressDenied));
        }
        Ok(())
    }

    fn lets_pass(&self, eni: &Eni, direction: Direction, headers: &Headers, peer: Addr) -> bool {
        eni.has_no_groups_to_ask()
            || self
                .groups
                .admit(&eni.interface.groups, direction, headers, peer)
    }

    /// The gateway and what is offered behind this endpoint, if that is what the packet asks for, and the packet asks first.
    pub(super) fn provider<'a>(
        &'a self,
        endpoint: &'a Eni,
        headers: &Headers,
    ) -> Result<Provider<'a>, Dropped> {
        let FiveTuple {
            protocol, dst_port, ..
        } = headers.tuple;
        let offer = match headers.transport {
            Transport::EchoReply => Err(DropReason::ProtocolNotOffered),
            _ => self.offer(endpoint, protocol, dst_port),
        };
        let (gateway, offer) = offer.map_err(|reason| Dropped::at(endpoint.idx, reason))?;
        match &headers.transport {
            Transport::Tcp(segment) if !segment.opens() => {
                Err(Dropped::stray(endpoint.idx, DropReason::NoFlow, headers))
            }
            _ => Ok(Provider {
                endpoint,
                gateway,
                offer,
            }),
        }
    }

    /// What this endpoint, or load balancer's node, offers for this protocol and port, and the gateway or node that leads there.
    pub(super) fn offer(
        &self,
        endpoint: &Eni,
        protocol: Protocol,
        port: u16,
    ) -> Result<(&Eni, Offer<'_>), DropReason> {
        let (gateway, resource) = match endpoint.interface.role {
            Role::Endpoint(Destination::Resource { resource, gateway }) => {
                (gateway, Some(resource))
            }
            Role::Endpoint(Destination::LoadBalancer { node }) => (node, None),
            Role::Node { .. } => (endpoint.idx, None),
            _ => return Err(DropReason::NoTarget),
        };
        let nothing = DropReason::NoTarget;
        let offer = match resource {
            Some(resource) => {
                let known = self.names.get(resource).map(Arc::as_ref);
                let resource = self.resources.get(resource).ok_or(nothing)?;
                resource.serves(protocol, port)?;
                Offer::Resource(resource, known)
            }
            None => {
                let node = self.balancers.node(gateway).ok_or(nothing)?;
                Offer::Listener(node, node.listener(protocol, port)?)
            }
        };
        Ok((self.eni(gateway).map_err(|_| nothing)?, offer))
    }

    /// The instance behind the resource's address, or behind that of the target that the load balancer chooses. A gateway leads
    /// to instances only: not to another endpoint, not to a gateway.
    pub(super) fn select_target(
        &self,
        source: &Eni,
        provider: &Provider<'_>,
        headers: &Headers,
    ) -> Result<Target<'_>, Dropped> {
        let gateway = provider.gateway;
        let (address, port) = match provider.offer {
            Offer::Resource(resource, known) => {
                let address = match resource.target {
                    ResourceTarget::Address(address) => Some(address),
                    ResourceTarget::Name { .. } => known.and_then(Known::next),
                };
                let unknown = || Dropped::at(gateway.idx, DropReason::NameNotResolved);
                (address.ok_or_else(unknown)?, headers.tuple.dst_port)
            }
            Offer::Listener(node, listener) => self
                .balancers
                .select(node, listener, source, headers)
                .map(|member| (member.address, member.port))
                .ok_or(Dropped::refused(gateway.idx, DropReason::NoTargetInScope))?,
        };
        match self.lookup(gateway.interface.vpc, address) {
            Ok(eni) if is_instance(eni) => {
                let mut headers = *headers;
                (headers.tuple.dst, headers.tuple.dst_port) = (address, port);
                Ok(Target { eni, headers })
            }
            _ => Err(Dropped::at(gateway.idx, DropReason::NoTarget)),
        }
    }

    /// Do the gateway's groups let this flow out to its target? And the load balancer's, if they count, the consumer in?
    pub(super) fn admit_gateway(
        &self,
        provider: &Provider<'_>,
        target: &Target<'_>,
        headers: &Headers,
    ) -> Result<(), Dropped> {
        let Provider {
            endpoint, gateway, ..
        } = provider;
        // A client in its own VPC has been asked already.
        if let Offer::Listener(node, _) = provider.offer
            && node.enforces_inbound_rules_on_private_link
            && endpoint.idx != gateway.idx
            && !gateway.has_no_groups_to_ask()
            && !self.groups.admit_stranger(
                &gateway.interface.groups,
                Direction::Ingress,
                headers,
                headers.tuple.src,
            )
        {
            return Err(Dropped::at(gateway.idx, DropReason::IngressDenied));
        }
        let onward = &target.headers;
        match self.lets_pass(gateway, Direction::Egress, onward, onward.tuple.dst) {
            true => Ok(()),
            false => Err(Dropped::at(gateway.idx, DropReason::EgressDenied)),
        }
    }
}

impl Offer<'_> {
    /// Does it lead to this address, and, if it has one of its own there, port?
    pub(super) fn leads_to(&self, address: Addr, port: u16) -> bool {
        match self {
            Self::Resource(resource, known) => match &resource.target {
                ResourceTarget::Address(target) => *target == address,
                ResourceTarget::Name { allowed, .. } => {
                    is_allowed(allowed, address) && known.is_some_and(|it| it.has_led_to(address))
                }
            },
            Self::Listener(node, listener) => node.keeps(listener, address, port),
        }
    }
}

impl Resource {
    /// Does it offer this protocol, at this port?
    fn serves(&self, protocol: Protocol, port: u16) -> Result<(), DropReason> {
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

/// The key of an instance's answers inside the VPC. A node chooses its probes' ports like those of others' flows, which keep them.
pub(super) fn answer_key(source: &Eni, destination: &Eni, headers: &Headers) -> (FlowKey, Claim) {
    let key = FlowKey {
        ingress: destination.idx,
        tuple: headers.tuple.reversed(),
    };
    match is_instance(source) {
        true => (key, Claim::Implied),
        false => (key, Claim::Own),
    }
}
