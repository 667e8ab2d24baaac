//! The targets that a node may choose from, and the choice.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::super::config::{DataplaneConfig, Target, TargetGroupIdx, TargetIdx, Zone};
use super::health::Health;
use crate::net::Addr;

/// The bits of a rank that are the target's place.
const PLACE: u64 = (1 << 20) - 1;

/// Targets of one group, without those that drain.
///
/// They stand in the order of their indices, and a word for each 64 indices says which of those are members: so the usable ones
/// of a thousand are found and counted in sixteen steps.
pub(super) struct Pool {
    is_sticky: bool,
    words: Box<[Word]>,
    members: Box<[Member]>,
    /// As many, and by themselves, because all of them are looked at for each new flow of a sticky group.
    salts: Box<[u64]>,
    /// Where the group's targets are, all of them: flows to one that may not be chosen (any more) go on. Those without an index
    /// have drained, and left their flows behind.
    registered: HashMap<Place, Option<TargetIdx>, FixedState>,
    /// Are new targets in service only once they have passed a health check?
    pub(super) is_probed: bool,
    terminates_on_unhealthy: bool,
}

/// A target's address and port.
pub(super) type Place = (Addr, u16);

/// A target to be chosen.
#[derive(Clone, Copy)]
pub(in crate::dataplane) struct Member {
    pub(super) idx: TargetIdx,
    pub(in crate::dataplane) address: Addr,
    pub(in crate::dataplane) port: u16,
}

/// The members among 64 indices.
struct Word {
    /// Which 64.
    number: u32,
    members: u64,
    /// Where in the pool the first of them stands.
    first: usize,
}

impl Pool {
    /// The group's targets in the zones that `is_in_scope` names, and those that have `drained`.
    pub(super) fn new(
        config: &DataplaneConfig,
        group: TargetGroupIdx,
        drained: impl Iterator<Item = Place>,
        is_in_scope: impl Fn(Zone) -> bool,
    ) -> Self {
        let group = config.target_groups.get(group);
        let targets = group.into_iter().flat_map(|group| &group.targets);
        let targets = targets.filter_map(|idx| Some((*idx, config.targets.get(*idx)?)));
        let mut members: Vec<_> = targets
            .clone()
            .filter(|(_, target)| !target.draining && is_in_scope(target.zone))
            .map(|(idx, target)| Member::new(idx, target))
            .collect();
        members.sort_unstable_by_key(|member| member.idx);
        members.dedup_by_key(|member| member.idx);
        Self {
            is_sticky: group.is_some_and(|group| group.stickiness),
            words: words(&members),
            salts: members.iter().map(salt).collect(),
            members: members.into(),
            registered: drained
                .map(|place| (place, None))
                .chain(targets.map(|(idx, target)| ((target.address, target.port), Some(idx))))
                .collect(),
            is_probed: group.is_some_and(|group| group.health_check.is_some()),
            terminates_on_unhealthy: group.is_some_and(|group| group.terminates_on_unhealthy),
        }
    }

    /// Do flows to this address and port live on? Not if the target has failed, unless there is no better one (AWS: "unless the
    /// unhealthy target triggers the load balancer to fail open").
    pub(super) fn keeps(&self, health: &Health, place: Place) -> bool {
        self.registered.get(&place).is_some_and(|target| {
            let has_failed = target.is_some_and(|idx| health.has_failed(idx));
            !(has_failed && self.terminates_on_unhealthy && self.has_healthy(health))
        })
    }

    /// Are there targets whose flows do not live on?
    pub(super) fn ends_flows(&self, health: &Health) -> bool {
        let has_failed = |member: &Member| health.has_failed(member.idx);
        self.terminates_on_unhealthy
            && self.members.iter().any(has_failed)
            && self.has_healthy(health)
    }

    /// Is one of those that may be chosen healthy?
    pub(super) fn has_healthy(&self, health: &Health) -> bool {
        let mut words = self.words.iter();
        words.any(|word| word.members & !health.unhealthy(word.number) != 0)
    }

    /// Does a client keep its target?
    pub(super) const fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    /// All that may be chosen.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// One of the healthy members, or of all if none is (AWS: fail open): by the hash of a flow, or of a client that is to keep it.
    pub(super) fn select(&self, health: &Health, hash: u64) -> Option<&Member> {
        if self.is_sticky {
            return self.favourite(hash, health);
        }
        self.any(hash, |word| word.members & !health.unhealthy(word.number))
            .or_else(|| self.any(hash, |word| word.members))
    }

    /// Each of the usable ones as likely as every other.
    fn any(&self, hash: u64, usable: impl Fn(&Word) -> u64) -> Option<&Member> {
        let count: u32 = self
            .words
            .iter()
            .map(|word| usable(word).count_ones())
            .sum();
        let mut nth = ((u128::from(hash) * u128::from(count)) >> 64) as u32;
        let mut last = None;
        for word in &self.words {
            let mut bits = usable(word);
            if nth < bits.count_ones() {
                (0..nth).for_each(|_| bits &= bits - 1);
                return self.member(word, bits.trailing_zeros());
            }
            nth -= bits.count_ones();
            last = (bits != 0)
                .then_some((word, bits.trailing_zeros()))
                .or(last);
        }
        // Some became unhealthy while they were counted.
        last.and_then(|(word, bit)| self.member(word, bit))
    }

