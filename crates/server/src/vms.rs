//! `/v1/vms`.

use api::vms as endpoints;
use axum::Json;
use axum::extract::{Path, State};
use control::{Control, LifeWish, PrincipalSelector, VmView};
use http::StatusCode;
use http::header::LOCATION;
use model::{
    ByteSize, Power, Problem, ProblemCode, ProgramEnd, PublicKey, RegistryCredentials, Retry, ServiceAsk,
    ServiceSeen, VmOptions,
};

use crate::auth::Signed;
use crate::body::{Body, Patch};
use crate::change_vm;
use crate::if_match::{Answer, Shown, shown};
use crate::query::Asked;
use crate::refusal::Refusal;
use crate::vm_query::wanted;

pub(crate) async fn create(
    State(control): State<Control>,
    Signed(caller): Signed,
    Body(wish): Body<api::CreateVm>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Shown), Refusal> {
    let vm = control.vm_create(&caller, understood(wish)?).await?;
    let location = endpoints::GET.path_with(&[&vm.asked.id.to_string()]);
    Ok((StatusCode::CREATED, [(LOCATION, location)], shown(vm)))
}

pub(crate) async fn list(
    State(control): State<Control>,
    Signed(caller): Signed,
    Asked(query): Asked<api::VmQuery>,
) -> Result<Json<api::VmList>, Refusal> {
    let page = control.vm_list(&caller, &wanted(query)?).await?;
    Ok(Json(api::VmList {
        items: page.items.into_iter().map(shape).collect(),
        next: page.next,
    }))
}

pub(crate) async fn get(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
) -> Answer {
    let vm = control.vm_get(&caller, &vm.parse()?).await?;
    Ok(shown(vm))
}

pub(crate) async fn change(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
    Patch(wish): Patch<api::ChangeVm>,
) -> Answer {
    let wish = change_vm::understood(wish)?;
    let vm = control.vm_change(&caller, &vm.parse()?, wish).await?;
    Ok(shown(vm))
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
) -> Result<(StatusCode, Shown), Refusal> {
    let vm = control.vm_delete(&caller, &vm.parse()?).await?;
    Ok((StatusCode::ACCEPTED, shown(vm)))
}

pub(crate) async fn start(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
) -> Answer {
    let vm = control.vm_start(&caller, &vm.parse()?).await?;
    Ok(shown(vm))
}

pub(crate) async fn stop(
    State(control): State<Control>,
    Signed(caller): Signed,
    Path(vm): Path<String>,
) -> Answer {
    let vm = control.vm_stop(&caller, &vm.parse()?).await?;
    Ok(shown(vm))
}

/// A request's words turned into values, each refused at its own place.
fn understood(wish: api::CreateVm) -> Result<control::CreateVm, Problem> {
    Ok(control::CreateVm {
        name: at("/name", wish.name.parse())?,
        image: at("/image", wish.image.parse())?,
        cpus: wish.cpus,
        memory: wish.memory_bytes.map(ByteSize::from_bytes),
        disk: wish.disk_bytes.map(ByteSize::from_bytes),
        owner: wish.owner.as_deref().map(owner).transpose()?,
        keys: keys("/keys", &wish.keys)?,
        account_keys: wish.user_keys.unwrap_or(true),
        no_ssh_keys: wish.no_ssh_keys,
        life: LifeWish {
            ttl: wish.ttl_seconds,
            grace: wish.grace_seconds,
            idle_after: wish.idle_after_seconds,
            lease: wish.lease_seconds,
        },
        registry_auth: wish.registry_auth.map(credentials),
        options: VmOptions {
            service: service_ask(wish.service.unwrap_or_default())?,
            user_cas: keys("/user_cas", &wish.user_cas)?,
            image_keys: wish.image_keys,
            console: wish.console,
        },
        labels: wish.labels,
    })
}

pub(crate) fn keys(pointer: &str, lines: &[String]) -> Result<Vec<PublicKey>, Problem> {
    let key = |(index, line): (usize, &String)| at(&format!("{pointer}/{index}"), line.parse());
    lines.iter().enumerate().map(key).collect()
}

