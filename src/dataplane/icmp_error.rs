//! ICMP errors about packets that came along a flow go back along it (RFC 5508, REQ-4).

use super::Dataplane;
use super::dropped::Dropped;
use super::eni::Eni;
use super::flow::{FlowKey, Side, State};
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::icmp::{self, FragmentationNeeded};
use crate::net::{Headers, Packet, VnetHeader};

impl Dataplane {
    /// Translates an error inside and out, and forwards it. It neither refreshes nor ends the flow.
    pub(super) fn forward_error(
        &self,
        worker: &mut Worker,
        source: &Eni,
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        if !icmp::is_unharmed(packet, headers) {
            return Err(Dropped::at(source.idx, DropReason::BadTransportHeader));
        }
        let stray = Dropped::at(source.idx, DropReason::IcmpType);
        let quoted = icmp::quoted(packet, headers).ok_or(stray)?;
        // What the error's sender received is what its own answers are keyed by, reversed.
        let key = FlowKey {
            ingress: source.idx,
            tuple: quoted.reversed(),
        };
        let (flow, side) = self.flows.lookup(&worker.flows, &key).ok_or(stray)?;
        if flow.expired(side, now) {
            return Err(stray);
        }
        if side == Side::Initiator
            && flow.via().is_some()
            && let Some(report) = FragmentationNeeded::of(packet, headers)
        {
            return self.take_report(source, flow, &report, now);
        }
        let across = flow.key(side.other());
        if side == Side::Target && flow.state().has(State::PROBE) {
            // A probe goes by what the target itself says.
            worker.count_received(across.ingress, headers.len)?;
            return Ok(Verdict::Answered);
        }
        let seq = |seq| match side == Side::Target && flow.state().has(State::PROXIED) {
            true => flow.quoted_seq(seq),
            false => seq,
        };
        worker.count_received(across.ingress, headers.len)?;
        if flow.via().is_some() {
            icmp::hide_options(packet, headers);
            if let Some(mut bytes) = icmp::without_extension(packet, headers) {
                let headers = Headers {
                    len: bytes.len(),
                    ..*headers
                };
                let mut vnet = VnetHeader::default();
                let mut packet = Packet::new(&mut vnet, &mut bytes);
                icmp::translate(&mut packet, &headers, &across.tuple, seq);
                worker.queue(across.ingress, bytes);
                return Ok(Verdict::Answered);
            }
        }
        icmp::translate(packet, headers, &across.tuple, seq);
        Ok(Verdict::Forward(across.ingress))
    }
}
