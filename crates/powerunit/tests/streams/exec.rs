//! Streams with a program in them.

use std::time::{Duration, Instant};

use model::ProgramEnd;
use wire::stream::{End, Exec, FailureCode, Input, Open, Output, Terminal, TerminalSize, WINDOW};

use crate::process::Stream;

fn exec(arguments: &[&str]) -> Exec {
    Exec {
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        ..Exec::default()
    }
}

fn run(exec: Exec) -> Stream {
    Stream::open(Open::Exec(exec))
}

fn shell(script: &str) -> Stream {
    run(exec(&["sh", "-c", script]))
}

fn exited(status: i32) -> End {
    End::Program(ProgramEnd::Exited(status))
}

/// Whether a process lives; a zombie does not.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_gone(pid: &str) {
    let start = Instant::now();
    while lives(pid) {
        assert!(start.elapsed() < Duration::from_secs(10), "{pid} lives");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_has_what_it_was_given_and_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("made/for it");
    let mut stream = run(Exec {
        env: vec!["A=1".into(), "A=2".into(), "HOME=/srv".into()],
        working_dir: inside.display().to_string(),
        ..exec(&["sh", "-c", "echo $A $HOME; pwd; echo sorry >&2; cat; exit 37"])
    });
    stream.say(Input::End);
    assert_eq!(stream.end(), exited(37));
    assert_eq!(stream.text(), format!("2 /srv\n{}\n", inside.display()));
    assert_eq!(stream.stderr, b"sorry\n");
}

#[test]
fn what_cannot_run_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let plain = plain.display().to_string();
    let nobody = Exec {
        user: "nobody-here".into(),
        ..exec(&["true"])
    };
    for (exec, code, says) in [
        (
            exec(&["nonsense"]),
            FailureCode::NotFound,
            "there is no program nonsense in /usr/local/sbin:",
        ),
        (
            exec(&["/nonsense"]),
            FailureCode::NotFound,
            "cannot run /nonsense: No such file",
        ),
        (
            exec(&[plain.as_str()]),
            FailureCode::NotPermitted,
            "Permission denied",
        ),
        (nobody, FailureCode::NotFound, "the image has no user nobody-here"),
    ] {
        let End::Failed(failure) = run(exec).end() else {
            panic!("{says}: it ran")
        };
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(says), "{}", failure.message);
    }
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let mut stream = shell("sleep 1000 & trap 'exit 5' USR1; echo $!; wait");
    stream.until("a pid", |stream| stream.text().ends_with('\n'));
    let child = stream.text();
    assert!(lives(&child));
    stream.say(Input::Signal(10));
    assert_eq!(stream.end(), exited(5));
    wait_gone(&child);

    let mut stream = shell("echo ready; sleep 1000");
    stream.until("ready", |stream| stream.text() == "ready\n");
    stream.say(Input::Signal(9));
    assert_eq!(stream.end(), End::Program(ProgramEnd::Killed(9)));
}

