//! Who has which address of a subnet.
//!
//! Invariant: an address is handed out once until it is released, and the reserved ones never are: the network
//! itself, +1 the router, +2 DNS, +3 for the future, and the last. Source: VPC User Guide, "Subnet CIDR blocks".

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::id::NetworkInterfaceId;

/// Why an address cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// It is not of this subnet.
    Outside,
    /// It is reserved, for this.
    Reserved(&'static str),
    /// This interface has it.
    Taken(NetworkInterfaceId),
}

/// The addresses of a subnet that no interface gets.
pub(super) fn reserved(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(subnet.network());
    let first = (first..first + RESERVED_FIRST).map(Ipv4Addr::from);
    first.chain([subnet.broadcast()])
}

/// The addresses of one subnet.
#[derive(Clone, Debug)]
pub(super) struct AddressPool {
    range: Ipv4Net,
    taken: BTreeMap<u32, NetworkInterfaceId>,
    /// Kept for these interfaces, which had them before and are still to be made.
    kept: BTreeMap<u32, NetworkInterfaceId>,
    /// Below it nothing is free.
    lowest: u32,
    /// Above it nothing is free.
    highest: u32,
}

const RESERVED_FIRST: u32 = 4;
const RESERVED_LAST: u32 = 1;

impl AddressPool {
    /// A pool with nothing taken. `range` is a `/28` or larger and has no host bits.
    pub(super) fn new(range: Ipv4Net) -> Self {
        Self {
            range,
            taken: BTreeMap::new(),
            kept: BTreeMap::new(),
            lowest: u32::from(range.network()).saturating_add(RESERVED_FIRST),
            highest: u32::from(range.broadcast()).saturating_sub(RESERVED_LAST),
        }
    }

    /// How many addresses interfaces can have in all.
    pub(super) fn capacity(&self) -> u32 {
        let size = u32::from(self.range.broadcast()) - u32::from(self.range.network());
        size.saturating_add(1)
            .saturating_sub(RESERVED_FIRST + RESERVED_LAST)
    }

    /// How many are still free.
    pub(super) fn free(&self) -> u32 {
        self.capacity().saturating_sub(self.taken.len() as u32)
    }

    /// Keeps `address` for an interface that had it before; one that is not of this subnet any more is not kept.
    pub(super) fn keep(&mut self, address: Ipv4Addr, interface: NetworkInterfaceId) {
        if self.check(address, interface).is_ok() {
            self.kept.insert(u32::from(address), interface);
        }
    }

    /// Can this interface have this one?
    pub(super) fn check(
        &self,
        address: Ipv4Addr,
        interface: NetworkInterfaceId,
    ) -> Result<(), Unavailable> {
        if !self.range.contains(&address) {
            return Err(Unavailable::Outside);
        }
        let reserved = match u32::from(address) - u32::from(self.range.network()) {
            0 => Some("the network address"),
            1 => Some("the VPC router"),
            2 => Some("the DNS server"),
            3 => Some("future use"),
            _ if address == self.range.broadcast() => Some("broadcast"),
            _ => None,
        };
        let address = u32::from(address);
        let other = self.kept.get(&address).filter(|by| **by != interface);
        match (reserved, self.taken.get(&address).or(other)) {
            (Some(purpose), _) => Err(Unavailable::Reserved(purpose)),
            (None, Some(by)) => Err(Unavailable::Taken(*by)),
            (None, None) => Ok(()),
        }
    }

    /// The free address that automatic assignment takes next: the one kept for this interface, or else the lowest.
    pub(super) fn lowest_free(&self, interface: NetworkInterfaceId) -> Option<Ipv4Addr> {
        let kept = self.kept_for(interface).next();
        kept.or_else(|| (self.lowest..=self.highest).find(|address| self.is_free(*address)))
            .map(Ipv4Addr::from)
    }

