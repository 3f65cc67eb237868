//! Random histories. Whatever people do and however messages go astray: no number gets two contents, nothing is
//! destroyed that nobody asked to go, and what is seen is what the newest report says.

use std::path::Path;

use model::{Phase, VmId};
use proptest::prelude::*;
use wire::host::{HostPlan, HostReport};

use super::host::FakeHost;
use super::world::{World, request};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Start(u8),
    Stop(u8),
    Delete(u8),
    Adopt(u8),
    /// Control makes a plan; it goes to the post.
    Plan,
    /// The host gets the plan at this place of all that were ever made: the newest, a late or a doubled one.
    Arrive(u8),
    /// The host works and reports; the report goes to the post.
    Report,
    /// Control gets the report at this place of all that were ever sent.
    Hear(u8),
    /// A guest ends by itself.
    Die(u8),
    /// The orchestrator starts anew.
    Restart,
    Silence,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Create),
        1 => any::<u8>().prop_map(Step::Start),
        1 => any::<u8>().prop_map(Step::Stop),
        1 => any::<u8>().prop_map(Step::Delete),
        1 => any::<u8>().prop_map(Step::Adopt),
        4 => Just(Step::Plan),
        4 => prop_oneof![2 => Just(0_u8), 1 => any::<u8>()].prop_map(Step::Arrive),
        4 => Just(Step::Report),
        4 => prop_oneof![2 => Just(0_u8), 1 => any::<u8>()].prop_map(Step::Hear),
        1 => any::<u8>().prop_map(Step::Die),
        1 => Just(Step::Restart),
        1 => Just(Step::Silence),
    ]
}

struct History {
    world: World,
    host: FakeHost,
    plans: Vec<HostPlan>,
    reports: Vec<HostReport>,
    vms: Vec<VmId>,
    asked_to_go: Vec<VmId>,
}

impl History {
    async fn new() -> Self {
        let (world, host) = World::with_host().await;
        Self {
            world,
            host,
            plans: vec![],
            reports: vec![],
            vms: vec![],
            asked_to_go: vec![],
        }
    }

    async fn happen(&mut self, step: Step) {
        let (control, caller) = (&self.world.control, &self.world.caller);
        match step {
            Step::Create(name) => {
                let created = control
                    .vm_create(caller, request(&format!("vm{}", name % 6)))
                    .await;
                self.vms.extend(created.map(|vm| vm.asked.id));
            }
            Step::Start(at) => {
                if let Some(vm) = self.vm(at) {
                    drop(control.vm_start(caller, &vm.into()).await);
                }
            }
            Step::Stop(at) => {
                if let Some(vm) = self.vm(at) {
                    drop(control.vm_stop(caller, &vm.into()).await);
                }
            }
            Step::Delete(at) => {
                if let Some(vm) = self.vm(at) {
                    self.asked_to_go.push(vm);
                    drop(control.vm_delete(caller, &vm.into()).await);
                }
            }
            Step::Adopt(at) => {
                if let Some(vm) = self.vm(at) {
                    drop(control.found_adopt(caller, &self.host.id.into(), vm, None).await);
                }
            }
            Step::Plan if control.inner.heard.has(self.host.id) => {
                self.plans.push(self.world.plan(self.host.id).await);
            }
            Step::Plan => {}
            Step::Arrive(back) => {
                if let Some(plan) = from_the_end(&self.plans, back) {
                    self.host.take(plan.clone());
                }
            }
            Step::Report => {
                self.host.work();
                self.reports.push(self.host.report());
            }
            Step::Hear(back) => {
                if let Some(report) = from_the_end(&self.reports, back) {
                    self.world.deliver(report).await;
                }
            }
            Step::Die(at) => {
                let held = self.vm(at).and_then(|vm| self.host.held.get_mut(&vm));
                if let Some(held) = held {
                    held.phase = Phase::Failed;
                }
            }
            Step::Restart => {
                self.host.start += 1;
                self.host.number = 0;
            }
            Step::Silence => {
                self.world.pass(std::time::Duration::from_secs(20));
                control.silence_look().await.unwrap();
            }
        }
    }

    fn vm(&self, at: u8) -> Option<VmId> {
        self.vms.get(usize::from(at) % self.vms.len().max(1)).copied()
    }

