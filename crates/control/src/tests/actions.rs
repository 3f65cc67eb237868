//! What can be done to a VM, and when: the use cases against the table, in any order.

use model::{Action, ByteSize, Phase, Power, ProblemCode, Verdict, VmId, status_for_action, verdict};
use proptest::prelude::*;

use super::host::FakeHost;
use super::world::{World, request};
use crate::{ChangeVm, CreateVm, Error, LifeWish, RebuildVm, ResizeVm, VmView};

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(Action),
    /// The plan arrives, the host works, the report comes back.
    Round,
    /// The plan arrives, and nothing is done yet.
    Arrive,
    /// The host says where the VM is.
    Seen(Phase),
    /// The guest powers itself off.
    PowerOff,
}

fn step() -> impl Strategy<Value = Step> {
    let phases = [
        Phase::Accepted,
        Phase::BuildingFilesystem,
        Phase::Booting,
        Phase::Running,
        Phase::Stopping,
        Phase::Stopped,
        Phase::Failed,
    ];
    prop_oneof![
        6 => prop::sample::select(Action::ALL.to_vec())
            .prop_filter("once it goes there is no more", |action| *action != Action::Delete)
            .prop_map(Step::Ask),
        1 => Just(Step::Ask(Action::Delete)),
        3 => Just(Step::Round),
        1 => Just(Step::Arrive),
        2 => prop::sample::select(phases.to_vec()).prop_map(Step::Seen),
        1 => Just(Step::PowerOff),
    ]
}

struct Story {
    world: World,
    host: FakeHost,
    vm: VmId,
    /// Makes each size another one than before.
    asked: u64,
}

impl Story {
    async fn new() -> Self {
        let (world, host) = World::with_host().await;
        // Something to extend; its end is never met here.
        let wish = CreateVm {
            life: LifeWish {
                ttl: Some(3600),
                ..LifeWish::default()
            },
            ..request("web")
        };
        let made = world.control.vm_create(&world.caller, wish).await.unwrap();
        let vm = made.asked.id;
        Self {
            world,
            host,
            vm,
            asked: 0,
        }
    }

    async fn ask(&mut self, action: Action, before: &VmView) -> Result<VmView, Error> {
        let (control, caller, vm) = (&self.world.control, &self.world.caller, &self.vm.into());
        self.asked += 1;
        let more = |size: ByteSize| Some(ByteSize::from_bytes(size.bytes() + (1 << 20)));
        let memory = (before.asked.body.memory == ByteSize::from_mib(512))
            .then(|| ByteSize::from_mib(256))
            .or(Some(ByteSize::from_mib(512)));
        let resize = |wish| control.vm_resize(caller, vm, wish);
        match action {
            Action::Start => control.vm_start(caller, vm).await,
            Action::Stop => control.vm_stop(caller, vm).await,
            Action::Restart => control.vm_restart(caller, vm).await,
            Action::Rebuild => control.vm_rebuild(caller, vm, RebuildVm::default()).await,
            Action::Resize => {
                resize(ResizeVm {
                    memory,
                    ..ResizeVm::default()
                })
                .await
            }
            Action::ResizeAndRestart => {
                resize(ResizeVm {
                    memory,
                    restart: true,
                    ..ResizeVm::default()
                })
                .await
            }
            Action::Grow => {
                resize(ResizeVm {
                    disk: more(before.asked.body.disk),
                    ..ResizeVm::default()
                })
                .await
            }
            Action::Extend => control.vm_extend(caller, vm, 60).await,
            Action::Change => {
                let comment = format!("{} {}", super::world::KEY, self.asked);
                let keys = Some(vec![comment.parse().unwrap()]);
                control
                    .vm_change(
                        caller,
                        vm,
                        ChangeVm {
                            keys,
                            ..ChangeVm::default()
                        },
                    )
                    .await
            }
            Action::Delete => control.vm_delete(caller, vm).await,
        }
    }

