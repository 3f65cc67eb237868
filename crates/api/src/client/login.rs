//! Signing in with a one-time code, and out.

use http::Method;
use serde::{Deserialize, Serialize};

use super::{Client, ClientError, REQUEST_LIMIT};
use crate::{Access, Endpoint};

/// `POST /v1/login`.
const LOGIN: Endpoint = Endpoint {
    method: Method::POST,
    path: "/v1/login",
    operation_id: "login",
    summary: "Exchange a one-time code for a token",
    access: Access::Open,
    query: &[],
    request: None,
    answers: &[],
    problems: &[],
};

/// `DELETE /v1/me/token`.
const LOGOUT: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/v1/me/token",
    operation_id: "logout",
    summary: "Revoke the token that asks",
    access: Access::Scope(model::Scope::AccountWrite),
    query: &[],
    request: None,
    answers: &[],
    problems: &[],
};

/// What is given for a token.
#[derive(Serialize)]
struct CreateLogin<'a> {
    code: &'a str,
    name: &'a str,
}

/// What is given back; shown this once.
#[derive(Deserialize)]
struct Login {
    token: String,
}

impl Client {
    /// Exchanges a one-time code for a token, which gets this name.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn login(&self, code: &str, name: &str) -> Result<String, ClientError> {
        let login: Login = self.call_with(&LOGIN, &[], &CreateLogin { code, name }).await?;
        Ok(login.token)
    }

    /// Revokes the token that this client asks with.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn logout(&self) -> Result<(), ClientError> {
        let request = self.request(&LOGOUT, &[])?;
        self.send(request.timeout(REQUEST_LIMIT)).await.map(drop)
    }
}
