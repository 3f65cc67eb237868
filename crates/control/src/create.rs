//! Creating: check, place and ask, in one transaction.

use std::collections::BTreeMap;

use model::{
    Asked, Capacity, HostId, InstallationId, PrincipalId, Problem, ProblemCode, VmBody, VmId, VmName,
};
use store::{NewVm, Read};

use crate::change::Change;
use crate::clock::draw;
use crate::keys::accepted_keys;
use crate::place::capacity_of;
use crate::quota::{counted, has_quota};
use crate::vm::right_of;
use crate::{
    Caller, Control, CreateVm, Error, EventKind, HostSnapshot, Operation, PrincipalSelector, Request, VmView,
    place,
};
use crate::{life, secret};

impl Control {
    /// Asks for a new VM. It gets a host at once, and its capacity there is booked.
    ///
    /// # Errors
    /// A value is out of range, another VM has the name, or no host will do.
    pub async fn vm_create(&self, caller: &Caller, request: CreateVm) -> Result<VmView, Error> {
        let (owner, account_keys, life) = (request.owner.clone(), request.account_keys, request.life);
        let (registry_auth, no_ssh_keys) = (request.registry_auth.clone(), request.no_ssh_keys);
        let labels = request.labels.clone();
        let mut body = request.into_body()?;
        if registry_auth.is_some() {
            body.registry_secret = Some(secret::next(None, self.inner.entropy.as_ref())?);
        }
        let id = VmId::from_random(draw(self.inner.entropy.as_ref())?);
        let mut change = self.change_by(caller, Operation::VmCreate).await?;
        change.about(id);
        let owner = owner_for(&mut change, caller, owner).await?;
        if let Some(once) = &caller.origin.once {
            once.touches(owner);
        }
        name_is_free(&mut change, owner, &body.name, "/name").await?;
        if !no_ssh_keys {
            something_opens(&mut change, &body, owner, account_keys).await?;
        }
        let hosts = snapshots(&mut change, self.inner.installation).await?;
        let host = place(&hosts, &Request::of(&body)).map_err(|refusal| refusal.into_problem())?;
        let mut asked = Asked {
            id,
            placement: 1,
            generation: 1,
            remove: false,
            body,
        };
        let now = change.now;
        let own_keys = asked.body.authorized_keys.clone();
        let new = NewVm {
            asked: &asked,
            owner,
            own_keys: &own_keys,
            account_keys,
            host,
            created_at: now,
        };
        let defaults = change.quota_defaults;
        has_quota(&mut change, &defaults, owner, &counted(&asked)).await?;
        change.vm_insert(&new).await?;
        secret::keep(
            &mut change,
            id,
            asked.body.registry_secret,
            registry_auth.as_ref(),
        )
        .await?;
        change.vm_labels_update(id, &labels).await?;
        asked.body.authorized_keys = accepted_keys(&mut change, id, &own_keys, account_keys).await?;
        change.vm_asked_update(&asked).await?;
        change.vm_life_update(id, &life::begin(life, now)).await?;
        let created = EventKind::Created {
            name: asked.body.name.clone(),
        };
        let mut vm = announce_new(&mut change, id, &created).await?;
        vm.access = right_of(&mut change, caller, &vm).await?;
        self.commit(change).await?;
        tracing::info!(
            vm.id = %id, vm.name = %vm.asked.body.name, host.id = %host, user.id = %caller.user, token.id = %caller.token,
            "vm created"
        );
        Ok(self.view(vm))
    }
}

