//! How many system calls the worker threads make, counted by strace on a bounded run.
//!
//! Nothing here depends on speed: strace slows the workers down, so that they poll less. The bounds are the design's: a packet
//! is read once and written at most once; what else there is comes with pauses in the traffic.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::io::packets_written;
use crate::protocols::offer_udp;
use crate::site::{self, ENDPOINT, Site, wait_for};

crate::tests!(
    a_packet_is_read_once_and_written_at_most_once,
    a_pause_costs_a_bounded_number_of_reads,
    datagrams_that_wait_are_written_together,
);

/// Rounds of empty reads before a worker sleeps: `EMPTY_ROUNDS` in `src/io/polling.rs`.
const EMPTY_ROUNDS: u64 = 50;
/// What writes packets: one, or several at a time with another call that says how it went.
const WRITING: [&str; 4] = ["write", "writev", "io_submit", "io_getevents"];
/// The example's TUNs.
const TUNS: u64 = 2;

fn a_packet_is_read_once_and_written_at_most_once() -> Result<()> {
    let site = Site::with_nginx()?;
    site.payload(100)?;
    let url = format!("http://{ENDPOINT}/files/payload");
    // The daemon's own first steps, ARP and the like are over.
    site.curl(&["-o", "/dev/null", &url])?;
    let before = Packets::so_far(&site)?;
    let trace = Trace::start(&site)?;
    // One connection at a time: many short ones, and one of super-packets.
    for _ in 0..50 {
        site.curl(&[ENDPOINT])?;
    }
    site.curl(&["-o", "/dev/null", &url])?;
    let calls = trace.stop()?;
    let packets = Packets::so_far(&site)?.since(&before);
    let told = format!("{packets:?}, {calls:?}");
    println!("system calls: {told}");
    ensure!(packets.sent > 1_000, "{told}");
    // A bell of another thread's rings seldom, and is a read as well. A late acknowledgement may come before strace does.
    let rare = packets.sent / 100;
    let full = calls.of("read").done + calls.of("readv").done;
    ensure!(full + rare >= packets.sent, "not all was counted: {told}");
    ensure!(full <= packets.sent + rare, "{told}");
    let written: u64 = WRITING.map(|name| calls.of(name).all()).iter().sum();
    ensure!(written <= packets.received + rare, "{told}");
    // Several at a time, where several come.
    ensure!(calls.of("io_submit").done > 0, "{told}");
    ensure!(calls.others() <= rare, "{told}");
    Ok(())
}

fn a_pause_costs_a_bounded_number_of_reads() -> Result<()> {
    let site = Site::with_nginx()?;
    site.curl(&[ENDPOINT])?;
    let before = (Packets::so_far(&site)?, reads(&site)?);
    for _ in 0..10 {
        site.curl(&[ENDPOINT])?;
        thread::sleep(Duration::from_millis(300));
    }
    let packets = Packets::so_far(&site)?.since(&before.0);
    let reads = reads(&site)? - before.1;
    println!("{reads} reads for {packets:?}");
    // At worst a pause follows every packet.
    ensure!(
        (packets.sent..=packets.sent * (1 + EMPTY_ROUNDS * TUNS)).contains(&reads),
        "{reads} reads for {packets:?}"
    );
    Ok(())
}

/// A burst of 1,000 datagrams finds the daemon stopped. Once it goes on it reads them in turns of 64, and each turn is one
/// super-packet.
fn datagrams_that_wait_are_written_together() -> Result<()> {
    const BURST: u64 = 1_000;
    const TURN: u64 = 64;
    let mut site = Site::new()?;
    site.up(&offer_udp(site.template()), &[])?;
    let (consumer, target) = (site.a.clone(), site.b.clone());
    let burst = BURST.to_string();
    let lines = site.python(&target, "udp_sink", &["5353", &burst])?;
    let daemon = Pid::from_raw(site.pid()? as i32).context("no process")?;
    let before = packets_written(&target)?;
    kill_process(daemon, Signal::STOP)?;
    let sent = site.python_ok(&consumer, "udp_burst", &[ENDPOINT, "5353", &burst]);
    kill_process(daemon, Signal::CONT)?;
    sent?;
    let seen = lines.recv_timeout(Duration::from_secs(30))?;
    ensure!(seen == "all", "{seen}; drops: {:?}", site.drops()?);
    let written = packets_written(&target)? - before;
    println!("{written} packets for {BURST} datagrams");
    // A turn may begin before the burst is there, and this instance is told other things, too.
    ensure!(written <= BURST / TURN + 4, "{written} packets");
    Ok(())
}

