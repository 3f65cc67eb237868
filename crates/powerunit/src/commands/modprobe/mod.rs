//! `modprobe`, for an image that has none and for the kernel's own wishes (`/proc/sys/kernel/modprobe`).
//!
//! It reads the text tables of depmod(8) beside the modules and the files of modprobe.d(5), but runs no `install`
//! commands: those are for an image that brings kmod itself.

mod glob;
mod tables;

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::kmod::{DeleteModuleFlags, delete_module};
use rustix::io::Errno;
use rustix::system::finit_module;

use super::complain;
use tables::{Found, Load, Tables};

/// As kmod looks for them, most important first; of two files with one name the first counts.
const CONFIGURED: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// Why a module is not loaded.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("there is no option {0}")]
    Option(String),
    #[error("name a module")]
    NoName,
    #[error("there is no module {name} in {}", folder.display())]
    Unknown { name: String, folder: PathBuf },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot {operation} the module {name}")]
    Kernel {
        operation: &'static str,
        name: String,
        source: io::Error,
    },
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    names: Vec<String>,
    options: String,
    remove: bool,
    dry: bool,
    quiet: bool,
    verbose: bool,
}

/// Runs the command.
pub(super) fn main(arguments: &[String]) -> ExitCode {
    let (quiet, done) = match parse(arguments) {
        Ok(wish) => (wish.quiet, carry_out(&wish)),
        Err(error) => (false, Err(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Unknown { .. }) if quiet => ExitCode::FAILURE,
        Err(error) => complain("modprobe", &error),
    }
}

/// Pure: without `-a` or `-r` the first word is a module, and the others are its parameters.
fn parse(arguments: &[String]) -> Result<Wish, Error> {
    let mut wish = Wish::default();
    let mut all = false;
    let mut words = arguments.iter();
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => {
                plain.extend(words.cloned());
                break;
            }
            "--all" => all = true,
            "--remove" => wish.remove = true,
            "--dry-run" | "--show" => wish.dry = true,
            "--quiet" => wish.quiet = true,
            "--verbose" => wish.verbose = true,
            "--use-blacklist" | "--syslog" | "--first-time" => {}
            long if long.starts_with("--") => return Err(Error::Option(long.to_owned())),
            letters if letters.starts_with('-') && letters.len() > 1 => {
                for letter in letters.chars().skip(1) {
                    match letter {
                        'a' => all = true,
                        'r' => wish.remove = true,
                        'n' => wish.dry = true,
                        'q' => wish.quiet = true,
                        'v' => wish.verbose = true,
                        'b' | 's' => {}
                        _ => return Err(Error::Option(letters.to_owned())),
                    }
                }
            }
            _ => plain.push(word.clone()),
        }
    }
    let split = if all || wish.remove { plain.len() } else { 1 };
    wish.options = plain.split_off(split.min(plain.len())).join(" ");
    wish.names = plain;
    match wish.names.is_empty() {
        true => Err(Error::NoName),
        false => Ok(wish),
    }
}

fn carry_out(wish: &Wish) -> Result<(), Error> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let folder = Path::new("/lib/modules").join(release);
    let tables = read(&folder)?;
    wish.names.iter().try_for_each(|name| match wish.remove {
        true => remove(&tables, name, wish),
        false => load(&tables, &folder, name, wish),
    })
}

fn load(tables: &Tables, folder: &Path, name: &str, wish: &Wish) -> Result<(), Error> {
    let loads = match tables.find(name, &wish.options) {
        Found::Load(loads) => loads,
        Found::BuiltIn => return Ok(()),
        Found::Nothing => {
            return Err(Error::Unknown {
                name: name.to_owned(),
                folder: folder.to_owned(),
            });
        }
    };
    for load in &loads {
        let path = folder.join(&load.path);
        tell(wish, &format!("insmod {} {}", path.display(), load.options));
        if wish.dry {
            continue;
        }
        match insert(&path, load) {
            Err(_) if load.optional => {}
            done => done?,
        }
    }
    Ok(())
}

