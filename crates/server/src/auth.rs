//! Who asks: a bearer token (RFC 6750) in the `Authorization` header.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use control::{Caller, Origin};
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::{Problem, ProblemCode};

use crate::address::ClientAddress;
use crate::audit::Who;
use crate::if_match::if_match;
use crate::refusal::Refusal;
use crate::router::App;

/// A caller whose token is known. A handler that takes it cannot be reached by anybody else.
pub(crate) struct Signed(pub(crate) Caller);

impl FromRequestParts<App> for Signed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match parts.extensions.remove() {
            Some(Known(caller)) => Ok(Self(caller)),
            None => signed(parts, app).await.map(Self),
        }
    }
}

/// A caller who was found out before the handler. An extension of the request.
#[derive(Clone)]
pub(crate) struct Known(pub(crate) Caller);

/// Finds out who asks.
pub(crate) async fn signed(parts: &mut Parts, app: &App) -> Result<Caller, Refusal> {
    let mut caller = match known(parts, app).await {
        Ok(caller) => caller,
        // Whoever tries tokens pays for it; those with a good one do not pay for them.
        Err(refused) => {
            if let (Some(who), Some(actor)) = (parts.extensions.get::<Who>(), refused.actor()) {
                who.is(actor.clone());
            }
            app.edge.admit_nobody(parts.extensions.get())?;
            return Err(refused.into());
        }
    };
    tracing::debug!(token.id = %caller.token, "caller is known");
    if let Some(who) = parts.extensions.get::<Who>() {
        who.is(caller.actor());
    }
    app.edge.admit(&caller)?;
    caller.origin.if_generation = if_match(&parts.headers)?;
    Ok(caller)
}

/// Where a request comes from, whoever asks.
pub(crate) struct From(pub(crate) Origin);

impl FromRequestParts<App> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(origin(parts)))
    }
}

async fn known(parts: &Parts, app: &App) -> Result<Caller, control::Error> {
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = header.and_then(bearer).ok_or_else(no_token)?;
    app.control.authenticate(token, origin(parts)).await
}

fn origin(parts: &Parts) -> Origin {
    let client = parts.extensions.get();
    Origin {
        address: client.map(|ClientAddress(address)| *address),
        request: parts.extensions.get().cloned(),
        if_generation: None,
        once: None,
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn no_token() -> Problem {
    Problem::new(
        ProblemCode::Unauthenticated,
        "this needs a token, and the request carries none",
    )
    .hint("send the header Authorization: Bearer TOKEN; the admin token lies in Pitwall's state directory")
}
