//! Links with a smaller MTU behind a consumer (docs/design/0012).
//!
//! A target's kernel keeps a path's MTU by address. Behind an endpoint or a load balancer that address is shared:
//! so a consumer's report (RFC 1191) stays here, and a packet that is too large for its flow is cut here. The report
//! holds for that flow, and for those that the same consumer address opens within ten minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::rand_core::Rng;

use super::Dataplane;
use super::config::EniIdx;
use super::dropped::Dropped;
use super::eni::Eni;
use super::flow::{Flow, Side};
use super::time::Instant;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::icmp::FragmentationNeeded;
use crate::net::{Addr, Headers, Packet, Protocol};

/// The smallest MTU that is believed, in bytes (Linux's `net.ipv4.route.min_pmtu`): less only multiplies packets.
const LEAST_MTU: u16 = 552;
/// The smallest MTU that a link may have, in bytes (RFC 791).
const LEAST_LINK: u16 = 68;
/// How long a report is remembered (RFC 1191, 6.3; Linux's `net.ipv4.route.mtu_expires`).
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many addresses are remembered of each interface.
const MOST: usize = 64;

/// What is known of the paths behind one interface.
#[derive(Default)]
pub(super) struct Paths {
    /// The newest comes last, and each address once.
    reports: Mutex<VecDeque<Report>>,
    /// The identification of the next datagram that reaches it in fragments, from any sender (RFC 6864, 4.2): it repeats after
    /// 65,536 of them.
    next_identification: OnceLock<AtomicU16>,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    address: Addr,
    mtu: u16,
    at: Instant,
}

impl Report {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.at + REMEMBERED
    }
}

impl Paths {
    /// The MTU that packets to this address of the interface's have to fit, if it is known.
    pub(super) fn mtu_to(&self, address: Addr, now: Instant) -> Option<u16> {
        let reports = self.reports.lock();
        let report = reports.iter().find(|report| report.address == address)?;
        (!report.is_over(now)).then_some(report.mtu)
    }

    fn remember(&self, address: Addr, mtu: u16, now: Instant) {
        let mut reports = self.reports.lock();
        reports.retain(|report| !report.is_over(now));
        match reports.iter().position(|report| report.address == address) {
            Some(place) if reports.get(place).is_some_and(|known| known.mtu < mtu) => return,
            Some(place) => drop(reports.remove(place)),
            None if reports.len() >= MOST => drop(reports.pop_front()),
            None => {}
        }
        reports.push_back(Report {
            address,
            mtu,
            at: now,
        });
    }
}

impl Dataplane {
    /// Takes a consumer's report that a packet of the target's was too large for a link.
    #[cold]
    pub(super) fn take_report(
        &self,
        source: &Eni,
        flow: &Flow,
        report: &FragmentationNeeded,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let implausible = Dropped::at(source.idx, DropReason::ImplausibleMtu);
        let mtu = believe(report, flow).ok_or(implausible)?;
        flow.lower_mtu(Side::Target, mtu);
        let consumer = flow.key(Side::Initiator).tuple.src;
        source.paths.remember(consumer, mtu, now);
        Ok(Verdict::Answered)
    }

    /// Sends a packet on along a flow that takes smaller ones only.
    #[cold]
    pub(super) fn follow_narrow(
        &self,
        worker: &mut Worker,
        (flow, side): (&Flow, Side),
        packet: &mut Packet<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Result<Verdict, Dropped> {
        let (found, from) = ((flow, side), flow.key(side).ingress);
        self.fits(from, headers, flow.path_mtu())?;
        if !packet.is_unharmed(headers) {
            return Err(Dropped::at(from, DropReason::BadTransportHeader));
        }
        if !self.belongs(found, headers, now)? {
            return self.first_packet(worker, from, packet, headers, now);
        }
        let mtu = flow.mtu(side);
        if packet.can_be_segmented(headers) {
            packet.segment_to_fit(headers, mtu);
            return self.forward(worker, found, packet, headers, now);
        }
        match self.forward(worker, found, packet, headers, now)? {
            Verdict::Forward(to) => send_fragments(worker, to, (packet, headers), mtu),
            verdict => Ok(verdict),
        }
    }
}

/// The MTU that this report is evidence of, if the packet that it quotes may have been sent along the flow (RFC 5927, 7.2).
fn believe(report: &FragmentationNeeded, flow: &Flow) -> Option<u16> {
    let mtu = match report.mtu {
        0 => LEAST_MTU,
        mtu => mtu,
    };
    let may_have_been_sent = match flow.key(Side::Target).tuple.protocol {
        Protocol::TCP => flow.is_under_way(Side::Target, report.seq),
        _ => flow.packets(Side::Target) > 0,
    };
    let is_plausible =
        may_have_been_sent && mtu >= LEAST_LINK && mtu < report.length && mtu < flow.path_mtu();
    is_plausible.then_some(mtu.max(LEAST_MTU))
}

/// Sends a packet, which has been counted, in fragments.
fn send_fragments(
    worker: &mut Worker,
    to: EniIdx,
    (packet, headers): (&mut Packet<'_>, &Headers),
    mtu: u16,
) -> Result<Verdict, Dropped> {
    let snapshot = Arc::clone(&worker.snapshot);
    let receiver = snapshot.eni(to).map_err(|reason| Dropped::at(to, reason))?;
    let next = receiver
        .paths
        .next_identification
        .get_or_init(|| AtomicU16::new(worker.random.next_u32() as u16));
    packet.fragment(
        headers,
        mtu,
        || next.fetch_add(1, Relaxed),
        |fragment| worker.queue(to, fragment),
    );
    Ok(Verdict::Answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(number: u32) -> Addr {
        Addr::v4(number.to_be_bytes())
    }

    #[test]
    fn of_more_addresses_than_are_remembered_the_oldest_goes() {
        let paths = Paths::default();
        let now = Instant::START;
        for number in 0..100_000 {
            paths.remember(address(number), 1300, now);
        }
        assert_eq!(paths.reports.lock().len(), MOST);
        assert!(paths.reports.lock().capacity() <= 2 * MOST);
        assert_eq!(paths.mtu_to(address(99_999), now), Some(1300));
        assert_eq!(
            paths.mtu_to(address(100_000 - MOST as u32), now),
            Some(1300)
        );
        assert_eq!(paths.mtu_to(address(99_999 - MOST as u32), now), None);
    }

    #[test]
    fn a_report_holds_for_ten_minutes_and_only_a_smaller_one_takes_its_place() {
        let (paths, start) = (Paths::default(), Instant::START);
        paths.remember(address(1), 1000, start);
        let later = start + 599 * SECOND;
        assert_eq!(paths.mtu_to(address(1), later), Some(1000));
        // It neither raises the MTU nor lasts for the smaller one's sake.
        paths.remember(address(1), 1300, later);
        assert_eq!(paths.mtu_to(address(1), start + 600 * SECOND), None);
        paths.remember(address(1), 1300, start + 600 * SECOND);
        assert_eq!(paths.mtu_to(address(1), start + 1199 * SECOND), Some(1300));
        paths.remember(address(1), 1300, start + 1199 * SECOND);
        assert_eq!(paths.mtu_to(address(1), start + 1798 * SECOND), Some(1300));
        assert_eq!(paths.mtu_to(address(1), start + 1799 * SECOND), None);
    }
}
