//! A state that takes the place of one that runs: made anew by commands, it keeps what the other one has in use.
//!
//! [`ControlState::successor`] begins it, commands fill it (a template's, mostly), [`ControlState::succeed`] ends it. What has the
//! same id keeps its place in the data plane and its automatic addresses, so that flows live on; what was decided at run
//! time (an accepted endpoint, a registered target) stays decided.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::checks::each;
use super::error::{ControlError, ControlErrors};
use super::id::*;
use super::ipam::AddressPool;
use super::lifecycle::{Event, State};
use super::model::*;
use super::state::{ControlState, Indices};

/// What the state that is to be succeeded has.
#[derive(Clone, Debug, Default)]
pub(super) struct Predecessor {
    addresses: HashMap<SubnetId, Vec<(Ipv4Addr, NetworkInterfaceId)>>,
    /// What interfaces are, which are still to be made.
    descriptions: HashMap<NetworkInterfaceId, String>,
    endpoints: HashSet<VpcEndpointId>,
    /// Those with private DNS.
    private_dns: HashSet<VpcEndpointId>,
}

impl Predecessor {
    /// The addresses of a subnet, with those kept that interfaces had in it.
    pub(super) fn addresses(&self, subnet_id: SubnetId, range: Ipv4Net) -> AddressPool {
        let mut pool = AddressPool::new(range);
        for (address, interface) in self.addresses.get(&subnet_id).into_iter().flatten() {
            pool.keep(*address, *interface);
        }
        pool
    }

    /// What the interface is that has an address kept.
    pub(super) fn description(&self, id: NetworkInterfaceId) -> Option<&str> {
        self.descriptions.get(&id).map(String::as_str)
    }

    /// Had it this endpoint? Then nobody asks for it anew.
    pub(super) fn has_endpoint(&self, id: VpcEndpointId) -> bool {
        self.endpoints.contains(&id)
    }

    /// Had this endpoint private DNS? Then it keeps it, whatever its provider has done.
    pub(super) fn has_private_dns(&self, id: VpcEndpointId) -> bool {
        self.private_dns.contains(&id)
    }
}

impl ControlState {
    /// The beginning of `running`'s successor. With the `survivors`, a successor that was made before, their interfaces keep
    /// their addresses; without, none does, so that what is going away keeps nothing from what comes.
    pub fn successor(running: &Self, survivors: Option<&Self>) -> Self {
        let mut state = Self::new(running.owner.clone());
        state.now = running.now;
        state.indices = running.kept_indices();
        let survives = |interface: &&NetworkInterface| {
            survivors.is_some_and(|state| {
                state
                    .network_interface(&interface.network_interface_id)
                    .is_some()
            })
        };
        for interface in running.network_interfaces().filter(survives) {
            let of_subnet = state.predecessor.addresses.entry(interface.subnet_id);
            let addresses = interface.private_ip_addresses.iter();
            let kept = addresses.map(|address| (*address, interface.network_interface_id));
            of_subnet.or_default().extend(kept);
            let descriptions = &mut state.predecessor.descriptions;
            let description = interface.description.clone();
            descriptions.insert(interface.network_interface_id, description);
        }
        state.predecessor.endpoints = running.vpc_endpoints().map(|e| e.vpc_endpoint_id).collect();
        let private_dns = running.vpc_endpoints().filter(|e| e.private_dns_enabled);
        state.predecessor.private_dns = private_dns.map(|e| e.vpc_endpoint_id).collect();
        state
    }

    /// Has every interface of `running` that is in this state too its addresses, without that they were kept for it? Then what is
    /// new has not taken them either.
    pub fn has_addresses_of(&self, running: &Self) -> bool {
        running.network_interfaces().all(|old| {
            let new = self.network_interface(&old.network_interface_id);
            new.is_none_or(|new| new.private_ip_addresses == old.private_ip_addresses)
        })
    }

    fn kept_indices(&self) -> Indices {
        let targets = self.target_groups().flat_map(|group| {
            let targets = group.targets.iter();
            targets.map(|target| ((group.id, target.id, target.port), target.idx))
        });
        let indices = &self.indices;
        Indices {
            vpcs: indices
                .vpcs
                .keep(self.vpcs().map(|vpc| (vpc.vpc_id, vpc.idx))),
            enis: indices.enis.keep(
                self.network_interfaces()
                    .map(|interface| (interface.network_interface_id, interface.idx)),
            ),
            groups: indices.groups.keep(
                self.security_groups()
                    .map(|group| (group.group_id, group.idx)),
            ),
            resources: indices
                .resources
                .keep(self.resource_configurations().map(|c| (c.id, c.idx))),
            load_balancers: indices
                .load_balancers
                .keep(self.load_balancers().map(|b| (b.id, b.idx))),
            listeners: indices
                .listeners
                .keep(self.listeners().map(|l| (l.id, l.idx))),
            target_groups: indices
                .target_groups
                .keep(self.target_groups().map(|g| (g.id, g.idx))),
            targets: indices.targets.keep(targets),
        }
    }

