//! From samples to rows: ratios, goals, floors, and whether the machine was quiet enough to believe them.

use super::catalogue::{Bound, Reference, TESTS, Test};
use super::samples::{SUBJECTS, Samples, median, paired_ratio, spread};

/// A reference whose rounds spread more than this leaves a test without a conclusion.
pub const NOISY: f64 = 0.2;

/// One test at one MTU.
pub struct Row {
    pub mtu: u16,
    pub test: &'static Test,
    /// By `SUBJECTS`' order; for a test without references of its own, those of the test that it names.
    pub medians: [Option<f64>; SUBJECTS.len()],
    /// privlink over `Reference::SHOWN`, in their order.
    pub ratios: [Option<f64>; Reference::SHOWN.len()],
    pub verdict: Verdict,
    /// The most unsteady reference and its spread, if that is too much.
    pub noise: Option<(Reference, f64)>,
}

#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing was wanted, or nothing to compare with was measured.
    None,
    Met,
    /// Above every floor, but not at these goals.
    Missed(Vec<Miss>),
    BelowFloor(Vec<Miss>),
    /// Below a floor, on a machine too noisy to believe it.
    TooNoisy(Vec<Miss>),
}

#[derive(Debug, PartialEq)]
pub enum Miss {
    Ratio { bound: Bound, is: f64 },
    Limit(f64),
}

#[derive(Debug, PartialEq)]
pub enum Conclusion {
    Holds,
    BelowFloor,
    TooNoisy,
}

/// A row for each test that privlink took part in; by MTU, then in the catalogue's order.
pub fn rows(samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for mtu in samples.mtus() {
        let measured = |test: &&Test| !samples.rounds(mtu, test.name, "privlink").is_empty();
        rows.extend(
            TESTS
                .iter()
                .filter(measured)
                .map(|test| row(samples, mtu, test)),
        );
    }
    rows
}

/// The worst of all rows.
pub fn conclude(rows: &[Row]) -> Conclusion {
    let any = |of: fn(&Verdict) -> bool| rows.iter().any(|row| of(&row.verdict));
    if any(|verdict| matches!(verdict, Verdict::BelowFloor(_))) {
        Conclusion::BelowFloor
    } else if any(|verdict| matches!(verdict, Verdict::TooNoisy(_))) {
        Conclusion::TooNoisy
    } else {
        Conclusion::Holds
    }
}

