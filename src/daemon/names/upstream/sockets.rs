//! hickory-resolver's sockets of tokio, but for UDP connected ones: so the kernel reports a closed port at once.
//!
//! tokio wakes a reader for what can be read only. An ICMP error is an error and nothing to read, so that a reader who waits for both
//! is needed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Creates the sockets.
#[derive(Clone, Default)]
pub(super) struct Sockets(TokioRuntimeProvider);

/// A UDP socket that is connected to one server.
pub(super) struct Connected(UdpSocket);

type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> TokioHandle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        own: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pending<'static, Self::Tcp> {
        self.0.connect_tcp(server, own, timeout)
    }

    fn bind_udp(&self, own: SocketAddr, server: SocketAddr) -> Pending<'static, Connected> {
        Box::pin(async move {
            let socket = UdpSocket::bind(own).await?;
            socket.connect(server).await?;
            Ok(Connected(socket))
        })
    }
}

impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        DnsUdpSocket::poll_recv_from(&self.0, context, buffer)
    }

    fn recv_from<'a, 'b, 'c>(&'a self, buffer: &'b mut [u8]) -> Pending<'c, (usize, SocketAddr)>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.receive(buffer))
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        server: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        DnsUdpSocket::poll_send_to(&self.0, context, bytes, server)
    }
}

impl Connected {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let ready = self.0.ready(Interest::READABLE | Interest::ERROR).await?;
            let done = match ready.is_readable() {
                true => self.0.try_recv_from(buffer),
                false => self.0.try_io(Interest::ERROR, || self.error()),
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// What the kernel reports.
    fn error<T>(&self) -> io::Result<T> {
        let error = self.0.take_error()?;
        Err(error.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
    }
}
