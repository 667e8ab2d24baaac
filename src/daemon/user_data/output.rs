//! The output of a script: its beginning and its end, in a file that does not grow, however much is printed.
//!
//! Invariant: who prints is never held up by the file, and the memory and disk for it are bounded. Together they are as
//! long as the console output that EC2 keeps of an instance, 64 KiB.

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::unix::fs::FileExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How much of the beginning is kept, in bytes.
const BEGINNING: usize = 32 << 10;
/// How much of the end.
const END: usize = 32 << 10;
/// How often what is kept of the end is written, at most.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// How much may be read at once.
const READ: usize = 64 << 10;
/// What is read after the script has ended, at most, before that is reported: others may go on to print.
const READS_AT_END: usize = 16;

/// What is kept of an output.
pub struct Output {
    file: File,
    total: u64,
    /// Where the last whole line of the beginning ends.
    line_end: usize,
    /// The newest bytes, [`END`] of them or up to as many more.
    newest: Vec<u8>,
    unsaved: bool,
    /// Why the file could not be written.
    failure: Option<io::Error>,
}

impl Output {
    /// Keeps it in `file`, which is empty.
    pub fn new(file: File) -> Self {
        Self {
            file,
            total: 0,
            line_end: 0,
            newest: Vec::new(),
            unsaved: false,
            failure: None,
        }
    }

    /// Takes what a script and its descendants print until the last of them has closed the pipe. `ended` is called as
    /// soon as the script itself has ended.
    pub fn follow(
        mut self,
        mut pipe: PipeReader,
        mut script: Child,
        ended: impl FnOnce(io::Result<ExitStatus>, &Self),
    ) {
        let mut ended = Some(ended);
        let mut buffer = vec![0; READ];
        let mut saved = Instant::now();
        // Without one its end is noticed when the pipe is closed.
        let process = pidfd_open(Pid::from_child(&script), PidfdFlags::empty()).ok();
        loop {
            let mut fds = vec![PollFd::new(&pipe, PollFlags::IN)];
            if let (Some(process), Some(_)) = (&process, &ended) {
                fds.push(PollFd::new(process, PollFlags::IN));
            }
            let timeout = self.unsaved.then(|| timespec(SAVE_EVERY));
            // Interrupted or not: what can be read is asked again.
            let _ = poll(&mut fds, timeout.as_ref());
            let has_ended = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
            drop(fds);
            let reads = if has_ended { READS_AT_END } else { 1 };
            let is_closed = (0..reads).any(|_| {
                is_readable(&pipe) && !matches!(self.read(&mut pipe, &mut buffer), Ok(1..))
            });
            if is_closed || has_ended || saved.elapsed() >= SAVE_EVERY {
                self.save();
                saved = Instant::now();
            }
            if (is_closed || has_ended)
                && let Some(ended) = ended.take()
            {
                ended(script.wait(), &self);
            }
            if is_closed {
                return;
            }
        }
    }

    /// The last lines, at most so many, of at most so many bytes.
    pub fn last_lines(&self, lines: usize, bytes: usize) -> Vec<String> {
        let skipped = self.newest.len().saturating_sub(bytes);
        let text = String::from_utf8_lossy(&self.newest[skipped..]);
        let all: Vec<_> = text.lines().collect();
        let from = all.len().saturating_sub(lines);
        all[from..].iter().map(ToString::to_string).collect()
    }

    /// Why it could not be kept.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// How much has been read now; 0 at its end.
    fn read(&mut self, pipe: &mut PipeReader, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match pipe.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(length) => {
                    self.take(&buffer[..length]);
                    return Ok(length);
                }
                failed => return failed,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let at = self.total as usize;
        if at < BEGINNING {
            let beginning = &bytes[..bytes.len().min(BEGINNING - at)];
            if let Some(last) = beginning.iter().rposition(|byte| *byte == b'\n') {
                self.line_end = at + last + 1;
            }
            let written = self.file.write_all_at(beginning, at as u64);
            self.note(written);
        }
        self.total += bytes.len() as u64;
        self.unsaved |= self.total > BEGINNING as u64;
        let newest = &bytes[bytes.len().saturating_sub(END)..];
        if self.newest.len() + newest.len() > 2 * END {
            self.newest.drain(..self.newest.len() + newest.len() - END);
        }
        self.newest.extend_from_slice(newest);
    }

    /// Of the newest bytes those that are kept.
    fn end(&self) -> &[u8] {
        &self.newest[self.newest.len().saturating_sub(END)..]
    }

    /// Writes what is kept of the end behind the beginning.
    fn save(&mut self) {
        if !std::mem::take(&mut self.unsaved) {
            return;
        }
        let behind = self.total - BEGINNING as u64;
        let (at, text) = match usize::try_from(behind) {
            Ok(behind) if behind <= END => {
                let end = self.end();
                (BEGINNING, end[end.len() - behind..].to_vec())
            }
            _ => self.end_behind_a_gap(),
        };
        let written = self.file.write_all_at(&text, at as u64);
        let cut = written.and_then(|()| self.file.set_len((at + text.len()) as u64));
        self.note(cut);
    }

