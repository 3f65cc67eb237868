//! Looking at VMs.

use model::{Problem, ProblemCode, Right, Role, Scope};
use store::{Read, Vm};

use crate::rights::Need;
use crate::{Caller, Control, Error, Operation, VmSelector, VmView};

impl Control {
    /// One VM.
    ///
    /// # Errors
    /// There is none.
    pub async fn vm_get(&self, caller: &Caller, selector: &VmSelector) -> Result<VmView, Error> {
        let vm = vm_find(
            &mut self.inner.store.read().await?,
            caller,
            selector,
            Operation::VmGet,
        )
        .await?;
        Ok(self.view(vm))
    }

    pub(crate) fn view(&self, vm: Vm) -> VmView {
        let stage = self.inner.news.stage(vm.asked.id);
        VmView::new(vm, stage)
    }
}

/// The VM that is meant, as the caller's transaction sees it, if the caller may do this to it. To somebody who may do
/// nothing with a VM it does not exist.
///
/// A name means the caller's own VM; where there is none, the one of that name that the caller may use.
pub(crate) async fn vm_find(
    read: &mut Read,
    caller: &Caller,
    selector: &VmSelector,
    operation: Operation,
) -> Result<Vm, Error> {
    caller.may_ask_for(operation)?;
    let mut visible = Vec::new();
    for mut vm in candidates(read, caller, selector).await? {
        if let Some(right) = right_of(read, caller, &vm).await? {
            vm.access = Some(right);
            visible.push((vm, right));
        }
    }
    // Those on their way out are meant only where nothing else is.
    if visible.iter().any(|(vm, _)| !vm.asked.remove) {
        visible.retain(|(vm, _)| !vm.asked.remove);
    } else {
        visible.truncate(1);
    }
    let mut visible = visible.into_iter();
    let Some((vm, right)) = visible.next() else {
        return Err(not_found(selector).into());
    };
    let others: Vec<_> = visible.map(|(vm, _)| vm).collect();
    if !others.is_empty() {
        return Err(ambiguous(selector, &vm, &others).into());
    }
    if let Some(once) = &caller.origin.once {
        once.touches(vm.asked.id);
    }
    match operation.need() {
        Need::Vm(needed) if right < needed => Err(forbidden(&vm, needed).into()),
        Need::Vm(_) if operation.scope() == Some(Scope::VmWrite) && is_another(caller, &vm) => {
            Err(changed(&vm).into())
        }
        Need::Vm(_) | Need::SignedIn | Need::Account | Need::Holder | Need::Team(_) | Need::Admin => Ok(vm),
    }
}

/// How many VMs of a name are looked at: whoever may use so many has to say more anyway.
const CANDIDATES: u32 = 11;

async fn candidates(read: &mut Read, caller: &Caller, selector: &VmSelector) -> Result<Vec<Vm>, Error> {
    Ok(match selector {
        VmSelector::Id(id) => read.vm_fetch(*id).await?.into_iter().collect(),
        VmSelector::Owned(name, owner) => match read.principal_fetch_by_name(owner).await? {
            Some(owner) => read
                .vm_fetch_by_name(owner.id(), name)
                .await?
                .into_iter()
                .collect(),
            None => Vec::new(),
        },
        VmSelector::Name(name) => {
            let own = read.vm_fetch_by_name(caller.user.into(), name).await?;
            match own.filter(|vm| !vm.asked.remove) {
                Some(own) => vec![own],
                None => match caller.role {
                    Role::Admin => read.vm_list_by_name(name, CANDIDATES).await?,
                    Role::Member => {
                        read.vm_list_by_name_of_user(name, caller.user, CANDIDATES)
                            .await?
                    }
                },
            }
        }
    })
}

/// The most that the caller may do with a VM.
pub(crate) async fn right_of(read: &mut Read, caller: &Caller, vm: &Vm) -> Result<Option<Right>, Error> {
    match caller.role {
        Role::Admin => Ok(Some(Right::Own)),
        Role::Member => Ok(read.right_fetch(vm.asked.id, caller.user).await?),
    }
}

/// A VM's name with its owner's, which means the same to everybody.
pub(crate) fn full_name(vm: &Vm) -> String {
    format!("{}.{}", vm.asked.body.name, vm.owner.name)
}

fn not_found(selector: &VmSelector) -> Problem {
    Problem::new(ProblemCode::NotFound, format!("there is no VM {selector}"))
        .hint("pwctl ls shows those there are")
}

/// How many names a refusal lists.
const LISTED: usize = 10;

fn ambiguous(selector: &VmSelector, first: &Vm, others: &[Vm]) -> Problem {
    let all = std::iter::once(first).chain(others);
    let names: Vec<_> = all.take(LISTED).map(full_name).collect();
    let more = if others.len() >= LISTED { " and others" } else { "" };
    Problem::new(
        ProblemCode::AmbiguousName,
        format!("{selector} may be any of {}{more}", names.join(", ")),
    )
    .hint("give the name with its owner's, as listed, or the id")
}

/// Whether something else is asked of the VM by now than the caller has seen.
fn is_another(caller: &Caller, vm: &Vm) -> bool {
    let seen = caller.origin.if_generation.as_ref();
    seen.is_some_and(|seen| !seen.contains(&vm.asked.generation))
}

fn changed(vm: &Vm) -> Problem {
    Problem::new(
        ProblemCode::Changed,
        format!(
            "something else is asked of {} by now, generation {}",
            full_name(vm),
            vm.asked.generation
        ),
    )
    .hint("look at it again, then send the request with its new ETag")
}

fn forbidden(vm: &Vm, needed: Right) -> Problem {
    let name = full_name(vm);
    let (detail, hint) = match needed {
        Right::Use => (
            format!("you may not use {name}"),
            "ask its owner to share it with you",
        ),
        Right::Manage => (
            format!("you may use {name} and not manage it"),
            "ask its owner for more: pwctl share VM USER --manage",
        ),
        Right::Own => (
            format!("only the owner of {name} may do this to it"),
            "ask the owner, or an admin",
        ),
    };
    Problem::new(ProblemCode::Forbidden, detail).hint(hint)
}
