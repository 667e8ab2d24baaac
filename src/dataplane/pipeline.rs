//! The packet's way, on one screen.
//!
//! ```text
//! parse -> flows.lookup -- hit --> forward: rewrite, out of the other side's interface
//!   | a fragment: kept until its datagram is complete, which goes on here
//!              | miss          (too large for a link behind that: follow_narrow cuts it)
//!              v
//! source_check -> is it for the VPC's resolver? that takes it, whatever security groups say
//!              -> route -> answer: who takes it there? -> admit
//!     an instance:        open a flow inside the VPC, forward
//!     an endpoint's ENI:  provider -> select_target -> admit_gateway -> bind -> open a flow, forward
//!     the ENI itself:     its smoltcp stack
//! A load balancer's node sends probes on the same way, to instances only.
//! ```
//!
//! Invariant: a packet is forwarded only along a flow, and a flow opens only here, after every question has been asked.

use std::sync::Arc;

use super::Dataplane;
use super::config::EniIdx;
use super::dropped::Dropped;
use super::first::{Answer, answer_key};
use super::flow::{Flow, FlowKey, Newcomer, Request, Side, Terms};
use super::time::Instant;
use super::verdict::Verdict;
use super::worker::Worker;
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
        let fate = match packet.is_plain() {
            true => self.process(worker, from, packet, now),
            false => self.process_with_options(worker, from, packet, now),
        };
        fate.unwrap_or_else(|dropped| worker.drop_packet(from, packet, dropped))
    }

    #[inline]
    pub(super) fn process(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let headers = match packet.parse() {
            Ok(headers) => headers,
            Err(error) => return self.take_fragment(worker, from, packet, error, now),
        };
        worker.count_sent(from, headers.len);
        self.carry(worker, from, packet, &headers, now)
    }

    /// Sends a packet along its flow, which it opens if there is none.
    #[inline]
    pub(super) fn carry(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        self.fits(from, headers, self.settings.mtu)?;
        let key = FlowKey {
            ingress: from,
            tuple: headers.tuple,
        };
        match self.flows.lookup(&worker.flows, &key) {
            Some((flow, side)) if headers.wire_len > usize::from(flow.mtu(side)) => {
                self.follow_narrow(worker, (flow, side), packet, headers, now)
            }
            Some(found) if self.belongs(found, headers, now)? => {
                self.forward(worker, found, packet, headers, now)
            }
            _ => self.first_packet(worker, from, packet, headers, now),
        }
    }

    /// Sends a packet along its flow: NAT is the difference between the flow's sides.
    #[inline]
    pub(super) fn forward(
        &self,
        worker: &mut Worker,
        (flow, side): (&Flow, Side),
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        flow.adjust_syn(side, packet, headers);
        flow.follow_end(side, packet, headers);
        match flow.state().is_plain() {
            true => self.cross(worker, (flow, side), packet, headers),
            false => self.forward_otherwise(worker, (flow, side), packet, headers, now),
        }
    }

    /// Gives a packet its flow's other side's addresses and ports.
    #[inline]
    pub(super) fn cross(
        &self,
        worker: &Worker,
        (flow, side): (&Flow, Side),
        packet: &mut Packet<'_>,
        headers: &Headers,
    ) -> Result<Verdict, Dropped> {
        let across = flow.key(side.other());
        rewrite(packet, headers, &across.tuple.reversed());
        worker.count_received(across.ingress, headers.len)?;
        Ok(Verdict::Forward(across.ingress))
    }

    /// A packet of no flow: every question is asked, once per flow.
    #[cold]
    pub(super) fn first_packet(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let snapshot = Arc::clone(&worker.snapshot);
        let source = snapshot.source_check(from, headers)?;
        if headers.transport == Transport::IcmpError {
            return self.forward_error(worker, source, packet, headers, now);
        }
        if let Some(resolver) = snapshot.resolver(source, headers) {
            return self.ask_resolver(worker, source, resolver, packet, headers, now);
        }
        let destination = snapshot.route(source, headers)?;
        let answer = snapshot.answer(destination, headers)?;
        snapshot.admit(source, destination, headers)?;
        let request = |terms: Terms| Request {
            initiator: FlowKey {
                ingress: from,
                tuple: headers.tuple,
            },
            terms,
            syn: Newcomer::of(packet, headers, &terms),
        };
        let flow = match answer {
            Answer::Instance => {
                let targets = [answer_key(source, destination, headers)].into_iter();
                let request = request(self.local_terms(source, headers));
                self.open(&snapshot, worker.id, source, &request, targets, now)
                    .map_err(|error| error.inside(source, destination))?
                    .flow
            }
            Answer::Endpoint => {
                let provider = snapshot.provider(destination, headers)?;
                let target = snapshot.select_target(source, &provider, headers)?;
                snapshot.admit_gateway(&provider, &target, headers)?;
                let terms = self.endpoint_terms(source, &provider, headers, now);
                self.fits(from, headers, terms.mtu)?;
                let request = request(terms);
                let random = &mut worker.random;
                let bindings = self.bind(&snapshot, source, &provider, &target, random)?;
                let opened = self
                    .open(&snapshot, worker.id, source, &request, bindings, now)
                    .map_err(|error| self.unbound(&snapshot, source, &provider, &target, error))?;
                self.record_opening(worker, source, provider.gateway.idx, &opened, now);
                opened.flow
            }
            Answer::Host => return worker.answer(source, destination, (packet, headers), now),
        };
        flow.admit(Side::Initiator, headers, now);
        self.forward(worker, (flow, Side::Initiator), packet, headers, now)
    }
}
