//! The topology as packets see it: immutable, replaced as a whole, looked at once per batch.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::mem;
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::Settings;
use super::balance::Balancers;
use super::config::{
    DataplaneConfig, EndpointId, EniIdx, Interface, Resource, Role, View, Vpc, VpcIdx,
};
use super::dns::Zones;
use super::dropped::Dropped;
use super::eni::Eni;
use super::first::is_instance;
use super::groups::Groups;
use super::health::{self, Plan};
use super::idx::Table;
use super::names::{self, Known};
use super::resolver::Host;
use super::verdict::DropReason;
use crate::net::Addr;

/// One state of the configuration.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) enis: Table<Interface, Arc<Eni>>,
    pub(super) vpcs: Vpcs,
    endpoint_ids: Table<Interface, EndpointId>,
    pub(super) groups: Groups,
    pub(super) resources: Table<Resource>,
    /// Where the resources that are names are.
    pub(super) names: Table<Resource, Arc<Known>>,
    pub(super) resolvers: Table<Vpc, Host>,
    /// What everybody sees.
    public: Zones,
    pub(super) balancers: Balancers,
    /// Gateways, and load balancers' nodes, that serve more than one endpoint.
    shared: HashSet<EniIdx, FixedState>,
    /// VPCs that have more than one instance.
    crowded: HashSet<VpcIdx, FixedState>,
}

/// The `local` route of every VPC.
#[derive(Default)]
pub(super) struct Vpcs {
    table: Table<Vpc, Routes>,
}

struct Routes {
    cidrs: Vec<IpNet>,
    /// Addresses that no instance may have.
    reserved: HashSet<Addr, FixedState>,
    addresses: HashMap<Addr, EniIdx, FixedState>,
}

impl Snapshot {
    /// The snapshot of `config`, and the health checks that go with it; interfaces that were there `before` keep their counters,
    /// stacks and targets' health.
    pub(super) fn new(
        mut config: DataplaneConfig,
        settings: &Settings,
        before: &Self,
    ) -> (Self, Plan) {
        let balancers = Balancers::new(&config, settings.seed, &before.balancers);
        let public = Zones::public(&config.public_zones);
        let names = names::known(&config.resources, before);
        let resolvers = resolvers(&config.vpcs, &public, settings.mtu, before);
        let vpcs = Vpcs::new(mem::take(&mut config.vpcs), &config.enis);
        let plan = health::plan(&config, |vpc, address| {
            let idx = vpcs.lookup(vpc, address).ok()?;
            config.enis.get(idx).map(|interface| interface.role)
        });
        let groups = Groups::new(
            config.groups,
            config.enis.iter().map(|(_, interface)| interface),
        );
        let shared = shared_gateways(&config.enis);
        let crowded = crowded_vpcs(&config.enis);
        let mut enis = Table::new();
        for (idx, interface) in config.enis.into_entries() {
            let before = before.enis.get(idx).map(Arc::as_ref);
            let eni = Eni::new(idx, interface, settings.workers, before);
            enis.insert(idx, Arc::new(eni));
        }
        let snapshot = Self {
            enis,
            vpcs,
            endpoint_ids: config.endpoint_ids,
            groups,
            resources: config.resources,
            names,
            resolvers,
            public,
            balancers,
            shared,
            crowded,
        };
        (snapshot, plan)
    }

    /// The interface at `idx`.
    #[inline]
    pub(super) fn eni(&self, idx: EniIdx) -> Result<&Eni, DropReason> {
        self.enis
            .get(idx)
            .map(Arc::as_ref)
            .ok_or(DropReason::InterfaceGone)
    }

    /// The id of the endpoint that has this interface; `None` for a load balancer's node.
    pub(super) fn endpoint_id(&self, idx: EniIdx) -> Result<Option<&EndpointId>, Dropped> {
        match self.eni(idx) {
            Ok(_) => Ok(self.endpoint_ids.get(idx)),
            Err(reason) => Err(Dropped::at(idx, reason)),
        }
    }

    /// Does this gateway serve more than one endpoint?
    pub(super) fn is_shared(&self, gateway: EniIdx) -> bool {
        self.shared.contains(&gateway)
    }

