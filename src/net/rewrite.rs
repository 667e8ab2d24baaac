//! NAT's one operation on a packet: other addresses and ports, in place, checksums updated incrementally.

use super::checksum::Delta;
use super::{FiveTuple, Headers, Packet, Transport};

/// Gives the packet the addresses and ports of `to`, whose protocol is the packet's own.
///
/// IPv4 only: the parser lets nothing else through. A packet marked `NEEDS_CSUM` holds the uncomplemented sum of its
/// pseudo-header: there only the addresses count, and nothing is complemented.
#[inline]
pub fn rewrite(packet: &mut Packet<'_>, headers: &Headers, to: &FiveTuple) {
    let from = &headers.tuple;
    if from == to {
        return;
    }
    let (Some(old_src), Some(old_dst), Some(src), Some(dst)) = (
        from.src.octets_v4(),
        from.dst.octets_v4(),
        to.src.octets_v4(),
        to.dst.octets_v4(),
    ) else {
        return;
    };
    let addresses = Delta::default().v4(old_src, src).v4(old_dst, dst);
    if let Some([.., c0, c1, s0, s1, s2, s3, d0, d1, d2, d3]) = packet.field::<20>(0) {
        [*c0, *c1] = addresses
            .apply(u16::from_be_bytes([*c0, *c1]))
            .to_be_bytes();
        [*s0, *s1, *s2, *s3] = src;
        [*d0, *d1, *d2, *d3] = dst;
    }
    let ports = Delta::default()
        .word(from.src_port, to.src_port)
        .word(from.dst_port, to.dst_port);
    match headers.transport {
        Transport::Tcp(_) => {
            set_ports(packet, headers, to);
            update(packet, headers.transport_at + 16, addresses, ports);
        }
        Transport::Udp => {
            set_ports(packet, headers, to);
            update_udp(packet, headers.transport_at + 6, addresses, ports);
        }
        Transport::EchoRequest => set_identifier(packet, headers, from.src_port, to.src_port),
        Transport::EchoReply => set_identifier(packet, headers, from.dst_port, to.dst_port),
        Transport::IcmpError | Transport::Other => {}
    }
}

#[inline]
fn set_ports(packet: &mut Packet<'_>, headers: &Headers, to: &FiveTuple) {
    if let Some([s0, s1, d0, d1]) = packet.field::<4>(headers.transport_at) {
        [*s0, *s1] = to.src_port.to_be_bytes();
        [*d0, *d1] = to.dst_port.to_be_bytes();
    }
}

#[inline]
fn update(packet: &mut Packet<'_>, at: usize, addresses: Delta, ports: Delta) {
    let partial = packet.vnet.needs_csum();
    if let Some(field) = packet.field::<2>(at) {
        let old = u16::from_be_bytes(*field);
        *field = match partial {
            true => addresses.apply_partial(old),
            false => addresses.plus(ports).apply(old),
        }
        .to_be_bytes();
    }
}

/// As [`update`], for UDP: zero means "no checksum" and is left alone, and a sum of zero is sent as all ones.
#[inline]
fn update_udp(packet: &mut Packet<'_>, at: usize, addresses: Delta, ports: Delta) {
    let partial = packet.vnet.needs_csum();
    match packet.field::<2>(at) {
        Some([0, 0]) if !partial => return,
        _ => update(packet, at, addresses, ports),
    }
    if let Some(field @ [0, 0]) = packet.field::<2>(at)
        && !partial
    {
        *field = [0xff, 0xff];
    }
}

/// An echo's identifier; its checksum has no pseudo-header.
fn set_identifier(packet: &mut Packet<'_>, headers: &Headers, from: u16, to: u16) {
    if let Some([_, _, c0, c1, i0, i1]) = packet.field::<6>(headers.transport_at) {
        [*i0, *i1] = to.to_be_bytes();
        [*c0, *c1] = Delta::default()
            .word(from, to)
            .apply(u16::from_be_bytes([*c0, *c1]))
            .to_be_bytes();
    }
}
