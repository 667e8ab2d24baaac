//! How much of something that is bounded everybody may have.
//!
//! Invariant: a newcomer always finds room: nobody has more than is left for everybody else.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::FixedState;

/// What is held, of how much there is, and by whom.
pub struct Quota<K> {
    /// Of this many.
    most: usize,
    /// So many at most for one.
    most_each: usize,
    held: usize,
    holders: HashMap<K, usize, FixedState>,
}

impl<K: Copy + Eq + Hash> Quota<K> {
    /// All of it, of which one may have `most_each`.
    pub fn new(most: usize, most_each: usize) -> Self {
        Self {
            most,
            most_each,
            held: 0,
            holders: HashMap::default(),
        }
    }

    /// Takes one more, if this holder may have it.
    pub fn take(&mut self, holder: K) -> bool {
        let held = self.holders.get(&holder).copied().unwrap_or(0);
        let has_room = held < self.most_each && held < self.most.saturating_sub(self.held);
        if has_room {
            self.held += 1;
            self.holders.insert(holder, held + 1);
        }
        has_room
    }

    /// Gives one back.
    pub fn give_back(&mut self, holder: K) {
        if let Some(held) = self.holders.get_mut(&holder) {
            *held -= 1;
            self.held -= 1;
            if *held == 0 {
                self.holders.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::config::EniIdx;

    #[test]
    fn a_newcomer_finds_room_whatever_the_others_take() {
        let mut quota = Quota::new(100, 32);
        let eni = |number| EniIdx::new(number, 0);
        for holder in 0..5 {
            let taken = (0..200).filter(|_| quota.take(eni(holder))).count();
            assert!((1..=32).contains(&taken), "{holder}: {taken}");
        }
        quota.give_back(eni(0));
        assert!(quota.take(eni(9)));
    }
}
