//! The public view for everybody who asks this machine: endpoints' own names, by UDP and TCP.
//!
//! Invariants: what is in no public zone is REFUSED and never asked upstream (RFC 5358: no open resolver); what strangers can have
//! this daemon hold is bounded.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::ResponseCode;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Names;
use crate::dataplane::Quota;
use crate::dataplane::config::View;
use crate::dataplane::dns::{Query, Resolution, Transport};
use crate::io::caught;

/// How many TCP connections there may be; others wait to be accepted.
const CONNECTIONS: usize = 64;
/// Of them, those of one client; one more is closed.
const EACH: usize = 8;
/// How long one may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// The longest query, in bytes: there is nothing that would make one longer.
const LONGEST_QUERY: usize = 4096;
/// The longest answer by UDP: what passes everywhere in one packet (DNS Flag Day 2020).
const LONGEST_UDP: usize = 1232;
/// After an error such as too many open files, which the next attempt would meet again.
const PAUSE: Duration = Duration::from_millis(100);

/// Where it is asked.
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    /// How long a connection may be silent, or not read what it has asked for.
    idle: Duration,
}

impl Sockets {
    /// Takes the address, for both.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let bind = || -> io::Result<Self> {
            let udp = std::net::UdpSocket::bind(address)?;
            let tcp = std::net::TcpListener::bind(udp.local_addr()?)?;
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            Ok(Self {
                udp: UdpSocket::from_std(udp)?,
                tcp: TcpListener::from_std(tcp)?,
                idle: IDLE,
            })
        };
        bind().with_context(|| {
            format!("cannot answer for names at {address} (--public-dns), UDP and TCP")
        })
    }

    /// Answers, for as long as the daemon runs.
    pub async fn serve(self, names: Arc<Names>) {
        tokio::join!(self.by_udp(&names), self.by_tcp(&names));
    }

    async fn by_udp(&self, names: &Names) {
        let mut buffer = [0; LONGEST_QUERY];
        loop {
            match self.udp.recv_from(&mut buffer).await {
                Ok((length, from)) => {
                    let query = &buffer[..length];
                    if let Some(answer) = names.answer(query, Transport::Udp, LONGEST_UDP) {
                        // Whoever does not get it asks again.
                        let _ = self.udp.send_to(&answer, from).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "public DNS by UDP");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn by_tcp(&self, names: &Arc<Names>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let clients = Arc::new(Mutex::new(Quota::new(CONNECTIONS, EACH)));
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match self.tcp.accept().await {
                Ok((mut stream, from)) => {
                    let client = client(from.ip());
                    if !clients.lock().take(client) {
                        continue;
                    }
                    let (names, idle) = (Arc::clone(names), self.idle);
                    let clients = Arc::clone(&clients);
                    tokio::spawn(async move {
                        // It ends when its peer has closed it, is silent, or breaks the rules.
                        let _ = converse(&mut stream, &names, idle).await;
                        clients.lock().give_back(client);
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "public DNS by TCP");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Who it is at this address; by IPv6 a host has all of a /64.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// RFC 7766: one message after the other, each behind its length.
async fn converse(stream: &mut TcpStream, names: &Names, idle: Duration) -> io::Result<()> {
    loop {
        let query = timeout(idle, read(stream)).await??;
        if let Some(answer) = names.answer(&query, Transport::Tcp, usize::from(u16::MAX)) {
            timeout(idle, write(stream, &answer)).await??;
        }
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST_QUERY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}

async fn write(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let message = [&length.to_be_bytes(), answer].concat();
    stream.write_all(&message).await
}

impl Names {
    /// The answer out of the public zones; `None`: there is none to give. Nothing that anybody asks ends who answers.
    fn answer(&self, query: &[u8], transport: Transport, most: usize) -> Option<Vec<u8>> {
        caught(|| self.find(query, transport, most)).ok().flatten()
    }

    fn find(&self, query: &[u8], transport: Transport, most: usize) -> Option<Vec<u8>> {
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(answer) => return answer,
        };
        let mut resolution = Resolution::new(&query);
        let response = self.give_up(View::Public, &mut resolution, ResponseCode::Refused);
        Some(query.reply(&response, transport, most))
    }
}

#[cfg(test)]
mod tests;
