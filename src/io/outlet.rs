//! Writing: which TUN an interface has, and what its kernel takes.
//!
//! A super-packet goes out whole. It is cut in software where the target TUN has no vnet headers, and where the kernel
//! refuses super-packets. Small packets of one flow that were read in one go become a super-packet themselves
//! ([`Outlet::hold`]): one system call, and one way through the target's network stack, for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::io::Errno;
use zerocopy::FromBytes;

use super::tun::Tun;
use crate::dataplane::config::Interface;
use crate::dataplane::{DropReason, EniIdx, Table};
use crate::net::segment::{Cutter, complete};
use crate::net::{Coalescer, GsoType, VnetHeader};

/// Refusals without a single acceptance after which the kernel is held to be one that takes none. More than one, so that a
/// malformed packet of a hostile neighbour does not decide it.
const REFUSALS: u32 = 8;

/// What the kernel has shown of its willingness to take super-packets of one kind.
#[derive(Debug, Default)]
struct Acceptance {
    accepted: AtomicBool,
    refused: AtomicU32,
}

/// What the kernel takes; one for all workers.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    tcp: Acceptance,
    udp: Acceptance,
}

impl Acceptance {
    /// Must super-packets be cut before writing?
    #[inline]
    fn refuses(&self) -> bool {
        !self.accepted.load(Ordering::Relaxed) && self.refused.load(Ordering::Relaxed) >= REFUSALS
    }

    #[inline]
    fn accept(&self) {
        // A shared line is written once, not per packet.
        if !self.accepted.load(Ordering::Relaxed) {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }

    /// Counts a refusal; true for the one that decides.
    fn refuse(&self) -> bool {
        !self.accepted.load(Ordering::Relaxed)
            && self.refused.fetch_add(1, Ordering::Relaxed) + 1 == REFUSALS
    }
}

impl Kernel {
    fn acceptance(&self, header: &VnetHeader) -> &Acceptance {
        self.of(GsoType::from_wire(header.gso_type).unwrap_or(GsoType::None))
    }

    #[inline]
    fn of(&self, kind: GsoType) -> &Acceptance {
        match kind {
            GsoType::UdpL4 => &self.udp,
            _ => &self.tcp,
        }
    }
}

/// A worker's way out: every interface's TUN, whoever reads it.
pub(super) struct Outlet {
    tuns: Table<Interface, Arc<Tun>>,
    kernel: Arc<Kernel>,
    /// What is kept back, and where it goes.
    held: Coalescer,
    held_to: EniIdx,
    /// One piece of a super-packet.
    scratch: Box<[u8]>,
}

/// What became of a write that did not simply succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The packet is lost.
    Lost(DropReason),
    /// It arrived, but from now on all of its kind will be cut in software.
    Fallback(GsoType),
}

/// What was kept back, and could not simply be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub(super) to: EniIdx,
    /// How many packets it was made of.
    pub(super) packets: usize,
    pub(super) failure: Failure,
}

const GONE: Failure = Failure::Lost(DropReason::InterfaceGone);
const LOST: Failure = Failure::Lost(DropReason::WriteFailed);

impl Outlet {
    pub(super) fn new(kernel: Arc<Kernel>) -> Self {
        Self {
            tuns: Table::new(),
            kernel,
            held: Coalescer::default(),
            held_to: EniIdx::new(0, 0),
            scratch: vec![0; 65_536].into(),
        }
    }

    pub(super) fn add(&mut self, eni: EniIdx, tun: Arc<Tun>) {
        self.tuns.insert(eni, tun);
    }

    pub(super) fn remove(&mut self, eni: EniIdx) {
        self.tuns.take(eni);
    }

    /// Keeps a [vnet header][packet] back, for others of its flow to follow; `false` if none can, or if one is kept already.
    #[inline]
    pub(super) fn hold(&mut self, to: EniIdx, buffer: &[u8]) -> bool {
        let takes_super_packets = self.tuns.get(to).is_some_and(|tun| tun.has_vnet_header());
        let kernel = &self.kernel;
        // What would be cut again is not put together.
        if !takes_super_packets || !self.held.hold(buffer, |kind| !kernel.of(kind).refuses()) {
            return false;
        }
        self.held_to = to;
        true
    }

