//! Bodies of requests: read within their limits, and read away where an answer came before their end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::error::ApiError;

/// Allocated at once for a body that says how long it is; what a client claims takes no more than this.
const CLAIM: usize = 1 << 20;
/// How much memory a body asks for at first. Later it asks for twice what has arrived: what a client merely claims to send takes
/// no room from others.
const STEP: usize = 64 << 10;
/// Unit of [`Room`].
const UNIT: usize = 1 << 10;
/// What is read and thrown away behind an answer, so that a client that still sends sees it: in bytes, and times in all and
/// between two pieces.
const LINGER: (usize, Duration, Duration) = (64 << 20, Duration::from_secs(5), Duration::from_secs(1));

/// Memory for the bodies of all requests.
#[derive(Clone)]
pub struct Room {
    units: Arc<Semaphore>,
    max_body: usize,
    timeout: Duration,
}

/// A body, and the memory that it holds.
pub struct Received {
    /// All of it.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// For bodies of up to `max_body` bytes, `total` in all, each of which may take `timeout`.
    pub fn new(max_body: usize, total: usize, timeout: Duration) -> Self {
        let units = Arc::new(Semaphore::new(total.max(4 * max_body) / UNIT));
        Self { units, max_body, timeout }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When it is encoded (415), too large (413), slow (408) or cut off (400), or there is no memory for it (503).
    pub async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<Received, ApiError> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(ApiError::media_type("bodies are read as they are, without Content-Encoding"));
        }
        let too_large = || ApiError::too_large(format!("a body may have {} bytes", self.max_body));
        let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if length > self.max_body {
            return Err(too_large());
        }
        let mut held = None;
        let mut room = 0;
        let mut bytes = Vec::with_capacity(length.min(CLAIM));
        let deadline = Instant::now() + self.timeout;
        loop {
            if room <= bytes.len() && (length == 0 || room < length) {
                room = self.hold(&mut held, room, next(bytes.len(), length))?;
            }
            let frame = timeout_at(deadline, body.frame()).await;
            let Some(frame) = frame.map_err(|_| slow(bytes.len()))? else { break };
            let frame =
                frame.map_err(|_| ApiError::bad_request("body_incomplete", "the body was cut off or is malformed"))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.max_body {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes: bytes.into(), _room: held })
    }

    /// Grows what is held from `now` to at least `wanted` bytes.
    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, now: usize, wanted: usize) -> Result<usize, ApiError> {
        let units = wanted.saturating_sub(now).div_ceil(UNIT);
        let full = || ApiError::overloaded("bodies_full", "too much is being received at a time; try again later");
        let count = u32::try_from(units).map_err(|_| full())?;
        let more = Arc::clone(&self.units).try_acquire_many_owned(count).map_err(|_| full())?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(now + units * UNIT)
    }
}

/// How much room a body needs that has `received` bytes and says that it has `length`, or 0.
fn next(received: usize, length: usize) -> usize {
    let wanted = (2 * received).max(STEP);
    if length > received { wanted.min(length) } else { wanted }
}

fn slow(received: usize) -> ApiError {
    let message = format!("the body did not arrive in time; {received} bytes did");
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
}

/// Has what a handler leaves of a request's body read away: a connection that is closed while the client still sends is
/// reset, and the answer lost with it. Clients that wait to be told to send are not told to.
pub fn lingering(request: Request) -> Request {
    if request.headers().contains_key(header::EXPECT) {
        return request;
    }
    request.map(|body| if body.is_end_stream() { body } else { Body::new(Lingering(Some(body))) })
}

struct Lingering(Option<Body>);

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        if matches!(frame, None | Some(Err(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let (_, all, _) = LINGER;
                // Whichever way it ends, dropping the body closes the connection unless all was read.
                drop(timeout(all, read_away(body)).await);
            });
        }
    }
}

async fn read_away(mut body: Body) {
    let (most, _, pause) = LINGER;
    let mut read = 0;
    while let Ok(Some(Ok(frame))) = timeout(pause, body.frame()).await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > most {
            return;
        }
    }
}
