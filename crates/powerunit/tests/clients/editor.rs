//! What an editor's remote mode does: `ssh -T -D PORT … bash` is fed a script, which starts a server for the editor in the
//! background or finds the one of last time, says its port, and stays; the editor then talks to that port through the
//! dynamic forwarding. When the connection is lost, the next one finds everything as it was.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{Judged, said_by};

/// One connection of the editor.
struct Remote {
    ssh: Child,
    proxy: u16,
    pid: String,
    port: String,
}

impl Remote {
    fn connect(judged: &Judged) -> Self {
        let proxy = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut ssh = Command::new("ssh")
            .arg("-F")
            .arg(&judged.config)
            .args(["-T", "-D", &proxy.to_string(), "vm", "bash"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let script = format!(
            "cd {} || exit 1\n\
             kill -0 $(cat pid 2>/dev/null) 2>/dev/null || {{\n\
               python3 -u -m http.server --bind 127.0.0.1 0 >log 2>&1 </dev/null &\n\
               echo $! >pid\n\
             }}\n\
             until grep -sq 'port [0-9]' log; do sleep 0.05; done\n\
             echo \"listening $(cat pid) $(sed -n 's/.*port \\([0-9]*\\).*/\\1/p' log)\"\n",
            judged.folder().display()
        );
        ssh.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(ssh.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            (words.len(), words.first().copied()),
            (3, Some("listening")),
            "{line}"
        );
        Self {
            ssh,
            proxy,
            pid: words[1].to_owned(),
            port: words[2].to_owned(),
        }
    }

    fn get(&self, name: &str) -> String {
        said_by(
            Command::new("curl")
                .args([
                    "-sS",
                    "--fail",
                    "--max-time",
                    "30",
                    "--noproxy",
                    "",
                    "--socks5-hostname",
                ])
                .arg(format!("127.0.0.1:{}", self.proxy))
                .arg(format!("http://localhost:{}/{name}", self.port)),
        )
    }

    /// As when a laptop is closed.
    fn lose(&mut self) {
        self.ssh.kill().unwrap();
        self.ssh.wait().unwrap();
    }
}

/// The editor's server, which nothing else would end.
struct Background(i32);

impl Drop for Background {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}

#[test]
fn an_editor_finds_its_other_half_again_after_the_connection_was_lost() {
    let Some(judged) = Judged::start(&["curl", "python3", "bash"], &[]) else {
        return;
    };
    let large = "0123456789abcdef".repeat(500_000);
    std::fs::write(judged.folder().join("large"), &large).unwrap();
    let mut first = Remote::connect(&judged);
    let _background = Background(first.pid.parse().unwrap());
    assert!(first.get("large") == large);
    first.lose();
    let mut second = Remote::connect(&judged);
    assert_eq!((&second.pid, &second.port), (&first.pid, &first.port));
    assert!(second.get("large") == large);
    second.lose();
}
