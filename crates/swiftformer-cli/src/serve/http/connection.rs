//! One connection: its timeouts, and answers to what is no HTTP.

use std::{
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::StatusCode,
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::watch,
    time::{Instant, Sleep, sleep, timeout},
};
use tower::ServiceExt;

/// Headers of a request, with the first line, in bytes.
pub const MAX_HEAD: usize = 32 << 10;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// What is read from a socket at a time; a tensor takes a few of them.
const BUFFER: usize = 256 << 10;

/// How long what a client still sends is read away, behind an answer that closes the connection.
const LINGER: Duration = Duration::from_secs(1);

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the headers of a request, once they have begun.
    pub head: Duration,
    /// For taking more of an answer.
    pub write: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// Answers the requests of a connection until it ends, or until `draining` turns true and the request in hand is answered.
pub async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    patience: Patience,
    mut draining: watch::Receiver<bool>,
) {
    let taken = Arc::new(AtomicBool::new(false));
    let stream = Patient { stream, patience, taken: Arc::clone(&taken), head: None, writing: None, spoilt: None };
    let service = service_fn(move |request: Request<Incoming>| {
        taken.store(true, Ordering::Relaxed);
        let hold = Arc::new(Taken(Arc::clone(&taken)));
        let request = request.map(|body| Body::new(Held { body, _hold: Arc::clone(&hold) }));
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await;
            drop(hold);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.idle)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut told = *draining.borrow();
    let result = loop {
        if told {
            connection.as_mut().graceful_shutdown();
            break connection.as_mut().await;
        }
        tokio::select! {
            result = connection.as_mut() => break result,
            changed = draining.changed() => told = changed.is_err() || *draining.borrow(),
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

/// While it lives, a handler has the request: what arrives is its body.
struct Taken(Arc<AtomicBool>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A request's body.
struct Held {
    body: Incoming,
    _hold: Arc<Taken>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose other end may be slow, but not for ever.
struct Patient<S> {
    stream: S,
    patience: Patience,
    /// See [`Taken`].
    taken: Arc<AtomicBool>,
    /// Runs while the headers of a request arrive.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing more can be sent.
    writing: Option<Pin<Box<Sleep>>>,
    /// Runs behind an answer to what is no HTTP, the rest of which is read away.
    spoilt: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(context, buffer)?;
        if this.taken.load(Ordering::Relaxed) {
            this.head = None;
        } else if buffer.filled().len() > before && this.head.is_none() {
            this.head = Some(Box::pin(sleep(this.patience.head)));
        }
        if read.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Some(head) = &mut this.head {
            ready!(head.as_mut().poll(context));
            let message = "the headers did not arrive in time";
            let text = answer(StatusCode::REQUEST_TIMEOUT, "slow_headers", message);
            // A socket that has taken nothing yet takes these few bytes.
            drop(Pin::new(&mut this.stream).poll_write(context, text.as_bytes()));
            drop(Pin::new(&mut this.stream).poll_flush(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// Passes on what the stream says, but not `Pending` for ever.
    fn patiently<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let patience = self.patience.write;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(writing.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.head = None;
        if let Some(text) = in_json(bytes) {
            ready!(Pin::new(&mut self.stream).poll_write(context, text.as_bytes()))?;
            self.spoilt = Some(Box::pin(sleep(LINGER)));
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patiently(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patiently(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        ready!(self.patiently(context, shut))?;
        let this = &mut *self;
        let Some(spoilt) = &mut this.spoilt else { return Poll::Ready(Ok(())) };
        // Closing while the client still sends would reset the connection, and the answer with it.
        while spoilt.as_mut().poll(context).is_pending() {
            let mut away = [MaybeUninit::uninit(); 4096];
            let mut away = ReadBuf::uninit(&mut away);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut away)) {
                Ok(()) if !away.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The answer that hyper gives, with an empty body, to what it cannot parse, as one that tells what is wrong. Handlers'
/// answers carry an id.
fn in_json(bytes: &[u8]) -> Option<String> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let (rest, id) = (rest.get(..2)?, b"x-request-id");
    if bytes.windows(id.len()).any(|window| window == id) {
        return None;
    }
    let status = std::str::from_utf8(rest).ok()?;
    match status {
        "00" => Some(answer(StatusCode::BAD_REQUEST, "bad_http", "this is no HTTP request that can be read")),
        "14" => Some(answer(StatusCode::URI_TOO_LONG, "long_uri", "the address of the request is too long")),
        "31" => {
            let message = format!("headers may be {MAX_HEADERS} of {MAX_HEAD} bytes in all");
            Some(answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "large_headers", &message))
        }
        _ => None,
    }
}

/// A whole answer, for where there is no handler.
fn answer(status: StatusCode, code: &str, message: &str) -> String {
    let body = json!({ "error": { "code": code, "message": message } }).to_string();
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "retry-after: 1\r\n" } else { "" };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{retry}connection: close\r\n\r\n{body}"
    )
}

/// Tells a client that there are too many connections.
pub async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let text = answer(StatusCode::SERVICE_UNAVAILABLE, "connections_full", "too many connections; try again later");
    let until = Instant::now() + LINGER;
    let tell = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing while the client still sends would reset the connection, and the answer with it.
        let mut away = [0; 4096];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut away).await? > 0 && Instant::now() < until {}
        io::Result::Ok(())
    };
    drop(timeout(LINGER, tell).await);
}
