//! Everything that needs CAP_SYS_ADMIN or CAP_NET_ADMIN: names go in, descriptors come back.
//!
//! Invariant: nothing outside of this file makes, changes or deletes a namespace, a link or a file in
//! `/etc/netns`. It can become a process of
//! its own that passes descriptors, while the one that forwards packets drops every capability.
//!
//! All of it blocks for up to some milliseconds: call it from a thread that may.

use std::path::Path;

use super::error::Error;
use super::etc_netns::{self, ETC_NETNS, Standing};
use super::link::{self, LinkName};
use super::netns::{self, Namespace, NamespaceId, Removal};
use super::tun::{self, Tun, TunSpec};

/// Opens the namespace of this name. One that is missing is created, like `ip netns add` with loopback up, and says
/// so ([`Namespace::created`]); one that exists is left as it is.
pub fn open_namespace(name: &str) -> Result<Namespace, Error> {
    let namespace = Namespace::open_or_create(name)?;
    if namespace.created()
        && let Err(error) = namespace.run(|| link::raise_loopback(name))
    {
        netns::delete(name, namespace.id())?;
        return Err(error);
    }
    Ok(namespace)
}

/// Makes the instance's link `eni0` in the namespace, configured and up.
pub fn open_tun(namespace: &Namespace, spec: &TunSpec) -> Result<Tun, Error> {
    Tun::open(namespace, spec)
}

/// Deletes a namespace that we created, as `name` and `id` were recorded then.
pub fn delete_namespace(name: &str, id: NamespaceId) -> Result<Removal, Error> {
    netns::delete(name, id)
}

/// Deletes a namespace whose creation was announced, for a name that was free, and perhaps cut off half-way.
pub fn delete_unfinished_namespace(name: &str) -> Result<Removal, Error> {
    netns::delete_unfinished(name)
}

/// Deletes the link that a dead daemon left in a namespace that is not ours to delete. (The kernel has done so already,
/// unless somebody has inherited the TUN's descriptor.)
pub fn delete_link(namespace: &str, id: NamespaceId) -> Result<Removal, Error> {
    let opened = match Namespace::open(namespace)? {
        None => return Ok(Removal::AlreadyGone),
        Some(opened) if opened.id() != id => return Ok(Removal::NotOurs),
        Some(opened) => opened,
    };
    let name = LinkName {
        namespace,
        link: tun::LINK_NAME,
    };
    opened.run(|| match tun::find(name)? {
        None => Ok(Removal::AlreadyGone),
        Some(index) => link::delete(name, index).map(|()| Removal::Removed),
    })
}

/// What stands where the namespace's resolv.conf is to be?
pub fn look_at_resolv_conf(namespace: &str) -> Result<Standing, Error> {
    etc_netns::look(Path::new(ETC_NETNS), namespace)
}

/// Makes `/etc/netns/NAME/resolv.conf` where there is none; was there none?
pub fn write_resolv_conf(namespace: &str, text: &str) -> Result<bool, Error> {
    etc_netns::write(Path::new(ETC_NETNS), namespace, text)
}

/// Removes a resolv.conf that still says `text`, and the namespace's directory if it was made for it and is empty.
pub fn remove_resolv_conf(
    namespace: &str,
    text: &str,
    with_directory: bool,
) -> Result<Removal, Error> {
    etc_netns::remove(Path::new(ETC_NETNS), namespace, text, with_directory)
}

/// Removes `/etc/netns` if it is empty.
pub fn remove_etc_netns() -> Result<(), std::io::Error> {
    etc_netns::remove_root(Path::new(ETC_NETNS))
}
