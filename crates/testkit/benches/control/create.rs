//! Creates at a rate, against bare commits of the same rows, and the bytes of plans that each costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::VmStatus;
use jiff::Timestamp;
use model::{Asked, RequestId, Status, VmId};
use store::{NewAuditEntry, NewEvent, NewVm, Record, Store, Vm};
use testkit::Fault;

use crate::figure::{Figure, Spread, milliseconds};
use crate::load::{self, Arrivals, Numbers};
use crate::world::{World, wish};
use crate::{say, usual_or_short};

const CONNECTIONS: usize = 100;
const PER_SECOND: f64 = 500.0;
/// Of a create, at least; a slow disk allows more.
const P99_MS: f64 = 10.0;
/// How many bare commits its p99 may cost.
const COMMITS: f64 = 5.0;
/// How much more a create's plans may weigh at ten times as many VMs.
const GROWTH: f64 = 2.0;

pub(crate) async fn measure() -> Result<Vec<Figure>, Fault> {
    let state = tempfile::tempdir()?;
    let world = World::start(state.path()).await?;
    let creates = usual_or_short(15_000, 1_000);
    // Where bytes are counted: creates around this many VMs.
    let (few, many) = usual_or_short((1_000, 10_000), (90, 900));
    let client = world.client(world.token())?;
    let first = client.vm_create(&wish("first".to_owned())).await?.id.to_string();
    let runs = |vm: &api::Vm| vm.status == VmStatus::from(Status::Running);
    testkit::until("a VM runs", || client.vm_get(&first), runs).await?;
    let peer_before = bare_commits(&world, &state.path().join("before.db")).await?;

    let published = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let (meter, at) = (world.meter.clone(), published.clone());
    let (began, reports) = (Instant::now(), world.meter.reports());
    let planned = Arrivals::per_second(PER_SECOND).take(creates);
    let answers = load::run(world.clients(CONNECTIONS)?, planned, move |client, number| {
        let (meter, at) = (meter.clone(), at.clone());
        async move {
            client.vm_create(&wish(format!("vm-{number}"))).await?;
            if let Ok(mut at) = at.lock() {
                let count = at.len();
                at.insert(count, (meter.bytes(), meter.plans()));
            }
            Ok(())
        }
    })
    .await?;
    let lasted = began.elapsed();
    let times: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    let finished = world.settle(creates + 1).await?;
    say(&format!(
        "create: {creates} in {:.1} s, {} plans, {} reports taken; the last VM ran {:.1} s later",
        lasted.as_secs_f64(),
        world.meter.plans(),
        world.meter.reports() - reports,
        finished.as_secs_f64()
    ));
    let peer_after = bare_commits(&world, &state.path().join("after.db")).await?;
    world.end().await;

    let peer = Spread::of(&milliseconds(&[peer_before, peer_after].concat()));
    let limit = P99_MS.max(COMMITS * peer.p99);
    let published = published.lock().map(|at| at.clone()).unwrap_or_default();
    let weight = |vms: usize| bytes_per_create(&published, vms);
    let (light, heavy) = (weight(few), weight(many));
    if !(light > 0.0 && heavy > 0.0) {
        return Err("no plan was published while its bytes were counted".into());
    }
    Ok(vec![
        Figure::of_times("create", "500 creates a second, from the planned moment", &times)
            .beside("one bare commit", peer)
            .p99_at_most(limit),
        Figure::new(
            "plan-bytes",
            "bytes planned for each create, 10 times as many VMs",
            "B",
            &[heavy],
        )
        .beside("at first", Spread::of(&[light]))
        .at_most(GROWTH * light),
    ])
}

/// Bytes of plans for each create, over a third of so many around them.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn bytes_per_create(published: &BTreeMap<usize, (u64, u64)>, vms: usize) -> f64 {
    let (from, to) = (vms - vms / 4, vms + vms / 10);
    let at = |count| published.get(&count).map_or(f64::NAN, |&(bytes, _)| bytes as f64);
    (at(to) - at(from)) / (to - from) as f64
}

/// The rows of a create, each time in one transaction of a database with nothing else in it.
async fn bare_commits(world: &World, path: &Path) -> Result<Vec<Duration>, Fault> {
    let mut read = world.store.read().await?;
    let model = read.vm_list().await?.into_iter().next().ok_or("there is no VM")?;
    let owner = read
        .principal_fetch(model.owner.id)
        .await?
        .ok_or("it has no owner")?;
    let host = read
        .host_list()
        .await?
        .into_iter()
        .find(|host| host.id == model.host);
    drop(read);
    let bare = Store::open(path).await?;
    let mut write = bare.write().await?;
    write.principal_insert(&owner).await?;
    write.host_put(&host.ok_or("it has no host")?).await?;
    write.commit().await?;
    let mut numbers = Numbers(11);
    let mut times = Vec::new();
    for number in 0..usual_or_short(1_000, 100) {
        let asked = another(&model.asked, number, &mut numbers)?;
        let began = Instant::now();
        insert(&bare, &model, &asked).await?;
        times.push(began.elapsed());
    }
    bare.close().await;
    Ok(times)
}

fn another(asked: &Asked, number: usize, numbers: &mut Numbers) -> Result<Asked, Fault> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&numbers.next().to_be_bytes());
    let mut asked = Asked {
        id: VmId::from_random(bytes),
        ..asked.clone()
    };
    asked.body.name = format!("bare-{number}").parse()?;
    Ok(asked)
}

async fn insert(bare: &Store, model: &Vm, asked: &Asked) -> Result<(), Fault> {
    let now = Timestamp::now();
    let mut write = bare.write().await?;
    let new = NewVm {
        asked,
        created_at: now,
        ..NewVm::of(model)
    };
    write.vm_insert(&new).await?;
    let events = [
        ("created", r#"{"type":"created","name":"a-name"}"#),
        ("status", r#"{"type":"status","status":"PENDING"}"#),
    ];
    let events = events.map(|(kind, data)| NewEvent {
        at: now,
        kind,
        vm: asked.id,
        generation: 1,
        data: data.to_owned(),
        audience: None,
    });
    let entry = NewAuditEntry {
        at: now,
        user: None,
        token: None,
        address: Some([127, 0, 0, 1].into()),
        request: Some(RequestId::from_random(0)),
        operation: "vm_create",
        target: Some(asked.id.to_string()),
        outcome: "ok",
    };
    let record = Record {
        audit: &[entry],
        events: &events,
        answer: None,
    };
    write.record(&record).await?;
    write.commit().await?;
    Ok(())
}
