//! One connection, as the SSH library calls it back: each request finds its session, and nothing more happens here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::keys::PublicKey;
use russh::server::Session as Connection;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};

use super::auth::Authority;
use super::environment::Ends;
use super::gate::Gate;
use super::permissions::Permissions;
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
    login: String,
    /// What authentication granted.
    permissions: Permissions,
    inside: Arc<AtomicBool>,
    sessions: HashMap<ChannelId, Session>,
}

impl Client {
    /// `inside` becomes true when the client has shown its key.
    pub(super) fn new(authority: Authority, ends: Ends, gate: Arc<Gate>, inside: Arc<AtomicBool>) -> Self {
        Self {
            authority,
            ends,
            gate,
            login: String::new(),
            permissions: Permissions::ALL,
            inside,
            sessions: HashMap::new(),
        }
    }

    fn judge(&self, key: &PublicKey) -> Auth {
        if self.authority.admits(key) {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }

    fn start(
        &mut self,
        channel: ChannelId,
        task: &Task,
        connection: &mut Connection,
    ) -> Result<(), russh::Error> {
        let settings = self.authority.settings();
        let started = match (self.sessions.get_mut(&channel), settings) {
            (Some(session), Some(settings)) => session.start(
                task,
                &Context {
                    login: &self.login,
                    settings: &settings,
                    ends: self.ends,
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

    async fn auth_publickey_offered(
        &mut self,
        _login: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(offer.public_key))
    }

    async fn auth_publickey(&mut self, login: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        login.clone_into(&mut self.login);
        Ok(self.judge(key.public_key))
    }

    async fn auth_succeeded(&mut self, _connection: &mut Connection) -> Result<(), Self::Error> {
        self.inside.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        connection: &mut Connection,
    ) -> Result<(), Self::Error> {
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
            .filter(|_| self.permissions.terminal);
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
}
