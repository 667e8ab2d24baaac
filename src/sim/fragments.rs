//! What a receiver makes of fragments, by etherparse.

use etherparse::defrag::IpDefragPool;
use etherparse::{Ipv4Header, SlicedPacket};

use super::packet::SimPacket;
use crate::net::VnetHeader;

/// The datagram that these fragments, and no others, make: its header is the first one's. Panics if one is malformed or they
/// make none.
pub fn reassembled(fragments: &[Vec<u8>]) -> SimPacket {
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut payload = None;
    for fragment in fragments {
        let (header, _) = Ipv4Header::from_slice(fragment).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), fragment.len());
        assert!(payload.is_none(), "more than one datagram");
        let sliced = SlicedPacket::from_ip(fragment).unwrap();
        payload = pool.process_sliced_packet(&sliced, (), ()).unwrap();
    }
    let payload = payload.expect("a part is missing").payload;
    let (mut header, _) = Ipv4Header::from_slice(&fragments[0]).unwrap();
    header.more_fragments = false;
    header.set_payload_len(payload.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    SimPacket {
        vnet: VnetHeader::default(),
        bytes: [header.to_bytes().as_slice(), &payload].concat(),
    }
}
