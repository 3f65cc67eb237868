//! `/v1/quotas`.

use api::quotas::MAX_LIMIT;
use axum::Json;
use axum::extract::{Path, State};
use control::{Caller, Control, PrincipalSelector, QuotaView};
use http::StatusCode;
use model::{Limits, Problem, ProblemCode};

use crate::auth::Signed;
use crate::body::Body;
use crate::query::{Asked, page};
use crate::refusal::Refusal;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(query): Asked<api::PageQuery>,
) -> Result<Json<api::QuotaList>, Refusal> {
    let quotas = control.quota_list(&caller, &page(query)).await?.map(shape);
    Ok(Json(api::QuotaList {
        items: quotas.items,
        next: quotas.next,
    }))
}

pub(crate) async fn get(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(principal): Path<String>,
) -> Result<Json<api::Quota>, Refusal> {
    let of = meant(&caller, &principal)?;
    Ok(Json(shape(control.quota_get(&caller, &of).await?)))
}

pub(crate) async fn put(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(principal): Path<String>,
    Body(wish): Body<api::PutQuota>,
) -> Result<Json<api::Quota>, Refusal> {
    let of = meant(&caller, &principal)?;
    let limits = Limits {
        vms: bounded("/vms", wish.vms)?,
        cpus: bounded("/cpus", wish.cpus)?,
        memory_bytes: bounded("/memory_bytes", wish.memory_bytes)?,
        disk_bytes: bounded("/disk_bytes", wish.disk_bytes)?,
        running: bounded("/running", wish.running)?,
    };
    Ok(Json(shape(control.quota_put(&caller, &of, limits).await?)))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(principal): Path<String>,
) -> Result<StatusCode, Refusal> {
    let of = meant(&caller, &principal)?;
    control.quota_delete(&caller, &of).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn bounded(pointer: &str, limit: Option<u64>) -> Result<Option<u64>, Problem> {
    match limit {
        Some(limit) if limit > MAX_LIMIT => {
            let detail = format!("{limit} is too much for a limit, which is at most {MAX_LIMIT}");
            Err(Problem::new(ProblemCode::InvalidValue, detail).at(pointer))
        }
        limit => Ok(limit),
    }
}

/// Whose quota; `me` is the caller's own.
fn meant(caller: &Caller, text: &str) -> Result<PrincipalSelector, Problem> {
    match text {
        "me" => Ok(PrincipalSelector::Id(caller.user.into())),
        other => other.parse(),
    }
}

fn shape(quota: QuotaView) -> api::Quota {
    let used = quota.used;
    api::Quota {
        principal_id: quota.principal,
        principal: quota.name.to_string(),
        limits: limits(quota.limits),
        set: limits(quota.set),
        used: api::QuotaUse {
            vms: used.vms,
            cpus: used.cpus,
            memory_bytes: used.memory_bytes,
            disk_bytes: used.disk_bytes,
            running: used.running,
        },
    }
}

const fn limits(limits: Limits) -> api::QuotaLimits {
    api::QuotaLimits {
        vms: limits.vms,
        cpus: limits.cpus,
        memory_bytes: limits.memory_bytes,
        disk_bytes: limits.disk_bytes,
        running: limits.running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_fits_the_store() {
        assert_eq!(bounded("/vms", Some(MAX_LIMIT)).ok(), Some(Some(MAX_LIMIT)));
        assert_eq!(bounded("/vms", None).ok(), Some(None));
        let problem = bounded("/vms", Some(MAX_LIMIT + 1)).unwrap_err();
        assert_eq!(problem.pointer.as_deref(), Some("/vms"));
    }
}
