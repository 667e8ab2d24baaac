//! What consumers have: endpoints with their interfaces and names.

use super::{Fabric, address_ranges, view};
use crate::control::{EndpointDestination, NetworkInterface, VpcEndpoint};
use crate::dataplane::config::{PortRange, Protocols};

impl Fabric {
    pub(super) fn endpoint(&self, endpoint: &VpcEndpoint) -> view::VpcEndpoint {
        let (resource, service) = match endpoint.destination {
            EndpointDestination::ResourceConfiguration(id) => {
                (self.state.resource_configuration(&id), None)
            }
            EndpointDestination::Service(id) => (None, self.state.vpc_endpoint_service(&id)),
        };
        let (port_ranges, protocols) = match (resource, service) {
            (Some(resource), _) => (
                resource.port_ranges.iter().map(port_range).collect(),
                protocols(resource.protocols),
            ),
            (None, Some(service)) => self.offer(service),
            (None, None) => (vec![], vec![]),
        };
        let (stack, owner_id) = self.stack_and_account(endpoint.vpc_endpoint_id);
        view::VpcEndpoint {
            logical_id: endpoint.client_token.clone(),
            stack,
            owner_id,
            vpc_endpoint_id: endpoint.vpc_endpoint_id.to_string(),
            vpc_endpoint_type: endpoint.vpc_endpoint_type().into(),
            state: endpoint.state.name().into(),
            vpc_id: endpoint.vpc_id.to_string(),
            vpc: self.vpc_name(&endpoint.vpc_id),
            resource: resource
                .map(|resource| resource.client_token.clone())
                .unwrap_or_default(),
            resource_stack: resource
                .map(|resource| self.stack_and_account(resource.id).0)
                .unwrap_or_default(),
            resource_address: resource
                .map(|resource| resource.definition.to_string())
                .unwrap_or_default(),
            service: service.map(|service| service.client_token.clone()),
            service_stack: service.map(|service| self.stack_and_account(service.service_id).0),
            service_id: endpoint.service_id().map(|id| id.to_string()),
            service_name: service.map(|service| service.service_name.clone()),
            port_ranges,
            protocols,
            network_interfaces: endpoint
                .network_interface_ids
                .iter()
                .filter_map(|id| self.state.network_interface(id))
                .map(|eni| self.endpoint_interface(eni, endpoint.destination))
                .collect(),
            private_dns_enabled: endpoint.private_dns_enabled,
            dns_entries: self.dns_entries(endpoint),
        }
    }

    fn endpoint_interface(
        &self,
        eni: &NetworkInterface,
        destination: EndpointDestination,
    ) -> view::EndpointInterface {
        let zone = &eni.availability_zone;
        let gateway = match destination {
            EndpointDestination::ResourceConfiguration(id) => {
                self.state.gateway_interface_in(id, zone)
            }
            EndpointDestination::Service(id) => self.state.service_node_in(id, zone),
        };
        view::EndpointInterface {
            network_interface_id: eni.network_interface_id.to_string(),
            availability_zone: zone.clone(),
            subnet: self.subnet_name(&eni.subnet_id),
            private_ip_address: eni
                .private_ip_address()
                .map(|ip| ip.to_string())
                .unwrap_or_default(),
            gateway_network_interface_id: gateway
                .map(|eni| eni.network_interface_id.to_string())
                .unwrap_or_default(),
            gateway_addresses: gateway
                .map(|eni| address_ranges(&eni.private_ip_addresses))
                .unwrap_or_default(),
        }
    }

    fn dns_entries(&self, endpoint: &VpcEndpoint) -> Vec<view::DnsEntry> {
        let entries = self.state.dns_entries(endpoint).into_iter();
        let entries = entries.map(|entry| view::DnsEntry {
            dns_name: entry.dns_name,
            hosted_zone_id: entry.hosted_zone_id,
        });
        entries.collect()
    }
}

fn protocols(offered: Protocols) -> Vec<String> {
    [
        (offered.tcp, "TCP"),
        (offered.udp, "UDP"),
        (offered.icmp, "ICMP"),
    ]
    .into_iter()
    .filter(|(offered, _)| *offered)
    .map(|(_, name)| name.to_owned())
    .collect()
}

/// `443` or `1-65535`.
fn port_range(range: &PortRange) -> String {
    match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_one_port_is_that_port() {
        assert_eq!(
            port_range(&PortRange {
                first: 443,
                last: 443
            }),
            "443"
        );
        assert_eq!(
            port_range(&PortRange {
                first: 1,
                last: 65535
            }),
            "1-65535"
        );
    }
}