    /// Nothing that was made went away without having been asked to.
    fn nothing_was_destroyed(&self) {
        for vm in self.host.removed.keys() {
            assert!(self.asked_to_go.contains(vm), "{vm} was removed and nobody asked");
        }
    }

    /// The database is set back to `backup`. Reports that are on their way are lost with the process.
    async fn set_back(mut self, backup: &Path) -> Self {
        self.world = self.world.restart(|path| copy(backup, path)).await;
        self.world.forget_plans();
        self.reports.clear();
        self
    }

    /// Whatever the host holds is asked for or listed as found.
    async fn nothing_is_lost(&self) {
        let found = self.world.found(self.host.id).await;
        let asked = self.world.list().await;
        for (vm, held) in &self.host.held {
            let is_found = found.iter().any(|found| found.vm == *vm);
            let wish = asked.iter().find(|view| view.asked.id == *vm);
            assert!(
                is_found != wish.is_some(),
                "{vm} is neither asked for nor found, or both"
            );
            assert!(
                wish.is_none_or(|wish| wish.asked.body == held.body),
                "{vm} is not as it is asked to be"
            );
        }
    }

    /// When all messages arrive at last, what people see is what is.
    async fn comes_to_rest(&mut self) {
        for _ in 0..3 {
            self.world.round(&mut self.host).await;
        }
        assert_eq!(self.host.refusal, None);
        let views = self.world.list().await;
        assert_eq!(views.len(), self.host.held.len());
        for view in views {
            let held = &self.host.held[&view.asked.id];
            assert_eq!(held.body, view.asked.body);
            let seen = view.seen.unwrap();
            assert_eq!(
                (seen.phase, seen.boot, seen.accepted),
                (held.phase, held.boot, view.asked.generation)
            );
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

fn from_the_end<T>(list: &[T], back: u8) -> Option<&T> {
    list.iter().rev().nth(usize::from(back) % list.len().max(1))
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// `World::plan` asserts at each plan that its number stands for nothing else.
    #[test]
    fn any_history_destroys_nothing_and_comes_to_rest(steps in prop::collection::vec(step(), 1..60)) {
        run(async {
            let mut history = History::new().await;
            for step in steps {
                history.happen(step).await;
                history.nothing_was_destroyed();
            }
            history.comes_to_rest().await;
            history.nothing_was_destroyed();
        });
    }

    /// The same when the database is set back in the middle of it.
    #[test]
    fn a_database_set_back_destroys_nothing_and_loses_nothing(
        before in prop::collection::vec(step(), 1..25),
        lost in prop::collection::vec(step(), 1..25),
        after in prop::collection::vec(step(), 1..25),
    ) {
        run(async {
            let mut history = History::new().await;
            for step in before {
                history.happen(step).await;
            }
            let backup = history.world.directory.path().join("backup.db");
            history.world = history.world.restart(|path| copy(path, &backup)).await;
            for step in lost {
                history.happen(step).await;
            }
            let mut history = history.set_back(&backup).await;
            for step in after {
                history.happen(step).await;
                history.nothing_was_destroyed();
            }
            history.world.deliver(&history.host.report()).await;
            for _ in 0..4 {
                history.world.round(&mut history.host).await;
            }
            history.nothing_was_destroyed();
            history.nothing_is_lost().await;
        });
    }

    /// Reports that are doubled, late or reordered leave what the newest alone leaves.
    #[test]
    fn the_newest_report_wins_in_any_order(order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(), twice in 0..6_usize) {
        run(async {
            let (world, mut host) = World::with_host().await;
            let id = world.create("web").await.asked.id;
            host.take(world.plan(host.id).await);
            let phases = [Phase::Accepted, Phase::BuildingFilesystem, Phase::Booting, Phase::Running, Phase::Failed, Phase::Stopped];
            let reports: Vec<_> = phases.iter().map(|phase| {
                host.held.get_mut(&id).unwrap().phase = *phase;
                host.report()
            }).collect();
            for at in order.iter().chain([&twice]) {
                world.deliver(&reports[*at]).await;
            }
            let view = world.get(id).await.unwrap();
            assert_eq!(view.seen.unwrap().phase, Phase::Stopped);
        });
    }
}
