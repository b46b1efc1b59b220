//! A small Hub on the loopback interface: the same paths, headers, redirects and refusals as the real one, and faults
//! on demand. Large (LFS) files are served by a second listener, as the real Hub leaves them to another host.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The commit that `main` means.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One file of the repository.
#[derive(Clone)]
pub struct FileSpec {
    pub bytes: Vec<u8>,
    /// Without quotes.
    pub etag: String,
    /// Whether it is redirected to the other host.
    pub lfs: bool,
}

/// What goes wrong while bodies are sent.
#[derive(Clone, Default)]
pub enum Fault {
    #[default]
    None,
    /// The next bodies end after so many bytes each; later ones are whole.
    CutAfter(Vec<usize>),
    /// Every body ends after 0 bytes.
    CutAlways,
    /// Bodies arrive with every byte inverted.
    Corrupt,
    /// Requests for a range get the whole file.
    IgnoreRange,
    /// The connection stays open and silent.
    Hang,
    /// The body goes silent after so many bytes.
    StallAfter(usize),
    /// The next answers to HEAD have this status.
    Status(u16, usize),
    /// A chunked body with so many bytes too many.
    Overrun(usize),
    /// Content-Length is larger than the announced size.
    OtherLength(usize),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
    /// Whether it came to the second listener.
    pub cdn: bool,
}

#[derive(Default)]
struct State {
    files: HashMap<String, FileSpec>,
    fault: Fault,
    seen: Vec<Seen>,
    /// The token that opens the repository, when it is gated.
    gate: Option<String>,
}

/// A repository `org/model` at [`COMMIT`], served until the test ends.
pub struct Server {
    /// Base URL, for `HubOptions::with_endpoint`.
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let cdn = listen(None, &state);
        let hub = listen(Some(cdn), &state);
        Self { url: hub, state }
    }

    /// Adds a file that the Hub serves itself.
    pub fn add(&self, name: &str, bytes: &[u8]) {
        let etag = sha256(bytes)[..40].to_owned();
        self.insert(name, FileSpec { bytes: bytes.to_vec(), etag, lfs: false });
    }

    /// Adds a file that the other host serves.
    pub fn add_lfs(&self, name: &str, bytes: &[u8]) {
        self.insert(name, FileSpec { bytes: bytes.to_vec(), etag: sha256(bytes), lfs: true });
    }

    pub fn insert(&self, name: &str, file: FileSpec) {
        self.state.lock().unwrap().files.insert(name.to_owned(), file);
    }

    pub fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// Makes the repository gated for all but `token`.
    pub fn gate(&self, token: &str) {
        self.state.lock().unwrap().gate = Some(token.to_owned());
    }

    /// The requests so far, and forgets them.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

/// Answers every request with `answer(path)`, whole HTTP responses; for servers that are no Hub.
pub fn raw_server(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
            // A client that goes away is no concern.
            let _ = stream.write_all(answer(path).as_bytes());
        }
    });
    url
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Serves on a fresh port; a hub when it is told where its `cdn` is, else that cdn.
fn listen(cdn: Option<String>, state: &Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = state.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (cdn, state) = (cdn.clone(), state.clone());
            // A client that goes away in the middle is part of the tests.
            thread::spawn(move || drop(serve(stream, cdn.as_deref(), &state)));
        }
    });
    url
}

