//! The availability zones of AWS's regions, for `Fn::GetAZs` and for finding a region by its zones.

/// Regions whose zones a new account sees are not a, b, c. Source: AWS's "Regions and Availability Zones".
const ZONES: &[(&str, &str)] = &[
    ("ap-northeast-1", "acd"),
    ("ap-northeast-2", "abcd"),
    ("us-east-1", "abcdef"),
    ("us-west-1", "ac"),
    ("us-west-2", "abcd"),
    ("ca-central-1", "abd"),
    ("cn-north-1", "abd"),
];

/// The zones of a region in AWS's order.
pub(super) fn zones_of(region: &str) -> Vec<String> {
    let letters = ZONES
        .iter()
        .find(|(name, _)| *name == region)
        .map_or("abc", |(_, letters)| letters);
    letters.chars().map(|c| format!("{region}{c}")).collect()
}

/// `ap-northeast-1` for `ap-northeast-1a`; `None` if this is no zone's name.
pub(super) fn region_of(zone: &str) -> Option<&str> {
    let region = zone.strip_suffix(|c: char| c.is_ascii_lowercase())?;
    is_region(region).then_some(region)
}

/// Does this look like a region: `us-east-1`, `us-gov-west-1`?
pub(super) fn is_region(text: &str) -> bool {
    let mut parts: Vec<&str> = text.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    let digits =
        !number.is_empty() && number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
    let words =
        |w: &&str| !w.is_empty() && w.len() <= 16 && w.bytes().all(|b| b.is_ascii_lowercase());
    digits && (2..=3).contains(&parts.len()) && parts.iter().all(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_their_own_zones() {
        assert_eq!(
            zones_of("ap-northeast-1"),
            ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"]
        );
        assert_eq!(
            zones_of("eu-west-3"),
            ["eu-west-3a", "eu-west-3b", "eu-west-3c"]
        );
        assert_eq!(region_of("ap-northeast-1a"), Some("ap-northeast-1"));
        assert_eq!(region_of("us-gov-west-1b"), Some("us-gov-west-1"));
        assert_eq!(region_of("ap-northeast-1"), None);
        assert_eq!(region_of("zone"), None);
    }
}
