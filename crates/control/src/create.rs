//! Creating: check, place and ask, in one transaction.

use std::collections::BTreeMap;

use model::{
    Asked, Capacity, HostId, InstallationId, PrincipalId, Problem, ProblemCode, RegistryCredentials, VmBody,
    VmId, VmName,
};
use store::{NewVm, Owner, Principal, Read, Vm};

use crate::change::Change;
use crate::clock::draw;
use crate::keys::{first_keys, first_keys_fit};
use crate::needs::needs_renew;
use crate::place::capacity_of;
use crate::quota::{counted, has_quota};
use crate::vm::right_of;
use crate::{
    Caller, Control, CreateVm, Error, EventKind, HostSnapshot, LifeWish, Operation, PrincipalSelector,
    Request, VmView, place,
};
use crate::{life, secret};

impl Control {
    /// Asks for a new VM. It gets a host at once, and its capacity there is booked.
    ///
    /// # Errors
    /// A value is out of range, another VM has the name, or no host will do.
    pub async fn vm_create(&self, caller: &Caller, request: CreateVm) -> Result<VmView, Error> {
        let draft = self.draft(request)?;
        let mut change = self.change_by(caller, Operation::VmCreate).await?;
        change.about(draft.asked.id);
        let mut vm = self.vm_of_draft(&mut change, caller, &draft).await?;
        first_keys_fit(&vm)?;
        if let Some(once) = &caller.origin.once {
            once.touches(vm.owner.id);
        }
        let defaults = change.quota_defaults;
        has_quota(&mut change, &defaults, vm.owner.id, &counted(&vm.asked)).await?;
        change.vm_insert(&NewVm::of(&vm)).await?;
        let named = vm.asked.body.registry_secret;
        secret::keep(
            &mut change,
            vm.asked.id,
            named,
            caller.user,
            draft.registry_auth.as_ref(),
        )
        .await?;
        let created = EventKind::Created {
            name: vm.asked.body.name.clone(),
        };
        announce_new(&mut change, &vm, &created).await?;
        vm.access = right_of(&mut change, caller, &vm).await?;
        self.commit(change).await?;
        tracing::info!(
            vm.id = %vm.asked.id, vm.name = %vm.asked.body.name, host.id = %vm.host, user.id = %caller.user,
            token.id = %caller.token, "vm created"
        );
        Ok(self.view(vm))
    }

    /// Everything of a request that can be judged without the memory.
    fn draft(&self, request: CreateVm) -> Result<Draft, Error> {
        let entropy = self.inner.entropy.as_ref();
        let mut draft = Draft {
            owner: request.owner.clone(),
            account_keys: request.account_keys,
            no_ssh_keys: request.no_ssh_keys,
            life: request.life,
            labels: request.labels.clone(),
            registry_auth: request.registry_auth.clone(),
            asked: Asked {
                id: VmId::from_random(draw(entropy)?),
                placement: 1,
                generation: 1,
                remove: false,
                body: request.into_body()?,
            },
        };
        if draft.registry_auth.is_some() {
            draft.asked.body.registry_secret = Some(secret::next(None, entropy)?);
            needs_renew(&mut draft.asked.body);
        }
        Ok(draft)
    }

    /// The VM that a request asks for, with its owner, its keys and its host.
    async fn vm_of_draft(&self, read: &mut Read, caller: &Caller, draft: &Draft) -> Result<Vm, Error> {
        let owner = owner_for(read, caller, draft.owner.as_ref()).await?;
        let mut asked = draft.asked.clone();
        name_is_free(read, owner.id, &asked.body.name, "/name").await?;
        let own_keys = std::mem::take(&mut asked.body.authorized_keys);
        asked.body.authorized_keys = first_keys(read, owner.id, &own_keys, draft.account_keys).await?;
        if !draft.no_ssh_keys {
            something_opens(&asked.body)?;
        }
        let hosts = snapshots(read, self.inner.installation).await?;
        let host = place(&hosts, &Request::of(&asked.body)).map_err(|refusal| refusal.into_problem())?;
        let host = hosts.into_iter().find(|it| it.id == host);
        let host = host.ok_or_else(|| Error::internal(PlacedNowhere))?;
        let now = self.now();
        Ok(Vm {
            asked,
            request: caller.origin.request.clone(),
            owner,
            access: None,
            own_keys,
            account_keys: draft.account_keys,
            labels: draft.labels.clone(),
            life: life::begin(draft.life, now),
            host: host.id,
            created_at: now,
            seen: None,
            host_name: host.name,
            host_silent: host.silent,
        })
    }
}

