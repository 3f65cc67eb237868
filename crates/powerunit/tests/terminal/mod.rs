//! Terminals, with the real `ssh` on a terminal that `script` makes for it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::script::on_a_terminal;
use crate::server::Server;
use crate::support::{available, run};
use crate::words::shell_words;

/// What a command prints in the VM's terminal while the client's own has these settings of stty(1); and its status.
fn printed(server: &Server, settings: &str, inside: &str) -> (String, Option<i32>) {
    let ssh = shell_words(&server.client().command(&["-tt"]));
    let output = on_a_terminal(&format!("stty {settings}; {ssh} '{inside}'"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.code())
}

#[test]
fn it_has_the_size_and_name_of_the_clients() {
    if !available(&["script"], &[]) {
        return;
    }
    let Some(server) = Server::start() else { return };
    let inside = "stty size; echo $TERM; tty; exit 4";
    let (text, status) = printed(&server, "rows 33 cols 101", inside);
    assert!(
        text.contains("33 101\r\n") && text.contains("vt220\r\n") && text.contains("/dev/pts/"),
        "{text}"
    );
    assert_eq!(status, Some(4));
}

/// RFC 4254 section 8: special characters, one of them none at all, and modes of input, output and the line.
#[test]
fn it_has_the_modes_of_the_clients() {
    if !available(&["script"], &[]) {
        return;
    }
    let Some(server) = Server::start() else { return };
    let modes = |settings: &str| {
        let (text, status) = printed(&server, settings, "stty -a");
        assert_eq!(status, Some(0), "{text}");
        let text = text.replace(';', " ; ");
        format!(" {} ", text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let settings = [
        ("intr ^X", " intr = ^X ", " intr = ^C "),
        ("erase ^H", " erase = ^H ", " erase = ^? "),
        ("susp undef", " susp = <undef> ", " susp = ^Z "),
        ("-icrnl", " -icrnl ", " icrnl "),
        ("ixany", " ixany ", " -ixany "),
        ("-echo", " -echo ", " echo "),
        ("-icanon", " -icanon ", " icanon "),
        ("-onlcr", " -onlcr ", " onlcr "),
    ];
    let (changed, usual) = (modes(&settings.map(|(word, ..)| word).join(" ")), modes("sane"));
    for (word, set, unset) in settings {
        assert!(
            changed.contains(set) && !changed.contains(unset),
            "{word}: {changed}"
        );
        assert!(usual.contains(unset), "without {word}: {usual}");
    }
}

/// A client on a terminal, whose file is the first line that it prints.
struct OnTerminal {
    child: Child,
    output: BufReader<ChildStdout>,
    path: String,
}

impl OnTerminal {
    fn start(command: &str) -> Self {
        let mut child = Command::new("script")
            .args(["-qec", &format!("tty; {command}"), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let path = line(&mut output);
        Self { child, output, path }
    }
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn it_follows_the_clients_window() {
    if !available(&["script"], &[]) {
        return;
    }
    let Some(server) = Server::start() else { return };
    let inside = "trap 'stty size; exit 6' WINCH; echo armed; for i in \\$(seq 400); do sleep 0.05; done";
    let ssh = shell_words(&server.client().command(&["-tt"]));
    let mut client = OnTerminal::start(&format!("stty rows 20 cols 80; {ssh} \"{inside}\""));
    assert_eq!(line(&mut client.output), "armed");
    run(Command::new("stty").args(["-F", &client.path, "rows", "50", "cols", "132"]));
    let mut rest = String::new();
    client.output.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("50 132"), "{rest}");
    assert_eq!(client.child.wait().unwrap().code(), Some(6));
}
