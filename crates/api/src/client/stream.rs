//! Programs and consoles, over a WebSocket (RFC 6455) that an ordinary request becomes.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::{Client, ClientError, REQUEST_LIMIT, build, http_client};
use crate::frame::{Input, MAX_MESSAGE, Output, SUBPROTOCOL};
use crate::{ConsoleQuery, CreateExec, Endpoint, Exec, console, exec};

/// Silence after which a connection counts as broken: two of the server's pings, one every 20 s, are missing.
const SILENCE_LIMIT: Duration = Duration::from_secs(50);

type Socket = WebSocketStream<Upgraded>;

/// A stream under way.
pub struct Stream {
    /// What is said to the VM.
    pub writer: StreamWriter,
    /// What the VM says.
    pub reader: StreamReader,
}

/// What is said to the VM.
pub struct StreamWriter {
    url: String,
    sink: SplitSink<Socket, Message>,
}

/// What the VM says. Dropping it and the writer ends the connection, and with it the program.
pub struct StreamReader {
    url: String,
    messages: SplitStream<Socket>,
}

impl Client {
    /// Starts a program in a VM.
    ///
    /// # Errors
    /// As [`ClientError`] says. What goes wrong in the VM is told by the stream's end.
    pub async fn vm_exec(&self, vm: &str, wish: &CreateExec) -> Result<Stream, ClientError> {
        let asked: Exec = self.call_with(&exec::CREATE, &[vm], wish).await?;
        let id = asked.id.to_string();
        self.stream(&exec::ATTACH, &[vm, &id], |request| request).await
    }

    /// Opens a VM's console.
    ///
    /// # Errors
    /// As [`ClientError`] says. What goes wrong at the VM is told by the stream's end.
    pub async fn vm_console(&self, vm: &str, query: &ConsoleQuery) -> Result<Stream, ClientError> {
        self.stream(&console::CONSOLE, &[vm], |request| request.query(query))
            .await
    }

    async fn stream(
        &self,
        endpoint: &Endpoint,
        values: &[&str],
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Stream, ClientError> {
        // Only HTTP/1.1 is upgraded, so this connection must not agree on anything newer.
        let builder = http_client(&self.base, &self.user_agent, &self.trust)?;
        let http = build(builder.http1_only())?;
        let key = generate_key();
        let request = with(self.request_by(&http, endpoint, values)?)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key)
            .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        let upgraded = tokio::time::timeout(REQUEST_LIMIT, self.upgrade(request, &key)).await;
        let upgraded = upgraded.map_err(|_| self.cut("the server did not answer in time"))??;
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        let (sink, messages) = socket.split();
        let url = self.url().to_owned();
        Ok(Stream {
            writer: StreamWriter {
                url: url.clone(),
                sink,
            },
            reader: StreamReader { url, messages },
        })
    }

    async fn upgrade(&self, request: RequestBuilder, key: &str) -> Result<Upgraded, ClientError> {
        let response = request.send().await.map_err(|source| self.broken(source))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refusal(response).await);
        }
        if !is_accepted(response.headers(), key) {
            return Err(ClientError::NotPitwall {
                url: self.url().to_owned(),
                status: response.status().as_u16(),
            });
        }
        response.upgrade().await.map_err(|source| self.broken(source))
    }

    pub(super) fn cut(&self, why: &str) -> ClientError {
        ClientError::StreamBroken {
            url: self.url().to_owned(),
            why: why.to_owned(),
        }
    }
}

/// Whether the other side has understood this very request (RFC 6455 section 4.1).
fn is_accepted(headers: &HeaderMap, key: &str) -> bool {
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes())
}

impl StreamWriter {
    /// Sends a message, as the connection takes it.
    ///
    /// # Errors
    /// The connection is gone; the reader tells more.
    pub async fn send(&mut self, input: &Input) -> Result<(), ClientError> {
        self.put(Message::Binary(input.encode())).await
    }

    /// Tells the server that the client is there, though it may have no time to read.
    ///
    /// # Errors
    /// The connection is gone; the reader tells more.
    pub async fn sign_of_life(&mut self) -> Result<(), ClientError> {
        // A pong that answers nothing is for this (RFC 6455 section 5.5.3).
        self.put(Message::Pong(bytes::Bytes::new())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), ClientError> {
        let sent = self.sink.send(message).await;
        sent.map_err(|error| ClientError::StreamBroken {
            url: self.url.clone(),
            why: error.to_string(),
        })
    }

    /// Says that the client goes.
    pub async fn close(&mut self) {
        // A connection that is gone needs no goodbye.
        let _ = self.sink.send(Message::Close(None)).await;
    }
}

impl StreamReader {
    /// What is said next; [`Output::Ended`] is the last of it.
    ///
    /// # Errors
    /// The connection broke before the end.
    pub async fn next(&mut self) -> Result<Output, ClientError> {
        loop {
            let message = match tokio::time::timeout(SILENCE_LIMIT, self.messages.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Err(self.broken(error.to_string())),
                Ok(None) => return Err(self.broken("the connection was closed")),
                Err(_) => return Err(self.broken("the server is silent")),
            };
            match message {
                Message::Binary(bytes) => {
                    let output = Output::decode(bytes).map_err(|error| self.broken(error.to_string()))?;
                    if let Some(output) = output {
                        return Ok(output);
                    }
                }
                Message::Close(frame) => return Err(self.broken(farewell(frame))),
                // Pings are answered by the library; text is for later versions.
                Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_) => {}
            }
        }
    }

    fn broken(&self, why: impl Into<String>) -> ClientError {
        ClientError::StreamBroken {
            url: self.url.clone(),
            why: why.into(),
        }
    }
}

fn farewell(frame: Option<CloseFrame>) -> String {
    let reason = frame.map(|frame| frame.reason.to_string());
    let reason = reason.filter(|reason| !reason.is_empty());
    reason.unwrap_or_else(|| "the server closed it".to_owned())
}
