//! What `pwctl config-ssh` keeps in `~/.ssh`, so that `ssh NAME` works, and with it scp, rsync and Ansible.
//!
//! ```text
//!   ~/.ssh/config                   the person's; at its top one line of ours, Include "…/pitwall.config"
//!   ~/.ssh/config.before-pitwall    the person's as it was before that line came or went
//!   ~/.ssh/pitwall.config           ours: a Host entry per VM (NAME, NAME.OWNER), with a ProxyCommand
//!   ~/.ssh/pitwall.known_hosts      ours: the VMs' host keys, by NAME.OWNER
//! ```
//!
//! What always holds:
//!
//! - Ours are made anew, whole, from what the server lists, by one pwctl at a time. Of the person's lines none is changed.
//! - Host keys come from the server and are looked up under the VM's full name in our own file only. Whoever connects gets
//!   that file renewed before ssh reads it ([`renew_for`]), so a name that is another VM's now shows no changed key.
//! - A name that the person uses for a host of their own goes on meaning what it did; the VM is found by its full name.
//! - No command fails because its renewal did.

mod include;
mod names;
mod render;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use api::{Client, Vm};

use crate::args::Global;
use crate::connect::choose;
use crate::contexts::Token;
use crate::failure::Failure;
use crate::files;
use crate::keys;
use crate::output::Output;
use include::{is_own_host, with_include, without_include};
use names::{Named, is_any_ambiguous, named};
use render::{Setup, config, entry_of, is_current, known_hosts};

/// Where everything lies.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
}

/// A file as it is, and as it is to be; `None` where there is none.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: PathBuf,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl Change {
    fn is_none(&self) -> bool {
        self.before == self.after
    }
}

impl Place {
    fn find() -> Result<Self, Failure> {
        let home = files::home().ok_or(crate::contexts::ContextError::NoHome)?;
        Ok(Self {
            folder: home.join(".ssh"),
        })
    }

    fn of_person(&self) -> PathBuf {
        self.folder.join("config")
    }

    fn of_person_before(&self) -> PathBuf {
        self.folder.join("config.before-pitwall")
    }

    fn config(&self) -> PathBuf {
        self.folder.join(render::CONFIG)
    }

    fn known_hosts(&self) -> PathBuf {
        self.folder.join(render::KNOWN_HOSTS)
    }
}

/// What setting it up changes, file by file.
pub(crate) async fn set_up(global: &Global, client: &Client) -> Result<Vec<Change>, Failure> {
    let place = Place::find()?;
    let setup = Setup {
        pwctl: std::env::current_exe().map_err(|source| Failure::OwnPath { source })?,
        server: client.url().to_owned(),
        words: words(global)?,
        identities: identities(global, &place.folder),
    };
    let mut changes = own(&place, &setup, client).await?;
    let before = text(&place.of_person())?;
    let after = with_include(before.as_deref().unwrap_or_default(), &place.config());
    changes.push(Change {
        path: place.of_person(),
        before,
        after: Some(after),
    });
    changes.retain(|change| !change.is_none());
    Ok(changes)
}

/// What taking it away changes.
pub(crate) fn taken_away() -> Result<Vec<Change>, Failure> {
    let place = Place::find()?;
    let gone = |path: PathBuf| {
        Ok::<_, Failure>(Change {
            before: text(&path)?,
            path,
            after: None,
        })
    };
    let before = text(&place.of_person())?;
    let after = before
        .as_deref()
        .map(|before| without_include(before, &place.config()));
    let of_person = Change {
        path: place.of_person(),
        // A file that held nothing else was ours to begin with.
        after: after.filter(|after| !after.is_empty()),
        before,
    };
    let mut changes = vec![of_person, gone(place.config())?, gone(place.known_hosts())?];
    changes.retain(|change| !change.is_none());
    Ok(changes)
}

/// Makes the changes. The person's file is kept as it was.
pub(crate) fn apply(changes: &[Change]) -> Result<(), Failure> {
    let place = Place::find()?;
    let _lock = lock(&place)?;
    for change in changes {
        let failed = |source| Failure::File {
            path: change.path.clone(),
            source,
        };
        if let (true, Some(before)) = (change.path == place.of_person(), &change.before) {
            files::replace(&place.of_person_before(), before.as_bytes(), 0o600).map_err(failed)?;
        }
        let mode = fs::metadata(&change.path).map_or(0o600, |held| held.permissions().mode() & 0o777);
        match &change.after {
            Some(after) => files::replace(&change.path, after.as_bytes(), mode),
            None => fs::remove_file(&change.path),
        }
        .map_err(failed)?;
    }
    Ok(())
}

