//! One packet in its buffer: the vnet header and the IP bytes behind it.

use super::VnetHeader;

/// A mutable view of a packet as a TUN gives it. Rewriting happens in place; the buffer is written out as it stands.
#[derive(Debug)]
pub struct Packet<'a> {
    pub(super) vnet: &'a mut VnetHeader,
    pub(super) bytes: &'a mut [u8],
}

impl<'a> Packet<'a> {
    /// A packet of IP `bytes` with the offload work that `vnet` describes.
    pub fn new(vnet: &'a mut VnetHeader, bytes: &'a mut [u8]) -> Self {
        Self { vnet, bytes }
    }

    /// The IP packet.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Its offload work.
    pub fn vnet(&self) -> VnetHeader {
        *self.vnet
    }

    /// The N bytes at `at`, to be changed.
    #[inline]
    pub(super) fn field<const N: usize>(&mut self, at: usize) -> Option<&mut [u8; N]> {
        self.bytes.get_mut(at..)?.first_chunk_mut()
    }
}
