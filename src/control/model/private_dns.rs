//! Private DNS: the name of a service or a resource, answered with an endpoint's addresses in the endpoint's VPC only.
//!
//! Invariant: in one VPC a domain is claimed by one endpoint or one hosted zone. Source: AWS PrivateLink guide, "Private DNS names" of interface
//! and resource endpoints; EC2 API, `CreateVpcEndpoint`.

use super::{EndpointDestination, Vpc, VpcEndpoint};
use crate::control::command::DnsOptions;
use crate::control::error::ControlError;
use crate::control::id::VpcEndpointId;
use crate::control::verification::DnsNameState;
use crate::control::{ControlState, DomainName};

const ENABLED: &str = "PrivateDnsEnabled";

impl ControlState {
    /// The name to which endpoints that lead there may answer.
    pub fn private_name(&self, destination: EndpointDestination) -> Option<&DomainName> {
        match destination {
            EndpointDestination::Service(id) => {
                let name = &self.vpc_endpoint_service(&id)?.private_dns_name;
                name.as_ref().map(|name| &name.name)
            }
            EndpointDestination::ResourceConfiguration(id) => self
                .resource_configuration(&id)?
                .custom_domain_name
                .as_ref(),
        }
    }

    /// The name to which an endpoint answers in its VPC: one that its provider has verified, of a resource any, and only while
    /// traffic passes.
    pub fn answered_name(&self, endpoint: &VpcEndpoint) -> Option<&DomainName> {
        let is_verified = match endpoint.destination {
            EndpointDestination::Service(id) => {
                let name = &self.vpc_endpoint_service(&id)?.private_dns_name;
                name.as_ref()?.state == DnsNameState::Verified
            }
            EndpointDestination::ResourceConfiguration(_) => true,
        };
        let answers = endpoint.private_dns_enabled && endpoint.state.passes() && is_verified;
        self.private_name(endpoint.destination).filter(|_| answers)
    }

    /// What an endpoint of this id that leads there claims of the VPC's names, if private DNS is on.
    pub(in crate::control) fn private_domain(
        &self,
        vpc: &Vpc,
        id: VpcEndpointId,
        destination: EndpointDestination,
    ) -> Result<Option<DomainName>, ControlError> {
        self.check_dns_attributes(vpc)?;
        let property = ENABLED.to_owned();
        let Some(name) = self.private_name(destination) else {
            return match destination {
                EndpointDestination::Service(service_id)
                    if !self.predecessor.has_private_dns(id) =>
                {
                    let service = self.vpc_endpoint_service(&service_id);
                    Err(ControlError::NoPrivateName {
                        property,
                        service: service.map(|s| s.service_name.clone()).unwrap_or_default(),
                    })
                }
                // The provider may take the name away, and a resource needs none.
                _ => Ok(None),
            };
        };
        let domain = name.base();
        let endpoint = vpc.private_domains.get(&domain).filter(|by| **by != id);
        let endpoint = endpoint.map(|by| format!("VPC endpoint {}", self.named_vpc_endpoint(*by)));
        let zone = vpc.hosted_zones.get(&domain);
        let zone = zone.map(|by| format!("hosted zone {}", self.named_hosted_zone(*by)));
        match endpoint.or(zone) {
            None => Ok(Some(domain)),
            Some(by) => Err(ControlError::DomainConflict {
                property,
                domain: name.clone(),
                vpc: self.named_vpc(vpc.vpc_id),
                by,
            }),
        }
    }

    /// Can there be private DNS in this VPC?
    pub(in crate::control) fn check_dns_attributes(&self, vpc: &Vpc) -> Result<(), ControlError> {
        let wanted = match (vpc.enable_dns_support, vpc.enable_dns_hostnames) {
            (true, true) => return Ok(()),
            (true, false) => "EnableDnsHostnames: true",
            (false, true) => "EnableDnsSupport: true",
            (false, false) => "EnableDnsSupport: true and EnableDnsHostnames: true",
        };
        Err(ControlError::PrivateDnsAttributes {
            property: ENABLED.to_owned(),
            vpc: self.named_vpc(vpc.vpc_id),
            wanted,
        })
    }

    /// An endpoint claims a domain in its VPC, or none any more.
    pub(in crate::control) fn claim_domain(
        &mut self,
        id: VpcEndpointId,
        domain: Option<DomainName>,
    ) {
        let Some(endpoint) = self.vpc_endpoints.find_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut endpoint.private_domain, domain.clone());
        let Some(vpc) = self.vpcs.find_mut(&endpoint.vpc_id) else {
            return;
        };
        if let Some(domain) = before {
            vpc.private_domains.remove(&domain);
        }
        if let Some(domain) = domain {
            vpc.private_domains.insert(domain, id);
        }
    }
}

/// Options of names: what IPv4 and one resolver per VPC mean.
pub(in crate::control) fn check_dns_options(
    options: &DnsOptions,
    leads_to_service: bool,
) -> Result<(), ControlError> {
    let not_yet = |name: &str, given: &str, wanted| ControlError::NotYet {
        property: format!("DnsOptions.{name}"),
        what: format!("{name} {given}"),
        wanted,
    };
    match options.dns_record_ip_type.as_deref() {
        None | Some("ipv4" | "service-defined" | "not-specified") => {}
        Some(other) => return Err(not_yet("DnsRecordIpType", other, "ipv4")),
    }
    match options
        .private_dns_only_for_inbound_resolver_endpoint
        .as_deref()
    {
        None | Some("AllResolvers" | "NotSpecified") => {}
        Some(other) => {
            let name = "PrivateDnsOnlyForInboundResolverEndpoint";
            return Err(not_yet(name, other, "AllResolvers"));
        }
    }
    match options.private_dns_preference.as_deref() {
        None => Ok(()),
        Some(given) if leads_to_service => Err(ControlError::Combination {
            property: "DnsOptions.PrivateDnsPreference".to_owned(),
            what: format!("PrivateDnsPreference {given} of an endpoint of type Interface"),
            wanted: "it is for endpoints of type Resource",
        }),
        Some("ALL_DOMAINS") => Ok(()),
        Some(other) => Err(not_yet("PrivateDnsPreference", other, "ALL_DOMAINS")),
    }
}
