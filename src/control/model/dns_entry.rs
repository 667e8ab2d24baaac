//! The names by which an endpoint is reached, as AWS makes them.
//!
//! Invariant: they depend on ids and zones alone, are there from the endpoint's creation and stay as long as it does.
//! Source: AWS PrivateLink guide, "DNS hostnames" of services and resources; EC2 API, `DnsEntry`; VPC Lattice API,
//! `DnsEntry` of `ListVpcEndpointAssociations`.

use super::{EndpointDestination, NetworkInterface, VpcEndpoint};
use crate::control::ControlState;
use crate::control::hash::word;

/// A name of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsEntry {
    /// Without a dot at its end.
    pub dns_name: String,
    /// The hosted zone that it stands in.
    pub hosted_zone_id: String,
}

/// In every name of a resource endpoint that AWS was seen to give, whatever account and region.
const LATTICE: &str = "4232ccc";

impl VpcEndpoint {
    /// The name that answers with the addresses of all zones.
    pub fn regional_name(&self, region: &str) -> String {
        format!("{}.{}", self.label(), self.destination.domain(region))
    }

    /// The name of one zone's address; a resource has none.
    pub fn zonal_name(&self, region: &str, zone: &str) -> Option<String> {
        let label = self.zonal_label(zone)?;
        Some(format!("{label}.{}", self.destination.domain(region)))
    }

    /// The zonal name's own label.
    pub(in crate::control) fn zonal_label(&self, zone: &str) -> Option<String> {
        match self.destination {
            EndpointDestination::Service(_) => Some(format!("{}-{zone}", self.label())),
            EndpointDestination::ResourceConfiguration(_) => None,
        }
    }

    /// The regional name's own label.
    pub(in crate::control) fn label(&self) -> String {
        let id = self.vpc_endpoint_id;
        match self.destination {
            EndpointDestination::Service(_) => format!("{id}-{}", word(&id.to_string(), 8)),
            EndpointDestination::ResourceConfiguration(_) => id.to_string(),
        }
    }
}

impl EndpointDestination {
    /// Below which the names of all endpoints that lead there stand.
    pub fn domain(self, region: &str) -> String {
        match self {
            Self::Service(id) => format!("{id}.{}", self.parent_domain(region)),
            Self::ResourceConfiguration(id) => format!("{id}.{}", self.parent_domain(region)),
        }
    }

    /// Below which the names of all endpoints of its type stand.
    fn parent_domain(self, region: &str) -> String {
        match self {
            Self::Service(_) => format!("{region}.vpce.amazonaws.com"),
            Self::ResourceConfiguration(_) => {
                format!("{LATTICE}.vpc-lattice-rsc.{region}.on.aws")
            }
        }
    }
}

impl ControlState {
    /// The names of an endpoint in AWS's order: regional, one per zone, and the private one, whether it is verified or not.
    pub fn dns_entries(&self, endpoint: &VpcEndpoint) -> Vec<DnsEntry> {
        let region = self.owner.region();
        let zones = self.interfaces_of(endpoint);
        let zonal = zones.filter_map(|eni| endpoint.zonal_name(region, &eni.availability_zone));
        let hosted_zone_id = hosted_zone_id(&endpoint.destination.parent_domain(region));
        let entry = |dns_name| DnsEntry {
            dns_name,
            hosted_zone_id: hosted_zone_id.clone(),
        };
        let regional = [endpoint.regional_name(region)];
        let private = self.private_name(endpoint.destination);
        let private = private.filter(|_| endpoint.private_dns_enabled);
        let private = private.map(|name| DnsEntry {
            dns_name: name.to_string(),
            hosted_zone_id: self::hosted_zone_id(&endpoint.vpc_endpoint_id.to_string()),
        });
        let own = regional.into_iter().chain(zonal).map(entry);
        own.chain(private).collect()
    }

    /// An endpoint's interfaces in the order of its subnets.
    pub(in crate::control) fn interfaces_of(
        &self,
        endpoint: &VpcEndpoint,
    ) -> impl Iterator<Item = &NetworkInterface> {
        let interfaces = endpoint.network_interface_ids.iter();
        interfaces.filter_map(|id| self.network_interface(id))
    }
}

/// The id of a hosted zone that is nobody's to change.
fn hosted_zone_id(of: &str) -> String {
    format!("Z{}", word(of, 13).to_ascii_uppercase())
}