/// What has become of VMs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After<'a> {
    /// They are there, and as they are.
    Changed(&'a [Vm]),
    /// They are gone.
    Removed(&'a [Vm]),
}

impl After<'_> {
    /// Whether our files are not yet so.
    fn is_news(self, config: &str, known: &str) -> bool {
        match self {
            After::Changed(vms) => vms.iter().any(|vm| !is_current(config, known, vm)),
            After::Removed(vms) => vms.iter().any(|vm| entry_of(config, vm).is_some()),
        }
    }
}

/// Renews ours, where it is set up for this server and what it says is not so any more. A failure is told and is none.
pub(crate) async fn renew(global: &Global, client: &Client, after: After<'_>, output: &Output) {
    if let Err(failure) = renew_after(client, after).await {
        let again = match global.context {
            Some(_) => "pwctl config-ssh --context NAME",
            None => "pwctl config-ssh",
        };
        output.remark(&format!("~/.ssh is not renewed: {failure}; try: {again}"));
    }
}

/// The same for a VM that is to be connected to, where a failure is one.
pub(crate) async fn renew_for(client: &Client, vm: &Vm) -> Result<(), Failure> {
    renew_after(client, After::Changed(std::slice::from_ref(vm))).await
}

async fn renew_after(client: &Client, after: After<'_>) -> Result<(), Failure> {
    let place = Place::find()?;
    let Some(setup) = held(&place, client)? else {
        return Ok(());
    };
    let read = |path: &Path| text(path).map(Option::unwrap_or_default);
    // Listing all VMs costs in proportion to them.
    if !after.is_news(&read(&place.config())?, &read(&place.known_hosts())?) {
        return Ok(());
    }
    // Listed under the lock: of two that renew, the later one has the later list.
    let _lock = lock(&place)?;
    for change in own(&place, &setup, client).await? {
        if let (false, Some(after)) = (change.is_none(), &change.after) {
            files::replace(&change.path, after.as_bytes(), 0o600).map_err(|source| Failure::File {
                path: change.path.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

/// How it was set up, if it was, and for this server.
fn held(place: &Place, client: &Client) -> Result<Option<Setup>, Failure> {
    let setup = text(&place.config())?.and_then(|text| Setup::read(&text));
    Ok(setup.filter(|setup| setup.server == client.url()))
}

/// Our two files.
async fn own(place: &Place, setup: &Setup, client: &Client) -> Result<Vec<Change>, Failure> {
    let hosts = hosts(place, client).await?;
    let change = |path: PathBuf, after: String| {
        Ok::<_, Failure>(Change {
            before: text(&path)?,
            path,
            after: Some(after),
        })
    };
    let keys = known_hosts(hosts.iter().map(|host| &host.vm));
    Ok(vec![
        change(place.config(), config(setup, &place.known_hosts(), &hosts))?,
        change(
            place.known_hosts(),
            keys.iter().map(|line| format!("{line}\n")).collect(),
        )?,
    ])
}

/// The VMs there are, and their names here.
async fn hosts(place: &Place, client: &Client) -> Result<Vec<Named>, Failure> {
    let vms = client.vm_list().await?.items;
    let me = match is_any_ambiguous(&vms) {
        // A token that is not good for that leaves such VMs to their full names.
        true => client.me().await.ok().map(|me| me.user.name),
        false => None,
    };
    let of_person = text(&place.of_person())?.unwrap_or_default();
    Ok(named(&vms, me.as_deref(), |name| is_own_host(&of_person, name)))
}

/// The options that mean this server later, whatever the environment is then.
fn words(global: &Global) -> Result<Vec<String>, Failure> {
    let choice = choose(global)?;
    let mut words = match choice.context {
        Some(context) => vec!["--context".to_owned(), context],
        None => vec!["--url".to_owned(), choice.server],
    };
    if choice.token == Token::Admin {
        let state = std::path::absolute(&global.state).unwrap_or_else(|_| global.state.clone());
        words.extend(["--state".to_owned(), state.display().to_string()]);
    }
    if global.insecure_http {
        words.push("--insecure-http".to_owned());
    }
    Ok(words)
}

/// The made key, then those that ssh takes by itself: naming one makes it pass over the others.
fn identities(global: &Global, folder: &Path) -> Vec<PathBuf> {
    let usual = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];
    let usual = usual.map(|name| folder.join(name));
    let made = keys::identity(None, &global.state).and_then(|path| std::path::absolute(path).ok());
    match made {
        Some(made) => std::iter::once(made)
            .chain(usual.into_iter().filter(|path| path.is_file()))
            .collect(),
        None => Vec::new(),
    }
}

fn lock(place: &Place) -> Result<files::Lock, Failure> {
    let path = place.config();
    files::lock(&path).map_err(|source| Failure::File { path, source })
}

fn text(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::Here {
            path: path.to_owned(),
            source,
        }),
    }
}
