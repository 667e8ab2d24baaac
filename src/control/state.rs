//! The whole of what the operator wants, and the way in: [`ControlState::execute`].

use std::collections::HashMap;
use std::time::Duration;

use super::command::{Command, Created};
use super::error::{ControlError, ControlErrors, Named};
use super::id::*;
use super::model::*;
use super::store::{Places, Store};
use super::successor::Predecessor;
use crate::dataplane::config::{self, EniIdx};

/// Every object of every account in one region.
#[derive(Clone, Debug)]
pub struct ControlState {
    /// In whose name commands are executed.
    pub(super) owner: Owner,
    pub(super) mint: Mint,
    pub(super) indices: Indices,
    pub(super) vpcs: Store<VpcId, Vpc>,
    pub(super) subnets: Store<SubnetId, Subnet>,
    pub(super) network_interfaces: Store<NetworkInterfaceId, NetworkInterface>,
    pub(super) security_groups: Store<SecurityGroupId, SecurityGroup>,
    pub(super) instances: Store<InstanceId, Instance>,
    pub(super) resource_gateways: Store<ResourceGatewayId, ResourceGateway>,
    pub(super) resource_configurations: Store<ResourceConfigurationId, ResourceConfiguration>,
    pub(super) vpc_endpoints: Store<VpcEndpointId, VpcEndpoint>,
    pub(super) enis: HashMap<EniIdx, NetworkInterfaceId>,
    pub(super) namespaces: HashMap<String, InstanceId>,
    pub(super) gateway_names: HashMap<AccountName, ResourceGatewayId>,
    pub(super) configuration_names: HashMap<AccountName, ResourceConfigurationId>,
    pub(super) load_balancers: Store<LoadBalancerId, LoadBalancer>,
    pub(super) target_groups: Store<TargetGroupId, TargetGroup>,
    pub(super) listeners: Store<ListenerId, Listener>,
    pub(super) vpc_endpoint_services: Store<VpcEndpointServiceId, VpcEndpointService>,
    pub(super) hosted_zones: Store<HostedZoneId, HostedZone>,
    pub(super) record_sets: Store<RecordSetId, RecordSet>,
    pub(super) load_balancer_names: HashMap<AccountName, LoadBalancerId>,
    pub(super) target_group_names: HashMap<AccountName, TargetGroupId>,
    /// The time, as far as the state has been told it: since the UNIX epoch.
    pub(super) now: Duration,
    /// What has happened to endpoints, until somebody asks.
    pub(super) events: Vec<ConnectionEvent>,
    /// What has happened to private DNS names, likewise.
    pub(super) private_dns_events: Vec<PrivateDnsNameEvent>,
    /// While it is being made as the successor of another: what that one had.
    pub(super) predecessor: Predecessor,
}

/// The places of the data plane's tables that are in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Indices {
    pub(super) vpcs: Places<VpcId, config::Vpc>,
    pub(super) enis: Places<NetworkInterfaceId, config::Interface>,
    pub(super) groups: Places<SecurityGroupId, config::SecurityGroup>,
    pub(super) resources: Places<ResourceConfigurationId, config::Resource>,
    pub(super) load_balancers: Places<LoadBalancerId, config::LoadBalancer>,
    pub(super) listeners: Places<ListenerId, config::Listener>,
    pub(super) target_groups: Places<TargetGroupId, config::TargetGroup>,
    pub(super) targets: Places<(TargetGroupId, TargetId, u16), config::Target>,
}

