//! `/v1/vms/{vm}/shares` and `/v1/vms/{vm}/transfer`.

use axum::Json;
use axum::extract::{Path, State};
use control::{Control, ShareView};
use http::StatusCode;

use crate::auth::Signed;
use crate::body::Body;
use crate::if_match::{Answer, shown};
use crate::query::{Asked, page};
use crate::refusal::Refusal;
use crate::vms::at;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Asked(query): Asked<api::PageQuery>,
) -> Result<Json<api::ShareList>, Refusal> {
    let shares = control
        .share_list(&caller, &vm.parse()?, &page(query))
        .await?
        .map(shape);
    Ok(Json(api::ShareList {
        items: shares.items,
        next: shares.next,
    }))
}

pub(crate) async fn put(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((vm, principal)): Path<(String, String)>,
    Body(wish): Body<api::PutShare>,
) -> Result<Json<api::Share>, Refusal> {
    let right = at("/right", wish.right.parse())?;
    let share = control
        .share_put(&caller, &vm.parse()?, &principal.parse()?, right)
        .await?;
    Ok(Json(shape(share)))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((vm, principal)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    control
        .share_delete(&caller, &vm.parse()?, &principal.parse()?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn transfer(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Body(wish): Body<api::Transfer>,
) -> Answer {
    let vm = control
        .vm_transfer(&caller, &vm.parse()?, &wish.to.parse()?)
        .await?;
    Ok(shown(vm))
}

fn shape(share: ShareView) -> api::Share {
    api::Share {
        principal_id: share.principal,
        principal: share.name.to_string(),
        right: share.right.to_string(),
        added_at: share.added_at.to_string(),
    }
}
