//! An endpoint service: what a provider offers to the endpoints of others, behind its load balancers.

use std::time::Duration;

use super::{LoadBalancer, NetworkInterface, Principal, PrivateDnsName, Tags, VpcEndpoint};
use crate::control::checks::{All, each};
use crate::control::command::{
    CreateVpcEndpointServiceConfiguration, ModifyVpcEndpointServiceConfiguration,
};
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::*;
use crate::control::lifecycle::{Event, ServiceEvent, ServiceState, State};
use crate::control::{ControlState, parse};

/// A VPC endpoint service of type Interface.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcEndpointService {
    /// Its id.
    pub service_id: VpcEndpointServiceId,
    /// What endpoints name it by: `com.amazonaws.vpce.<region>.vpce-svc-<id>`.
    pub service_name: String,
    /// The provider's account.
    pub owner_id: String,
    /// Can endpoints be asked for?
    #[serde(rename = "ServiceState")]
    pub state: ServiceState,
    /// Must each endpoint be accepted?
    pub acceptance_required: bool,
    /// After how long a request that nobody has accepted expires.
    pub acceptance_timeout: Duration,
    /// What it offers; never none.
    #[serde(skip)]
    pub load_balancers: Vec<LoadBalancerId>,
    /// Who may ask for endpoints, beside its own account.
    #[serde(skip)]
    pub allowed_principals: Vec<Principal>,
    /// By which consumers' endpoints may answer, once it is verified.
    #[serde(skip)]
    pub private_dns_name: Option<PrivateDnsName>,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

const LOAD_BALANCERS: &str = "NetworkLoadBalancerArns";
const PRIVATE_NAME: &str = "Metadata.privlink.PrivateDnsName";
const TIMEOUT: &str = "Metadata.privlink.AcceptanceTimeout";
/// AWS does not publish its own.
const ACCEPTANCE_TIMEOUT: i64 = 7 * 24 * 3600;

impl ControlState {
    pub(in crate::control) fn create_vpc_endpoint_service(
        &mut self,
        command: CreateVpcEndpointServiceConfiguration,
    ) -> Result<VpcEndpointServiceId, ControlErrors> {
        self.fresh::<VpcEndpointServiceId>(&command.client_token)?;
        let given = command.private_dns_name.as_deref();
        let (load_balancers, private_dns_name, timeout) = (
            self.own_load_balancers(&command.network_load_balancer_arns, LOAD_BALANCERS),
            given
                .map(|given| PrivateDnsName::parse(PRIVATE_NAME, given))
                .transpose(),
            parse::number(
                TIMEOUT,
                command.acceptance_timeout.unwrap_or(ACCEPTANCE_TIMEOUT),
                (1, 365 * 24 * 3600),
                "1 second to a year",
            ),
        )
            .all()?;
        if load_balancers.is_empty() {
            return Err(ControlError::Missing {
                property: LOAD_BALANCERS.to_owned(),
                wanted: "a service is offered by at least one network load balancer",
            }
            .into());
        }
        let service_id: VpcEndpointServiceId = self.mint.mint(&self.owner, &command.client_token);
        let service = VpcEndpointService {
            service_id,
            service_name: service_name(self.owner.region(), service_id),
            owner_id: self.owner.account_id().to_owned(),
            state: ServiceState::Pending,
            acceptance_required: command.acceptance_required.unwrap_or(true),
            acceptance_timeout: Duration::from_secs(timeout),
            load_balancers,
            allowed_principals: Vec::new(),
            private_dns_name,
            tags: command.tags,
            client_token: command.client_token,
        };
        self.vpc_endpoint_services.insert(service_id, service);
        self.provision_service(service_id);
        Ok(service_id)
    }

