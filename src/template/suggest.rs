//! The name that the user may have meant.

/// Longer names are not compared: the distance costs the product of the lengths.
const MAX_LEN: usize = 64;

/// The candidate nearest to `name`, if it is near enough to be a slip of the pen. Case does not count.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if name.len() > MAX_LEN {
        return None;
    }
    let wanted = name.to_lowercase();
    let limit = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| c.len() <= MAX_LEN)
        .map(|c| (distance(&wanted, &c.to_lowercase()), c))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, c)| c)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let types = ["CidrBlock", "VpcId", "SubnetIds"];
        assert_eq!(nearest("CidrBlok", types), Some("CidrBlock"));
        assert_eq!(nearest("subnetids", types), Some("SubnetIds"));
        assert_eq!(nearest("Bananas", types), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
