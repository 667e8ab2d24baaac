//! The questions that a first packet is asked, in the pipeline's order. Each is a plain function of the snapshot.

use super::config::{EniIdx, Resource, Role};
use super::eni::Eni;
use super::groups::Direction;
use super::nat;
use super::reply;
use super::snapshot::Snapshot;
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::{Addr, Headers, Packet, ParseError, Transport};

/// A packet's end: where, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) at: EniIdx,
    pub(super) reason: DropReason,
}

impl Dropped {
    pub(super) fn new(at: EniIdx, reason: impl Into<DropReason>) -> Self {
        Self {
            at,
            reason: reason.into(),
        }
    }
}

impl From<ParseError> for DropReason {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::VnetFlags => Self::VnetFlags,
            ParseError::VnetGsoType => Self::VnetGsoType,
            ParseError::VnetGsoSize => Self::VnetGsoSize,
            ParseError::VnetChecksumStart => Self::VnetChecksumStart,
            ParseError::VnetChecksumOffset => Self::VnetChecksumOffset,
            ParseError::Truncated => Self::Truncated,
            ParseError::BadIpHeader => Self::BadIpHeader,
            ParseError::Ipv6 => Self::Ipv6,
            ParseError::Fragment => Self::Fragment,
            ParseError::BadTransportHeader => Self::BadTransportHeader,
            ParseError::IcmpType => Self::IcmpType,
        }
    }
}

/// Is the packet's source one of the sending interface's own addresses, where that is checked?
pub(super) fn source_check(source: &Eni, headers: &Headers) -> Result<(), Dropped> {
    match source.interface.role {
        Role::Instance {
            source_dest_check: true,
        } if !source.owns(headers.tuple.src) => {
            Err(Dropped::new(source.idx, DropReason::SourceCheck))
        }
        _ => Ok(()),
    }
}

/// Do the sender's groups let it out, and the receiver's let it in? A gateway's ingress rules have no effect.
pub(super) fn admit(
    snapshot: &Snapshot,
    source: &Eni,
    destination: &Eni,
    headers: &Headers,
) -> Result<(), Dropped> {
    let groups = &snapshot.groups;
    if destination.interface.role == Role::Gateway {
        return Ok(());
    }
    if !groups.admit(
        &source.interface.groups,
        Direction::Egress,
        headers,
        headers.tuple.dst,
    ) {
        return Err(Dropped::new(source.idx, DropReason::EgressDenied));
    }
    if !groups.admit(
        &destination.interface.groups,
        Direction::Ingress,
        headers,
        headers.tuple.src,
    ) {
        return Err(Dropped::new(destination.idx, DropReason::IngressDenied));
    }
    Ok(())
}

/// A gateway takes nothing in but answers along its flows.
pub(super) fn refuse_at_gateway(
    worker: &mut Worker,
    source: &Eni,
    gateway: &Eni,
    headers: &Headers,
) -> Dropped {
    reply::reset_stray(worker, source.idx, headers);
    Dropped::new(gateway.idx, DropReason::GatewayIngress)
}

/// Is this for the endpoint's interface itself, as a host: an echo that its resource does not offer to answer?
pub(super) fn is_for_the_host(snapshot: &Snapshot, endpoint: &Eni, headers: &Headers) -> bool {
    let offers_echo = || {
        snapshot
            .provider(endpoint)
            .is_some_and(|(_, resource)| resource.protocols.icmp)
    };
    headers.transport == Transport::EchoRequest && !offers_echo()
}

/// The interface's own stack takes the packet; what it answers goes back to the sender.
pub(super) fn answer(
    worker: &mut Worker,
    source: &Eni,
    host: &Eni,
    packet: &Packet<'_>,
    now: Instant,
) -> Verdict {
    if let Some(counters) = worker.counters(host) {
        counters.received(1, packet.bytes().len() as u64);
    }
    for bytes in host.answer(packet.bytes(), now) {
        if let Some(counters) = worker.counters(host) {
            counters.sent(1, bytes.len() as u64);
        }
        worker.transmit(source.idx, bytes);
    }
    Verdict::Answered
}

/// The gateway's interface and the resource behind this endpoint, if it offers what the packet asks for.
pub(super) fn provider<'a>(
    snapshot: &'a Snapshot,
    endpoint: &Eni,
    headers: &Headers,
) -> Result<(&'a Eni, &'a Resource), Dropped> {
    let (gateway, resource) = snapshot
        .provider(endpoint)
        .ok_or(Dropped::new(endpoint.idx, DropReason::NoTarget))?;
    nat::offered(resource, headers).map_err(|reason| Dropped::new(endpoint.idx, reason))?;
    Ok((gateway, resource))
}

/// Where a new flow goes in the provider's VPC.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) eni: &'a Eni,
    pub(super) address: Addr,
    pub(super) resource: &'a Resource,
}

/// The interfaces that a new flow through an endpoint passes, from the consumer's instance to its target.
pub(super) struct Path<'a> {
    pub(super) source: &'a Eni,
    pub(super) endpoint: &'a Eni,
    pub(super) gateway: &'a Eni,
    pub(super) target: Target<'a>,
}

/// The instance behind the resource's address. A gateway leads to instances only: not to another endpoint, not to a gateway.
pub(super) fn select_target<'a>(
    snapshot: &'a Snapshot,
    gateway: &Eni,
    resource: &'a Resource,
) -> Result<Target<'a>, Dropped> {
    match snapshot.route(gateway.interface.vpc, resource.target) {
        Ok(eni) if matches!(eni.interface.role, Role::Instance { .. }) => Ok(Target {
            eni,
            address: resource.target,
            resource,
        }),
        _ => Err(Dropped::new(gateway.idx, DropReason::NoTarget)),
    }
}

/// Do the gateway's groups let this flow out to its target?
pub(super) fn admit_gateway(
    snapshot: &Snapshot,
    gateway: &Eni,
    target: &Target<'_>,
    headers: &Headers,
) -> Result<(), Dropped> {
    match snapshot.groups.admit(
        &gateway.interface.groups,
        Direction::Egress,
        headers,
        target.address,
    ) {
        true => Ok(()),
        false => Err(Dropped::new(gateway.idx, DropReason::EgressDenied)),
    }
}
