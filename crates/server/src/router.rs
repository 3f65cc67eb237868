//! Every endpoint and its handler.

use api::{
    Access, Content, Endpoint, actions as a, audit as au, console as c, events as e, exec as x, files as f,
    hosts as h, images as i, keys as k, logs as l, problems as p, quotas as q, service as s, shares as sh,
    teams as t, tokens as tk, users as u, vms as v, wait as w,
};
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router, extract::FromRef};
use control::Control;
use http::Method;
use model::{Problem, ProblemCode};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::audit::audited;
use crate::edges::{Edge, Edges};
use crate::envelope::{envelope, flowing, in_time, open};
use crate::flows::Flows;
use crate::once::once;
use crate::refusal::Refusal;
use crate::relay::Relays;
use crate::waiting::Execs;
use crate::{
    actions, audit, console, events, exec, files, hosts, images, keys, logs, problems, quotas, service,
    shares, teams, tokens, users, vms, wait,
};

/// More than any request needs: 64 keys of 4 KiB are the most a create can carry.
pub(crate) const BODY_LIMIT: usize = 256 * 1024;

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) control: Control,
    pub(crate) closing: Closing,
    pub(crate) execs: Execs,
    pub(crate) streams: TaskTracker,
    pub(crate) edge: Edge,
}

/// Turns true when the server closes, so that answers without an end can end.
pub(crate) type Closing = watch::Receiver<bool>;

/// Ends when the server closes. In a router of its own, without a server around it, that is never.
pub(crate) async fn closed(mut closing: Closing) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl FromRef<App> for Control {
    fn from_ref(app: &App) -> Self {
        app.control.clone()
    }
}

impl FromRef<App> for Closing {
    fn from_ref(app: &App) -> Self {
        app.closing.clone()
    }
}

impl FromRef<App> for Execs {
    fn from_ref(app: &App) -> Self {
        app.execs.clone()
    }
}

impl FromRef<App> for Flows {
    fn from_ref(app: &App) -> Self {
        app.edge.flows.clone()
    }
}

impl FromRef<App> for Relays {
    fn from_ref(app: &App) -> Self {
        Self {
            tasks: app.streams.clone(),
            closing: app.closing.clone(),
        }
    }
}

/// The whole API over a control plane, without rates.
pub fn router(control: Control) -> Router {
    let (_, closing) = watch::channel(false);
    router_until(control, closing, TaskTracker::new(), Edge::new(&Edges::default()))
}

/// The same, in a server that closes and waits for its streams.
pub(crate) fn router_until(control: Control, closing: Closing, streams: TaskTracker, edge: Edge) -> Router {
    let mount = |router: Router<App>, (endpoint, handler): (&Endpoint, MethodRouter<App>)| {
        router.route(endpoint.path, handler)
    };
    let app = App {
        control,
        closing,
        execs: Execs::default(),
        streams,
        edge: edge.clone(),
    };
    routes()
        .into_iter()
        .fold(Router::new(), mount)
        .route_layer(from_fn_with_state(app.clone(), once))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(app.control.clone(), audited))
        .layer(from_fn_with_state(edge, envelope))
        .with_state(app)
}

