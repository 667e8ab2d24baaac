//! What `scripts/bench.sh` measured, evaluated: medians, ratios, whether the goals are met, and a picture.
//!
//! ```text
//! cargo run --release --example bench_report -- target/bench              # evaluate the last run again
//! cargo run --release --example bench_report -- target/bench --publish    # and put it into README.md and docs/
//! ```
//!
//! Reads `samples.tsv` and `machine.json` of that directory; writes `results.json` and `comparison.svg` beside them.
//! Exit code 1: below a floor. 3: the machine was too noisy to tell.

mod catalogue;
mod judge;
mod publish;
mod samples;
mod svg;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::{Context, Result, bail};
use io::IsTerminal;
use serde::Deserialize;

use judge::Conclusion;
use samples::Samples;

/// Where and how the samples came to be.
#[derive(Deserialize)]
struct Machine {
    commit: String,
    date: String,
    command: String,
    kernel: String,
    /// Of TCP, in the namespaces; not in the tests that name another.
    congestion_control: String,
    processor: String,
    cores: u32,
    rounds: u32,
    seconds: u32,
}

fn main() -> Result<ExitCode> {
    let (directory, publish) = arguments()?;
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let samples = Samples::parse(&read("samples.tsv")?)?;
    let machine: Machine = serde_json::from_str(&read("machine.json")?).context("machine.json")?;
    let rows = judge::rows(&samples);

    let results = serde_json::to_string_pretty(&samples.results())?;
    fs::write(directory.join("results.json"), results + "\n")?;
    fs::write(directory.join("comparison.svg"), svg::draw(&rows, &machine))?;
    let colour = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    print!("{}", table::text(&rows, &machine, colour));
    if publish {
        publish::publish(Path::new("."), &rows, &machine)?;
    }
    Ok(match judge::conclude(&rows) {
        Conclusion::Holds => ExitCode::SUCCESS,
        Conclusion::BelowFloor => ExitCode::from(1),
        Conclusion::TooNoisy => ExitCode::from(3),
    })
}

fn arguments() -> Result<(PathBuf, bool)> {
    let mut directory = None;
    let mut publish = false;
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--publish" => publish = true,
            _ if argument.starts_with('-') || directory.is_some() => {
                bail!("usage: bench_report DIRECTORY [--publish]")
            }
            _ => directory = Some(PathBuf::from(argument)),
        }
    }
    Ok((
        directory.context("usage: bench_report DIRECTORY [--publish]")?,
        publish,
    ))
}
