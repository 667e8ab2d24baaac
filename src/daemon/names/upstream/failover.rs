//! The servers upstream as one: asked in their order, until one of them has an answer.
//!
//! hickory-resolver asks two servers at once and takes the first code that arrives for the answer, SERVFAIL and REFUSED too. To
//! it this is the only server; its cache, its CNAMEs and its clients for UDP and TCP stay in use (docs/design/0019).
//!
//! Invariants: NXDOMAIN and NOERROR, with records or without, end the search; all else goes on to the next server. A question ends
//! after [`PATIENCE`] at the latest.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsHandle, DnsRequestSender, DnsResponseStream, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::DNSClass;
use hickory_resolver::{ConnectionProvider, PoolContext};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::sockets::Sockets;

/// How long the servers have: less than the data plane waits, so that a code still arrives there.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same, once one of them has given a code: the others are likely to be dead.
const PATIENCE_WITH_CODE: Duration = Duration::from_secs(2);
/// Until the next server is asked as well, while those before are silent.
const STAGGER: Duration = Duration::from_millis(500);
/// Until a datagram is sent again: it or its answer may have been lost.
const RESEND: Duration = Duration::from_secs(1);
/// Questions in a row without an answer after which a server is asked last, and for how long.
const SILENCES: u8 = 3;
const REST: Duration = Duration::from_secs(30);

/// The servers. Clones share what is known of them.
#[derive(Clone)]
pub(super) struct Failover {
    servers: Arc<[Server]>,
    sockets: Sockets,
}

struct Server {
    address: SocketAddr,
    silence: Mutex<Silence>,
}

/// How many questions in a row a server has left without an answer, and when the last one.
#[derive(Default)]
struct Silence {
    questions: u8,
    last: Option<Instant>,
}

/// What one server has given.
struct Given {
    /// Its place in the list.
    server: usize,
    response: Result<DnsResponse, NetError>,
}

/// A question under way.
struct Search<'a> {
    servers: &'a [Server],
    /// Those that have not been asked.
    left: VecDeque<usize>,
    /// Those that have been, and when.
    asked: Vec<(usize, Instant)>,
    /// The failing code of the last server in the list that has given one.
    code: Option<(usize, ResponseCode)>,
}

impl Failover {
    /// Asks these servers, in this order.
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            silence: Mutex::default(),
        };
        Self {
            servers: addresses.iter().map(server).collect(),
            sockets: Sockets::default(),
        }
    }

    /// The servers' addresses, in their order.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.iter().map(|server| server.address)
    }

    async fn ask(self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let begun = Instant::now();
        let mut search = Search::new(&self.servers, begun);
        let mut under_way = JoinSet::new();
        let mut next = begun;
        while !(search.left.is_empty() && under_way.is_empty()) {
            let patience = match search.code {
                Some(_) => PATIENCE_WITH_CODE,
                None => PATIENCE,
            };
            tokio::select! {
                biased;
                Some(given) = under_way.join_next() => {
                    next = Instant::now();
                    if let Ok(given) = given
                        && let Some(response) = search.take(given)
                    {
                        return Ok(response);
                    }
                }
                () = sleep_until(begun + patience) => break,
                () = sleep_until(next), if !search.left.is_empty() => {
                    next = Instant::now() + STAGGER;
                    if let Some((server, address)) = search.next() {
                        let (request, sockets) = (request.clone(), self.sockets.clone());
                        under_way.spawn(async move {
                            let response = exchange(address, request, sockets).await;
                            Given { server, response }
                        });
                    }
                }
            }
        }
        Err(NetError::Dns(DnsError::ResponseCode(search.code())))
    }
}

impl<'a> Search<'a> {
    /// Those that have been silent of late come behind all others.
    fn new(servers: &'a [Server], now: Instant) -> Self {
        let mut left: Vec<_> = (0..servers.len()).collect();
        left.sort_by_key(|server| {
            let server = servers.get(*server);
            server.is_some_and(|server| server.silence.lock().is_long(now))
        });
        Self {
            servers,
            left: left.into(),
            asked: Vec::new(),
            code: None,
        }
    }

    /// The next server to be asked.
    fn next(&mut self) -> Option<(usize, SocketAddr)> {
        let index = self.left.pop_front()?;
        let server = self.servers.get(index)?;
        self.asked.push((index, Instant::now()));
        Some((index, server.address))
    }

    /// Takes what a server has given; its answer, if that is one.
    fn take(&mut self, Given { server, response }: Given) -> Option<DnsResponse> {
        if matches!(response, Err(NetError::Timeout)) {
            return None;
        }
        self.asked.retain(|(asked, _)| *asked != server);
        let address = self.servers.get(server).map(|server| {
            *server.silence.lock() = Silence::default();
            server.address
        });
        match response {
            Ok(response) if is_answer(&response) => return Some(response),
            Ok(response) => self.fail(server, response.response_code),
            Err(error) => tracing::debug!(?address, %error, "a server upstream has failed"),
        }
        None
    }

    fn fail(&mut self, server: usize, code: ResponseCode) {
        let is_failure = !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        if is_failure && self.code.is_none_or(|(last, _)| last <= server) {
            self.code = Some((server, code));
        }
    }

    /// The code where none of them has an answer.
    fn code(&self) -> ResponseCode {
        self.code.map_or(ResponseCode::ServFail, |(_, code)| code)
    }
}

/// However it has ended, those that could have answered and did not were silent.
impl Drop for Search<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        for (index, at) in &self.asked {
            if let Some(server) = self.servers.get(*index)
                && now.duration_since(*at) >= STAGGER
            {
                let mut silence = server.silence.lock();
                silence.questions = silence.questions.saturating_add(1);
                silence.last = Some(now);
            }
        }
    }
}

impl Silence {
    fn is_long(&self, now: Instant) -> bool {
        let is_recent = self.last.is_some_and(|last| now < last + REST);
        is_recent && self.questions >= SILENCES
    }
}

/// Asks one server: by UDP, and by TCP what that truncates.
async fn exchange(
    address: SocketAddr,
    mut request: DnsRequest,
    sockets: Sockets,
) -> Result<DnsResponse, NetError> {
    request.options_mut().retry_interval = RESEND;
    let mut udp = UdpClientStream::builder(address, sockets.clone())
        .with_timeout(Some(PATIENCE))
        .build();
    let response = udp.send_message(request.clone()).first_answer().await?;
    if !response.truncation {
        return Ok(response);
    }
    let tcp = TcpClientStream::exchange(address, None, PATIENCE, None, sockets).await?;
    tcp.send(request).first_answer().await
}

/// hickory checks id and question. A record of another class it refuses too, but only when no other server is asked any more.
fn is_answer(response: &DnsResponse) -> bool {
    let code = response.response_code;
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
        && !response.truncation
        && response
            .all_sections()
            .all(|record| record.dns_class == DNSClass::IN)
}

impl DnsHandle for Failover {
    type Response = DnsResponseStream;
    type Runtime = Sockets;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        Box::pin(self.clone().ask(request)).into()
    }
}

impl ConnectionProvider for Failover {
    type Conn = Self;
    type FutureConn = Ready<Result<Self, NetError>>;
    type RuntimeProvider = Sockets;

    fn new_connection(
        &self,
        _ip: IpAddr,
        _config: &ConnectionConfig,
        _cx: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        Ok(ready(Ok(self.clone())))
    }

    fn runtime_provider(&self) -> &Sockets {
        &self.sockets
    }
}