    /// Whether other instances may use the endpoints that this interface may use.
    pub(super) fn has_neighbours(&self, source: &Eni) -> bool {
        self.crowded.contains(&source.interface.vpc)
    }

    /// The zones of a view; a VPC without a resolver has none of its own.
    pub(super) fn zones(&self, view: View) -> &Zones {
        match view {
            View::Public => &self.public,
            View::Vpc(vpc) => self.resolvers.get(vpc).map_or(&self.public, |it| &it.zones),
        }
    }

    /// Whether no instance of this VPC, nor a host that it forwards for, can have this address: it is no unicast address, or is
    /// one of the network itself, or stands for hosts elsewhere.
    pub(super) fn is_reserved(&self, vpc: VpcIdx, address: Addr) -> bool {
        let is_special = match address.octets_v4() {
            Some([0 | 127 | 224.., ..] | [169, 254, ..]) => true,
            Some(_) | None => false,
        };
        is_special
            || self.vpcs.reserves(vpc, address)
            || self.lookup(vpc, address).is_ok_and(|eni| !is_instance(eni))
    }

    /// The interface that has this address in this VPC.
    pub(super) fn lookup(&self, vpc: VpcIdx, address: Addr) -> Result<&Eni, DropReason> {
        self.eni(self.vpcs.lookup(vpc, address)?)
    }
}

/// The resolvers of all VPCs that have one.
fn resolvers(vpcs: &Table<Vpc>, public: &Zones, mtu: u16, before: &Snapshot) -> Table<Vpc, Host> {
    let mut resolvers = Table::new();
    for (idx, vpc) in vpcs.iter() {
        if let Some(resolver) = &vpc.resolver {
            let before = before.resolvers.get(idx);
            resolvers.insert(idx, Host::new(idx, resolver, public, mtu, before));
        }
    }
    resolvers
}

/// The gateways and nodes to which more than one endpoint leads.
fn shared_gateways(enis: &Table<Interface>) -> HashSet<EniIdx, FixedState> {
    repeated(
        enis.iter()
            .filter_map(|(_, interface)| match interface.role {
                Role::Endpoint(destination) => destination.gateway(),
                _ => None,
            }),
    )
}

/// The VPCs that have more than one instance.
fn crowded_vpcs(enis: &Table<Interface>) -> HashSet<VpcIdx, FixedState> {
    repeated(
        enis.iter()
            .filter_map(|(_, interface)| match interface.role {
                Role::Instance { .. } => Some(interface.vpc),
                _ => None,
            }),
    )
}

/// Those that come more than once.
fn repeated<T: Copy + Eq + Hash>(all: impl Iterator<Item = T>) -> HashSet<T, FixedState> {
    let mut seen = HashSet::<_, FixedState>::default();
    all.filter(|it| !seen.insert(*it)).collect()
}

impl Vpcs {
    fn new(vpcs: Table<Vpc>, enis: &Table<Interface>) -> Self {
        let mut table = Table::new();
        for (idx, vpc) in vpcs.into_entries() {
            table.insert(
                idx,
                Routes {
                    cidrs: vpc.cidrs,
                    reserved: vpc.reserved.into_iter().collect(),
                    addresses: HashMap::default(),
                },
            );
        }
        for (idx, interface) in enis.iter() {
            if let Some(routes) = table.get_mut(interface.vpc) {
                routes
                    .addresses
                    .extend(interface.addresses.iter().map(|address| (*address, idx)));
            }
        }
        Self { table }
    }

    fn reserves(&self, vpc: VpcIdx, address: Addr) -> bool {
        let routes = self.table.get(vpc);
        routes.is_some_and(|routes| routes.reserved.contains(&address))
    }

    fn lookup(&self, vpc: VpcIdx, destination: Addr) -> Result<EniIdx, DropReason> {
        let routes = self.table.get(vpc).ok_or(DropReason::NoRoute)?;
        match routes.addresses.get(&destination) {
            Some(eni) => Ok(*eni),
            None if routes
                .cidrs
                .iter()
                .any(|cidr| cidr.contains(&destination.ip())) =>
            {
                Err(DropReason::NoSuchAddress)
            }
            None => Err(DropReason::NoRoute),
        }
    }
}
