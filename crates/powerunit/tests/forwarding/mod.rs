//! What a connection carries besides sessions, with the real `ssh` on loopback: no VM, and root only where it matters
//! who a socket belongs to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::master::Master;
use crate::server::Server;
use crate::support::{self, available, wait_for};
use crate::{memory, root};

const SOON: Duration = Duration::from_secs(20);

/// Gives every connection back what it sent, after its end of file, with how much it was.
fn echo_at_the_end(listener: TcpListener) -> u16 {
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    port
}

fn answer(mut stream: impl Read + Write) {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let length = all.len();
    let _ = stream.write_all(&all);
    let _ = write!(stream, " {length}");
}

fn echo_server() -> u16 {
    echo_at_the_end(TcpListener::bind("127.0.0.1:0").unwrap())
}

/// What comes back through a stream that is closed for writing first.
fn exchange(mut stream: TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    back
}

fn exchange_unix(mut stream: UnixStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    back
}

/// `ssh -W`: standard input and output are the stream.
fn through(server: &Server, login: &str, to: &str, input: &[u8]) -> Output {
    let mut child = server
        .client()
        .command_as(login, &["-W", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join().unwrap();
    output
}

fn said(output: &Output) -> String {
    format!(
        "{} {}",
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn refused(port: u16) -> bool {
    matches!(TcpStream::connect(("127.0.0.1", port)), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_stream_ends_one_way_at_a_time() {
    let Some(server) = Server::start() else { return };
    let port = echo_server();
    for host in ["127.0.0.1", "localhost"] {
        let output = through(&server, "fred", &format!("{host}:{port}"), b"half");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "half 4", "{host}");
        assert!(output.status.success());
    }
}

#[test]
fn many_megabytes_go_both_ways_at_once() {
    let Some(server) = Server::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut from, _) = listener.accept().unwrap();
        let mut into = from.try_clone().unwrap();
        std::io::copy(&mut from, &mut into).unwrap();
        into.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let sent: Vec<u8> = (0..12_000_000u32)
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let output = through(&server, "fred", &format!("127.0.0.1:{port}"), &sent);
    assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
}

#[test]
fn nobody_there_is_said_and_the_connection_lives() {
    let Some(server) = Server::start() else { return };
    let port = free_port();
    let output = through(&server, "fred", &format!("127.0.0.1:{port}"), b"");
    assert!(said(&output).contains("forwarding failed"), "{}", said(&output));
    let master = Master::start(
        server.client(),
        "fred",
        &["-L", &format!("{}:127.0.0.1:{port}", free_port())],
    );
    let alive = master.command(&[]).arg("echo alive").output().unwrap();
    assert_eq!(alive.stdout, b"alive\n");
}

#[test]
fn a_local_port_leads_inside_for_many_at_once() {
    let Some(server) = Server::start() else { return };
    let (port, local) = (echo_server(), free_port());
    let _master = Master::start(
        server.client(),
        "fred",
        &["-L", &format!("{local}:localhost:{port}")],
    );
    std::thread::scope(|scope| {
        let exchanges: Vec<_> = (0..100)
            .map(|number| {
                let text = format!("stream {number:03}");
                scope.spawn(move || {
                    let stream = TcpStream::connect(("127.0.0.1", local)).unwrap();
                    assert_eq!(exchange(stream, &text), format!("{text} 10"));
                })
            })
            .collect();
        for exchange in exchanges {
            exchange.join().unwrap();
        }
    });
}

#[test]
fn a_port_inside_leads_out_until_it_is_cancelled() {
    let Some(server) = Server::start() else { return };
    let port = echo_server();
    let master = Master::start(server.client(), "fred", &[]);
    let forward = format!("0:127.0.0.1:{port}");
    let allocated = master.control("forward", &["-R", &forward]);
    let inside: u16 = String::from_utf8_lossy(&allocated.stdout).trim().parse().unwrap();
    for address in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((address, inside)).unwrap();
        assert_eq!(exchange(stream, "out"), "out 3", "{address}");
    }
    let taken = master.control("forward", &["-R", &format!("{inside}:127.0.0.1:{port}")]);
    assert!(!taken.status.success(), "a port that is taken: {}", said(&taken));
    let cancelled = master.control("cancel", &["-R", &forward]);
    assert!(cancelled.status.success(), "{}", said(&cancelled));
    wait_for("the port to close", SOON, || refused(inside).then_some(()));
    let alive = master.command(&[]).arg("echo alive").output().unwrap();
    assert_eq!(alive.stdout, b"alive\n");
}

#[test]
fn everything_closes_with_the_connection() {
    let Some(server) = Server::start() else { return };
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, local, inside) = (target.local_addr().unwrap().port(), free_port(), free_port());
    let socket = server.folder.path().join("inside");
    let mut master = Master::start(
        server.client(),
        "fred",
        &[
            "-A",
            "-L",
            &format!("{local}:127.0.0.1:{port}"),
            "-R",
            &format!("{inside}:127.0.0.1:{port}"),
            "-R",
            &format!("{}:127.0.0.1:{port}", socket.display()),
        ],
    );
    let _outside = TcpStream::connect(("127.0.0.1", local)).unwrap();
    let (mut accepted, _) = target.accept().unwrap();
    let half_closed = TcpStream::connect(("127.0.0.1", local)).unwrap();
    let (mut half_accepted, _) = target.accept().unwrap();
    half_closed.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(half_accepted.read(&mut [0; 1]).unwrap(), 0);
    wait_for("both to be listened on", SOON, || {
        (!refused(inside) && socket.exists()).then_some(())
    });
    master.kill();
    assert_eq!(accepted.read(&mut [0; 1]).unwrap(), 0, "the stream inside ends");
    wait_for("the port to close", SOON, || refused(inside).then_some(()));
    wait_for("the socket to go", SOON, || (!socket.exists()).then_some(()));
}

#[test]
fn a_browser_gets_in_and_its_names_are_resolved_inside() {
    if !available(&["curl"], &[]) {
        return;
    }
    let Some(server) = Server::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, proxy) = (listener.local_addr().unwrap().port(), free_port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\ninside");
        }
    });
    let _master = Master::start(server.client(), "fred", &["-D", &proxy.to_string()]);
    let get = |host: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "--noproxy", "", "--socks5-hostname"])
            .arg(format!("127.0.0.1:{proxy}"))
            .arg(format!("http://{host}:{port}/"));
        curl.output().unwrap()
    };
    // A name that the outside does not resolve to an address of its own (RFC 6761 section 6.3).
    for host in ["127.0.0.1", "anything.localhost"] {
        let output = get(host);
        assert_eq!(output.stdout, b"inside", "{host}: {}", said(&output));
    }
}

