//! Puts a run's picture and figures into the documents: `docs/performance.svg`, and README.md between two marks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Machine;
use super::judge::Row;
use super::table::number;

const BEGIN: &str = "<!-- bench: begin -->\n";
const END: &str = "<!-- bench: end -->\n";

pub fn publish(repository: &Path, rows: &[Row], machine: &Machine) -> Result<()> {
    let readme = repository.join("README.md");
    let text = fs::read_to_string(&readme).context("README.md")?;
    fs::write(&readme, replaced(&text, &section(rows, machine))?)?;
    let picture = repository.join("docs/performance.svg");
    fs::write(picture, super::svg::draw(rows, machine)).context("docs/performance.svg")
}

fn replaced(text: &str, section: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .context("README.md has no mark where the figures begin")?;
    let (_, after) = rest
        .split_once(END)
        .context("README.md has no mark where the figures end")?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

/// A line per test of the smallest MTU.
fn section(rows: &[Row], machine: &Machine) -> String {
    let mut text = format!(
        "![privlink beside kernel NAT, haproxy and a TUN pump](docs/performance.svg)\n\n\
         `{}` at commit {} on {}, {} cores ({}), Linux {}, TCP {}; MTU {}, medians of {} rounds of {} s:\n\n\
         | | unit | kernel | haproxy | pump | **privlink** | of pump | of haproxy | of kernel |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
        machine.command,
        machine.commit,
        machine.date,
        machine.cores,
        machine.processor,
        machine.kernel,
        machine.congestion_control.to_uppercase(),
        rows.first().map_or(0, |row| row.mtu),
        machine.rounds,
        machine.seconds
    );
    for row in rows.iter().take_while(|row| row.mtu == rows[0].mtu) {
        let less = if row.test.less_is_better {
            ", less is better"
        } else {
            ""
        };
        let [kernel, haproxy, pump, privlink] =
            row.medians.map(|value| value.map_or(String::new(), number));
        let [of_pump, of_haproxy, of_kernel] = row
            .ratios
            .map(|ratio| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")));
        text += &format!(
            "| {} | {}{less} | {kernel} | {haproxy} | {pump} | **{privlink}** | {of_pump} | {of_haproxy} | {of_kernel} |\n",
            row.test.title, row.test.unit
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(
            replaced(&text, "new\n").unwrap(),
            format!("before\n{BEGIN}new\n{END}after\n")
        );
        assert!(replaced("no marks\n", "new\n").is_err());
    }
}
