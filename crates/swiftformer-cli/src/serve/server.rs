//! The server: what its requests share, and its life from the first log line to the last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use axum::http::HeaderMap;
use swiftformer::image::{DecodeLimits, FileOptions};
use tokio::{net::TcpListener, sync::watch};

use super::{
    args::ServeArgs,
    engine::{Engine, Sharing, Ticket},
    http::{
        auth::Keys,
        body::Room,
        connection::Patience,
        error::ApiError,
        listener::{Drain, Listener, tls},
        observe::Ids,
    },
    metrics::Metrics,
    models::{Busy, Loader, Registry, Reloaded, Served},
    router,
};
use crate::{interrupt, outcome::Outcome};

/// How often Ctrl-C is looked for.
const GLANCE: Duration = Duration::from_millis(50);
/// Decoding takes at most this many times the pixels, in bytes.
const BYTES_PER_PIXEL: u64 = 16;

/// What every request can reach.
pub type Shared = Arc<Server>;

/// See [`Shared`].
pub struct Server {
    /// The models.
    pub registry: Registry,
    /// The threads that compute.
    pub engine: Engine,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Keys, where they are asked for.
    pub keys: Option<Keys>,
    /// Names of requests.
    pub ids: Ids,
    /// Memory for bodies.
    pub room: Room,
    /// How pictures are decoded.
    pub files: FileOptions,
    /// Whether tensors may have other sizes than the models'.
    pub any_size: bool,
    timeout: Duration,
    draining: AtomicBool,
}

impl Server {
    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether requests can be answered.
    ///
    /// # Errors
    /// 503 while models are loaded, and at the end.
    pub fn ready(&self) -> Result<(), ApiError> {
        match (self.is_draining(), self.registry.is_ready()) {
            (true, _) => Err(ApiError::overloaded("draining", "the server is ending")),
            (_, false) => Err(ApiError::overloaded("loading", "the models are being loaded")),
            (false, true) => Ok(()),
        }
    }

    /// Whether a request is worth reading. It takes its room only when it has been read, or slow clients could take it all.
    ///
    /// # Errors
    /// 503 while models are loaded, and when the queue is full.
    pub fn has_room(&self) -> Result<(), ApiError> {
        match self.registry.is_ready() {
            true => self.engine.admit().map(drop),
            false => Err(ApiError::overloaded("loading", "the models are being loaded")),
        }
    }

    /// Room for an image.
    ///
    /// # Errors
    /// 503 when the queue is full.
    pub fn admit(&self) -> Result<Ticket, ApiError> {
        self.engine.admit()
    }

    /// The model that a request names, or the default one.
    ///
    /// # Errors
    /// 404
    pub fn model(&self, name: Option<&str>) -> Result<Arc<Served>, ApiError> {
        let missing = || ApiError::no_model(name.unwrap_or("default"), &self.registry.names());
        self.registry.get(name).ok_or_else(missing)
    }

    /// When the answer to a request that arrives now is too late.
    ///
    /// # Errors
    /// 400 when the client asks for no number of milliseconds.
    pub fn deadline(&self, headers: &HeaderMap) -> Result<Instant, ApiError> {
        let wrong = || ApiError::bad_request("bad_parameter", "X-Timeout-Ms must be a whole number of milliseconds");
        let asked = headers.get("x-timeout-ms").map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
        let asked = asked.map(|milliseconds| milliseconds.map(Duration::from_millis).ok_or_else(wrong)).transpose()?;
        Ok(Instant::now() + asked.map_or(self.timeout, |asked| asked.min(self.timeout)))
    }

    /// Loads models again; takes long.
    ///
    /// # Errors
    /// While another reload is under way.
    pub fn reload(&self, only: Option<&str>) -> Result<Vec<Reloaded>, Busy> {
        let results = self.registry.reload(only)?;
        results.iter().for_each(|Reloaded { model, ok, .. }| self.metrics.reloaded(model, *ok));
        Ok(results)
    }
}

