//! Programs and files of a machine over the control channel, in one whose service cannot be started.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{ProgramEnd, RestartPolicy, ServiceState};
use wire::guest::{GuestFrame, HostFrame, Service};
use wire::stream::{End, Exec, FailureCode, Input, Lane, Open, Output, Terminal, TerminalSize, WINDOW};

use crate::can_boot;
use crate::service::start;
use crate::vm::Vm;

/// What was heard of a stream.
#[derive(Debug, Default)]
struct Stream {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Bytes of input that may be sent.
    room: usize,
    end: Option<End>,
}

/// The host's end of several streams at once.
struct Streams<'a> {
    vm: &'a mut Vm,
    open: BTreeMap<u32, Stream>,
    last: u32,
}

impl<'a> Streams<'a> {
    fn of(vm: &'a mut Vm) -> Self {
        Self {
            vm,
            open: BTreeMap::new(),
            last: 0,
        }
    }

    fn open(&mut self, open: Open) -> u32 {
        self.last += 1;
        let stream = self.last;
        let room = WINDOW as usize;
        self.open.insert(
            stream,
            Stream {
                room,
                ..Stream::default()
            },
        );
        self.vm.send(&HostFrame::Open { stream, open });
        stream
    }

    fn say(&mut self, stream: u32, input: Input) {
        self.vm.send(&HostFrame::Input { stream, input });
    }

    /// Hears one thing of any stream, and gives the room back.
    fn hear(&mut self) {
        let frame = self.vm.wait(|frame| matches!(frame, GuestFrame::Output { .. }));
        let GuestFrame::Output { stream, output } = frame else {
            panic!("{frame:?}")
        };
        let known = self.open.get_mut(&stream).unwrap();
        assert_eq!(known.end, None, "{stream} spoke after its end");
        match output {
            Output::Data { lane, bytes } => {
                let credit = Input::Credit(u32::try_from(bytes.len()).unwrap());
                match lane {
                    Lane::Stdout => known.stdout.extend(bytes),
                    Lane::Stderr => known.stderr.extend(bytes),
                }
                self.say(stream, credit);
            }
            Output::Credit(bytes) => known.room += bytes as usize,
            Output::Ended(end) => known.end = Some(end),
        }
    }

    fn finish(&mut self, stream: u32) -> (End, Stream) {
        loop {
            if let Some(end) = self.open[&stream].end.clone() {
                return (end, self.open.remove(&stream).unwrap());
            }
            self.hear();
        }
    }

    /// Sends all of it to each of these streams by turns, as they take it, and the end. One may end before.
    fn feed(&mut self, streams: &[u32], bytes: &[u8]) {
        for part in bytes.chunks(60_000) {
            for stream in streams {
                while self.open[stream].room < part.len() {
                    self.hear();
                    if self.open[stream].end.is_some() {
                        return;
                    }
                }
                self.open.get_mut(stream).unwrap().room -= part.len();
                self.say(*stream, Input::Data(part.to_vec()));
            }
        }
        for stream in streams {
            self.say(*stream, Input::End);
        }
    }

    fn run(&mut self, exec: Exec) -> (End, Stream) {
        let stream = self.open(Open::Exec(exec));
        self.finish(stream)
    }

    /// What a command of root's prints; it must succeed.
    fn text(&mut self, script: &str) -> String {
        let (end, stream) = self.run(Exec {
            user: "root".into(),
            ..shell(script)
        });
        let stderr = String::from_utf8_lossy(&stream.stderr).into_owned();
        assert_eq!(end, exited(0), "{script}: {stderr}");
        String::from_utf8(stream.stdout).unwrap()
    }

    fn read_files(&mut self, path: &str) -> Vec<u8> {
        let stream = self.open(Open::ReadFiles { path: path.into() });
        let (end, stream) = self.finish(stream);
        assert_eq!(end, End::Done);
        stream.stdout
    }

    fn write_files(&mut self, path: &str, archive: &[u8]) -> End {
        let stream = self.open(Open::WriteFiles { path: path.into() });
        self.feed(&[stream], archive);
        self.finish(stream).0
    }
}

fn shell(script: &str) -> Exec {
    Exec {
        arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..Exec::default()
    }
}

fn exited(status: i32) -> End {
    End::Program(ProgramEnd::Exited(status))
}

fn failure(end: End) -> (FailureCode, String) {
    match end {
        End::Failed(failure) => (failure.code, failure.message),
        End::Program(_) | End::Done => panic!("{end:?}"),
    }
}

#[test]
fn the_host_runs_programs_and_moves_files() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let service = Service {
        arguments: vec!["/nonsense".into()],
        restart: RestartPolicy::Always,
        stop_signal: String::new(),
    };
    let mut vm = start(folder.path(), service);
    let failed = vm.wait(|frame| matches!(frame, GuestFrame::Service(_)));
    let GuestFrame::Service(seen) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(
        (seen.state, seen.exit, seen.restarts),
        (ServiceState::Failed, None, 0)
    );
    assert_eq!(
        seen.message.as_deref(),
        Some("cannot run /nonsense: No such file or directory (os error 2)")
    );
    assert_eq!(vm.client().run("exit 37").status.code(), Some(37));

    let mut streams = Streams::of(&mut vm);
    programs_run(&mut streams);
    two_streams_carry_a_megabyte_each(&mut streams);
    files_go_out_and_in(&mut streams);
    orphans_are_reaped(&mut streams);
    too_many_are_refused_and_a_new_host_ends_all(&mut streams);
    vm.stop(Duration::from_secs(5));
}

