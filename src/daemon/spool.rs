//! Lines for a file, pipe or terminal that may be slow, full or gone: a thread of its own writes them.
//!
//! Invariants: [`Spool::push`] neither waits nor fails; what waits is bounded; a line is written as a whole or not at
//! all, and those that are not are counted.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How many bytes may wait; a single longer line waits alone.
const WAITING: usize = 1 << 20;
/// How long a file that takes nothing at present (`O_NONBLOCK`) is left alone.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the end of the program waits for a reader that takes nothing.
const FAREWELL: Duration = Duration::from_secs(1);

/// The lines that wait for their thread.
#[derive(Clone, Debug, Default)]
pub struct Spool(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that found no room since the thread looked last.
    lost: u64,
    /// What the thread has taken and is writing, and how much it has written so far.
    in_hand: bool,
    written: u64,
    is_closed: bool,
}

/// What becomes of the lines, where it is not simply that they are written.
#[derive(Debug)]
pub enum Trouble<'a> {
    /// A write has failed; until one succeeds lines are lost.
    Failing(&'a io::Error),
    /// A write has succeeded again.
    Over {
        /// Lines lost meanwhile.
        lost: u64,
    },
    /// Lines came faster than they could be written.
    TooSlow {
        /// Lines lost.
        lost: u64,
    },
}

impl Spool {
    /// Starts the thread, called `name`, that writes to `out`. `on_trouble` runs on that thread.
    pub fn start(
        &self,
        name: &str,
        out: impl Write + Send + 'static,
        mut on_trouble: impl FnMut(Trouble<'_>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let run = move || {
            let mut appender = Appender::new(out);
            while let Some((batch, lost)) = shared.take() {
                let progress = |written| shared.queue.lock().written += written as u64;
                appender.append(&batch, progress, &mut on_trouble);
                if lost > 0 {
                    appender.too_slow(lost, &mut on_trouble);
                }
                shared.queue.lock().in_hand = false;
                shared.changed.notify_all();
            }
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map(drop)
    }

    /// Has a line (with its line end) written, or counts it as lost.
    pub fn push(&self, line: Vec<u8>) {
        let mut queue = self.0.queue.lock();
        if queue.bytes > 0 && queue.bytes + line.len() > WAITING {
            queue.lost += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Ends the thread once all is written. Waits for that while lines are taken, and not for a reader that takes none.
    pub fn finish(&self) {
        let mut queue = self.0.queue.lock();
        queue.is_closed = true;
        self.0.changed.notify_all();
        let (mut written, mut since) = (queue.written, Instant::now());
        while queue.in_hand || !queue.lines.is_empty() {
            let wait = self.0.changed.wait_until(&mut queue, since + FAREWELL);
            if queue.written > written {
                (written, since) = (queue.written, Instant::now());
            } else if wait.timed_out() {
                return;
            }
        }
    }
}

impl Shared {
    /// All lines that wait, as soon as there are any, and how many were lost behind them; `None` at the end.
    fn take(&self) -> Option<(Vec<u8>, u64)> {
        let mut queue = self.queue.lock();
        while queue.lines.is_empty() {
            if queue.is_closed {
                return None;
            }
            self.changed.wait(&mut queue);
        }
        queue.in_hand = true;
        queue.bytes = 0;
        let lines = std::mem::take(&mut queue.lines);
        let lost = std::mem::take(&mut queue.lost);
        drop(queue);
        Some((lines.into_iter().flatten().collect(), lost))
    }
}

/// Writes whole lines, also across failures in the middle of one.
struct Appender<W> {
    out: W,
    /// The end of a line whose beginning is written.
    rest: Vec<u8>,
    is_failing: bool,
    lost: u64,
}

impl<W: Write> Appender<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            rest: Vec::new(),
            is_failing: false,
            lost: 0,
        }
    }

