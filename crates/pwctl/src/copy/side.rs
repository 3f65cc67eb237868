//! What is meant by a word of the command line: something here, in a VM, or a pipe.

use std::path::PathBuf;
use std::str::FromStr;

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Side {
    /// A path here.
    Here(PathBuf),
    /// A path in a VM.
    Vm {
        /// Its name or id.
        vm: String,
        /// Absolute; one that is not is meant from the root.
        path: String,
    },
    /// `-`: standard input or output, as a tar archive.
    Pipe,
}

impl FromStr for Side {
    type Err = std::convert::Infallible;

    /// `NAME:PATH` is in a VM; a path here that has a colon is written with a slash before it, as in `./a:b`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" {
            return Ok(Self::Pipe);
        }
        Ok(match text.split_once(':') {
            Some((vm, path)) if !vm.is_empty() && !vm.contains(['/', '.']) => Self::Vm {
                vm: vm.to_owned(),
                path: match path.starts_with('/') {
                    true => path.to_owned(),
                    false => format!("/{path}"),
                },
            },
            Some(_) | None => Self::Here(PathBuf::from(text)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_here_or_in_a_vm() {
        let vm = |vm: &str, path: &str| Side::Vm {
            vm: vm.into(),
            path: path.into(),
        };
        for (text, side) in [
            ("-", Side::Pipe),
            ("a/b", Side::Here("a/b".into())),
            ("./a:b", Side::Here("./a:b".into())),
            ("/x:y", Side::Here("/x:y".into())),
            (":x", Side::Here(":x".into())),
            ("web:/etc/hosts", vm("web", "/etc/hosts")),
            ("web:etc", vm("web", "/etc")),
            ("web:", vm("web", "/")),
            ("vm_0:/a:b", vm("vm_0", "/a:b")),
        ] {
            assert_eq!(text.parse(), Ok(side), "{text}");
        }
    }
}
