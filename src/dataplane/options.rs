//! The way of a packet with IP options: they end at an endpoint (docs/design/0017).

use super::Dataplane;
use super::config::EniIdx;
use super::dropped::Dropped;
use super::first::is_instance;
use super::flow::FlowKey;
use super::time::Instant;
use super::verdict::Verdict;
use super::worker::Worker;
use crate::net::{Headers, Packet};

impl Dataplane {
    /// As [`Dataplane::process`], for a packet that is not IPv4 without options.
    #[cold]
    pub(super) fn process_with_options(
        &self,
        worker: &mut Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        if let Ok(headers) = packet.parse() {
            self.hide_options(worker, from, packet, &headers);
        }
        self.process(worker, from, packet, now)
    }

    /// Hides the options of a packet that leaves its sender's VPC, if it has any.
    pub(super) fn hide_options(
        &self,
        worker: &Worker,
        from: EniIdx,
        packet: &mut Packet<'_>,
        headers: &Headers,
    ) {
        if !packet.is_plain() && !self.stays_inside(worker, from, headers) {
            packet.hide_options(headers);
        }
    }

    /// Whether the packet goes to an instance of the sender's VPC, and along no flow that leads out of it.
    fn stays_inside(&self, worker: &Worker, from: EniIdx, headers: &Headers) -> bool {
        let key = FlowKey {
            ingress: from,
            tuple: headers.tuple,
        };
        let snapshot = &worker.snapshot;
        let found = self.flows.lookup(&worker.flows, &key);
        found.is_none_or(|(flow, _)| flow.via().is_none())
            && snapshot.eni(from).is_ok_and(|source| {
                let destination = snapshot.lookup(source.interface.vpc, headers.tuple.dst);
                destination.is_ok_and(is_instance)
            })
    }
}