/// How often the workers have read something, or tried to: the kernel's own count, which costs them nothing.
fn reads(site: &Site) -> Result<u64> {
    let pid = site.pid()?;
    let of_thread = |thread: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/io"))?;
        let value = text.lines().find_map(|line| line.strip_prefix("syscr: "));
        Ok(value.context("no such counter")?.parse::<u64>()?)
    };
    site.workers()?.iter().map(of_thread).sum()
}

/// What both instances have sent and received.
#[derive(Clone, Copy, Debug, Default)]
struct Packets {
    sent: u64,
    received: u64,
}

impl Packets {
    fn so_far(site: &Site) -> Result<Self> {
        let mut packets = Self::default();
        for row in site.show("interfaces")? {
            if row["InterfaceType"] == "instance" {
                packets.sent += row["PacketsOut"].as_u64().context("PacketsOut")?;
                packets.received += row["PacketsIn"].as_u64().context("PacketsIn")?;
            }
        }
        Ok(packets)
    }

    fn since(self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            received: self.received - before.received,
        }
    }
}

/// How often a system call was made.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// With success.
    done: u64,
    /// Without, as a read of an empty TUN.
    failed: u64,
}

impl Count {
    fn all(self) -> u64 {
        self.done + self.failed
    }
}

/// The system calls of all workers together.
#[derive(Debug)]
struct Calls(BTreeMap<String, Count>);

impl Calls {
    fn of(&self, name: &str) -> Count {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Waits and looks in epoll.
    fn waits(&self) -> u64 {
        let names = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];
        names.map(|name| self.of(name).all()).iter().sum()
    }

    fn all(&self) -> u64 {
        self.0.values().map(|count| count.all()).sum()
    }

    /// All that are neither reading and writing, nor yielding and waiting; a clock that the vDSO cannot read apart.
    fn others(&self) -> u64 {
        let names = ["read", "readv", "sched_yield", "clock_gettime"];
        let known = names.iter().chain(&WRITING);
        let known: u64 = known.map(|name| self.of(name).all()).sum();
        self.all() - known - self.waits()
    }
}

/// A running strace of a daemon's workers.
struct Trace {
    strace: Child,
    file: PathBuf,
}

impl Trace {
    fn start(site: &Site) -> Result<Self> {
        let file = site.dir.path().join("strace");
        let mut command = Command::new("strace");
        command
            .args(["-c", "-U", "calls,errors,name", "-o"])
            .arg(&file);
        let workers = site.workers()?;
        for worker in &workers {
            command.args(["-p", &worker.to_string()]);
        }
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let trace = Self {
            strace: strace.context("cannot run strace")?,
            file,
        };
        wait_for("strace", Duration::from_secs(10), || {
            let status = |tid| fs::read_to_string(format!("/proc/{tid}/status"));
            let mut traced = true;
            for worker in &workers {
                traced &= !status(worker)?.contains("TracerPid:\t0\n");
            }
            Ok(traced)
        })?;
        Ok(trace)
    }

    fn stop(mut self) -> Result<Calls> {
        site::end(&mut self.strace, Signal::INT, Duration::from_secs(10))?;
        let table = fs::read_to_string(&self.file)?;
        let mut calls = BTreeMap::new();
        for line in table.lines() {
            // Without a failure its column is empty. Head, rule and total are no calls.
            let words: Vec<_> = line.split_whitespace().collect();
            let (all, failed, name) = match words[..] {
                [all, name] => (all, "0", name),
                [all, failed, name] => (all, failed, name),
                _ => continue,
            };
            if let (Ok(all), Ok(failed)) = (all.parse::<u64>(), failed.parse::<u64>())
                && name != "total"
            {
                let done = all - failed;
                calls.insert(name.to_owned(), Count { done, failed });
            }
        }
        Ok(Calls(calls))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
