//! Where a client wants to be connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use super::super::accounts::Account;
use super::super::user;
use super::names;
use super::relay::Socket;

/// The longest wait for one address. The kernel would try for two minutes, longer than a browser behind `-D` waits.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// A program in the VM, or reachable from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Target {
    Tcp { host: String, port: u16 },
    Unix(String),
}

impl Target {
    /// Connects as the account, to the first of a host's addresses that answers.
    pub(super) async fn connect(&self, account: &Account) -> io::Result<Socket> {
        match self {
            Self::Tcp { host, port } => tcp(host, *port, account).await.map(Socket::Tcp),
            Self::Unix(path) => unix(path.clone(), account).await.map(Socket::Unix),
        }
    }
}

async fn tcp(host: &str, port: u16, account: &Account) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in names::resolve(host).await? {
        match tcp_address(SocketAddr::new(address, port), account).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn tcp_address(address: SocketAddr, account: &Account) -> io::Result<TcpStream> {
    let socket = user::run(account, move || stream_socket(family(address.ip()))).await?;
    let connecting = TcpSocket::from_std_stream(socket.into()).connect(address);
    let stream = timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn unix(path: String, account: &Account) -> io::Result<UnixStream> {
    let socket = user::run(account, move || {
        let socket = stream_socket(AddressFamily::UNIX)?;
        // It does not block: a program that accepts nobody is as good as none.
        connect(&socket, &SocketAddrUnix::new(path.as_str())?)?;
        Ok(socket)
    })
    .await?;
    UnixStream::from_std(socket.into())
}

/// A socket that belongs to whoever calls: firewalls can ask whose it is.
pub(super) fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}
