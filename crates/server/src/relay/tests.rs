//! The relay between channels instead of a connection, in a time that passes by itself.

use std::convert::Infallible;

use futures_util::stream;
use link::HostStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::PollSender;

use super::*;

/// A relay under way, with both of its far ends.
struct Both {
    to_relay: mpsc::Sender<Message>,
    from_relay: mpsc::Receiver<Message>,
    host: HostStream,
    close: watch::Sender<bool>,
    withdraw: Option<oneshot::Sender<Problem>>,
    relay: tokio::task::JoinHandle<()>,
}

fn start() -> Both {
    let (to_relay, mut messages) = mpsc::channel(1);
    let (sink, from_relay) = mpsc::channel(1);
    let (client, host) = link::stream();
    let (close, closing) = watch::channel(false);
    let messages = stream::poll_fn(move |context| {
        messages
            .poll_recv(context)
            .map(|next| next.map(Ok::<_, Infallible>))
    });
    let (withdraw, taken) = oneshot::channel();
    let withdrawn = Box::pin(async {
        match taken.await {
            Ok(problem) => problem,
            Err(_) => std::future::pending().await,
        }
    });
    let relay = tokio::spawn(relay(PollSender::new(sink), messages, client, withdrawn, closing));
    Both {
        to_relay,
        from_relay,
        host,
        close,
        withdraw: Some(withdraw),
        relay,
    }
}

async fn close_of(messages: &mut mpsc::Receiver<Message>) -> Option<CloseFrame> {
    while let Some(message) = messages.recv().await {
        if let Message::Close(frame) = message {
            return frame;
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_has_gone_and_its_program_is_told() {
    let mut both = start();
    let started = Instant::now();
    // It takes its pings and never answers.
    let pings = tokio::spawn(async move { while both.from_relay.recv().await.is_some() {} });
    let heard = both.host.reader.next().await;
    assert_eq!(heard, Some(control::stream::Input::Close));
    let took = started.elapsed();
    assert!(
        took >= SILENCE_LIMIT && took <= Duration::from_secs(60),
        "{took:?}"
    );
    both.relay.await.unwrap();
    pings.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays() {
    let mut both = start();
    for _ in 0..30 {
        assert_eq!(
            both.from_relay.recv().await,
            Some(Message::Ping(Default::default()))
        );
        both.to_relay
            .send(Message::Pong(Default::default()))
            .await
            .unwrap();
    }
    assert!(!both.relay.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_stays_while_it_speaks() {
    let both = start();
    for _ in 0..4 {
        let bytes = vec![7; 60_000];
        let lane = Lane::Stdout;
        both.host
            .writer
            .put(control::stream::Output::Data { lane, bytes })
            .unwrap();
    }
    // As pwctl does while a pager is not read.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        both.to_relay
            .send(Message::Pong(Default::default()))
            .await
            .unwrap();
    }
    assert!(!both.relay.is_finished());
    tokio::time::sleep(Duration::from_secs(60)).await;
    both.relay.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_held_up_gets_more_time() {
    let mut both = start();
    let started = Instant::now();
    // The program takes no input, so the relay cannot read what its client says.
    let more_than_fits = 8 * 256 * 1024 / 65536;
    let pings = tokio::spawn(async move { while both.from_relay.recv().await.is_some() {} });
    let typing = tokio::spawn(async move {
        for _ in 0..more_than_fits {
            let data = Input::Data(vec![7; 65536].into()).encode();
            if both.to_relay.send(Message::Binary(data)).await.is_err() {
                return;
            }
        }
    });
    both.relay.await.unwrap();
    assert!(started.elapsed() >= HELD_LIMIT, "{:?}", started.elapsed());
    typing.await.unwrap();
    pings.await.unwrap();
    drop(both.host);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_the_last_message() {
    let mut both = start();
    both.host
        .writer
        .put(control::stream::Output::Data {
            lane: Lane::Stderr,
            bytes: b"e".to_vec(),
        })
        .unwrap();
    both.host.writer.end(End::Program(ProgramEnd::Exited(3)));
    let mut said = Vec::new();
    while let Some(Message::Binary(bytes)) = both.from_relay.recv().await {
        said.push(Output::decode(bytes).unwrap().unwrap());
        if matches!(said.last(), Some(Output::Ended(_))) {
            break;
        }
    }
    assert_eq!(
        said,
        [Output::Stderr("e".into()), Output::Ended(frame::End::Exited(3))]
    );
    let close = close_of(&mut both.from_relay).await.unwrap();
    assert_eq!(close.code, close_code::NORMAL);
    // The client never answers, and still it ends.
    both.relay.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_answered_by_a_reason() {
    for (message, part) in [
        (Message::Text("hello".into()), "binary"),
        (Message::Binary("".into()), "channel"),
        (Message::Binary("\u{1}out".into()), "nothing is sent on channel 1"),
        (
            Message::Binary("\u{3}{\"type\":\"jump\"}".into()),
            "control message",
        ),
        (
            Message::Binary("\u{3}{\"type\":\"signal\",\"signal\":65}".into()),
            "signal",
        ),
    ] {
        let mut both = start();
        both.to_relay.send(message.clone()).await.unwrap();
        let close = close_of(&mut both.from_relay).await.unwrap();
        assert_eq!(close.code, close_code::POLICY, "{message:?}");
        assert!(close.reason.contains(part), "{message:?}: {}", close.reason);
        assert_eq!(both.host.reader.next().await, Some(control::stream::Input::Close));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_server_says_so() {
    let mut both = start();
    both.close.send_replace(true);
    let close = close_of(&mut both.from_relay).await.unwrap();
    assert_eq!(close.code, close_code::AWAY);
    both.relay.await.unwrap();
}

/// A client that reads nothing cannot hold its program either.
#[tokio::test(start_paused = true)]
async fn whoever_loses_the_right_is_told_and_the_program_at_once() {
    let mut both = start();
    let problem = Problem::new(ProblemCode::NotFound, "there is no VM web.ann");
    both.withdraw.take().unwrap().send(problem).unwrap();
    let heard = both.host.reader.next().await;
    assert_eq!(heard, Some(control::stream::Input::Close));
    let Some(Message::Binary(end)) = both.from_relay.recv().await else {
        panic!("no end came");
    };
    let Ok(Some(Output::Ended(frame::End::Failed { code, message }))) = Output::decode(end) else {
        panic!("another end came");
    };
    assert_eq!(code, "not_permitted");
    assert!(message.contains("there is no VM web.ann"), "{message}");
    let close = close_of(&mut both.from_relay).await.unwrap();
    assert_eq!(close.code, close_code::POLICY);
    drop(both.to_relay);
    both.relay.await.unwrap();
}
