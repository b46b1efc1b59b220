//! The outermost layer: request ids, the access log, counts, the form of refusals.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{
    body::lingering,
    error::{ApiError, Refusal, shortened},
};
use crate::serve::{engine::Timings, server::Shared};

/// The longest id that is taken over from a client.
const MAX_ID: usize = 64;
/// The most of a path and of a method that stand in the log, in characters.
const MAX_PATH: usize = 200;
const MAX_METHOD: usize = 20;
/// What is asked every few seconds, for all of which a line would only be in the way.
const PROBES: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"];
/// What proxies write for a client that went away.
const CLIENT_GONE: u16 = 499;

/// Names requests; no two of this process are alike, and hardly any two of several processes.
pub struct Ids {
    process: u64,
    next: AtomicU64,
}

/// The id of a request, for handlers.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// What the log tells of a request that went through the engine.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The model's name.
    pub model: String,
    /// What took how long.
    pub timings: Timings,
    /// Images in its batch.
    pub batch: usize,
}

impl Ids {
    /// Of this process.
    pub fn new() -> Self {
        // The standard library's source of randomness for hash maps.
        Self { process: RandomState::new().hash_one(std::process::id()), next: AtomicU64::new(0) }
    }

    /// The client's own id where it is harmless, or a new one.
    fn id(&self, headers: &HeaderMap) -> String {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        match given {
            Some(id) if (1..=MAX_ID).contains(&id.len()) && id.as_bytes().iter().all(allowed) => id.to_owned(),
            _ => format!("{:08x}-{:06x}", self.process >> 32, self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Notes a request whose client goes away before it is answered.
struct Pending<'a> {
    server: &'a Shared,
    id: &'a str,
    method: &'a str,
    path: &'a str,
    endpoint: &'a str,
    started: Instant,
    answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.server.metrics.in_flight.dec();
        if self.answered {
            return;
        }
        let Self { id, method, path, started, .. } = self;
        let status = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        self.server.metrics.answered(self.endpoint, method, status, started.elapsed());
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(request_id = id, %method, path, status = CLIENT_GONE, seconds, "client gone");
    }
}

/// Wraps every request.
pub async fn observe(State(server): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = server.ids.id(request.headers());
    let method = shortened(request.method().as_str().to_owned(), MAX_METHOD);
    let path = shortened(request.uri().path().to_owned(), MAX_PATH);
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = matched.as_ref().map_or("other", MatchedPath::as_str);
    server.metrics.in_flight.inc();
    let started = Instant::now();
    let mut pending =
        Pending { server: &server, id: &id, method: &method, path: &path, endpoint, started, answered: false };
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(lingering(request)).await;
    pending.answered = true;
    finish(&mut response, &path, &id, server.is_draining());
    let (status, time) = (response.status(), started.elapsed());
    server.metrics.answered(endpoint, &method, status, time);
    log(&server, &response, &pending, time.as_secs_f64());
    response
}

/// Adds what all answers have, and the body of a refusal.
fn finish(response: &mut Response, path: &str, id: &str, draining: bool) {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if status.is_client_error() && !is_json && response.extensions().get::<Refusal>().is_none() {
        // The router's own, such as a path that is no text.
        let message = status.canonical_reason().unwrap_or("the request cannot be read");
        response.extensions_mut().insert(Refusal(ApiError::new(status, "bad_request", message)));
    }
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        let body = refusal.body(path == "/v2" || path.starts_with("/v2/"), id);
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.remove(header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if draining {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// One line a request. Nothing of its body stands there, nor its query or keys.
fn log(server: &Shared, response: &Response, pending: &Pending<'_>, seconds: f64) {
    let Pending { id, method, path, .. } = pending;
    let status = response.status().as_u16();
    if let Some(Refusal(error)) = response.extensions().get::<Refusal>() {
        if matches!(status, 401 | 403 | 408 | 413 | 503 | 504) {
            server.metrics.rejected(error.code);
        }
        match response.status().is_server_error() && status != 503 {
            true => {
                tracing::error!(request_id = id, %method, path, status, seconds, code = error.code, error = error.message, "request")
            }
            false => {
                tracing::info!(request_id = id, %method, path, status, seconds, code = error.code, error = error.message, "request")
            }
        }
    } else if let Some(Ran { model, timings, batch }) = response.extensions().get::<Ran>() {
        server.metrics.stages(timings);
        let [queue, decode, inference] =
            [timings.queue, timings.decode, timings.inference].map(|time| time.as_secs_f64());
        tracing::info!(request_id = id, %method, path, status, seconds, model, batch, queue, decode, inference, "request");
    } else if PROBES.contains(path) {
        tracing::debug!(request_id = id, %method, path, status, seconds, "request");
    } else {
        tracing::info!(request_id = id, %method, path, status, seconds, "request");
    }
}
