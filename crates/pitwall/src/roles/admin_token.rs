//! The admin's token in its file, which only its owner may read: whoever reads it may do anything here.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;

use api::{Client, ClientConfig};
use bus::Bus;
use control::{Caller, Control, ControlConfig};
use link::Link;
use store::{Store, StoreError};

use super::RoleError;
use super::own::{OwnError, USER_AGENT, own_running_client};
use crate::config::Settings;
use crate::log;

/// Sees to it that the token file holds a token the database knows. Otherwise (the first start, a lost file, a
/// database from a backup) a new one takes the place of every older one. Gives who comes with it.
pub(super) async fn ensure(control: &Control, path: &Path) -> Result<Caller, RoleError> {
    if let Ok(text) = fs::read_to_string(path)
        && let Ok(admin) = control
            .authenticate(text.trim(), control::Origin::default())
            .await
    {
        return Ok(admin);
    }
    let token = control.admin_token_renew().await?;
    keep(path, token.reveal())?;
    Ok(control
        .authenticate(token.reveal(), control::Origin::default())
        .await?)
}

/// Puts a new token in the place of the one in the file, which is good for nothing from then on. A running control
/// plane is asked with the old one; where none runs, the database is.
pub(crate) async fn rotate(settings: Settings, url: Option<String>) -> Result<ExitCode, RoleError> {
    let path = settings.token_file();
    match Store::open(&settings.state.join("pitwall.db")).await {
        Ok(store) => {
            let config = ControlConfig::new(store.clone(), Bus::in_process(), Link::in_process());
            let control = Control::open(config).await?;
            keep(&path, control.admin_token_renew().await?.reveal())?;
            drop(control);
            store.close().await;
        }
        Err(StoreError::InUse { .. }) => ask(&settings, url, &path).await?,
        Err(error) => return Err(error.into()),
    }
    log::say(&format!(
        "{} holds a new token; the old one is revoked",
        path.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The new token is on the disk before the old one is revoked, so no moment is without a way in.
async fn ask(settings: &Settings, url: Option<String>, path: &Path) -> Result<(), RoleError> {
    let old = fs::read_to_string(path).map_err(|source| RoleError::Directory {
        path: path.to_owned(),
        source,
    })?;
    let old = old.trim();
    let client = match url {
        Some(url) => Client::new(ClientConfig {
            url,
            token: Some(old.to_owned()),
            user_agent: USER_AGENT.to_owned(),
        })
        .map_err(OwnError::from),
        None => own_running_client(settings, old),
    };
    let client = client.map_err(|source| RoleError::AdminToken { source })?;
    let renewed = client.token_renew().await;
    let renewed = renewed.map_err(|source| RoleError::AdminToken {
        source: source.into(),
    })?;
    let new = renewed.secret.ok_or(RoleError::AdminTokenLost)?;
    keep(path, &new)?;
    let revoked = client.logout().await;
    revoked.map_err(|source| RoleError::OldAdminToken {
        path: path.to_owned(),
        source,
    })
}

/// Writes the file anew, whole or not at all. Its owner stays.
fn keep(path: &Path, token: &str) -> Result<(), RoleError> {
    let write = || -> io::Result<()> {
        let beside = path.with_extension("new");
        // One that an interrupted run left is opened to nobody knows whom.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        if let Ok(old) = fs::metadata(path) {
            std::os::unix::fs::chown(&beside, Some(old.uid()), Some(old.gid()))?;
        }
        fs::rename(&beside, path)
    };
    write().map_err(|source| RoleError::Directory {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_token_is_rotated_where_no_control_plane_runs() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            state: folder.path().to_owned(),
            ..crate::config::testing()
        };
        let path = settings.token_file();
        let open = async || {
            let store = Store::open(&folder.path().join("pitwall.db")).await.unwrap();
            let config = ControlConfig::new(store.clone(), Bus::in_process(), Link::in_process());
            (Control::open(config).await.unwrap(), store)
        };
        let (control, store) = open().await;
        ensure(&control, &path).await.unwrap();
        drop(control);
        store.close().await;
        drop(store);
        let old = fs::read_to_string(&path).unwrap();
        let left = path.with_extension("new");
        fs::write(&left, "left by a run that was cut short").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();

        rotate(settings, None).await.unwrap();
        let new = fs::read_to_string(&path).unwrap();
        assert_ne!(old, new);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (control, _store) = open().await;
        let sign_in = async |text: &str| {
            control
                .authenticate(text.trim(), control::Origin::default())
                .await
        };
        assert!(sign_in(&new).await.unwrap().is_admin());
        assert!(sign_in(&old).await.is_err());
    }
}