fn insert(path: &Path, load: &Load) -> Result<(), Error> {
    let failed = |errno: Errno| Error::Kernel {
        operation: "load",
        name: load.path.clone(),
        source: errno.into(),
    };
    let file = File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let options = CString::new(load.options.as_str()).map_err(|_| failed(Errno::INVAL))?;
    match finit_module(&file, &options, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(source) => Err(failed(source)),
    }
}

/// Removes a module, and what it needed and nobody else uses.
fn remove(tables: &Tables, name: &str, wish: &Wish) -> Result<(), Error> {
    let name = tables::normal(name);
    tell(wish, &format!("rmmod {name}"));
    if wish.dry {
        return Ok(());
    }
    take_out(&name)?;
    let needed = tables
        .dependencies(&name)
        .map_or(Vec::new(), |(_, needed)| needed);
    for path in needed {
        // One that others use stays.
        let _ = take_out(&tables::name_of(path));
    }
    Ok(())
}

fn take_out(name: &str) -> Result<(), Error> {
    let failed = |errno: nix::Error| Error::Kernel {
        operation: "remove",
        name: name.to_owned(),
        source: errno.into(),
    };
    let text = CString::new(name).map_err(|_| failed(nix::Error::EINVAL))?;
    delete_module(&text, DeleteModuleFlags::O_NONBLOCK).map_err(failed)
}

#[expect(clippy::print_stdout, reason = "what -v and -n show is the command's result")]
fn tell(wish: &Wish, line: &str) {
    if wish.verbose || wish.dry {
        println!("{}", line.trim_end());
    }
}

fn read(folder: &Path) -> Result<Tables, Error> {
    let path = folder.join("modules.dep");
    let dep = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let rules = [
        configured(Path::new("/")),
        text("modules.softdep"),
        text("modules.alias"),
    ];
    Ok(Tables {
        dep,
        builtin: text("modules.builtin"),
        rules: rules.join("\n"),
    })
}

/// What people wrote, of the system with this root. Files are read in the order of their names.
fn configured(root: &Path) -> String {
    let mut files = std::collections::BTreeMap::new();
    for folder in CONFIGURED {
        let entries = fs::read_dir(root.join(folder.trim_start_matches('/')));
        for entry in entries.into_iter().flatten().filter_map(Result::ok) {
            if entry.path().extension().is_some_and(|kind| kind == "conf") {
                files.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    let texts = files.values().filter_map(|path| fs::read_to_string(path).ok());
    // A backslash joins lines.
    texts
        .map(|text| text.replace("\\\n", " "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Wish, Error> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_kernel_iptables_and_people_say_it_differently() {
        let kernel = parsed("-q -- net-pf-16-proto-16-family-wireguard").unwrap();
        assert!(kernel.quiet);
        assert_eq!(kernel.names, ["net-pf-16-proto-16-family-wireguard"]);
        let docker = parsed("-va bridge br_netfilter").unwrap();
        assert_eq!(docker.names, ["bridge", "br_netfilter"]);
        let person = parsed("loop max_loop=8 max_part=4").unwrap();
        assert_eq!(
            (person.names.as_slice(), person.options.as_str()),
            (&["loop".to_owned()][..], "max_loop=8 max_part=4")
        );
        assert_eq!(parsed("-r a b").unwrap().names, ["a", "b"]);
        assert!(matches!(parsed("-q"), Err(Error::NoName)));
        assert!(matches!(parsed("--frobnicate a"), Err(Error::Option(_))));
    }

    #[test]
    fn a_file_of_etc_hides_its_namesake() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/modprobe.d/b.conf", "options a \\\n x=1\n"),
            ("lib/modprobe.d/b.conf", "options a x=2\n"),
            ("lib/modprobe.d/a.conf", "blacklist c\n"),
            ("lib/modprobe.d/README", "blacklist d\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(configured(root.path()), "blacklist c\n\noptions a   x=1\n");
    }
}
