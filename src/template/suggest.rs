//! The name that the user may have meant.

/// Longer names are not compared: the distance costs the product of the lengths.
const MAX_LEN: usize = 64;

/// The candidate nearest to `name`, if it is near enough to be a slip of the pen. Case does not count.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_LEN {
        return None;
    }
    let wanted = name.to_lowercase();
    let limit = match wanted.chars().count() {
        0..=2 => 0,
        length => (length / 3).max(1),
    };
    candidates
        .into_iter()
        .filter(|c| c.len() <= MAX_LEN)
        .map(|c| (distance(&wanted, &c.to_lowercase()), c))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, c)| c)
}

/// How many characters must be added, removed, replaced or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let types = ["CidrBlock", "VpcId", "SubnetIds"];
        assert_eq!(nearest("CidrBlok", types), Some("CidrBlock"));
        assert_eq!(nearest("subnetids", types), Some("SubnetIds"));
        assert_eq!(nearest("VcpId", types), Some("VpcId"));
        assert_eq!(nearest("Bananas", types), None);
        assert_eq!(nearest("D", ["A", "d"]), Some("d"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
