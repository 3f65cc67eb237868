//! One connection, as the SSH library calls it back: each request finds its session, and nothing more happens here.

use std::collections::HashMap;
use std::sync::Arc;

use russh::keys::Certificate;
use russh::server::Session as Connection;
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use tokio::sync::watch;

use super::accounts::{Account, Database};
use super::auth::{Authority, Entrance, Grant, Keys, keys_of};
use super::environment::Ends;
use super::forward::{Forwards, Place, Target};
use super::gate::Gate;
use super::presence::Present;
use super::process::Task;
use super::pty;
use super::session::{Context, Session};

/// Sessions on one connection; a multiplexing client that wants more opens another connection.
const MOST_SESSIONS: usize = 64;

/// The library's handler for one connection.
pub(super) struct Client {
    authority: Authority,
    ends: Ends,
    gate: Arc<Gate>,
    entrance: Entrance,
    login: String,
    grant: Grant,
    sessions: HashMap<ChannelId, Session>,
    forwards: Forwards,
    /// Whoever may have to end the connection hears who it is.
    known: watch::Sender<Keys>,
    present: Option<Present>,
}

impl Client {
    pub(super) fn new(
        authority: Authority,
        ends: Ends,
        gate: Arc<Gate>,
        entrance: Entrance,
        known: watch::Sender<Keys>,
    ) -> Self {
        Self {
            authority,
            ends,
            forwards: Forwards::new(Arc::clone(&gate)),
            gate,
            entrance,
            login: String::new(),
            grant: Grant::NOTHING,
            sessions: HashMap::new(),
            known,
            present: None,
        }
    }

    /// Lets the client in with what its keys gave it, or says no.
    async fn admit(&mut self, login: &str, keys: Keys, grant: Option<Grant>) -> Auth {
        let Some(grant) = grant else {
            return self.entrance.refuse().await;
        };
        login.clone_into(&mut self.login);
        self.grant = grant;
        self.known.send_replace(keys);
        Auth::Accept
    }

    /// Who sockets and programs belong to, as the image knows it now; nobody without a configuration.
    fn account(&self) -> Option<Account> {
        let settings = self.authority.settings()?;
        Some(Database::read().login(&self.login, &settings.image.user))
    }

    async fn connect(&self, channel: Channel<Msg>, target: Target, reply: ChannelOpenHandle) {
        match self.account().filter(|_| self.grant.permissions.forwarding) {
            Some(account) => self.forwards.connect(channel, target, account, reply).await,
            None => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
        }
    }

    /// Where it listens now.
    async fn listen(&mut self, place: Place, handle: Handle) -> Option<Place> {
        let account = self.account().filter(|_| self.grant.permissions.forwarding)?;
        self.forwards.listen(place, &account, handle).await
    }

    fn start(
        &mut self,
        channel: ChannelId,
        task: &Task,
        connection: &mut Connection,
    ) -> Result<(), russh::Error> {
        let settings = self.authority.settings();
        let (task, original_command) = self.grant.task(task);
        let started = match (self.sessions.get_mut(&channel), settings) {
            (Some(session), Some(settings)) => session.start(
                &task,
                &Context {
                    login: &self.login,
                    settings: &settings,
                    ends: self.ends,
                    original_command,
                },
            ),
            _ => false,
        };
        answer(started, channel, connection)
    }
}

fn answer(well: bool, channel: ChannelId, connection: &mut Connection) -> Result<(), russh::Error> {
    if well {
        connection.channel_success(channel)
    } else {
        connection.channel_failure(channel)
    }
}

impl Handler for Client {
    type Error = russh::Error;

    async fn auth_none(&mut self, _login: &str) -> Result<Auth, Self::Error> {
        self.entrance.begin();
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, _login: &str, _password: &str) -> Result<Auth, Self::Error> {
        Ok(self.entrance.refuse().await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _login: &str,
        _submethods: &str,
        _response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.entrance.refuse().await)
    }

