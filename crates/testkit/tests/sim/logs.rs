//! A VM's service and what it prints: seen by control, kept over restarts, marked where it was lost.

use control::stream::Lane;
use control::{LogEntry, LogReader, LogRequest, VmSelector, VmView};
use model::{ProgramEnd, RestartPolicy, ServiceAsk, ServiceSeen, ServiceState, Status, VmId, VmOptions};
use testkit::{Cloud, until};

use crate::streams::create_with;
use crate::support::{create, expect, remove, start, stop, traces, until_true};

const ALL: LogRequest = LogRequest {
    follow: false,
    tail: None,
    since_unix_ns: None,
};

async fn open(cloud: &Cloud, name: &str, request: LogRequest) -> LogReader {
    let (control, admin) = cloud.control().unwrap();
    let selector = VmSelector::Name(name.parse().unwrap());
    control.vm_log(admin, &selector, request).await.unwrap()
}

/// The next entry as a word: a line, `<boot>` or `<gap N>`.
async fn next(log: &mut LogReader) -> Option<String> {
    let limit = std::time::Duration::from_secs(20);
    let record = tokio::time::timeout(limit, log.next()).await;
    Some(match record.unwrap().unwrap()?.entry {
        LogEntry::Line { lane, bytes } => {
            let mark = if lane == Lane::Stderr { "!" } else { "" };
            format!("{mark}{}", String::from_utf8(bytes).unwrap())
        }
        LogEntry::Gap { bytes } => format!("<gap {}>", bytes.unwrap()),
        LogEntry::Boot { .. } => "<boot>".to_owned(),
    })
}

async fn all(cloud: &Cloud, name: &str) -> Vec<String> {
    let mut log = open(cloud, name, ALL).await;
    let mut entries = Vec::new();
    while let Some(entry) = next(&mut log).await {
        entries.push(entry);
    }
    entries
}

fn runs(command: &[&str]) -> VmOptions {
    VmOptions {
        service: ServiceAsk {
            command: Some(command.iter().map(ToString::to_string).collect()),
            restart: RestartPolicy::Always,
            ..ServiceAsk::default()
        },
        ..VmOptions::default()
    }
}

/// Waits until the host holds all that the VM's service printed.
async fn held(cloud: &Cloud, vm: VmId) {
    let guests = &cloud.hosts[0].guests;
    until_true("the host holds all", || guests.held(vm) == guests.printed(vm)).await;
}

#[tokio::test]
async fn a_service_is_seen_and_its_log_stays_over_stop_and_start() {
    let cloud = Cloud::start(1).await.unwrap();
    let clean = traces(&cloud.hosts[0]);
    let vm = create_with(&cloud, "web", runs(&["echo", "hello"])).await;
    assert!(vm.asked.body.needs.contains(&model::Feature::OPTIONS));
    let (control, admin) = cloud.control().unwrap();
    let selector = VmSelector::Id(vm.asked.id);
    let service = |vm: &VmView| vm.seen.as_ref().and_then(|seen| seen.service.clone());
    let ended = |exit, restarts| ServiceSeen {
        state: ServiceState::Ended,
        exit: Some(exit),
        restarts,
        message: None,
    };
    let look = || control.vm_get(admin, &selector);
    let first = ended(ProgramEnd::Exited(0), 0);
    until("it has ended", look, |vm| service(vm).as_ref() == Some(&first))
        .await
        .unwrap();
    let second = ended(ProgramEnd::Killed(9), 3);
    cloud.hosts[0].guests.set_service(vm.asked.id, second.clone());
    until("it was killed", look, |vm| service(vm).as_ref() == Some(&second))
        .await
        .unwrap();
    held(&cloud, vm.asked.id).await;
    assert_eq!(all(&cloud, "web").await, ["<boot>", "hello"]);
    stop(&cloud, "web").await;
    expect(&cloud, "web", Status::Stopped).await;
    assert_eq!(service(&look().await.unwrap()), None, "what is off runs nothing");
    assert_eq!(all(&cloud, "web").await, ["<boot>", "hello"]);
    start(&cloud, "web").await;
    expect(&cloud, "web", Status::Running).await;
    held(&cloud, vm.asked.id).await;
    assert_eq!(all(&cloud, "web").await, ["<boot>", "hello", "<boot>", "hello"]);
    remove(&cloud, "web").await;
    assert_eq!(traces(&cloud.hosts[0]), clean, "its log goes with it");
}