    /// Writes `batch`, lines with their ends, behind what is left of the last one.
    fn append(
        &mut self,
        batch: &[u8],
        mut progress: impl FnMut(usize),
        on_trouble: &mut impl FnMut(Trouble<'_>),
    ) {
        let mut text = std::mem::take(&mut self.rest);
        let begun = text.len();
        text.extend_from_slice(batch);
        let mut at = 0;
        while at < text.len() {
            match self.out.write(&text[at..]) {
                Ok(0) => {
                    return self.fail(&text, begun, at, &ErrorKind::WriteZero.into(), on_trouble);
                }
                Ok(length) => {
                    at += length;
                    progress(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return self.fail(&text, begun, at, &error, on_trouble),
            }
        }
        if std::mem::take(&mut self.is_failing) {
            let lost = std::mem::take(&mut self.lost);
            on_trouble(Trouble::Over { lost });
        }
    }

    /// Lines were lost behind those that were appended last.
    fn too_slow(&mut self, lost: u64, on_trouble: &mut impl FnMut(Trouble<'_>)) {
        match self.is_failing {
            true => self.lost += lost,
            false => on_trouble(Trouble::TooSlow { lost }),
        }
    }

    /// `text` is written up to `at`; its first `begun` bytes are the rest of a line.
    #[cold]
    fn fail(
        &mut self,
        text: &[u8],
        begun: usize,
        at: usize,
        error: &io::Error,
        on_trouble: &mut impl FnMut(Trouble<'_>),
    ) {
        let is_within = match at {
            0 => begun > 0,
            _ => text[at - 1] != b'\n',
        };
        let line_end = |from: usize| {
            let length = text[from..].iter().position(|byte| *byte == b'\n');
            length.map_or(text.len(), |length| from + length + 1)
        };
        let kept = if is_within { line_end(at) } else { at };
        self.rest = text[at..kept].to_vec();
        self.lost += text[kept..].iter().filter(|byte| **byte == b'\n').count() as u64;
        if !std::mem::replace(&mut self.is_failing, true) {
            on_trouble(Trouble::Failing(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Takes so many bytes in all, then fails, until there is more room.
    #[derive(Default)]
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.room);
            if length == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= length;
            self.text.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Appends this; what there was to say.
    fn append(appender: &mut Appender<Disk>, room: usize, batch: &str) -> Vec<String> {
        appender.out.room = room;
        let mut said = Vec::new();
        appender.append(batch.as_bytes(), drop, &mut |trouble| {
            said.push(format!("{trouble:?}"));
        });
        said
    }

    #[test]
    fn a_full_disk_loses_whole_lines_and_goes_on_where_it_was_when_there_is_room() {
        let mut appender = Appender::new(Disk::default());
        assert!(append(&mut appender, 100, "one\n").is_empty());
        // In the middle of a line, whose rest comes first later on.
        assert_eq!(
            append(&mut appender, 2, "two\nthree\n"),
            ["Failing(Kind(StorageFull))"]
        );
        assert!(append(&mut appender, 0, "four\n").is_empty());
        assert!(append(&mut appender, 1, "five\n").is_empty());
        assert_eq!(append(&mut appender, 100, "six\n"), ["Over { lost: 3 }"]);
        // Between two lines.
        assert_eq!(
            append(&mut appender, 6, "seven\neight\n"),
            ["Failing(Kind(StorageFull))"]
        );
        assert_eq!(append(&mut appender, 100, "nine\n"), ["Over { lost: 1 }"]);
        let text = String::from_utf8(appender.out.text).unwrap();
        assert_eq!(text, "one\ntwo\nsix\nseven\nnine\n");
    }

    #[test]
    fn a_pipe_that_is_not_read_holds_up_neither_a_line_nor_the_end() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (said, trouble) = std::sync::mpsc::channel();
        let spool = Spool::default();
        spool
            .start("test", writer, move |trouble| {
                let _ = said.send(format!("{trouble:?}"));
            })
            .unwrap();
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        for _ in 0..4_000 {
            spool.push(line.clone());
        }
        spool.finish();
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(lines.iter().all(|found| **found == line));
        let lost: Vec<_> = trouble.iter().collect();
        assert!(
            lost.iter().all(|trouble| trouble.starts_with("TooSlow")),
            "{lost:?}"
        );
        let lost: u64 = lost
            .iter()
            .map(|trouble| {
                trouble
                    .chars()
                    .filter(char::is_ascii_digit)
                    .collect::<String>()
            })
            .map(|count| count.parse::<u64>().unwrap())
            .sum();
        assert_eq!(lines.len() as u64 + lost, 4_000);
        // A pipe and what may wait.
        assert!(text.len() < 3 * WAITING, "{} bytes waited", text.len());
    }
}
