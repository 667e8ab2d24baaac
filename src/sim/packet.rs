//! Packets as tests write them, built by etherparse: an implementation of the formats that is not ours.

use std::fmt;
use std::ops::Range;

use etherparse::{
    Icmpv4Type, IpNumber, Ipv4Header, Ipv4Options, PacketBuilder as Etherparse, TcpOptionElement,
};

use crate::dataplane::Transmit;
use crate::net::{FiveTuple, Headers, Packet, ParseError, Segment, VnetHeader, checksum};

/// An IPv4 packet in the making.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    src: [u8; 4],
    dst: [u8; 4],
    transport: Transport,
    payload: Vec<u8>,
    needs_csum: bool,
    gso_size: u16,
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp {
        ports: (u16, u16),
        seq: u32,
        ack: u32,
        flags: u8,
        window: u16,
        options: Vec<TcpOptionElement>,
    },
    Udp {
        ports: (u16, u16),
    },
    Echo {
        id: u16,
        seq: u16,
        reply: bool,
    },
}

/// A TCP packet from `src` to `dst`, each an address and a port; a SYN with sequence number 1000 unless told otherwise.
pub fn tcp(src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> PacketBuilder {
    let ports = (src.1, dst.1);
    let (flags, options) = (Segment::SYN, vec![]);
    PacketBuilder::new(
        src.0,
        dst.0,
        Transport::Tcp {
            ports,
            seq: 1000,
            ack: 0,
            flags,
            window: 64240,
            options,
        },
    )
}

/// A UDP packet.
pub fn udp(src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> PacketBuilder {
    PacketBuilder::new(
        src.0,
        dst.0,
        Transport::Udp {
            ports: (src.1, dst.1),
        },
    )
}

/// An ICMP echo request with this identifier.
pub fn echo_request(src: [u8; 4], dst: [u8; 4], id: u16) -> PacketBuilder {
    PacketBuilder::new(
        src,
        dst,
        Transport::Echo {
            id,
            seq: 1,
            reply: false,
        },
    )
}

/// An ICMP echo reply with this identifier.
pub fn echo_reply(src: [u8; 4], dst: [u8; 4], id: u16) -> PacketBuilder {
    PacketBuilder::new(
        src,
        dst,
        Transport::Echo {
            id,
            seq: 1,
            reply: true,
        },
    )
}

impl PacketBuilder {
    fn new(src: [u8; 4], dst: [u8; 4], transport: Transport) -> Self {
        Self {
            src,
            dst,
            transport,
            payload: vec![],
            needs_csum: false,
            gso_size: 0,
        }
    }

    /// TCP: these flags, sequence and acknowledgement numbers.
    pub fn segment(mut self, set_flags: u8, set_seq: u32, set_ack: u32) -> Self {
        if let Transport::Tcp {
            flags, seq, ack, ..
        } = &mut self.transport
        {
            (*flags, *seq, *ack) = (set_flags, set_seq, set_ack);
        }
        self
    }

    /// TCP: this maximum segment size, as an option.
    pub fn mss(mut self, mss: u16) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            options.push(TcpOptionElement::MaximumSegmentSize(mss));
        }
        self
    }

    /// TCP: this timestamp, as an option.
    pub fn timestamp(self, timestamp: u32) -> Self {
        self.timestamps(timestamp, 0)
    }

    /// TCP: this timestamp, and the one that it answers, as an option.
    pub fn timestamps(mut self, value: u32, echo: u32) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            options.push(TcpOptionElement::Timestamp(value, echo));
        }
        self
    }

    /// TCP: selective acknowledgements of these ranges, at most three, as an option.
    pub fn sack(mut self, first: (u32, u32), others: [Option<(u32, u32)>; 3]) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            options.push(TcpOptionElement::SelectiveAcknowledgement(first, others));
        }
        self
    }

    /// TCP: this window scale, as an option.
    pub fn window_scale(mut self, shift: u8) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            options.push(TcpOptionElement::WindowScale(shift));
        }
        self
    }

    /// TCP: this window, as it stands in the header.
    pub fn window(mut self, set: u16) -> Self {
        if let Transport::Tcp { window, .. } = &mut self.transport {
            *window = set;
        }
        self
    }

    /// This payload.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// The transport checksum left to be completed, as Linux hands packets to a TUN with offloads.
    pub fn needs_csum(mut self) -> Self {
        self.needs_csum = true;
        self
    }

    /// A super-packet of segments with `size` bytes of payload.
    pub fn gso(mut self, size: u16) -> Self {
        self.gso_size = size;
        self.needs_csum()
    }

    /// The packet.
    pub fn build(&self) -> SimPacket {
        let builder = Etherparse::ipv4(self.src, self.dst, 64);
        let mut bytes = Vec::new();
        match &self.transport {
            Transport::Tcp {
                ports,
                seq,
                ack,
                flags,
                window,
                options,
            } => {
                let mut tcp = builder.tcp(ports.0, ports.1, *seq, *window);
                for (flag, apply) in TCP_FLAGS {
                    if flags & flag != 0 {
                        tcp = apply(tcp, *ack);
                    }
                }
                tcp.options(options)
                    .unwrap()
                    .write(&mut bytes, &self.payload)
                    .unwrap();
            }
            Transport::Udp { ports } => {
                builder
                    .udp(ports.0, ports.1)
                    .write(&mut bytes, &self.payload)
                    .unwrap();
            }
            Transport::Echo { id, seq, reply } => {
                let header = etherparse::IcmpEchoHeader { id: *id, seq: *seq };
                let kind = if *reply {
                    Icmpv4Type::EchoReply(header)
                } else {
                    Icmpv4Type::EchoRequest(header)
                };
                builder
                    .icmpv4(kind)
                    .write(&mut bytes, &self.payload)
                    .unwrap();
            }
        }
        let mut packet = SimPacket {
            vnet: VnetHeader::default(),
            bytes,
        };
        if self.needs_csum {
            packet.postpone_checksum(self.gso_size);
        }
        packet
    }
}

