//! How results look: aligned tables, JSON, rounded sizes and times, errors.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets,
};
use serde::Serialize;

use crate::daemon::print_stderr;

/// How long a program that has run for long waits for its last words to be read.
const FAREWELL: Duration = Duration::from_secs(1);
/// Blanks between two columns.
const BETWEEN: u16 = 2;

/// A column's title and on which side its cells stand.
pub(crate) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// Rows under a header, columns aligned, no lines: made to be read and to be `awk`ed. Nothing where there are no rows.
pub(crate) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    Pages::new(columns).next(rows)
}

/// A table that is written page by page: the header stands above the first row, and a column never becomes narrower.
pub(crate) struct Pages<'a> {
    columns: &'a [Column],
    /// Of each column so far, without what separates it from the next.
    widths: Vec<u16>,
}

impl<'a> Pages<'a> {
    /// Nothing has been written.
    pub(crate) fn new(columns: &'a [Column]) -> Self {
        Self {
            columns,
            widths: Vec::new(),
        }
    }

    /// The text of the next rows.
    pub(crate) fn next(&mut self, rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        for row in rows {
            table.add_row(
                self.columns
                    .iter()
                    .zip(row)
                    .map(|(column, text)| match column {
                        Column::Left(_) => Cell::new(text),
                        Column::Right(_) => Cell::new(text).set_alignment(CellAlignment::Right),
                    }),
            );
        }
        let mut out = String::new();
        if table.is_empty() {
            return out;
        }
        if self.widths.is_empty() {
            self.widths.resize(self.columns.len(), 0);
            table.set_header(self.columns.iter().map(|column| match column {
                Column::Left(title) => Cell::new(title),
                Column::Right(title) => Cell::new(title).set_alignment(CellAlignment::Right),
            }));
        }
        let contents = table.column_max_content_widths();
        for (width, content) in self.widths.iter_mut().zip(contents) {
            *width = content.max(*width);
        }
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            column.set_padding((0, BETWEEN));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + BETWEEN)));
        }
        for line in table.lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// The same, with each row's stack before it where there are several stacks.
pub(crate) fn stack_table<'a>(
    columns: Vec<Column>,
    rows: impl IntoIterator<Item = (&'a String, Vec<String>)>,
    stacks: bool,
) -> String {
    if !stacks {
        return table(&columns, rows.into_iter().map(|(_, row)| row));
    }
    let columns: Vec<_> = [Column::Left("STACK")].into_iter().chain(columns).collect();
    let rows = rows.into_iter().map(|(stack, mut row)| {
        row.insert(0, stack.clone());
        row
    });
    table(&columns, rows)
}

/// Pretty JSON with a line end.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

/// An array in pretty JSON that is written page by page: the same text as [`json`] has for all of it.
#[derive(Default)]
pub(crate) struct JsonPages {
    is_open: bool,
}

impl JsonPages {
    /// The text of the next elements.
    pub(crate) fn next(&mut self, rows: &[impl Serialize]) -> Result<String> {
        if rows.is_empty() {
            return Ok(String::new());
        }
        let text = serde_json::to_string_pretty(rows)?;
        let elements = text.trim_start_matches('[').trim_end_matches("\n]");
        let before = if self.is_open { "," } else { "[" };
        self.is_open = true;
        Ok(format!("{before}{elements}"))
    }

    /// What ends it.
    pub(crate) fn end(self) -> &'static str {
        if self.is_open { "\n]\n" } else { "[]\n" }
    }
}

/// Writes to stdout. A reader that has gone (`| head`) wants no more, which is not an error.
pub(crate) fn write_stdout(text: &str) -> Result<()> {
    write_more(text.as_bytes()).map(drop)
}

/// Writes a part of what is to come to stdout; breaks when its reader has gone.
pub(crate) fn write_more(bytes: &[u8]) -> Result<ControlFlow<()>> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// Prints what has been done. It is done all the same where that cannot be printed, which is a warning, and no failure.
pub(crate) fn write_done(text: &str) {
    if let Err(error) = write_stdout(text) {
        print_warning(&format!("it is done, but not printed: {error:#}"));
    }
}

/// As [`write_stdout`], for the last words of a program that has run for long: its reader may have stopped to read, and is not waited for.
pub(crate) fn write_farewell(text: &'static str) -> Result<()> {
    let (written, outcome) = mpsc::channel();
    // Without a thread its sender is dropped, and they are left out.
    let _ = thread::Builder::new().spawn(move || written.send(write_stdout(text)));
    outcome.recv_timeout(FAREWELL).unwrap_or(Ok(()))
}

