//! The signals that a daemon listens to: all that would end a process and that another process may have sent for a reason.
//!
//! Invariant: none of them ends it before it has cleaned up. Those of a fault (SIGSEGV, SIGABRT and the like) are left to
//! debuggers. Source: signal(7).

use std::fs::File;
use std::task::{Context as Waiting, Poll};

use anyhow::{Context, Result};
use libc::c_int;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To end; the signal's name.
    End(String),
    /// To read the templates again.
    Reload,
    /// Nothing that there is; the signal's name.
    Unknown(String),
}

/// What a signal means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    End,
    /// SIGHUP: to read the templates again, unless the terminal has gone.
    Hangup,
    None,
    /// SIGXFSZ: a file has become too long, which the write itself says as well.
    Fails,
}

const MEANINGS: [(c_int, &str, Meaning); 14] = [
    (libc::SIGINT, "SIGINT", Meaning::End),
    (libc::SIGTERM, "SIGTERM", Meaning::End),
    (libc::SIGQUIT, "SIGQUIT", Meaning::End),
    (libc::SIGPWR, "SIGPWR", Meaning::End),
    (libc::SIGXCPU, "SIGXCPU", Meaning::End),
    (libc::SIGHUP, "SIGHUP", Meaning::Hangup),
    (libc::SIGUSR1, "SIGUSR1", Meaning::None),
    (libc::SIGUSR2, "SIGUSR2", Meaning::None),
    (libc::SIGALRM, "SIGALRM", Meaning::None),
    (libc::SIGVTALRM, "SIGVTALRM", Meaning::None),
    (libc::SIGPROF, "SIGPROF", Meaning::None),
    (libc::SIGIO, "SIGIO", Meaning::None),
    (libc::SIGSTKFLT, "SIGSTKFLT", Meaning::None),
    (libc::SIGXFSZ, "SIGXFSZ", Meaning::Fails),
];

/// The signals that wait to be seen.
pub struct Signals {
    listened: Vec<Listened>,
    had_terminal: bool,
}

struct Listened {
    name: String,
    meaning: Meaning,
    signal: Signal,
}

impl Signals {
    /// From now on they wait to be seen instead of ending the process; SIGHUP is left alone if it was ignored when we
    /// began (`nohup`).
    pub fn install() -> Result<Self> {
        let hangup_counts = !hangup_is_ignored()?;
        let known = MEANINGS.into_iter();
        let known = known.filter(|(_, _, meaning)| *meaning != Meaning::Hangup || hangup_counts);
        let known = known.map(|(number, name, meaning)| (number, name.to_owned(), meaning));
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        let real_time = (first..=last).map(|number| {
            let name = format!("SIGRTMIN+{}", number - first);
            (number, name, Meaning::None)
        });
        let listen = |(number, name, meaning)| {
            Ok(Listened {
                name,
                meaning,
                signal: signal(SignalKind::from_raw(number))
                    .context("cannot listen for signals")?,
            })
        };
        Ok(Self {
            listened: known.chain(real_time).map(listen).collect::<Result<_>>()?,
            had_terminal: has_terminal(),
        })
    }

    /// What the next one asks for.
    pub async fn next(&mut self) -> Wish {
        let (name, meaning) = std::future::poll_fn(|waiting| self.poll(waiting)).await;
        match meaning {
            Meaning::None | Meaning::Fails => Wish::Unknown(name),
            // The kernel sends it when the terminal has gone: nobody could press Ctrl-C any more.
            Meaning::Hangup if !self.had_terminal || has_terminal() => Wish::Reload,
            Meaning::Hangup | Meaning::End => Wish::End(name),
        }
    }

    fn poll(&mut self, waiting: &mut Waiting<'_>) -> Poll<(String, Meaning)> {
        for Listened {
            name,
            meaning,
            signal,
        } in &mut self.listened
        {
            if *meaning != Meaning::Fails && signal.poll_recv(waiting).is_ready() {
                return Poll::Ready((name.clone(), *meaning));
            }
        }
        Poll::Pending
    }
}

/// Is there a terminal from which we are controlled? See tty(4).
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn hangup_is_ignored() -> Result<bool> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    Ok(mask & 1 << (rustix::process::Signal::HUP.as_raw() - 1) != 0)
}