    pub(in crate::control) fn modify_vpc_endpoint_service(
        &mut self,
        command: ModifyVpcEndpointServiceConfiguration,
    ) -> Result<VpcEndpointServiceId, ControlErrors> {
        let service_id = command.service_id;
        let state = self.service_after(service_id, ServiceEvent::Modify)?;
        let service = self
            .vpc_endpoint_services
            .require(service_id, "ServiceId")?;
        const ADD: &str = "AddNetworkLoadBalancerArns";
        const REMOVE: &str = "RemoveNetworkLoadBalancerArns";
        let (added, ()) = (
            self.own_load_balancers(&command.add_network_load_balancer_arns, ADD),
            self.check_offered(service, &command.remove_network_load_balancer_arns, REMOVE),
        )
            .all()?;
        let mut load_balancers = service.load_balancers.clone();
        load_balancers.retain(|id| !command.remove_network_load_balancer_arns.contains(id));
        load_balancers.extend(
            added
                .into_iter()
                .filter(|id| !service.load_balancers.contains(id)),
        );
        if load_balancers.is_empty() {
            return Err(ControlError::Missing {
                property: REMOVE.to_owned(),
                wanted: "a service keeps at least one network load balancer; add another, or delete the service",
            }
            .into());
        }
        if let Some(service) = self.vpc_endpoint_services.find_mut(&service_id) {
            service.state = state;
            service.load_balancers = load_balancers;
            service.acceptance_required = command
                .acceptance_required
                .unwrap_or(service.acceptance_required);
        }
        self.provision_service(service_id);
        // What stands behind its endpoints has changed, except for those that nobody has accepted.
        for id in self.endpoints_of(service_id) {
            let endpoint = self.vpc_endpoint(&id);
            let is_asking = endpoint.is_some_and(|e| e.state == State::PendingAcceptance);
            if !is_asking && self.happen(id, Event::Modify).is_ok() {
                self.provision(id);
            }
        }
        Ok(service_id)
    }

    pub(in crate::control) fn delete_vpc_endpoint_service(
        &mut self,
        service_id: VpcEndpointServiceId,
    ) -> Result<(), ControlErrors> {
        self.own(service_id, "ServiceId")?;
        self.check_service_deletion(service_id, |_| true)?;
        self.vpc_endpoint_services.remove(&service_id);
        self.mint.release(service_id);
        Ok(())
    }

    /// May a service go while those of its endpoints stay of which `stays` says so?
    ///
    /// # Errors
    /// Some of them are live.
    pub fn check_service_deletion(
        &self,
        service_id: VpcEndpointServiceId,
        stays: impl Fn(&VpcEndpoint) -> bool,
    ) -> Result<(), ControlError> {
        let endpoints = self.endpoints_of(service_id).into_iter();
        let endpoints = endpoints.filter_map(|id| self.vpc_endpoint(&id));
        let live = endpoints.filter(|e| e.state.is_live() && stays(e));
        let live = live.map(|e| e.vpc_endpoint_id);
        let live: Vec<_> = live
            .map(|id| format!("VPC endpoint {}", self.named_vpc_endpoint(id)))
            .collect();
        let event = ServiceEvent::Delete {
            has_live_endpoints: !live.is_empty(),
        };
        let service = self
            .vpc_endpoint_services
            .require(service_id, "ServiceId")?;
        let what = format!(
            "VPC endpoint service {}",
            self.named_vpc_endpoint_service(service_id)
        );
        match service.state.after(event) {
            Ok(_) => Ok(()),
            Err(refused) if live.is_empty() => Err(ControlError::State { what, refused }),
            Err(refused) => Err(ControlError::InUse {
                code: "ExistingVpcEndpointConnections",
                what,
                by: live,
                instead: refused.instead,
            }),
        }
    }

    /// The node through which an endpoint's interface in this zone reaches a service.
    pub fn service_node_in(
        &self,
        service_id: VpcEndpointServiceId,
        zone: &str,
    ) -> Option<&NetworkInterface> {
        let service = self.vpc_endpoint_service(&service_id)?;
        let mut load_balancers = service.load_balancers.iter();
        load_balancers.find_map(|id| self.node_in(*id, zone))
    }