/// The one form of every error, also of several at once: a line for each, and below it, indented, what belongs to it.
pub(crate) fn print_error(error: &anyhow::Error) {
    let word = paint("error:", Colour::Red, std::io::stderr().is_terminal());
    for line in format!("{error:#}").lines() {
        match line.starts_with(' ') {
            true => print_stderr(format_args!("{line}\n")),
            false => print_stderr(format_args!("privlink: {word} {line}\n")),
        }
    }
}

/// What comes next, and is no part of the output.
pub(crate) fn print_note(text: &str) {
    print_stderr(format_args!("privlink: note: {text}\n"));
}

/// What the user should know though the command goes on.
pub(crate) fn print_warning(text: &str) {
    let word = paint("warning:", Colour::Yellow, std::io::stderr().is_terminal());
    print_stderr(format_args!("privlink: {word} {text}\n"));
}

/// The colours in use.
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    /// Failures.
    Red,
    /// What may become one.
    Yellow,
    /// What works now.
    Green,
}

/// `text` in `colour`, on a terminal whose user has not set NO_COLOR.
pub(crate) fn paint(text: &str, colour: Colour, is_terminal: bool) -> String {
    if !may_colour(is_terminal) {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Red => "1;31",
        Colour::Yellow => "1;33",
        Colour::Green => "1;32",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// See <https://no-color.org>.
pub(crate) fn may_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `172.18.0.80-172.18.0.95` as `172.18.0.80-95`: people see the range, programs have JSON.
pub(crate) fn short_ranges(ranges: &str) -> String {
    let short = |range: &str| match range.split_once('-') {
        Some((first, last)) => {
            let network = first.rfind('.').map_or("", |dot| &first[..=dot]);
            format!("{first}-{}", last.strip_prefix(network).unwrap_or(last))
        }
        None => range.to_owned(),
    };
    ranges.split(',').map(short).collect::<Vec<_>>().join(",")
}

/// `1.5 GiB`; below 10 KiB exactly.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 10 * 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// `0.3s`, `42s`, `3m07s`, `2h15m`, `4d03h`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// `1 instance`, `2 instances`.
pub(crate) fn count(number: usize, noun: impl Display) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_only_where_they_are_large() {
        for (count, expected) in [
            (0, "0 B"),
            (10_239, "10239 B"),
            (10_240, "10.0 KiB"),
            (104_857_600, "100.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn a_range_repeats_only_what_differs() {
        for (ranges, expected) in [
            ("172.18.0.80-172.18.0.95", "172.18.0.80-95"),
            (
                "172.18.0.250-172.18.1.9,10.0.0.1",
                "172.18.0.250-172.18.1.9,10.0.0.1",
            ),
            ("", ""),
        ] {
            assert_eq!(short_ranges(ranges), expected);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (0.34, "0.3s"),
            (42.9, "42s"),
            (187.0, "3m07s"),
            (8_100.0, "2h15m"),
            (356_400.0, "4d03h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_do_not_end_in_blanks() {
        let text = table(
            &[
                Column::Left("NAME"),
                Column::Right("PACKETS"),
                Column::Left("NOTE"),
            ],
            [
                vec!["a".into(), "5".into(), String::new()],
                vec!["longer-name".into(), "1234567890".into(), "x".into()],
            ],
        );
        assert_eq!(
            text,
            "NAME            PACKETS  NOTE\na                     5\nlonger-name  1234567890  x\n"
        );
    }
    #[test]
    fn pages_of_a_table_are_one_table() {
        let columns = [Column::Left("NAME"), Column::Right("PACKETS")];
        let mut pages = Pages::new(&columns);
        let row = |name: &str, packets: &str| [vec![name.into(), packets.into()]];
        assert_eq!(pages.next([]), "");
        assert_eq!(pages.next(row("a", "5")), "NAME  PACKETS\na           5\n");
        assert_eq!(pages.next([]), "");
        assert_eq!(pages.next(row("b", "12")), "b          12\n");
        assert_eq!(
            pages.next(row("longer-name", "1234567890")),
            "longer-name  1234567890\n"
        );
        assert_eq!(pages.next(row("c", "7")), "c                     7\n");
    }

    #[test]
    fn pages_of_an_array_are_one_array() {
        for pages in [&[][..], &[&[][..]], &[&[1, 2]], &[&[1], &[], &[2, 3], &[4]]] {
            let mut array = JsonPages::default();
            let mut text: String = pages.iter().map(|page| array.next(page).unwrap()).collect();
            text.push_str(array.end());
            assert_eq!(text, json(&pages.concat()).unwrap());
        }
    }
}
