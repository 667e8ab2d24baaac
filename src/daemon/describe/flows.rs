//! Flows, as many as one answer holds: of those that are wanted, in pages.
//!
//! Invariant: what one page takes, in memory and in time, is bounded, however many flows there are.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use ipnet::IpNet;

use super::{Fabric, view};
use crate::control::ControlState;
use crate::control::id::{Id, NetworkInterfaceId};
use crate::daemon::refusal::Refusal;
use crate::daemon::resolve;
use crate::dataplane::{EniIdx, FlowView, SideView};
use crate::net::{Addr, FiveTuple, Protocol};

/// Flows of one page.
const PAGE: usize = 1000;
/// Places of the flow table that are looked at for one page: a millisecond or two.
const PLACES: usize = 8 * 1024;
/// What `from` and `to` may be.
const PEERS: &str = "an address (172.18.0.108), an address and a port (172.18.0.108:80), a CIDR \
    (172.18.0.0/16), an instance (logical id, STACK:LOGICAL-ID, Name tag, i-... or namespace) or a \
    network interface (eni-...)";

/// Which flows are to be shown.
pub struct Wanted {
    from: Option<Peer>,
    to: Option<Peer>,
    /// The interfaces of the endpoint that they came through.
    endpoint: Option<Vec<EniIdx>>,
    state: Option<String>,
    limit: Option<NonZeroUsize>,
    /// The first place that is looked at.
    place: usize,
}

/// One end of a flow, or what stands between both ends, for it has its addresses.
enum Peer {
    Addresses(IpNet, Option<u16>),
    Interface(EniIdx),
}

impl Fabric {
    /// What `query` asks for.
    pub fn wanted(&self, query: view::FlowQuery) -> Result<Wanted, Refusal> {
        let peer = |flag, text: Option<String>| {
            let peer = text.map(|text| peer(&self.state, flag, &text));
            peer.transpose()
        };
        let through = |name: String| interfaces(&self.state, &name);
        let place = query.next_token.map_or(Ok(0), |token| token.parse());
        Ok(Wanted {
            from: peer("from", query.from)?,
            to: peer("to", query.to)?,
            endpoint: query.endpoint.map(through).transpose()?,
            state: query.state.map(state).transpose()?,
            limit: query.limit,
            place: place.map_err(|_| {
                Refusal::malformed("next-token is the NextToken of the page before, unchanged")
            })?,
        })
    }

    /// The next page of the flows that are wanted. A flow that lives all the while is on one page of all, since it
    /// keeps its place; each page is newest first.
    pub fn flows(&self, wanted: &Wanted) -> view::FlowPage {
        let places = self.dataplane.flow_places();
        let mut next = places.min(wanted.place.saturating_add(PLACES));
        let mut page = Vec::new();
        for (place, flow) in self
            .dataplane
            .flows(wanted.place..next, self.clock.now())
            .filter(|(_, flow)| wanted.has(flow))
        {
            if page.len() == PAGE {
                next = place;
                break;
            }
            page.push(flow);
        }
        page.sort_by_key(|flow| flow.age);
        let limit = wanted.limit.map_or(usize::MAX, NonZeroUsize::get);
        let goes_on = next < places && page.len() < limit;
        page.truncate(limit);
        view::FlowPage {
            flows: page.iter().map(|flow| self.flow(flow)).collect(),
            next_token: goes_on.then(|| next.to_string()),
        }
    }

    fn flow(&self, flow: &FlowView) -> view::Flow {
        let (initiator, target) = (&flow.initiator, &flow.target);
        view::Flow {
            protocol: protocol_name(initiator.key.tuple.protocol),
            state: flow.state.name().into(),
            vpc_endpoint: flow.via.map(|idx| self.named(idx).1),
            initiator: self.side(initiator, initiator.key.tuple),
            // Its packets are the answers; people compare what the initiator sent with what the
            // target received.
            target: self.side(target, target.key.tuple.reversed()),
            age_seconds: flow.age.as_secs_f64(),
            idle_seconds: flow.idle.as_secs_f64(),
        }
    }