    /// Ends a successor of `running`: what was decided at run time is decided here too. Run time is where `running` differs from
    /// `base`, the successor that was made before it; a change of what the two successors say overrules that. So an update with
    /// an unchanged template changes nothing, as in CloudFormation, which sees no drift.
    ///
    /// # Errors
    /// An endpoint's change is not allowed in the state that it is in.
    pub fn succeed(&mut self, running: &Self, base: &Self) -> Result<(), ControlErrors> {
        self.delete_again(running, base);
        self.register_again(running, base);
        self.carry_private_dns_names(running);
        self.carry_endpoints(running)?;
        let Indices {
            vpcs,
            enis,
            groups,
            resources,
            load_balancers,
            listeners,
            target_groups,
            targets,
        } = &mut self.indices;
        vpcs.release_kept();
        enis.release_kept();
        groups.release_kept();
        resources.release_kept();
        load_balancers.release_kept();
        listeners.release_kept();
        target_groups.release_kept();
        targets.release_kept();
        for subnet in self.subnets.iter_mut() {
            subnet.addresses.release_kept();
        }
        self.predecessor = Predecessor::default();
        Ok(())
    }

    /// An endpoint that its consumer has deleted stays deleted until whoever made it asks for another one in its place.
    fn delete_again(&mut self, running: &Self, base: &Self) {
        let deleted = self.vpc_endpoints().filter(|new| {
            let id = new.vpc_endpoint_id;
            let made = base.vpc_endpoint(&id);
            running.vpc_endpoint(&id).is_none() && made.is_some_and(|made| made.is_same_as(new))
        });
        let deleted: Vec<_> = deleted.map(|endpoint| endpoint.vpc_endpoint_id).collect();
        for id in deleted {
            self.remove_vpc_endpoint(id);
            self.events.retain(|event| event.vpc_endpoint_id != id);
        }
    }

    /// Targets registered and deregistered at run time, unless their group's own have been changed; and those that drain.
    fn register_again(&mut self, running: &Self, base: &Self) {
        let now = self.now;
        let (ids, indices) = (&self.mint, &mut self.indices.targets);
        for group in self.target_groups.iter_mut() {
            let Some(old) = running.target_group(&group.id) else {
                continue;
            };
            let is_known = |target: &Target| match target.id {
                TargetId::Instance(id) => ids.owner(id).is_some(),
                TargetId::Ip(_) => true,
            };
            let same = |a: &Target, b: &Target| (a.id, a.port) == (b.id, b.port);
            let as_made = base.target_group(&group.id).is_some_and(|made| {
                let both = || made.targets.iter().zip(&group.targets);
                made.targets.len() == group.targets.len() && both().all(|(a, b)| same(a, b))
            });
            if as_made {
                group.targets.iter_mut().for_each(|target| {
                    let running = old.targets.iter().find(|old| same(old, target));
                    target.draining_since = match running {
                        Some(running) => running.draining_since,
                        None => Some(now),
                    };
                });
            }
            for target in old.targets.iter().filter(|target| is_known(target)) {
                if group.targets.iter().all(|new| !same(new, target)) {
                    let key = (group.id, target.id, target.port);
                    let draining_since = match as_made {
                        true => target.draining_since,
                        false => target.draining_since.or(Some(now)),
                    };
                    group.targets.push(Target {
                        idx: indices.allocate(key),
                        draining_since,
                        ..target.clone()
                    });
                }
            }
        }
    }

    /// Endpoints that were there before are in the state that they were in, unless they are changed.
    fn carry_endpoints(&mut self, running: &Self) -> Result<(), ControlErrors> {
        let endpoints: Vec<_> = self.vpc_endpoints().cloned().collect();
        let both = endpoints.iter().filter_map(|new| {
            let old = running.vpc_endpoint(&new.vpc_endpoint_id)?;
            (old.destination == new.destination).then_some((new, old))
        });
        each(both.map(|(new, old)| self.carry_on(new, running, old)))?;
        let gone = running.vpc_endpoints().filter(|old| {
            let new = self.vpc_endpoint(&old.vpc_endpoint_id);
            new.is_none_or(|new| new.destination != old.destination)
        });
        let deleted: Vec<_> = gone
            .map(|old| ConnectionEvent::deleted(old, self.now))
            .collect();
        self.events.splice(0..0, deleted);
        Ok(())
    }

    fn carry_on(
        &mut self,
        new: &VpcEndpoint,
        running: &Self,
        old: &VpcEndpoint,
    ) -> Result<(), ControlError> {
        let id = new.vpc_endpoint_id;
        self.events.retain(|event| event.vpc_endpoint_id != id);
        if let Some(endpoint) = self.vpc_endpoints.find_mut(&id) {
            endpoint.state = old.state;
            endpoint.requested_at = old.requested_at;
        }
        let addresses = |state: &Self, endpoint: &VpcEndpoint| -> Vec<_> {
            let interfaces = endpoint.network_interface_ids.iter();
            let interfaces = interfaces.filter_map(|id| state.network_interface(id));
            interfaces.map(|i| i.private_ip_addresses.clone()).collect()
        };
        let is_same = (new.vpc_id, &new.subnet_ids, &new.groups)
            == (old.vpc_id, &old.subnet_ids, &old.groups)
            && new.private_dns_enabled == old.private_dns_enabled
            && addresses(self, new) == addresses(running, old);
        if !is_same {
            self.happen(id, Event::Modify)?;
        }
        let service = new
            .service_id()
            .and_then(|id| self.vpc_endpoint_service(&id));
        let admitted = service.is_none_or(|service| service.admits(&new.principal));
        if !admitted && old.state.is_live() {
            return self.happen(id, Event::PrincipalRemoved);
        }
        if is_same && matches!(old.state, State::Available | State::Partial | State::Failed) {
            // What stands behind it may be in other zones now.
            if let Some(endpoint) = self.vpc_endpoints.find_mut(&id) {
                endpoint.state = State::Pending;
            }
        }
        self.provision(id);
        Ok(())
    }
}
