//! Accepts connections: not too many, and none that never says who it is (see [`super::lobby`]).

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use russh::server::run_stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::auth::{Authority, Entrance, Keys};
use super::client::Client;
use super::environment::Ends;
use super::gate::{Gate, Gated};
use super::lobby::{Limits, Lobby, Place};
use crate::memory;

/// Accepts for as long as the process lives.
pub(super) async fn accept(listener: TcpListener, authority: Authority, limits: Limits) {
    let lobby = Arc::new(Lobby::new(limits));
    let ended = Arc::new(Notify::new());
    tokio::spawn(rest(Arc::clone(&ended)));
    loop {
        match admit(&listener, &lobby).await {
            Ok((stream, connection, place)) => {
                let (authority, lobby, ended) = (authority.clone(), Arc::clone(&lobby), Arc::clone(&ended));
                tokio::spawn(async move {
                    let number = place.number();
                    let mut serving = std::pin::pin!(serve(stream, authority, place, limits.keepalive));
                    // A connection that fails is its client's business.
                    tokio::select! {
                        _ = &mut serving => {}
                        () = sleep(limits.login_within) => {
                            lobby.cut(number);
                            let _ = serving.await;
                        }
                    }
                    drop(connection);
                    ended.notify_one();
                });
            }
            // Out of descriptors or memory: what is open will close.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Makes the process small again some time after its start and after connections have ended.
async fn rest(ended: Arc<Notify>) {
    loop {
        sleep(memory::REST).await;
        memory::give_back_program();
        ended.notified().await;
    }
}

async fn admit(
    listener: &TcpListener,
    lobby: &Arc<Lobby>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit, Place)> {
    let (stream, _) = listener.accept().await?;
    let (connection, place) = lobby.enter(&stream).await?;
    Ok((stream, connection, place))
}

async fn serve(
    stream: TcpStream,
    authority: Authority,
    place: Place,
    keepalive: Duration,
) -> Result<(), russh::Error> {
    let Some(settings) = authority.settings() else {
        return Ok(());
    };
    stream.set_nodelay(true)?;
    let ends = Ends {
        client: stream.peer_addr()?,
        server: stream.local_addr()?,
    };
    let gate = Arc::new(Gate::default());
    // The same socket once more, to end it from here.
    let socket = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    let (known, keys) = watch::channel(Keys::default());
    let stream = Gated::new(place.meter(stream), Arc::clone(&gate));
    let entrance = Entrance::new(authority.clone(), ends.client.ip().to_canonical(), place);
    let protocol = settings.protocol(entrance.delay(), keepalive);
    let client = Client::new(authority.clone(), ends, Arc::clone(&gate), entrance, known);
    let mut connection = run_stream(Arc::new(protocol), stream, client).await?;
    tokio::select! {
        ended = &mut connection => return ended,
        () = authority.until_barred(keys) => {}
    }
    // What waits to be read may stand still, and so may what waits to be written.
    gate.cut();
    let _ = socket.shutdown(Shutdown::Both);
    connection.await
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::SocketAddr;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::LineEnding;
    use russh::keys::ssh_key::private::Ed25519Keypair;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;
    use wire::guest::{Config, Disk, Disks, HostKey, ImageDefaults, Ssh};

    use super::super::settings::Settings;
    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    const AT_MOST: Duration = Duration::from_secs(10);
    const WIDE: Limits = Limits {
        connections: 9,
        unknown: 9,
        login_within: AT_MOST,
        patience: AT_MOST,
        bytes: 9000,
        keepalive: AT_MOST,
    };

    fn settings(authorized_keys: Vec<String>) -> Settings {
        let host_key = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
        let disk = Disk::Serial("none".into());
        let config = Config {
            revision: 1,
            hostname: "here".into(),
            network: None,
            ssh: Ssh {
                port: 1,
                host_key: HostKey::from_pem(host_key.to_openssh(LineEnding::LF).unwrap().to_string()),
                authorized_keys,
                user_cas: vec![],
                image_keys: false,
                barred: Vec::new(),
            },
            image: ImageDefaults::default(),
            disks: Disks {
                root: disk.clone(),
                root_devices: vec![],
                upper: disk,
                modules: None,
            },
            service: None,
            usage_every: None,
        };
        Settings::new(config).unwrap()
    }

    async fn start(limits: Limits) -> SocketAddr {
        start_for(limits, vec![]).await
    }

    async fn start_for(limits: Limits, authorized_keys: Vec<String>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, current) = watch::channel(Some(Arc::new(settings(authorized_keys))));
        tokio::spawn(accept(listener, Authority::new(current, None), limits));
        address
    }

    /// Whether the server greets within the limit.
    async fn is_greeted(stream: &mut TcpStream, limit: Duration) -> bool {
        let mut greeting = [0; 8];
        let reading = timeout(limit, stream.read_exact(&mut greeting)).await;
        matches!(reading, Ok(Ok(_))) && &greeting == b"SSH-2.0-"
    }

    /// Whether the server ends the connection within the limit.
    async fn is_ended(stream: &mut TcpStream, limit: Duration) -> bool {
        timeout(limit, stream.read_to_end(&mut Vec::new())).await.is_ok()
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(is_greeted(&mut stream, AT_MOST).await);
        stream
    }

    #[tokio::test]
    async fn who_never_says_who_it_is_is_cut() {
        let address = start(Limits {
            login_within: SOON,
            ..WIDE
        })
        .await;
        for said in ["", "SSH-2.0-half-way\r\n"] {
            let start = Instant::now();
            let mut stream = connect(address).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            assert!(is_ended(&mut stream, AT_MOST).await);
            assert!(start.elapsed() >= SOON, "{:?}", start.elapsed());
        }
    }

    #[tokio::test]
    async fn the_one_that_is_here_longest_makes_room() {
        let both = [
            Limits {
                unknown: 2,
                patience: SOON,
                ..WIDE
            },
            Limits {
                connections: 2,
                patience: SOON,
                ..WIDE
            },
        ];
        for limits in both {
            let address = start(limits).await;
            let start = Instant::now();
            let (mut first, mut second) = (connect(address).await, connect(address).await);
            let _third = connect(address).await;
            assert!(
                start.elapsed() >= SOON,
                "the first had its time: {:?}",
                start.elapsed()
            );
            assert!(is_ended(&mut first, AT_MOST).await);
            assert!(!is_ended(&mut second, SOON).await);
        }
    }

    #[tokio::test]
    async fn nobody_is_pushed_out_early() {
        let address = start(Limits { unknown: 2, ..WIDE }).await;
        let (mut first, _second) = (connect(address).await, connect(address).await);
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(!is_greeted(&mut third, SOON).await);
        drop(first.shutdown().await);
        assert!(is_greeted(&mut third, AT_MOST).await, "there is room now");
    }

    #[tokio::test]
    async fn who_sends_too_much_is_cut() {
        let address = start(WIDE).await;
        let mut stream = connect(address).await;
        // SSH_MSG_IGNORE with 4000 bytes, for which the library has no limit.
        let mut packet = vec![0, 0, 0x0f, 0xaa, 4, 2, 0, 0, 0x0f, 0xa0];
        packet.resize(4 + 0x0faa, 0);
        stream.write_all(b"SSH-2.0-much\r\n").await.unwrap();
        stream.write_all(&packet).await.unwrap();
        stream.write_all(&packet).await.unwrap();
        assert!(!is_ended(&mut stream, SOON).await, "8 KB are within the limit");
        let _ = stream.write_all(&packet).await;
        assert!(is_ended(&mut stream, AT_MOST).await);
    }

    /// A real client, which is killed in the end, stopped or not.
    struct RealClient(Child);

    impl RealClient {
        fn pid(&self) -> Pid {
            Pid::from_raw(i32::try_from(self.0.id()).unwrap())
        }
    }

    impl Drop for RealClient {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// One with a key, whose program prints its process number and waits; `None` where there is no `ssh`.
    fn client(folder: &Path, port: u16) -> Option<(RealClient, Pid)> {
        let arguments = format!(
            "-F none -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -p {port} fred@127.0.0.1",
            folder.join("key").display()
        );
        let started = Command::new("ssh")
            .args(arguments.split_whitespace())
            .arg("echo $$; exec sleep 1000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let ci = std::env::var("CI").as_deref() == Ok("true");
        let mut client = match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !ci => return None,
            started => RealClient(started.unwrap()),
        };
        let mut line = String::new();
        let mut output = BufReader::new(client.0.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        Some((client, Pid::from_raw(line.trim().parse().unwrap())))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_gives_no_sign_of_life_is_hung_up() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[2; 32]));
        let file = key.write_openssh_file(folder.path().join("key"), LineEnding::LF);
        file.unwrap();
        let limits = Limits {
            keepalive: SOON,
            ..WIDE
        };
        let address = start_for(limits, vec![key.public_key().to_openssh().unwrap()]).await;
        let (Some((gone, program)), Some((_quiet, other))) = (
            client(folder.path(), address.port()),
            client(folder.path(), address.port()),
        ) else {
            eprintln!("skipped: there is no ssh");
            return;
        };
        kill(gone.pid(), Signal::SIGSTOP).unwrap();
        let start = Instant::now();
        while kill(program, None).is_ok() {
            assert!(start.elapsed() < AT_MOST, "it still runs");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(start.elapsed() > 3 * SOON, "{:?}", start.elapsed());
        assert!(
            kill(other, None).is_ok(),
            "one that only has nothing to say stays"
        );
    }
}