    fn side(&self, side: &SideView, tuple: FiveTuple) -> view::FlowSide {
        let (network_interface_id, owner, stack) = self.named(side.key.ingress);
        view::FlowSide {
            network_interface_id,
            owner,
            stack,
            source: tuple.src.to_string(),
            source_port: tuple.src_port,
            destination: tuple.dst.to_string(),
            destination_port: tuple.dst_port,
            packets: side.packets,
            bytes: side.bytes,
        }
    }
}

impl Wanted {
    fn has(&self, flow: &FlowView) -> bool {
        // The initiator's packets, before NAT and after it.
        let before = flow.initiator.key.tuple;
        let after = flow.target.key.tuple.reversed();
        let sources = [(before.src, before.src_port), (after.src, after.src_port)];
        let destinations = [(before.dst, before.dst_port), (after.dst, after.dst_port)];
        let senders = [Some(flow.initiator.key.ingress), flow.gateway];
        let receivers = [Some(flow.target.key.ingress), flow.via];
        let is = |peer: &Option<Peer>, addresses, interfaces| {
            let peer = peer.as_ref();
            peer.is_none_or(|peer| peer.is_one_of(addresses, interfaces))
        };
        let through = |endpoint: &Vec<_>| flow.via.is_some_and(|via| endpoint.contains(&via));
        is(&self.from, sources, senders)
            && is(&self.to, destinations, receivers)
            && self.endpoint.as_ref().is_none_or(through)
            && self.state.as_ref().is_none_or(|it| it == flow.state.name())
    }
}

impl Peer {
    fn is_one_of(&self, addresses: [(Addr, u16); 2], interfaces: [Option<EniIdx>; 2]) -> bool {
        match self {
            Self::Addresses(range, wanted) => addresses.iter().any(|(address, port)| {
                range.contains(&address.ip()) && wanted.is_none_or(|wanted| wanted == *port)
            }),
            Self::Interface(idx) => interfaces.contains(&Some(*idx)),
        }
    }
}

/// What the value of `flag` means.
fn peer(state: &ControlState, flag: &str, text: &str) -> Result<Peer, Refusal> {
    if let Ok(range) = text.parse() {
        return Ok(Peer::Addresses(range, None));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Peer::Addresses(address.into(), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Peer::Addresses(address.ip().into(), Some(address.port())));
    }
    let eni = match text.starts_with(NetworkInterfaceId::PREFIX) {
        true => resolve::network_interface(state, text).map(|eni| eni.network_interface_id),
        false => resolve::instance(state, text).map(|instance| instance.network_interface_id),
    };
    let eni = eni.map_err(|refusal| match refusal {
        Refusal::Unknown(code, message) => {
            let message = format!("{message}; --{flag} takes {PEERS}");
            Refusal::Unknown(code, message).of_flag(flag)
        }
        other => other.of_flag(flag),
    })?;
    let eni = state.network_interface(&eni);
    let gone = || Refusal::malformed(format!("--{flag}: the interface of {text} is gone"));
    Ok(Peer::Interface(eni.ok_or_else(gone)?.idx))
}

/// The interfaces of the endpoint of this name.
fn interfaces(state: &ControlState, name: &str) -> Result<Vec<EniIdx>, Refusal> {
    let endpoint = resolve::vpc_endpoint(state, name);
    let endpoint = endpoint.map_err(|refusal| refusal.of_flag("endpoint"))?;
    let enis = endpoint.network_interface_ids.iter();
    let enis = enis.filter_map(|id| Some(state.network_interface(id)?.idx));
    Ok(enis.collect())
}

/// The state of this name.
fn state(name: String) -> Result<String, Refusal> {
    match view::FlowState::NAMES.contains(&name.as_str()) {
        true => Ok(name),
        false => Err(Refusal::malformed(format!(
            "--state: there is no state `{name}`; it is one of {}",
            view::FlowState::NAMES.join(", ")
        ))),
    }
}

/// AWS's spelling.
pub(super) fn protocol_name(protocol: Protocol) -> String {
    match protocol {
        Protocol::ICMPV6 => "ICMPv6".into(),
        other => other.to_string().to_uppercase(),
    }
}