#[tokio::test]
async fn a_machine_to_log_into_has_no_service_and_an_empty_log() {
    let cloud = Cloud::start(1).await.unwrap();
    create(&cloud, "web").await;
    create_with(&cloud, "shell", runs(&["bash"])).await;
    for name in ["web", "shell"] {
        assert!(all(&cloud, name).await.is_empty(), "{name}");
        let (control, admin) = cloud.control().unwrap();
        let selector = VmSelector::Name(name.parse().unwrap());
        let vm = control.vm_get(admin, &selector).await.unwrap();
        assert_eq!(vm.seen.unwrap().service, None, "{name}");
    }
}

#[tokio::test]
async fn a_follower_sees_each_line_as_it_comes_and_the_end_of_the_vm() {
    let cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let follow = LogRequest { follow: true, ..ALL };
    let mut log = open(&cloud, "web", follow).await;
    let guests = &cloud.hosts[0].guests;
    guests.print(vm.id, Lane::Stdout, "one\ntw");
    assert_eq!(next(&mut log).await.unwrap(), "<boot>");
    assert_eq!(next(&mut log).await.unwrap(), "one");
    guests.print(vm.id, Lane::Stderr, "between\n");
    assert_eq!(next(&mut log).await.unwrap(), "!between");
    guests.print(vm.id, Lane::Stdout, "o\n");
    assert_eq!(next(&mut log).await.unwrap(), "two");
    let tail = LogRequest {
        follow: true,
        tail: Some(1),
        ..ALL
    };
    let mut late = open(&cloud, "web", tail).await;
    assert_eq!(next(&mut late).await.unwrap(), "two");
    remove(&cloud, "web").await;
    assert_eq!(next(&mut log).await, None);
    assert_eq!(next(&mut late).await, None);
}

#[tokio::test]
async fn a_host_that_was_away_doubles_and_loses_no_line() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let guests = cloud.hosts[0].guests.clone();
    let mut wanted = vec!["<boot>".to_owned()];
    for round in 0..5 {
        for number in 0..200 {
            let line = format!("round {round} line {number}");
            guests.print(vm.id, Lane::Stdout, &format!("{line}\n"));
            wanted.push(line);
            // Somewhere in the middle, whatever it has read and acknowledged by then.
            if number == 50 + 10 * round {
                cloud.hosts[0].end().await;
            }
        }
        cloud.hosts[0].begin().await.unwrap();
    }
    held(&cloud, vm.id).await;
    assert_eq!(all(&cloud, "web").await, wanted);
}

#[tokio::test]
async fn what_a_guest_cannot_keep_for_a_host_that_is_away_is_a_gap() {
    let mut cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let guests = cloud.hosts[0].guests.clone();
    guests.print(vm.id, Lane::Stdout, "before\n");
    held(&cloud, vm.id).await;
    cloud.hosts[0].end().await;
    let line = format!("{}\n", "x".repeat(1023));
    for _ in 0..3 * 1024 {
        guests.print(vm.id, Lane::Stdout, &line);
    }
    cloud.hosts[0].begin().await.unwrap();
    held(&cloud, vm.id).await;
    let entries = all(&cloud, "web").await;
    let gap = format!("<gap {}>", 2 << 20);
    assert_eq!(entries[..3], ["<boot>".to_owned(), "before".to_owned(), gap]);
    assert_eq!(entries.len(), 3 + 1024, "the last MiB is there");
}

#[tokio::test]
async fn a_guest_that_prints_much_is_read_whole() {
    let cloud = Cloud::start(1).await.unwrap();
    let vm = create(&cloud, "web").await;
    let guests = &cloud.hosts[0].guests;
    let mut printed = 0_u64;
    for number in 0..20_000 {
        let line = format!("line {number} {}\n", "y".repeat(100));
        printed += line.len() as u64;
        guests.print(vm.id, Lane::Stdout, &line);
        if number % 4000 == 0 {
            held(&cloud, vm.id).await;
        }
    }
    held(&cloud, vm.id).await;
    let lines = all(&cloud, "web").await;
    assert_eq!(lines.len(), 1 + 20_000);
    assert_eq!(guests.held(vm.id), printed);
}