    /// Adds a [vnet header][packet] to what is kept back, if it continues it.
    #[inline]
    pub(super) fn append(&mut self, to: EniIdx, buffer: &[u8]) -> bool {
        to == self.held_to && self.held.append(buffer)
    }

    /// Writes what is kept back.
    #[inline]
    pub(super) fn flush(&mut self) -> Result<(), Unwritten> {
        let Some((buffer, packets)) = self.held.take() else {
            return Ok(());
        };
        let to = self.held_to;
        send(&self.tuns, &self.kernel, &mut self.scratch, to, buffer).map_err(|failure| Unwritten {
            to,
            packets,
            failure,
        })
    }

    /// Writes [vnet header][packet] to the interface's TUN.
    #[inline]
    pub(super) fn send(&mut self, to: EniIdx, buffer: &mut [u8]) -> Result<(), Failure> {
        send(&self.tuns, &self.kernel, &mut self.scratch, to, buffer)
    }

    /// Writes a finished packet of the core's own.
    pub(super) fn send_bare(&self, to: EniIdx, packet: &[u8]) -> Result<(), Failure> {
        let tun = self.tuns.get(to).ok_or(GONE)?;
        tun.write_bare(packet).map_err(reason)
    }
}

#[inline]
fn send(
    tuns: &Table<Interface, Arc<Tun>>,
    kernel: &Kernel,
    scratch: &mut [u8],
    to: EniIdx,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    let tun = tuns.get(to).ok_or(GONE)?;
    let (header, packet) = VnetHeader::mut_from_prefix(buffer).map_err(|_| LOST)?;
    let header = *header;
    match (
        tun.has_vnet_header(),
        header.gso_type == GsoType::None as u8,
    ) {
        (true, true) => tun.write(buffer).map_err(reason),
        (true, false) => send_super(tun, kernel.acceptance(&header), &header, buffer, scratch),
        (false, true) => {
            complete(&header, packet).map_err(|_| LOST)?;
            tun.write(packet).map_err(reason)
        }
        (false, false) => cut(tun, &header, packet, scratch),
    }
}

/// Writes a super-packet whole, if the kernel takes it.
#[inline]
fn send_super(
    tun: &Tun,
    acceptance: &Acceptance,
    header: &VnetHeader,
    buffer: &[u8],
    scratch: &mut [u8],
) -> Result<(), Failure> {
    let packet = buffer.get(VnetHeader::LEN..).unwrap_or_default();
    if acceptance.refuses() {
        return cut(tun, header, packet, scratch);
    }
    match tun.write(buffer) {
        Ok(()) => {
            acceptance.accept();
            Ok(())
        }
        Err(Errno::INVAL) => {
            let fallback = acceptance.refuse();
            cut(tun, header, packet, scratch)?;
            match GsoType::from_wire(header.gso_type) {
                Some(kind) if fallback => Err(Failure::Fallback(kind)),
                _ => Ok(()),
            }
        }
        Err(errno) => Err(reason(errno)),
    }
}

fn cut(tun: &Tun, header: &VnetHeader, packet: &[u8], scratch: &mut [u8]) -> Result<(), Failure> {
    let mut cutter = Cutter::new(header, packet, scratch).map_err(|_| LOST)?;
    while let Some(piece) = cutter.next() {
        tun.write_bare(piece).map_err(reason)?;
    }
    Ok(())
}

