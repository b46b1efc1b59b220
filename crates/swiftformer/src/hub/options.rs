//! Where the Hub is, where the cache is, and who asks: all that the environment decides.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubError;

/// The public Hub.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Settings of a [`Hub`](super::Hub).
///
/// [`HubOptions::from_env`] is the only place of the library that reads environment variables; [`HubOptions::new`]
/// reads none.
#[derive(Clone)]
pub struct HubOptions {
    /// Base URL of the Hub or a mirror, without a trailing `/`.
    pub endpoint: String,
    /// The folder that holds `models--ORG--NAME` folders.
    pub cache_dir: PathBuf,
    /// Access token, sent to `endpoint` alone.
    pub token: Option<String>,
    /// Use the cache only and open no connection.
    pub offline: bool,
    /// Limit for resolving the host and, separately, for connecting (TLS included).
    pub connect_timeout: Duration,
    /// Limit for the answer's headers and for each wait for more of the body.
    pub read_timeout: Duration,
    /// How long to wait for another process that downloads the same file, before downloading it separately.
    pub lock_timeout: Duration,
    /// Further attempts after a transient failure; a body that made good progress starts the count anew.
    pub retries: u32,
    /// First pause between attempts; each further one is twice as long.
    pub retry_pause: Duration,
    /// Largest file to accept, in bytes.
    pub max_file_size: u64,
    proxy: Option<ureq::Proxy>,
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("cache_dir", &self.cache_dir)
            .field("token", &self.token.as_ref().map(|_| "<hidden>"))
            .field("offline", &self.offline)
            .field("proxied", &self.proxy.is_some())
            .finish_non_exhaustive()
    }
}

impl HubOptions {
    /// The public Hub without a token, a proxy or any look at the environment, caching in `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            cache_dir: cache_dir.into(),
            token: None,
            offline: false,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(600),
            retries: 4,
            retry_pause: Duration::from_millis(500),
            max_file_size: 64 << 30,
            proxy: None,
        }
    }

    /// Reads what Python's `huggingface_hub` reads, with the same precedence. Empty variables count as unset.
    ///
    /// | variable | effect |
    /// |---|---|
    /// | `HF_HUB_CACHE` (or the older `HUGGINGFACE_HUB_CACHE`) | the cache folder |
    /// | `HF_HOME` | its `hub` is the cache folder; else `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
    /// | `HF_TOKEN` | the access token |
    /// | `HF_TOKEN_PATH` | a file that holds the token; else `$HF_HOME/token` |
    /// | `HF_ENDPOINT` | base URL of a mirror |
    /// | `HF_HUB_OFFLINE` | `1`, `on`, `yes` or `true`: never open a connection |
    /// | `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | the proxy, also in lower case |
    ///
    /// Without a home folder the cache is `.cache/huggingface/hub` below the working folder.
    pub fn from_env() -> Self {
        let home = std::env::home_dir().unwrap_or_default();
        let options = Self::from_lookup(&|name| std::env::var_os(name), &home);
        Self { proxy: ureq::Proxy::try_from_env(), ..options }
    }

    /// [`HubOptions::from_env`] with the environment as an argument (proxies aside).
    pub(super) fn from_lookup(variable: &dyn Fn(&str) -> Option<OsString>, home: &Path) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let folder = |name: &str| {
            let path = PathBuf::from(set(name)?);
            Some(path.strip_prefix("~").map(|rest| home.join(rest)).unwrap_or(path))
        };
        let hf_home = folder("HF_HOME")
            .unwrap_or_else(|| folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("huggingface"));
        let cache_dir =
            folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| hf_home.join("hub"));
        let token = text("HF_TOKEN").or_else(|| {
            let path = folder("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
            std::fs::read_to_string(path).ok()
        });
        let offline = text("HF_HUB_OFFLINE")
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true"));
        let mut options = Self::new(cache_dir).with_token(token).with_offline(offline);
        if let Some(endpoint) = text("HF_ENDPOINT") {
            options = options.with_endpoint(endpoint);
        }
        options
    }

    /// Asks `endpoint`, e.g. a mirror, in place of the public Hub.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl AsRef<str>) -> Self {
        self.endpoint = endpoint.as_ref().trim_end_matches('/').to_owned();
        self
    }

    /// Sends `token` to the endpoint; white space around it is dropped, and an empty one counts as none.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        self
    }

    /// Uses the cache only.
    #[must_use]
    pub fn with_offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Sets [`connect_timeout`](Self::connect_timeout) and [`read_timeout`](Self::read_timeout).
    #[must_use]
    pub fn with_timeouts(mut self, connect: Duration, read: Duration) -> Self {
        self.connect_timeout = connect;
        self.read_timeout = read;
        self
    }

    /// Sets [`retries`](Self::retries) and [`retry_pause`](Self::retry_pause).
    #[must_use]
    pub fn with_retries(mut self, retries: u32, pause: Duration) -> Self {
        self.retries = retries;
        self.retry_pause = pause;
        self
    }

    /// Connects through the proxy at `url`, e.g. `http://proxy.example:3128`.
    ///
    /// # Errors
    /// [`HubError::InvalidOption`] when `url` is no proxy URL.
    pub fn with_proxy(mut self, url: &str) -> Result<Self, HubError> {
        let proxy = ureq::Proxy::new(url)
            .map_err(|error| HubError::InvalidOption { option: "HTTPS_PROXY", reason: error.to_string() })?;
        self.proxy = Some(proxy);
        Ok(self)
    }

    pub(super) fn proxy(&self) -> Option<ureq::Proxy> {
        self.proxy.clone()
    }
}
