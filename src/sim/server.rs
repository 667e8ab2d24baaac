//! Servers behind instances' ports, which answer while time passes.

use super::packet::{PacketBuilder, SimPacket, tcp};
use crate::net::{Segment, Transport};

/// What a server does with connections to its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// It takes them, and says nothing.
    Accepts,
    /// It resets them.
    Refuses,
    /// It answers the first data with these bytes, and closes.
    Answers(Vec<u8>),
}

impl Server {
    /// An HTTP server whose pages have this status code.
    pub fn http(status: u16) -> Self {
        let page = format!("HTTP/1.1 {status} As Told\r\nContent-Length: 2\r\n\r\nok");
        Self::Answers(page.into_bytes())
    }

    /// What it sends because of a packet; its own sequence numbers begin at 5000.
    pub fn answer(&self, packet: &SimPacket) -> Vec<PacketBuilder> {
        let Ok(headers) = packet.headers() else {
            return vec![];
        };
        let Transport::Tcp(segment) = &headers.transport else {
            return vec![];
        };
        let tuple = headers.tuple.reversed();
        let [own, peer] = [(tuple.src, tuple.src_port), (tuple.dst, tuple.dst_port)]
            .map(|(address, port)| (address.octets_v4().unwrap(), port));
        let says =
            |flags, seq| tcp(own, peer).segment(flags | Segment::ACK, seq, segment.seq_end());
        match self {
            _ if segment.has(Segment::RST) => vec![],
            Self::Refuses => vec![says(Segment::RST, segment.ack)],
            _ if segment.opens() => vec![says(Segment::SYN, 5000)],
            Self::Answers(bytes) if segment.payload_len > 0 => {
                let end = segment.ack.wrapping_add(bytes.len() as u32);
                vec![
                    says(Segment::PSH, segment.ack).payload(bytes),
                    says(Segment::FIN, end),
                ]
            }
            _ => vec![],
        }
    }
}