fn row(samples: &Samples, mtu: u16, test: &'static Test) -> Row {
    let own = samples.rounds(mtu, test.name, "privlink");
    let rounds_of = |subject| match subject {
        "privlink" => own,
        _ => samples.rounds(mtu, test.references.unwrap_or(test.name), subject),
    };
    let reference = |of| match of {
        Reference::OffloadOff => samples.rounds(mtu, "tcp-1-flow-offload-off", "privlink"),
        _ => rounds_of(of.name()),
    };
    let noise = Reference::SHOWN
        .into_iter()
        .filter_map(|of| Some((of, spread(reference(of))?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, spread)| *spread > NOISY);
    let missed = |bounds: &[Bound]| {
        let at_this_mtu = bounds
            .iter()
            .filter(|bound| bound.mtu.is_none_or(|only| only == mtu));
        at_this_mtu
            .filter_map(|&bound| {
                let is = paired_ratio(own, reference(bound.of))?;
                let holds = match test.less_is_better {
                    true => is <= bound.ratio,
                    false => is >= bound.ratio,
                };
                (!holds).then_some(Miss::Ratio { bound, is })
            })
            .collect::<Vec<_>>()
    };
    let (below, mut short) = (missed(test.floors), missed(test.goals));
    let over = |limit: &f64| median(own).is_some_and(|own| own > *limit);
    short.extend(test.limit.filter(over).map(Miss::Limit));
    let judged =
        test.limit.is_some() || test.goals.iter().any(|goal| !reference(goal.of).is_empty());
    Row {
        mtu,
        test,
        medians: SUBJECTS.map(|subject| median(rounds_of(subject))),
        ratios: Reference::SHOWN.map(|of| paired_ratio(own, reference(of))),
        verdict: match (below.is_empty(), noise.is_some(), short.is_empty()) {
            (false, true, _) => Verdict::TooNoisy(below),
            (false, false, _) => Verdict::BelowFloor(below),
            (true, _, false) => Verdict::Missed(short),
            (true, _, true) if judged => Verdict::Met,
            _ => Verdict::None,
        },
        noise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on the only test of these rounds.
    fn judged(test: &str, subjects: &[(&str, &[f64])]) -> Row {
        let mut text = String::new();
        for (subject, rounds) in subjects {
            for value in *rounds {
                text += &format!("1500\t{test}\t{subject}\t{value}\n");
            }
        }
        rows(&Samples::parse(&text).unwrap()).pop().unwrap()
    }

    const STEADY: &[f64] = &[10.0, 10.1, 9.9, 10.0, 10.0];
    const UNSTEADY: &[f64] = &[10.0, 14.0, 7.0, 13.0, 8.0];

    #[test]
    fn goals_met() {
        let row = judged(
            "tcp-4-flows",
            &[
                ("pump", STEADY),
                ("haproxy", STEADY),
                ("privlink", &[14.0; 5]),
            ],
        );
        assert_eq!(row.verdict, Verdict::Met);
        assert_eq!(
            row.ratios
                .map(|ratio| ratio.map(|ratio| (ratio * 100.0).round())),
            [Some(140.0), Some(140.0), None]
        );
        assert_eq!(conclude(&[row]), Conclusion::Holds);
    }

    #[test]
    fn above_the_floor_but_short_of_the_goal() {
        let row = judged("tcp-4-flows", &[("pump", STEADY), ("privlink", &[10.8; 5])]);
        assert!(
            matches!(&row.verdict, Verdict::Missed(misses) if misses.len() == 1),
            "{:?}",
            row.verdict
        );
        assert_eq!(conclude(&[row]), Conclusion::Holds);
    }

    #[test]
    fn below_the_floor_fails_on_a_quiet_machine_and_concludes_nothing_on_a_noisy_one() {
        let quiet = judged("tcp-4-flows", &[("pump", STEADY), ("privlink", &[10.0; 5])]);
        assert!(
            matches!(quiet.verdict, Verdict::BelowFloor(_)),
            "{:?}",
            quiet.verdict
        );
        let noisy = judged(
            "tcp-4-flows",
            &[("pump", UNSTEADY), ("privlink", &[10.0; 5])],
        );
        assert!(
            matches!(noisy.verdict, Verdict::TooNoisy(_)),
            "{:?}",
            noisy.verdict
        );
        assert_eq!(conclude(&[noisy]), Conclusion::TooNoisy);
        let noisy = judged(
            "tcp-4-flows",
            &[("pump", UNSTEADY), ("privlink", &[10.0; 5])],
        );
        assert_eq!(conclude(&[quiet, noisy]), Conclusion::BelowFloor);
    }

    #[test]
    fn where_less_is_better_a_greater_ratio_is_the_worse() {
        let slow = judged(
            "ping-pong-p50",
            &[("kernel", STEADY), ("privlink", &[11.0; 5])],
        );
        assert!(
            matches!(slow.verdict, Verdict::BelowFloor(_)),
            "{:?}",
            slow.verdict
        );
        let fast = judged(
            "ping-pong-p50",
            &[("kernel", STEADY), ("privlink", &[4.0; 5])],
        );
        assert_eq!(fast.verdict, Verdict::Met);
    }

    #[test]
    fn a_variant_is_compared_with_the_references_of_the_test_it_varies() {
        let text = "1500\ttcp-1-flow\tpump\t10\n1500\ttcp-1-flow\tprivlink\t12.5\n\
                    1500\ttcp-1-flow-offload-off\tprivlink\t5\n1500\ttcp-1-flow-64-instances\tprivlink\t11\n";
        let rows = rows(&Samples::parse(text).unwrap());
        let names: Vec<_> = rows.iter().map(|row| row.test.name).collect();
        assert_eq!(
            names,
            [
                "tcp-1-flow",
                "tcp-1-flow-64-instances",
                "tcp-1-flow-offload-off"
            ]
        );
        assert_eq!(rows[1].ratios[0], Some(1.1));
        let Verdict::BelowFloor(misses) = &rows[0].verdict else {
            panic!(
                "2.5 times its own run without offload: {:?}",
                rows[0].verdict
            )
        };
        assert!(
            matches!(misses[..], [Miss::Ratio { is: 2.5, .. }]),
            "{misses:?}"
        );
    }

    #[test]
    fn an_absolute_goal_is_held_by_the_median() {
        assert_eq!(
            judged("start", &[("privlink", &[120.0, 900.0, 110.0])]).verdict,
            Verdict::Met
        );
        assert_eq!(
            judged("start", &[("privlink", &[220.0, 90.0, 210.0])]).verdict,
            Verdict::Missed(vec![Miss::Limit(200.0)])
        );
    }
}