fn programs_run(streams: &mut Streams<'_>) {
    let (end, stream) = streams.run(shell(
        "id -un; pwd; echo $FROM_IMAGE $HOME; echo sorry >&2; exit 37",
    ));
    assert_eq!(end, exited(37));
    assert_eq!(
        String::from_utf8(stream.stdout).unwrap(),
        "ann\n/srv/made\nyes /home/ann\n"
    );
    assert_eq!(stream.stderr, b"sorry\n");
    assert_eq!(
        streams.text("id -un; id -Gn; grep SigBlk /proc/self/status; ls /proc/self/fd | wc -l"),
        "root\nroot\nSigBlk:\t0000000000000000\n4\n"
    );
    let (end, _) = streams.run(shell("kill -9 $$"));
    assert_eq!(end, End::Program(ProgramEnd::Killed(9)));
    let nobody = Exec {
        user: "nobody-here".into(),
        ..shell("true")
    };
    let (end, _) = streams.run(nobody);
    let expected = (
        FailureCode::NotFound,
        "the image has no user nobody-here".to_owned(),
    );
    assert_eq!(failure(end), expected);
    let (end, stream) = streams.run(Exec {
        terminal: Some(Terminal {
            size: TerminalSize {
                columns: 101,
                rows: 33,
            },
            kind: "vt220".into(),
        }),
        ..shell("stty size; echo $TERM; tty")
    });
    assert_eq!(end, exited(0));
    assert_eq!(
        String::from_utf8(stream.stdout).unwrap(),
        "33 101\r\nvt220\r\n/dev/pts/0\r\n"
    );
}

fn two_streams_carry_a_megabyte_each(streams: &mut Streams<'_>) {
    let bytes: Vec<u8> = (0..1_000_003_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let start = Instant::now();
    let both = [(); 2].map(|()| streams.open(Open::Exec(shell("cat"))));
    streams.feed(&both, &bytes);
    for stream in both {
        let (end, stream) = streams.finish(stream);
        assert_eq!(end, exited(0));
        assert!(stream.stdout == bytes, "{} bytes came back", stream.stdout.len());
    }
    eprintln!("two megabytes there and back in {:.2?}", start.elapsed());
}

fn files_go_out_and_in(streams: &mut Streams<'_>) {
    streams.text(
        "mkdir -p /srv/from/folder /srv/to; cd /srv/from; echo content > folder/file; ln folder/file other; \
         ln -s folder/file link; mkfifo fifo; chown 4711:4712 other; chmod 4750 other; touch -d 2001-02-03 folder; \
         head -c 500000 /dev/urandom > large",
    );
    let archive = streams.read_files("/srv/from");
    assert_eq!(streams.write_files("/srv/to", &archive), End::Done);
    let listing = "find . | sort | while read -r name; do stat -c '%n %f %u:%g %h %Y %s' \"$name\"; done; readlink link; md5sum large other";
    let from = streams.text(&format!("cd /srv/from && {listing}"));
    assert_eq!(streams.text(&format!("cd /srv/to/from && {listing}")), from);
    assert!(from.contains("4711:4712 2"), "{from}");

    streams.text("mkdir /srv/small && mount -t tmpfs -o size=64k tmpfs /srv/small");
    let (code, message) = failure(streams.write_files("/srv/small", &archive));
    assert_eq!(code, FailureCode::Failed);
    assert_eq!(
        message,
        "cannot write from/large: No space left on device (os error 28)"
    );

    // Everything of a running machine but what the kernel only shows.
    let root = streams.read_files("/");
    assert!(contains(&root, b"./srv/from/large") && contains(&root, b"./proc/"));
    assert!(!contains(&root, b"./proc/1/") && !contains(&root, b"./sys/kernel/"));
}

fn contains(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}

fn orphans_are_reaped(streams: &mut Streams<'_>) {
    let start = Instant::now();
    // Each shell in between ends at once, so PID 1 inherits what it started.
    let made = "n=0; while test $n -lt 1000; do (sleep 0.1 & ); n=$((n + 1)); done; echo made";
    assert_eq!(streams.text(made), "made\n");
    let made = start.elapsed();
    let dead = "n=100; while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do \
        n=$((n - 1)); test $n -gt 0 || exit 1; sleep 0.05; done; pidof sleep | wc -w";
    let left = streams.text(dead);
    assert!(left.trim().parse::<u32>().unwrap() < 1000);
    eprintln!(
        "1,000 orphans made in {made:.2?} and buried {:.2?} later",
        start.elapsed() - made
    );
    let ticks = "read -r line < /proc/1/stat; set -- ${line##*)}; echo $((${12} + ${13}))";
    let used = streams.text(&format!(
        "first=$({ticks}); sleep 3; echo $(($({ticks}) - first))"
    ));
    eprintln!("PID 1 used {} ticks of 10 ms in 3 s after it", used.trim());
    assert!(used.trim().parse::<u32>().unwrap() <= 15, "PID 1 is busy: {used}");
}

fn too_many_are_refused_and_a_new_host_ends_all(streams: &mut Streams<'_>) {
    let long = Exec {
        arguments: vec!["sleep".into(), "1000".into()],
        ..Exec::default()
    };
    let open: Vec<u32> = (0..32).map(|_| streams.open(Open::Exec(long.clone()))).collect();
    let (end, _) = streams.run(long);
    assert_eq!(failure(end).0, FailureCode::Busy);
    streams.say(open[0], Input::Close);
    assert_eq!(streams.finish(open[0]).0, End::Program(ProgramEnd::Killed(1)));
    streams.vm.reconnect();
    streams.vm.wait_ready();
    streams.open.clear();
    streams.last = 0;
    let gone =
        "n=100; while pidof sleep > /dev/null; do n=$((n - 1)); test $n -gt 0 || exit 1; usleep 100000; done";
    assert_eq!(streams.text(gone), "");
}
