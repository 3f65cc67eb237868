//! Programs, files and consoles through control, link, host and guest, and what ends them.

use control::stream::{End, Exec, FailureCode, Lane, Open, Terminal, TerminalSize};
use control::{CreateVm, Received, Stream, StreamReader, StreamRequest, VmSelector, VmView};
use model::{ProblemCode, ProgramEnd, Status, VmOptions};
use testkit::{Cloud, until};

use crate::support::{create, expect, host_of, stop, until_true};

fn selector(name: &str) -> VmSelector {
    VmSelector::Name(name.parse().unwrap())
}

/// Asks for a VM with options and lets its host finish.
pub(crate) async fn create_with(cloud: &Cloud, name: &str, options: VmOptions) -> VmView {
    let (control, admin) = cloud.control().unwrap();
    let request = CreateVm {
        name: name.parse().unwrap(),
        image: "debian:12".parse().unwrap(),
        cpus: None,
        memory: None,
        disk: None,
        owner: None,
        keys: vec![crate::support::KEY.parse().unwrap()],
        account_keys: true,
        no_ssh_keys: false,
        life: control::LifeWish::default(),
        labels: [].into(),
        registry_auth: None,
        options,
    };
    control.vm_create(admin, request).await.unwrap();
    let there = |vm: &VmView| vm.status == Status::Running;
    let selector = selector(name);
    let look = || control.vm_get(admin, &selector);
    until(&format!("{name} runs"), look, there).await.unwrap()
}

/// Opens a stream. A host that has just begun is connected a moment later.
async fn open(cloud: &Cloud, name: &str, request: StreamRequest) -> Stream {
    let (control, admin) = cloud.control().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let opened = control.vm_stream(admin, &selector(name), request.clone()).await;
        let is_away = |problem: &model::Problem| problem.code == ProblemCode::Unavailable;
        match opened {
            Err(error) if is_away(&error.problem) && std::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

fn exec(command: &str) -> Exec {
    Exec {
        arguments: command.split_whitespace().map(str::to_owned).collect(),
        ..Exec::default()
    }
}

async fn run(cloud: &Cloud, name: &str, exec: Exec) -> Stream {
    open(cloud, name, StreamRequest::Guest(Open::Exec(exec))).await
}

/// All that comes until the end: of both lanes, and the end.
async fn rest(stream: Stream) -> (Vec<u8>, Vec<u8>, End) {
    let Stream { writer, mut reader } = stream;
    let heard = rest_of(&mut reader).await;
    drop(writer);
    heard
}

async fn rest_of(reader: &mut StreamReader) -> (Vec<u8>, Vec<u8>, End) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match next(reader).await {
            Received::Data { lane, bytes } => match lane {
                Lane::Stdout => out.extend(bytes),
                Lane::Stderr => err.extend(bytes),
            },
            Received::Ended(end) => return (out, err, end),
        }
    }
}

async fn next(reader: &mut StreamReader) -> Received {
    let limit = std::time::Duration::from_secs(20);
    let next = tokio::time::timeout(limit, reader.next()).await;
    next.unwrap().unwrap()
}

async fn failure(stream: Stream) -> FailureCode {
    let end = rest(stream).await.2;
    let End::Failed(failure) = end else {
        unreachable!("{end:?}")
    };
    failure.code
}

const fn exited(status: i32) -> End {
    End::Program(ProgramEnd::Exited(status))
}

#[tokio::test]
async fn programs_run_and_tell_how_they_ended() {
    let cloud = Cloud::start(1).await.unwrap();
    create(&cloud, "web").await;
    let printed = rest(run(&cloud, "web", exec("echo hello there")).await).await;
    assert_eq!(printed, (b"hello there\n".to_vec(), Vec::new(), exited(0)));
    let printed = rest(run(&cloud, "web", exec("warn of it")).await).await;
    assert_eq!(printed, (Vec::new(), b"of it\n".to_vec(), exited(0)));
    assert_eq!(
        rest(run(&cloud, "web", exec("exit 37")).await).await.2,
        exited(37)
    );
    assert_eq!(
        failure(run(&cloud, "web", exec("nonsense")).await).await,
        FailureCode::NotFound
    );
    let mut sleeper = run(&cloud, "web", exec("sleep")).await;
    sleeper.writer.signal(15);
    assert_eq!(rest(sleeper).await.2, End::Program(ProgramEnd::Killed(15)));
}