#[test]
fn a_megabyte_goes_both_ways_under_credit() {
    let bytes: Vec<u8> = (0..1_000_003_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut stream = run(exec(&["cat"]));
    stream.feed(&bytes);
    assert_eq!(stream.end(), exited(0));
    assert!(stream.stdout == bytes, "{} bytes came back", stream.stdout.len());
}

#[test]
fn a_reader_without_room_holds_its_program_and_loses_nothing() {
    let mut stream = shell("head -c 1000000 /dev/zero; exit 3");
    let window = WINDOW as usize;
    while stream.stdout.len() < window {
        assert!(matches!(
            stream.next_within(Duration::from_secs(10)),
            Some(Output::Data { .. })
        ));
    }
    assert_eq!(
        stream.next_within(Duration::from_millis(300)),
        None,
        "it has no room"
    );
    stream.credit(window);
    assert_eq!(stream.end(), exited(3));
    assert_eq!(stream.stdout.len(), 1_000_000);
}

#[test]
fn all_output_comes_before_the_end_also_without_room() {
    // The program ends at once; what it left in the pipe is more than the room there is at first.
    let mut stream = shell("head -c 262144 /dev/zero; printf tail; exit 4");
    while stream.stdout.len() < WINDOW as usize {
        stream.next_within(Duration::from_secs(10)).unwrap();
    }
    assert_eq!(
        stream.next_within(Duration::from_millis(1500)),
        None,
        "it has no room"
    );
    stream.credit(10);
    assert_eq!(stream.end(), exited(4));
    assert!(stream.stdout.ends_with(b"tail"));
}

#[test]
fn the_rest_of_a_group_is_heard_and_a_daemon_is_not_waited_for() {
    let mut stream = shell("(sleep 0.2; echo late) & echo now");
    assert_eq!(stream.end(), exited(0));
    assert_eq!(stream.text(), "now\nlate\n");

    let start = Instant::now();
    let mut stream = shell("sleep 1000 & echo $!");
    assert_eq!(stream.end(), exited(0));
    assert!(start.elapsed() < Duration::from_secs(10));
    // It stayed in the group, and the group is gone with the stream.
    wait_gone(&stream.text());
}

#[test]
fn closing_ends_a_program_and_killing_ends_one_that_does_not_listen() {
    let mut stream = shell("echo $$; exec sleep 1000");
    stream.until("a pid", |stream| stream.text().ends_with('\n'));
    stream.say(Input::Close);
    assert_eq!(stream.end(), End::Program(ProgramEnd::Killed(1)));

    let mut stream = shell("trap '' HUP; echo $$; while :; do sleep 1; done");
    stream.until("a pid", |stream| stream.text().ends_with('\n'));
    stream.say(Input::Close);
    assert_eq!(stream.end(), End::Program(ProgramEnd::Killed(9)));
    wait_gone(&stream.text());

    // One of the group that does not listen either.
    let mut stream = shell("(trap '' HUP; sh -c 'echo $PPID'; exec sleep 1000) & wait");
    stream.until("a pid", |stream| stream.text().ends_with('\n'));
    let child = stream.text();
    stream.hang_up();
    wait_gone(&child);
}

fn on_terminal(script: &str) -> Stream {
    run(Exec {
        terminal: Some(Terminal {
            size: TerminalSize {
                columns: 101,
                rows: 33,
            },
            kind: "vt220".into(),
        }),
        ..exec(&["sh", "-c", script])
    })
}

#[test]
fn a_terminal_has_its_size_and_changes_it() {
    let mut stream = on_terminal(
        "trap 'stty size; exit 0' WINCH; stty size; echo $TERM; tty >/dev/null || echo none; while :; do sleep 0.1; done",
    );
    stream.until("the first size", |stream| stream.text() == "33 101\r\nvt220\r\n");
    stream.say(Input::Resize(TerminalSize {
        columns: 80,
        rows: 24,
    }));
    assert_eq!(stream.end(), exited(0));
    assert_eq!(stream.text(), "33 101\r\nvt220\r\n24 80\r\n");
}

#[test]
fn the_end_of_input_reaches_a_reader_on_a_terminal() {
    for (typed, seen) in [("line\n", "line\n"), ("half", "half")] {
        let mut stream = on_terminal("stty -echo; echo go; cat");
        stream.until("it to read", |stream| stream.text() == "go\r\n");
        stream.feed(typed.as_bytes());
        assert_eq!(stream.end(), exited(0), "{typed:?}");
        assert_eq!(stream.text(), format!("go\r\n{}", seen.replace('\n', "\r\n")));
    }
}

#[test]
fn typed_characters_signal_what_runs_on_a_terminal() {
    let mut stream = on_terminal("echo go; exec sleep 1000");
    stream.until("it to run", |stream| stream.text() == "go\r\n");
    stream.say(Input::Data(vec![3]));
    assert_eq!(stream.end(), End::Program(ProgramEnd::Killed(2)));
}
