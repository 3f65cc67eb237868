//! `/v1/users/{user}/tokens`, `/v1/me/token` and `/v1/login`.

use std::collections::BTreeSet;

use api::tokens as endpoints;
use axum::Json;
use axum::extract::{Path, State};
use control::{Control, CreateToken, TokenText, Until};
use http::StatusCode;
use http::header::LOCATION;
use model::{Problem, ProblemCode, Scope};

use crate::auth::{From, Signed};
use crate::body::Body;
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::users::page_of;
use crate::vms::at;

type Created = (StatusCode, [(http::HeaderName, String); 1], Json<api::Token>);

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
    Asked(page): Asked<api::PageQuery>,
) -> Result<Json<api::TokenList>, Refusal> {
    let tokens = control
        .token_list(&caller, &user.parse()?, &page_of(page))
        .await?;
    Ok(Json(api::TokenList {
        items: tokens.items.into_iter().map(shape).collect(),
        next: tokens.next,
    }))
}

pub(crate) async fn create(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(user): Path<String>,
    Body(wish): Body<api::CreateToken>,
) -> Result<Created, Refusal> {
    let made = control
        .token_create(&caller, &user.parse()?, understood(wish)?)
        .await?;
    Ok(created(made))
}

pub(crate) async fn get(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((user, token)): Path<(String, String)>,
) -> Result<Json<api::Token>, Refusal> {
    let token = control.token_get(&caller, &user.parse()?, &token).await?;
    Ok(Json(shape(token)))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path((user, token)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    control.token_delete(&caller, &user.parse()?, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn renew(
    State(control): State<Control>,
    Signed(caller): Signed,
) -> Result<Created, Refusal> {
    Ok(created(control.token_renew(&caller).await?))
}

pub(crate) async fn logout(
    State(control): State<Control>,
    Signed(caller): Signed,
) -> Result<StatusCode, Refusal> {
    control.logout(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn login(
    State(control): State<Control>,
    From(origin): From,
    Body(wish): Body<api::CreateLogin>,
) -> Result<Created, Refusal> {
    Ok(created(control.login(&wish.code, wish.name, origin).await?))
}

fn understood(wish: api::CreateToken) -> Result<CreateToken, Problem> {
    let until = match (wish.expires_at, wish.expires_in_seconds) {
        (None, None) => None,
        (Some(time), None) => Some(Until::At(at("/expires_at", time.parse())?)),
        (None, Some(seconds)) => Some(Until::For(seconds)),
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                ProblemCode::InvalidValue,
                "expires_at and expires_in_seconds say the same thing twice",
            )
            .hint("leave one of them out")
            .at("/expires_in_seconds"));
        }
    };
    Ok(CreateToken {
        name: wish.name,
        scopes: wish.scopes.as_deref().map(scopes).transpose()?,
        until,
    })
}

fn scopes(words: &[String]) -> Result<BTreeSet<Scope>, Problem> {
    let scope = |(index, word): (usize, &String)| at(&format!("/scopes/{index}"), word.parse());
    words.iter().enumerate().map(scope).collect()
}

fn created((token, text): (control::Token, TokenText)) -> Created {
    let location = endpoints::GET.path_with(&[&token.user.to_string(), &token.id.to_string()]);
    let answer = api::Token {
        secret: Some(text.reveal().to_owned()),
        ..shape(token)
    };
    (StatusCode::CREATED, [(LOCATION, location)], Json(answer))
}

fn shape(token: control::Token) -> api::Token {
    api::Token {
        id: token.id,
        name: token.name,
        scopes: token.scopes.iter().map(ToString::to_string).collect(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|at| at.to_string()),
        last_used_at: token.last_used_at.map(|at| at.to_string()),
        secret: None,
        hint: None,
    }
}
