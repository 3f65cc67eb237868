//! `/v1/audit`, and what is refused on its way to it.

use std::sync::{Arc, OnceLock};

use api::endpoints;
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use control::{
    Actor, AuditEntry, AuditFilter, Control, HostSelector, Operation, PrincipalSelector, VmSelector,
};
use http::Method;
use model::{ProblemCode, Scope};

use crate::auth::Signed;
use crate::query::{Asked, page};
use crate::refusal::{Refusal, refused_with};
use crate::vms::at;

/// The longest name: a VM's with its owner's, each a DNS label.
const MAX_TARGET_BYTES: usize = 128;

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(query): Asked<api::AuditQuery>,
) -> Result<Json<api::AuditList>, Refusal> {
    let time = |pointer: &str, text: Option<String>| at(pointer, text.map(|text| text.parse()).transpose());
    let filter = AuditFilter {
        user: at("/user", query.user.map(|user| user.parse()).transpose())?,
        operation: query.operation,
        target: query.target,
        outcome: query.outcome,
        since: time("/since", query.since)?,
        until: time("/until", query.until)?,
    };
    let wanted = page(api::PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    });
    let entries = control.audit_list(&caller, filter, &wanted).await?;
    Ok(Json(api::AuditList {
        items: entries.items.into_iter().map(shape).collect(),
        next: entries.next,
    }))
}

fn shape(entry: AuditEntry) -> api::AuditEntry {
    api::AuditEntry {
        at: entry.at.to_string(),
        user: entry.user,
        user_name: entry.user_name.map(|name| name.to_string()),
        token: entry.token,
        address: entry.address,
        request_id: entry.request.map(String::from),
        operation: entry.operation,
        target: entry.target,
        outcome: entry.outcome,
    }
}

/// Who turned out to ask. An extension of the request, filled where the caller is found out.
#[derive(Clone, Default)]
pub(crate) struct Who(Arc<OnceLock<Actor>>);

impl Who {
    /// Notes who asks, once; also one who is let in nowhere.
    pub(crate) fn is(&self, actor: Actor) {
        // A request has one token.
        let _ = self.0.set(actor);
    }
}

/// Lets the audit know of what somebody was refused whose token is known here.
pub(crate) async fn audited(State(control): State<Control>, mut request: Request, next: Next) -> Response {
    let who = Who::default();
    request.extensions_mut().insert(who.clone());
    let operation = operation_of(request.method(), request.extensions().get());
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if let (Some(actor), Some(operation), Some(code)) = (who.0.get(), operation, refused_with(&response))
        && counts(operation, code)
    {
        control.audit_refused(actor.clone(), operation, target_of(&path), code);
    }
    response
}

fn operation_of(method: &Method, path: Option<&MatchedPath>) -> Option<Operation> {
    let path = path?.as_str();
    let endpoint = endpoints().find(|endpoint| endpoint.method == *method && endpoint.path == path)?;
    let known = Operation::ALL.iter().copied();
    known
        .into_iter()
        .find(|operation| operation.as_str() == endpoint.operation_id)
}

/// Whether a refusal is one to keep: of a right, whatever was asked; of a change, if it was understood at all. Faults and
/// rates are for the log.
const fn counts(operation: Operation, code: ProblemCode) -> bool {
    let changes = !matches!(operation.scope(), Some(Scope::VmRead | Scope::AccountRead));
    match code {
        ProblemCode::UserDisabled
        | ProblemCode::TokenExpired
        | ProblemCode::InsufficientScope
        | ProblemCode::AdminOnly
        | ProblemCode::Forbidden => true,
        ProblemCode::InvalidRequest
        | ProblemCode::UnsupportedMediaType
        | ProblemCode::BodyTooLarge
        | ProblemCode::MethodNotAllowed
        | ProblemCode::RateLimited
        | ProblemCode::Unavailable
        | ProblemCode::Timeout
        | ProblemCode::Internal => false,
        ProblemCode::InvalidValue
        | ProblemCode::Unauthenticated
        | ProblemCode::NotFound
        | ProblemCode::InvalidCursor
        | ProblemCode::Changed
        | ProblemCode::IdempotencyMismatch
        | ProblemCode::WaitImpossible
        | ProblemCode::AmbiguousName
        | ProblemCode::NameTaken
        | ProblemCode::NoSshKey
        | ProblemCode::LastAdmin
        | ProblemCode::OwnsVms
        | ProblemCode::WrongStatus
        | ProblemCode::QuotaExceeded
        | ProblemCode::NoCapacity
        | ProblemCode::NoHost
        | ProblemCode::NotPermitted
        | ProblemCode::Unsupported
        | ProblemCode::UpgradeRequired
        | ProblemCode::Busy
        | ProblemCode::GuestFailed => changes,
    }
}

/// What was named behind the collection: `web` of `/v1/vms/web/start`. What is neither an id nor a name is left out: it
/// may be of any length, or a secret in the wrong place.
fn target_of(path: &str) -> Option<String> {
    let named = path.split('/').nth(3)?;
    let is_one = named.len() <= MAX_TARGET_BYTES
        && (named.parse::<VmSelector>().is_ok()
            || named.parse::<PrincipalSelector>().is_ok()
            || named.parse::<HostSelector>().is_ok());
    is_one.then(|| named.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_was_asked_for() {
        assert_eq!(target_of("/v1/vms/web/start").as_deref(), Some("web"));
        assert_eq!(target_of("/v1/vms"), None);
        assert_eq!(target_of("/v1/vms/"), None);
        for named in ["web.ann", "me", "vm_00000000000000000000000000", "box1"] {
            assert_eq!(
                target_of(&format!("/v1/vms/{named}/start")).as_deref(),
                Some(named)
            );
        }
        let long = "a".repeat(200);
        for other in [
            "pwt_0000000000000000000000000000000000",
            "two%20words",
            "a/../b",
            &long,
            &format!("{}.{}", &long[..64], &long[..64]),
        ] {
            let target = target_of(&format!("/v1/vms/{other}"));
            assert!(target.is_none_or(|target| target == "a"), "{other}");
        }
    }

    #[test]
    fn refusals_of_rights_count_and_those_of_reading_what_is_not_there_do_not() {
        assert!(counts(Operation::VmGet, ProblemCode::InsufficientScope));
        assert!(!counts(Operation::VmGet, ProblemCode::NotFound));
        assert!(counts(Operation::VmDelete, ProblemCode::NotFound));
        assert!(!counts(Operation::VmCreate, ProblemCode::InvalidRequest));
    }
}
