//! PROXY protocol version 2: what a load balancer says of a connection before the connection's own bytes.
//!
//! The form is that of AWS's network load balancer: CRC32C, the endpoint's id, and padding, which makes it 100 bytes for IPv4.
//! Sources: haproxy's doc/proxy-protocol.txt, 2.2; "VPC endpoint services and Proxy Protocol v2" (AWS).

use super::{Addr, FiveTuple};

/// A VPC endpoint's id as text, `vpce-` and 17 digits.
pub type EndpointId = [u8; 22];

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = SIGNATURE.len() + 4;
const VERSION_2_LOCAL: u8 = 0x20;
const VERSION_2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Types of the fields behind the addresses, each followed by two bytes of length.
const CRC32C: u8 = 0x03;
const NOOP: u8 = 0x04;
const AWS: u8 = 0xea;
/// The kind of AWS's field that holds an endpoint's id.
const AWS_ENDPOINT_ID: u8 = 0x01;
/// What AWS pads with, in bytes.
const PADDING: usize = 36;
const FIELDS: usize = (3 + 4) + (3 + 1 + size_of::<EndpointId>()) + (3 + PADDING);
const LONGEST: usize = FIXED + 36 + FIELDS;

/// A header's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Header {
    /// Of a connection whose initiator sends packets with the five-tuple `client`, through this endpoint if through any.
    pub fn proxy(client: &FiveTuple, endpoint: Option<&EndpointId>) -> Self {
        let mut header = Self::begin(VERSION_2_PROXY);
        let len = (header_len(client) - FIXED) as u16;
        match (client.src.octets_v4(), client.dst.octets_v4()) {
            (Some(src), Some(dst)) => {
                header.push(&[TCP_OVER_IPV4]);
                header.push(&len.to_be_bytes());
                header.push(&src);
                header.push(&dst);
            }
            _ => {
                header.push(&[TCP_OVER_IPV6]);
                header.push(&len.to_be_bytes());
                for word in [client.src, client.dst].map(Addr::to_words).as_flattened() {
                    header.push(&word.to_be_bytes());
                }
            }
        }
        header.push(&client.src_port.to_be_bytes());
        header.push(&client.dst_port.to_be_bytes());
        header.push_field(CRC32C, 4);
        let checksum_at = header.len;
        header.push(&[0; 4]);
        if let Some(endpoint) = endpoint {
            header.push_field(AWS, 1 + endpoint.len());
            header.push(&[AWS_ENDPOINT_ID]);
            header.push(endpoint);
        }
        // To one length, whatever stands in it.
        let padding = header_len(client) - header.len - 3;
        header.push_field(NOOP, padding);
        header.len += padding;
        // Of the whole header, this field being zero.
        let checksum = crc32c::crc32c(header.as_bytes()).to_be_bytes();
        header.put(checksum_at, &checksum);
        header
    }

    /// Of a connection of the load balancer's own: a health check.
    pub fn local() -> Self {
        let mut header = Self::begin(VERSION_2_LOCAL);
        // Unspecified family, no addresses.
        header.push(&[0, 0, 0]);
        header
    }

    /// The bytes to be sent.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn begin(command: u8) -> Self {
        let mut header = Self {
            bytes: [0; LONGEST],
            len: 0,
        };
        header.push(&SIGNATURE);
        header.push(&[command]);
        header
    }

    fn push_field(&mut self, kind: u8, len: usize) {
        let [l0, l1] = (len as u16).to_be_bytes();
        self.push(&[kind, l0, l1]);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.put(self.len, bytes);
        self.len += bytes.len();
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Length of [`Header::proxy`] for such a connection, in bytes.
pub fn header_len(client: &FiveTuple) -> usize {
    let is_v4 = client.src.octets_v4().is_some() && client.dst.octets_v4().is_some();
    FIXED + if is_v4 { 12 } else { 36 } + FIELDS
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::net::Protocol;

    fn tuple(src: (&str, u16), dst: (&str, u16)) -> FiveTuple {
        let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
        FiveTuple {
            protocol: Protocol::TCP,
            src: address(src.0),
            src_port: src.1,
            dst: address(dst.0),
            dst_port: dst.1,
        }
    }

    /// What a reader that knows nothing of the writer finds: command, both ends, and the fields.
    struct Read {
        command: u8,
        ends: Vec<(IpAddr, u16)>,
        fields: Vec<(u8, Vec<u8>)>,
    }

    /// Reads a header by the words of proxy-protocol.txt.
    fn read(bytes: &[u8]) -> Read {
        let (signature, rest) = bytes.split_at(12);
        assert_eq!(
            signature,
            b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
        );
        assert_eq!(rest[0] >> 4, 2, "version");
        let length = usize::from(rest[2]) << 8 | usize::from(rest[3]);
        assert_eq!(rest.len(), 4 + length);
        let (addresses, size) = match rest[1] {
            0x00 => (0, 0),
            0x11 => (12, 4),
            0x21 => (36, 16),
            other => panic!("family {other:x}"),
        };
        let (ends, mut tail) = rest[4..].split_at(addresses);
        let port = |at: usize| u16::from(ends[at]) << 8 | u16::from(ends[at + 1]);
        let address = |at: usize| match size {
            4 => IpAddr::from(<[u8; 4]>::try_from(&ends[at..at + 4]).unwrap()),
            _ => IpAddr::from(<[u8; 16]>::try_from(&ends[at..at + 16]).unwrap()),
        };
        let ends = match size {
            0 => vec![],
            _ => vec![
                (address(0), port(2 * size)),
                (address(size), port(2 * size + 2)),
            ],
        };
        let mut fields = vec![];
        let mut zeroed = bytes.to_vec();
        while let [kind, l0, l1, rest @ ..] = tail {
            let (value, rest) = rest.split_at(usize::from(*l0) << 8 | usize::from(*l1));
            if *kind == 3 {
                let at = bytes.len() - rest.len() - 4;
                zeroed[at..at + 4].fill(0);
            }
            fields.push((*kind, value.to_vec()));
            tail = rest;
        }
        assert!(tail.is_empty(), "bytes behind the last field");
        for (_, value) in fields.iter().filter(|(kind, _)| *kind == 3) {
            assert_eq!(value[..], castagnoli(&zeroed).to_be_bytes());
        }
        Read {
            command: rest[0] & 0xf,
            ends,
            fields,
        }
    }

    /// RFC 4960, appendix B, bit by bit.
    fn castagnoli(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
            })
        })
    }

    #[test]
    fn it_is_what_a_network_load_balancer_was_seen_to_send() {
        // elastic-load-balancing-tools, Compatibility_AwsNetworkLoadBalancerTest: a capture.
        let mut seen = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x54".to_vec();
        seen.extend(b"\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50");
        seen.extend(b"\x03\x00\x04\xe8\xd6\x89\x2d\xea\x00\x17\x01vpce-08d2bf15fac5001c9");
        seen.extend(b"\x04\x00\x24");
        seen.extend([0; 36]);
        let tuple = tuple(("172.31.7.113", 51442), ("172.31.10.31", 80));
        let header = Header::proxy(&tuple, Some(b"vpce-08d2bf15fac5001c9"));
        assert_eq!(header.as_bytes(), seen);
        assert_eq!(header.as_bytes().len(), 100);
    }

    #[test]
    fn ipv6_has_a_form_of_its_own() {
        let tuple = tuple(("fd00:ec2::253", 1), ("::1", 65535));
        let header = Header::proxy(&tuple, Some(b"vpce-0123456789abcdef0"));
        let read = read(header.as_bytes());
        assert_eq!(read.command, 1);
        assert_eq!(
            read.ends,
            [
                ("fd00:ec2::253".parse().unwrap(), 1),
                ("::1".parse().unwrap(), 65535)
            ]
        );
        assert_eq!(
            read.fields[1],
            (0xea, b"\x01vpce-0123456789abcdef0".to_vec())
        );
        assert_eq!(header.as_bytes().len(), header_len(&tuple));
    }

    #[test]
    fn a_health_check_says_that_it_is_nobody_elses_connection() {
        let header = Header::local();
        let read = read(header.as_bytes());
        assert_eq!(read.command, 0);
        assert!(read.ends.is_empty());
        assert!(read.fields.is_empty());
    }

    proptest! {
        #[test]
        fn a_reader_finds_both_ends_and_the_endpoint(
            addresses in any::<[[u8; 4]; 2]>(),
            ports in any::<[u16; 2]>(),
            digits in any::<u64>(),
            through_endpoint in any::<bool>(),
        ) {
            let tuple = FiveTuple {
                protocol: Protocol::TCP,
                src: Addr::v4(addresses[0]),
                src_port: ports[0],
                dst: Addr::v4(addresses[1]),
                dst_port: ports[1],
            };
            let endpoint = format!("vpce-{digits:017x}");
            let id = endpoint.as_bytes().try_into().unwrap();
            let header = Header::proxy(&tuple, through_endpoint.then_some(id));
            let read = read(header.as_bytes());
            prop_assert_eq!(header.as_bytes().len(), header_len(&tuple));
            let ends = [0, 1].map(|end| (IpAddr::from(addresses[end]), ports[end]));
            prop_assert_eq!(read.ends, ends);
            let kinds: Vec<_> = read.fields.iter().map(|(kind, _)| *kind).collect();
            if !through_endpoint {
                prop_assert_eq!(kinds, [3, 4]);
                return Ok(());
            }
            prop_assert_eq!(kinds, [3, 0xea, 4]);
            prop_assert_eq!(&read.fields[1].1[1..], endpoint.as_bytes());
        }
    }
}