/// Serves until it is told to end.
///
/// # Errors
/// When the options contradict each other, the address is taken, or a model cannot be loaded.
pub fn run(args: &ServeArgs) -> anyhow::Result<Outcome> {
    let threads = match args.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads.min(1024),
    };
    let keys = args.access.api_key_file.as_deref().map(Keys::read).transpose()?;
    if keys.is_none() && !args.access.no_auth && !args.listen.ip().is_loopback() {
        bail!(
            "{} can be reached from other machines: give --api-key-file, or --no-auth to answer everybody",
            args.listen
        );
    }
    let tls = match (&args.access.tls_cert, &args.access.tls_key) {
        (Some(cert), Some(key)) => Some(self::tls(cert, key)?),
        _ => None,
    };
    let metrics = Arc::new(Metrics::new());
    let sharing = Sharing {
        // One of them runs batches, so that with a single core there is another one to decode.
        workers: threads.max(2),
        threads,
        max_batch: args.batching.max_batch.get(),
        max_wait: args.batching.max_wait_ms,
        queue: args.batching.queue.get(),
    };
    let limits = &args.limits;
    let (body, bodies) = ((limits.max_body_mb as usize) << 20, (limits.max_bodies_mb as usize) << 20);
    let files = FileOptions {
        limits: DecodeLimits {
            max_pixels: limits.max_pixels,
            max_memory: limits.max_pixels.saturating_mul(BYTES_PER_PIXEL).max(64 << 20),
            ..DecodeLimits::default()
        },
        scaled_decoding: args.decode.fast_decode,
    };
    let server = Arc::new(Server {
        registry: Registry::new(Loader::new(args, threads), args.models.clone())?,
        engine: Engine::start(sharing, Arc::clone(&metrics)).context("cannot start the engine's threads")?,
        metrics,
        keys,
        ids: Ids::new(),
        room: Room::new(body, bodies, limits.body_timeout_s),
        files,
        any_size: limits.any_size,
        timeout: args.batching.timeout_s,
        draining: AtomicBool::new(false),
    });
    let router = router::router(&server, &args.access.cors)?;
    let patience =
        Patience { head: limits.header_timeout_s, write: limits.body_timeout_s, idle: limits.idle_timeout_s };
    interrupt::finish_work_in_hand();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Most of the work is done by the engine's threads.
        .worker_threads((threads / 2).max(1))
        .thread_name("http")
        .enable_all()
        .build()
        .context("cannot start the threads of the server")?;
    let outcome = runtime.block_on(async {
        let socket = TcpListener::bind(args.listen).await;
        let socket = socket.with_context(|| format!("cannot listen on {}", args.listen))?;
        let address = socket.local_addr()?;
        tracing::info!(%address, tls = tls.is_some(), keys = server.keys.is_some(), threads, "listening");
        let (end, ending) = watch::channel(false);
        let connections = limits.max_connections.get();
        let listener = Listener::new(socket, tls, router, patience, connections, Arc::clone(&server));
        let drain = Drain { delay: limits.drain_delay_s, timeout: limits.drain_timeout_s };
        let listening = tokio::spawn(listener.run(ending, drain));
        let loading = Arc::clone(&server);
        let load = tokio::task::spawn_blocking(move || loading.registry.load());
        signals_reload(&server)?;
        let ended = told_to_end()?;
        tokio::pin!(ended);
        let outcome = tokio::select! {
            outcome = &mut ended => outcome,
            loaded = load => {
                loaded.context("loading broke down")??;
                tracing::info!("ready");
                ended.await
            }
        };
        server.draining.store(true, Ordering::Relaxed);
        tracing::info!(images = server.engine.admitted(), "ending");
        // Fails when nobody listens any more.
        let _ = end.send(true);
        let cut_off = listening.await.context("the listener broke down")?;
        if cut_off > 0 {
            tracing::warn!(connections = cut_off, "cut off");
        }
        anyhow::Ok(outcome)
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    let outcome = outcome.inspect(|_| {
        server.engine.stop();
        tracing::info!("ended");
    });
    super::logs::flush();
    outcome
}

/// Ends when SIGTERM or Ctrl-C arrives.
fn told_to_end() -> anyhow::Result<impl Future<Output = Outcome>> {
    #[cfg(unix)]
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let interrupted = async {
        while !interrupt::requested() {
            tokio::time::sleep(GLANCE).await;
        }
        Outcome::Interrupted
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => Outcome::Done,
            outcome = interrupted => outcome,
        }
        #[cfg(not(unix))]
        interrupted.await
    })
}

/// Loads the models again at every SIGHUP.
#[cfg(unix)]
fn signals_reload(server: &Shared) -> anyhow::Result<()> {
    let mut hangup =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let server = Arc::clone(server);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let server = Arc::clone(&server);
            // Failures are in the log; while one reload runs, another one is not needed.
            drop(tokio::task::spawn_blocking(move || server.reload(None)).await);
        }
    });
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "fails elsewhere")]
fn signals_reload(_: &Shared) -> anyhow::Result<()> {
    Ok(())
}
