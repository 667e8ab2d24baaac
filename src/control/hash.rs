//! What is minted of names and ids, so that two runs of one template print the same.
//!
//! Invariant: it depends on the seed alone and is stable between releases, which std's and foldhash's hashers do not promise.

/// 64 bits of FNV-1a's 128.
pub(super) fn hash(seed: &[u8]) -> u64 {
    let hash = seed
        .iter()
        .fold(0x6c62272e07bb014262b821756295c58d_u128, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000000001000000000000000000013b)
        });
    spread((hash >> 64) as u64 ^ hash as u64)
}

/// So many of `a-z` and `0-9`.
pub(super) fn word(seed: &str, length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    /// That 64 bits give.
    const AT_ONCE: usize = 12;
    let mut left = 0;
    let letter = |place| {
        if place % AT_ONCE == 0 {
            left = hash(format!("{seed}\0{place}").as_bytes());
        }
        let letter = ALPHABET[(left % 36) as usize];
        left /= 36;
        char::from(letter)
    };
    (0..length).map(letter).collect()
}

/// Every bit in, every bit out: FNV alone gives `EC2A` and `EC2B` ids that a person confuses. MurmurHash3's finalizer.
const fn spread(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_like_seeds_are_unlike_and_have_no_part_twice() {
        let (a, b) = (word("vpce-1", 20), word("vpce-2", 20));
        let same = a.chars().zip(b.chars()).filter(|(a, b)| a == b).count();
        assert!(same < 5, "{a} and {b}");
        assert_ne!(a[..8], a[12..]);
        assert_eq!(word("vpce-1", 8), a[..8]);
    }
}