#[test]
fn unix_sockets_lead_both_ways() {
    let Some(server) = Server::start() else { return };
    let path = |name: &str| server.folder.path().join(name);
    let listening = UnixListener::bind(path("target")).unwrap();
    std::thread::spawn(move || {
        for stream in listening.incoming() {
            answer(stream.unwrap());
        }
    });
    let pair = |from: &str, to: &str| format!("{}:{}", path(from).display(), path(to).display());
    let master = Master::start(server.client(), "fred", &["-L", &pair("outside", "target")]);
    assert_eq!(
        exchange_unix(UnixStream::connect(path("outside")).unwrap(), "in"),
        "in 2"
    );

    let forward = pair("inside", "target");
    assert!(master.control("forward", &["-R", &forward]).status.success());
    let made = std::fs::metadata(path("inside")).unwrap();
    assert!(made.file_type().is_socket());
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    assert_eq!(
        exchange_unix(UnixStream::connect(path("inside")).unwrap(), "out"),
        "out 3"
    );
    assert!(master.control("cancel", &["-R", &forward]).status.success());
    wait_for("the socket to go", SOON, || {
        (!path("inside").exists()).then_some(())
    });

    std::fs::write(path("file"), "precious").unwrap();
    let over = master.control("forward", &["-R", &pair("file", "target")]);
    assert!(!over.status.success(), "a file is not replaced: {}", said(&over));
    assert_eq!(std::fs::read(path("file")).unwrap(), b"precious");
}

/// A key agent outside, with one key.
struct KeyAgent {
    socket: PathBuf,
    child: Child,
}