fn reason(errno: Errno) -> Failure {
    match errno {
        // The link has been deleted.
        Errno::BADFD => GONE,
        _ => LOST,
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use zerocopy::IntoBytes;

    use super::*;
    use crate::io::Offload;
    use crate::net::Segment;
    use crate::sim::{PacketBuilder, SimPacket, tcp, udp};

    /// An outlet whose one interface leads to the other end of a socket.
    fn outlet(offload: Offload) -> (Outlet, rustix::fd::OwnedFd) {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::NONBLOCK);
        let (ours, theirs) = socketpair(family, SocketType::SEQPACKET, flags, None).unwrap();
        let mut outlet = Outlet::new(Arc::default());
        outlet.add(eni(), Arc::new(Tun::stand_in(ours, offload)));
        (outlet, theirs)
    }

    fn eni() -> EniIdx {
        EniIdx::new(0, 0)
    }

    /// 3,000 bytes of TCP to be cut at 1,448, behind their vnet header.
    fn super_packet() -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let builder = builder.tcp(1, 2, 3, 4);
        builder.write(&mut packet, &[7; 3000]).unwrap();
        let header = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type: GsoType::TcpV4 as u8,
            hdr_len: 40,
            gso_size: 1448,
            csum_start: 20,
            csum_offset: 16,
        };
        [header.as_bytes(), &packet].concat()
    }

    /// The lengths of the packets that came out.
    fn lengths(theirs: &rustix::fd::OwnedFd) -> Vec<usize> {
        let mut buffer = [0; 70_000];
        std::iter::from_fn(|| rustix::io::read(theirs, &mut buffer).ok()).collect()
    }

    #[test]
    fn a_super_packet_goes_out_whole_until_the_kernel_has_refused_too_often() {
        let (mut outlet, theirs) = outlet(Offload::On);
        outlet.send(eni(), &mut super_packet()).unwrap();
        assert_eq!(lengths(&theirs), [10 + 40 + 3000]);

        outlet.kernel = Arc::default();
        let decided = (0..REFUSALS).filter(|_| outlet.kernel.tcp.refuse()).count();
        assert_eq!(decided, 1);
        outlet.send(eni(), &mut super_packet()).unwrap();
        assert_eq!(
            lengths(&theirs),
            [10 + 40 + 1448, 10 + 40 + 1448, 10 + 40 + 104]
        );
    }

    #[test]
    fn nothing_is_kept_back_for_a_kernel_that_refuses_super_packets_of_its_kind() {
        let (mut outlet, _theirs) = outlet(Offload::On);
        let (from, to) = (([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2));
        let bytes = |packet: PacketBuilder| {
            let SimPacket { vnet, bytes } = packet.payload(&[7; 1000]).needs_csum().build();
            [vnet.as_bytes(), &bytes].concat()
        };
        let datagram = bytes(udp(from, to));
        let segment = bytes(tcp(from, to).segment(Segment::ACK, 1, 1));
        assert!(outlet.hold(eni(), &datagram));
        outlet.flush().unwrap();
        let decided = (0..REFUSALS).filter(|_| outlet.kernel.udp.refuse()).count();
        assert_eq!(decided, 1);
        assert!(!outlet.hold(eni(), &datagram));
        assert!(outlet.hold(eni(), &segment));
    }

    #[test]
    fn a_kernel_that_has_accepted_one_is_not_given_up() {
        let kernel = Kernel::default();
        kernel.tcp.accept();
        assert!((0..100).all(|_| !kernel.tcp.refuse()));
        assert!(!kernel.tcp.refuses());
    }

    #[test]
    fn without_vnet_headers_all_is_finished_in_software() {
        let (mut outlet, theirs) = outlet(Offload::Off);
        outlet.send(eni(), &mut super_packet()).unwrap();
        assert_eq!(lengths(&theirs), [40 + 1448, 40 + 1448, 40 + 104]);
        outlet.send_bare(eni(), &[0x45; 20]).unwrap();
        assert_eq!(lengths(&theirs), [20]);
    }

    #[test]
    fn an_interface_without_a_link_is_a_drop() {
        let (mut outlet, _theirs) = outlet(Offload::On);
        outlet.remove(eni());
        assert_eq!(outlet.send(eni(), &mut super_packet()), Err(GONE));
        let stranger = EniIdx::new(0, 1);
        assert_eq!(outlet.send_bare(stranger, &[0x45; 20]), Err(GONE));
    }
}