    /// `count` free addresses, ascending: those kept for this interface, if they are so many, or else from the subnet's end,
    /// contiguous where they can be. A resource gateway's block stands there so as to leave the low addresses, which
    /// people choose, to instances.
    pub(super) fn block(
        &self,
        count: usize,
        interface: NetworkInterfaceId,
    ) -> Option<Vec<Ipv4Addr>> {
        if self.kept_for(interface).count() == count {
            return Some(self.kept_for(interface).map(Ipv4Addr::from).collect());
        }
        let mut block: Vec<_> = (self.lowest..=self.highest)
            .rev()
            .filter(|address| self.is_free(*address))
            .take(count)
            .map(Ipv4Addr::from)
            .collect();
        block.reverse();
        (block.len() == count).then_some(block)
    }

    /// Keeps nothing any more.
    pub(super) fn release_kept(&mut self) {
        self.kept.clear();
    }

    fn is_free(&self, address: u32) -> bool {
        !self.taken.contains_key(&address) && !self.kept.contains_key(&address)
    }

    /// What is kept for this interface, ascending.
    fn kept_for(&self, interface: NetworkInterfaceId) -> impl Iterator<Item = u32> {
        let kept = self.kept.iter().filter(move |(_, by)| **by == interface);
        kept.map(|(address, _)| *address)
    }

    /// Takes `address` back.
    pub(super) fn release(&mut self, address: Ipv4Addr) {
        let address = u32::from(address);
        if self.taken.remove(&address).is_some() {
            self.lowest = self.lowest.min(address);
            self.highest = self.highest.max(address);
        }
    }

