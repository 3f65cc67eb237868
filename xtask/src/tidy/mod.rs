//! Whether the house is as `architecture.toml` says, and the papers as the house is.
//!
//! ```text
//!   architecture.toml ──┐
//!                       ├─► check (pure) ─► violations
//!   cargo metadata ─────┘
//!
//!   pages ──┐
//!           ├─► papers (pure) ─► faults
//!   files ──┘
//! ```

mod architecture;
mod papers;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde::Deserialize;

use architecture::{Architecture, Package, Violation, check};
use papers::Fault;

/// Why the house is not known to be tidy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not the table it should be", path.display())]
    Table {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("cannot start cargo metadata")]
    Start(#[source] io::Error),
    #[error("cargo metadata failed ({status}): {said}")]
    Failed { status: ExitStatus, said: String },
    #[error("cannot understand what cargo metadata said")]
    Metadata(#[source] serde_json::Error),
    #[error("architecture.toml does not hold:\n{}", lines(.0))]
    Violations(Vec<Violation>),
    #[error("the papers do not hold:\n{}", lines(.0))]
    Papers(Vec<Fault>),
}

/// Holds the workspace against its table, and its papers against it.
pub(crate) fn run() -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let violations = check(
        &table::<Architecture>(&root.join("architecture.toml"))?,
        &packages(&root)?,
    );
    if !violations.is_empty() {
        return Err(Error::Violations(violations));
    }
    let mut faults = dead_links(&root)?;
    faults.extend(gaps(&root)?);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Error::Papers(faults))
    }
}

fn dead_links(root: &Path) -> Result<Vec<Fault>, Error> {
    let mut faults = Vec::new();
    for folder in [root.to_owned(), root.join("docs")] {
        for page in pages(&folder)? {
            let text = read(&page)?;
            let dead = papers::links(&text).filter(|target| !folder.join(target).exists());
            faults.extend(dead.map(|target| Fault::DeadLink {
                page: page.strip_prefix(root).unwrap_or(&page).display().to_string(),
                target: target.to_owned(),
            }));
        }
    }
    Ok(faults)
}

fn pages(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unread = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

/// Settings and reasons that their page has no row for.
fn gaps(root: &Path) -> Result<Vec<Fault>, Error> {
    const SETTINGS: (&str, &str) = ("docs/settings.md", "crates/pitwall/config.default.toml");
    const REASONS: (&str, &str) = ("docs/guest.md", "crates/model/src/reason.rs");
    let fault = |(page, source): (&str, &str)| {
        let (page, source_file) = (page.to_owned(), source.to_owned());
        move |name| Fault::Missing {
            page: page.clone(),
            name,
            source_file: source_file.clone(),
        }
    };
    let defaults: toml::Table = table(&root.join(SETTINGS.1))?;
    let page = read(&root.join(SETTINGS.0))?;
    let mut gaps: Vec<_> = papers::without_a_row(&page, papers::settings(&defaults))
        .map(fault(SETTINGS))
        .collect();
    let source = read(&root.join(REASONS.1))?;
    let page = read(&root.join(REASONS.0))?;
    gaps.extend(papers::without_a_row(&page, papers::reason_codes(&source)).map(fault(REASONS)));
    Ok(gaps)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn table<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    toml::from_str(&read(path)?).map_err(|source| Error::Table {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// What `cargo metadata` says, as far as it matters here (cargo book, "cargo metadata", version 1).
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` for a normal one.
    kind: Option<String>,
}

/// The crates of the workspace. Only manifests are read, so no index and no network is needed.
fn packages(root: &Path) -> Result<Vec<Package>, Error> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(Error::Start)?;
    if !output.status.success() {
        return Err(Error::Failed {
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    parse(&output.stdout)
}

fn parse(metadata: &[u8]) -> Result<Vec<Package>, Error> {
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(Error::Metadata)?;
    let package = |manifest: Manifest| Package {
        name: manifest.name,
        dependencies: manifest
            .dependencies
            .into_iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .map(|dependency| dependency.name)
            .collect(),
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}

fn lines<T: std::fmt::Display>(faults: &[T]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("  {fault}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_as_its_table_says() {
        if let Err(error) = run() {
            panic!("{error}");
        }
    }

    #[test]
    fn development_dependencies_are_exempt_and_build_dependencies_are_not() {
        let metadata = br#"{"packages": [{"name": "post", "dependencies": [
            {"name": "words", "kind": null},
            {"name": "sql", "kind": "dev"},
            {"name": "codegen", "kind": "build"}
        ]}]}"#;
        let packages = parse(metadata).unwrap();
        assert_eq!(packages[0].name, "post");
        assert_eq!(packages[0].dependencies, ["words", "codegen"]);
    }
}
