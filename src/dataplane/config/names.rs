//! What the resolver of a VPC answers by itself.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::iter::successors;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hickory_proto::rr::{LowerName, Name, RData};

use super::{LoadBalancerIdx, VpcIdx, Zone};
use crate::net::Addr;

/// The resolver of a VPC (Amazon Route 53 VPC Resolver).
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Where it is asked: the VPC's base address + 2, and 169.254.169.253.
    pub addresses: Vec<Addr>,
    /// The zones of this VPC's view, besides [`DataplaneConfig::public_zones`](super::DataplaneConfig::public_zones). Of several with
    /// one name the first counts.
    pub zones: Vec<Arc<DnsZone>>,
}

/// A zone: for every name in it nobody else is asked. The apex's SOA and NS records, which every zone has, are not in here.
#[derive(Clone)]
pub struct DnsZone {
    /// Its apex, fully qualified.
    pub name: LowerName,
    /// Whose it is.
    pub origin: Origin,
    apex: NameKey,
    /// Every name that exists, the apex too. One without records is an empty non-terminal (RFC 4592, 2.2.2).
    nodes: HashMap<NameKey, Node, FixedState>,
}

/// The label `*`.
const WILDCARD: &[u8] = b"\x01*";

/// What is at a name.
#[derive(Clone, Default)]
struct Node {
    sets: Vec<RecordSet>,
    /// Do all names below it, of which none is in the zone, say the same?
    is_wide: bool,
}

/// A name as it is looked up: its labels in lower case, each behind its length, without the root's. Names above it are its ends, so
/// that looking for them copies nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameKey(Box<[u8]>);

impl DnsZone {
    /// A zone in which nothing but its apex exists.
    pub fn new(apex: Name, origin: Origin) -> Self {
        let name = LowerName::from(apex);
        let apex = NameKey::from(&*name);
        Self {
            nodes: HashMap::from_iter([(apex.clone(), Node::default())]),
            name,
            origin,
            apex,
        }
    }

    /// Adds the records of a name, which is in this zone, besides those that it has; all names in between exist from now on. A
    /// wildcard's name begins with the label `*`.
    pub fn add(&mut self, owner: NameKey, sets: impl IntoIterator<Item = RecordSet>) {
        let is_below = |name: &&[u8]| *name != self.apex.as_ref();
        for above in owner.upwards().take_while(is_below).skip(1) {
            if !self.nodes.contains_key(above) {
                self.nodes.insert(NameKey(above.into()), Node::default());
            }
        }
        let node = self.nodes.entry(owner).or_default();
        node.sets.extend(sets);
    }

    /// Gives the name that is this label below the apex a record set, and all names below that name the same, as a wildcard there would.
    pub fn add_wide(&mut self, label: &str, set: RecordSet) {
        let sets = vec![set];
        let node = Node {
            sets,
            is_wide: true,
        };
        self.nodes.insert(self.apex.child(label.as_bytes()), node);
    }

    /// The key of its apex.
    pub fn apex(&self) -> &NameKey {
        &self.apex
    }

    /// The records of a name that exists, or of the wildcard that stands for it (RFC 4592, 3.3.1).
    pub fn find(&self, name: &NameKey) -> Option<&[RecordSet]> {
        let mut upwards = name.upwards();
        let (encloser, node) = upwards.find_map(|above| Some((above, self.nodes.get(above)?)))?;
        if encloser == name.as_ref() || node.is_wide {
            return Some(&node.sets);
        }
        let wildcard = self.nodes.get(&[WILDCARD, encloser].concat()[..])?;
        Some(&wildcard.sets)
    }

    /// The names that have records, with them; a wildcard's begins with the label `*`.
    pub fn records(&self) -> impl Iterator<Item = (Name, &[RecordSet])> {
        let nodes = self.nodes.iter().filter(|(_, node)| !node.sets.is_empty());
        nodes.flat_map(|(name, node)| {
            let wide = node.is_wide.then(|| name.child(b"*"));
            let wide = wide.map(|wildcard| Name::from(&wildcard));
            wide.into_iter()
                .chain([name.into()])
                .map(|name| (name, &node.sets[..]))
        })
    }
}

/// Its records by their names, so that equal zones print alike.
impl fmt::Debug for DnsZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: BTreeMap<_, _> = self.records().collect();
        let mut zone = f.debug_struct("DnsZone");
        zone.field("name", &self.name);
        zone.field("origin", &self.origin);
        zone.field("records", &records).finish()
    }
}

impl NameKey {
    /// Of a name's labels, from the most specific on. A label has 1 to 63 bytes (RFC 1035, 2.3.4).
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut key = Vec::with_capacity(64);
        for label in labels {
            key.push(label.len() as u8);
            key.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        Self(key.into())
    }

    /// The name that is this label, of 1 to 63 bytes, below this one.
    fn child(&self, label: &[u8]) -> Self {
        let mut key = Vec::with_capacity(1 + label.len() + self.0.len());
        key.push(label.len() as u8);
        key.extend(label.iter().map(u8::to_ascii_lowercase));
        key.extend(&self.0);
        Self(key.into())
    }

    /// The name itself, and each one above it; the last is the root.
    pub fn upwards(&self) -> impl Iterator<Item = &[u8]> {
        successors(Some(self.as_ref()), |name| {
            let (length, rest) = name.split_first()?;
            rest.get(usize::from(*length)..)
        })
    }
}

impl From<&Name> for NameKey {
    fn from(name: &Name) -> Self {
        Self::new(name)
    }
}

impl From<&NameKey> for Name {
    fn from(key: &NameKey) -> Self {
        let label = |name: &'_ [u8]| {
            let (length, rest) = name.split_first()?;
            rest.get(..usize::from(*length)).map(<[u8]>::to_vec)
        };
        let mut name = Name::from_labels(key.upwards().map_while(label)).unwrap_or_default();
        name.set_fqdn(true);
        name
    }
}

impl AsRef<[u8]> for NameKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for NameKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Where a zone comes from, with the id that AWS gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A private hosted zone: its id.
    HostedZone(Arc<str>),
    /// An endpoint's private DNS name: the endpoint's id.
    PrivateDns(Arc<str>),
    /// The own names of the endpoints that lead to a service or a resource configuration: its id.
    Endpoint(Arc<str>),
    /// The names, or addresses, of a VPC's instances: the VPC's id.
    Instances(Arc<str>),
    /// A special-use name, as `localhost` (RFC 6761); every view has these.
    SpecialUse,
}

/// The records of one name and one type.
#[derive(Clone, Debug)]
pub struct RecordSet {
    /// How long an answer may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

/// What a record set says.
#[derive(Clone, Debug)]
pub enum RecordData {
    /// These, all of one type.
    Plain(Vec<RData>),
    /// Addresses (A) of an endpoint's interfaces.
    Endpoint(Vec<EndpointAddress>),
    /// Whatever addresses (A, AAAA) this name has in the same view (Route 53's alias).
    Alias(Name),
}

/// An address that an endpoint's name may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The interface's address.
    pub address: Addr,
    /// Its load balancer's zone: left out while that has no healthy target and another one has.
    pub zone: Option<(LoadBalancerIdx, Zone)>,
}

/// Whose view of names is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// What everybody sees: the public zones, and upstream.
    Public,
    /// What the instances of a VPC see.
    Vpc(VpcIdx),
}
