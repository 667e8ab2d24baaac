//! The private DNS name of a service, and the proof that its provider owns the domain: a TXT record that whoever can change
//! the domain can publish.
//!
//! Invariant: record and value depend on the service's id and the domain alone, so that they can be published before the
//! service is there. Source: EC2 API, `PrivateDnsNameConfiguration`.

use std::time::Duration;

use crate::control::command::StartVpcEndpointServicePrivateDnsVerification;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::hash::word;
use crate::control::id::VpcEndpointServiceId;
use crate::control::verification::{DnsNameEvent, DnsNameState};
use crate::control::{ControlState, DomainName, parse};

/// A private DNS name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateDnsName {
    /// A wildcard: all names below its domain.
    pub name: DomainName,
    /// Is the domain the provider's?
    pub state: DnsNameState,
    /// Is the record to be looked for?
    look_up: Option<LookUp>,
}

/// Why a record is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookUp {
    /// The service is new, and its record may have been published before: if not, nothing is lost.
    New,
    /// The provider says that it is there.
    Started,
}

/// What proves that a provider owns a domain (EC2's `PrivateDnsNameConfiguration`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateDnsNameConfiguration {
    /// The TXT record's name: `_<token>.example.com`.
    pub name: String,
    /// What it says: `vpce:<token>`.
    pub value: String,
    /// Has it been found?
    pub state: DnsNameState,
}

/// The state of a private DNS name has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateDnsNameEvent {
    /// When, since the UNIX epoch.
    pub at: Duration,
    /// Of which service.
    pub service_id: VpcEndpointServiceId,
    /// The state since.
    pub state: DnsNameState,
}

impl PrivateDnsName {
    /// A name that has yet to be verified; it may be a wildcard.
    pub(in crate::control) fn parse(property: &str, given: &str) -> Result<Self, ControlError> {
        Ok(Self {
            name: parse::domain_name(property, given, DomainName::parse_owner)?,
            state: DnsNameState::PendingVerification,
            look_up: Some(LookUp::New),
        })
    }

    /// What proves that it is the provider of this service's.
    pub fn configuration(&self, service_id: VpcEndpointServiceId) -> PrivateDnsNameConfiguration {
        let domain = self.name.base();
        let token = word(&format!("{service_id}\0{domain}"), 20);
        PrivateDnsNameConfiguration {
            name: format!("_{token}.{domain}"),
            value: format!("vpce:{token}"),
            state: self.state,
        }
    }
}

impl ControlState {
    pub(in crate::control) fn start_private_dns_verification(
        &mut self,
        command: StartVpcEndpointServicePrivateDnsVerification,
    ) -> Result<VpcEndpointServiceId, ControlErrors> {
        let service_id = command.service_id;
        self.own(service_id, "ServiceId")?;
        let what = format!(
            "VPC endpoint service {}",
            self.named_vpc_endpoint_service(service_id)
        );
        let Some(name) = self.private_dns_name_mut(service_id) else {
            return Err(ControlError::NoPrivateDnsName { what }.into());
        };
        if name.state != DnsNameState::Verified {
            name.look_up = Some(LookUp::Started);
        }
        self.name_happens(service_id, DnsNameEvent::Start);
        Ok(service_id)
    }

    /// The TXT records that are to be looked for, outside of all VPCs, and the services whose they are.
    pub fn private_dns_look_ups(&self) -> Vec<(VpcEndpointServiceId, String)> {
        let services = self.vpc_endpoint_services();
        let named = services.filter_map(|service| {
            let name = service.private_dns_name.as_ref()?;
            name.look_up?;
            let configuration = name.configuration(service.service_id);
            Some((service.service_id, configuration.name))
        });
        named.collect()
    }

    /// The answer to a look-up: the texts of the TXT records that are there. Does it change anything?
    pub fn verify_private_dns_name(
        &mut self,
        service_id: VpcEndpointServiceId,
        found: &[String],
    ) -> bool {
        let Some(name) = self.private_dns_name_mut(service_id) else {
            return false;
        };
        let value = name.configuration(service_id).value;
        let event = match (name.look_up.take(), found.contains(&value)) {
            (None, _) => return false,
            (Some(_), true) => DnsNameEvent::Found,
            (Some(LookUp::Started), false) => DnsNameEvent::Missing,
            (Some(LookUp::New), false) => return true,
        };
        self.name_happens(service_id, event);
        true
    }

    /// What has happened to private DNS names since this was asked last, oldest first.
    pub fn take_private_dns_events(&mut self) -> Vec<PrivateDnsNameEvent> {
        std::mem::take(&mut self.private_dns_events)
    }

    /// Takes a name to its next state, and remembers that it has changed.
    fn name_happens(&mut self, service_id: VpcEndpointServiceId, event: DnsNameEvent) {
        let at = self.now;
        let Some(name) = self.private_dns_name_mut(service_id) else {
            return;
        };
        let before = name.state;
        let state = before.after(event).unwrap_or(before);
        name.state = state;
        if state != before {
            self.private_dns_events.push(PrivateDnsNameEvent {
                at,
                service_id,
                state,
            });
        }
    }

    fn private_dns_name_mut(
        &mut self,
        service_id: VpcEndpointServiceId,
    ) -> Option<&mut PrivateDnsName> {
        let service = self.vpc_endpoint_services.find_mut(&service_id)?;
        service.private_dns_name.as_mut()
    }

    /// Services whose names stay are where they were with their proof.
    pub(in crate::control) fn carry_private_dns_names(&mut self, running: &Self) {
        for service in self.vpc_endpoint_services.iter_mut() {
            let old = running.vpc_endpoint_service(&service.service_id);
            let old = old.and_then(|service| service.private_dns_name.as_ref());
            if let (Some(new), Some(old)) = (&mut service.private_dns_name, old)
                && new.name == old.name
            {
                new.clone_from(old);
            }
        }
    }
}
