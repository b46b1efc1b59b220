//! All that the program prints: results on stdout, messages on stderr, neither through a progress bar.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::progress;

/// Stdout was closed by whoever read it; not worth a message.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub struct ClosedPipe;

/// Prints a line of results at once, so that a reader sees it when it is ready.
///
/// # Errors
/// [`ClosedPipe`], or when stdout cannot be written.
pub fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = progress::suspended(|| writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ClosedPipe.into(),
        _ => anyhow::Error::new(error).context("cannot write to stdout"),
    })
}

/// A text out of a file, fit for a terminal: control characters are escaped, so that a label cannot move the cursor.
pub fn visible(text: &str) -> String {
    let escaped = |character: char| {
        if character.is_control() { character.escape_default().to_string() } else { character.to_string() }
    };
    text.chars().map(escaped).collect()
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// Those of [`line`].
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Spaced))?;
    line(&String::from_utf8(text)?)
}

/// JSON in one line with a blank behind commas and colons, as Python writes it.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Prints an error.
pub fn error(text: &str) {
    message("error", text);
}

/// Prints something worth knowing.
#[cfg(feature = "train")]
pub fn note(text: &str) {
    message("note", text);
}

/// Prints a message on stderr; when that is closed, there is nobody left to tell.
fn message(kind: &str, text: &str) {
    progress::suspended(|| drop(writeln!(io::stderr(), "{kind}: {text}")));
}

/// Sends the library's and the program's own warnings to stderr.
pub fn install(level: LevelFilter) {
    // Nobody else sets a subscriber in this process.
    let _ = tracing::subscriber::set_global_default(Messages { level });
}

/// Prints events as `warning: …`; spans mean nothing to it.
struct Messages {
    level: LevelFilter,
}

impl Subscriber for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with("swiftformer") && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let kind = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        message(kind, &format!("{}{}", text.message, text.fields));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message of an event, and its other fields as ` name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
}
