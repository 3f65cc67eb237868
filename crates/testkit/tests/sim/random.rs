//! Whatever people do and whatever happens to hosts and control meanwhile: it comes to rest as asked.

use std::collections::{BTreeMap, BTreeSet};

use api::ClientError;
use model::{ProblemCode, Status};
use proptest::prelude::*;
use testkit::{Cloud, until};

use crate::support::{create, expect, gone, start, traces, wish};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What happens. Numbers say to which VM or host.
#[derive(Debug, Clone, Copy)]
enum Event {
    Create(usize),
    Start(usize),
    Stop(usize),
    Remove(usize),
    Die(usize),
    PowerOff(usize),
    /// Lets everything come to rest, so that what follows does not meet it half way.
    Rest,
    RestartHost(usize),
    RebootHost(usize),
    RestartControl,
    FailHands(usize, usize),
    FailDriver(usize, usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (vm, host, step) = (0..NAMES.len(), 0..2_usize, 0..6_usize);
    prop_oneof![
        5 => vm.clone().prop_map(Event::Create),
        3 => vm.clone().prop_map(Event::Start),
        3 => vm.clone().prop_map(Event::Stop),
        2 => vm.clone().prop_map(Event::Remove),
        2 => vm.clone().prop_map(Event::Die),
        1 => vm.prop_map(Event::PowerOff),
        4 => Just(Event::Rest),
        2 => host.clone().prop_map(Event::RestartHost),
        1 => host.clone().prop_map(Event::RebootHost),
        1 => Just(Event::RestartControl),
        1 => (host.clone(), step.clone()).prop_map(|(host, step)| Event::FailHands(host, step)),
        1 => (host, step).prop_map(|(host, step)| Event::FailDriver(host, step)),
    ]
}

struct World {
    cloud: Cloud,
    clean: Vec<Vec<String>>,
    /// Boots that were asked for, all in all.
    boots: usize,
    /// VMs that a boot may have been lost of, because their host was rebooted or one of its steps failed.
    excused: usize,
    /// VMs that ended by themselves since their last start.
    ended: BTreeSet<&'static str>,
}

impl World {
    async fn start() -> Self {
        let cloud = Cloud::start(2).await.unwrap();
        Self {
            clean: cloud.hosts.iter().map(traces).collect(),
            cloud,
            boots: 0,
            excused: 0,
            ended: BTreeSet::new(),
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Create(vm) => {
                let asked = self.client().vm_create(&wish(NAMES[vm])).await;
                if allowed(asked, ProblemCode::NameTaken).is_some() {
                    self.boots += 1;
                    self.ended.remove(NAMES[vm]);
                }
            }
            Event::Start(vm) => {
                let before = self.generation(vm).await;
                let started = allowed(self.client().vm_start(NAMES[vm]).await, ProblemCode::WrongStatus);
                if started.is_some_and(|vm| Some(vm.generation) != before) {
                    self.boots += 1;
                    self.ended.remove(NAMES[vm]);
                }
            }
            Event::Stop(vm) => {
                allowed(self.client().vm_stop(NAMES[vm]).await, ProblemCode::WrongStatus);
            }
            Event::Remove(vm) => {
                allowed(self.client().vm_delete(NAMES[vm]).await, ProblemCode::NotFound);
            }
            Event::Die(vm) => self.end_machine(vm, |sim, id| sim.die(id, 9)).await,
            Event::PowerOff(vm) => self.end_machine(vm, |sim, id| sim.power_off(id)).await,
            Event::Rest => self.rest().await,
            Event::RestartHost(host) => {
                self.cloud.hosts[host].end().await;
                self.begin(host).await;
            }
            Event::RebootHost(host) => {
                self.cloud.hosts[host].end().await;
                self.excused += self.cloud.hosts[host].sim.leftovers().len();
                self.cloud.hosts[host].sim.forget_everything();
                self.begin(host).await;
            }
            Event::RestartControl => {
                self.cloud.end().await;
                self.cloud.begin().await.unwrap();
            }
            Event::FailHands(host, step) => {
                self.excused += 1;
                self.cloud.hosts[host].hands.fail_at(step);
            }
            Event::FailDriver(host, step) => {
                self.excused += 1;
                self.cloud.hosts[host].sim.fail_after(step);
            }
        }
    }

