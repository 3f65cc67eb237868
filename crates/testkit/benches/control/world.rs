//! The control plane under test, served on loopback, with hosts that finish every VM.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::{Client, ClientConfig, CreateVm};
use bus::Bus;
use control::{Caller, Control, ControlConfig, Meter, Origin, Retention};
use link::Link;
use model::{HostId, Phase, Role, VmId};
use server::Door;
use store::{Store, Vm};
use testkit::Fault;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::host::{Host, Order};

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me";

/// As many as the promise says.
pub(crate) const HOSTS: u8 = 20;

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) admin: Caller,
    pub(crate) store: Store,
    pub(crate) meter: Arc<Published>,
    url: String,
    token: String,
    orders: BTreeMap<HostId, mpsc::UnboundedSender<Order>>,
    /// Ends with this.
    tasks: JoinSet<()>,
}

/// What was sent to hosts.
#[derive(Default)]
pub(crate) struct Published {
    plans: AtomicU64,
    bytes: AtomicU64,
    reports: AtomicU64,
    followers: AtomicU64,
}

impl Published {
    pub(crate) fn plans(&self) -> u64 {
        self.plans.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn followers(&self) -> u64 {
        self.followers.load(Ordering::Relaxed)
    }

    pub(crate) fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }
}

impl Meter for Published {
    fn plan_published(&self, bytes: usize) {
        self.plans.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    fn report_taken(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }
    fn committed(&self, _took: Duration) {}
    fn follower_came(&self) {
        self.followers.fetch_add(1, Ordering::Relaxed);
    }
    fn follower_left(&self) {
        self.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl World {
    /// With the settings of an installation.
    pub(crate) async fn start(state: &Path) -> Result<Self, Fault> {
        Self::start_keeping(state, Retention::default()).await
    }

    /// With another retention.
    pub(crate) async fn start_keeping(state: &Path, retention: Retention) -> Result<Self, Fault> {
        let store = Store::open(&state.join("pitwall.db")).await?;
        let (bus, meter) = (Bus::in_process(), Arc::new(Published::default()));
        let control = Control::open(ControlConfig {
            meter: meter.clone(),
            retention,
            ..ControlConfig::new(store.clone(), bus.clone(), Link::in_process())
        })
        .await?;
        let token = control.admin_token_renew().await?;
        let admin = control.authenticate(token.reveal(), Origin::default()).await?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut tasks = JoinSet::new();
        let served = control.clone();
        tasks.spawn(async move { server::serve(door(listener), served, std::future::pending()).await });
        let driven = control.clone();
        tasks.spawn(async move { driven.run(std::future::pending()).await });
        let mut orders = BTreeMap::new();
        for number in 0..HOSTS {
            let (order, ordered) = mpsc::unbounded_channel();
            let host = Host::new(number, bus.clone());
            orders.insert(host.id, order);
            tasks.spawn(async move {
                if let Err(error) = host.run(ordered).await {
                    crate::say(&format!("a host ended: {error}"));
                }
            });
        }
        let world = Self {
            control,
            admin,
            store,
            meter,
            url,
            token: token.reveal().to_owned(),
            orders,
            tasks,
        };
        let client = world.client(&world.token)?;
        testkit::until(
            "all hosts are known",
            || client.host_list(),
            |hosts| hosts.items.len() == usize::from(HOSTS),
        )
        .await?;
        Ok(world)
    }

    /// Waits until so many VMs run, and says how long that took.
    pub(crate) async fn settle(&self, vms: usize) -> Result<Duration, Fault> {
        let began = Instant::now();
        loop {
            let held = self.store.read().await?.vm_list().await?;
            let run = |vm: &&Vm| vm.seen.as_ref().is_some_and(|seen| seen.phase == Phase::Running);
            let count = held.iter().filter(run).count();
            if count == vms {
                return Ok(began.elapsed());
            }
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("only {count} of {vms} VMs run a minute after they were created").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
        self.store.close().await;
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A client with connections of its own.
    pub(crate) fn client(&self, token: &str) -> Result<Client, Fault> {
        client(&self.url, token)
    }

    /// So many of them, for the admin.
    pub(crate) fn clients(&self, count: usize) -> Result<Vec<Client>, Fault> {
        (0..count).map(|_| self.client(&self.token)).collect()
    }

    /// Makes a user and gives its token.
    pub(crate) async fn user(&self, name: &str) -> Result<String, Fault> {
        let (_, code) = self
            .control
            .user_create(&self.admin, name.parse()?, Role::Member)
            .await?;
        let (_, token) = self
            .control
            .login(code.reveal(), "bench".to_owned(), Origin::default())
            .await?;
        Ok(token.reveal().to_owned())
    }

    /// Lets a host see its VM in this phase, and report that.
    pub(crate) fn see(&self, host: HostId, vm: VmId, phase: Phase) {
        if let Some(order) = self.orders.get(&host) {
            // A host that has ended has said so.
            let _ = order.send((vm, phase));
        }
    }
}

pub(crate) fn client(url: &str, token: &str) -> Result<Client, Fault> {
    Ok(Client::new(ClientConfig {
        url: url.to_owned(),
        token: Some(token.to_owned()),
        user_agent: "bench".to_owned(),
    })?)
}

/// What is asked of a VM here.
pub(crate) fn wish(name: String) -> CreateVm {
    CreateVm {
        name,
        image: "debian:12".to_owned(),
        keys: vec![KEY.to_owned()],
        ..CreateVm::default()
    }
}

/// All clients of a bench come from one address.
fn door(listener: TcpListener) -> Door {
    let mut door = Door::from(listener);
    door.edges.limits.connections_per_address = door.edges.limits.connections;
    door
}
