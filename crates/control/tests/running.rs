//! The reconcilers running by themselves, over the bus, against a host that speaks bytes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use bus::Bus;
use control::{Caller, Control, ControlConfig, CreateVm, PageRequest, VmView};
use link::Link;
use model::{Capacity, Feature, HostId, Phase, ProblemCode, Seen, Status, VmId};
use store::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::host::{HostPlan, HostReport, VmReport};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh somebody";
const LIMIT: Duration = Duration::from_secs(20);

struct Cloud {
    _directory: tempfile::TempDir,
    bus: Bus,
    control: Control,
    caller: Caller,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Cloud {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("pitwall.db")).await.unwrap();
        let bus = Bus::in_process();
        let config = ControlConfig {
            silence_after: Duration::from_millis(500),
            ..ControlConfig::new(store, bus.clone(), Link::in_process())
        };
        let control = Control::open(config).await.unwrap();
        let token = control.admin_token_ensure().await.unwrap().unwrap();
        let caller = control
            .authenticate(token.reveal(), control::Origin::default())
            .await
            .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let runner = control.clone();
        let running = tokio::spawn(async move {
            let shutdown = async {
                drop(stopped.await);
            };
            runner.run(shutdown).await;
        });
        Self {
            _directory: directory,
            bus,
            control,
            caller,
            stop,
            running,
        }
    }

    async fn create(&self, name: &str) -> Result<VmView, control::Error> {
        let request = CreateVm {
            name: name.parse().unwrap(),
            image: "debian".parse().unwrap(),
            cpus: None,
            memory: None,
            disk: None,
            owner: None,
            keys: vec![KEY.parse().unwrap()],
            account_keys: true,
            no_ssh_keys: false,
            life: control::LifeWish::default(),
            registry_auth: None,
            options: model::VmOptions::default(),
            labels: [].into(),
        };
        self.control.vm_create(&self.caller, request).await
    }

    async fn status(&self, vm: VmId) -> Option<Status> {
        match self.control.vm_get(&self.caller, &vm.into()).await {
            Ok(view) => Some(view.status),
            Err(error) if error.problem.code == ProblemCode::NotFound => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn until(&self, vm: VmId, wanted: Option<Status>) {
        let mut last = None;
        let waited = tokio::time::timeout(LIMIT, async {
            loop {
                last = self.status(vm).await;
                if last == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "wanted {wanted:?}, last seen {last:?}");
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(LIMIT, self.running).await.unwrap().unwrap();
    }
}

/// A host that makes each plan so at once and reports 20 times a second.
fn host(bus: Bus, id: HostId, start: u64) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut plans = bus.plans(id);
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut last: Option<HostPlan> = None;
        for number in 1.. {
            tokio::select! {
                plan = plans.next() => last = Some(HostPlan::decode(&plan.unwrap()).unwrap()),
                _ = ticks.tick() => {}
            }
            let report = report(id, start, number, last.as_ref());
            bus.publish_report(id, report.encode()).await.unwrap();
        }
    })
}

fn report(id: HostId, start: u64, number: u64, plan: Option<&HostPlan>) -> HostReport {
    let vms: BTreeMap<_, _> = plan
        .into_iter()
        .flat_map(|plan| &plan.vms)
        .map(|vm| {
            let body = vm.body.as_ref().unwrap();
            let phase = if vm.remove { Phase::Gone } else { Phase::Running };
            let seen = Seen {
                placement: vm.placement,
                accepted: vm.generation,
                settled: vm.generation,
                phase,
                boot: body.boot,
                rootfs: body.rootfs,
                reason: None,
                stage: None,
                address: None,
                ssh_port: None,
                login: None,
                host_keys: vec![],
                image_digest: None,
                service: None,
                powered_off: false,
                idle: model::Idle::Active,
            };
            (vm.id, seen)
        })
        .collect();
    HostReport {
        installation: plan.map(|plan| plan.installation),
        host: id,
        name: "box".parse().unwrap(),
        version: "0".into(),
        start,
        number,
        plan: plan.map_or(0, |plan| plan.number),
        refusal: None,
        vms: vms
            .into_iter()
            .map(|(id, seen)| VmReport {
                id,
                seen,
                found: false,
                body: None,
            })
            .collect(),
        capacity: Some(Capacity {
            cpus: 64,
            memory_bytes: 64 << 30,
            disk_bytes: 640 << 30,
        }),
        images: None,
        features: Some(vec![Feature::OCI_IMAGE]),
    }
}

async fn created(cloud: &Cloud, name: &str) -> VmId {
    let waited = tokio::time::timeout(LIMIT, async {
        loop {
            match cloud.create(name).await {
                Ok(vm) => return vm.asked.id,
                Err(error) if error.problem.code == ProblemCode::NoHost => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    waited.await.expect("a host within the limit")
}

#[tokio::test]
async fn create_runs_and_delete_goes_without_anybody_pushing() {
    let cloud = Cloud::start().await;
    let id = HostId::from_random([1; 16]);
    let first = host(cloud.bus.clone(), id, 1);
    let vm = created(&cloud, "web").await;
    cloud.until(vm, Some(Status::Running)).await;
    // The host falls silent and comes back.
    first.abort();
    cloud.until(vm, Some(Status::Unknown)).await;
    let second = host(cloud.bus.clone(), id, 2);
    cloud.until(vm, Some(Status::Running)).await;
    cloud.control.vm_delete(&cloud.caller, &vm.into()).await.unwrap();
    cloud.until(vm, None).await;
    second.abort();
    cloud.stop().await;
}

#[tokio::test]
async fn an_unreadable_report_stops_nothing() {
    let cloud = Cloud::start().await;
    let id = HostId::from_random([1; 16]);
    cloud.bus.publish_report(id, b"nonsense".to_vec()).await.unwrap();
    let another = report(HostId::from_random([2; 16]), 1, 1, None);
    cloud.bus.publish_report(id, another.encode()).await.unwrap();
    let host = host(cloud.bus.clone(), id, 1);
    let vm = created(&cloud, "web").await;
    cloud.until(vm, Some(Status::Running)).await;
    let hosts = cloud
        .control
        .host_list(&cloud.caller, &PageRequest::default())
        .await
        .unwrap()
        .items;
    assert_eq!(
        hosts.len(),
        1,
        "a report of one host in another's name registers nobody"
    );
    host.abort();
    cloud.stop().await;
}
