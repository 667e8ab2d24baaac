//! The whole of what the operator wants, and the way in: [`ControlState::execute`].

use std::collections::HashMap;

use super::command::{Command, Created};
use super::error::{ControlError, ControlErrors, Named};
use super::id::*;
use super::model::*;
use super::store::Store;
use crate::dataplane::IdxAllocator;
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
}

/// The places of the data plane's tables that are in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Indices {
    pub(super) vpcs: IdxAllocator<config::Vpc>,
    pub(super) enis: IdxAllocator<config::Interface>,
    pub(super) groups: IdxAllocator<config::SecurityGroup>,
    pub(super) resources: IdxAllocator<config::Resource>,
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
        }
    }

    /// Does what `command` says, or changes nothing.
    ///
    /// # Errors
    /// All that is wrong with the command, as far as one thing can be judged without another that is wrong.
    pub fn execute(&mut self, command: Command) -> Result<Created, ControlErrors> {
        match command {
            Command::CreateVpc(command) => self.create_vpc(command).map(Created::Vpc),
            Command::CreateSubnet(command) => self.create_subnet(command).map(Created::Subnet),
            Command::CreateSecurityGroup(command) => self
                .create_security_group(command)
                .map(Created::SecurityGroup),
            Command::AuthorizeSecurityGroupIngress(command) => self
                .authorize_security_group_ingress(command)
                .map(Created::SecurityGroupRule),
            Command::AuthorizeSecurityGroupEgress(command) => self
                .authorize_security_group_egress(command)
                .map(Created::SecurityGroupRule),
            Command::RunInstance(command) => self.run_instance(command).map(Created::Instance),
            Command::CreateResourceGateway(command) => self
                .create_resource_gateway(command)
                .map(Created::ResourceGateway),
            Command::CreateResourceConfiguration(command) => self
                .create_resource_configuration(command)
                .map(Created::ResourceConfiguration),
            Command::CreateVpcEndpoint(command) => {
                self.create_vpc_endpoint(command).map(Created::VpcEndpoint)
            }
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
}

macro_rules! names {
    ($($named:ident: $id:ident in $all:ident;)+) => {
        impl ControlState {
            $(
                /// How messages name it.
                pub(super) fn $named(&self, id: $id) -> Named {
                    let token = self.$all.find(&id).map(|object| object.client_token.as_str());
                    let owner = self.owner_of(id).filter(|owner| **owner != self.owner);
                    Named::new(token.unwrap_or_default(), id).of_stack(owner.and_then(Owner::stack))
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
}
