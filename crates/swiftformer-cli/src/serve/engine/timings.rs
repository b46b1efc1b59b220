//! How long the parts of a request took.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Times of one request, of one image where it has several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Waiting: to be prepared, and then for a batch.
    pub queue: Duration,
    /// Decoding the file, or parsing tensors; with the resize, where that takes the rows as they are decoded.
    pub decode: Duration,
    /// Resizing, where it is timed by itself.
    pub resize: Option<Duration>,
    /// The batch in the engine.
    pub inference: Duration,
}

impl Timings {
    /// `stage, milliseconds` of each part.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, Option<Duration>)> {
        [
            ("queue", Some(self.queue)),
            ("decode", Some(self.decode)),
            ("resize", self.resize),
            ("inference", Some(self.inference)),
        ]
        .into_iter()
    }

    /// Milliseconds by stage, and `total`, which began earlier and ends now.
    pub fn to_json(self, total: Duration) -> Value {
        let milliseconds = |time: Option<Duration>| json!(time.map(milliseconds));
        let stages = self.stages().chain([("total", Some(total))]);
        Value::Object(stages.map(|(stage, time)| (stage.to_owned(), milliseconds(time))).collect::<Map<_, _>>())
    }

    /// The header `Server-Timing`.
    pub fn to_header(self) -> String {
        let known = self.stages().filter_map(|(stage, time)| Some(format!("{stage};dur={:.3}", milliseconds(time?))));
        known.collect::<Vec<_>>().join(", ")
    }
}

/// To a thousandth, which is as far as the figures mean anything.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