    fn client(&self) -> &api::Client {
        self.cloud.client().unwrap()
    }

    async fn generation(&self, vm: usize) -> Option<u64> {
        let vm = allowed(self.client().vm_get(NAMES[vm]).await, ProblemCode::NotFound);
        vm.map(|vm| vm.generation)
    }

    async fn end_machine(&mut self, vm: usize, end: impl Fn(&driver::sim::Sim, model::VmId)) {
        let name = NAMES[vm];
        if let Some(vm) = allowed(self.client().vm_get(name).await, ProblemCode::NotFound) {
            for host in &self.cloud.hosts {
                end(&host.sim, vm.id);
            }
            self.ended.insert(name);
        }
    }

    /// A failure that was ordered may meet the beginning itself; who supervises the orchestrator tries again.
    async fn begin(&mut self, host: usize) {
        if self.cloud.hosts[host].begin().await.is_err() {
            self.cloud.hosts[host].begin().await.unwrap();
        }
    }

    /// Waits until every VM is what is asked of it, or what it did by itself since.
    async fn rest(&mut self) {
        let ended = self.ended.clone();
        let client = self.client();
        let resting = |vm: &api::Vm| {
            let may_be_down = ended.contains(vm.name.as_str());
            match vm.status.known() {
                Some(Status::Running) => vm.power == "on" && vm.settled_generation == vm.generation,
                Some(Status::Stopped) => vm.power == "off" || may_be_down,
                Some(Status::Error) => {
                    may_be_down && vm.reason.as_ref().is_some_and(|reason| !reason.retried)
                }
                _ => false,
            }
        };
        until(
            "all VMs are as asked",
            || client.vm_list(),
            |list| list.items.iter().all(resting),
        )
        .await
        .unwrap();
    }

    /// No boot was begun twice, what is asked for is there, and nothing else.
    async fn check(mut self) {
        for host in &self.cloud.hosts {
            host.hands.fail_at(1 << 40);
            host.sim.release();
        }
        self.rest().await;
        let starts: u32 = self.cloud.hosts.iter().map(|host| host.sim.starts()).sum();
        assert!(
            starts as usize <= self.boots + self.excused,
            "{starts} starts for {} boots and {} excuses",
            self.boots,
            self.excused
        );
        let known = self.client().vm_list().await.unwrap().items;
        let asked: BTreeMap<_, _> = known.iter().map(|vm| (vm.id, vm)).collect();
        for host in &self.cloud.hosts {
            for trace in host.sim.leftovers() {
                assert!(
                    asked.keys().any(|id| trace.ends_with(&id.to_string())),
                    "{trace} is left"
                );
            }
        }
        for vm in &known {
            if vm.status.known() != Some(Status::Running) {
                start(&self.cloud, &vm.name).await;
                expect(&self.cloud, &vm.name, Status::Running).await;
            }
        }
        for vm in &known {
            self.client().vm_delete(&vm.name).await.unwrap();
        }
        for vm in &known {
            gone(&self.cloud, &vm.name).await;
        }
        let left: Vec<_> = self.cloud.hosts.iter().map(traces).collect();
        assert_eq!(left, self.clean);
        create(&self.cloud, "last").await;
    }
}

/// The answer, or nothing where it is a refusal that such an event may meet.
fn allowed<T>(answer: Result<T, ClientError>, code: ProblemCode) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(ClientError::Problem(problem))
            if [code, ProblemCode::NotFound]
                .iter()
                .any(|code| problem.code == code.as_str()) =>
        {
            None
        }
        Err(error) => {
            assert_eq!(error.to_string(), "");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12),
        failure_persistence: None,
        max_shrink_iters: 40,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_it_comes_to_rest_as_asked(events in proptest::collection::vec(event(), 4..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::start().await;
            for event in events {
                world.happen(event).await;
            }
            world.check().await;
        });
    }
}
