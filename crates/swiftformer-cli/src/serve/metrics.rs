//! What `/metrics` tells, in the text format of OpenMetrics, which Prometheus reads.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use axum::http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::engine::Timings;

/// Upper bounds in seconds: a few for each doubling between a fast stage and the longest timeout.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of the images in a batch.
const IMAGES: [f64; 10] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0];

/// Methods that are counted by name.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

type Seconds = Family<Stage, Histogram, fn() -> Histogram>;

/// Counts and times of everything.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Request, Counter>,
    latency: Family<Endpoint, Histogram, fn() -> Histogram>,
    stages: Seconds,
    batches: Histogram,
    images: Counter,
    rejections: Family<Reason, Counter>,
    cancelled: Counter,
    reloads: Family<Reload, Counter>,
    /// Images waiting or running.
    pub queue_depth: Gauge,
    /// Requests being answered.
    pub in_flight: Gauge,
    /// Open connections.
    pub connections: Gauge,
    resident: Gauge<i64, AtomicI64>,
    processor: Counter<f64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    endpoint: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    model: String,
    result: &'static str,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("swiftformer")),
            requests: Family::default(),
            latency: Family::new_with_constructor(seconds),
            stages: Family::new_with_constructor(seconds),
            batches: Histogram::new(IMAGES),
            images: Counter::default(),
            rejections: Family::default(),
            cancelled: Counter::default(),
            reloads: Family::default(),
            queue_depth: Gauge::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            resident: Gauge::default(),
            processor: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "From a request's headers to its answer's";
        registry.register_with_unit("request", help, Unit::Seconds, self.latency.clone());
        let help = "Parts of requests: queue, decode (or parse), resize, inference (of a batch)";
        registry.register_with_unit("stage", help, Unit::Seconds, self.stages.clone());
        registry.register("batch_images", "Images that ran together", self.batches.clone());
        registry.register("images", "Images that ran", self.images.clone());
        registry.register("rejections", "Requests refused because of load, keys or limits", self.rejections.clone());
        registry.register("cancelled", "Images and requests dropped before they ran", self.cancelled.clone());
        registry.register("reloads", "Models loaded again, or not", self.reloads.clone());
        registry.register("queue_depth", "Images waiting or running", self.queue_depth.clone());
        registry.register("in_flight", "Requests being answered", self.in_flight.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        let help = "Memory of the process that is in use";
        registry.register_with_unit("process_resident_memory", help, Unit::Bytes, self.resident.clone());
        let help = "Processor time of the process";
        registry.register_with_unit("process_cpu", help, Unit::Seconds, self.processor.clone());
    }

    /// A request was answered.
    pub fn answered(&self, endpoint: &str, method: &str, status: StatusCode, time: Duration) {
        // Clients may invent methods, each of which would be counted by itself for ever.
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let endpoint = endpoint.to_owned();
        let request = Request { endpoint: endpoint.clone(), method, status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
        self.latency.get_or_create(&Endpoint { endpoint }).observe(time.as_secs_f64());
    }

    /// A request was refused for a reason that is not its own.
    pub fn rejected(&self, reason: &'static str) {
        self.rejections.get_or_create(&Reason { reason }).inc();
    }

    /// What an answered request's parts took; batches are counted by [`Metrics::inference`].
    pub fn stages(&self, timings: &Timings) {
        for (stage, time) in timings.stages().filter(|&(stage, _)| stage != "inference") {
            if let Some(time) = time {
                self.stages.get_or_create(&Stage { stage }).observe(time.as_secs_f64());
            }
        }
    }

    /// A batch begins.
    pub fn batch(&self, images: usize) {
        self.batches.observe(images as f64);
        self.images.inc_by(images as u64);
    }

    /// A batch has run.
    pub fn inference(&self, time: Duration) {
        self.stages.get_or_create(&Stage { stage: "inference" }).observe(time.as_secs_f64());
    }

    /// Something was dropped before it ran.
    pub fn cancelled(&self) {
        self.cancelled.inc();
    }

    /// A model was exchanged, or was not.
    pub fn reloaded(&self, model: &str, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.reloads.get_or_create(&Reload { model: model.to_owned(), result }).inc();
    }

    /// The text.
    pub fn text(&self) -> String {
        if let Some((resident, processor)) = process() {
            self.resident.set(resident);
            self.processor.inner().store(processor.to_bits(), std::sync::atomic::Ordering::Relaxed);
        }
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// Bytes in memory and seconds of processor time, where the system tells in Linux's way.
fn process() -> Option<(i64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: state is field 3, user and system time are 14 and 15, in 1/100 s.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some((kilobytes * 1024, ticks / 100.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;

    use super::Metrics;

    #[test]
    fn counts_and_times_stand_in_the_text() {
        let metrics = Metrics::new();
        metrics.answered("/v1/classify", "POST", StatusCode::OK, Duration::from_millis(4));
        for invented in ["BREW", "WHEN"] {
            metrics.answered("other", invented, StatusCode::NOT_FOUND, Duration::from_millis(1));
        }
        metrics.batch(3);
        metrics.rejected("queue_full");
        let text = metrics.text();
        for line in [
            "swiftformer_requests_total{endpoint=\"/v1/classify\",method=\"POST\",status=\"200\"} 1",
            "swiftformer_request_seconds_bucket{le=\"0.005\",endpoint=\"/v1/classify\"} 1",
            "swiftformer_requests_total{endpoint=\"other\",method=\"other\",status=\"404\"} 2",
            "swiftformer_batch_images_sum 3.0",
            "swiftformer_rejections_total{reason=\"queue_full\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
