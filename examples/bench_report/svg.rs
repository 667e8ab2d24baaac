//! The comparison as a picture for README.md: absolute values as bars, the best of each test reaching to the end.

use super::Machine;
use super::judge::Row;
use super::samples::SUBJECTS;
use super::table::number;

/// What is drawn, at the smallest MTU that was measured: the rest stands in the table.
const DRAWN: &[&str] = &[
    "tcp-1-flow",
    "tcp-4-flows",
    "http-keep-alive",
    "http-close",
    "udp-64-bytes",
    "ping-pong-p50",
    "cpu-at-2-gbit",
];

const WIDTH: f64 = 920.0;
const MARGIN: f64 = 28.0;
const TOP: f64 = 82.0;
const BARS: f64 = 355.0;
const LONGEST: f64 = 285.0;
const BAR: f64 = 13.0;
const STEP: f64 = 17.0;
const GAP: f64 = 22.0;

/// A card of its own colour, so that the text can be read on whatever page it stands.
const STYLE: &str = "
    text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
    .card { fill: #ffffff; stroke: #d0d7de }
    .title { font-size: 17px; font-weight: 600 }
    .small { font-size: 12px; font-weight: 400; fill: #59636e }
    .test { font-weight: 600 }
    .kernel { fill: #8b949e } .haproxy { fill: #b1bac4 } .pump { fill: #cfd6dd } .privlink { fill: #0f8a6c }
    .own { font-weight: 600; fill: #0b6e56 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .card { fill: #0d1117; stroke: #30363d }
      .small { fill: #9198a1 }
      .kernel { fill: #8b949e } .haproxy { fill: #656d76 } .pump { fill: #444c56 } .privlink { fill: #2fb893 }
      .own { fill: #4fd1ad }
    }
";

pub fn draw(rows: &[Row], machine: &Machine) -> String {
    let smallest = rows.first().map(|row| row.mtu);
    let drawn: Vec<_> = DRAWN
        .iter()
        .filter_map(|name| {
            rows.iter()
                .find(|row| row.test.name == *name && Some(row.mtu) == smallest)
        })
        .collect();
    let mut body = String::new();
    let mut y = TOP;
    for row in &drawn {
        y = group(&mut body, row, y);
    }
    let height = y + 16.0;
    let head = format!(
        "{}{}",
        text(
            MARGIN,
            38.0,
            "title",
            "privlink beside the kernel's NAT, haproxy and a bare TUN pump"
        ),
        text(
            MARGIN,
            59.0,
            "small",
            &format!(
                "MTU {}, {} cores, {}, Linux {}; medians of {} rounds in turn; commit {}",
                smallest.unwrap_or(0),
                machine.cores,
                machine.processor,
                machine.kernel,
                machine.rounds,
                machine.commit
            )
        )
    );
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">
<title>privlink's speed beside kernel NAT, haproxy and a TUN pump</title>
<style>{STYLE}</style>
<rect class="card" x="0.5" y="0.5" width="{}" height="{}" rx="8"/>
{head}{body}</svg>
"#,
        WIDTH - 1.0,
        height - 1.0
    )
}

/// One test's bars from `y` down; where the next one may begin.
fn group(body: &mut String, row: &Row, mut y: f64) -> f64 {
    let sense = if row.test.less_is_better {
        "less is better"
    } else {
        "more is better"
    };
    *body += &text(MARGIN, y + 11.0, "test", row.test.title);
    *body += &text(
        MARGIN,
        y + 28.0,
        "small",
        &format!("{}, {sense}", row.test.unit),
    );
    let longest = row
        .medians
        .iter()
        .flatten()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    for (subject, median) in SUBJECTS.iter().zip(row.medians) {
        let (class, note) = match *subject {
            "privlink" => ("own", ratios(row)),
            _ => ("small", String::new()),
        };
        *body += &format!(
            r#"<text class="{class}" x="{}" y="{}" text-anchor="end">{subject}</text>"#,
            BARS - 8.0,
            y + 11.0
        );
        *body += &match median {
            None => text(BARS + 1.0, y + 11.0, "small", "cannot"),
            Some(median) => {
                let width = (median / longest * LONGEST).max(2.0);
                let end = BARS + width + 7.0;
                format!(
                    r#"<rect class="{subject}" x="{BARS}" y="{y}" width="{width:.1}" height="{BAR}" rx="2"/>
<text class="{class}" x="{end:.1}" y="{:.1}">{}<tspan class="small" dx="9">{note}</tspan></text>
"#,
                    y + 11.0,
                    number(median)
                )
            }
        };
        y += STEP;
    }
    y + GAP
}

/// `2.04 of haproxy, 1.07 of kernel`, as far as they were measured.
fn ratios(row: &Row) -> String {
    let [_, of_haproxy, of_kernel] = row.ratios;
    let ratios = [(of_haproxy, "haproxy"), (of_kernel, "kernel")];
    let known = ratios
        .iter()
        .filter_map(|(ratio, name)| Some(format!("{:.2} of {name}", (*ratio)?)));
    known.collect::<Vec<_>>().join(", ")
}

fn text(x: f64, y: f64, class: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::DRAWN;
    use crate::catalogue;

    #[test]
    fn what_is_drawn_stands_in_the_catalogue() {
        for name in DRAWN {
            assert!(catalogue::find(name).is_some(), "{name}");
        }
    }
}
