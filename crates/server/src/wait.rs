//! `/v1/vms/{vm}/wait`.

use std::time::Duration;

use api::wait::MAX_TIMEOUT_SECONDS;
use axum::Json;
use axum::extract::{Path, State};
use control::{Control, WaitFor};
use model::{Problem, ProblemCode};

use crate::auth::Signed;
use crate::flows::Flows;
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::router::{Closing, closed};
use crate::vms::shape;

const DEFAULT_TIMEOUT_SECONDS: u64 = 60;

pub(crate) async fn wait(
    State(control): State<Control>,
    State(closing): State<Closing>,
    State(flows): State<Flows>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Asked(query): Asked<api::WaitQuery>,
) -> Result<Json<api::Waited>, Refusal> {
    let (vm, wanted, limit) = (vm.parse()?, wanted(&query.wanted)?, limit(query.timeout)?);
    let _open = flows.open(caller.user)?;
    let for_how_long = |limit| control.vm_wait(&caller, &vm, (wanted, query.generation), limit);
    let waited = tokio::select! {
        waited = for_how_long(limit) => waited?,
        // Who closes has no time: it is answered as it stands.
        () = closed(closing) => for_how_long(Duration::ZERO).await?,
    };
    Ok(Json(api::Waited {
        reached: waited.reached,
        vm: waited.vm.map(shape),
    }))
}

fn wanted(word: &str) -> Result<WaitFor, Problem> {
    if word == "DELETED" {
        return Ok(WaitFor::Deleted);
    }
    word.parse().map(WaitFor::Status).map_err(|()| {
        Problem::new(ProblemCode::InvalidValue, format!("{word:?} is no status"))
            .hint("/v1/openapi.json lists what can be waited for")
            .at("/for")
    })
}

fn limit(seconds: Option<u64>) -> Result<Duration, Problem> {
    let seconds = seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    match seconds <= MAX_TIMEOUT_SECONDS {
        true => Ok(Duration::from_secs(seconds)),
        false => Err(Problem::new(
            ProblemCode::InvalidValue,
            format!("{seconds} s are too long to wait in one request; at most {MAX_TIMEOUT_SECONDS}"),
        )
        .hint("ask again when it ends without what was waited for")
        .at("/timeout")),
    }
}
