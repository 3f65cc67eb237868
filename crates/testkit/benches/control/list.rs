//! A page of a long list, for somebody who sees half of it.

use std::time::Duration;

use api::{CreateVm, VmQuery};
use testkit::Fault;
use tokio::time::Instant;

use crate::figure::{Figure, Spread, milliseconds};
use crate::load;
use crate::world::{World, wish};
use crate::{say, usual_or_short};

const PER_PAGE: u32 = 100;
const PER_SECOND: u32 = 100;
const CONNECTIONS: usize = 20;
const P99_MS: f64 = 10.0;
/// How much longer the last page may take than the first.
const GROWTH: f64 = 2.0;

pub(crate) async fn measure() -> Result<Vec<Figure>, Fault> {
    let state = tempfile::tempdir()?;
    let world = World::start(state.path()).await?;
    let ann = world.user("ann").await?;
    let bob = world.user("bob").await?;
    let half = usual_or_short(5_000, 500);
    fill(&world, [ann.clone(), bob], half).await?;
    let pages = cursors(&world, &ann).await?;
    say(&format!(
        "list: {} pages of {PER_PAGE}, of {} VMs",
        pages.len(),
        2 * half
    ));
    let last = pages.len() - 1;
    let (clients, count) = (
        (0..CONNECTIONS)
            .map(|_| world.client(&ann))
            .collect::<Result<Vec<_>, _>>()?,
        usual_or_short(2_000, 200),
    );
    let began = Instant::now();
    let planned = (0..count).map(move |number| began + Duration::from_secs(1) * number / PER_SECOND);
    let asked = pages.clone();
    // First, last and one in between by turns.
    let page_of = move |number: usize| [0, last, (number / 3) % (last + 1)][number % 3];
    let answers = load::run(clients, planned, move |client, number| {
        let page = page_of(number);
        let query = query(asked[page].clone());
        async move {
            let found = client.vm_page(&query).await?.items.len();
            if found == 0 {
                return Err("an empty page".into());
            }
            Ok(page)
        }
    })
    .await?;
    world.end().await;
    let of = |wanted: Option<usize>| -> Vec<Duration> {
        let fits = answers
            .iter()
            .filter(|answer| wanted.is_none_or(|page| answer.given == page));
        fits.map(|answer| answer.took).collect()
    };
    let first = Spread::of(&milliseconds(&of(Some(0))));
    Ok(vec![
        Figure::of_times(
            "list",
            "100 of 10,000 VMs for a member who sees 5,000, by label, 100 a second",
            &of(None),
        )
        .p99_at_most(P99_MS),
        Figure::of_times("list-last", "the last page of them", &of(Some(last)))
            .beside("the first page", first)
            .at_most(GROWTH * first.median),
    ])
}

fn query(cursor: Option<String>) -> VmQuery {
    VmQuery {
        limit: Some(PER_PAGE),
        cursor,
        label: vec!["tier=web".to_owned()],
        ..VmQuery::default()
    }
}

/// So many VMs for each of them, all of them running; every second one has the label.
async fn fill(world: &World, owners: [String; 2], each: usize) -> Result<(), Fault> {
    for owner in owners {
        let clients = (0..4)
            .map(|_| world.client(&owner))
            .collect::<Result<Vec<_>, _>>()?;
        let now = Instant::now();
        load::run(
            clients,
            std::iter::repeat_n(now, each),
            |client, number| async move {
                let tier = ["web", "data"][number % 2];
                let wish = CreateVm {
                    labels: [("tier".to_owned(), tier.to_owned())].into(),
                    ..wish(format!("vm-{number}"))
                };
                client.vm_create(&wish).await?;
                Ok(())
            },
        )
        .await?;
    }
    world.settle(2 * each).await?;
    Ok(())
}

/// Where each page begins.
async fn cursors(world: &World, token: &str) -> Result<Vec<Option<String>>, Fault> {
    let client = world.client(token)?;
    let mut pages = vec![None];
    while let Some(next) = client
        .vm_page(&query(pages.last().cloned().flatten()))
        .await?
        .next
    {
        pages.push(Some(next));
    }
    Ok(pages)
}