impl KeyAgent {
    fn start(server: &Server) -> Self {
        let socket = server.folder.path().join("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the agent", SOON, || socket.exists().then_some(()));
        support::run(
            Command::new("ssh-add")
                .arg("-q")
                .arg(server.key.path())
                .env("SSH_AUTH_SOCK", &socket),
        );
        Self { socket, child }
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_clients_keys_can_be_used_inside_and_the_socket_goes() {
    if !available(&["ssh-agent", "ssh-add"], &[]) {
        return;
    }
    let Some(server) = Server::start() else { return };
    let agent = KeyAgent::start(&server);
    let mut listing = server.client().command(&["-A"]);
    let listing = listing
        .arg("ssh-add -L; echo $SSH_AUTH_SOCK; stat -c %a $(dirname $SSH_AUTH_SOCK)")
        .env("SSH_AUTH_SOCK", &agent.socket)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&listing.stdout).into_owned();
    let [key, socket, mode] = text.lines().collect::<Vec<_>>()[..] else {
        unreachable!("{}", said(&listing));
    };
    assert_eq!(key, server.key.public());
    assert_eq!(mode, "700");
    let folder = Path::new(socket).parent().unwrap();
    wait_for("socket and folder to go", SOON, || {
        (!folder.exists()).then_some(())
    });
    let without = server.client().run("echo \"<$SSH_AUTH_SOCK>\"");
    assert_eq!(without.stdout, b"<>\n");
}

#[test]
fn a_target_that_does_not_read_costs_little_memory() {
    let Some(server) = Server::start() else { return };
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, local) = (target.local_addr().unwrap().port(), free_port());
    let _master = Master::start(
        server.client(),
        "fred",
        &["-L", &format!("{local}:127.0.0.1:{port}")],
    );
    let mut flood = TcpStream::connect(("127.0.0.1", local)).unwrap();
    let (_never_read, _) = target.accept().unwrap();
    flood.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let piece = vec![7; 1 << 20];
    let mut sent = 0usize;
    while let Ok(count) = flood.write(&piece) {
        sent += count;
        assert!(sent < 200 << 20, "nothing holds it back");
    }
    let resident = memory::resident_kib(server.child.id());
    assert!(
        resident < 24 << 10,
        "{resident} KiB for {sent} bytes that nobody reads"
    );
}

/// Anybody may make files there.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A server that can become somebody else.
fn as_root() -> Option<Server> {
    root::is_root().then(Server::start).flatten()
}

#[test]
fn a_socket_is_opened_with_the_rights_and_the_name_of_the_user() {
    let Some(server) = as_root() else { return };
    let open = open_folder();
    let (roots, everybodys) = (open.path().join("roots"), open.path().join("everybodys"));
    let _roots = UnixListener::bind(&roots).unwrap();
    std::fs::set_permissions(&roots, std::fs::Permissions::from_mode(0o600)).unwrap();
    let listener = UnixListener::bind(&everybodys).unwrap();
    std::fs::set_permissions(&everybodys, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer =
                nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).unwrap();
            let _ = write!(stream, "{} {}", peer.uid(), peer.gid());
        }
    });
    let (outside, to_roots) = (server.folder.path().join("a"), server.folder.path().join("b"));
    let _master = Master::start(
        server.client(),
        "nobody",
        &[
            "-L",
            &format!("{}:{}", outside.display(), everybodys.display()),
            "-L",
            &format!("{}:{}", to_roots.display(), roots.display()),
        ],
    );
    let nobody = server.client().text_as("nobody", "echo $(id -u) $(id -g)");
    assert_ne!(nobody, "0 0");
    assert_eq!(exchange_unix(UnixStream::connect(outside).unwrap(), ""), nobody);
    assert_eq!(
        exchange_unix(UnixStream::connect(to_roots).unwrap(), ""),
        "",
        "root's socket"
    );
}

#[test]
fn a_user_listens_only_where_the_user_may() {
    let Some(server) = as_root() else { return };
    let open = open_folder();
    let master = Master::start(server.client(), "nobody", &[]);
    let listen = |path: &Path| {
        let forward = format!("{}:127.0.0.1:9", path.display());
        master.control("forward", &["-R", &forward]).status.success()
    };
    let closed = server.folder.path().join("socket");
    std::fs::set_permissions(server.folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(!listen(&closed), "a folder of root's");
    assert!(!closed.exists());
    let made = open.path().join("socket");
    assert!(listen(&made));
    let uid = server.client().text_as("nobody", "id -u");
    assert_eq!(std::fs::metadata(&made).unwrap().uid().to_string(), uid);
    let low = master.control("forward", &["-R", "843:127.0.0.1:9"]);
    assert!(!low.status.success(), "a low port: {}", said(&low));
}
