//! A control plane over a database of its own, with a clock that stands still.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::Bus;
use jiff::Timestamp;
use model::{Capacity, HostId, VmId};
use store::Store;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use wire::host::{HostPlan, HostReport};

use super::host::FakeHost;
use crate::place::capacity_of;
use crate::{
    Caller, Clock, Control, ControlConfig, CreateVm, FoundView, HostView, ListVms, PageRequest,
    SystemEntropy, VmSelector, VmView,
};

pub(super) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh somebody";

/// A clock that moves when it is told to.
pub(super) struct StoppedClock(Mutex<Timestamp>);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(crate) struct World {
    pub(super) directory: TempDir,
    pub(super) clock: Arc<StoppedClock>,
    pub(super) control: Control,
    pub(super) caller: Caller,
    /// Every plan that was ever made, by host and number, to see that no number gets other content.
    plans: Mutex<HashMap<(HostId, u64), HostPlan>>,
    /// Hands out events: the one task that tests do not step through.
    telling: JoinHandle<()>,
}

impl World {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(StoppedClock(Mutex::new("2026-11-22T12:00:00Z".parse().unwrap())));
        let path = directory.path().join("pitwall.db");
        let control = open(path, clock.clone(), |_| ()).await;
        let token = control.admin_token_ensure().await.unwrap().unwrap();
        let caller = control
            .authenticate(token.reveal(), crate::Origin::default())
            .await
            .unwrap();
        Self {
            directory,
            clock,
            telling: tell(&control),
            control,
            caller,
            plans: Mutex::default(),
        }
    }

    /// A world with one host that has reported.
    pub(crate) async fn with_host() -> (Self, FakeHost) {
        let world = Self::new().await;
        let mut host = FakeHost::new(1);
        world.deliver(&host.report()).await;
        (world, host)
    }

    pub(super) fn pass(&self, time: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }

    pub(super) fn database(&self) -> PathBuf {
        self.directory.path().join("pitwall.db")
    }

    /// Ends the control plane and starts it again; `between` may do something to the database meanwhile.
    pub(super) async fn restart(self, between: impl FnOnce(&PathBuf)) -> Self {
        self.restart_as(|_| (), between).await
    }

    /// The same, which keeps things for another time from then on.
    pub(super) async fn with_retention(self, retention: crate::Retention) -> Self {
        self.restart_as(|config| config.retention = retention, |_| ())
            .await
    }

    /// The same, with other quotas for those who have none of their own.
    pub(super) async fn with_quotas(self, quotas: model::Limits) -> Self {
        self.restart_as(|config| config.quotas = quotas, |_| ()).await
    }

    async fn restart_as(
        mut self,
        set: impl FnOnce(&mut ControlConfig),
        between: impl FnOnce(&PathBuf),
    ) -> Self {
        let store = self.control.inner.store.clone();
        let path = self.database();
        self.telling.abort();
        let _ = self.telling.await;
        drop(self.control);
        store.close().await;
        drop(store);
        between(&path);
        self.control = open(path, self.clock.clone(), set).await;
        self.telling = tell(&self.control);
        self
    }

    /// A new user who has signed in.
    pub(super) async fn person(&self, name: &str, role: model::Role) -> Caller {
        let name = name.parse().unwrap();
        let (_, code) = self.control.user_create(&self.caller, name, role).await.unwrap();
        let origin = crate::Origin::default();
        let (_, token) = self
            .control
            .login(code.reveal(), "a test".to_owned(), origin.clone())
            .await
            .unwrap();
        self.control.authenticate(token.reveal(), origin).await.unwrap()
    }

    pub(crate) async fn create(&self, name: &str) -> VmView {
        self.control.vm_create(&self.caller, request(name)).await.unwrap()
    }

    pub(crate) async fn get(&self, vm: VmId) -> Option<VmView> {
        let found = self.control.vm_get(&self.caller, &VmSelector::Id(vm)).await;
        match found {
            Ok(view) => Some(view),
            Err(error) if error.problem.code == model::ProblemCode::NotFound => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// All VMs, oldest first.
    pub(crate) async fn list(&self) -> Vec<VmView> {
        let all = ListVms {
            page: crate::PageRequest {
                limit: Some(crate::MAX_LIMIT),
                cursor: None,
            },
            ..ListVms::default()
        };
        let page = self.control.vm_list(&self.caller, &all).await.unwrap();
        assert_eq!(page.next, None, "more than fit on a page");
        page.items
    }

    pub(super) async fn hosts(&self) -> Vec<HostView> {
        let all = PageRequest::default();
        self.control.host_list(&self.caller, &all).await.unwrap().items
    }

    pub(super) async fn found(&self, host: HostId) -> Vec<FoundView> {
        let all = PageRequest::default();
        let page = self.control.host_found(&self.caller, &host.into(), &all).await;
        page.unwrap().items
    }

    /// Takes a report in, through its bytes.
    pub(super) async fn deliver(&self, report: &HostReport) {
        let report = HostReport::decode(&report.encode()).unwrap();
        self.control.report_take(&report).await.unwrap();
        self.booked_is_what_is_asked().await;
    }

    /// The sums that hosts are chosen by are those of the VMs there.
    async fn booked_is_what_is_asked(&self) {
        let mut read = self.control.inner.store.read().await.unwrap();
        let mut sums = read.vm_sum_by_host().await.unwrap();
        for vm in read.vm_list().await.unwrap() {
            let (sum, takes) = (sums.get_mut(&vm.host).unwrap(), capacity_of(&vm.asked.body));
            sum.cpus -= takes.cpus;
            sum.memory_bytes -= takes.memory_bytes;
            sum.disk_bytes -= takes.disk_bytes;
        }
        assert!(sums.values().all(|left| *left == Capacity::default()), "{sums:?}");
    }

    /// Makes a host's plan, and checks that its number stands for nothing else.
    pub(super) async fn plan(&self, host: HostId) -> HostPlan {
        let plan = self.control.plan_make(host).await.unwrap().unwrap();
        let plan = HostPlan::decode(&plan.encode()).unwrap();
        let mut plans = self.plans.lock().unwrap();
        let first = plans.entry((host, plan.number)).or_insert_with(|| plan.clone());
        assert!(
            !first.contradicts(&plan),
            "two contents under number {}",
            plan.number
        );
        plan
    }

    /// Forgets the plans of a history that was lost with its database.
    pub(super) fn forget_plans(&mut self) {
        self.plans.get_mut().unwrap().clear();
    }

    /// A plan to the host, its work, and its report back.
    pub(crate) async fn round(&self, host: &mut FakeHost) {
        host.take(self.plan(host.id).await);
        host.work();
        self.deliver(&host.report()).await;
    }
}

fn tell(control: &Control) -> JoinHandle<()> {
    let control = control.clone();
    tokio::spawn(async move { control.tell_events().await })
}

async fn open(path: PathBuf, clock: Arc<StoppedClock>, set: impl FnOnce(&mut ControlConfig)) -> Control {
    let store = Store::open(&path).await.unwrap();
    let mut config = ControlConfig {
        store,
        bus: Bus::in_process(),
        link: link::Link::in_process(),
        clock,
        entropy: Arc::new(SystemEntropy),
        meter: Arc::new(crate::meter::Unmetered),
        silence_after: Duration::from_secs(30),
        reconcile_every: Duration::from_secs(30),
        retention: crate::Retention::default(),
        quotas: model::Limits::default(),
    };
    set(&mut config);
    Control::open(config).await.unwrap()
}

pub(crate) fn request(name: &str) -> CreateVm {
    CreateVm {
        name: name.parse().unwrap(),
        image: "debian:12".parse().unwrap(),
        cpus: None,
        memory: None,
        disk: None,
        owner: None,
        keys: vec![KEY.parse().unwrap()],
        account_keys: true,
        no_ssh_keys: false,
        life: crate::LifeWish::default(),
        registry_auth: None,
        options: model::VmOptions::default(),
        labels: [].into(),
    }
}
