//! Writing: which TUN an interface has, and what its kernel takes.
//!
//! What was read in one go is written in one go ([`Outlet::flush`]), by one system call if it is several packets; small packets
//! of one flow that follow each other have become a super-packet by then, which goes through the target's network stack as one, and
//! of a flow's acknowledgements that follow each other the first and the last are left, which say what all say.
//! A super-packet goes out whole. It is cut in software where the target TUN has no vnet headers, and where the kernel
//! refuses super-packets.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fd::AsFd;
use rustix::io::Errno;
use zerocopy::FromBytes;

use super::aio::{self, Aio};
use super::tun::Tun;
use crate::dataplane::config::Interface;
use crate::dataplane::{DropReason, EniIdx, Table};
use crate::net::segment::{Cutter, complete};
use crate::net::{Acknowledgement, Coalesced, GsoType, VnetHeader};

/// Refusals without a single acceptance after which the kernel is held to be one that takes none. More than one, so that a
/// malformed packet of a hostile neighbour does not decide it.
const REFUSALS: u32 = 8;

/// A vnet header and the largest packet.
const ROOM: usize = VnetHeader::LEN + 65_536;
/// How many of the largest packets can wait to be written.
const LARGEST: usize = 32;

/// Among how many packets that wait an acknowledgement looks for the one before it: as many flows can alternate.
const LOOK_BACK: usize = 16;

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
    /// `None` on a kernel without AIO: packets are then written one by one.
    aio: Option<Aio>,
    /// [vnet header][packet]s that wait, one after the other, and room for the next.
    buffer: Box<[u8]>,
    waiting: Vec<Waiting>,
    /// Where the room begins.
    end: usize,
    /// The last of those that wait, if another may be appended to it.
    open: Option<Coalesced>,
    /// One piece of a super-packet.
    scratch: Box<[u8]>,
}

/// A packet that waits to be written.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    to: EniIdx,
    /// Where in the buffer it is.
    start: usize,
    end: usize,
    /// How many packets it was made of.
    packets: usize,
    /// An acknowledgement behind a lesser one of its flow, which waits as well: another may take its place.
    is_spare: bool,
}

/// What became of a write that did not simply succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The packet is lost.
    Lost(DropReason),
    /// It arrived, but from now on all of its kind will be cut in software.
    Fallback(GsoType),
}

