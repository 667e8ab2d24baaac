//! The packet's way, on one screen.
//!
//! ```text
//! parse -> flows.lookup -- hit --> forward: rewrite, out of the other side's interface
//!              | miss
//!              v
//! source_check -> route -> admit -> who answers this address?
//!     an instance:        open a flow inside the VPC, forward
//!     an endpoint's ENI:  offered -> target -> NAT binding -> open a flow, forward
//!     the ENI itself:     its smoltcp stack
//! ```
//!
//! Invariant: a packet is forwarded only along a flow, and a flow opens only here, after every question has been asked.

use super::config::{EniIdx, Role};
use super::first::{self, Dropped, Path};
use super::flow::{Admission, Flow, FlowKey, Side};
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use super::{Dataplane, reply};
use crate::net::{Headers, Packet, Transport, rewrite};

impl Dataplane {
    /// Decides a packet's fate: rewrites it in place and says where it goes, or counts why it ends here.
    #[inline]
    pub fn handle_packet(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        now: Instant,
    ) -> Verdict {
        match self.process(worker, from, packet, now) {
            Ok(verdict) => verdict,
            Err(Dropped { at, reason }) => {
                worker.count_drop(at, reason);
                Verdict::Drop(reason)
            }
        }
    }

    #[inline]
    fn process(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let headers = packet.parse().map_err(|error| Dropped::new(from, error))?;
        worker.count_sent(from, headers.len);
        if headers.wire_len > usize::from(self.settings.mtu) {
            return Err(reply::too_big(
                worker,
                from,
                packet,
                &headers,
                self.settings.mtu,
            ));
        }
        let key = FlowKey {
            ingress: from,
            tuple: headers.tuple,
        };
        if let Some((flow, side)) = self.flows.lookup(&worker.flows, &key) {
            match flow.admit(side, &headers, now) {
                Admission::Pass => return self.forward(worker, flow, side, packet, &headers),
                Admission::Reversed => return Err(Dropped::new(from, DropReason::GatewayIngress)),
                Admission::Expired | Admission::Reopens => {}
            }
        }
        self.first_packet(worker, from, packet, &headers, now)
    }

    /// Sends a packet along its flow: NAT is the difference between the flow's sides.
    #[inline]
    pub(super) fn forward(
        &self,
        worker: &mut Worker,
        flow: &Flow,
        side: Side,
        packet: &mut Packet<'_>,
        headers: &Headers,
    ) -> Result<Verdict, Dropped> {
        if headers.wire_len > usize::from(flow.mtu()) {
            return Err(reply::too_big(
                worker,
                flow.key(side).ingress,
                packet,
                headers,
                flow.mtu(),
            ));
        }
        flow.adjust_syn(side, packet, headers);
        let across = flow.key(side.other());
        rewrite(packet, headers, &across.tuple.reversed());
        worker.count_received(across.ingress, headers.len)?;
        Ok(Verdict::Forward(across.ingress))
    }

    /// A packet of no flow: every question is asked, once per flow.
    #[cold]
    fn first_packet(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let snapshot = worker.snapshot.clone();
        let source = snapshot
            .eni(from)
            .map_err(|reason| Dropped::new(from, reason))?;
        first::source_check(source, headers)?;
        if headers.transport == Transport::IcmpError {
            return self.forward_error(worker, source, packet, headers, now);
        }
        let destination = snapshot
            .route(source.interface.vpc, headers.tuple.dst)
            .map_err(|r| Dropped::new(from, r))?;
        first::admit(&snapshot, source, destination, headers)?;
        match destination.interface.role {
            Role::Instance { .. } => {
                let flow = self.open_local(source, destination, headers, now)?;
                self.forward_first(worker, flow, packet, headers, now)
            }
            Role::Endpoint { .. } if first::is_for_the_host(&snapshot, destination, headers) => {
                Ok(first::answer(worker, source, destination, packet, now))
            }
            Role::Endpoint { .. } => {
                let (gateway, resource) = first::provider(&snapshot, destination, headers)?;
                let target = first::select_target(&snapshot, gateway, resource)?;
                let path = Path {
                    source,
                    endpoint: destination,
                    gateway,
                    target,
                };
                let flow = self.open_through(&snapshot, worker, &path, packet, headers, now)?;
                self.forward_first(worker, flow, packet, headers, now)
            }
            Role::Gateway => Err(first::refuse_at_gateway(
                worker,
                source,
                destination,
                headers,
            )),
        }
    }
}