    /// Where in the file the end begins and what stands there, when something is left out before it: whole lines where
    /// there are any.
    fn end_behind_a_gap(&self) -> (usize, Vec<u8>) {
        let (at, before) = match self.line_end {
            0 => (BEGINNING, "\n"),
            line_end => (line_end, ""),
        };
        let end = self.end();
        let cut = end.iter().position(|byte| *byte == b'\n');
        let end = match cut {
            Some(cut) if cut + 1 < end.len() => &end[cut + 1..],
            _ => end,
        };
        let left_out = self.total - at as u64 - end.len() as u64;
        let note = format!("{before}[privlink: {left_out} bytes are left out here]\n");
        (at, [note.as_bytes(), end].concat())
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failure.get_or_insert(error);
        }
    }
}

fn is_readable(pipe: &PipeReader) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..))
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the file after all of `texts` were printed, with a look at it after each.
    fn kept<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("log");
        let mut output = Output::new(File::create(&path).unwrap());
        let mut all = String::new();
        for text in texts {
            output.take(text.as_bytes());
            all.push_str(text);
            if all.len() <= BEGINNING {
                assert_eq!(std::fs::read_to_string(&path).unwrap(), all);
            }
            output.save();
        }
        assert!(output.newest.capacity() <= 4 * END);
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn an_output_of_up_to_64_kib_is_kept_as_it_is() {
        for length in [0, 1, BEGINNING, BEGINNING + 1, BEGINNING + END] {
            let text = "0123456789abcde\n".repeat(length.div_ceil(16));
            let text = &text[..length];
            assert_eq!(kept([text]), text, "{length}");
            let (first, second) = text.split_at(length / 3);
            assert_eq!(kept([first, second]), text, "{length}");
        }
    }

    #[test]
    fn of_a_longer_one_whole_lines_of_the_beginning_and_of_the_end_are_kept() {
        let lines: Vec<_> = (0..1_000_000)
            .map(|number| format!("line {number}\n"))
            .collect();
        let text = kept(lines.iter().map(String::as_str));
        assert!(text.len() <= BEGINNING + END + 60, "{} bytes", text.len());
        let (beginning, rest) = text.split_once("[privlink: ").unwrap();
        let (left_out, end) = rest.split_once(" bytes are left out here]\n").unwrap();
        assert!(beginning.starts_with("line 0\n") && beginning.ends_with('\n'));
        assert!(end.starts_with("line ") && end.ends_with("\nline 999999\n"));
        let all: usize = lines.iter().map(String::len).sum();
        let left_out: usize = left_out.parse().unwrap();
        assert_eq!(beginning.len() + left_out + end.len(), all);
        for part in [beginning, end] {
            assert!(part.len() > BEGINNING - 20, "{} bytes", part.len());
            assert!(
                lines
                    .concat()
                    .contains(&format!("\n{}", part.split_once('\n').unwrap().1))
            );
        }
    }

    #[test]
    fn the_end_of_a_log_is_five_lines() {
        let last_lines = |text: &str| {
            let mut output = Output::new(tempfile::tempfile().unwrap());
            output.take(text.as_bytes());
            output.last_lines(5, 4096)
        };
        assert_eq!(
            last_lines("1\n2\n3\n4\n5\n6\n7\n"),
            ["3", "4", "5", "6", "7"]
        );
        assert!(last_lines("").is_empty());
    }

    #[test]
    fn an_output_without_lines_is_cut_at_bytes() {
        let text = kept(["x".repeat(100_000).as_str(), &"y".repeat(100_000)]);
        let gap = format!(
            "\n[privlink: {} bytes are left out here]\n",
            200_000 - BEGINNING - END
        );
        assert_eq!(text, ["x".repeat(BEGINNING), gap, "y".repeat(END)].concat());
    }

    #[test]
    fn a_gigabyte_costs_64_kib_and_holds_its_script_up_no_more_than_a_pipe() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("log");
        let (pipe, writer) = io::pipe().unwrap();
        let script =
            "echo begins; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo ends; exit 3";
        let child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(writer)
            .spawn()
            .unwrap();
        let mut seen = None;
        let output = Output::new(File::create(&path).unwrap());
        output.follow(pipe, child, |status, output| {
            seen = Some((status.unwrap().code(), output.last_lines(1, 100)));
        });
        assert_eq!(seen, Some((Some(3), vec!["ends".to_owned()])));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 66_000 && text.starts_with("begins\n") && text.ends_with("ends\n"));
    }

    #[test]
    fn a_scripts_end_is_seen_while_what_it_has_started_goes_on_to_print() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("log");
        let (pipe, writer) = io::pipe().unwrap();
        let child = std::process::Command::new("sh")
            .args(["-c", "exec 3<&0; (read wait <&3; echo later) & echo now"])
            .stdin(std::process::Stdio::piped())
            .stdout(writer)
            .spawn();
        let mut child = child.unwrap();
        // The descendant waits for this.
        let stdin = child.stdin.take();
        let output = Output::new(File::create(&path).unwrap());
        output.follow(pipe, child, |status, output| {
            assert!(status.unwrap().success());
            assert_eq!(output.last_lines(5, 100), ["now"]);
            drop(stdin);
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "now\nlater\n");
    }
}