/// A request for a VM, looked through.
struct Draft {
    owner: Option<PrincipalSelector>,
    account_keys: bool,
    no_ssh_keys: bool,
    life: LifeWish,
    labels: BTreeMap<String, String>,
    registry_auth: Option<RegistryCredentials>,
    /// With no keys but those of this VM alone.
    asked: Asked,
}

/// Placing has chosen a host that it was not given.
#[derive(Debug, thiserror::Error)]
#[error("a VM was placed on a host that is not there")]
struct PlacedNowhere;

/// Who shall own a VM: the caller, where nobody is named; else the caller or a team of the caller's, and for an admin
/// anybody. A user or team that the caller is not in does not exist here, so that nobody can find out who does.
pub(crate) async fn owner_for(
    read: &mut Read,
    caller: &Caller,
    named: Option<&PrincipalSelector>,
) -> Result<Owner, Error> {
    let Some(name) = named else {
        return Ok(Owner {
            id: caller.user.into(),
            name: caller.name.clone(),
            disabled: false,
        });
    };
    let found = match name {
        PrincipalSelector::Id(id) => read.principal_fetch(*id).await?,
        PrincipalSelector::Name(name) => read.principal_fetch_by_name(name).await?,
    };
    let may_own = match found.as_ref().map(Principal::id) {
        _ if caller.is_admin() => true,
        Some(PrincipalId::User(user)) => user == caller.user,
        Some(PrincipalId::Team(team)) => read.member_fetch(team, caller.user).await?.is_some(),
        None => false,
    };
    let found = found.filter(|_| may_own).ok_or_else(|| {
        Problem::new(
            ProblemCode::InvalidValue,
            format!("{name} is neither you nor a team of yours"),
        )
        .hint("pwctl team ls shows your teams")
        .at("/owner")
    })?;
    Ok(Owner {
        id: found.id(),
        name: found.name().clone(),
        disabled: found.is_disabled(),
    })
}

/// Refuses a VM that nobody could sign in to: no key opens it, and no authority signs any.
fn something_opens(body: &VmBody) -> Result<(), Problem> {
    if !body.authorized_keys.is_empty() || !body.options.user_cas.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::NoSshKey,
        "no SSH key would open this VM, so nobody could sign in",
    )
    .hint("give a public key (--key FILE), add one to your account (pwctl key add FILE), or say that none is meant (--no-ssh-keys)")
    .at("/keys"))
}

/// Lets the first events of a VM be written that was just inserted.
pub(crate) async fn announce_new(change: &mut Change, vm: &Vm, what: &EventKind) -> Result<(), Error> {
    change.event(vm.asked.id, vm.asked.generation, what).await?;
    change.status(None, vm).await?;
    change.replan(vm.host);
    Ok(())
}

/// Refuses a name that a VM of this owner has which is not on its way out.
pub(crate) async fn name_is_free(
    read: &mut Read,
    owner: PrincipalId,
    name: &VmName,
    pointer: &str,
) -> Result<(), Error> {
    if !read.vm_name_is_taken(owner, name).await? {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::NameTaken,
        format!("there is a VM named {name} already"),
    )
    .hint("choose another name, or remove that one first (pwctl rm)")
    .at(pointer)
    .into())
}

/// The hosts with what is booked on them: what is asked, and what was found there, since that runs too.
pub(crate) async fn snapshots(
    read: &mut Read,
    installation: InstallationId,
) -> Result<Vec<HostSnapshot>, Error> {
    let mut found: BTreeMap<HostId, Capacity> = BTreeMap::new();
    for vm in read.found_list().await? {
        if let Some(body) = &vm.body {
            let takes = capacity_of(body);
            let sum = found.entry(vm.host).or_default();
            *sum = together(*sum, takes);
        }
    }
    let hosts = read.host_room_list().await?.into_iter();
    Ok(hosts
        .map(|host| HostSnapshot {
            booked: together(host.booked, found.get(&host.id).copied().unwrap_or_default()),
            id: host.id,
            name: host.name,
            silent: host.silent,
            foreign: host.installation.is_some_and(|id| id != installation),
            capacity: host.capacity,
            features: host.features,
        })
        .collect())
}

const fn together(one: Capacity, other: Capacity) -> Capacity {
    Capacity {
        cpus: one.cpus.saturating_add(other.cpus),
        memory_bytes: one.memory_bytes.saturating_add(other.memory_bytes),
        disk_bytes: one.disk_bytes.saturating_add(other.disk_bytes),
    }
}
