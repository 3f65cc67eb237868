//! The suite that every inside of [`Link`] passes: what its users rely on, asked of a living link.
//!
//! It serves the hosts it is given itself; nobody else may.

mod secrets;

use std::time::Duration;

use model::{HostId, VmId};
use wire::link::{LogEntry, LogRecord, LogRequest, StreamRequest};
use wire::stream::{
    End, Exec, Failure, FailureCode, Input, Lane, MAX_DATA, Open, Output, TerminalSize, WINDOW,
};

use crate::{Call, Calls, HostReader, HostStream, Link, LinkError, LogReader, LogWriter, Received, Stream};

/// What a link did not keep.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A call failed that must not.
    #[error("a call failed in the suite")]
    Link(#[from] LinkError),
    /// Nothing came.
    #[error("{check}: nothing came within {LIMIT:?}")]
    Late {
        /// Which promise.
        check: &'static str,
    },
    /// Something else came than was promised.
    #[error("{check}: {got}")]
    Promise {
        /// Which promise.
        check: &'static str,
        /// What was seen.
        got: String,
    },
}

/// How long a word may take; far above what a connection on the same machine needs.
const LIMIT: Duration = Duration::from_secs(10);

/// How long is waited for what must not come. Too short misses a fault on a busy machine, and never invents one.
const SILENCE: Duration = Duration::from_millis(50);

const VM: VmId = VmId::from_random([7; 16]);

/// Asks everything of a link. `host` gives an id that nobody else uses, another at each call.
///
/// # Errors
/// The first promise that is not kept.
pub async fn all(link: &Link, mut host: impl FnMut() -> HostId) -> Result<(), Broken> {
    a_host_that_nobody_serves_is_away(link, host()).await?;
    requests_arrive_as_they_were_made(link, host()).await?;
    words_arrive_in_order(link, host()).await?;
    an_end_comes_last_and_once(link, host()).await?;
    input_waits_for_room(link, host()).await?;
    output_beyond_the_room_is_refused(link, host()).await?;
    a_client_that_goes_is_noticed(link, host()).await?;
    a_host_that_goes_is_noticed(link, host()).await?;
    a_newer_taker_gets_the_calls(link, host()).await?;
    a_log_comes_whole_and_slowly(link, host()).await?;
    a_log_says_why_it_ends(link, host()).await?;
    secrets::control_that_is_not_there_is_away(link, host()).await?;
    secrets::who_asks_gets_the_answer(link, host(), host()).await
}

async fn a_host_that_nobody_serves_is_away(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a host that nobody serves is away";
    match link.open(host, VM, exec()).await {
        Err(LinkError::Away(away)) if away == host => {}
        other => return broken(check, &other.map(drop)),
    }
    drop(link.serve(host));
    match link.open_log(host, VM, LogRequest::default()).await {
        Err(LinkError::Away(away)) if away == host => Ok(()),
        other => broken(check, &other.map(drop)),
    }
}

async fn requests_arrive_as_they_were_made(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a request arrives as it was made";
    let mut calls = link.serve(host);
    let asked = StreamRequest::Console { interactive: true };
    let _client = link.open(host, VM, asked.clone()).await?;
    match within(check, calls.next()).await? {
        Some(Call::Stream { vm, request, .. }) => expect(check, &(vm, request), &(VM, asked))?,
        Some(Call::Log { request, .. }) => return broken(check, &request),
        None => return broken(check, &"no call"),
    }
    let asked = LogRequest {
        follow: true,
        tail: Some(3),
        since_unix_ns: Some(5),
    };
    let _client = link.open_log(host, VM, asked).await?;
    match within(check, calls.next()).await? {
        Some(Call::Log { vm, request, .. }) => expect(check, &(vm, request), &(VM, asked)),
        Some(Call::Stream { request, .. }) => broken(check, &request),
        None => broken(check, &"no call"),
    }
}

async fn words_arrive_in_order(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "words arrive in order";
    let (mut client, mut stream, _calls) = open(link, host, check).await?;
    let size = TerminalSize {
        columns: 100,
        rows: 30,
    };
    client.writer.resize(size);
    sent(check, client.writer.data(b"in").await)?;
    client.writer.signal(15);
    client.writer.end();
    let wanted = [
        Input::Resize(size),
        Input::Data(b"in".to_vec()),
        Input::Signal(15),
        Input::End,
    ];
    for word in wanted {
        expect(check, &within(check, stream.reader.next()).await?, &Some(word))?;
    }
    for (lane, bytes) in [
        (Lane::Stdout, b"out"),
        (Lane::Stderr, b"err"),
        (Lane::Stdout, b"2nd"),
    ] {
        put(check, &stream, lane, bytes)?;
    }
    for (lane, bytes) in [
        (Lane::Stdout, b"out"),
        (Lane::Stderr, b"err"),
        (Lane::Stdout, b"2nd"),
    ] {
        let bytes = bytes.to_vec();
        expect(
            check,
            &within(check, client.reader.next()).await?,
            &Some(Received::Data { lane, bytes }),
        )?;
    }
    Ok(())
}