fn serve(mut stream: TcpStream, cdn: Option<&str>, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let seen = Seen {
        method: method.to_owned(),
        path: path.to_owned(),
        range: headers.get("range").cloned(),
        authorization: headers.get("authorization").cloned(),
        cdn: cdn.is_none(),
    };
    let (fault, refused) = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        let allowed = state.gate.as_ref().is_none_or(|token| seen.authorization == Some(format!("Bearer {token}")));
        (state.fault.clone(), !allowed && cdn.is_some())
    };
    if matches!(fault, Fault::Hang) {
        thread::sleep(Duration::from_secs(20));
        return Ok(());
    }
    if let Fault::Status(status, times) = fault
        && times > 0
        && method == "HEAD"
    {
        state.lock().unwrap().fault = Fault::Status(status, times - 1);
        return answer(&mut stream, status, "");
    }
    if refused {
        return answer(
            &mut stream,
            if seen.authorization.is_some() { 403 } else { 401 },
            "X-Error-Code: GatedRepo\r\n",
        );
    }
    let Some(cdn) = cdn else {
        let etag = path.trim_start_matches("/cdn/").split('?').next().unwrap_or_default();
        let file = state.lock().unwrap().files.values().find(|file| file.etag == etag).cloned();
        return match file {
            Some(file) => send_file(&mut stream, &seen, &file, "ETag: \"of-the-cdn\"\r\n", state),
            None => answer(&mut stream, 404, ""),
        };
    };
    if let Some(rest) = path.strip_prefix(&format!("/api/resolve-cache/models/org/model/{COMMIT}/")) {
        let file = state.lock().unwrap().files.get(rest).cloned();
        let Some(file) = file else { return answer(&mut stream, 404, "") };
        let extra = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", file.etag);
        return send_file(&mut stream, &seen, &file, &extra, state);
    }
    let Some(rest) = path.strip_prefix("/org/model/resolve/") else {
        return answer(&mut stream, 404, "X-Error-Code: RepoNotFound\r\n");
    };
    let (revision, name) = rest.split_once('/').unwrap_or((rest, ""));
    if ![COMMIT, "main", "v1", "refs%2Fpr%2F1"].contains(&revision) {
        return answer(&mut stream, 404, "X-Error-Code: RevisionNotFound\r\n");
    }
    let file = state.lock().unwrap().files.get(name).cloned();
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
    match file {
        None => answer(&mut stream, 404, &format!("X-Error-Code: EntryNotFound\r\n{commit}")),
        Some(file) if file.lfs => {
            let (etag, size) = (&file.etag, file.bytes.len());
            let linked = format!("X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\nETag: \"of-the-hub\"\r\n");
            answer(&mut stream, 302, &format!("{commit}{linked}Location: {cdn}/cdn/{etag}?signature=1\r\n"))
        }
        Some(_) => {
            let location = format!("Location: /api/resolve-cache/models/org/model/{COMMIT}/{name}\r\n");
            answer(&mut stream, 307, &format!("{commit}{location}"))
        }
    }
}

/// An answer with headers and no body.
fn answer(stream: &mut TcpStream, status: u16, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

fn send_file(
    stream: &mut TcpStream,
    seen: &Seen,
    file: &FileSpec,
    headers: &str,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let fault = state.lock().unwrap().fault.clone();
    let size = file.bytes.len();
    let range = seen.range.as_ref().filter(|_| !matches!(fault, Fault::IgnoreRange));
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    if start >= size && size > 0 {
        return answer(stream, 416, &format!("Content-Range: bytes */{size}\r\n"));
    }
    let mut body = file.bytes[start..].to_vec();
    let mut length = format!("Content-Length: {}\r\n", body.len());
    let is_get = seen.method == "GET";
    match fault {
        Fault::OtherLength(extra) if is_get => length = format!("Content-Length: {}\r\n", body.len() + extra),
        Fault::Overrun(extra) if is_get => {
            body.resize(body.len() + extra, 7);
            length = "Transfer-Encoding: chunked\r\n".to_owned();
            body = [format!("{:x}\r\n", body.len()).into_bytes(), body, b"\r\n0\r\n\r\n".to_vec()].concat();
        }
        Fault::Corrupt => body.iter_mut().for_each(|byte| *byte = !*byte),
        _ => {}
    }
    if range.is_some() {
        let content_range = format!("Content-Range: bytes {start}-{}/{size}\r\n", size - 1);
        write!(stream, "HTTP/1.1 206 X\r\n{headers}{content_range}{length}Connection: close\r\n\r\n")?;
    } else {
        write!(stream, "HTTP/1.1 200 X\r\n{headers}{length}Connection: close\r\n\r\n")?;
    }
    if !is_get {
        return Ok(());
    }
    match fault {
        Fault::CutAlways => Ok(()),
        Fault::CutAfter(cuts) if !cuts.is_empty() => {
            state.lock().unwrap().fault = Fault::CutAfter(cuts[1..].to_vec());
            stream.write_all(&body[..cuts[0].min(body.len())])
        }
        Fault::StallAfter(count) => {
            stream.write_all(&body[..count.min(body.len())])?;
            thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        _ => stream.write_all(&body),
    }
}
