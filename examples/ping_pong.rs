//! How long a byte takes there and back over one TCP connection, for `scripts/bench.sh`.
//!
//! ```text
//! ping_pong serve PORT                # sends back what comes
//! ping_pong ADDRESS:PORT SECONDS      # one byte at a time; prints p50 and p99 in microseconds
//! ```

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const WARM_UP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port] => serve(port.parse().context("PORT")?),
        [address, seconds] => {
            let round_trips = measure(
                address,
                Duration::from_secs(seconds.parse().context("SECONDS")?),
            )?;
            println!(
                "p50 {:.1}",
                percentile(&round_trips, 50).as_secs_f64() * 1e6
            );
            println!(
                "p99 {:.1}",
                percentile(&round_trips, 99).as_secs_f64() * 1e6
            );
            Ok(())
        }
        _ => bail!("usage: ping_pong serve PORT | ping_pong ADDRESS:PORT SECONDS"),
    }
}

fn serve(port: u16) -> Result<()> {
    for stream in TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?.incoming() {
        let mut stream = stream?;
        thread::spawn(move || -> Result<()> {
            stream.set_nodelay(true)?;
            let mut byte = [0];
            while stream.read(&mut byte)? > 0 {
                stream.write_all(&byte)?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// All round trips of that time, in ascending order.
fn measure(address: &str, time: Duration) -> Result<Vec<Duration>> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut round_trips = Vec::with_capacity(1 << 20);
    let began = Instant::now();
    loop {
        let sent = Instant::now();
        if sent - began > WARM_UP + time {
            break;
        }
        let mut byte = [1];
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte).context("no answer")?;
        if sent - began > WARM_UP {
            round_trips.push(sent.elapsed());
        }
    }
    round_trips.sort_unstable();
    Ok(round_trips)
}

/// Of an ascending list; zero, which the report refuses, of an empty one.
fn percentile(ascending: &[Duration], percent: usize) -> Duration {
    let at = ascending.len() * percent / 100;
    ascending.get(at).copied().unwrap_or_default()
}
