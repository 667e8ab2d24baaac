//! From bytes to meaning: one pass over the headers that validates everything the data plane later relies on.
//!
//! Invariant: when [`Packet::parse`] returns `Ok`, the vnet header agrees with the packet, and nothing that a
//! neighbour wrote into it can make a later reader of the packet touch other bytes than the ones checked here.
//! Sources: RFC 791, 792, 768, 9293; linux/virtio_net.h.

use super::{Addr, FiveTuple, GsoType, Packet, Protocol, Segment, VnetHeader, checksum, options};

/// Why a packet cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Unknown vnet flags, or a super-packet without `NEEDS_CSUM`.
    #[error("vnet header flags")]
    VnetFlags,
    /// A segmentation type that is unknown or of another protocol.
    #[error("vnet header segmentation type")]
    VnetGsoType,
    /// A segment size below the floor.
    #[error("vnet header segment size")]
    VnetGsoSize,
    /// `csum_start` is not the transport header's place.
    #[error("vnet header csum_start")]
    VnetChecksumStart,
    /// `csum_offset` is not the checksum field's.
    #[error("vnet header csum_offset")]
    VnetChecksumOffset,
    /// Shorter than its headers say.
    #[error("truncated")]
    Truncated,
    /// Not IP, or an IPv4 header whose lengths are impossible or whose options ask for a source route, or of a connection's end
    /// with a wrong checksum.
    #[error("bad IP header")]
    BadIpHeader,
    /// IPv6.
    #[error("IPv6")]
    Ipv6,
    /// A fragment.
    #[error("fragment")]
    Fragment,
    /// An impossible TCP or UDP header, or a TCP connection's end with a wrong checksum.
    #[error("bad transport header")]
    BadTransportHeader,
    /// An ICMP type that is neither echo nor error.
    #[error("ICMP type")]
    IcmpType,
}

/// The smallest TCP segment size of a super-packet, in bytes: what Linux's smallest path MTU (`net.ipv4.route.min_pmtu`, 552)
/// leaves beside 80 bytes of headers, as timestamps and selective acknowledgements make them. Less only multiplies packets.
pub const MIN_TCP_GSO_SIZE: u16 = 472;
/// The most datagrams that one UDP super-packet may hold (Linux's `UDP_MAX_SEGMENTS`).
pub const MAX_UDP_SEGMENTS: usize = 128;

/// What the data plane needs to know of a packet's headers.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// Protocol, addresses and ports.
    pub tuple: FiveTuple,
    /// What the transport header says beyond that.
    pub transport: Transport,
    /// Offset of the transport header, in bytes.
    pub transport_at: usize,
    /// Length of the IP packet, in bytes; up to 65,535 for a super-packet.
    pub len: usize,
    /// Length of the largest packet on the wire once segmented, in bytes: what an MTU bounds. 0 for a datagram that has come
    /// in fragments, and may be fragmented again.
    pub wire_len: usize,
    /// The payload handed to applications, in bytes (of TCP: sequence space without SYN and FIN).
    pub payload_len: usize,
}

/// The transport layer's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment, or a super-packet of them.
    Tcp(Segment),
    /// A UDP datagram, or a super-packet of them.
    Udp,
    /// An ICMP echo request (the tuple has its identifier as source port).
    EchoRequest,
    /// An ICMP echo reply (the tuple has its identifier as destination port).
    EchoReply,
    /// An ICMP error; it quotes the packet that it is about.
    IcmpError,
    /// Another IP protocol, without ports.
    Other,
}

