//! A packet's end: where, why, and what its sender is told.

use super::config::EniIdx;
use super::eni::Eni;
use super::flow::OpenError;
use super::verdict::{DropReason, Verdict};
use super::worker::Worker;
use crate::net::icmp::{self, Unreachable};
use crate::net::{Headers, Packet, ParseError, Transport, tcp};

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// The interface that counts it.
    pub(super) at: EniIdx,
    pub(super) reason: DropReason,
    /// What its sender is told; a denial is silent.
    reply: Option<Reply>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Reset,
    Unreachable(Unreachable),
}

impl Dropped {
    /// It ends at this interface, in silence.
    pub(super) fn at(at: EniIdx, reason: impl Into<DropReason>) -> Self {
        Self {
            at,
            reason: reason.into(),
            reply: None,
        }
    }

    /// It belongs to no connection: a TCP sender gets a RST. A SYN is the beginning of one, and stays unanswered.
    pub(super) fn stray(at: EniIdx, reason: DropReason, headers: &Headers) -> Self {
        let is_stray = matches!(&headers.transport, Transport::Tcp(segment) if !segment.opens());
        Self {
            reply: is_stray.then_some(Reply::Reset),
            ..Self::at(at, reason)
        }
    }

    /// There is nobody who would take it: a TCP sender gets a RST, for a SYN too.
    pub(super) fn refused(at: EniIdx, reason: DropReason) -> Self {
        Self {
            reply: Some(Reply::Reset),
            ..Self::at(at, reason)
        }
    }

    /// It is larger than `mtu` bytes, which its sender is told.
    pub(super) fn too_big(at: EniIdx, mtu: u16) -> Self {
        let reply = Reply::Unreachable(Unreachable::FragmentationNeeded { mtu });
        Self {
            reply: Some(reply),
            ..Self::at(at, DropReason::PacketTooBig)
        }
    }

    /// Something that it needs is used up (RFC 6888, REQ-8).
    pub(super) fn exhausted(at: EniIdx, reason: DropReason) -> Self {
        let reply = Reply::Unreachable(Unreachable::AdministrativelyProhibited);
        Self {
            reply: Some(reply),
            ..Self::at(at, reason)
        }
    }
}

impl OpenError {
    /// The drop where a flow inside a VPC did not open: the key of its answers follows from its own, so it had no port to run out of.
    pub(super) fn inside(self, source: &Eni, destination: &Eni) -> Dropped {
        match self {
            Self::Full => self.at(destination),
            Self::NoBinding => Dropped::at(source.idx, DropReason::TupleTaken),
        }
    }

    /// The drop at the interface for which the flow was to open.
    pub(super) fn at(self, eni: &Eni) -> Dropped {
        match self {
            Self::Full => Dropped::exhausted(eni.idx, DropReason::FlowTableFull),
            Self::NoBinding => Dropped::exhausted(eni.idx, DropReason::PortsExhausted),
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
            ParseError::Fragment => Self::BadFragment,
            ParseError::BadTransportHeader => Self::BadTransportHeader,
            ParseError::IcmpType => Self::IcmpType,
        }
    }
}

impl Worker {
    /// Counts the end of a packet that came from `from`, and tells its sender what it should know.
    #[cold]
    pub(super) fn drop_packet(
        &mut self,
        from: EniIdx,
        packet: &mut Packet<'_>,
        dropped: Dropped,
    ) -> Verdict {
        let Dropped { at, reason, reply } = dropped;
        self.count_drop(at, reason);
        if let Some(reply) = reply
            && let Ok(headers) = packet.parse()
            && let Some(bytes) = reply.to(packet, &headers)
        {
            self.tell(from, bytes);
        }
        Verdict::Drop(reason)
    }
}

impl Reply {
    fn to(self, packet: &Packet<'_>, headers: &Headers) -> Option<Vec<u8>> {
        match (self, &headers.transport) {
            (Self::Reset, Transport::Tcp(segment)) => tcp::reset(headers, segment),
            (Self::Reset, _) => None,
            (Self::Unreachable(error), _) => icmp::unreachable(packet, headers, error),
        }
    }
}
