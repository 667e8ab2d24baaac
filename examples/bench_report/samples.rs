//! The samples as they were measured, and the statistics of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::catalogue::{self, Test};

pub const SUBJECTS: [&str; 4] = ["kernel", "haproxy", "pump", "privlink"];

/// A line is `MTU test subject value`, separated by tabs; a subject's lines of one test are its rounds, in order.
pub struct Samples(BTreeMap<(u16, String, String), Vec<f64>>);

/// An entry of `results.json`.
#[derive(Serialize)]
pub struct Entry {
    test: String,
    unit: &'static str,
    subject: String,
    median: f64,
    rounds: Vec<f64>,
}

impl Samples {
    pub fn parse(text: &str) -> Result<Self> {
        let mut samples = BTreeMap::<_, Vec<f64>>::new();
        for line in text.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [mtu, test, subject, value] = fields[..] else {
                bail!("not a sample: {line:?}");
            };
            let value: f64 = value
                .parse()
                .with_context(|| format!("value of {line:?}"))?;
            ensure!(value.is_finite() && value > 0.0, "value of {line:?}");
            ensure!(catalogue::find(test).is_some(), "unknown test in {line:?}");
            ensure!(SUBJECTS.contains(&subject), "unknown subject in {line:?}");
            let mtu = mtu.parse().with_context(|| format!("MTU of {line:?}"))?;
            let key = (mtu, test.to_owned(), subject.to_owned());
            samples.entry(key).or_default().push(value);
        }
        ensure!(!samples.is_empty(), "no samples");
        Ok(Self(samples))
    }

    pub fn rounds(&self, mtu: u16, test: &str, subject: &str) -> &[f64] {
        self.0
            .get(&(mtu, test.to_owned(), subject.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    /// Ascending.
    pub fn mtus(&self) -> Vec<u16> {
        let mut mtus: Vec<_> = self.0.keys().map(|(mtu, ..)| *mtu).collect();
        mtus.dedup();
        mtus
    }

    pub fn results(&self) -> Vec<Entry> {
        let entry = |mtu: u16, test: &Test, subject: &str| {
            let rounds = self.rounds(mtu, test.name, subject).to_vec();
            Some(Entry {
                test: format!("{}-mtu-{mtu}", test.name),
                unit: test.unit,
                subject: subject.to_owned(),
                median: median(&rounds)?,
                rounds,
            })
        };
        let mut entries = Vec::new();
        for mtu in self.mtus() {
            for test in catalogue::TESTS {
                entries.extend(
                    SUBJECTS
                        .iter()
                        .filter_map(|subject| entry(mtu, test, subject)),
                );
            }
        }
        entries
    }
}

pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The median of the rounds' own ratios: a machine that drifts changes it little.
pub fn paired_ratio(values: &[f64], references: &[f64]) -> Option<f64> {
    let ratios: Vec<_> = values.iter().zip(references).map(|(a, b)| a / b).collect();
    median(&ratios)
}

/// The interquartile range over the median: one round gone wrong does not change it.
pub fn spread(values: &[f64]) -> Option<f64> {
    Some((quantile(values, 0.75)? - quantile(values, 0.25)?) / median(values)?)
}

/// Linear between the two nearest values.
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle_and_between_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_ratio_pairs_the_rounds_and_so_forgets_a_drift() {
        // Both halve from round to round; the ratio of the medians would be the same by luck only.
        assert_eq!(paired_ratio(&[8.0, 4.0, 2.0], &[4.0, 2.0, 1.0]), Some(2.0));
        assert_eq!(paired_ratio(&[1.0, 9.0, 6.0], &[1.0, 3.0, 3.0]), Some(2.0));
        assert_eq!(paired_ratio(&[1.0], &[]), None);
    }

    #[test]
    fn the_spread_is_the_quartiles_distance_and_does_not_see_one_outlier() {
        assert_eq!(spread(&[10.0, 9.0, 11.0, 8.0, 12.0]), Some(0.2));
        assert_eq!(spread(&[10.0, 9.0, 11.0, 10.0, 1.0]), Some(0.1));
        assert_eq!(spread(&[10.0]), Some(0.0));
    }

    #[test]
    fn results_are_a_list_with_the_mtu_in_the_name() {
        let samples = Samples::parse(
            "1500\thttp-close\tkernel\t100\n1500\thttp-close\tprivlink\t140\n1500\thttp-close\tkernel\t120\n",
        )
        .unwrap();
        assert_eq!(
            serde_json::to_value(samples.results()).unwrap(),
            serde_json::json!([
                {"test": "http-close-mtu-1500", "unit": "requests/s", "subject": "kernel", "median": 110.0, "rounds": [100.0, 120.0]},
                {"test": "http-close-mtu-1500", "unit": "requests/s", "subject": "privlink", "median": 140.0, "rounds": [140.0]},
            ])
        );
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        for text in [
            "",
            "1500\thttp-close\tkernel",
            "1500\thttp-close\tkernel\tnull",
            "1500\thttp-close\tkernel\t0",
            "1500\thttp-closed\tkernel\t1",
            "1500\thttp-close\tnginx\t1",
        ] {
            assert!(Samples::parse(text).is_err(), "{text:?}");
        }
    }
}