#[tokio::test]
async fn a_terminal_has_its_size() {
    let cloud = Cloud::start(1).await.unwrap();
    create(&cloud, "web").await;
    let size = |columns, rows| TerminalSize { columns, rows };
    let terminal = Terminal {
        size: size(100, 30),
        kind: "xterm".to_owned(),
    };
    let exec = Exec {
        terminal: Some(terminal),
        ..exec("size")
    };
    let mut stream = run(&cloud, "web", exec).await;
    let shown = |text: &str| Received::Data {
        lane: Lane::Stdout,
        bytes: text.as_bytes().to_vec(),
    };
    assert_eq!(next(&mut stream.reader).await, shown("100 30\n"));
    stream.writer.resize(size(80, 24));
    assert_eq!(next(&mut stream.reader).await, shown("80 24\n"));
    stream.writer.end();
    assert_eq!(rest(stream).await.2, exited(0));
}

/// Several windows of bytes, none like its neighbours.
fn many_bytes() -> Vec<u8> {
    (0..3_000_000_u32).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn many_bytes_go_to_and_fro_unchanged() {
    let cloud = Cloud::start(1).await.unwrap();
    create(&cloud, "web").await;
    let Stream {
        mut writer,
        mut reader,
    } = run(&cloud, "web", exec("cat")).await;
    let sending = tokio::spawn(async move {
        writer.data(&many_bytes()).await.unwrap();
        writer.end();
    });
    let (out, _, end) = rest_of(&mut reader).await;
    sending.await.unwrap();
    assert_eq!(end, exited(0));
    assert!(out == many_bytes(), "{} bytes came back otherwise", out.len());
}

#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody_else() {
    let cloud = Cloud::start(1).await.unwrap();
    create(&cloud, "web").await;
    let mut stuck = run(&cloud, "web", exec("cat")).await;
    let filling = tokio::spawn(async move {
        // Input and output windows fill; then it waits for ever.
        let sent = stuck.writer.data(&many_bytes()).await;
        (stuck, sent)
    });
    for _ in 0..5 {
        let printed = rest(run(&cloud, "web", exec("echo on")).await).await;
        assert_eq!(printed.0, b"on\n");
    }
    assert!(!filling.is_finished());
    filling.abort();
}

#[tokio::test]
async fn files_are_written_and_read() {
    let cloud = Cloud::start(1).await.unwrap();
    create(&cloud, "web").await;
    let path = "/srv".to_owned();
    let request = StreamRequest::Guest(Open::WriteFiles { path: path.clone() });
    let mut stream = open(&cloud, "web", request).await;
    stream.writer.data(&many_bytes()).await.unwrap();
    stream.writer.end();
    assert_eq!(rest(stream).await.2, End::Done);
    let request = StreamRequest::Guest(Open::ReadFiles { path });
    let (archive, _, end) = rest(open(&cloud, "web", request).await).await;
    assert_eq!(end, End::Done);
    assert!(archive == many_bytes());
    let path = "/nowhere".to_owned();
    let request = StreamRequest::Guest(Open::ReadFiles { path });
    assert_eq!(
        failure(open(&cloud, "web", request).await).await,
        FailureCode::NotFound
    );
}

#[tokio::test]
async fn a_client_that_goes_ends_its_program() {
    let cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let guests = &host_of(&cloud, &vm).guests;
    let sleeper = run(&cloud, "web", exec("sleep")).await;
    until_true("it runs", || guests.running(vm.id) == 1).await;
    drop(sleeper);
    until_true("it has ended", || guests.running(vm.id) == 0).await;
}

