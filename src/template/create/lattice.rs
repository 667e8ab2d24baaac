//! The commands of `AWS::VpcLattice`'s types.

use super::Creation;
use super::place::{Place, boolean, integer, tags, text, texts};
use crate::control::command::*;
use crate::template::node::Node;

impl Creation<'_, '_> {
    pub(super) fn resource_gateway(&mut self, place: Place) -> Option<CreateResourceGateway> {
        // All of them first, so that one run shows all their errors.
        let vpc_identifier = self.id(place, "VpcIdentifier");
        let subnet_ids = self.ids(place, "SubnetIds");
        let security_group_ids = self.ids(place, "SecurityGroupIds");
        Some(CreateResourceGateway {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name")?,
            vpc_identifier: vpc_identifier?,
            subnet_ids: subnet_ids?,
            security_group_ids: security_group_ids?,
            ip_address_type: text(place, "IpAddressType"),
            ipv4_addresses_per_eni: integer(place, "Ipv4AddressesPerEni"),
            resource_config_dns_resolution: text(place, "ResourceConfigDnsResolution"),
            tags: tags(place),
        })
    }

    pub(super) fn resource_configuration(
        &mut self,
        place: Place,
    ) -> Option<CreateResourceConfiguration> {
        let privlink = self.privlink.map(|node| Place { node, prefix: "" });
        let resource_gateway_id = self.optional_id(place, "ResourceGatewayId");
        let definition = self.definition(place);
        Some(CreateResourceConfiguration {
            client_token: self.logical_id.to_owned(),
            name: text(place, "Name")?,
            resource_configuration_type: text(place, "ResourceConfigurationType")?,
            resource_gateway_id: resource_gateway_id?,
            resource_configuration_definition: definition?,
            port_ranges: texts(place, "PortRanges"),
            protocol_type: text(place, "ProtocolType"),
            protocols: privlink
                .filter(|p| p.node.entry("Protocols").is_some())
                .map(|p| texts(p, "Protocols")),
            idle_timeout: privlink.and_then(|p| integer(p, "IdleTimeout")),
            custom_domain_name: text(place, "CustomDomainName"),
            proxy_protocol: privlink.and_then(|p| boolean(p, "ProxyProtocol")),
            tags: tags(place),
        })
    }

    /// The outer `None`: an error.
    fn definition(&mut self, place: Place) -> Option<Option<ResourceConfigurationDefinition>> {
        let Some(node) = place.node.child("ResourceConfigurationDefinition") else {
            return Some(None);
        };
        let [entry] = node.as_map().unwrap_or_default() else {
            let path = "ResourceConfigurationDefinition";
            let message = "exactly one of IpResource, DnsResource and ArnResource must be here";
            return self.fail(node.at, path, message);
        };
        let within = |key: &str| {
            let text = entry.value.child(key).and_then(Node::as_text);
            text.unwrap_or_default().to_owned()
        };
        let whole = || entry.value.as_text().unwrap_or_default().to_owned();
        Some(Some(match entry.key.as_str() {
            "DnsResource" => ResourceConfigurationDefinition::DnsResource {
                domain_name: within("DomainName"),
                ip_address_type: within("IpAddressType"),
            },
            "ArnResource" => ResourceConfigurationDefinition::ArnResource(whole()),
            _ => ResourceConfigurationDefinition::IpResource(whole()),
        }))
    }
}
