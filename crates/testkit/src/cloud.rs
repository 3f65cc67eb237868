//! The whole cloud.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::{Client, ClientConfig};
use bus::Bus;
use control::{Caller, Control, ControlConfig};
use driver::Needs;
use link::Link;
use store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Fault, SimHost, Size};

/// A control plane with its hosts.
pub struct Cloud {
    /// The hosts.
    pub hosts: Vec<SimHost>,
    /// The post between them, for a test that speaks for somebody else.
    pub bus: Bus,
    /// The way between control and hosts for bytes, likewise.
    pub link: Link,
    state: TempDir,
    running: Option<Running>,
}

struct Running {
    control: Control,
    admin: Caller,
    store: Store,
    client: Client,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Cloud {
    /// A control plane that remembers nothing, and so many hosts, all started. Their machines need a TAP and
    /// nothing else, so no image is ever looked for.
    ///
    /// # Errors
    /// Something cannot start.
    pub async fn start(hosts: usize) -> Result<Self, Fault> {
        Self::start_sized(Size::default(), hosts).await
    }

    /// The same with hosts whose machines need this.
    ///
    /// # Errors
    /// Something cannot start.
    pub async fn start_needing(needs: Needs, hosts: usize) -> Result<Self, Fault> {
        let size = Size {
            needs,
            ..Size::default()
        };
        Self::start_sized(size, hosts).await
    }

    /// The same with hosts of this size.
    ///
    /// # Errors
    /// Something cannot start.
    pub async fn start_sized(size: Size, hosts: usize) -> Result<Self, Fault> {
        let bus = Bus::in_process();
        let mut cloud = Self {
            hosts: Vec::new(),
            bus: bus.clone(),
            link: Link::in_process(),
            state: tempfile::tempdir()?,
            running: None,
        };
        cloud.begin().await?;
        for index in 0..hosts {
            let (name, link) = (format!("host-{index}"), cloud.link.clone());
            let host = SimHost::start(&name, size, bus.clone(), link).await?;
            cloud.hosts.push(host);
        }
        let client = cloud.client()?.clone();
        crate::until(
            "all hosts are known",
            || client.host_list(),
            |known| known.items.len() == hosts,
        )
        .await?;
        Ok(cloud)
    }

    /// Starts the control plane over its database.
    ///
    /// # Errors
    /// It cannot start.
    pub async fn begin(&mut self) -> Result<(), Fault> {
        let store = Store::open(&self.database()).await?;
        let config = ControlConfig {
            silence_after: Duration::from_secs(3),
            reconcile_every: Duration::from_millis(200),
            ..ControlConfig::new(store.clone(), self.bus.clone(), self.link.clone())
        };
        let control = Control::open(config).await?;
        let token = control.admin_token_renew().await?;
        let admin = control
            .authenticate(token.reveal(), control::Origin::default())
            .await?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let client = Client::new(ClientConfig {
            url: format!("http://{}", listener.local_addr()?),
            token: Some(token.reveal().to_owned()),
            user_agent: "testkit".to_owned(),
        })?;
        let shutdown = CancellationToken::new();
        let reconcilers = {
            let (control, shutdown) = (control.clone(), shutdown.clone());
            tokio::spawn(async move { control.run(shutdown.cancelled()).await })
        };
        let server = {
            let (control, shutdown) = (control.clone(), shutdown.clone());
            tokio::spawn(async move { server::serve(listener, control, shutdown.cancelled()).await })
        };
        self.running = Some(Running {
            control,
            admin,
            store,
            client,
            shutdown,
            tasks: vec![reconcilers, server],
        });
        Ok(())
    }

    /// Ends the control plane; the hosts go on.
    pub async fn end(&mut self) {
        if let Some(Running {
            store,
            shutdown,
            tasks,
            ..
        }) = self.running.take()
        {
            shutdown.cancel();
            for task in tasks {
                // A task that panicked has failed its test already.
                let _ = task.await;
            }
            store.close().await;
        }
    }

    /// A client with the admin's token.
    ///
    /// # Errors
    /// The control plane is not running.
    pub fn client(&self) -> Result<&Client, Fault> {
        self.running
            .as_ref()
            .map(|running| &running.client)
            .ok_or_else(|| "control is not running".into())
    }

    /// The control plane itself, and its admin.
    ///
    /// # Errors
    /// The control plane is not running.
    pub fn control(&self) -> Result<(&Control, &Caller), Fault> {
        self.running
            .as_ref()
            .map(|running| (&running.control, &running.admin))
            .ok_or_else(|| "control is not running".into())
    }

    /// The database's file, to be copied and put back by a test while control is ended.
    pub fn database(&self) -> PathBuf {
        self.state.path().join("pitwall.db")
    }
}
