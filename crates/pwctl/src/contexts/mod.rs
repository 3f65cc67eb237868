//! Contexts: the servers that this person knows, and how to sign in to each.
//!
//! ```text
//!   current = "work"
//!
//!   [contexts.work]
//!   server = "https://pitwall.example"
//!   token = "pwt_…"
//! ```
//!
//! They stand in `$XDG_CONFIG_HOME/pitwall/config.toml`, else in `~/.config/pitwall/config.toml`. The file holds tokens: it
//! is written with mode 0600, and one that others may read is refused, as ssh refuses such a key. What a person wrote in
//! it beside the values, comments and order, stays. Changes are made under a lock and replace the file whole.
//!
//! `local` is there without being written down: the server of this machine, whose `admin.token` signs in.

mod choice;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};

pub(crate) use choice::{Choice, Given, Token, choose};

use crate::files;

/// The context that needs no file.
pub(crate) const LOCAL: &str = "local";
/// Where `pitwall up` listens unless told otherwise.
pub(crate) const LOCAL_SERVER: &str = "http://127.0.0.1:7480";

/// What only its server may see.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A server, and how to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) server: String,
    pub(crate) token: Option<Secret>,
    /// Whether the token may go over plain HTTP to another machine.
    #[serde(default)]
    pub(crate) insecure_http: bool,
}

/// The file's content.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// Why the contexts cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("there is no home directory, so there is no place for contexts")]
    NoHome,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not what it should be", path.display())]
    Form {
        path: PathBuf,
        source: Box<toml_edit::de::Error>,
    },
    #[error("{} holds tokens, and others may read it", path.display())]
    Open { path: PathBuf },
    #[error("there is no context {name}")]
    Unknown { name: String },
    #[error("{name:?} is no name for a context: it has letters, digits, and . _ - : between them")]
    Name { name: String },
}

impl ContextError {
    /// The next step.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoHome => "set HOME or XDG_CONFIG_HOME".to_owned(),
            Self::Read { path, .. } | Self::Write { path, .. } => {
                format!("look at it with: ls -l {}", path.display())
            }
            Self::Form { path, .. } => format!("mend it, or move it away: {}", path.display()),
            Self::Open { path } => format!("close it with: chmod 600 {}", path.display()),
            Self::Unknown { .. } => {
                "pwctl config list shows those there are; pwctl login makes one".to_owned()
            }
            Self::Name { .. } => "choose another with --context".to_owned(),
        }
    }
}

/// The contexts as they stand in the file.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    document: DocumentMut,
    known: Known,
}

impl Contexts {
    /// Reads them. Without a file, or without a home, there are none.
    pub(crate) fn open() -> Result<Self, ContextError> {
        match path() {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, ContextError> {
        let failed = |source| ContextError::Read {
            path: path.to_owned(),
            source,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(failed(source)),
        };
        let form = |source: toml_edit::de::Error| ContextError::Form {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let document = text.parse::<DocumentMut>().map_err(|error| form(error.into()))?;
        let known: Known = toml_edit::de::from_str(&text).map_err(form)?;
        if known.contexts.values().any(|context| context.token.is_some()) {
            let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(ContextError::Open {
                    path: path.to_owned(),
                });
            }
        }
        Ok(Self { document, known })
    }

    /// The one that is used where none is named.
    pub(crate) fn current(&self) -> Option<&str> {
        self.known.current.as_deref()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Context> {
        self.known.contexts.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Context)> {
        self.known
            .contexts
            .iter()
            .map(|(name, context)| (name.as_str(), context))
    }

    /// The context that speaks to this very server.
    pub(crate) fn of_server(&self, server: &str) -> Option<(&str, &Context)> {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        self.iter()
            .find(|(_, context)| bare(&context.server) == bare(server))
    }

    /// Makes the context the one that is used where none is named.
    pub(crate) fn make_current(&mut self, name: &str) -> Result<(), ContextError> {
        if name != LOCAL && self.get(name).is_none() {
            return Err(ContextError::Unknown {
                name: name.to_owned(),
            });
        }
        self.document["current"] = value(name);
        self.known.current = Some(name.to_owned());
        Ok(())
    }

    /// Makes or replaces one.
    pub(crate) fn put(&mut self, name: &str, context: Context) -> Result<(), ContextError> {
        let is_name = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c));
        if name.is_empty() || !is_name || name.starts_with('-') {
            return Err(ContextError::Name {
                name: name.to_owned(),
            });
        }
        let all = self
            .document
            .entry("contexts")
            .or_insert_with(|| Item::Table(implicit()));
        let one = &mut all[name];
        if !one.is_table_like() {
            let mut table = Table::new();
            table.decor_mut().set_prefix("\n");
            *one = Item::Table(table);
        }
        one["server"] = value(&context.server);
        set(
            one,
            "token",
            context.token.as_ref().map(|token| value(token.reveal())),
        );
        set(one, "insecure_http", context.insecure_http.then(|| value(true)));
        self.known.contexts.insert(name.to_owned(), context);
        Ok(())
    }

    /// Forgets one, with its token.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), ContextError> {
        if self.known.contexts.remove(name).is_none() {
            return Err(ContextError::Unknown {
                name: name.to_owned(),
            });
        }
        if let Some(all) = self
            .document
            .get_mut("contexts")
            .and_then(Item::as_table_like_mut)
        {
            all.remove(name);
        }
        if self.current() == Some(name) {
            self.document.remove("current");
            self.known.current = None;
        }
        Ok(())
    }
}

