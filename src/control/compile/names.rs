//! What the resolver of each VPC answers by itself.
//!
//! Invariant: without both of its DNS attributes a VPC has no zones, as on AWS, where private hosted zones, private DNS and the
//! names of instances need both; without DNS support it has no resolver either. Source: VPC User Guide, "DNS attributes for
//! your VPC"; Route 53 Developer Guide, "Domain names that VPC Resolver creates autodefined system rules for".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData};
use ipnet::Ipv4Net;

use super::endpoint_names::private_zones;
use crate::control::id::VpcId;
use crate::control::{
    self, Answer, ControlState, DnsResolution, DomainName, HostedZone, Instance, RecordValue,
    ResourceGateway,
};
use crate::dataplane::config::{
    DnsZone, NameKey, Origin, RecordData, RecordSet, Resolver, ResourceTarget, View,
};

/// How long what is said of an instance may be kept, in seconds.
const INSTANCE_TTL: u32 = 60;

/// The zones of a VPC's view, those first that count first where several have one name.
pub(super) type Views = HashMap<VpcId, Vec<Arc<DnsZone>>>;

/// The resolvers of the VPCs that have one.
pub(super) fn resolvers(state: &ControlState) -> HashMap<VpcId, Resolver> {
    let mut views = Views::new();
    hosted_zones(state, &mut views);
    private_zones(state, &mut views);
    instance_zones(state, &mut views);
    let vpcs = state.vpcs().filter(|vpc| vpc.enable_dns_support);
    vpcs.map(|vpc| {
        let resolver = Resolver {
            addresses: vpc.resolver_addresses().map(Into::into).into(),
            zones: views.remove(&vpc.vpc_id).unwrap_or_default(),
        };
        (vpc.vpc_id, resolver)
    })
    .collect()
}

/// Each hosted zone, in the VPCs that see it.
fn hosted_zones(state: &ControlState, views: &mut Views) {
    for zone in state.hosted_zones() {
        let vpcs = zone.vpcs.iter().filter_map(|id| state.vpc(id));
        let vpcs: Vec<_> = vpcs.filter(|vpc| vpc.has_private_names()).collect();
        if vpcs.is_empty() {
            continue;
        }
        let Some(compiled) = hosted_zone(state, zone) else {
            continue;
        };
        for vpc in vpcs {
            let zones = views.entry(vpc.vpc_id).or_default();
            zones.push(Arc::clone(&compiled));
        }
    }
}

fn hosted_zone(state: &ControlState, zone: &HostedZone) -> Option<Arc<DnsZone>> {
    let origin = Origin::HostedZone(zone.id.to_string().into());
    let mut compiled = DnsZone::new(name(&zone.name)?, origin);
    for (owner, sets) in &zone.record_sets {
        let sets = sets.values().filter_map(|id| state.record_set(id));
        compiled.add(key(owner), sets.filter_map(record_set));
    }
    Some(Arc::new(compiled))
}

fn record_set(set: &control::RecordSet) -> Option<RecordSet> {
    Some(match &set.answer {
        Answer::Records { ttl, values } => RecordSet {
            ttl: *ttl,
            data: RecordData::Plain(values.iter().filter_map(record).collect()),
        },
        Answer::Alias(target) => RecordSet {
            // As long as what it leads to.
            ttl: u32::MAX,
            data: RecordData::Alias(name(target)?),
        },
    })
}

fn record(value: &RecordValue) -> Option<RData> {
    Some(match value {
        RecordValue::A(address) => RData::A(A(*address)),
        RecordValue::Aaaa(address) => RData::AAAA(AAAA(*address)),
        RecordValue::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        RecordValue::Mx {
            preference,
            exchange,
        } => RData::MX(MX::new(*preference, name(exchange)?)),
        RecordValue::Ptr(target) => RData::PTR(PTR(name(target)?)),
        RecordValue::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV::new(*priority, *weight, *port, name(target)?)),
        RecordValue::Txt(strings) => {
            let strings = strings.iter().map(Vec::as_slice).collect();
            RData::TXT(TXT::from_bytes(strings))
        }
    })
}