impl Packet<'_> {
    /// Reads and validates the headers; makes the vnet header safe to be passed on (`hdr_len` right, `DATA_VALID` off).
    #[inline]
    pub fn parse(&mut self) -> Result<Headers, ParseError> {
        let ip = Ipv4::parse(self.bytes)?;
        let segment = self
            .bytes
            .get(ip.header_len..ip.total_len)
            .ok_or(ParseError::Truncated)?;
        let l4 = L4::parse(ip.protocol, segment)?;
        let headers_len = ip.header_len + l4.header_len;
        let payload_len = ip.total_len - headers_len;
        let gso_size = validate_vnet(self.vnet, &ip, headers_len, payload_len)?;
        if let Transport::Tcp(segment) = &l4.transport
            && segment.has(Segment::FIN | Segment::RST)
        {
            self.check_sums(&ip)?;
        }
        Ok(Headers {
            tuple: FiveTuple {
                protocol: ip.protocol,
                src: ip.src,
                src_port: l4.src_port,
                dst: ip.dst,
                dst_port: l4.dst_port,
            },
            transport: l4.transport,
            transport_at: ip.header_len,
            len: ip.total_len,
            wire_len: gso_size.map_or(ip.total_len, |size| headers_len + payload_len.min(size)),
            payload_len,
        })
    }

    /// The receiver's kernel drops a packet with a wrong checksum: no end of a connection that it never sees may count here.
    #[cold]
    fn check_sums(&self, ip: &Ipv4) -> Result<(), ParseError> {
        let (header, segment) = self
            .bytes
            .split_at_checked(ip.header_len)
            .ok_or(ParseError::Truncated)?;
        if checksum::sum(header) != u16::MAX {
            return Err(ParseError::BadIpHeader);
        }
        let is_right = self.vnet.needs_csum()
            || checksum::transport(ip.src, ip.dst, ip.protocol, segment) == 0;
        is_right.then_some(()).ok_or(ParseError::BadTransportHeader)
    }

    /// Is the checksum of a TCP segment, UDP datagram or ICMP message right, if it has one yet? To be asked where nobody's kernel
    /// does.
    pub fn is_intact(&self, headers: &Headers) -> bool {
        let Some(segment) = self.bytes.get(headers.transport_at..headers.len) else {
            return false;
        };
        let FiveTuple {
            protocol, src, dst, ..
        } = headers.tuple;
        match headers.transport {
            _ if self.vnet.needs_csum() => true,
            // RFC 768: all zero, where the sender has computed none.
            Transport::Udp if segment.get(6..8) == Some(&[0, 0]) => true,
            Transport::Tcp(_) | Transport::Udp => {
                checksum::transport(src, dst, protocol, segment) == 0
            }
            Transport::EchoRequest | Transport::EchoReply | Transport::IcmpError => {
                checksum::sum(segment) == u16::MAX
            }
            Transport::Other => false,
        }
    }
}

struct Ipv4 {
    header_len: usize,
    total_len: usize,
    protocol: Protocol,
    src: Addr,
    dst: Addr,
}

impl Ipv4 {
    #[inline]
    fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => {}
            Some(6) => return Err(ParseError::Ipv6),
            Some(_) => return Err(ParseError::BadIpHeader),
            None => return Err(ParseError::Truncated),
        }
        let &[
            first,
            _,
            l0,
            l1,
            _,
            _,
            f0,
            f1,
            ttl,
            protocol,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ] = bytes.first_chunk::<20>().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(first & 0xf) * 4;
        let total_len = usize::from(u16::from_be_bytes([l0, l1]));
        // One whose time to live has run out goes no further, and is delivered to no one (RFC 1122, 3.2.1.7: none is sent).
        if header_len < 20 || total_len < header_len || ttl == 0 {
            return Err(ParseError::BadIpHeader);
        }
        if total_len > bytes.len() {
            return Err(ParseError::Truncated);
        }
        // A TUN pads nothing. What stands behind the packet would pass the MTU checks unseen, and be cut into segments.
        if total_len < bytes.len() {
            return Err(ParseError::BadIpHeader);
        }
        if header_len > 20 && !options::are_harmless(bytes.get(20..header_len).unwrap_or_default())
        {
            return Err(ParseError::BadIpHeader);
        }
        // More fragments, or a fragment offset.
        if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
            return Err(ParseError::Fragment);
        }
        Ok(Self {
            header_len,
            total_len,
            protocol: Protocol(protocol),
            src: Addr::v4([s0, s1, s2, s3]),
            dst: Addr::v4([d0, d1, d2, d3]),
        })
    }
}

struct L4 {
    header_len: usize,
    src_port: u16,
    dst_port: u16,
    transport: Transport,
}

impl L4 {
    #[inline]
    fn parse(protocol: Protocol, segment: &[u8]) -> Result<Self, ParseError> {
        match protocol {
            Protocol::TCP => Self::tcp(segment),
            Protocol::UDP => Self::udp(segment),
            Protocol::ICMP => Self::icmp(segment),
            _ => Ok(Self {
                header_len: 0,
                src_port: 0,
                dst_port: 0,
                transport: Transport::Other,
            }),
        }
    }

