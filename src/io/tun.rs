//! A TUN: the network interface of an instance, seen from the fabric's side.
//!
//! Invariant: the link lives exactly as long as its [`Tun`]; closing the descriptor removes it. With
//! [`Offload::On`] every packet, in both directions, stands behind its [`VnetHeader`]. Source: drivers/net/tun.c,
//! include/uapi/linux/if_tun.h.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use ipnet::IpNet;
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, ioctl, opcode};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tun::AbstractDevice;

use super::error::Error;
use super::link::{self, LinkName};
use super::netns::{Namespace, NamespaceId};
use crate::net::VnetHeader;

/// The name of every instance's link.
pub const LINK_NAME: &str = "eni0";
/// Packets that wait in a TUN for us; the driver's own 500 is too small for bulk TCP.
pub const TX_QUEUE_LEN: u32 = 10_000;

/// `TUNSETOFFLOAD`.
const SET_OFFLOAD: rustix::ioctl::Opcode = opcode::write::<std::ffi::c_uint>(b'T', 208);
/// The work that the kernel leaves to us (`TUN_F_*`): checksums, and cutting TCP with and without ECN.
const OFFLOAD_TCP: usize = 0x01 | 0x02 | 0x04 | 0x08;
/// `TUN_F_USO4 | TUN_F_USO6`: cutting UDP; the kernel takes both or none.
const OFFLOAD_UDP: usize = 0x20 | 0x40;

/// Whether super-packets and unfinished checksums pass through a TUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// One read is up to 64 KiB of TCP or UDP with its vnet header.
    #[default]
    On,
    /// One read is one finished packet, without a vnet header.
    Off,
}

/// What an instance's link is to look like.
#[derive(Clone, Debug)]
pub struct TunSpec {
    /// Its addresses with their subnets' prefix lengths, primary first.
    pub addresses: Vec<IpNet>,
    /// Its MTU, in bytes.
    pub mtu: u16,
    /// Do super-packets pass?
    pub offload: Offload,
}

/// An open TUN. Any thread may read and write it, wherever it stands.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    namespace: String,
    namespace_id: NamespaceId,
    offload: Offload,
    /// How many of the next reads panic.
    #[cfg(test)]
    pub(super) faults: std::sync::atomic::AtomicU32,
}

impl Tun {
    /// Makes the link in `namespace` and gives it all that `spec` says.
    pub(super) fn open(namespace: &Namespace, spec: &TunSpec) -> Result<Self, Error> {
        let name = LinkName {
            namespace: namespace.name(),
            link: LINK_NAME,
        };
        let fd = namespace.run(|| {
            let (fd, index) = create(name, spec)?;
            link::silence_ipv6(name, &spec.addresses)?;
            link::configure(name, index, TX_QUEUE_LEN, &spec.addresses)?;
            Ok(fd)
        })?;
        Ok(Self {
            fd,
            namespace: namespace.name().to_owned(),
            namespace_id: namespace.id(),
            offload: spec.offload,
            #[cfg(test)]
            faults: Default::default(),
        })
    }

    /// Something else that takes and gives whole packets, in place of the driver.
    #[cfg(test)]
    pub(super) fn stand_in(fd: OwnedFd, offload: Offload) -> Self {
        Self {
            fd,
            namespace: "none".to_owned(),
            namespace_id: NamespaceId { dev: 0, ino: 0 },
            offload,
            faults: Default::default(),
        }
    }

    #[cfg(test)]
    fn fail_on_demand(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let fewer = |faults: u32| faults.checked_sub(1);
        assert!(
            self.faults.fetch_update(Relaxed, Relaxed, fewer).is_err(),
            "a fault"
        );
    }

    /// The name of the namespace that it was made in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The identity of that namespace.
    pub fn namespace_id(&self) -> NamespaceId {
        self.namespace_id
    }

    /// Does every packet stand behind a vnet header?
    pub fn has_vnet_header(&self) -> bool {
        self.offload == Offload::On
    }

    /// Reads one packet into `buffer`, as [vnet header][packet] whether the TUN has vnet headers or not; its length with
    /// the header. `Errno::AGAIN`: none waits.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        #[cfg(test)]
        self.fail_on_demand();
        match self.offload {
            Offload::On => rustix::io::read(&self.fd, buffer),
            Offload::Off => {
                let (header, packet) = buffer.split_at_mut(VnetHeader::LEN);
                let length = rustix::io::read(&self.fd, packet)?;
                header.fill(0);
                Ok(length + VnetHeader::LEN)
            }
        }
    }

    /// Writes one packet as it stands: with its vnet header if the TUN has them, without if it has not.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> Result<(), Errno> {
        rustix::io::write(&self.fd, bytes).map(drop)
    }

    /// Writes a finished packet that has no vnet header.
    pub fn write_bare(&self, packet: &[u8]) -> Result<(), Errno> {
        match self.offload {
            Offload::Off => self.write(packet),
            Offload::On => {
                let header = IoSlice::new(&[0; VnetHeader::LEN]);
                rustix::io::writev(&self.fd, &[header, IoSlice::new(packet)]).map(drop)
            }
        }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The link's index in the calling thread's namespace, if it exists.
pub(super) fn find(name: LinkName<'_>) -> Result<Option<u32>, Error> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| name.failed("look for it", errno))?;
    match name_to_index(&socket, name.link) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(errno) => Err(name.failed("look for it", errno)),
    }
}

/// The TUN in the calling thread's namespace, down and without an address.
fn create(name: LinkName<'_>, spec: &TunSpec) -> Result<(OwnedFd, u32), Error> {
    let exists = || Error::LinkExists {
        namespace: name.namespace.to_owned(),
        link: name.link.to_owned(),
    };
    // The driver would attach to a persistent TUN that nobody holds, whatever it is set up for.
    if find(name)?.is_some() {
        return Err(exists());
    }
    let mut config = tun::Configuration::default();
    config.tun_name(name.link).mtu(spec.mtu);
    config.platform_config(|platform| {
        platform.vnet_hdr(spec.offload == Offload::On);
    });
    let device = tun::create(&config).map_err(|error| match error {
        tun::Error::Io(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Error::NoTunDriver,
            Some(Errno::BUSY) => exists(),
            Some(Errno::PERM | Errno::ACCESS) => Error::NotPermitted {
                doing: format!("to create a TUN (network namespace `{}`)", name.namespace),
            },
            _ => name.failed("create it", error),
        },
        error => name.failed("create it", std::io::Error::other(error)),
    })?;
    let index = device
        .tun_index()
        .map_err(|error| name.failed("find its index", std::io::Error::other(error)))?;
    device
        .set_nonblock()
        .map_err(|error| name.failed("make it non-blocking", error))?;
    // SAFETY: `into_raw_fd` gives up the descriptor, which is open and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(device.into_raw_fd()) };
    if spec.offload == Offload::On {
        set_offload(name, &fd)?;
    }
    Ok((fd, index as u32))
}

/// Asks for super-packets; a kernel before 6.2 knows those of TCP only.
fn set_offload(name: LinkName<'_>, fd: &OwnedFd) -> Result<(), Error> {
    let set = |flags| {
        // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory of ours.
        unsafe { ioctl(fd, IntegerSetter::<SET_OFFLOAD>::new_usize(flags)) }
    };
    match set(OFFLOAD_TCP | OFFLOAD_UDP) {
        Err(Errno::INVAL) => {
            tracing::debug!(fd = fd.as_raw_fd(), "the kernel has no UDP offload for TUN");
            set(OFFLOAD_TCP)
        }
        result => result,
    }
    .map_err(|errno| name.failed("switch its offloads on", errno))
}