    /// Gives `address`, which [`check`](Self::check) found free, to `by`.
    pub(super) fn claim(&mut self, address: Ipv4Addr, by: NetworkInterfaceId) {
        self.kept.remove(&u32::from(address));
        self.taken.insert(u32::from(address), by);
        while self.lowest < self.highest && self.taken.contains_key(&self.lowest) {
            self.lowest += 1;
        }
        while self.lowest < self.highest && self.taken.contains_key(&self.highest) {
            self.highest -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::control::id::{Mint, Owner};

    fn eni() -> NetworkInterfaceId {
        let owner = Owner::new("000000000000", "ap-northeast-1").unwrap();
        Mint::default().mint(&owner, "x")
    }

    fn pool(range: &str) -> AddressPool {
        AddressPool::new(range.parse().unwrap())
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_four_and_the_last_are_reserved() {
        let pool = pool("172.18.1.0/28");
        for (last, purpose) in [
            (0, "the network address"),
            (1, "the VPC router"),
            (2, "the DNS server"),
            (3, "future use"),
            (15, "broadcast"),
        ] {
            let address = Ipv4Addr::new(172, 18, 1, last);
            assert_eq!(
                pool.check(address, eni()),
                Err(Unavailable::Reserved(purpose))
            );
        }
        let last = reserved(pool.range).map(|address| address.octets()[3]);
        assert!(last.eq([0, 1, 2, 3, 15]));
        assert_eq!(
            pool.check(ip("172.18.1.16"), eni()),
            Err(Unavailable::Outside)
        );
        assert_eq!(
            pool.check(ip("172.18.0.255"), eni()),
            Err(Unavailable::Outside)
        );
        assert_eq!(pool.check(ip("172.18.1.4"), eni()), Ok(()));
        assert_eq!(pool.check(ip("172.18.1.14"), eni()), Ok(()));
        assert_eq!((pool.capacity(), pool.free()), (11, 11));
    }

    #[test]
    fn automatic_addresses_grow_from_below_and_blocks_from_above() {
        let mut pool = pool("172.18.1.0/28");
        pool.claim(ip("172.18.1.5"), eni());
        pool.claim(ip("172.18.1.13"), eni());
        assert_eq!(pool.lowest_free(eni()), Some(ip("172.18.1.4")));
        pool.claim(ip("172.18.1.4"), eni());
        assert_eq!(pool.lowest_free(eni()), Some(ip("172.18.1.6")));
        assert_eq!(
            pool.block(3, eni()),
            Some(vec![
                ip("172.18.1.11"),
                ip("172.18.1.12"),
                ip("172.18.1.14")
            ])
        );
        assert_eq!(pool.free(), 8);
        assert!(pool.block(8, eni()).is_some());
        assert_eq!(pool.block(9, eni()), None);
        assert_eq!(
            pool.check(ip("172.18.1.5"), eni()),
            Err(Unavailable::Taken(eni()))
        );
    }

    #[test]
    fn what_is_kept_goes_to_its_interface_only() {
        let owner = Owner::new("000000000000", "ap-northeast-1").unwrap();
        let (mine, other): (_, NetworkInterfaceId) = (eni(), Mint::default().mint(&owner, "y"));
        let mut pool = pool("172.18.1.0/28");
        let kept = ["172.18.1.4", "172.18.1.7", "172.18.1.14"].map(ip);
        kept.iter().for_each(|address| pool.keep(*address, mine));
        pool.keep(ip("10.0.0.1"), mine);
        assert_eq!(pool.lowest_free(other), Some(ip("172.18.1.5")));
        assert_eq!(pool.block(1, other), Some(vec![ip("172.18.1.13")]));
        assert_eq!(pool.check(kept[1], other), Err(Unavailable::Taken(mine)));
        assert_eq!(pool.check(kept[1], mine), Ok(()));
        assert_eq!(pool.lowest_free(mine), Some(kept[0]));
        assert_eq!(pool.block(3, mine), Some(kept.to_vec()));
        pool.release_kept();
        assert_eq!(pool.lowest_free(other), Some(kept[0]));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Lowest,
        Block(usize),
        Chosen(u32),
        Release(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Lowest),
            1 => (1usize..20).prop_map(Step::Block),
            3 => (0u32..300).prop_map(Step::Chosen),
            1 => (0u32..300).prop_map(Step::Release),
        ]
    }

    proptest! {
        #[test]
        fn no_address_is_handed_out_twice_and_no_reserved_one_ever(
            prefix in 24u8..=28,
            steps in prop::collection::vec(step(), 0..400),
        ) {
            let base = u32::from(ip("10.0.255.0"));
            let range = Ipv4Net::new(Ipv4Addr::from(base), prefix).unwrap();
            let size = 1u32 << (32 - prefix);
            let mut pool = AddressPool::new(range);
            let mut given = BTreeSet::new();
            for step in steps {
                let free = size - 5 - given.len() as u32;
                let addresses = match step {
                    Step::Lowest => {
                        let lowest = pool.lowest_free(eni());
                        prop_assert_eq!(lowest.is_some(), free > 0);
                        lowest.into_iter().collect()
                    }
                    Step::Block(count) => {
                        let block = pool.block(count, eni());
                        prop_assert_eq!(block.is_some(), free as usize >= count);
                        block.unwrap_or_default()
                    }
                    Step::Chosen(offset) => {
                        let address = Ipv4Addr::from(base + offset);
                        let usable = (4..size - 1).contains(&offset) && !given.contains(&offset);
                        prop_assert_eq!(pool.check(address, eni()).is_ok(), usable);
                        usable.then_some(address).into_iter().collect()
                    }
                    Step::Release(offset) => {
                        pool.release(Ipv4Addr::from(base + offset));
                        given.remove(&offset);
                        vec![]
                    }
                };
                for address in addresses {
                    let offset = u32::from(address) - base;
                    prop_assert!((4..size - 1).contains(&offset), "{address} is reserved");
                    prop_assert!(given.insert(offset), "{address} was handed out before");
                    pool.claim(address, eni());
                }
                prop_assert_eq!(pool.free(), size - 5 - given.len() as u32);
            }
        }
    }
}
