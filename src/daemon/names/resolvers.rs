//! The VPCs' resolvers, as people see them.

use std::collections::HashSet;

use super::Names;
use crate::control::{ControlState, Vpc};
use crate::daemon::describe::Fabric;
use crate::daemon::{resolv_conf, view};
use crate::dataplane::ResolverCounters;
use crate::dataplane::config::View;

impl Names {
    /// Forgets what was asked upstream for VPCs that are gone.
    pub fn forget_vpcs_but_of(&self, state: &ControlState) {
        let stand: HashSet<_> = state.vpcs().map(|vpc| vpc.idx).collect();
        self.upstream.retain(|view| match view {
            View::Public => true,
            View::Vpc(idx) => stand.contains(&idx),
        });
    }

    /// Every VPC's resolver, with what it has counted.
    pub fn resolvers(&self, fabric: &Fabric) -> Vec<view::Resolver> {
        let counters = self.dataplane.resolver_counters();
        let resolver = |vpc: &Vpc| {
            let (_, counted) = counters.iter().find(|(idx, _)| *idx == vpc.idx)?;
            Some(self.resolver(fabric, vpc, counted))
        };
        fabric.state.vpcs().filter_map(resolver).collect()
    }

    fn resolver(&self, fabric: &Fabric, vpc: &Vpc, counted: &ResolverCounters) -> view::Resolver {
        let (stack, owner_id) = fabric.stack_and_account(vpc.vpc_id);
        let address = resolv_conf::nameserver(vpc).map(|address| address.to_string());
        view::Resolver {
            vpc: vpc.client_token.clone(),
            vpc_id: vpc.vpc_id.to_string(),
            stack,
            owner_id,
            address: address.unwrap_or_default(),
            upstream: self.upstream.servers(),
            queries_udp: counted.udp,
            queries_tcp: counted.tcp,
            from_hosted_zones: counted.hosted_zones,
            from_private_dns: counted.private_dns,
            from_endpoints: counted.endpoints,
            from_instances: counted.instances,
            from_upstream: counted.upstream,
            nxdomain: counted.nxdomain,
            nodata: counted.nodata,
            servfail: counted.servfail,
            refused: counted.refused,
            formerr: counted.formerr,
            truncated: counted.truncated,
            limited: counted.limited,
        }
    }
}
