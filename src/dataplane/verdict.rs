//! Every fate of a packet has a name.

use super::config::EniIdx;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rewritten in place: write it to this interface's TUN.
    Forward(EniIdx),
    /// As [`Verdict::Forward`], but what `poll_transmit` has goes first.
    ForwardAfter(EniIdx),
    /// The core, or an interface of its own, took it; what comes of it, if anything, `poll_transmit` has. A fragment is kept, or
    /// its datagram goes on from there.
    Answered,
    /// It ends here, and is counted.
    Drop(DropReason),
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a packet was dropped. There is no catch-all: each has one place in the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DropReason {
            /// All of them, in the order of the packet's way.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The variant's name, as counters and tables show it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// One sentence for people: what happened.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The vnet header carries flags that Linux does not define.
    VnetFlags,
    /// The vnet header's segmentation type is unknown or does not fit the packet's protocol.
    VnetGsoType,
    /// The vnet header's segment size is below the floor or does not fit the path.
    VnetGsoSize,
    /// The vnet header's csum_start is not where the transport header begins.
    VnetChecksumStart,
    /// The vnet header's csum_offset is not the transport protocol's checksum field.
    VnetChecksumOffset,
    /// The packet ends before its headers do, or before the length they give.
    Truncated,
    /// Neither IPv4 nor IPv6, or an IPv4 header with impossible lengths, a time to live of zero or a source route.
    BadIpHeader,
    /// IPv6, which privlink does not forward yet.
    Ipv6,
    /// A fragment of no bytes, of no multiple of eight bytes though others follow, or beyond 65,535 bytes.
    BadFragment,
    /// A first fragment without its whole transport header, or another that begins inside of that.
    TinyFragment,
    /// A fragment that has arrived before.
    DuplicateFragment,
    /// A fragment that overlaps others of its datagram, or contradicts them about its end: the datagram is dropped.
    OverlappingFragment,
    /// A datagram in fragments that gave way to a newer one: 64 of an interface may wait for their last fragment.
    FragmentLimit,
    /// A datagram whose fragments did not all arrive within 5 seconds.
    FragmentTimeout,
    /// A transport header that contradicts itself: its length or flags; or a wrong checksum, of an ICMP error or the header that it
    /// quotes, or of what is taken in or changed here: by a resolver, an endpoint's own host, a probe, a PROXY header, a smaller MTU.
    BadTransportHeader,
    /// An ICMP message that is neither an echo nor an error about a live flow.
    IcmpType,
    /// A report of a smaller MTU (ICMP fragmentation-needed) that does not match what its flow has sent, or has a wrong checksum.
    ImplausibleMtu,
    /// The source address is not the sending interface's own.
    SourceCheck,
    /// The source is an address that no instance may have, though the sender is exempt from the source check: loopback, link-local,
    /// multicast or broadcast, or of the VPC's router, resolver, endpoints, gateways or load balancers.
    ReservedSource,
    /// To a resolver's address, and neither UDP nor TCP.
    NotForResolver,
    /// More than 1,024 packets to the resolver within a second, or more of its TCP connections than are left for all others.
    ResolverLimit,
    /// The destination lies outside of the VPC's CIDRs.
    NoRoute,
    /// Nothing in the VPC has the destination address.
    NoSuchAddress,
    /// The endpoint leads to nothing: it waits for acceptance, or has been rejected, or has expired.
    EndpointNotAvailable,
    /// No egress rule of the sender's (or the gateway's) security groups admits it.
    EgressDenied,
    /// No ingress rule of the receiver's security groups admits it.
    IngressDenied,
    /// Neither the resource configuration nor a listener offers this protocol.
    ProtocolNotOffered,
    /// Neither the resource configuration's port ranges nor a listener of the protocol have this port.
    PortNotOffered,
    /// The target group has no target in the zones that the load balancer's node may use (a TCP sender gets a RST).
    NoTargetInScope,
    /// The resource's domain name has not led to an allowed address yet.
    NameNotResolved,
    /// No interface in the provider's VPC has the target address.
    NoTarget,
    /// Every gateway address and port towards this target is in use.
    PortsExhausted,
    /// A live flow of another interface has the same two ends.
    TupleTaken,
    /// The endpoint holds as many of the gateway's ports towards this target as are left for all others.
    EndpointPortLimit,
    /// The sender holds as many of the gateway's ports towards this target as are left for the other interfaces behind its endpoint.
    InterfacePortLimit,
    /// The flow table is full, or the sender has opened more flows than there are places left.
    FlowTableFull,
    /// A TCP segment of no known connection (its sender gets a RST), or of one that has been replaced.
    NoFlow,
    /// To a resource gateway's address, or from a target to that of a gateway or a load balancer's node against the direction of
    /// a flow: only answers pass there.
    GatewayIngress,
    /// Larger than the path's MTU (its sender gets an ICMP fragmentation-needed).
    PacketTooBig,
    /// The TUN that should take it has gone.
    InterfaceGone,
    /// The TUN that should take it refused the write.
    WriteFailed,
}