#[tokio::test]
async fn a_host_that_starts_again_loses_its_streams_and_takes_new_ones() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let sleeper = run(&cloud, "web", exec("sleep")).await;
    let guests = cloud.hosts[0].guests.clone();
    until_true("it runs", || guests.running(vm.id) == 1).await;
    cloud.hosts[0].end().await;
    assert_eq!(failure(sleeper).await, FailureCode::Lost);
    let (control, admin) = cloud.control().unwrap();
    let request = StreamRequest::Guest(Open::Exec(exec("echo")));
    let refused = control.vm_stream(admin, &selector("web"), request).await;
    assert_eq!(refused.err().unwrap().problem.code, ProblemCode::Unavailable);
    cloud.hosts[0].begin().await.unwrap();
    let printed = rest(run(&cloud, "web", exec("echo again")).await).await;
    assert_eq!(printed.0, b"again\n");
    until_true("the program of the lost stream goes with it", || {
        guests.running(vm.id) == 0
    })
    .await;
}

#[tokio::test]
async fn where_nothing_runs_there_is_no_stream() {
    let cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    stop(&cloud, "web").await;
    expect(&cloud, "web", Status::Stopped).await;
    let (control, admin) = cloud.control().unwrap();
    let request = || StreamRequest::Guest(Open::Exec(exec("echo")));
    let refused = control.vm_stream(admin, &selector("web"), request()).await;
    assert_eq!(refused.err().unwrap().problem.code, ProblemCode::WrongStatus);
    let refused = control.vm_stream(admin, &selector("other"), request()).await;
    assert_eq!(refused.err().unwrap().problem.code, ProblemCode::NotFound);
    // What control does not know yet, the host tells.
    let (host, id) = (cloud.hosts[0].id().unwrap(), vm.id);
    let stream = cloud.link.open(host, id, request()).await.unwrap();
    assert_eq!(failure(stream).await, FailureCode::NotRunning);
    let nobody = model::VmId::from_random([9; 16]);
    let stream = cloud.link.open(host, nobody, request()).await.unwrap();
    assert_eq!(failure(stream).await, FailureCode::NotFound);
}

#[tokio::test]
async fn an_older_powerunit_is_told_apart() {
    let cloud = Cloud::start(1).await.unwrap();
    cloud.hosts[0].guests.speak_at_most(1);
    create(&cloud, "old").await;
    assert_eq!(
        failure(run(&cloud, "old", exec("echo")).await).await,
        FailureCode::Unsupported
    );
}

#[tokio::test]
async fn a_console_shows_and_takes_what_is_typed_where_the_vm_has_one() {
    let cloud = Cloud::start(1).await.unwrap();
    let options = VmOptions {
        console: true,
        ..VmOptions::default()
    };
    let vm = create_with(&cloud, "with", options).await;
    create(&cloud, "without").await;
    let console = |interactive| StreamRequest::Console { interactive };
    assert_eq!(
        failure(open(&cloud, "without", console(true)).await).await,
        FailureCode::Unsupported
    );
    let mut watcher = open(&cloud, "with", console(false)).await;
    shows(&mut watcher, "simulated console").await;
    watcher.writer.data(b"not typed").await.unwrap();
    let sim = &cloud.hosts[0].sim;
    sim.print(vm.asked.id, "kernel says hello\n");
    let seen = shows(&mut watcher, "kernel says hello").await;
    assert!(!seen.contains("not typed"), "{seen}");
    let mut typist = open(&cloud, "with", console(true)).await;
    shows(&mut typist, "kernel says hello").await;
    assert_eq!(rest(watcher).await.2, End::Done, "there is one seat");
    typist.writer.data(b"really typed").await.unwrap();
    shows(&mut typist, "really typed").await;
    sim.power_off(vm.asked.id);
    assert_eq!(rest(typist).await.2, End::Done);
}

async fn shows(stream: &mut Stream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        match next(&mut stream.reader).await {
            Received::Data { bytes, .. } => seen.push_str(&String::from_utf8(bytes).unwrap()),
            Received::Ended(end) => unreachable!("{end:?} after {seen:?}"),
        }
    }
    seen
}