/// What could not simply be written.
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
    pub(super) fn new(kernel: Arc<Kernel>, aio: Option<Aio>) -> Self {
        Self {
            tuns: Table::new(),
            kernel,
            aio,
            buffer: vec![0; LARGEST * ROOM].into(),
            waiting: Vec::with_capacity(aio::MOST),
            end: 0,
            open: None,
            scratch: vec![0; 65_536].into(),
        }
    }

    pub(super) fn add(&mut self, eni: EniIdx, tun: Arc<Tun>) {
        self.tuns.insert(eni, tun);
    }

    pub(super) fn remove(&mut self, eni: EniIdx) {
        self.tuns.take(eni);
    }

    /// Must what waits be written before another packet is read?
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        let has_room = self.waiting.is_empty() || self.end + ROOM <= self.buffer.len();
        !has_room || self.waiting.len() == aio::MOST
    }

    /// Room for the next [vnet header][packet], unless it is full.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.waiting.is_empty() {
            self.end = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Has the [vnet header][packet] of this length, which is in the room, wait to be written to the interface's TUN.
    #[inline]
    pub(super) fn queue(&mut self, to: EniIdx, length: usize) {
        let next = self.end..self.end + length;
        let superseded = self.superseded(to, next.clone());
        if let Some(place) = superseded
            && self.waiting[place].is_spare
        {
            let waiting = &mut self.waiting[place];
            self.buffer.copy_within(next, waiting.start);
            waiting.packets += 1;
            return;
        }
        if let Some(open) = &mut self.open
            && let Some(last) = self.waiting.last_mut()
            && last.to == to
        {
            let from = last.start;
            let in_last = next.start - from..next.end - from;
            if let Some(length) = open.append(&mut self.buffer[from..], in_last) {
                last.end = from + length;
                self.end = last.end;
                return;
            }
        }
        self.close();
        self.open = Coalesced::of(&self.buffer[next.clone()]).filter(|coalesced| {
            // What would be cut again is not put together.
            let takes_super_packets = self.tuns.get(to).is_some_and(|tun| tun.has_vnet_header());
            takes_super_packets && !self.kernel.of(coalesced.gso_type()).refuses()
        });
        self.waiting.push(Waiting {
            to,
            start: next.start,
            end: next.end,
            packets: 1,
            is_spare: superseded.is_some(),
        });
        self.end = next.end;
    }

    /// The place of an acknowledgement, as long as this one, that this one says more than, nothing of its flow waiting between them.
    #[inline]
    fn superseded(&self, to: EniIdx, next: Range<usize>) -> Option<usize> {
        let new = Acknowledgement::of(&self.buffer[next])?;
        let recent = self.waiting.iter().enumerate().rev().take(LOOK_BACK);
        let mut recent =
            recent.map(|(place, last)| (place, last.to, &self.buffer[last.start..last.end]));
        let (place, _, before) =
            recent.find(|(_, other, bytes)| *other == to && new.may_be_of_flow(bytes))?;
        new.supersedes(&Acknowledgement::of(before)?)
            .then_some(place)
    }

    /// Nothing more is appended to the last packet.
    #[inline]
    fn close(&mut self) {
        if let (Some(open), Some(last)) = (self.open.take(), self.waiting.last_mut()) {
            last.packets = open.finish(&mut self.buffer[last.start..last.end]);
        }
    }

    /// Writes all that wait, in their order, and tells what could not simply be written. What is in the room stays there.
    #[inline]
    pub(super) fn flush(&mut self, mut tell: impl FnMut(Unwritten)) {
        self.close();
        match self.waiting.len() {
            0 => return,
            1 => self.write(0, &mut tell),
            _ => self.write_together(&mut tell),
        }
        self.waiting.clear();
    }

    /// Writes what waits at this place.
    #[inline]
    fn write(&mut self, at: usize, tell: &mut impl FnMut(Unwritten)) {
        let waiting = self.waiting[at];
        let buffer = &mut self.buffer[waiting.start..waiting.end];
        if let Err(failure) = send(
            &self.tuns,
            &self.kernel,
            &mut self.scratch,
            waiting.to,
            buffer,
        ) {
            tell(waiting.unwritten(failure));
        }
    }

    /// Writes all that wait with as few system calls as can be: one by one without AIO, and what must be cut.
    fn write_together(&mut self, tell: &mut impl FnMut(Unwritten)) {
        let mut at = 0;
        while at < self.waiting.len() {
            let mut results = [Ok(()); aio::MOST];
            let (tuns, kernel, buffer) = (&self.tuns, &self.kernel, &self.buffer);
            let whole = self.waiting[at..].iter().map_while(|waiting| {
                let bytes = &buffer[waiting.start..waiting.end];
                let tun = tuns.get(waiting.to)?;
                goes_whole(tun, kernel, bytes).then(|| (tun.as_fd(), bytes))
            });
            let made = self.aio.as_mut().map_or(Ok(0), |aio| {
                aio.write(whole, |place, errno| results[place] = Err(errno))
            });
            let made = made.unwrap_or_else(|(made, errno)| {
                tracing::warn!(
                    error = %errno,
                    "AIO has failed: packets are written one by one from now on"
                );
                self.aio = None;
                made
            });
            for (waiting, result) in self.waiting[at..].iter().zip(&results[..made]) {
                let buffer = &mut self.buffer[waiting.start..waiting.end];
                let settled = match self.tuns.get(waiting.to) {
                    Some(tun) => settle(tun, &self.kernel, &mut self.scratch, buffer, *result),
                    None => Err(GONE),
                };
                if let Err(failure) = settled {
                    tell(waiting.unwritten(failure));
                }
            }
            if made == 0 {
                self.write(at, tell);
            }
            at += made.max(1);
        }
    }

    /// Writes a finished packet of the core's own.
    pub(super) fn send_bare(&self, to: EniIdx, packet: &[u8]) -> Result<(), Failure> {
        let tun = self.tuns.get(to).ok_or(GONE)?;
        tun.write_bare(packet).map_err(reason)
    }
}