/// Each VPC's names of instances, and the names of their addresses. Other interfaces have none: what answers at the address
/// of an endpoint, a gateway or a node is not called by it.
fn instance_zones(state: &ControlState, views: &mut Views) {
    let mut instances: HashMap<VpcId, Vec<&Instance>> = HashMap::new();
    for instance in state.instances() {
        let of_vpc = instances.entry(instance.vpc_id).or_default();
        of_vpc.push(instance);
    }
    let domain = DomainName::of_instances(state.owner().region());
    for vpc in state.vpcs().filter(|vpc| vpc.has_private_names()) {
        let instances = instances.remove(&vpc.vpc_id).unwrap_or_default();
        let origin = Origin::Instances(vpc.vpc_id.to_string().into());
        let zones = views.entry(vpc.vpc_id).or_default();
        zones.extend(forward_zone(&domain, &instances, &origin));
        zones.extend(reverse_zones(vpc.cidr_block, &instances, &origin));
    }
}

fn forward_zone(
    domain: &DomainName,
    instances: &[&Instance],
    origin: &Origin,
) -> Option<Arc<DnsZone>> {
    let mut zone = DnsZone::new(name(domain)?, origin.clone());
    for instance in instances {
        let address = RData::A(A(instance.private_ip_address));
        zone.add(key(&instance.private_dns_name), [of_instance(address)]);
    }
    Some(Arc::new(zone))
}

/// The zones of `in-addr.arpa` that are this range, no more and no less: one where it ends at an octet's boundary, else one for
/// each of the ranges that do.
fn reverse_zones(range: Ipv4Net, instances: &[&Instance], origin: &Origin) -> Vec<Arc<DnsZone>> {
    let octets = range.prefix_len().div_ceil(8);
    let ranges = range.subnets(octets * 8).into_iter().flatten();
    let mut zones: BTreeMap<_, _> = ranges
        .map(|range| {
            let apex = Name::from(range.network()).trim_to(usize::from(octets) + 2);
            (range.network(), DnsZone::new(apex, origin.clone()))
        })
        .collect();
    for instance in instances {
        let address = instance.private_ip_address;
        if let Ok(range) = Ipv4Net::new(address, octets * 8)
            && let Some(zone) = zones.get_mut(&range.network())
            && let Some(name) = name(&instance.private_dns_name)
        {
            let owner = NameKey::from(&Name::from(address));
            zone.add(owner, [of_instance(RData::PTR(PTR(name)))]);
        }
    }
    zones.into_values().map(Arc::new).collect()
}

fn of_instance(data: RData) -> RecordSet {
    RecordSet {
        ttl: INSTANCE_TTL,
        data: RecordData::Plain(vec![data]),
    }
}

/// Where a resource of this name is, behind this gateway. Names of instances are looked up in the gateway's VPC whatever the
/// gateway says, as nobody else knows them.
pub(super) fn resource_target(
    state: &ControlState,
    gateway: &ResourceGateway,
    domain: &DomainName,
) -> Option<ResourceTarget> {
    let vpc = state.vpc(&gateway.vpc_identifier)?;
    let instances = DomainName::of_instances(state.owner().region());
    let view = match gateway.resource_config_dns_resolution {
        DnsResolution::InVpc => View::Vpc(vpc.idx),
        DnsResolution::Public if domain.is_within(&instances) => View::Vpc(vpc.idx),
        DnsResolution::Public => View::Public,
    };
    Some(ResourceTarget::Name {
        name: name(domain)?,
        view,
        allowed: vpc.private_range().into_iter().map(Into::into).collect(),
    })
}

/// `None` never: what is a [`DomainName`] has the labels of a name.
pub(super) fn name(domain: &DomainName) -> Option<Name> {
    let mut name = Name::from_labels(domain.labels().map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

pub(super) fn key(domain: &DomainName) -> NameKey {
    NameKey::new(domain.labels().map(str::as_bytes))
}
