//! The terms on which flows open: their timers, their path's MTU and what their target is told, by kind.

use std::time::Duration;

use super::Dataplane;
use super::config::EniIdx;
use super::dropped::Dropped;
use super::eni::Eni;
use super::first::{Offer, Provider, is_instance};
use super::flow::{Admission, Claim, Flow, FlowKey, OpenError, Opened, Request, Side, Terms};
use super::snapshot::Snapshot;
use super::time::Instant;
use super::verdict::DropReason;
use crate::net::{Headers, Transport};

/// Largest packet on the way through an endpoint, in bytes (AWS PrivateLink).
const ENDPOINT_MTU: u16 = 8500;
/// Half-open, closing or reset TCP (RFC 5382, REQ-5: at least four minutes).
const TCP_TRANSITORY: Duration = Duration::from_secs(240);
/// AWS PrivateLink: TCP idle timeout.
const ENDPOINT_TCP_IDLE: Duration = Duration::from_secs(350);
/// AWS Network Load Balancer: UDP idle timeout.
const ENDPOINT_UDP_IDLE: Duration = Duration::from_secs(120);
/// Security group connection tracking (Amazon EC2), in the order TCP established, UDP stream, UDP one way.
const LOCAL_TCP_IDLE: Duration = Duration::from_secs(432_000);
const LOCAL_UDP_STREAM: Duration = Duration::from_secs(180);
const LOCAL_UDP_ONE_WAY: Duration = Duration::from_secs(30);
/// A probe's, as long as its timeout may be; and what is left of one, until what its target still has to say has come.
const PROBE_IDLE: Duration = Duration::from_secs(120);
const PROBE_TRANSITORY: Duration = Duration::from_secs(10);
/// RFC 5508, REQ-2: at least 60 seconds.
const ICMP_QUERY: Duration = Duration::from_secs(60);

impl Dataplane {
    /// Is the packet, once segmented, within this MTU?
    #[inline]
    pub(super) fn fits(&self, from: EniIdx, headers: &Headers, mtu: u16) -> Result<(), Dropped> {
        match headers.wire_len <= usize::from(mtu) {
            true => Ok(()),
            false => Err(Dropped::too_big(from, mtu)),
        }
    }

    /// Whether the packet belongs to the flow whose key it has; then it is counted there, and moves the flow's state.
    #[inline]
    pub(super) fn belongs(
        &self,
        (flow, side): (&Flow, Side),
        headers: &Headers,
        now: Instant,
    ) -> Result<bool, Dropped> {
        let from = flow.key(side).ingress;
        match flow.admit(side, headers, now) {
            Admission::Pass => Ok(true),
            Admission::Reversed => Err(Dropped::at(from, DropReason::GatewayIngress)),
            Admission::Expired | Admission::Reopens => Ok(false),
        }
    }

    /// Opens a flow; the target's side gets the first of `targets` that is to be had.
    ///
    /// Nobody may hold more flows than are left for everybody else: one interface takes half of the table at most, two
    /// take a third each, and a newcomer always finds room.
    pub(super) fn open(
        &self,
        snapshot: &Snapshot,
        worker: usize,
        source: &Eni,
        request: &Request,
        targets: impl Iterator<Item = (FlowKey, Claim)>,
        now: Instant,
    ) -> Result<Opened<'_>, OpenError> {
        if source.opened() >= self.flows.room() {
            return Err(OpenError::Full);
        }
        let settle = |old: &Flow| self.settle(snapshot, worker, old);
        let opened = self
            .flows
            .open(request, targets, &self.epochs, now, settle)?;
        source.count_opened();
        Ok(opened)
    }

    /// Between two instances of one VPC, or from a load balancer's node to one.
    pub(super) fn local_terms(&self, source: &Eni, headers: &Headers) -> Terms {
        let probe = !is_instance(source);
        let (idle, transitory) = match headers.transport {
            _ if probe => (PROBE_IDLE, PROBE_TRANSITORY),
            Transport::Tcp(_) => (LOCAL_TCP_IDLE, TCP_TRANSITORY),
            Transport::EchoRequest | Transport::EchoReply => (ICMP_QUERY, ICMP_QUERY),
            _ => (LOCAL_UDP_STREAM, LOCAL_UDP_ONE_WAY),
        };
        Terms {
            via: None,
            idle,
            transitory,
            mtu: self.settings.mtu,
            target_mtu: self.settings.mtu,
            proxied: false,
            probe,
        }
    }

    /// Through an endpoint; a resource may have an idle timeout of its own, a listener has one for TCP.
    pub(super) fn endpoint_terms(
        &self,
        source: &Eni,
        provider: &Provider<'_>,
        headers: &Headers,
        now: Instant,
    ) -> Terms {
        let (idle, transitory) = match headers.transport {
            Transport::Tcp(_) => (ENDPOINT_TCP_IDLE, TCP_TRANSITORY),
            Transport::Udp => (ENDPOINT_UDP_IDLE, ENDPOINT_UDP_IDLE),
            _ => (ICMP_QUERY, ICMP_QUERY),
        };
        let proxied = match &provider.offer {
            Offer::Resource(resource, _) => resource.proxy_protocol,
            Offer::Listener(_, listener) => listener.proxy_protocol,
        };
        let own = match (&provider.offer, &headers.transport) {
            (Offer::Resource(resource, _), _) => resource.idle_timeout,
            (Offer::Listener(_, listener), Transport::Tcp(_)) => Some(listener.tcp_idle_timeout),
            (Offer::Listener(..), _) => None,
        };
        let mtu = self.settings.mtu.min(ENDPOINT_MTU);
        let reported = source.paths.mtu_to(headers.tuple.src, now);
        Terms {
            via: Some(provider.endpoint.idx),
            idle: own.unwrap_or(idle),
            transitory,
            mtu,
            target_mtu: reported.unwrap_or(mtu).min(mtu),
            proxied: proxied && matches!(headers.transport, Transport::Tcp(_)),
            probe: false,
        }
    }
}
