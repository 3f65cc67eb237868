//! What a VM runs besides its logins. A pure function of its image and of what is asked.
//!
//! Containers are often made to be looked into: their command is a shell, which ends at once where nobody types. In a
//! VM that is what logins are for, so such a command is no service.

use model::ServiceAsk;
use wire::guest::Service;

/// What an image says of its command.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ImageCommand<'a> {
    pub(super) entrypoint: &'a [String],
    pub(super) cmd: &'a [String],
    pub(super) stop_signal: Option<&'a str>,
}

/// Programs that talk to a person where they are given nothing to run.
const TALKATIVE: [&str; 42] = [
    "ash", "bash", "bun", "busybox", "clisp", "csh", "dash", "deno", "elvish", "erl", "fish", "ghci",
    "groovysh", "guile", "iex", "irb", "jruby", "jshell", "julia", "ksh", "login", "lua", "luajit", "mksh",
    "node", "nodejs", "nu", "octave", "perl", "php", "pwsh", "pypy", "python", "R", "racket", "raku", "ruby",
    "sbcl", "sh", "swipl", "tcsh", "zsh",
];

/// What only asks a program to be as talkative as it is by itself.
const CHATTER: [&str; 11] = [
    "-",
    "-a",
    "-i",
    "-l",
    "-il",
    "-li",
    "--interactive",
    "--login",
    "--no-save",
    "--quiet",
    "repl",
];

/// The service of a VM; `None` is a machine to log into.
pub(super) fn service(image: ImageCommand<'_>, ask: &ServiceAsk) -> Option<Service> {
    if !ask.enabled {
        return None;
    }
    let command = ask.command.as_deref().unwrap_or(image.cmd);
    let arguments = [image.entrypoint, command].concat();
    // Behind an entrypoint that sets things up stands what it starts.
    if arguments.is_empty() || is_talkative(&arguments) || is_talkative(command) {
        return None;
    }
    Some(Service {
        arguments,
        restart: ask.restart,
        stop_signal: image.stop_signal.unwrap_or_default().to_owned(),
    })
}

/// Whether these arguments run a program that talks to a person, and nothing else.
fn is_talkative(arguments: &[String]) -> bool {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    words_are_talkative(&words)
}

fn words_are_talkative(words: &[&str]) -> bool {
    let Some((program, rest)) = words.split_first() else {
        return false;
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    match (name, rest) {
        // A command in shell form: CMD bash.
        ("sh" | "bash" | "dash" | "ash", ["-c", script]) => {
            let script: Vec<&str> = script.split_whitespace().collect();
            words_are_talkative(script.strip_prefix(&["exec"]).unwrap_or(&script))
        }
        ("busybox" | "env", [_, ..]) => words_are_talkative(rest),
        _ => TALKATIVE.contains(&unversioned(name)) && rest.iter().all(|word| CHATTER.contains(word)),
    }
}

/// `python3.12` is `python`, `lua5.4` is `lua`.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::RestartPolicy;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn of(entrypoint: &str, cmd: &[&str], command: Option<&str>) -> Option<Vec<String>> {
        let (entrypoint, cmd) = (
            words(entrypoint),
            cmd.iter().map(ToString::to_string).collect::<Vec<_>>(),
        );
        let image = ImageCommand {
            entrypoint: &entrypoint,
            cmd: &cmd,
            stop_signal: None,
        };
        let ask = ServiceAsk {
            command: command.map(words),
            ..ServiceAsk::default()
        };
        service(image, &ask).map(|service| service.arguments)
    }

    #[test]
    fn entrypoint_and_command_run_and_a_command_of_the_vm_takes_the_images_place() {
        let image = ["serve", "--port", "80"];
        assert_eq!(of("", &image, None), Some(words("serve --port 80")));
        assert_eq!(of("/entry", &image, None), Some(words("/entry serve --port 80")));
        assert_eq!(of("/entry", &image, Some("other")), Some(words("/entry other")));
        assert_eq!(of("/entry", &image, Some("")), Some(words("/entry")));
        assert_eq!(of("/entry", &[], None), Some(words("/entry")));
        assert_eq!(of("", &[], None), None);
    }

    #[test]
    fn shells_and_bare_interpreters_are_no_service() {
        for cmd in [
            "bash",
            "/bin/sh",
            "bash -l",
            "/usr/bin/zsh -i",
            "busybox sh",
            "ash",
            "python3",
            "python3.12",
            "/usr/local/bin/node",
            "irb",
            "php -a",
            "lua5.4",
            "R --no-save",
            "jshell",
            "env bash",
            "deno repl",
            "pypy3",
        ] {
            let cmd = words(cmd);
            let cmd: Vec<&str> = cmd.iter().map(String::as_str).collect();
            assert_eq!(of("", &cmd, None), None, "{cmd:?}");
            assert_eq!(of("docker-entrypoint.sh", &cmd, None), None, "{cmd:?}");
            assert_eq!(of("tini --", &cmd, None), None, "{cmd:?}");
        }
        assert_eq!(of("", &["/bin/sh", "-c", "exec bash"], None), None);
        assert_eq!(of("bash", &[], None), None);
        assert_eq!(of("serve", &["--all"], Some("bash")), None);
    }

    #[test]
    fn a_shell_or_interpreter_with_something_to_run_is_a_service() {
        for cmd in [
            vec!["sh", "-c", "while :; do date; sleep 1; done"],
            vec!["bash", "/srv/run.sh"],
            vec!["python3", "-m", "http.server"],
            vec!["node", "server.js"],
            vec!["php", "-S", "0.0.0.0:80"],
            vec!["busybox", "httpd", "-f"],
            vec!["shepherd"],
            vec!["env", "PORT=80", "serve"],
        ] {
            assert!(of("", &cmd, None).is_some(), "{cmd:?}");
        }
    }

    #[test]
    fn the_lists_are_documented() {
        let page = include_str!("../../../../docs/guest.md");
        for word in TALKATIVE.into_iter().chain(CHATTER) {
            let shown = page.contains(&format!("`{word}`")) || word == "-il" || word == "-li";
            assert!(shown, "docs/guest.md says nothing of {word}");
        }
    }

    #[test]
    fn what_is_asked_and_what_the_image_says_goes_along() {
        let cmd = words("serve");
        let image = ImageCommand {
            cmd: &cmd,
            stop_signal: Some("SIGQUIT"),
            ..ImageCommand::default()
        };
        let ask = ServiceAsk {
            restart: RestartPolicy::Always,
            ..ServiceAsk::default()
        };
        let wanted = Service {
            arguments: words("serve"),
            restart: RestartPolicy::Always,
            stop_signal: "SIGQUIT".to_owned(),
        };
        assert_eq!(service(image, &ask), Some(wanted));
        let off = ServiceAsk {
            enabled: false,
            ..ask
        };
        assert_eq!(service(image, &off), None);
    }
}
