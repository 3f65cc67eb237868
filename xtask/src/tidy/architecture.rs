//! The table of rooms held against the crates that are there. Pure: values in, violations out.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `architecture.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Architecture {
    /// Each crate of the workspace.
    crates: BTreeMap<String, Room>,
    /// Each heavy crate, and the rooms that may hold it.
    heavy: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Room {
    floor: u8,
    imports: Vec<String>,
}

/// A crate as its manifest has it.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// What it is built from, development dependencies left out.
    pub(super) dependencies: Vec<String>,
}

/// Something that the table does not allow, or a table that cannot be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("{0} is not in the table; give it a floor and its imports")]
    NotInTable(String),
    #[error("{0} is in the table, but there is no such crate; take it out")]
    NoSuchCrate(String),
    #[error(
        "{importer} imports {import}, which the table does not allow; arrows are asked for before they are drawn"
    )]
    Arrow { importer: String, import: String },
    #[error("the table lets {importer} import {import}, which does not stand on a lower floor")]
    NotDown { importer: String, import: String },
    #[error("{holder} holds {dependency}, which belongs in {}; call that room instead", rooms.join(", "))]
    WrongRoom {
        holder: String,
        dependency: String,
        rooms: Vec<String>,
    },
    #[error("{dependency} may be held by {room}, but there is no such crate; take it out")]
    NoSuchRoom { dependency: String, room: String },
}

/// All that is wrong, the table's own faults first.
pub(super) fn check(architecture: &Architecture, packages: &[Package]) -> Vec<Violation> {
    let mut violations = table_faults(architecture, packages);
    for package in packages {
        match architecture.crates.get(&package.name) {
            Some(room) => violations.extend(package_faults(architecture, room, package)),
            None => violations.push(Violation::NotInTable(package.name.clone())),
        }
    }
    violations
}

fn table_faults(architecture: &Architecture, packages: &[Package]) -> Vec<Violation> {
    let mut faults = Vec::new();
    for (name, room) in &architecture.crates {
        if packages.iter().all(|package| package.name != *name) {
            faults.push(Violation::NoSuchCrate(name.clone()));
        }
        let below = |import: &String| {
            let other = architecture.crates.get(import);
            other.is_some_and(|other| other.floor < room.floor)
        };
        let up = room.imports.iter().filter(|import| !below(import));
        faults.extend(up.map(|import| Violation::NotDown {
            importer: name.clone(),
            import: import.clone(),
        }));
    }
    for (dependency, rooms) in &architecture.heavy {
        let unknown = rooms
            .iter()
            .filter(|room| !architecture.crates.contains_key(*room));
        faults.extend(unknown.map(|room| Violation::NoSuchRoom {
            dependency: dependency.clone(),
            room: room.clone(),
        }));
    }
    faults
}

fn package_faults(architecture: &Architecture, room: &Room, package: &Package) -> Vec<Violation> {
    let mut faults = Vec::new();
    for dependency in &package.dependencies {
        let is_ours = architecture.crates.contains_key(dependency);
        if is_ours && !room.imports.contains(dependency) {
            faults.push(Violation::Arrow {
                importer: package.name.clone(),
                import: dependency.clone(),
            });
        }
        if let Some(rooms) = architecture.heavy.get(dependency)
            && !rooms.contains(&package.name)
        {
            faults.push(Violation::WrongRoom {
                holder: package.name.clone(),
                dependency: dependency.clone(),
                rooms: rooms.clone(),
            });
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "
        [crates]
        words = { floor = 0, imports = [] }
        memory = { floor = 1, imports = ['words'] }
        post = { floor = 1, imports = ['words'] }
        [heavy]
        sql = ['memory']
    ";

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            dependencies: dependencies.iter().map(|&name| name.into()).collect(),
        }
    }

    fn house() -> Vec<Package> {
        vec![
            package("words", &["serde"]),
            package("memory", &["words", "sql"]),
            package("post", &["words"]),
        ]
    }

    fn found(table: &str, packages: &[Package]) -> Vec<Violation> {
        check(&toml::from_str(table).unwrap(), packages)
    }

    /// The house with one crate replaced by, or extended with, `planted`.
    fn found_with(planted: Package) -> Vec<Violation> {
        let mut packages = house();
        packages.retain(|package| package.name != planted.name);
        packages.push(planted);
        found(TABLE, &packages)
    }

    fn arrow(importer: &str, import: &str) -> Violation {
        Violation::Arrow {
            importer: importer.into(),
            import: import.into(),
        }
    }

    #[test]
    fn a_tidy_house_has_no_violations() {
        assert_eq!(found(TABLE, &house()), []);
    }

    #[test]
    fn an_arrow_up_is_found() {
        assert_eq!(
            found_with(package("words", &["memory"])),
            [arrow("words", "memory")]
        );
    }

    #[test]
    fn an_arrow_sideways_is_found() {
        assert_eq!(
            found_with(package("post", &["memory"])),
            [arrow("post", "memory")]
        );
    }

    #[test]
    fn a_crate_without_a_floor_is_found() {
        assert_eq!(
            found_with(package("annex", &[])),
            [Violation::NotInTable("annex".into())]
        );
    }

    #[test]
    fn a_heavy_crate_in_the_wrong_room_is_found() {
        assert_eq!(
            found_with(package("post", &["sql"])),
            [Violation::WrongRoom {
                holder: "post".into(),
                dependency: "sql".into(),
                rooms: vec!["memory".into()],
            }]
        );
    }

    #[test]
    fn a_row_without_a_crate_is_found() {
        let packages: Vec<_> = house()
            .into_iter()
            .filter(|package| package.name != "post")
            .collect();
        assert_eq!(found(TABLE, &packages), [Violation::NoSuchCrate("post".into())]);
    }

    #[test]
    fn a_table_that_allows_an_arrow_up_or_sideways_is_found() {
        for (row, import) in [
            ("words = { floor = 0, imports = [", "memory"),
            ("post = { floor = 1, imports = [", "memory"),
            ("post = { floor = 1, imports = [", "nobody"),
        ] {
            let table = TABLE.replace(row, &format!("{row} '{import}', "));
            let importer = row.split(' ').next().unwrap().to_owned();
            let import = import.to_owned();
            assert_eq!(found(&table, &house()), [Violation::NotDown { importer, import }]);
        }
    }

    #[test]
    fn a_room_that_does_not_exist_is_found() {
        let table = TABLE.replace("['memory']", "['memory', 'cellar']");
        assert_eq!(
            found(&table, &house()),
            [Violation::NoSuchRoom {
                dependency: "sql".into(),
                room: "cellar".into(),
            }]
        );
    }
}
