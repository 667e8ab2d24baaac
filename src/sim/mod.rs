//! Test utility: the data plane alone, with hosts, packets and a clock of its own. Hours pass in milliseconds.
//!
//! Used by tests, benches and fuzzing; nothing that runs in production knows it, and it may panic.

mod balanced;
mod estate;
mod fragments;
mod load;
mod names;
mod packet;
mod server;
mod topology;
mod world;

pub use estate::{Estate, EstateEndpoint, EstateVpc};
pub use fragments::reassembled;
pub use load::{Established, Fates, Load, shuffle};
pub use names::{Names, ask, endpoint, zone};
pub use packet::{PacketBuilder, SimPacket, echo_reply, echo_request, tcp, udp};
pub use server::Server;
pub use topology::{Topology, any_from, from_group, tcp_from};
pub use world::{Drops, Outcome, World};
