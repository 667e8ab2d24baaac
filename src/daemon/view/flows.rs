//! Flows, a page at a time.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

pub use crate::dataplane::flow::State as FlowState;

/// The query of `GET /v1/flows`: which flows are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FlowQuery {
    /// Where they come from: an address with or without a port, a CIDR, an instance, an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where they go to: likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The endpoint that they came through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Their state, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many at most; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
    /// `NextToken` of the page before; `None`: the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl FlowQuery {
    /// Does every flow match?
    pub fn selects_all(&self) -> bool {
        let filters = [&self.from, &self.to, &self.endpoint, &self.state];
        filters.iter().all(|filter| filter.is_none())
    }
}

/// `GET /v1/flows`: a page of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowPage {
    /// At most a thousand flows, newest first; there may be none although others follow.
    pub flows: Vec<Flow>,
    /// What gives the next page as `next-token`; `None`: this page is the last one.
    pub next_token: Option<String>,
}

/// A flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Flow {
    /// `TCP`, `UDP`, `ICMP` or a number.
    pub protocol: String,
    /// Where it stands in its life.
    pub state: String,
    /// The endpoint that it came through, by its name in the template; `None` inside a VPC.
    pub vpc_endpoint: Option<String>,
    /// As its initiator sees it.
    pub initiator: FlowSide,
    /// As its target sees it.
    pub target: FlowSide,
    /// Seconds since it was opened.
    pub age_seconds: f64,
    /// Seconds since its last packet.
    pub idle_seconds: f64,
}

/// One side of a flow: the addresses of packets from the initiator to the target, as this side has
/// them on its wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowSide {
    /// `eni-...`
    pub network_interface_id: String,
    /// The name in the template of the interface's owner.
    pub owner: String,
    /// The stack that the interface is part of.
    pub stack: String,
    /// Source of the initiator's packets.
    pub source: String,
    /// Source port, or ICMP identifier.
    pub source_port: u16,
    /// Destination of the initiator's packets.
    pub destination: String,
    /// Destination port.
    pub destination_port: u16,
    /// Packets that this side sent.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub bytes: u64,
}
