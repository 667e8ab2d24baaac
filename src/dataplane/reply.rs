//! What the data plane says to a sender whose packet it does not forward: a RST, or an ICMP error.

use super::config::EniIdx;
use super::first::Dropped;
use super::verdict::DropReason;
use super::worker::Worker;
use crate::net::{Headers, Packet, Transport, icmp, tcp};

/// Queues a reply, if there is one.
pub(super) fn send(worker: &mut Worker, to: EniIdx, reply: Option<Vec<u8>>) {
    if let Some(bytes) = reply {
        worker.transmit(to, bytes);
    }
}

/// A RST to the sender of a segment that belongs to no connection; a SYN is not one of those and stays unanswered.
pub(super) fn reset_stray(worker: &mut Worker, sender: EniIdx, headers: &Headers) {
    if let Transport::Tcp(segment) = &headers.transport
        && !segment.opens()
    {
        send(worker, sender, tcp::reset(headers, segment).map(Vec::from));
    }
}

/// Tells the sender what would fit.
#[cold]
pub(super) fn too_big(
    worker: &mut Worker,
    sender: EniIdx,
    packet: &Packet<'_>,
    headers: &Headers,
    mtu: u16,
) -> Dropped {
    send(
        worker,
        sender,
        icmp::unreachable(
            packet,
            headers,
            icmp::Unreachable::FragmentationNeeded { mtu },
        ),
    );
    Dropped::new(sender, DropReason::PacketTooBig)
}