    /// Asks, and holds the answer against the table.
    async fn ask_and_compare(&mut self, action: Action) {
        let Some(before) = self.world.get(self.vm).await else {
            return;
        };
        let expected = verdict(action, status_for_action(&before.asked, before.seen.as_ref()));
        let answer = self.ask(action, &before).await;
        let now = self.world.get(self.vm).await.unwrap();
        match expected {
            Verdict::Accepted => {
                assert_eq!(answer.unwrap().asked, now.asked);
                assert_eq!(now.asked.generation, before.asked.generation + 1, "{action}");
            }
            Verdict::NoOp => {
                assert_eq!(answer.unwrap().asked, before.asked, "{action}");
                assert_eq!(now.asked, before.asked, "{action}");
            }
            Verdict::Refused(_) => {
                assert_eq!(
                    answer.unwrap_err().problem.code,
                    ProblemCode::WrongStatus,
                    "{action}"
                );
                assert_eq!(now.asked, before.asked, "{action}");
            }
        }
    }

    async fn happen(&mut self, step: Step) {
        match step {
            Step::Ask(action) => self.ask_and_compare(action).await,
            Step::Round => self.world.round(&mut self.host).await,
            Step::Arrive => self.host.take(self.world.plan(self.host.id).await),
            Step::Seen(phase) => {
                if let Some(held) = self.host.held.get_mut(&self.vm) {
                    held.phase = phase;
                }
                let report = self.host.report();
                self.world.deliver(&report).await;
            }
            Step::PowerOff => {
                if self
                    .host
                    .held
                    .get(&self.vm)
                    .is_some_and(|held| held.phase == Phase::Running)
                {
                    self.host.power_off(self.vm);
                }
                let report = self.host.report();
                self.world.deliver(&report).await;
            }
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_action_does_what_the_table_says(steps in prop::collection::vec(step(), 1..40)) {
        run(async {
            let mut story = Story::new().await;
            for step in steps {
                story.happen(step).await;
            }
        });
    }
}

#[tokio::test]
async fn a_rebuild_makes_the_disk_once_and_keeps_the_rest() {
    let mut story = Story::new().await;
    story.world.round(&mut story.host).await;
    let before = story.world.get(story.vm).await.unwrap();
    let wish = RebuildVm {
        image: Some("debian:13".parse().unwrap()),
        ..RebuildVm::default()
    };
    let control = &story.world.control;
    let asked = control
        .vm_rebuild(&story.world.caller, &story.vm.into(), wish)
        .await
        .unwrap();
    assert_eq!((asked.asked.body.rootfs, asked.asked.body.boot), (2, 2));
    assert_eq!(asked.asked.body.name, before.asked.body.name);
    assert_eq!(
        asked.asked.body.authorized_keys,
        before.asked.body.authorized_keys
    );
    let plan = story.world.plan(story.host.id).await;
    for _ in 0..2 {
        story.host.take(plan.clone());
        story.host.work();
    }
    let held = &story.host.held[&story.vm];
    assert_eq!((held.disks, held.boots), (2, 2));
    assert_eq!(held.body.image.to_string(), "docker.io/library/debian:13");
}

#[tokio::test]
async fn a_vm_that_is_off_is_rebuilt_and_stays_off() {
    let story = Story::new().await;
    let (control, caller, vm) = (&story.world.control, &story.world.caller, &story.vm.into());
    control.vm_stop(caller, vm).await.unwrap();
    let asked = control
        .vm_rebuild(caller, vm, RebuildVm::default())
        .await
        .unwrap();
    assert_eq!((asked.asked.body.power, asked.asked.body.rootfs), (Power::Off, 2));
}

#[tokio::test]
async fn a_disk_never_shrinks_and_a_host_is_never_booked_beyond_its_room() {
    let story = Story::new().await;
    let (control, caller, vm) = (&story.world.control, &story.world.caller, &story.vm.into());
    let smaller = ResizeVm {
        disk: Some(ByteSize::from_mib(64)),
        ..ResizeVm::default()
    };
    let refused = control.vm_resize(caller, vm, smaller).await.unwrap_err().problem;
    assert_eq!(
        (refused.code, refused.pointer.as_deref()),
        (ProblemCode::InvalidValue, Some("/disk_bytes"))
    );
    let beyond = ResizeVm {
        disk: Some(ByteSize::from_mib(1 << 24)),
        ..ResizeVm::default()
    };
    let refused = control.vm_resize(caller, vm, beyond).await.unwrap_err().problem;
    assert_eq!(refused.code, ProblemCode::NoCapacity);
}
