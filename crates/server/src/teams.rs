//! `/v1/teams`, and who is in them.

use api::teams as endpoints;
use axum::Json;
use axum::extract::{Path, State};
use control::{Control, MemberView, TeamView};
use http::StatusCode;
use http::header::LOCATION;

use crate::auth::Signed;
use crate::body::Body;
use crate::query::{Asked, page};
use crate::refusal::Refusal;
use crate::vms::at;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(query): Asked<api::PageQuery>,
) -> Result<Json<api::TeamList>, Refusal> {
    let teams = control.team_list(&caller, &page(query)).await?.map(shape);
    Ok(Json(api::TeamList {
        items: teams.items,
        next: teams.next,
    }))
}

pub(crate) async fn create(
    State(control): State<Control>,
    Signed(caller): Signed,
    Body(wish): Body<api::CreateTeam>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<api::Team>), Refusal> {
    let team = control
        .team_create(&caller, at("/name", wish.name.parse())?)
        .await?;
    let location = endpoints::GET.path_with(&[&team.id.to_string()]);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(shape(team))))
}

pub(crate) async fn get(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(team): Path<String>,
) -> Result<Json<api::Team>, Refusal> {
    let team = control.team_get(&caller, &team.parse()?).await?;
    Ok(Json(shape(team)))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(team): Path<String>,
    Asked(query): Asked<api::HeirQuery>,
) -> Result<StatusCode, Refusal> {
    let heir = query.transfer_to.map(|heir| heir.parse()).transpose()?;
    control
        .team_delete(&caller, &team.parse()?, heir.as_ref())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn members(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(team): Path<String>,
    Asked(query): Asked<api::PageQuery>,
) -> Result<Json<api::MemberList>, Refusal> {
    let members = control
        .member_list(&caller, &team.parse()?, &page(query))
        .await?
        .map(member);
    Ok(Json(api::MemberList {
        items: members.items,
        next: members.next,
    }))
}

pub(crate) async fn member_put(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((team, user)): Path<(String, String)>,
    Body(wish): Body<api::PutMember>,
) -> Result<Json<api::Member>, Refusal> {
    let role = at("/role", wish.role.parse())?;
    let put = control
        .member_put(&caller, &team.parse()?, &user.parse()?, role)
        .await?;
    Ok(Json(member(put)))
}

pub(crate) async fn member_delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((team, user)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    control
        .member_delete(&caller, &team.parse()?, &user.parse()?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shape(team: TeamView) -> api::Team {
    api::Team {
        id: team.id,
        name: team.name.to_string(),
        role: team.role.map(|role| role.to_string()),
        created_at: team.created_at.to_string(),
    }
}

fn member(member: MemberView) -> api::Member {
    api::Member {
        user_id: member.user,
        user: member.name.to_string(),
        role: member.role.to_string(),
        added_at: member.added_at.to_string(),
    }
}