/// Reads the contexts, changes them and writes them, with nobody in between.
pub(crate) fn change<T>(
    by: impl FnOnce(&mut Contexts) -> Result<T, ContextError>,
) -> Result<T, ContextError> {
    let path = path().ok_or(ContextError::NoHome)?;
    let failed = |source| ContextError::Write {
        path: path.clone(),
        source,
    };
    let _lock = files::lock(&path).map_err(failed)?;
    let mut contexts = Contexts::read(&path)?;
    let made = by(&mut contexts)?;
    files::replace(&path, contexts.document.to_string().as_bytes(), 0o600).map_err(failed)?;
    Ok(made)
}

/// Where they stand.
pub(crate) fn path() -> Option<PathBuf> {
    // One that is not absolute is to be ignored, says the XDG base directory specification.
    let named = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = named
        .filter(|path| path.is_absolute())
        .or_else(|| Some(files::home()?.join(".config")))?;
    Some(config.join("pitwall/config.toml"))
}

fn implicit() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}

fn set(table: &mut Item, key: &str, to: Option<Item>) {
    match (to, table.as_table_like_mut()) {
        (Some(to), _) => table[key] = to,
        (None, Some(table)) => drop(table.remove(key)),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(server: &str, token: Option<&str>) -> Context {
        Context {
            server: server.to_owned(),
            token: token.map(|token| Secret::new(token.to_owned())),
            insecure_http: false,
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        files::replace(&path, text.as_bytes(), 0o600).unwrap();
        (folder, path)
    }

    #[test]
    fn what_a_person_wrote_stays() {
        let (_folder, path) = file(
            "# mine\ncurrent = \"a\" # for now\n\n[contexts.a]\n# the box\nserver = \"https://a.example\"\ntoken = \"pwt_a\"\n",
        );
        let mut contexts = Contexts::read(&path).unwrap();
        contexts
            .put("b.example:1", context("https://b.example", Some("pwt_b")))
            .unwrap();
        contexts.put("a", context("https://a.example", None)).unwrap();
        contexts.make_current("b.example:1").unwrap();
        assert_eq!(
            contexts.document.to_string(),
            "# mine\ncurrent = \"b.example:1\"\n\n[contexts.a]\n# the box\nserver = \"https://a.example\"\n\n\
             [contexts.\"b.example:1\"]\nserver = \"https://b.example\"\ntoken = \"pwt_b\"\n"
        );
        contexts.remove("b.example:1").unwrap();
        assert_eq!(contexts.current(), None);
        assert!(matches!(contexts.remove("b"), Err(ContextError::Unknown { .. })));
        assert!(matches!(
            contexts.make_current("b"),
            Err(ContextError::Unknown { .. })
        ));
        for bad in ["", "a b", "-a", "ä", "a\"]"] {
            assert!(
                matches!(
                    contexts.put(bad, context("x", None)),
                    Err(ContextError::Name { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_a_token_is_not_shown() {
        let (_folder, path) = file("[contexts.a]\nserver = \"https://a.example\"\ntoken = \"canary\"\n");
        assert!(!format!("{:?}", Contexts::read(&path).unwrap().known).contains("canary"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Contexts::read(&path), Err(ContextError::Open { .. })));
    }

    #[test]
    fn a_mistake_in_the_file_is_named() {
        let (_folder, path) = file("[contexts.a]\nsever = \"https://a.example\"\n");
        let told = Contexts::read(&path).unwrap_err();
        let ContextError::Form { source, .. } = told else {
            panic!("{told:?}")
        };
        assert!(source.to_string().contains("sever"), "{source}");
    }
}