/// Who shall own a VM: the caller, where nobody is named; else the caller or a team of the caller's, and for an admin
/// anybody. A user or team that the caller is not in does not exist here, so that nobody can find out who does.
pub(crate) async fn owner_for(
    read: &mut Read,
    caller: &Caller,
    named: Option<PrincipalSelector>,
) -> Result<PrincipalId, Error> {
    let Some(name) = named else {
        return Ok(caller.user.into());
    };
    let found = match &name {
        PrincipalSelector::Id(id) => read.principal_fetch(*id).await?,
        PrincipalSelector::Name(name) => read.principal_fetch_by_name(name).await?,
    };
    let found = found.map(|owner| owner.id());
    let may_own = match found {
        _ if caller.is_admin() => true,
        Some(PrincipalId::User(user)) => user == caller.user,
        Some(PrincipalId::Team(team)) => read.member_fetch(team, caller.user).await?.is_some(),
        None => false,
    };
    found.filter(|_| may_own).ok_or_else(|| {
        Problem::new(
            ProblemCode::InvalidValue,
            format!("{name} is neither you nor a team of yours"),
        )
        .hint("pwctl team ls shows your teams")
        .at("/owner")
        .into()
    })
}

/// Refuses a VM that nobody could sign in to: it has no key of its own, its owner has none, and no authority signs any.
async fn something_opens(
    read: &mut Read,
    body: &VmBody,
    owner: PrincipalId,
    account_keys: bool,
) -> Result<(), Error> {
    let has_its_own = !body.authorized_keys.is_empty() || !body.options.user_cas.is_empty();
    if has_its_own || (account_keys && read.ssh_key_exists_of(owner).await?) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::NoSshKey,
        "no SSH key would open this VM, so nobody could sign in",
    )
    .hint("give a public key (--key FILE), add one to your account (pwctl key add FILE), or say that none is meant (--no-ssh-keys)")
    .at("/keys")
    .into())
}

/// Writes the first events of a VM that was just inserted, and gives it.
pub(crate) async fn announce_new(
    change: &mut Change,
    id: VmId,
    what: &EventKind,
) -> Result<store::Vm, Error> {
    let vm = change
        .vm_fetch(id)
        .await?
        .ok_or_else(|| Error::internal(JustInserted))?;
    change.event(id, vm.asked.generation, what).await?;
    change.status(None, &vm).await?;
    change.replan(vm.host);
    Ok(vm)
}

/// A row that was inserted in this transaction is not in it.
#[derive(Debug, thiserror::Error)]
#[error("a VM that was just inserted cannot be read")]
struct JustInserted;

/// Refuses a name that a VM of this owner has which is not on its way out.
pub(crate) async fn name_is_free(
    read: &mut Read,
    owner: PrincipalId,
    name: &VmName,
    pointer: &str,
) -> Result<(), Error> {
    match read.vm_fetch_by_name(owner, name).await? {
        Some(vm) if !vm.asked.remove => Err(Problem::new(
            ProblemCode::NameTaken,
            format!("there is a VM named {name} already"),
        )
        .hint("choose another name, or remove that one first (pwctl rm)")
        .at(pointer)
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// The hosts with what is booked on them: what is asked, and what was found there, since that runs too.
pub(crate) async fn snapshots(
    read: &mut Read,
    installation: InstallationId,
) -> Result<Vec<HostSnapshot>, Error> {
    let mut booked: BTreeMap<HostId, Capacity> = read.vm_sum_by_host().await?;
    for found in read.found_list().await? {
        if let Some(body) = &found.body {
            let takes = capacity_of(body);
            let sum = booked.entry(found.host).or_default();
            sum.cpus = sum.cpus.saturating_add(takes.cpus);
            sum.memory_bytes = sum.memory_bytes.saturating_add(takes.memory_bytes);
            sum.disk_bytes = sum.disk_bytes.saturating_add(takes.disk_bytes);
        }
    }
    let hosts = read.host_list().await?.into_iter();
    Ok(hosts
        .map(|host| HostSnapshot {
            booked: booked.get(&host.id).copied().unwrap_or_default(),
            id: host.id,
            name: host.name,
            silent: host.silent,
            foreign: host.installation.is_some_and(|id| id != installation),
            capacity: host.capacity,
            features: host.features,
        })
        .collect())
}
