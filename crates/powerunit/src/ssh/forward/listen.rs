//! Listening sockets that a client asked for, and the connections that come in there.
//!
//! A UNIX socket gets the mode 0600, as OpenSSH's does, and is not put in the place of a file that exists.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::Channel;
use russh::server::{Handle, Msg};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, bind, sockopt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::super::accounts::Account;
use super::super::user;
use super::relay::{self, Socket};
use super::target::{family, stream_socket};
use super::{Place, Streams, names};

/// Connections that wait to be accepted, as everywhere.
const BACKLOG: i32 = 128;
/// Before the next try where descriptors or memory are short: what is open will close.
const SHORTAGE: Duration = Duration::from_millis(100);

/// A place that is listened on; it is no longer, once this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    accepting: Vec<JoinHandle<()>>,
    /// Removed with it.
    _file: Option<SocketFile>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        for task in &self.accepting {
            task.abort();
        }
    }
}

/// The name of a UNIX socket, and the directory that was made for it alone. Both are removed when this is dropped, as
/// the account that made them: whoever may change the directories on the way cannot make root remove something else.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    pub(super) folder: Option<PathBuf>,
    pub(super) account: Account,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let (path, folder) = (std::mem::take(&mut self.path), self.folder.take());
        user::detach(&self.account, move || {
            // Somebody may have removed it before.
            let _ = std::fs::remove_file(path);
            folder.map_or(Ok(()), std::fs::remove_dir)
        });
    }
}

/// Listens; the place says the port that was taken.
pub(super) async fn start(
    place: Place,
    account: &Account,
    client: Handle,
    streams: Streams,
) -> io::Result<(Place, Listening)> {
    match place {
        Place::Tcp { address, port } => {
            let (port, listeners) = bind_tcp(&address, port, account).await?;
            let task = |listener| {
                let (client, streams, address) = (client.clone(), streams.clone(), address.clone());
                tokio::spawn(accept_tcp(listener, client, streams, address, port))
            };
            let accepting = listeners.into_iter().map(task).collect();
            let listening = Listening {
                accepting,
                _file: None,
            };
            Ok((Place::Tcp { address, port }, listening))
        }
        Place::Unix(path) => {
            let name = PathBuf::from(&path);
            let socket = user::run(account, move || listen_unix(&name)).await?;
            let file = SocketFile {
                path: PathBuf::from(&path),
                folder: None,
                account: account.clone(),
            };
            let listening = unix(socket, file, client, streams, Opening::Unix(path.clone()))?;
            Ok((Place::Unix(path), listening))
        }
    }
}

/// Accepts on a UNIX socket that has its name already.
pub(super) fn unix(
    socket: OwnedFd,
    file: SocketFile,
    client: Handle,
    streams: Streams,
    open: Opening,
) -> io::Result<Listening> {
    let listener = UnixListener::from_std(socket.into())?;
    Ok(Listening {
        accepting: vec![tokio::spawn(accept_unix(listener, client, streams, open))],
        _file: Some(file),
    })
}

/// How the client is told of a connection.
#[derive(Debug, Clone)]
pub(super) enum Opening {
    Tcp {
        address: String,
        port: u16,
        from: SocketAddr,
    },
    Unix(String),
    Agent,
}

impl Opening {
    async fn open(self, client: &Handle) -> Result<Channel<Msg>, russh::Error> {
        match self {
            Self::Tcp { address, port, from } => {
                let origin = (from.ip().to_string(), u32::from(from.port()));
                client
                    .channel_open_forwarded_tcpip(address, u32::from(port), origin.0, origin.1)
                    .await
            }
            Self::Unix(path) => client.channel_open_forwarded_streamlocal(path).await,
            Self::Agent => client.channel_open_agent().await,
        }
    }
}

async fn accept_tcp(listener: TcpListener, client: Handle, streams: Streams, address: String, port: u16) {
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let _ = socket.set_nodelay(true);
                let address = address.clone();
                carry(
                    Socket::Tcp(socket),
                    Opening::Tcp { address, port, from },
                    &client,
                    &streams,
                );
            }
            Err(_) => tokio::time::sleep(SHORTAGE).await,
        }
    }
}

async fn accept_unix(listener: UnixListener, client: Handle, streams: Streams, open: Opening) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => carry(Socket::Unix(socket), open.clone(), &client, &streams),
            Err(_) => tokio::time::sleep(SHORTAGE).await,
        }
    }
}

/// Opens a channel to the client and joins the two. Where there are too many already, or the client refuses, the
/// connection closes.
fn carry(socket: Socket, open: Opening, client: &Handle, streams: &Streams) {
    let Ok(permit) = streams.free.clone().try_acquire_owned() else {
        return;
    };
    let (client, gate) = (client.clone(), streams.gate.clone());
    tokio::spawn(async move {
        if let Ok(channel) = open.open(&client).await {
            relay::join(channel, socket, gate).await;
        }
        drop(permit);
    });
}

/// All addresses that the client's word stands for, on one port (RFC 4254 section 7.1). One that this machine does not
/// have is no failure while another works.
async fn bind_tcp(address: &str, port: u16, account: &Account) -> io::Result<(u16, Vec<TcpListener>)> {
    let addresses = match address {
        "" | "*" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        host => names::resolve(host).await?,
    };
    let mut taken = port;
    let mut listeners = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let wanted = SocketAddr::new(address, taken);
        match user::run(account, move || listen_tcp(wanted)).await {
            Ok(socket) => {
                let listener = TcpListener::from_std(socket.into())?;
                taken = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(error) => last = error,
        }
    }
    if listeners.is_empty() {
        return Err(last);
    }
    Ok((taken, listeners))
}

fn listen_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream_socket(family(address.ip()))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // The IPv4 addresses have a socket of their own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Makes a socket and its name, as whoever calls.
pub(super) fn listen_unix(path: &Path) -> io::Result<OwnedFd> {
    let socket = stream_socket(AddressFamily::UNIX)?;
    // Linux gives the name the socket's mode, so nobody else can connect, not even at first.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
