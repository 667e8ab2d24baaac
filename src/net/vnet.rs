//! `struct virtio_net_hdr`, which stands before every packet of a TUN opened with `IFF_VNET_HDR`.
//!
//! Source: include/uapi/linux/virtio_net.h. The fields are in the machine's own byte order (the TUN
//! legacy mode, no `TUNSETVNETLE`). It is input from a hostile neighbour: `net::packet` validates it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The ten bytes before a packet: what checksum and segmentation work is still to be done.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C, packed)]
pub struct VnetHeader {
    /// [`VnetHeader::NEEDS_CSUM`] and [`VnetHeader::DATA_VALID`].
    pub flags: u8,
    /// A [`GsoType`] and perhaps [`VnetHeader::GSO_ECN`].
    pub gso_type: u8,
    /// Length of all headers, in bytes; a hint that the kernel does not keep reliably.
    pub hdr_len: u16,
    /// Payload bytes of each segment.
    pub gso_size: u16,
    /// Where the checksummed part begins, in bytes from the start of the packet.
    pub csum_start: u16,
    /// Where in that part the checksum stands.
    pub csum_offset: u16,
}

impl VnetHeader {
    /// Its length on the wire, in bytes.
    pub const LEN: usize = size_of::<Self>();
    /// The transport checksum holds only the pseudo-header's sum; whoever sends it on the wire completes it.
    pub const NEEDS_CSUM: u8 = 1;
    /// The kernel has checked the checksum already.
    pub const DATA_VALID: u8 = 2;
    /// The segments carry ECN's CWR in the first of them only.
    pub const GSO_ECN: u8 = 0x80;

    /// Is the transport checksum still to be completed?
    #[inline]
    pub const fn needs_csum(&self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }
}

/// How a super-packet is to be cut (`VIRTIO_NET_HDR_GSO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoType {
    /// One packet, not a super-packet.
    None = 0,
    /// TCP over IPv4.
    TcpV4 = 1,
    /// TCP over IPv6.
    TcpV6 = 4,
    /// UDP, each segment a datagram of its own (`UDP_SEGMENT`).
    UdpL4 = 5,
}

impl GsoType {
    /// The kind in a header's `gso_type`, without the ECN bit. UFO (3) is obsolete and not among them.
    pub const fn from_wire(gso_type: u8) -> Option<Self> {
        match gso_type & !VnetHeader::GSO_ECN {
            0 => Some(Self::None),
            1 => Some(Self::TcpV4),
            4 => Some(Self::TcpV6),
            5 => Some(Self::UdpL4),
            _ => None,
        }
    }
}
