//! What identifies a flow on one side of a NAT.

use std::fmt;

use super::Addr;

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP (RFC 792).
    pub const ICMP: Self = Self(1);
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// UDP (RFC 768).
    pub const UDP: Self = Self(17);
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.pad("icmp"),
            Self::TCP => f.pad("tcp"),
            Self::UDP => f.pad("udp"),
            Self::ICMPV6 => f.pad("icmpv6"),
            Self(number) => f.pad(&number.to_string()),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Protocol, addresses and ports of a packet.
///
/// An ICMP echo request has its identifier as source port and 0 as destination port, its reply the
/// reverse: so a reply's tuple is the request's, [`reversed`](Self::reversed), and a request sent back along a flow is
/// not mistaken for an answer (identifier 0 apart, which the flow tells apart). An
/// ICMP error has 65535 in both, which no echo has; protocols without ports have 0 in both.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// The IP protocol.
    pub protocol: Protocol,
    /// Source address.
    pub src: Addr,
    /// Source port.
    pub src_port: u16,
    /// Destination address.
    pub dst: Addr,
    /// Destination port.
    pub dst_port: u16,
}

impl FiveTuple {
    /// The tuple of the answer.
    #[inline]
    pub const fn reversed(self) -> Self {
        Self {
            protocol: self.protocol,
            src: self.dst,
            src_port: self.dst_port,
            dst: self.src,
            dst_port: self.src_port,
        }
    }
}

impl fmt::Debug for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            src,
            src_port,
            dst,
            dst_port,
        } = self;
        write!(f, "{protocol} {src}:{src_port} -> {dst}:{dst_port}")
    }
}
