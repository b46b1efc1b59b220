//! Load for a server, from a process of its own: threads with blocking sockets, which cost the machine little.
//!
//! ```text
//! load ADDRESS TARGET BODY-FILE CONTENT-TYPE THREADS SECONDS [RATE] [retry] [steady]
//! ```
//!
//! Without RATE every thread sends its next request when it has the answer to the last. With RATE, requests a second are
//! sent at random times, as independent clients would (a Poisson process), and latencies count from the time at which a
//! request was due, so that a server cannot slow its clients down to look better. With `steady` the requests come at even
//! distances instead. `retry` repeats what was refused or cut off. Prints one JSON object.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Load {
    address: SocketAddr,
    request: Vec<u8>,
    retry: bool,
    began: Instant,
    time: Duration,
}

/// What one thread, or all of them, saw.
#[derive(Default)]
struct Seen {
    /// Answers by status; 0 for connections that failed.
    statuses: BTreeMap<u16, usize>,
    /// Seconds of each 200, and of each refusal.
    accepted: Vec<f64>,
    refused: Vec<f64>,
    lost: usize,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, target, file, kind, threads, seconds, more @ ..] = &arguments[..] else {
        let usage = "load ADDRESS TARGET BODY-FILE CONTENT-TYPE THREADS SECONDS [RATE] [retry] [steady]";
        return Err(io::Error::other(usage));
    };
    let number = |text: &str| text.parse::<f64>().map_err(io::Error::other);
    let body = std::fs::read(file)?;
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let word = |wanted: &str| more.iter().any(|word| word == wanted);
    let load = Load {
        address: address.parse().map_err(io::Error::other)?,
        request: [head.as_bytes(), &body].concat(),
        retry: word("retry"),
        began: Instant::now(),
        time: Duration::from_secs_f64(number(seconds)?),
    };
    let rate = more.first().filter(|word| !["retry", "steady"].contains(&word.as_str()));
    let rate = rate.map(|word| number(word)).transpose()?;
    let steady = word("steady");
    let schedule = rate.map(|rate| Mutex::new(Schedule { rate, steady, next: 0.0, random: 0x9e37_79b9_7f4a_7c15 }));
    let threads = number(threads)? as usize;
    let seen: Vec<Seen> = thread::scope(|scope| {
        let client = || load.client(schedule.as_ref());
        let clients: Vec<_> = (0..threads).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap_or_default()).collect()
    });
    let elapsed = load.began.elapsed().as_secs_f64();
    let mut all = Seen::default();
    for Seen { statuses, accepted, refused, lost } in seen {
        statuses.into_iter().for_each(|(status, count)| *all.statuses.entry(status).or_default() += count);
        all.accepted.extend(accepted);
        all.refused.extend(refused);
        all.lost += lost;
    }
    println!(
        "{}",
        json!({
            "seconds": elapsed,
            "statuses": all.statuses,
            "per_second": all.accepted.len() as f64 / load.time.as_secs_f64(),
            "lost": all.lost,
            "ms": quantiles(&mut all.accepted),
            "refused_ms": quantiles(&mut all.refused),
        })
    );
    Ok(())
}

/// When requests are due, in seconds.
struct Schedule {
    rate: f64,
    steady: bool,
    next: f64,
    random: u64,
}

impl Schedule {
    fn due(&mut self) -> f64 {
        // xorshift64*; its upper bits are good enough for waiting times.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let uniform = (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64;
        let due = self.next;
        self.next += if self.steady { 1.0 } else { -(1.0 - uniform).ln() } / self.rate;
        due
    }
}

impl Load {
    fn client(&self, schedule: Option<&Mutex<Schedule>>) -> Seen {
        let mut seen = Seen::default();
        let mut stream = None;
        loop {
            let due = match schedule {
                None => self.began.elapsed(),
                Some(schedule) => match schedule.lock() {
                    Ok(mut schedule) => Duration::from_secs_f64(schedule.due()),
                    Err(_) => return seen,
                },
            };
            if due >= self.time {
                return seen;
            }
            thread::sleep(due.saturating_sub(self.began.elapsed()));
            loop {
                let status = self.ask(&mut stream).unwrap_or_else(|_| {
                    stream = None;
                    0
                });
                *seen.statuses.entry(status).or_default() += 1;
                let seconds = (self.began.elapsed() - due).as_secs_f64();
                match status {
                    200 => seen.accepted.push(seconds),
                    503 => seen.refused.push(seconds),
                    _ => {}
                }
                if status == 200 || !self.retry {
                    break;
                }
                if self.began.elapsed() > self.time + PATIENCE {
                    seen.lost += 1;
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Sends the request and reads the answer; gives its status.
    fn ask(&self, open: &mut Option<TcpStream>) -> io::Result<u16> {
        let stream = match open {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                open.insert(stream)
            }
        };
        stream.write_all(&self.request)?;
        let mut bytes = Vec::with_capacity(8192);
        let mut piece = [0; 8192];
        let mut whole = None;
        while whole.is_none_or(|whole| bytes.len() < whole) {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&piece[..read]);
            if whole.is_none()
                && let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                whole = Some(end + 4 + length.and_then(|length| length.parse().ok()).unwrap_or(0));
                if head.contains("\r\nconnection: close") {
                    *open = None;
                    return self.finish(&head);
                }
            }
        }
        self.finish(&String::from_utf8_lossy(&bytes[..16.min(bytes.len())]))
    }

    fn finish(&self, head: &str) -> io::Result<u16> {
        head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other("no HTTP"))
    }
}

fn quantiles(seconds: &mut [f64]) -> serde_json::Value {
    seconds.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let index = ((seconds.len() as f64 * part) as usize).min(seconds.len().saturating_sub(1));
        seconds.get(index).map(|seconds| (seconds * 1e6).round() / 1e3)
    };
    json!({ "min": at(0.0), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0) })
}
