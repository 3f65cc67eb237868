//! `/v1/users/{user}/keys`.

use api::keys as endpoints;
use axum::Json;
use axum::extract::{Path, State};
use control::Control;
use http::StatusCode;
use http::header::LOCATION;

use crate::auth::Signed;
use crate::body::Body;
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::users::page_of;
use crate::vms::at;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
    Asked(page): Asked<api::PageQuery>,
) -> Result<Json<api::SshKeyList>, Refusal> {
    let keys = control.key_list(&caller, &user.parse()?, &page_of(page)).await?;
    Ok(Json(api::SshKeyList {
        items: keys.items.into_iter().map(shape).collect(),
        next: keys.next,
    }))
}

pub(crate) async fn create(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
    Body(wish): Body<api::CreateSshKey>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<api::SshKey>), Refusal> {
    let key = at("/key", wish.key.parse())?;
    let key = control.key_create(&caller, &user.parse()?, key).await?;
    let location = endpoints::GET.path_with(&[&key.user.to_string(), &key.key.fingerprint()]);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(shape(key))))
}

pub(crate) async fn get(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((user, fingerprint)): Path<(String, String)>,
) -> Result<Json<api::SshKey>, Refusal> {
    let key = control.key_get(&caller, &user.parse()?, &fingerprint).await?;
    Ok(Json(shape(key)))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((user, fingerprint)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    control.key_delete(&caller, &user.parse()?, &fingerprint).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shape(key: control::SshKey) -> api::SshKey {
    api::SshKey {
        fingerprint: key.key.fingerprint(),
        kind: key.key.kind().to_owned(),
        comment: key.key.comment().to_owned(),
        key: key.key.to_string(),
        added_at: key.added_at.to_string(),
    }
}
