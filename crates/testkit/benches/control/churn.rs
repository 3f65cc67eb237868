//! Whether VMs that come and go leave anything behind: in memory, and in the database once it is old enough.

use std::path::Path;
use std::time::{Duration, Instant};

use control::Retention;
use testkit::Fault;

use crate::figure::{Figure, Spread, field};
use crate::load;
use crate::world::{World, wish};
use crate::{say, usual_or_short};

/// So slow that the first look comes when what is kept for a minute has been forgotten for the first time.
const PER_SECOND: u32 = 30;
const KEPT: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 10;
const MEMORY_GROWTH: f64 = 1.2;
const FILE_GROWTH: f64 = 1.5;

pub(crate) async fn measure() -> Result<Vec<Figure>, Fault> {
    let state = tempfile::tempdir()?;
    let kept = usual_or_short(KEPT, Duration::from_secs(2));
    let retention = Retention {
        events: kept,
        audit: kept,
        answers: kept,
        ..Retention::default()
    };
    let world = World::start_keeping(state.path(), retention).await?;
    let (few, many) = usual_or_short((2_000, 20_000), (100, 300));
    churn(&world, 0, few).await?;
    let first = Size::look(state.path())?;
    churn(&world, few, many).await?;
    let last = Size::look(state.path())?;
    world.end().await;
    say(&format!("churn: after {few}: {first:?}; after {many}: {last:?}"));
    Ok(vec![
        Figure::new(
            "churn-memory",
            "resident after 20,000 creates and deletes, whoever asks included",
            "KiB",
            &[last.memory],
        )
        .beside("after 2,000", Spread::of(&[first.memory]))
        .at_most(MEMORY_GROWTH * first.memory),
        Figure::new(
            "churn-file",
            "database and its log after 20,000, all kept for 60 s",
            "KiB",
            &[last.file()],
        )
        .beside("after 2,000", Spread::of(&[first.file()]))
        .at_most(FILE_GROWTH * first.file()),
    ])
}

/// Creates and removes VMs at the rate, and waits until they are gone.
async fn churn(world: &World, from: usize, to: usize) -> Result<(), Fault> {
    let began = tokio::time::Instant::now();
    let planned = (0..u32::try_from(to - from)?)
        .map(move |number| began + Duration::from_secs(1) * number / PER_SECOND);
    load::run(
        world.clients(CONNECTIONS)?,
        planned,
        move |client, number| async move {
            let vm = client.vm_create(&wish(format!("vm-{}", from + number))).await?;
            client.vm_delete(&vm.id.to_string()).await?;
            Ok(())
        },
    )
    .await?;
    let began = Instant::now();
    while !world.store.read().await?.vm_list().await?.is_empty() {
        if began.elapsed() > Duration::from_secs(30) {
            return Err("VMs that were removed are not gone".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// KiB.
#[derive(Debug)]
struct Size {
    memory: f64,
    database: f64,
    log: f64,
}

impl Size {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn look(state: &Path) -> Result<Self, Fault> {
        let resident = field("/proc/self/status", "VmRSS")?;
        let kib = |name| Ok::<_, Fault>(std::fs::metadata(state.join(name))?.len() as f64 / 1024.0);
        Ok(Self {
            memory: resident.trim_end_matches(" kB").parse()?,
            database: kib("pitwall.db")?,
            log: kib("pitwall.db-wal")?,
        })
    }

    fn file(&self) -> f64 {
        self.database + self.log
    }
}