    #[inline]
    fn tcp(bytes: &[u8]) -> Result<Self, ParseError> {
        let &[
            s0,
            s1,
            d0,
            d1,
            q0,
            q1,
            q2,
            q3,
            a0,
            a1,
            a2,
            a3,
            offset,
            flags,
            w0,
            w1,
            _,
            _,
            _,
            _,
        ] = bytes.first_chunk::<20>().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(offset >> 4) * 4;
        if header_len < 20 {
            return Err(ParseError::BadTransportHeader);
        }
        let payload_len = bytes
            .len()
            .checked_sub(header_len)
            .ok_or(ParseError::Truncated)?;
        let segment = Segment {
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags,
            window: u16::from_be_bytes([w0, w1]),
            payload_len: payload_len as u32,
        };
        if !segment.flags_make_sense() {
            return Err(ParseError::BadTransportHeader);
        }
        Ok(Self {
            header_len,
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            transport: Transport::Tcp(segment),
        })
    }

    #[inline]
    fn udp(bytes: &[u8]) -> Result<Self, ParseError> {
        let &[s0, s1, d0, d1, l0, l1, _, _] =
            bytes.first_chunk::<8>().ok_or(ParseError::Truncated)?;
        // A datagram shorter than its packet hides bytes behind it; a longer one is truncated.
        if usize::from(u16::from_be_bytes([l0, l1])) != bytes.len() {
            return Err(ParseError::BadTransportHeader);
        }
        Ok(Self {
            header_len: 8,
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            transport: Transport::Udp,
        })
    }

    fn icmp(bytes: &[u8]) -> Result<Self, ParseError> {
        let &[kind, _, _, _, i0, i1, _, _] =
            bytes.first_chunk::<8>().ok_or(ParseError::Truncated)?;
        let id = u16::from_be_bytes([i0, i1]);
        let (src_port, dst_port, transport) = match kind {
            8 => (id, 0, Transport::EchoRequest),
            0 => (0, id, Transport::EchoReply),
            // No echo has these ports, so an error never hits an echo's flow.
            3 | 4 | 11 | 12 => (u16::MAX, u16::MAX, Transport::IcmpError),
            _ => return Err(ParseError::IcmpType),
        };
        Ok(Self {
            header_len: 8,
            src_port,
            dst_port,
            transport,
        })
    }
}

/// Checks the vnet header against the packet it stands before; gives a super-packet's segment size.
#[inline]
fn validate_vnet(
    vnet: &mut VnetHeader,
    ip: &Ipv4,
    headers_len: usize,
    payload_len: usize,
) -> Result<Option<usize>, ParseError> {
    // The common small packet: no work left to do.
    if *vnet == VnetHeader::default() {
        return Ok(None);
    }
    if vnet.flags & !(VnetHeader::NEEDS_CSUM | VnetHeader::DATA_VALID) != 0 {
        return Err(ParseError::VnetFlags);
    }
    let gso = GsoType::from_wire(vnet.gso_type).ok_or(ParseError::VnetGsoType)?;
    let gso_size = usize::from(vnet.gso_size);
    match (gso, ip.protocol) {
        (GsoType::None, _) if vnet.gso_type != 0 => return Err(ParseError::VnetGsoType),
        (GsoType::None, _) => {}
        (GsoType::TcpV4, Protocol::TCP) => {
            if vnet.gso_size < MIN_TCP_GSO_SIZE {
                return Err(ParseError::VnetGsoSize);
            }
        }
        (GsoType::UdpL4, Protocol::UDP) if vnet.gso_type == GsoType::UdpL4 as u8 => {
            if gso_size == 0 || payload_len.div_ceil(gso_size) > MAX_UDP_SEGMENTS {
                return Err(ParseError::VnetGsoSize);
            }
        }
        _ => return Err(ParseError::VnetGsoType),
    }
    if vnet.needs_csum() {
        let csum_offset = match ip.protocol {
            Protocol::TCP => 16,
            Protocol::UDP => 6,
            _ => return Err(ParseError::VnetChecksumOffset),
        };
        if usize::from(vnet.csum_start) != ip.header_len {
            return Err(ParseError::VnetChecksumStart);
        }
        if vnet.csum_offset != csum_offset {
            return Err(ParseError::VnetChecksumOffset);
        }
        // Whoever sent it may not vouch for its checksum.
        vnet.flags = VnetHeader::NEEDS_CSUM;
        vnet.hdr_len = headers_len as u16;
    } else if gso != GsoType::None {
        return Err(ParseError::VnetFlags);
    } else {
        *vnet = VnetHeader::default();
    }
    // What fits one segment is an ordinary packet: no size that means something else to the kernel is passed on.
    if gso == GsoType::None || payload_len <= gso_size {
        (vnet.gso_type, vnet.gso_size) = (GsoType::None as u8, 0);
        return Ok(None);
    }
    Ok(Some(gso_size))
}