    async fn auth_publickey_offered(
        &mut self,
        login: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.entrance.offered(login, offer).await)
    }

    async fn auth_publickey(&mut self, login: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let keys = vec![key.public_key.key_data().clone()];
        let grant = self.entrance.key(login, key).await;
        Ok(self.admit(login, keys, grant).await)
    }

    async fn auth_openssh_certificate(
        &mut self,
        login: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let grant = self.entrance.certificate(login, certificate);
        Ok(self.admit(login, keys_of(certificate), grant).await)
    }

    async fn auth_succeeded(&mut self, _connection: &mut Connection) -> Result<(), Self::Error> {
        self.entrance.succeed();
        self.present = Some(self.authority.presence.enter());
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        // The library does not say when a channel has closed that we closed first.
        self.sessions.retain(|_, session| !session.has_ended());
        if self.sessions.len() >= MOST_SESSIONS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        // Requests and data come through the methods below; the library's own queue would stop its loop when full.
        let (_read, write) = channel.split();
        let id = write.id();
        self.sessions.insert(
            id,
            Session::new(write, connection.handle(), Arc::clone(&self.gate)),
        );
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.sessions.remove(&channel);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.end_input();
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        if let Some(session) = self.sessions.get(&channel) {
            session.input(data);
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        let session = self
            .sessions
            .get_mut(&channel)
            .filter(|_| self.grant.permissions.terminal);
        let known = session.is_some();
        if let Some(session) = session {
            let size = pty::size(columns, rows, width, height);
            session.set_terminal(pty::Request {
                term: term.to_owned(),
                size,
                modes: modes.to_vec(),
            });
        }
        answer(known, channel, connection)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        let taken = self
            .sessions
            .get_mut(&channel)
            .is_some_and(|session| session.set_variable(name, value));
        answer(taken, channel, connection)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.start(channel, &Task::Shell, connection)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.start(channel, &Task::Command(command.to_vec()), connection)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        match name {
            "sftp" => self.start(channel, &Task::Sftp, connection),
            _ => answer(false, channel, connection),
        }
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        if let Some(session) = self.sessions.get(&channel) {
            session.resize(pty::size(columns, rows, width, height));
        }
        Ok(())
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        if let Some(session) = self.sessions.get(&channel) {
            session.signal(&signal);
        }
        Ok(())
    }

    async fn agent_request(
        &mut self,
        channel: ChannelId,
        connection: &mut Connection,
    ) -> Result<bool, Self::Error> {
        let Some(account) = self.account().filter(|_| self.grant.permissions.agent) else {
            return Ok(false);
        };
        let socket = self.forwards.agent(&account, connection.handle()).await;
        let session = self.sessions.get_mut(&channel);
        let given = session
            .zip(socket)
            .map(|(session, socket)| session.set_agent(socket));
        Ok(given.is_some())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        match u16::try_from(port) {
            Ok(port) => {
                let host = host.to_owned();
                self.connect(channel, Target::Tcp { host, port }, reply).await;
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _connection: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.connect(channel, Target::Unix(path.to_owned()), reply).await;
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        connection: &mut Connection,
    ) -> Result<bool, Self::Error> {
        let Some(place) = tcp_place(address, *port) else {
            return Ok(false);
        };
        match self.listen(place, connection.handle()).await {
            Some(Place::Tcp { port: taken, .. }) => *port = u32::from(taken),
            Some(Place::Unix(_)) | None => return Ok(false),
        }
        Ok(true)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _connection: &mut Connection,
    ) -> Result<bool, Self::Error> {
        Ok(tcp_place(address, port).is_some_and(|place| self.forwards.cancel(&place)))
    }

    async fn streamlocal_forward(
        &mut self,
        path: &str,
        connection: &mut Connection,
    ) -> Result<bool, Self::Error> {
        let place = Place::Unix(path.to_owned());
        Ok(self.listen(place, connection.handle()).await.is_some())
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        path: &str,
        _connection: &mut Connection,
    ) -> Result<bool, Self::Error> {
        Ok(self.forwards.cancel(&Place::Unix(path.to_owned())))
    }
}

/// What a client says to listen on; `None` if that is no port.
fn tcp_place(address: &str, port: u32) -> Option<Place> {
    let port = u16::try_from(port).ok()?;
    Some(Place::Tcp {
        address: address.to_owned(),
        port,
    })
}