impl ControlState {
    /// A state with nothing in it.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            mint: Mint::default(),
            indices: Indices::default(),
            vpcs: Store::default(),
            subnets: Store::default(),
            network_interfaces: Store::default(),
            security_groups: Store::default(),
            instances: Store::default(),
            resource_gateways: Store::default(),
            resource_configurations: Store::default(),
            vpc_endpoints: Store::default(),
            enis: HashMap::new(),
            namespaces: HashMap::new(),
            gateway_names: HashMap::new(),
            configuration_names: HashMap::new(),
            load_balancers: Store::default(),
            target_groups: Store::default(),
            listeners: Store::default(),
            vpc_endpoint_services: Store::default(),
            hosted_zones: Store::default(),
            record_sets: Store::default(),
            load_balancer_names: HashMap::new(),
            target_group_names: HashMap::new(),
            now: Duration::ZERO,
            events: Vec::new(),
            private_dns_events: Vec::new(),
            predecessor: Predecessor::default(),
        }
    }

    /// In whose name commands are executed.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Executes commands in the name of `owner`, who must be of the same region, from now on.
    pub fn act_as(&mut self, owner: Owner) {
        debug_assert_eq!(owner.region(), self.owner.region());
        self.owner = owner;
    }

    /// Whose the object with this id is.
    pub fn owner_of<I: Id>(&self, id: I) -> Option<&Owner> {
        self.mint.owner(id)
    }

    /// How messages name an object: by its token and what it is `known_as`.
    pub(super) fn named<I: Id>(
        &self,
        id: I,
        token: Option<&str>,
        known_as: impl std::fmt::Display,
    ) -> Named {
        let owner = self.owner_of(id).filter(|owner| **owner != self.owner);
        Named::new(token.unwrap_or_default(), known_as).of_stack(owner.and_then(Owner::stack))
    }

    /// Is it an object of the account in whose name commands are executed? To others it does not exist.
    pub(super) fn own<I: Id>(&self, id: I, property: &str) -> Result<(), ControlError> {
        let owner = self.owner_of(id).map(Owner::account_id);
        match owner == Some(self.owner.account_id()) {
            true => Ok(()),
            false => Err(ControlError::not_found(id, property)),
        }
    }

    /// The interface at this place of the data plane.
    pub fn eni_by_idx(&self, idx: EniIdx) -> Option<&NetworkInterface> {
        self.network_interface(self.enis.get(&idx)?)
    }

    /// Refuses a token that stands for an object of this kind already.
    pub(super) fn fresh<I: Id>(&self, token: &str) -> Result<(), ControlError> {
        match self.mint.used::<I>(&self.owner, token) {
            None => Ok(()),
            Some(id) => Err(ControlError::TokenReused {
                token: token.to_owned(),
                id: id.to_string(),
            }),
        }
    }
}

macro_rules! commands {
    (
        makes and changes { $($command:ident => $method:ident: $kind:ident;)+ }
        deletes { $($delete:ident => $remove:ident: $gone:ident;)+ }
    ) => {
        impl ControlState {
            /// Does what `command` says, or changes nothing.
            ///
            /// # Errors
            /// All that is wrong with the command, as far as one thing can be judged without another that is wrong.
            pub fn execute(&mut self, command: Command) -> Result<Created, ControlErrors> {
                match command {
                    $(Command::$command(command) => self.$method(command).map(Created::$kind),)+
                    $(Command::$delete(id) => self.$remove(id).map(|()| Created::$gone(id)),)+
                }
            }
        }
    };
}

