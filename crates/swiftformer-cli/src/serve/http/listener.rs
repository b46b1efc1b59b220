//! Taking connections in, and ending without losing one.

use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::connection::{Patience, refuse, serve};
use crate::serve::server::Shared;

/// Connections beyond the limit that are told so at a time; more are closed without a word.
const REFUSED_AT_A_TIME: usize = 64;
/// A pause when the system has no more file handles, say.
const BREATH: Duration = Duration::from_millis(20);
/// Connections that the system may hold for us, which is more than it does.
const BACKLOG: usize = 4096;
/// How long idle connections stay open while the server ends: a request that is on its way is answered.
const GRACE: Duration = Duration::from_millis(250);

/// Takes connections in.
pub struct Listener {
    listener: TcpListener,
    door: Door,
}

/// What every connection passes.
struct Door {
    tls: Option<TlsAcceptor>,
    router: Router,
    patience: Patience,
    room: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    server: Shared,
}

/// When to end.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long to go on accepting.
    pub delay: Duration,
    /// How long to wait for requests.
    pub timeout: Duration,
}

impl Listener {
    /// For at most `connections` at a time.
    pub fn new(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        router: Router,
        patience: Patience,
        connections: usize,
        server: Shared,
    ) -> Self {
        let room = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        let refusals = Arc::new(Semaphore::new(REFUSED_AT_A_TIME));
        Self { listener, door: Door { tls, router, patience, room, refusals, server } }
    }

    /// Answers until `ending` turns true, and then what was accepted; gives how many connections had to be cut off.
    pub async fn run(self, mut ending: watch::Receiver<bool>, drain: Drain) -> usize {
        let (close, draining) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                stream = self.listener.accept() => match stream {
                    Ok((stream, _)) => self.door.accept(stream, &mut connections, &draining),
                    Err(error) => pause(&error).await,
                },
                _ = connections.join_next(), if !connections.is_empty() => {}
                () = told(&mut ending) => break,
            }
        }
        // Every answer now closes its connection, and load balancers are told that this server is not ready.
        let until = Instant::now() + drain.delay;
        while Instant::now() < until
            && let Ok(accepted) = timeout(until.saturating_duration_since(Instant::now()), self.listener.accept()).await
        {
            match accepted {
                Ok((stream, _)) => self.door.accept(stream, &mut connections, &draining),
                Err(error) => pause(&error).await,
            }
        }
        // What the system has accepted for us already: closing the socket would reset it.
        if let Ok(listener) = self.listener.into_std() {
            for (stream, _) in (0..BACKLOG).map_while(|_| listener.accept().ok()) {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    self.door.accept(stream, &mut connections, &draining);
                }
            }
        }
        let all = async { while connections.join_next().await.is_some() {} };
        let end = async {
            sleep(GRACE).await;
            // Fails when no connection is left to be told.
            let _ = close.send(true);
            sleep(drain.timeout).await;
        };
        tokio::select! {
            () = all => 0,
            () = end => connections.len(),
        }
    }
}

impl Door {
    fn accept(&self, stream: TcpStream, connections: &mut JoinSet<()>, draining: &watch::Receiver<bool>) {
        let draining = draining.clone();
        // Answers are written whole: waiting for more to send only delays them.
        drop(stream.set_nodelay(true));
        let (tls, router, patience) = (self.tls.clone(), self.router.clone(), self.patience);
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            self.server.metrics.rejected("connections_full");
            if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                connections.spawn(async move {
                    match tls {
                        None => refuse(stream).await,
                        Some(tls) => {
                            if let Ok(Ok(stream)) = timeout(Duration::from_secs(1), tls.accept(stream)).await {
                                refuse(stream).await;
                            }
                        }
                    }
                    drop(permit);
                });
            }
            return;
        };
        let server = Arc::clone(&self.server);
        server.metrics.connections.inc();
        connections.spawn(async move {
            match tls {
                None => serve(stream, router, patience, draining).await,
                Some(tls) => match timeout(patience.head, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, router, patience, draining).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS connection"),
                    Err(_) => tracing::debug!("no TLS connection in time"),
                },
            }
            server.metrics.connections.dec();
            drop(room);
        });
    }
}

/// Waits for the end.
async fn told(ending: &mut watch::Receiver<bool>) {
    // Also when nobody is left to tell.
    drop(ending.wait_for(|&ending| ending).await);
}

/// After an error of `accept`: those of one connection pass, lack of resources needs time.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(BREATH).await;
}

/// TLS with this certificate chain and key.
///
/// # Errors
/// When they cannot be read or do not fit each other.
pub fn tls(cert: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let unreadable = |path: &Path| format!("cannot read {}", path.display());
    let pem = |path: &Path| fs::read(path).with_context(|| unreadable(path));
    let chain = CertificateDer::pem_slice_iter(&pem(cert)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| anyhow!("{} holds no certificates in PEM: {error}", cert.display()))?;
    let private = PrivateKeyDer::from_pem_slice(&pem(key)?);
    let private = private.map_err(|error| anyhow!("{} holds no private key in PEM: {error}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not make a TLS server", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