impl Waiting {
    fn unwritten(self, failure: Failure) -> Unwritten {
        let Self { to, packets, .. } = self;
        Unwritten {
            to,
            packets,
            failure,
        }
    }
}

/// Writes [vnet header][packet] to the interface's TUN.
#[inline]
fn send(
    tuns: &Table<Interface, Arc<Tun>>,
    kernel: &Kernel,
    scratch: &mut [u8],
    to: EniIdx,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    let tun = tuns.get(to).ok_or(GONE)?;
    if goes_whole(tun, kernel, buffer) {
        let result = tun.write(buffer);
        return settle(tun, kernel, scratch, buffer, result);
    }
    let (header, packet) = VnetHeader::mut_from_prefix(buffer).map_err(|_| LOST)?;
    if header.gso_type != GsoType::None as u8 {
        return cut(tun, header, packet, scratch);
    }
    complete(header, packet).map_err(|_| LOST)?;
    tun.write(packet).map_err(reason)
}

/// Does the TUN take this [vnet header][packet] as it stands?
#[inline]
fn goes_whole(tun: &Tun, kernel: &Kernel, bytes: &[u8]) -> bool {
    tun.has_vnet_header()
        && VnetHeader::ref_from_prefix(bytes).is_ok_and(|(header, _)| {
            header.gso_type == GsoType::None as u8 || !kernel.acceptance(header).refuses()
        })
}

