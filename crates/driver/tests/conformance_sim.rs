//! The simulator passes the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use driver::conformance::{self, Fixture, Guest};
use driver::sim::{Sim, Step};
use driver::{Driver, Exit, MachineSpec, Observation};
use model::{ByteSize, VmId};

#[derive(Default)]
struct SimHost {
    sim: Sim,
    ids: AtomicU8,
}

#[async_trait::async_trait]
impl Fixture for SimHost {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.sim.restarted())
    }

    fn spec(&self, _guest: Guest) -> MachineSpec {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        MachineSpec {
            id: VmId::from_random([number; 16]),
            name: format!("vm-{number}"),
            cpus: 1,
            memory: ByteSize::from_mib(32),
            disks: Vec::new(),
            nic: None,
            kernel: None,
            console: false,
            owner: 0,
        }
    }

    async fn started(&self, id: VmId, guest: Guest) {
        if guest == Guest::PowersOff {
            self.sim.print(id, "hello\n");
            self.sim.power_off(id);
        }
    }

    async fn kill(&self, id: VmId) {
        self.sim.die(id, 9);
    }

    async fn damage(&self, _id: VmId) {}

    fn running(&self, id: VmId) -> usize {
        usize::from(self.sim.runs(id))
    }

    fn runs_as(&self, id: VmId) -> Option<u32> {
        self.sim.spec(id).map(|spec| spec.owner)
    }

    fn leftovers(&self) -> Vec<String> {
        self.sim.leftovers()
    }
}

#[tokio::test]
async fn the_simulator_passes() {
    if let Err(broken) = conformance::run(&SimHost::default()).await {
        panic!("{broken}: {:?}", std::error::Error::source(&broken));
    }
}

#[tokio::test]
async fn it_fails_hangs_and_forgets_as_told() {
    let host = SimHost::default();
    let (sim, spec) = (host.sim.clone(), host.spec(Guest::Idles));
    sim.fail_at(Step::Ensure);
    assert!(sim.ensure(&spec).await.is_err());
    sim.release();
    sim.fail_after(1);
    sim.ensure(&spec).await.unwrap();
    assert!(sim.observe(spec.id).await.is_err());
    assert!(sim.observe(spec.id).await.is_ok());

    sim.hang_at(Step::Observe);
    let hanging = tokio::spawn({
        let sim = sim.clone();
        async move { sim.observe(spec.id).await }
    });
    tokio::task::yield_now().await;
    assert!(!hanging.is_finished());
    sim.release();
    assert!(matches!(hanging.await.unwrap(), Ok(Observation::Running { .. })));

    let end = tokio::spawn({
        let sim = sim.clone();
        async move { sim.wait_ended(spec.id).await }
    });
    tokio::task::yield_now().await;
    sim.forget_everything();
    assert_eq!(end.await.unwrap(), Exit::default());
    assert_eq!(sim.observe(spec.id).await.unwrap(), Observation::Absent);
}

#[tokio::test]
async fn a_dead_machine_breaks_its_channel() {
    use tokio::io::AsyncReadExt;
    let host = SimHost::default();
    let spec = host.spec(Guest::Idles);
    host.sim.ensure(&spec).await.unwrap();
    let mut channel = host.sim.control(spec.id).await.unwrap();
    host.sim.die(spec.id, 11);
    assert_eq!(channel.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(host.sim.wait_ended(spec.id).await.signal, Some(11));
}
