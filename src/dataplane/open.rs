//! Opening flows: the terms of each kind, and the binding that NAT finds for it.

use std::iter;
use std::time::Duration;

use super::eni::Eni;
use super::first::{self, Dropped, Path, Target};
use super::flow::{Flow, FlowKey, OpenError, Side, Terms};
use super::groups::Direction;
use super::snapshot::Snapshot;
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use super::{Dataplane, nat, reply};
use crate::net::{Headers, Packet, Transport, icmp};

/// Largest packet on the way through an endpoint, in bytes (AWS PrivateLink).
const ENDPOINT_MTU: u16 = 8500;
/// Half-open, closing or reset TCP (RFC 5382, REQ-5: at least four minutes).
const TCP_TRANSITORY: Duration = Duration::from_secs(240);
const ICMP_IDLE: Duration = Duration::from_secs(60);

impl Dataplane {
    /// A flow between two interfaces of one VPC (AWS: security group connection tracking timeouts).
    pub(super) fn open_local(
        &self,
        source: &Eni,
        destination: &Eni,
        headers: &Headers,
        now: Instant,
    ) -> Result<&Flow, Dropped> {
        let (idle, transitory) = match headers.transport {
            Transport::Tcp(_) => (Duration::from_secs(432_000), TCP_TRANSITORY),
            Transport::EchoRequest | Transport::EchoReply => (ICMP_IDLE, ICMP_IDLE),
            _ => (Duration::from_secs(180), Duration::from_secs(30)),
        };
        let terms = Terms {
            via: None,
            idle,
            transitory,
            mtu: self.settings.mtu,
        };
        let initiator = FlowKey {
            ingress: source.idx,
            tuple: headers.tuple,
        };
        let target = FlowKey {
            ingress: destination.idx,
            tuple: headers.tuple.reversed(),
        };
        self.flows
            .open(&initiator, iter::once(target), &terms, &self.epochs, now)
            .map_err(|_| Dropped::new(source.idx, DropReason::FlowTableFull))
    }

    /// A flow through an endpoint and a gateway to a target in another VPC.
    pub(super) fn open_through(
        &self,
        snapshot: &Snapshot,
        worker: &mut Worker,
        path: &Path<'_>,
        packet: &Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<&Flow, Dropped> {
        let Path {
            source,
            endpoint,
            gateway,
            target,
        } = path;
        if let Transport::Tcp(segment) = &headers.transport
            && !segment.opens()
        {
            reply::reset_stray(worker, source.idx, headers);
            return Err(Dropped::new(endpoint.idx, DropReason::NoFlow));
        }
        first::admit_gateway(snapshot, gateway, target, headers)?;
        let target_groups = &target.eni.interface.groups;
        let admits = |address| {
            snapshot
                .groups
                .admit(target_groups, Direction::Ingress, headers, address)
        };
        let initiator = FlowKey {
            ingress: source.idx,
            tuple: headers.tuple,
        };
        let terms = self.terms(endpoint, target, headers);
        let side = (target.eni.idx, target.address);
        let opened = nat::bindings(
            headers,
            endpoint.idx,
            gateway,
            side,
            admits,
            &mut worker.random,
        )
        .map_err(|reason| Dropped::new(target.eni.idx, reason))
        .map(|bindings| {
            self.flows
                .open(&initiator, bindings, &terms, &self.epochs, now)
        })?;
        opened.map_err(|error| {
            let exhausted = icmp::unreachable(
                packet,
                headers,
                icmp::Unreachable::AdministrativelyProhibited,
            );
            reply::send(worker, source.idx, exhausted);
            match error {
                OpenError::Full => Dropped::new(endpoint.idx, DropReason::FlowTableFull),
                OpenError::NoBinding => Dropped::new(gateway.idx, DropReason::PortsExhausted),
            }
        })
    }

    /// The timers of the profile `aws`, or the resource's own idle timeout.
    fn terms(&self, endpoint: &Eni, target: &Target<'_>, headers: &Headers) -> Terms {
        let (idle, transitory) = match headers.transport {
            Transport::Tcp(_) => (Duration::from_secs(350), TCP_TRANSITORY),
            Transport::Udp => (Duration::from_secs(120), Duration::from_secs(120)),
            _ => (ICMP_IDLE, ICMP_IDLE),
        };
        Terms {
            via: Some(endpoint.idx),
            idle: target.resource.idle_timeout.unwrap_or(idle),
            transitory,
            mtu: self.settings.mtu.min(ENDPOINT_MTU),
        }
    }

    /// Counts a first packet on the flow that it has opened, and sends it along.
    pub(super) fn forward_first(
        &self,
        worker: &mut Worker,
        flow: &Flow,
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        flow.admit(Side::Initiator, headers, now);
        self.forward(worker, flow, Side::Initiator, packet, headers)
    }

    /// An ICMP error about a packet that came along a flow goes back along it, translated inside and out (RFC 5508, REQ-4).
    /// It neither refreshes nor ends the flow.
    pub(super) fn forward_error(
        &self,
        worker: &mut Worker,
        source: &Eni,
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let stray = Dropped::new(source.idx, DropReason::IcmpType);
        let quoted = icmp::quoted(packet, headers).ok_or(stray)?;
        let key = FlowKey {
            ingress: source.idx,
            tuple: quoted.reversed(),
        };
        let (flow, side) = self.flows.lookup(&worker.flows, &key).ok_or(stray)?;
        if flow.expired(side, now) {
            return Err(stray);
        }
        let across = flow.key(side.other());
        icmp::translate(packet, headers, &across.tuple);
        worker.count_received(across.ingress, headers.len)?;
        Ok(Verdict::Forward(across.ingress))
    }
}
