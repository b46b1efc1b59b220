//! Starts the program in the repository's `testdata` and speaks HTTP to it, byte by byte where that matters.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; ended with the test.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

/// A path of the repository's `testdata`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// A file of the repository's `testdata`.
pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(testdata(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The program, without network.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swiftformer"));
    command.args(arguments).current_dir(testdata("")).env("HF_HUB_OFFLINE", "1").env("HF_HOME", "no-such-cache");
    command
}

impl Server {
    /// Starts it with the model `tiny` on a free port, and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with("tiny=hf_tiny", arguments)
    }

    /// The same with another model.
    pub fn start_with(model: &str, arguments: &[&str]) -> Self {
        let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut command = program(&[&["serve", "--model", model, "--threads", "2"], listen, arguments].concat());
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line =
                    serde_json::from_str(&line).unwrap_or_else(|_| panic!("a line of the log is no JSON: {line}"));
                lines.lock().unwrap().push(line);
            }
        });
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        let listening = server.logged("listening");
        server.address = listening["address"].as_str().unwrap().parse().unwrap();
        server.logged("ready");
        server
    }

    /// Waits for a line of the log.
    pub fn logged(&self, message: &str) -> Value {
        self.logged_where(|line| line["message"] == message)
    }

    /// Waits for a line of the log.
    pub fn logged_where(&self, is: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(line) = self.log().into_iter().find(|line| is(line)) {
                return line;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("no such line in the log: {:#?}", self.log());
    }

    /// The log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// A new connection.
    pub fn connect(&self) -> TcpStream {
        connect(self.address).unwrap()
    }

    /// Sends a request with a body on a connection of its own.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        send(self.address, method, target, headers, body).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    /// Posts bytes without saying what they are.
    pub fn post(&self, target: &str, body: &[u8]) -> Answer {
        self.send("POST", target, &[], body)
    }

    /// Sends bytes as they are, and reads until the server closes the connection or has answered.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        read_answer(&mut stream).unwrap()
    }

    /// A value of `/metrics`, 0 where it is not there.
    pub fn metric(&self, start: &str) -> f64 {
        let text = self.get("/metrics").text();
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        text.lines().filter(|line| line.starts_with(start)).map(value).sum()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not end: {:#?}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if !thread::panicking() {
            let broken: Vec<Value> = self.log().into_iter().filter(|line| line["panic"].is_string()).collect();
            assert!(broken.is_empty(), "something broke down: {broken:#?}");
        }
    }
}

impl Answer {
    /// A header, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the status.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts a refusal: the status, JSON with this code, and some words for people.
    pub fn refuses(self, status: u16, code: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let error = answer.json();
        assert_eq!(error["error"]["code"], code, "{error}");
        assert!(error["error"]["message"].as_str().is_some_and(|message| message.len() > 8), "{error}");
        answer
    }
}

/// A new connection.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request on a connection of its own.
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = connect(address)?;
    stream.write_all(&request(method, target, headers, body))?;
    read_answer(&mut stream)
}

/// The bytes of a request.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head += &format!("content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Reads one answer, whose length it tells.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut bytes = Vec::new();
    let mut piece = [0; 16384];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let answer =
                Answer { status: head.get(9..12).and_then(|text| text.parse().ok()).unwrap(), head, body: Vec::new() };
            let length: usize = answer.header("content-length").unwrap_or("0").parse().unwrap();
            let mut body = bytes[end + 4..].to_vec();
            while body.len() < length {
                let read = stream.read(&mut piece)?;
                if read == 0 {
                    return Err(cut_off());
                }
                body.extend(&piece[..read]);
            }
            return Ok(Answer { body, ..answer });
        }
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(cut_off());
        }
        bytes.extend(&piece[..read]);
    }
}

/// A safetensors file with one tensor of 32-bit floats.
pub fn tensor(name: &str, shape: &[usize], value: impl Fn(usize) -> f32) -> Vec<u8> {
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let tensor = swiftformer::tensor::RawTensor::from_f32(shape, &values).unwrap();
    swiftformer::weights::safetensors::to_bytes(&[(name.to_owned(), tensor)].into_iter().collect()).unwrap()
}

/// Runs `work` on several threads at once, and gives what each gave.
pub fn at_once<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn({
                    let work = &work;
                    move || work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
