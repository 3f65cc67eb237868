//! `/v1/hosts`, and what was found on them.

use api::PageQuery;
use axum::Json;
use axum::extract::{Path, State};
use control::{Control, FoundView, HostView};
use http::StatusCode;
use model::{Capacity, Phase, Problem, ProblemCode, Status, VmId};

use crate::auth::Signed;
use crate::body::Body;
use crate::if_match::{Answer, shown};
use crate::query::{Asked, page};
use crate::refusal::Refusal;
use crate::vms;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<api::HostList>, Refusal> {
    let hosts = control.host_list(&caller, &page(query)).await?.map(shape);
    Ok(Json(api::HostList {
        items: hosts.items,
        next: hosts.next,
    }))
}

pub(crate) async fn found(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(host): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<api::FoundList>, Refusal> {
    let found = control.host_found(&caller, &host.parse()?, &page(query)).await?;
    let found = found.map(found_shape);
    Ok(Json(api::FoundList {
        items: found.items,
        next: found.next,
    }))
}

pub(crate) async fn adopt(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((host, vm)): Path<(String, String)>,
    Body(wish): Body<api::Adopt>,
) -> Answer {
    let name = vms::at("/name", wish.name.map(|name| name.parse()).transpose())?;
    let vm = control
        .found_adopt(&caller, &host.parse()?, found_id(&vm)?, name)
        .await?;
    Ok(shown(vm))
}

pub(crate) async fn found_delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((host, vm)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    control
        .found_remove(&caller, &host.parse()?, found_id(&vm)?)
        .await?;
    Ok(StatusCode::ACCEPTED)
}

/// Two hosts may have found VMs of one name, so here only ids are taken.
fn found_id(text: &str) -> Result<VmId, Problem> {
    text.parse().map_err(|_| {
        Problem::new(
            ProblemCode::NotFound,
            format!("nothing was found under {text:?}: that is no VM's id"),
        )
        .hint("pwctl host found shows the ids")
    })
}

fn shape(host: HostView) -> api::Host {
    api::Host {
        id: host.id,
        name: host.name.to_string(),
        status: if host.silent { "SILENT" } else { "UP" }.to_owned(),
        problem: problem(&host),
        version: host.version,
        capacity: resources(host.capacity.unwrap_or_default()),
        booked: resources(host.booked),
        features: host.features.iter().map(ToString::to_string).collect(),
        vms: host.vms,
        found: host.found,
        last_seen_at: Some(host.last_report_at.to_string()),
    }
}

fn problem(host: &HostView) -> Option<String> {
    if let Some(other) = host.other_installation {
        return Some(format!("it obeys another installation, {other}"));
    }
    let refused = host.refused.as_ref()?;
    Some(format!("it refused plan {}: {}", refused.plan, refused.message))
}

const fn resources(capacity: Capacity) -> api::Resources {
    api::Resources {
        cpus: capacity.cpus,
        memory_bytes: capacity.memory_bytes,
        disk_bytes: capacity.disk_bytes,
    }
}

fn found_shape(found: FoundView) -> api::FoundVm {
    let body = found.body.as_ref();
    api::FoundVm {
        id: found.vm,
        name: body.map(|body| body.name.to_string()),
        host: found.host_name.to_string(),
        status: status(found.seen.phase).into(),
        image: body.map(|body| body.image.to_string()),
        address: found.seen.address.map(Into::into),
        adoptable: found.body.is_some(),
    }
}

/// Nothing was asked here of what was found, so the word is the phase's own.
const fn status(phase: Phase) -> Status {
    match phase {
        Phase::Accepted => Status::Init,
        Phase::BuildingFilesystem => Status::BuildingFilesystem,
        Phase::Booting => Status::Booting,
        Phase::Running => Status::Running,
        Phase::Stopping => Status::Stopping,
        Phase::Stopped => Status::Stopped,
        Phase::Failed => Status::Error,
        Phase::Removing | Phase::Gone => Status::Deleting,
    }
}
