//! The server's log: one JSON object a line on stderr, written by a thread of its own, so that a slow reader delays no request.

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Lines that may wait to be written; more are dropped and counted.
const WAITING: usize = 8192;
/// How long the end of the program waits for the last lines.
const FLUSH: Duration = Duration::from_secs(2);

/// What goes to the writing thread.
enum Message {
    Line(Vec<u8>),
    /// Everything before it is written when this is answered.
    Flush(SyncSender<()>),
}

static LOG: Mutex<Option<SyncSender<Message>>> = Mutex::new(None);

/// Sends the program's and the library's messages to the log.
pub fn install(level: LevelFilter) {
    let (sender, receiver) = sync_channel(WAITING);
    let writer = thread::Builder::new().name("log".to_owned()).spawn(move || write(&receiver));
    if writer.is_ok() {
        *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        // Nobody else sets a subscriber in this process.
        drop(tracing::subscriber::set_global_default(Lines { level, sender, dropped: AtomicU64::new(0) }));
    }
}

/// Waits until what was logged is written.
pub fn flush() {
    let (done, wait) = sync_channel(1);
    let sender = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if sender.is_some_and(|sender| sender.try_send(Message::Flush(done)).is_ok()) {
        let _ = wait.recv_timeout(FLUSH);
    }
}

fn write(receiver: &Receiver<Message>) {
    let mut text = Vec::new();
    while let Ok(first) = receiver.recv() {
        let mut flushed = None;
        let mut take = |message| match message {
            Message::Line(line) => text.extend(line),
            Message::Flush(done) => flushed = Some(done),
        };
        take(first);
        receiver.try_iter().take(256).for_each(take);
        // When stderr is closed there is nobody left to tell.
        drop(io::stderr().lock().write_all(&text));
        text.clear();
        if let Some(done) = flushed {
            let _ = done.try_send(());
        }
    }
}

/// Events as JSON lines; spans mean nothing to it.
struct Lines {
    level: LevelFilter,
    sender: SyncSender<Message>,
    dropped: AtomicU64,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with("swiftformer") && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Map::new());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        fields.0.insert("time".to_owned(), rfc3339(now).into());
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        fields.0.insert("level".to_owned(), level.into());
        // First, wherever it was written.
        fields.0.insert("message".to_owned(), Value::Null);
        event.record(&mut fields);
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            fields.0.insert("lines_lost_before".to_owned(), lost.into());
        }
        let mut line = Value::Object(fields.0).to_string().into_bytes();
        line.push(b'\n');
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // Seconds, to a microsecond.
        self.put(field, (value * 1e6).round() / 1e6);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// `2026-11-21T12:34:56.789Z` of a time since 1970.
fn rfc3339(since_1970: Duration) -> String {
    let (days, seconds) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    // Years begin in March here, so that leap days come last: the civil calendar of Howard Hinnant's "chrono-compatible
    // low-level date algorithms".
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, era * 400 + year) } else { (month - 9, era * 400 + year + 1) };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since_1970.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::rfc3339;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_793_264_461, "2026-10-29T09:01:01.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), expected);
        }
        assert!(rfc3339(Duration::from_millis(1234)).ends_with(":01.234Z"));
    }
}
