//! The signals that a daemon listens to.

use std::fs::File;

use anyhow::{Context, Result};
use tokio::signal::unix::{self, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To end; the signal's name.
    End(&'static str),
    /// To read the templates again.
    Reload,
}

/// SIGINT, SIGTERM, and SIGHUP unless it was ignored when we began (`nohup`).
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: Option<unix::Signal>,
    had_terminal: bool,
}

impl Signals {
    /// From now on they wait to be seen instead of ending the process.
    pub fn install() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let hangup = match hangup_is_ignored()? {
            true => None,
            false => Some(listen(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup,
            had_terminal: has_terminal(),
        })
    }

    /// What the next one asks for.
    pub async fn next(&mut self) -> Wish {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::End("SIGINT"),
            _ = self.terminate.recv() => Wish::End("SIGTERM"),
            // The kernel sends it when the terminal has gone: nobody could press Ctrl-C any more.
            _ = hangup => match self.had_terminal && !has_terminal() {
                true => Wish::End("SIGHUP"),
                false => Wish::Reload,
            }
        }
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
