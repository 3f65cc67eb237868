//! `/v1/users` and `/v1/me`.

use api::users as endpoints;
use axum::Json;
use axum::extract::{Path, State};
use control::{Control, MeView, TokenText};
use http::StatusCode;
use http::header::LOCATION;

use crate::auth::Signed;
use crate::body::{Body, Patch};
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::vms::at;

type User = Result<Json<api::User>, Refusal>;
type Created<T> = Result<(StatusCode, [(http::HeaderName, String); 1], Json<T>), Refusal>;

pub(crate) async fn me(
    State(control): State<Control>,
    Signed(caller): Signed,
) -> Result<Json<api::Me>, Refusal> {
    Ok(Json(me_shape(control.me(&caller).await?)))
}

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(page): Asked<api::PageQuery>,
) -> Result<Json<api::UserList>, Refusal> {
    let users = control.user_list(&caller, &page_of(page)).await?;
    Ok(Json(api::UserList {
        items: users.items.into_iter().map(shape).collect(),
        next: users.next,
    }))
}

pub(crate) async fn create(
    State(control): State<Control>,
    Signed(caller): Signed,
    Body(wish): Body<api::CreateUser>,
) -> Created<api::User> {
    let name = at("/name", wish.name.parse())?;
    let role = at("/role", wish.role.map(|role| role.parse()).transpose())?;
    let (user, code) = control
        .user_create(&caller, name, role.unwrap_or(model::Role::Member))
        .await?;
    let location = endpoints::GET.path_with(&[&user.id.to_string()]);
    let answer = with_code(shape(user), &code);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(answer)))
}

pub(crate) async fn get(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
) -> User {
    Ok(Json(shape(control.user_get(&caller, &user.parse()?).await?)))
}

pub(crate) async fn change(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
    Patch(wish): Patch<api::ChangeUser>,
) -> User {
    let role = at("/role", wish.role.map(|role| role.parse()).transpose())?;
    let user = control.user_change(&caller, &user.parse()?, role).await?;
    Ok(Json(shape(user)))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
    Asked(query): Asked<api::HeirQuery>,
) -> Result<StatusCode, Refusal> {
    let heir = query.transfer_to.map(|heir| heir.parse()).transpose()?;
    control
        .user_delete(&caller, &user.parse()?, heir.as_ref())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn enable(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
) -> User {
    Ok(Json(shape(control.user_enable(&caller, &user.parse()?).await?)))
}

pub(crate) async fn disable(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
) -> User {
    Ok(Json(shape(control.user_disable(&caller, &user.parse()?).await?)))
}

pub(crate) async fn code(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
) -> User {
    let (user, code) = control.user_code(&caller, &user.parse()?).await?;
    Ok(Json(with_code(shape(user), &code)))
}

pub(crate) fn page_of(query: api::PageQuery) -> control::PageRequest {
    control::PageRequest {
        limit: query.limit,
        cursor: query.cursor,
    }
}

fn shape(user: control::User) -> api::User {
    api::User {
        id: user.id,
        name: user.name.to_string(),
        role: user.role.to_string(),
        disabled: user.disabled,
        created_at: user.created_at.to_string(),
        secret: None,
        hint: None,
    }
}

fn with_code(user: api::User, code: &TokenText) -> api::User {
    api::User {
        secret: Some(code.reveal().to_owned()),
        ..user
    }
}

fn me_shape(me: MeView) -> api::Me {
    let team = |member: control::Member| api::MyTeam {
        id: member.team,
        name: member.team_name.to_string(),
        role: member.role.to_string(),
    };
    api::Me {
        user: shape(me.user),
        teams: me.teams.into_iter().map(team).collect(),
        token: api::MyToken {
            id: me.token,
            scopes: me.scopes.iter().map(ToString::to_string).collect(),
            expires_at: me.token_expires_at.map(|at| at.to_string()),
        },
    }
}