commands! {
    makes and changes {
        CreateVpc => create_vpc: Vpc;
        CreateSubnet => create_subnet: Subnet;
        CreateSecurityGroup => create_security_group: SecurityGroup;
        AuthorizeSecurityGroupIngress => authorize_security_group_ingress: SecurityGroupRule;
        AuthorizeSecurityGroupEgress => authorize_security_group_egress: SecurityGroupRule;
        RunInstance => run_instance: Instance;
        CreateResourceGateway => create_resource_gateway: ResourceGateway;
        CreateResourceConfiguration => create_resource_configuration: ResourceConfiguration;
        CreateVpcEndpoint => create_vpc_endpoint: VpcEndpoint;
        CreateLoadBalancer => create_load_balancer: LoadBalancer;
        CreateTargetGroup => create_target_group: TargetGroup;
        CreateListener => create_listener: Listener;
        CreateVpcEndpointServiceConfiguration => create_vpc_endpoint_service: VpcEndpointService;
        CreateHostedZone => create_hosted_zone: HostedZone;
        CreateRecordSet => create_record_set: RecordSet;
        RegisterTargets => register_targets: TargetGroup;
        DeregisterTargets => deregister_targets: TargetGroup;
        AcceptVpcEndpointConnections => accept_vpc_endpoint_connections: VpcEndpointService;
        RejectVpcEndpointConnections => reject_vpc_endpoint_connections: VpcEndpointService;
        ModifyVpcEndpoint => modify_vpc_endpoint: VpcEndpoint;
        ModifyVpcEndpointServiceConfiguration => modify_vpc_endpoint_service: VpcEndpointService;
        ModifyVpcEndpointServicePermissions => modify_vpc_endpoint_service_permissions: VpcEndpointService;
        StartVpcEndpointServicePrivateDnsVerification => start_private_dns_verification: VpcEndpointService;
    }
    deletes {
        DeleteVpc => delete_vpc: Vpc;
        DeleteSubnet => delete_subnet: Subnet;
        DeleteSecurityGroup => delete_security_group: SecurityGroup;
        RevokeSecurityGroupRule => revoke_security_group_rule: SecurityGroupRule;
        TerminateInstance => terminate_instance: Instance;
        DeleteResourceGateway => delete_resource_gateway: ResourceGateway;
        DeleteResourceConfiguration => delete_resource_configuration: ResourceConfiguration;
        DeleteVpcEndpoint => delete_vpc_endpoint: VpcEndpoint;
        DeleteLoadBalancer => delete_load_balancer: LoadBalancer;
        DeleteTargetGroup => delete_target_group: TargetGroup;
        DeleteListener => delete_listener: Listener;
        DeleteVpcEndpointServiceConfiguration => delete_vpc_endpoint_service: VpcEndpointService;
        DeleteHostedZone => delete_hosted_zone: HostedZone;
        DeleteRecordSet => delete_record_set: RecordSet;
    }
}

macro_rules! accessors {
    ($($one:ident, $all:ident: $id:ident => $object:ident;)+) => {
        impl ControlState {
            $(
                #[doc = concat!("The ", stringify!($object), " with this id.")]
                pub fn $one(&self, id: &$id) -> Option<&$object> {
                    self.$all.find(id)
                }

                #[doc = concat!("Every ", stringify!($object), ", in the order of their creation.")]
                pub fn $all(&self) -> impl Iterator<Item = &$object> {
                    self.$all.iter()
                }
            )+
        }
    };
}

accessors! {
    vpc, vpcs: VpcId => Vpc;
    subnet, subnets: SubnetId => Subnet;
    network_interface, network_interfaces: NetworkInterfaceId => NetworkInterface;
    security_group, security_groups: SecurityGroupId => SecurityGroup;
    instance, instances: InstanceId => Instance;
    resource_gateway, resource_gateways: ResourceGatewayId => ResourceGateway;
    resource_configuration, resource_configurations: ResourceConfigurationId => ResourceConfiguration;
    vpc_endpoint, vpc_endpoints: VpcEndpointId => VpcEndpoint;
    load_balancer, load_balancers: LoadBalancerId => LoadBalancer;
    target_group, target_groups: TargetGroupId => TargetGroup;
    listener, listeners: ListenerId => Listener;
    vpc_endpoint_service, vpc_endpoint_services: VpcEndpointServiceId => VpcEndpointService;
    hosted_zone, hosted_zones: HostedZoneId => HostedZone;
    record_set, record_sets: RecordSetId => RecordSet;
}

macro_rules! names {
    ($($named:ident: $id:ident in $all:ident;)+) => {
        impl ControlState {
            $(
                /// How messages name it.
                pub(super) fn $named(&self, id: $id) -> Named {
                    let token = self.$all.find(&id).map(|object| object.client_token.as_str());
                    self.named(id, token, id)
                }
            )+
        }
    };
}

names! {
    named_vpc: VpcId in vpcs;
    named_subnet: SubnetId in subnets;
    named_security_group: SecurityGroupId in security_groups;
    named_instance: InstanceId in instances;
    named_resource_gateway: ResourceGatewayId in resource_gateways;
    named_resource_configuration: ResourceConfigurationId in resource_configurations;
    named_vpc_endpoint: VpcEndpointId in vpc_endpoints;
    named_vpc_endpoint_service: VpcEndpointServiceId in vpc_endpoint_services;
    named_listener: ListenerId in listeners;
    named_hosted_zone: HostedZoneId in hosted_zones;
}
