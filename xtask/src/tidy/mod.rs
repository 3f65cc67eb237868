//! Whether the house is as `architecture.toml` says.
//!
//! ```text
//!   architecture.toml ──┐
//!                       ├─► check (pure) ─► violations
//!   cargo metadata ─────┘
//! ```

mod architecture;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde::Deserialize;

use architecture::{Architecture, Package, Violation, check};

/// Why the house is not known to be tidy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a table of crates and heavy crates", path.display())]
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
}

/// Holds the workspace against its table.
pub(crate) fn run() -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let violations = check(&table(&root.join("architecture.toml"))?, &packages(&root)?);
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Error::Violations(violations))
    }
}

fn table(path: &Path) -> Result<Architecture, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| Error::Table {
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

fn lines(violations: &[Violation]) -> String {
    let lines: Vec<_> = violations
        .iter()
        .map(|violation| format!("  {violation}"))
        .collect();
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
