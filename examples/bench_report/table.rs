//! The rows for a terminal.

use super::Machine;
use super::catalogue::{Bound, Reference};
use super::judge::{Conclusion, Miss, NOISY, Row, Verdict, conclude};

const HEAD: [&str; 10] = [
    "TEST", "UNIT", "KERNEL", "HAPROXY", "PUMP", "PRIVLINK", "/PUMP", "/HAPROXY", "/KERNEL",
    "GOALS",
];

pub fn text(rows: &[Row], machine: &Machine, colour: bool) -> String {
    let mut text = String::new();
    for of_one_mtu in rows.chunk_by(|a, b| a.mtu == b.mtu) {
        text += &format!(
            "\nMTU {}; medians of {} rounds of {} s; ratios are medians of the rounds' own\n",
            of_one_mtu[0].mtu, machine.rounds, machine.seconds
        );
        text += &aligned(of_one_mtu, colour);
    }
    text += "\nUp: more is better. Down: less is better, also in the ratios.\n";
    for row in rows {
        let Some((of, spread)) = row.noise else {
            continue;
        };
        text += &format!(
            "too noisy: {}, MTU {}: the quartiles of {}'s own rounds are {:.0} % apart (at most {:.0} %)\n",
            row.test.name,
            row.mtu,
            of.name(),
            spread * 100.0,
            NOISY * 100.0
        );
    }
    text += match conclude(rows) {
        Conclusion::Holds => "ok: every floor holds\n",
        Conclusion::BelowFloor => "FAILED: privlink is below a floor\n",
        Conclusion::TooNoisy => {
            "no conclusion: privlink is below a floor, but the machine is too noisy to believe it; repeat on a quiet one\n"
        }
    };
    text
}

fn aligned(rows: &[Row], colour: bool) -> String {
    let lines: Vec<_> = std::iter::once(HEAD.map(str::to_owned))
        .chain(rows.iter().map(cells))
        .collect();
    let widths: [usize; HEAD.len()] = std::array::from_fn(|column| {
        let width = |line: &[String; HEAD.len()]| line[column].chars().count();
        lines.iter().map(width).max().unwrap_or(0)
    });
    let mut text = String::new();
    for (line, cells) in lines.iter().enumerate() {
        let paint = match line.checked_sub(1).map(|row| &rows[row].verdict) {
            Some(Verdict::Met) => "\x1b[32m",
            Some(Verdict::Missed(_) | Verdict::TooNoisy(_)) => "\x1b[33m",
            Some(Verdict::BelowFloor(_)) => "\x1b[31m",
            Some(Verdict::None) | None => "",
        };
        for (column, cell) in cells.iter().enumerate() {
            let width = widths[column];
            text += &match column {
                0 | 1 => format!("{cell:width$}  "),
                9 if colour && !paint.is_empty() => format!("{paint}{cell}\x1b[0m"),
                9 => cell.clone(),
                _ => format!("{cell:>width$}  "),
            };
        }
        text += "\n";
    }
    text
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let arrow = if row.test.less_is_better {
        "down"
    } else {
        "up"
    };
    let [kernel, haproxy, pump, privlink] =
        row.medians.map(|value| value.map_or("-".into(), number));
    let [of_pump, of_haproxy, of_kernel] = row
        .ratios
        .map(|ratio| ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")));
    [
        row.test.name.into(),
        format!("{} {arrow}", row.test.unit),
        kernel,
        haproxy,
        pump,
        privlink,
        of_pump,
        of_haproxy,
        of_kernel,
        verdict(row),
    ]
}

fn verdict(row: &Row) -> String {
    let list = |misses: &[Miss]| {
        let misses: Vec<_> = misses.iter().map(|miss| describe(miss, row)).collect();
        misses.join(", ")
    };
    match &row.verdict {
        Verdict::None => String::new(),
        Verdict::Met => "met".into(),
        Verdict::Missed(misses) => format!("missed: {}", list(misses)),
        Verdict::BelowFloor(misses) => format!("BELOW THE FLOOR: {}", list(misses)),
        Verdict::TooNoisy(misses) => format!("too noisy to say: floor {}", list(misses)),
    }
}

/// `1.20 of pump`: the bound, as its ratio stands in the row already.
fn describe(miss: &Miss, row: &Row) -> String {
    match miss {
        Miss::Ratio {
            bound:
                Bound {
                    of: Reference::OffloadOff,
                    ratio,
                    ..
                },
            is,
        } => {
            format!(
                "{ratio:.2} of {} (is {is:.2})",
                Reference::OffloadOff.name()
            )
        }
        Miss::Ratio { bound, .. } => format!("{:.2} of {}", bound.ratio, bound.of.name()),
        Miss::Limit(limit) => format!("{limit} {}", row.test.unit),
    }
}

/// Three digits that count: `0.123`, `12.3`, `1,230`, `101,000`.
pub fn number(value: f64) -> String {
    let digits = 2 - value.abs().log10().floor().min(2.0) as i32;
    if digits > 0 {
        return format!("{value:.*}", digits as usize);
    }
    let unit = 10f64.powi((value.abs().log10().floor() as i32 - 2).max(0));
    let plain = format!("{:.0}", (value / unit).round() * unit);
    let mut grouped = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_number_has_three_digits_that_count() {
        for (value, text) in [
            (0.1234, "0.123"),
            (1.0, "1.00"),
            (12.34, "12.3"),
            (123.4, "123"),
            (999.9, "1,000"),
            (10_449.0, "10,400"),
            (1_234_567.0, "1,230,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