async fn an_end_comes_last_and_once(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "an end comes last, and once";
    let (mut client, mut stream, _calls) = open(link, host, check).await?;
    put(check, &stream, Lane::Stdout, b"last words")?;
    stream.writer.end(End::Program(model::ProgramEnd::Exited(37)));
    let first = within(check, client.reader.next()).await?;
    if !matches!(first, Some(Received::Data { .. })) {
        return broken(check, &first);
    }
    let end = End::Program(model::ProgramEnd::Exited(37));
    expect(
        check,
        &within(check, client.reader.next()).await?,
        &Some(Received::Ended(end)),
    )?;
    expect(check, &within(check, client.reader.next()).await?, &None)?;
    expect(check, &within(check, stream.reader.next()).await?, &None)?;
    match within(check, client.writer.data(b"too late")).await? {
        Err(crate::Over) => Ok(()),
        Ok(()) => broken(check, &"input was taken behind the end"),
    }
}

async fn input_waits_for_room(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "input waits for room";
    let (mut client, mut stream, _calls) = open(link, host, check).await?;
    let window = bytes_of(WINDOW);
    sent(check, within(check, client.writer.data(&window)).await?)?;
    if tokio::time::timeout(SILENCE, client.writer.data(b"x"))
        .await
        .is_ok()
    {
        return broken(check, &"more than the window was taken");
    }
    let (credit, more) = (10_u32, b"0123456789");
    if stream.writer.put(Output::Credit(credit)).is_err() {
        return broken(check, &"credit was refused");
    }
    sent(check, within(check, client.writer.data(more)).await?)?;
    let all = [window.as_slice(), more].concat();
    let got = take(check, &mut stream.reader, all.len()).await?;
    expect(check, &(got == all), &true)
}

async fn output_beyond_the_room_is_refused(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "output beyond the room is refused";
    let (mut client, mut stream, _calls) = open(link, host, check).await?;
    for piece in bytes_of(WINDOW).chunks(MAX_DATA) {
        put(check, &stream, Lane::Stdout, piece)?;
    }
    let more = Output::Data {
        lane: Lane::Stdout,
        bytes: vec![0],
    };
    if stream.writer.put(more).is_ok() {
        return broken(check, &"more than the window was taken");
    }
    let mut used = 0;
    while used < WINDOW {
        match within(check, client.reader.next()).await? {
            Some(Received::Data { bytes, .. }) => used += u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            other => return broken(check, &other),
        }
    }
    // What was taken counts as used when the next is asked for.
    let mut reader = client.reader;
    let waiting = tokio::spawn(async move { reader.next().await });
    let mut credit = 0;
    while credit < WINDOW {
        match within(check, stream.reader.next()).await? {
            Some(Input::Credit(count)) => credit += count,
            other => return broken(check, &other),
        }
    }
    put(check, &stream, Lane::Stdout, b"again")?;
    match within(check, waiting).await? {
        Ok(Some(Received::Data { bytes, .. })) => expect(check, &bytes.as_slice(), &b"again".as_slice()),
        other => broken(check, &other),
    }
}

async fn a_client_that_goes_is_noticed(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a client that goes is noticed";
    let (client, mut stream, mut calls) = open(link, host, check).await?;
    drop(client);
    expect(
        check,
        &within(check, stream.reader.next()).await?,
        &Some(Input::Close),
    )?;
    put(check, &stream, Lane::Stdout, b"nobody hears it")?;
    let reader = link.open_log(host, VM, LogRequest::default()).await?;
    let log = log_call(check, &mut calls).await?;
    drop(reader);
    within(check, log.unread()).await?;
    if log.send(line(0, b"nobody reads it")).await.is_ok() {
        return broken(check, &"a record was taken for nobody");
    }
    Ok(())
}

async fn a_host_that_goes_is_noticed(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a host that goes is noticed";
    let (mut client, stream, mut calls) = open(link, host, check).await?;
    drop(stream);
    is_lost(check, within(check, client.reader.next()).await?)?;
    let mut log = link.open_log(host, VM, LogRequest::default()).await?;
    drop(log_call(check, &mut calls).await?);
    match within(check, log.next()).await? {
        Err(failure) => expect(check, &failure.code, &FailureCode::Lost)?,
        Ok(record) => return broken(check, &record),
    }
    // A call that the host never took.
    let mut client = link.open(host, VM, exec()).await?;
    drop(calls);
    is_lost(check, within(check, client.reader.next()).await?)
}

async fn a_newer_taker_gets_the_calls(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a newer taker gets the calls";
    let mut old = link.serve(host);
    let mut new = link.serve(host);
    if within(check, old.next()).await?.is_some() {
        return broken(check, &"the old taker was called");
    }
    drop(old);
    let _client = link.open(host, VM, exec()).await?;
    match within(check, new.next()).await? {
        Some(Call::Stream { .. }) => Ok(()),
        Some(Call::Log { .. }) | None => broken(check, &"no stream"),
    }
}