type TcpStep = etherparse::PacketBuilderStep<etherparse::TcpHeader>;
type Apply = fn(TcpStep, u32) -> TcpStep;
const TCP_FLAGS: [(u8, Apply); 7] = [
    (Segment::SYN, |tcp, _| tcp.syn()),
    (Segment::ACK, |tcp, ack| tcp.ack(ack)),
    (Segment::FIN, |tcp, _| tcp.fin()),
    (Segment::RST, |tcp, _| tcp.rst()),
    (Segment::PSH, |tcp, _| tcp.psh()),
    (Segment::URG, |tcp, _| tcp.urg(1)),
    (Segment::CWR, |tcp, _| tcp.cwr()),
];

/// A packet as it lies in a worker's buffer.
#[derive(Clone, PartialEq, Eq)]
pub struct SimPacket {
    /// Its vnet header.
    pub vnet: VnetHeader,
    /// Its IP bytes.
    pub bytes: Vec<u8>,
}

impl SimPacket {
    /// The data plane's view of it.
    pub fn view(&mut self) -> Packet<'_> {
        Packet::new(&mut self.vnet, &mut self.bytes)
    }

    /// Its headers, as our own parser sees them.
    pub fn headers(&self) -> Result<Headers, ParseError> {
        self.clone().view().parse()
    }

    /// Its five-tuple.
    pub fn tuple(&self) -> FiveTuple {
        self.headers().unwrap().tuple
    }

    /// The same packet with these IP options, padded to whole words with end-of-list; its header's checksum is right.
    pub fn with_ip_options(mut self, options: &[u8]) -> Self {
        let mut options = options.to_vec();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = options.len() / 4;
        self.bytes.splice(20..20, options);
        self.bytes[0] += words as u8;
        let len = self.bytes.len() as u16;
        self.bytes[2..4].copy_from_slice(&len.to_be_bytes());
        if self.vnet.needs_csum() {
            self.vnet.csum_start += 4 * words as u16;
        }
        let (ip, _) = Ipv4Header::from_slice(&self.bytes).unwrap();
        self.bytes[10..12].copy_from_slice(&ip.calc_header_checksum().to_be_bytes());
        self
    }

    /// Are its checksums what etherparse computes? With `NEEDS_CSUM`: does the field hold the pseudo-header's sum?
    pub fn checksums_are_right(&self) -> bool {
        let Ok((ip, rest)) = Ipv4Header::from_slice(&self.bytes) else {
            return false;
        };
        if ip.header_checksum != ip.calc_header_checksum() {
            return false;
        }
        let offset = match ip.protocol {
            IpNumber::TCP => 16,
            IpNumber::UDP => 6,
            IpNumber::ICMP => return checksum::sum(rest) == 0xffff,
            _ => return true,
        };
        let field = u16::from_be_bytes([rest[offset], rest[offset + 1]]);
        if self.vnet.needs_csum() {
            let tuple = self.tuple();
            return field
                == checksum::pseudo_header(tuple.src, tuple.dst, tuple.protocol, rest.len());
        }
        (ip.protocol == IpNumber::UDP && field == 0) || field == full_checksum(&ip, rest)
    }

    /// The fragments that a sender or router with this MTU makes of it, with this identification.
    pub fn fragments(&self, id: u16, mtu: usize) -> Vec<Self> {
        let (ip, payload) = Ipv4Header::from_slice(&self.bytes).unwrap();
        let (len, room) = (payload.len(), (mtu - ip.header_len()) / 8 * 8);
        (0..len)
            .step_by(room)
            .map(|at| self.fragment(id, at..len.min(at + room)))
            .collect()
    }

    /// The fragment with this part of its payload. The one with the beginning has the options, others none.
    pub fn fragment(&self, id: u16, part: Range<usize>) -> Self {
        let (mut ip, payload) = Ipv4Header::from_slice(&self.bytes).unwrap();
        (ip.identification, ip.dont_fragment) = (id, false);
        if part.start > 0 {
            ip.options = Ipv4Options::new();
        }
        ip.fragment_offset = ((part.start / 8) as u16).try_into().unwrap();
        ip.more_fragments = part.end < payload.len();
        ip.set_payload_len(part.len()).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        let mut bytes = Vec::new();
        ip.write(&mut bytes).unwrap();
        bytes.extend_from_slice(&payload[part]);
        Self {
            vnet: VnetHeader::default(),
            bytes,
        }
    }

    /// What the core originates, as a packet.
    pub fn of(transmit: &Transmit) -> Self {
        Self {
            vnet: VnetHeader::default(),
            bytes: transmit.bytes.clone(),
        }
    }

    /// Undoes the checksum, as a sender does that leaves it to the device.
    fn postpone_checksum(&mut self, gso_size: u16) {
        let (ip, rest) = Ipv4Header::from_slice(&self.bytes).unwrap();
        let header_len = ip.header_len();
        let (csum_offset, gso_type) = match ip.protocol {
            IpNumber::TCP => (16, 1),
            _ => (6, 5),
        };
        let tuple = self.tuple();
        let partial = checksum::pseudo_header(tuple.src, tuple.dst, tuple.protocol, rest.len());
        self.bytes[header_len + csum_offset..][..2].copy_from_slice(&partial.to_be_bytes());
        self.vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type: if gso_size > 0 { gso_type } else { 0 },
            gso_size,
            csum_start: header_len as u16,
            csum_offset: csum_offset as u16,
            hdr_len: 0,
        };
    }
}

/// The transport checksum, by etherparse.
fn full_checksum(ip: &Ipv4Header, segment: &[u8]) -> u16 {
    match ip.protocol {
        IpNumber::TCP => {
            let (header, payload) = etherparse::TcpHeader::from_slice(segment).unwrap();
            header.calc_checksum_ipv4(ip, payload).unwrap()
        }
        _ => {
            let (header, payload) = etherparse::UdpHeader::from_slice(segment).unwrap();
            header.calc_checksum_ipv4(ip, payload).unwrap()
        }
    }
}

impl fmt::Debug for SimPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.headers() {
            Ok(Headers {
                tuple,
                transport,
                len,
                ..
            }) => {
                write!(f, "{tuple:?} {transport:?} {len} bytes {:?}", self.vnet)
            }
            Err(error) => write!(
                f,
                "unparsable ({error}) {:?} {:02x?}",
                self.vnet, self.bytes
            ),
        }
    }
}
