//! The few netlink requests that an instance's link needs, made on a thread that stands in its namespace.

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder, new_connection};

use super::error::Error;

/// The loopback link has this index in every namespace.
const LOOPBACK: u32 = 1;

/// A link in a namespace, as errors name it.
#[derive(Clone, Copy)]
pub(super) struct LinkName<'a> {
    pub namespace: &'a str,
    pub link: &'a str,
}

impl LinkName<'_> {
    pub(super) fn failed(self, doing: &'static str, source: impl Into<std::io::Error>) -> Error {
        Error::Link {
            namespace: self.namespace.to_owned(),
            link: self.link.to_owned(),
            doing,
            source: source.into(),
        }
    }

    fn refused(self, doing: &'static str) -> impl FnOnce(rtnetlink::Error) -> Error {
        move |source| Error::Netlink {
            namespace: self.namespace.to_owned(),
            link: self.link.to_owned(),
            doing,
            source: Box::new(source),
        }
    }
}

/// Brings the loopback link of the calling thread's namespace up.
pub(super) fn raise_loopback(namespace: &str) -> Result<(), Error> {
    let name = LinkName {
        namespace,
        link: "lo",
    };
    with_netlink(name, async |handle| {
        let request = LinkUnspec::new_with_index(LOOPBACK).up().build();
        let raised = handle.link().set(request).execute().await;
        raised.map_err(name.refused("bring it up"))
    })
}

/// Queue length, addresses, up, and the default route: `index` is a TUN that was made just now.
pub(super) fn configure(
    name: LinkName<'_>,
    index: u32,
    tx_queue_len: u32,
    addresses: &[IpNet],
) -> Result<(), Error> {
    with_netlink(name, async |handle| {
        let request = LinkUnspec::new_with_index(index)
            .txqueuelen(tx_queue_len)
            .up()
            .build();
        let raised = handle.link().set(request).execute().await;
        raised.map_err(name.refused("bring it up"))?;
        for net in addresses {
            let request = handle
                .address()
                .add(index, net.addr(), net.prefix_len())
                .execute();
            let added = request.await;
            added.map_err(name.refused("give it its address"))?;
        }
        if addresses.iter().any(|net| net.addr().is_ipv4()) {
            let route = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .output_interface(index)
                .scope(RouteScope::Link)
                .build();
            let added = handle.route().add(route).execute().await;
            added.map_err(
                name.refused("make it the default route (does another link have one already?)"),
            )?;
        }
        Ok(())
    })
}

/// Deletes a link by its index.
pub(super) fn delete(name: LinkName<'_>, index: u32) -> Result<(), Error> {
    with_netlink(name, async |handle| {
        let deleted = handle.link().del(index).execute().await;
        deleted.map_err(name.refused("delete it"))
    })
}

/// What keeps the kernel from sending IPv6 of its own (router solicitations, MLD) out of a link. The first switches it off, and
/// any `net.ipv6.conf.all.disable_ipv6 = 0` in the namespace switches it on again: with the others it still has no address
/// and asks for no router.
const SILENT: [(&str, &str); 4] = [
    ("disable_ipv6", "1"),
    // IN6_ADDR_GEN_MODE_NONE
    ("addr_gen_mode", "1"),
    ("router_solicitations", "0"),
    ("accept_ra", "0"),
];

/// Keeps the kernel from sending IPv6 of its own out of a link that carries IPv4 only.
pub(super) fn silence_ipv6(name: LinkName<'_>, addresses: &[IpNet]) -> Result<(), Error> {
    if addresses
        .iter()
        .any(|net| matches!(net.addr(), IpAddr::V6(_)))
    {
        return Ok(());
    }
    for (setting, value) in SILENT {
        // /proc/sys/net shows the namespace of the thread that opens the file.
        let path = format!("/proc/sys/net/ipv6/conf/{}/{setting}", name.link);
        match std::fs::write(path, value) {
            // A kernel without IPv6, or without this setting.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.map_err(|source| name.failed("switch IPv6 off on it", source))?,
        }
    }
    Ok(())
}

/// One netlink conversation on the calling thread, with a runtime that lives as long as it does.
fn with_netlink<T>(
    name: LinkName<'_>,
    talk: impl AsyncFnOnce(Handle) -> Result<T, Error>,
) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|source| name.failed("talk to netlink", source))?;
    runtime.block_on(async {
        let (connection, handle, _) =
            new_connection().map_err(|source| name.failed("open a netlink socket", source))?;
        tokio::spawn(connection);
        talk(handle).await
    })
}