async fn a_log_comes_whole_and_slowly(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a log comes whole, and waits for its reader";
    let (mut reader, log, _calls) = open_log(link, host, check).await?;
    let count = 1000_u64;
    let sending = tokio::spawn(async move {
        for number in 0..count {
            log.send(line(number, &[b'x'; 1024])).await?;
        }
        log.end(End::Done).await;
        Ok::<_, crate::Unread>(())
    });
    tokio::time::sleep(SILENCE).await;
    if sending.is_finished() {
        return broken(check, &"a log of 1 MB was taken without a reader");
    }
    for number in 0..count {
        match within(check, reader.next()).await? {
            Ok(Some(record)) => expect(check, &record.unix_ns, &number)?,
            other => return broken(check, &other),
        }
    }
    expect(check, &within(check, reader.next()).await?, &Ok(None))?;
    expect(check, &within(check, reader.next()).await?, &Ok(None))
}

async fn a_log_says_why_it_ends(link: &Link, host: HostId) -> Result<(), Broken> {
    let check = "a log says why it ends";
    let (mut reader, log, _calls) = open_log(link, host, check).await?;
    let failure = Failure {
        code: FailureCode::NotFound,
        message: "the host has no such VM".to_owned(),
    };
    log.end(End::Failed(failure.clone())).await;
    expect(check, &within(check, reader.next()).await?, &Err(failure))
}

async fn open(link: &Link, host: HostId, check: &'static str) -> Result<(Stream, HostStream, Calls), Broken> {
    let mut calls = link.serve(host);
    let client = link.open(host, VM, exec()).await?;
    match within(check, calls.next()).await? {
        Some(Call::Stream { stream, .. }) => Ok((client, stream, calls)),
        Some(Call::Log { .. }) | None => Err(promise(check, &"no stream was asked for")),
    }
}

async fn open_log(
    link: &Link,
    host: HostId,
    check: &'static str,
) -> Result<(LogReader, LogWriter, Calls), Broken> {
    let mut calls = link.serve(host);
    let reader = link.open_log(host, VM, LogRequest::default()).await?;
    let log = log_call(check, &mut calls).await?;
    Ok((reader, log, calls))
}

async fn log_call(check: &'static str, calls: &mut Calls) -> Result<LogWriter, Broken> {
    match within(check, calls.next()).await? {
        Some(Call::Log { log, .. }) => Ok(log),
        Some(Call::Stream { .. }) | None => Err(promise(check, &"no log was asked for")),
    }
}

async fn take(check: &'static str, reader: &mut HostReader, count: usize) -> Result<Vec<u8>, Broken> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match within(check, reader.next()).await? {
            Some(Input::Data(bytes)) if bytes.len() <= MAX_DATA => taken.extend(bytes),
            other => return Err(promise(check, &other)),
        }
    }
    Ok(taken)
}

fn put(check: &'static str, stream: &HostStream, lane: Lane, bytes: &[u8]) -> Result<(), Broken> {
    let bytes = bytes.to_vec();
    let taken = stream.writer.put(Output::Data { lane, bytes });
    taken.map_err(|error| promise(check, &error))
}

fn sent(check: &'static str, sent: Result<(), crate::Over>) -> Result<(), Broken> {
    sent.map_err(|error| promise(check, &error))
}

fn is_lost(check: &'static str, received: Option<Received>) -> Result<(), Broken> {
    match received {
        Some(Received::Ended(End::Failed(failure))) => expect(check, &failure.code, &FailureCode::Lost),
        other => broken(check, &other),
    }
}

fn exec() -> StreamRequest {
    StreamRequest::Guest(Open::Exec(Exec {
        arguments: vec!["cat".to_owned()],
        ..Exec::default()
    }))
}

fn line(unix_ns: u64, bytes: &[u8]) -> LogRecord {
    LogRecord {
        unix_ns,
        entry: LogEntry::Line {
            lane: Lane::Stdout,
            bytes: bytes.to_vec(),
        },
    }
}

/// So many bytes, none like its neighbours.
fn bytes_of(count: u32) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

async fn within<T>(check: &'static str, word: impl Future<Output = T>) -> Result<T, Broken> {
    let waited = tokio::time::timeout(LIMIT, word).await;
    waited.map_err(|_| Broken::Late { check })
}

fn expect<T: PartialEq + std::fmt::Debug>(check: &'static str, got: &T, wanted: &T) -> Result<(), Broken> {
    if got == wanted {
        Ok(())
    } else {
        broken(check, &format_args!("{got:?} and not {wanted:?}"))
    }
}

fn broken(check: &'static str, got: &impl std::fmt::Debug) -> Result<(), Broken> {
    Err(promise(check, got))
}

fn promise(check: &'static str, got: &impl std::fmt::Debug) -> Broken {
    Broken::Promise {
        check,
        got: format!("{got:?}"),
    }
}