    /// The healthy one that ranks highest with this client: rendezvous hashing, where each client has an order of its own, so that
    /// one that goes leaves no client but its own with another.
    fn favourite(&self, client: u64, health: &Health) -> Option<&Member> {
        let member = |rank: u64| self.members.get((rank & PLACE) as usize);
        let is_healthy = |member: &&Member| health.is_healthy(member.idx);
        // Health is asked of the first only, which is mostly the one.
        let first = member(highest_rank(client, &self.salts))?;
        if is_healthy(&first) {
            return Some(first);
        }
        let ranks = (0..).zip(&self.salts);
        let ranks = ranks.map(|(place, salt)| rank(client, *salt, place));
        let healthy = ranks.filter(|rank| member(*rank).as_ref().is_some_and(is_healthy));
        healthy.max().and_then(member).or(Some(first))
    }

    fn member(&self, word: &Word, bit: u32) -> Option<&Member> {
        let before = word.members & ((1 << bit) - 1);
        self.members.get(word.first + before.count_ones() as usize)
    }
}

/// The words of members in the order of their indices.
fn words(members: &[Member]) -> Box<[Word]> {
    let mut words = Vec::<Word>::new();
    for (first, member) in members.iter().enumerate() {
        let (number, bit) = (
            member.idx.index() / Health::BITS,
            member.idx.index() % Health::BITS,
        );
        match words.last_mut() {
            Some(word) if word.number == number => word.members |= 1 << bit,
            _ => words.push(Word {
                number,
                members: 1 << bit,
                first,
            }),
        }
    }
    words.into()
}

/// What sets a target apart in every client's order.
const fn salt(member: &Member) -> u64 {
    (member.idx.index() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// How high a target stands with a client, by both halves of a product, as foldhash mixes; the low bits are its place in the pool.
#[inline]
fn rank(client: u64, salt: u64, place: u64) -> u64 {
    let product = u128::from(client ^ salt) * 0xa076_1d64_78bd_642f;
    ((product >> 64) as u64 ^ product as u64) & !PLACE | place
}

/// The highest rank of all, in four strands: in one, each comparison would wait for the last one's result.
fn highest_rank(client: u64, salts: &[u64]) -> u64 {
    let (fours, rest) = salts.as_chunks::<4>();
    let mut strands = [0; 4];
    let mut place = 0;
    for four in fours {
        for (highest, salt) in strands.iter_mut().zip(four) {
            *highest = rank(client, *salt, place).max(*highest);
            place += 1;
        }
    }
    let rest = rest.iter().zip(place..);
    let rest = rest.map(|(salt, place)| rank(client, *salt, place));
    rest.chain(strands).fold(0, u64::max)
}

impl Member {
    fn new(idx: TargetIdx, target: &Target) -> Self {
        Self {
            idx,
            address: target.address,
            port: target.port,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    fn pool(is_sticky: bool, members: impl IntoIterator<Item = u32>) -> Pool {
        let members = members.into_iter().map(|index| Member {
            idx: TargetIdx::new(index, 0),
            address: Addr::default(),
            port: 0,
        });
        let members: Box<[_]> = members.collect();
        Pool {
            is_sticky,
            words: words(&members),
            salts: members.iter().map(salt).collect(),
            members,
            registered: HashMap::default(),
            is_probed: false,
            terminates_on_unhealthy: false,
        }
    }

    fn chosen(pool: &Pool, health: &Health, hash: u64) -> Option<u32> {
        Some(pool.select(health, hash)?.idx.index())
    }

    proptest! {
        #[test]
        fn the_choice_is_even_among_the_healthy_members_wherever_their_bits_stand(
            members in btree_set(0u32..10_000, 1..200),
            unhealthy in btree_set(0u32..10_000, 0..5_000),
        ) {
            let health = Health::default();
            unhealthy.iter().for_each(|index| health.set(TargetIdx::new(*index, 0), false));
            let usable: Vec<_> = match members.difference(&unhealthy).copied().collect::<Vec<_>>() {
                none if none.is_empty() => members.iter().copied().collect(),
                some => some,
            };
            let pool = pool(false, members);
            // Equal steps through the hash's range meet each once.
            let step = u64::MAX / usable.len() as u64;
            let hashes = (0..usable.len() as u64).map(|nth| nth * step + step / 2);
            let chosen: Vec<_> = hashes.filter_map(|hash| chosen(&pool, &health, hash)).collect();
            prop_assert_eq!(chosen, usable);
        }

        #[test]
        fn a_client_follows_its_own_order_of_targets(
            members in btree_set(0u32..10_000, 2..200),
            client: u64,
        ) {
            let health = Health::default();
            let pool = pool(true, members.iter().copied());
            let mut order: Vec<_> = members.iter().copied().collect();
            let ranks = (0..).zip(&pool.salts).map(|(place, salt)| rank(client, *salt, place));
            let ranks: BTreeMap<_, _> = members.iter().copied().zip(ranks).collect();
            order.sort_by_key(|index| std::cmp::Reverse(ranks.get(index)));
            for index in &order {
                prop_assert_eq!(chosen(&pool, &health, client), Some(*index));
                health.set(TargetIdx::new(*index, 0), false);
            }
            let [first, .., last] = &order[..] else { unreachable!("two at least") };
            prop_assert_eq!(chosen(&pool, &health, client), Some(*first), "fail open");
            health.set(TargetIdx::new(*last, 0), true);
            prop_assert_eq!(chosen(&pool, &health, client), Some(*last));
        }
    }

    #[test]
    fn an_empty_pool_has_nothing_to_choose() {
        for is_sticky in [false, true] {
            assert_eq!(chosen(&pool(is_sticky, []), &Health::default(), 7), None);
        }
    }
}