/// What follows from how the write of a whole [vnet header][packet] ended: a super-packet that the kernel refuses is cut.
#[inline]
fn settle(
    tun: &Tun,
    kernel: &Kernel,
    scratch: &mut [u8],
    buffer: &mut [u8],
    result: Result<(), Errno>,
) -> Result<(), Failure> {
    let (header, packet) = VnetHeader::mut_from_prefix(buffer).map_err(|_| LOST)?;
    if header.gso_type == GsoType::None as u8 {
        return result.map_err(reason);
    }
    let acceptance = kernel.acceptance(header);
    match result {
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
        let mut outlet = Outlet::new(Arc::default(), Some(Aio::new().unwrap()));
        outlet.add(eni(), Arc::new(Tun::stand_in(ours, offload)));
        (outlet, theirs)
    }

    /// Has these packets written in one go; what could not be.
    fn write(outlet: &mut Outlet, to: EniIdx, packets: &[Vec<u8>]) -> Vec<Unwritten> {
        let mut unwritten = Vec::new();
        for packet in packets {
            if outlet.is_full() {
                outlet.flush(|failed| unwritten.push(failed));
            }
            outlet.room()[..packet.len()].copy_from_slice(packet);
            outlet.queue(to, packet.len());
        }
        outlet.flush(|failed| unwritten.push(failed));
        unwritten
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

    fn bytes(packet: PacketBuilder) -> Vec<u8> {
        let SimPacket { vnet, bytes } = packet.payload(&[7; 1000]).needs_csum().build();
        [vnet.as_bytes(), &bytes].concat()
    }

    const FROM: ([u8; 4], u16) = ([10, 0, 0, 1], 1);
    const TO: ([u8; 4], u16) = ([10, 0, 0, 2], 2);
    /// What the super-packet is cut into, each with its vnet header.
    const CUT: [usize; 3] = [10 + 40 + 1448, 10 + 40 + 1448, 10 + 40 + 104];
    const WHOLE: usize = 10 + 40 + 3000;

    fn refuse(kernel: &Acceptance) {
        assert_eq!((0..REFUSALS).filter(|_| kernel.refuse()).count(), 1);
    }

    #[test]
    fn a_super_packet_goes_out_whole_until_the_kernel_has_refused_too_often() {
        let (mut outlet, theirs) = outlet(Offload::On);
        assert_eq!(write(&mut outlet, eni(), &[super_packet()]), []);
        assert_eq!(lengths(&theirs), [WHOLE]);

        outlet.kernel = Arc::default();
        refuse(&outlet.kernel.tcp);
        assert_eq!(write(&mut outlet, eni(), &[super_packet()]), []);
        assert_eq!(lengths(&theirs), CUT);
    }

    #[test]
    fn what_is_written_together_keeps_its_order_with_what_must_be_cut() {
        for aio in [true, false] {
            let (mut outlet, theirs) = outlet(Offload::On);
            if !aio {
                outlet.aio = None;
            }
            let (datagram, segment) = (
                bytes(udp(FROM, TO)),
                bytes(tcp(FROM, TO).segment(Segment::SYN, 1, 0)),
            );
            let packets = [segment.clone(), super_packet(), datagram.clone(), segment];
            let lens = [packets[0].len(), packets[2].len()];
            assert_eq!(write(&mut outlet, eni(), &packets), []);
            assert_eq!(lengths(&theirs), [lens[0], WHOLE, lens[1], lens[0]]);

            outlet.kernel = Arc::default();
            refuse(&outlet.kernel.tcp);
            assert_eq!(write(&mut outlet, eni(), &packets), []);
            let [first, second, third] = CUT;
            let cut = [lens[0], first, second, third, lens[1], lens[0]];
            assert_eq!(lengths(&theirs), cut);
        }
    }

    #[test]
    fn nothing_is_lost_where_aio_is_forbidden_later() {
        let (mut outlet, theirs) = outlet(Offload::On);
        outlet.aio.as_mut().unwrap().forbid();
        for _ in 0..2 {
            let packets = [super_packet(), super_packet()];
            assert_eq!(write(&mut outlet, eni(), &packets), []);
            assert_eq!(lengths(&theirs), [WHOLE; 2]);
            assert!(outlet.aio.is_none());
        }
    }

    #[test]
    fn it_is_full_when_one_call_takes_no_more_or_the_largest_packet_would_not_fit() {
        let (mut outlet, theirs) = outlet(Offload::On);
        let fill = |outlet: &mut Outlet, packet: &[u8]| {
            let mut sent = 0;
            while !outlet.is_full() {
                outlet.room()[..packet.len()].copy_from_slice(packet);
                outlet.queue(eni(), packet.len());
                sent += 1;
            }
            sent
        };
        let segment = bytes(tcp(FROM, TO).segment(Segment::SYN, 1, 0));
        assert_eq!(fill(&mut outlet, &segment), aio::MOST);
        outlet.flush(|failed| panic!("{failed:?}"));
        assert_eq!(lengths(&theirs).len(), aio::MOST);
        assert_eq!(fill(&mut outlet, &[0; ROOM]), LARGEST);
        assert_eq!(fill(&mut outlet, &[0; ROOM]), 0);
        // Writing makes room, though these are no packets, and lost.
        outlet.flush(|_| {});
        assert!(!outlet.is_full());
    }

    #[test]
    fn datagrams_of_one_flow_are_one_write_unless_the_kernel_refuses_super_packets_of_their_kind() {
        let (mut outlet, theirs) = outlet(Offload::On);
        let datagrams = vec![bytes(udp(FROM, TO)); 3];
        let len = datagrams[0].len();
        assert_eq!(write(&mut outlet, eni(), &datagrams), []);
        assert_eq!(lengths(&theirs), [len + 2 * 1000]);
        outlet.kernel = Arc::default();
        refuse(&outlet.kernel.udp);
        assert_eq!(write(&mut outlet, eni(), &datagrams), []);
        assert_eq!(lengths(&theirs), [len; 3]);
    }

    #[test]
    fn of_a_flows_acknowledgements_that_wait_together_the_first_and_the_last_are_written() {
        let ack = |port: u16, seq: u32, number: u32| {
            let segment = tcp((FROM.0, port), TO).segment(Segment::ACK, seq, number);
            let SimPacket { vnet, bytes } = segment.needs_csum().build();
            [vnet.as_bytes(), &bytes].concat()
        };
        let data = bytes(tcp(FROM, TO).segment(Segment::ACK, 5, 300));
        let (mut outlet, theirs) = outlet(Offload::On);
        // Of the first flow, and of a second between them; data of the first, sent again, is not passed by, and a duplicate stays.
        let packets = [
            ack(1, 1005, 100),
            ack(9, 5, 100),
            ack(1, 1005, 200),
            ack(9, 5, 300),
            ack(1, 1005, 300),
            data.clone(),
            ack(1, 1005, 400),
            ack(1, 1005, 500),
            ack(1, 1005, 500),
            ack(1, 1005, 600),
            ack(1, 1005, 700),
        ];
        assert_eq!(write(&mut outlet, eni(), &packets), []);
        let mut buffer = [0; 70_000];
        let written = std::iter::from_fn(|| {
            let length = rustix::io::read(&theirs, &mut buffer).ok()?;
            Some(buffer[..length].to_vec())
        });
        let expected = [
            ack(1, 1005, 100),
            ack(9, 5, 100),
            ack(1, 1005, 300),
            ack(9, 5, 300),
            data,
            ack(1, 1005, 400),
            ack(1, 1005, 500),
            ack(1, 1005, 500),
            ack(1, 1005, 700),
        ];
        assert_eq!(written.collect::<Vec<_>>(), expected);

        // What has been written already is not looked at.
        for number in [100, 200, 300] {
            assert_eq!(write(&mut outlet, eni(), &[ack(1, 5, number)]), []);
        }
        assert_eq!(lengths(&theirs).len(), 3);
        // Nor what is too far back.
        for (flows, written) in [
            (LOOK_BACK, 2 * LOOK_BACK),
            (LOOK_BACK + 1, 3 * (LOOK_BACK + 1)),
        ] {
            let round = |number| (0..flows as u16).map(move |port| ack(port, 5, number));
            let packets: Vec<_> = [100, 200, 300].into_iter().flat_map(round).collect();
            assert_eq!(write(&mut outlet, eni(), &packets), []);
            assert_eq!(lengths(&theirs).len(), written);
        }
        // Nor what waits for another interface, which may have the same addresses. Both that were one are lost with it.
        let stranger = EniIdx::new(0, 1);
        for (to, number) in [
            (eni(), 100),
            (stranger, 200),
            (stranger, 300),
            (stranger, 400),
        ] {
            let packet = ack(1, 5, number);
            outlet.room()[..packet.len()].copy_from_slice(&packet);
            outlet.queue(to, packet.len());
        }
        let mut unwritten = Vec::new();
        outlet.flush(|failed| unwritten.push((failed.to, failed.packets)));
        assert_eq!(unwritten, [(stranger, 1), (stranger, 2)]);
        assert_eq!(lengths(&theirs).len(), 1);
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
        assert_eq!(write(&mut outlet, eni(), &[super_packet()]), []);
        assert_eq!(lengths(&theirs), [40 + 1448, 40 + 1448, 40 + 104]);
        let datagrams = vec![bytes(udp(FROM, TO)); 2];
        assert_eq!(write(&mut outlet, eni(), &datagrams), []);
        assert_eq!(lengths(&theirs), [28 + 1000; 2]);
        outlet.send_bare(eni(), &[0x45; 20]).unwrap();
        assert_eq!(lengths(&theirs), [20]);
    }

    #[test]
    fn an_interface_without_a_link_is_a_drop_of_every_packet() {
        let (mut outlet, theirs) = outlet(Offload::On);
        let lost = |to, packets, failure| Unwritten {
            to,
            packets,
            failure,
        };
        let stranger = EniIdx::new(0, 1);
        let datagrams = vec![bytes(udp(FROM, TO)); 2];
        let gone = [lost(stranger, 1, GONE), lost(stranger, 1, GONE)];
        assert_eq!(write(&mut outlet, stranger, &datagrams), gone);
        assert_eq!(outlet.send_bare(stranger, &[0x45; 20]), Err(GONE));
        // As one super-packet they are lost together.
        drop(theirs);
        assert_eq!(
            write(&mut outlet, eni(), &datagrams),
            [lost(eni(), 2, LOST)]
        );
        let two = [super_packet(), super_packet()];
        let each = lost(eni(), 1, LOST);
        assert_eq!(write(&mut outlet, eni(), &two), [each, each]);
    }
}