fn routes() -> Vec<(&'static Endpoint, MethodRouter<App>)> {
    vec![
        to(&v::CREATE, vms::create),
        to(&v::LIST, vms::list),
        to(&v::GET, vms::get),
        to(&v::CHANGE, vms::change),
        to(&v::DELETE, vms::delete),
        to(&v::START, vms::start),
        to(&v::STOP, vms::stop),
        to(&w::WAIT, wait::wait),
        to(&a::RESTART, actions::restart),
        to(&a::REBUILD, actions::rebuild),
        to(&a::RESIZE, actions::resize),
        to(&a::EXTEND, actions::extend),
        to(&a::LEASE, actions::lease),
        to(&sh::LIST, shares::list),
        to(&sh::PUT, shares::put),
        to(&sh::DELETE, shares::delete),
        to(&sh::TRANSFER, shares::transfer),
        to(&e::LIST, events::of_all),
        to(&e::VM_EVENTS, events::of_vm),
        to(&l::LOGS, logs::of_vm),
        to(&x::CREATE, exec::create),
        to(&x::ATTACH, exec::attach),
        to(&c::CONSOLE, console::of_vm),
        to(&f::READ, files::read),
        to(&f::WRITE, files::write),
        to(&i::LIST, images::list),
        to(&h::LIST, hosts::list),
        to(&h::FOUND, hosts::found),
        to(&h::ADOPT, hosts::adopt),
        to(&h::FOUND_DELETE, hosts::found_delete),
        to(&u::ME, users::me),
        to(&u::LIST, users::list),
        to(&u::CREATE, users::create),
        to(&u::GET, users::get),
        to(&u::CHANGE, users::change),
        to(&u::DELETE, users::delete),
        to(&u::ENABLE, users::enable),
        to(&u::DISABLE, users::disable),
        to(&u::CODE, users::code),
        to(&k::LIST, keys::list),
        to(&k::CREATE, keys::create),
        to(&k::GET, keys::get),
        to(&k::DELETE, keys::delete),
        to(&tk::LIST, tokens::list),
        to(&tk::CREATE, tokens::create),
        to(&tk::GET, tokens::get),
        to(&tk::DELETE, tokens::delete),
        to(&tk::RENEW, tokens::renew),
        to(&tk::LOGOUT, tokens::logout),
        to(&tk::LOGIN, tokens::login),
        to(&t::LIST, teams::list),
        to(&t::CREATE, teams::create),
        to(&t::GET, teams::get),
        to(&t::DELETE, teams::delete),
        to(&t::MEMBERS, teams::members),
        to(&t::MEMBER_PUT, teams::member_put),
        to(&t::MEMBER_DELETE, teams::member_delete),
        to(&q::LIST, quotas::list),
        to(&q::GET, quotas::get),
        to(&q::PUT, quotas::put),
        to(&q::DELETE, quotas::delete),
        to(&au::LIST, audit::list),
        to(&p::LIST, problems::list),
        to(&p::GET, problems::get),
        to(&s::HEALTH, service::health),
        to(&s::READY, service::ready),
        to(&s::VERSION, service::version),
        to(&s::OPENAPI, service::openapi),
    ]
}

fn to<T: 'static>(
    endpoint: &'static Endpoint,
    handler: impl Handler<T, App>,
) -> (&'static Endpoint, MethodRouter<App>) {
    let method = match endpoint.method {
        Method::POST => MethodFilter::POST,
        Method::DELETE => MethodFilter::DELETE,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        _ => MethodFilter::GET,
    };
    let route = on(method, handler);
    let route = match endpoint.access {
        Access::Open => route.layer(from_fn(open)),
        Access::Token | Access::Scope(_) => route,
    };
    if endpoint.operation_id == w::WAIT.operation_id {
        // It has a limit of its own.
        return (endpoint, route);
    }
    match endpoint.request {
        // An archive takes as long as it takes, if it only goes on.
        Some(Content::Tar) => (endpoint, route.layer(from_fn(flowing))),
        Some(_) | None => (endpoint, route.layer(from_fn(in_time))),
    }
}

async fn nothing_here(Extension(edge): Extension<Edge>, request: Request) -> Refusal {
    if let Err(refusal) = edge.admit_nobody(request.extensions().get()) {
        return refusal;
    }
    Problem::new(ProblemCode::NotFound, "there is nothing under this path")
        .hint("/v1/openapi.json lists what there is")
        .into()
}

async fn wrong_method(Extension(edge): Extension<Edge>, request: Request) -> Refusal {
    if let Err(refusal) = edge.admit_nobody(request.extensions().get()) {
        return refusal;
    }
    Problem::new(
        ProblemCode::MethodNotAllowed,
        "this path does not take this method",
    )
    .hint("/v1/openapi.json lists which it takes")
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_of_the_contract_is_mounted() {
        let mounted: Vec<_> = routes()
            .iter()
            .map(|(endpoint, _)| endpoint.operation_id)
            .collect();
        let contract: Vec<_> = api::endpoints().map(|endpoint| endpoint.operation_id).collect();
        assert_eq!(mounted, contract);
    }
}
