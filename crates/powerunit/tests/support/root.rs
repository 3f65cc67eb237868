//! Some tests need to become somebody else.
#![expect(clippy::print_stderr, reason = "a test says why it is skipped")]

/// Whether this is root; says that it is not, and fails instead of skipping where CI=true.
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var("CI").as_deref() != Ok("true"), "not root");
    if !root {
        eprintln!("skipped: not root");
    }
    root
}
