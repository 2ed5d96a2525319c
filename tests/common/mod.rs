//! What black-box tests share: a server started from the built binary in a folder of its own, and
//! a small HTTP client over a plain socket, so that every byte of an answer can be looked at.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers; each test uses a part of them"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Nothing in a test may take longer.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// A running server.
pub struct Server {
    child: Child,
    /// What it printed until it was ready.
    pub lines: Vec<String>,
    pub http: SocketAddr,
    pub telnet: SocketAddr,
    /// Every listener it named: protocol and address.
    pub doors: Vec<(String, SocketAddr)>,
}

/// The program with a clean environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtail"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Starts a server on free ports.
pub fn start(data: &Path, flags: &[&str]) -> Server {
    start_as(program(), data, flags)
}

/// Starts a server whose writes to files can be made to fail (`Server::limit_files`); what it says
/// of its end goes to the file `errors`.
pub fn start_to_fail(data: &Path, errors: &Path, flags: &[&str]) -> Server {
    let mut command = Command::new("/bin/sh");
    // A write behind the limit is an error then, and not the end of the process.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ringtail")]);
    command.env_clear().stdin(Stdio::null()).stderr(std::fs::File::create(errors).unwrap());
    start_as(command, data, flags)
}

/// Starts a server from a command of its own.
pub fn start_as(mut command: Command, data: &Path, flags: &[&str]) -> Server {
    command.args(["serve", "--http-bind", "127.0.0.1:0", "--telnet-bind", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(data).args(flags);
    if !flags.contains(&"--cores") {
        command.args(["--cores", "3"]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if line == "ready" {
            let door = |line: &String| {
                let (name, address) = line.strip_prefix("listening  ")?.split_once(' ')?;
                Some((name.to_owned(), address.parse().ok()?))
            };
            let doors: Vec<(String, SocketAddr)> = lines.iter().filter_map(door).collect();
            let find = |name: &str| Some(doors.iter().find(|(known, _)| known == name)?.1);
            let http = find("http").unwrap();
            // Closed when users are asked for and telnet knows none.
            let telnet = find("telnet").unwrap_or(http);
            return Server { child, lines, http, telnet, doors };
        }
        lines.push(line);
    }
    panic!("the server did not start: {:?}, {lines:?}", child.wait());
}

impl Server {
    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let number = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &number]).status().unwrap().success());
    }

    /// From now on nothing is written behind the first `bytes` of any file.
    pub fn limit_files(&self, bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        let process = self.child.id() as libc::pid_t;
        // SAFETY: the structure lives through the call, and nothing is asked back.
        let done = unsafe {
            libc::prlimit(process, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut())
        };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it in order.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Ends it as a power cut would end the process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The address of a listener.
    pub fn door(&self, name: &str) -> SocketAddr {
        let found = self.doors.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.doors)).1
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection of its own.
    pub fn connect(&self) -> TcpStream {
        connect(self.http)
    }

    /// One request on a connection of its own.
    pub fn request(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        send(&mut stream, head, body);
        read_answer(&mut stream, head.starts_with("HEAD"))
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\n"), b"")
    }

    /// POST.
    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.request(&format!("POST {path} HTTP/1.1\r\n"), body)
    }

    /// The text that a query answers.
    pub fn query(&self, db: &str, text: &str) -> String {
        let body = format!("db={db}&q={}", escape(text));
        let head = "POST /query HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let answer = self.request(head, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// The sum of a counter over all cores, or of a shard counter over all shards.
    pub fn counter(&self, module: &str, name: &str) -> u64 {
        let text = self.get("/debug/vars").text();
        let prefix = format!("\"{module}\": ");
        let line = text.lines().find(|line| line.starts_with(&prefix)).unwrap();
        let field = format!("\"{name}\":");
        let at = line.find(&field).unwrap_or_else(|| panic!("no {name} in {line}")) + field.len();
        let digits = line[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
        line[at..at + digits].parse().unwrap()
    }

    /// Waits until a counter of the doors reaches a value.
    pub fn await_counter(&self, name: &str, wanted: u64) {
        let until = Instant::now() + DEADLINE;
        loop {
            let found = self.counter("ringtail", name);
            if found >= wanted {
                assert_eq!(found, wanted, "{name}");
                return;
            }
            assert!(Instant::now() < until, "{name} stays at {found}, not {wanted}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects, with deadlines on everything.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends a request; `head` has a request line and headers, each with its line end.
pub fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let length = match head.contains("Transfer-Encoding") || head.contains("Content-Length") {
        true => String::new(),
        false => format!("Content-Length: {}\r\n", body.len()),
    };
    stream.write_all(format!("{head}Host: test\r\n{length}\r\n").as_bytes()).unwrap();
    // A server that refuses a large body does not read it all.
    let _ = stream.write_all(body);
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of a name; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).unwrap();
        line.extend_from_slice(&byte);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// Reads one answer off a connection.
pub fn read_answer(stream: &mut TcpStream, head_only: bool) -> Answer {
    let status = read_line(stream).split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap();
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if head_only || matches!(status, 100 | 204) {
        return answer;
    }
    if answer.header("transfer-encoding") == "chunked" {
        loop {
            let size = usize::from_str_radix(&read_line(stream), 16).unwrap();
            let mut part = vec![0; size + 2];
            stream.read_exact(&mut part).unwrap();
            answer.body.extend_from_slice(&part[..size]);
            if size == 0 {
                return answer;
            }
        }
    }
    answer.body = vec![0; answer.header("content-length").parse().unwrap()];
    stream.read_exact(&mut answer.body).unwrap();
    answer
}

/// A text as part of a form.
pub fn escape(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    let one =
        |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// A folder that goes away with the test.
pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    (dir, path)
}