    /// The zones in which a service has a node, in order.
    pub(super) fn service_zones(&self, service: &VpcEndpointService) -> Vec<String> {
        let load_balancers = service.load_balancers.iter();
        let nodes = load_balancers
            .filter_map(|id| self.load_balancer(id))
            .flat_map(|load_balancer: &LoadBalancer| &load_balancer.network_interface_ids);
        let zones = nodes
            .filter_map(|id| self.network_interface(id))
            .map(|node| node.availability_zone.clone());
        let zones: std::collections::BTreeSet<_> = zones.collect();
        zones.into_iter().collect()
    }

    /// The endpoints that lead to a service, whatever their states.
    pub(super) fn endpoints_of(&self, service_id: VpcEndpointServiceId) -> Vec<VpcEndpointId> {
        let of_service = |e: &&VpcEndpoint| e.service_id() == Some(service_id);
        let endpoints = self.vpc_endpoints.iter().filter(of_service);
        endpoints.map(|endpoint| endpoint.vpc_endpoint_id).collect()
    }

    /// The state that a service of the commanding account would have.
    fn service_after(
        &self,
        service_id: VpcEndpointServiceId,
        event: ServiceEvent,
    ) -> Result<ServiceState, ControlError> {
        self.own(service_id, "ServiceId")?;
        let service = self
            .vpc_endpoint_services
            .require(service_id, "ServiceId")?;
        service
            .state
            .after(event)
            .map_err(|refused| ControlError::State {
                what: format!(
                    "VPC endpoint service {}",
                    self.named_vpc_endpoint_service(service_id)
                ),
                refused,
            })
    }

    /// What was being made of a service has been.
    fn provision_service(&mut self, service_id: VpcEndpointServiceId) {
        let Some(service) = self.vpc_endpoint_service(&service_id) else {
            return;
        };
        let has_nodes = !self.service_zones(service).is_empty();
        let state = service.state.after(ServiceEvent::Provisioned { has_nodes });
        if let Some(service) = self.vpc_endpoint_services.find_mut(&service_id)
            && let Ok(state) = state
        {
            service.state = state;
        }
    }

    /// The load balancers that a property lists: each there, once, and of the commanding account.
    fn own_load_balancers(
        &self,
        given: &[LoadBalancerId],
        list: &str,
    ) -> Result<Vec<LoadBalancerId>, ControlErrors> {
        each(given.iter().enumerate().map(|(index, id)| {
            let property = parse::item(list, index);
            self.own(*id, &property)?;
            match given.iter().take(index).any(|earlier| earlier == id) {
                false => Ok(*id),
                true => Err(ControlError::Repeated {
                    property,
                    given: format!("load balancer {}", self.named_load_balancer(*id)),
                }),
            }
        }))
    }

    /// Does the service offer each of them?
    fn check_offered(
        &self,
        service: &VpcEndpointService,
        given: &[LoadBalancerId],
        list: &str,
    ) -> Result<(), ControlErrors> {
        each(given.iter().enumerate().map(
            |(index, id)| match service.load_balancers.contains(id) {
                true => Ok(()),
                false => Err(ControlError::NotListed {
                    property: parse::item(list, index),
                    given: format!("load balancer {}", self.named_load_balancer(*id)),
                    list: format!(
                        "the load balancers of VPC endpoint service {}",
                        self.named_vpc_endpoint_service(service.service_id)
                    ),
                }),
            },
        ))?;
        Ok(())
    }
}

/// `com.amazonaws.vpce.us-west-2.vpce-svc-...`
fn service_name(region: &str, service_id: VpcEndpointServiceId) -> String {
    format!("com.amazonaws.vpce.{region}.{service_id}")
}

impl ControlState {
    /// The service of this name; whether the asking account may know of it is another question.
    pub(super) fn service_named(&self, name: &str) -> Option<&VpcEndpointService> {
        let id = name.rsplit('.').next()?.parse().ok()?;
        self.vpc_endpoint_service(&id)
            .filter(|service| service.service_name == name)
    }
}