fn owner(text: &str) -> Result<PrincipalSelector, Problem> {
    let selector = text.parse::<PrincipalSelector>();
    selector.map_err(|problem| Problem::new(ProblemCode::InvalidValue, problem.detail).at("/owner"))
}

fn service_ask(wish: api::CreateService) -> Result<ServiceAsk, Problem> {
    let default = ServiceAsk::default();
    let restart = wish.restart.map(|word| at("/service/restart", word.parse()));
    Ok(ServiceAsk {
        enabled: wish.enabled.unwrap_or(default.enabled),
        command: wish.command,
        restart: restart.transpose()?.unwrap_or(default.restart),
    })
}

/// The value, or a refusal that names its place. The errors of `model` say themselves what would be right.
pub(crate) fn at<T, E: std::error::Error>(pointer: &str, value: Result<T, E>) -> Result<T, Problem> {
    value.map_err(|error| Problem::new(ProblemCode::InvalidValue, error.to_string()).at(pointer))
}

/// What a registry is asked with.
pub(crate) fn credentials(given: api::RegistryAuth) -> RegistryCredentials {
    RegistryCredentials {
        username: given.username,
        password: given.password,
    }
}

/// A VM as callers see it.
pub(crate) fn shape(vm: VmView) -> api::Vm {
    let body = &vm.asked.body;
    api::Vm {
        id: vm.asked.id,
        name: body.name.to_string(),
        owner: vm.owner.name.to_string(),
        owner_id: Some(vm.owner.id),
        access: vm.access.map(|right| right.to_string()),
        status: vm.status.into(),
        image: body.image.to_string(),
        image_digest: vm.image_digest().map(|digest| digest.to_string()),
        cpus: body.cpus,
        memory_bytes: body.memory.bytes(),
        disk_bytes: body.disk.bytes(),
        power: power(body.power).to_owned(),
        generation: vm.asked.generation,
        settled_generation: vm.seen.as_ref().map_or(0, |seen| seen.settled),
        host: Some(vm.host_name.to_string()),
        address: vm.address().map(Into::into),
        ssh_port: vm.ssh_port(),
        login: vm.login().map(str::to_owned),
        host_key: vm.host_keys().first().cloned(),
        host_keys: vm.host_keys().to_vec(),
        ssh: vm.ssh(),
        labels: vm.labels.clone(),
        keys: vm.own_keys.iter().map(ToString::to_string).collect(),
        user_keys: vm.account_keys,
        user_cas: body.options.user_cas.iter().map(ToString::to_string).collect(),
        image_keys: body.options.image_keys,
        console: body.options.console,
        service: service(&body.options.service, vm.service()),
        expires_at: vm.life.expires_at.map(|at| at.to_string()),
        removed_at: vm.removed_at().map(|at| at.to_string()),
        idle_after_seconds: body.idle_after,
        lease_seconds: vm.life.lease,
        created_at: vm.created_at.to_string(),
        reason: vm.reason.map(reason),
        stage: vm.stage.map(stage),
    }
}

fn service(asked: &ServiceAsk, seen: Option<&ServiceSeen>) -> api::Service {
    let (exit_code, signal) = match seen.and_then(|seen| seen.exit) {
        Some(ProgramEnd::Exited(code)) => (Some(code), None),
        Some(ProgramEnd::Killed(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    api::Service {
        enabled: asked.enabled,
        command: asked.command.clone(),
        restart: asked.restart.to_string(),
        state: seen.map(|seen| seen.state.as_str().to_owned()),
        exit_code,
        signal,
        restarts: seen.map_or(0, |seen| seen.restarts),
        message: seen.and_then(|seen| seen.message.clone()),
    }
}

const fn power(power: Power) -> &'static str {
    match power {
        Power::On => "on",
        Power::Off => "off",
    }
}

pub(crate) fn reason(reason: model::Reason) -> api::Reason {
    api::Reason {
        code: reason.code.to_string(),
        message: reason.message,
        hint: reason.hint,
        retried: reason.retry == Retry::Later,
    }
}

pub(crate) fn stage(stage: model::Stage) -> api::Stage {
    api::Stage {
        what: stage.what,
        done: stage.done,
        total: stage.total,
    }
}
