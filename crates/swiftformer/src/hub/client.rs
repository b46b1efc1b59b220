//! Requests to the Hub: metadata, bodies, redirects, and the meaning of its error answers.

use std::io::{self, Read};

use ureq::http::{HeaderMap, Method, Request, Response, Uri};

use super::id::{is_commit_hash, is_sha256, normalize_etag, percent_encode};
use super::{HubError, HubOptions, ModelId};

/// Redirects to follow for one request.
const MAX_REDIRECTS: usize = 10;

/// Talks to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    endpoint: Uri,
    /// `endpoint` as text, without a trailing `/`.
    base: String,
    authorization: Option<String>,
}

/// What the Hub says about a file before sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Commit that the revision means now.
    pub commit: String,
    /// Name of the blob; safe as a file name.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

impl Metadata {
    /// The promised sha256, which LFS files have for an etag.
    pub fn sha256(&self) -> Option<&str> {
        is_sha256(&self.etag).then_some(&self.etag)
    }
}

/// The answer about a file.
pub(super) enum Head {
    /// It exists.
    File(Metadata),
    /// The repository does not have it (at this commit, where the server tells).
    Absent { commit: Option<String> },
}

/// A file's bytes on their way.
pub(super) struct Body {
    /// Where in the file the bytes start: as asked, or 0 when the server ignores ranges.
    pub offset: u64,
    /// Size of the whole file by this answer, when it tells.
    pub total: Option<u64>,
    /// The bytes.
    pub reader: ureq::BodyReader<'static>,
}

impl Client {
    /// # Errors
    /// [`HubError::InvalidOption`] for an endpoint that is no http(s) URL or a token that no header can carry.
    pub fn new(options: &HubOptions) -> Result<Self, HubError> {
        let bad_endpoint = |reason: &str| HubError::InvalidOption {
            option: "HF_ENDPOINT",
            reason: format!("`{}` {reason}", options.endpoint),
        };
        let base = options.endpoint.trim_end_matches('/').to_owned();
        let endpoint: Uri = base.parse().map_err(|_| bad_endpoint("is not a URL"))?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.host().is_none_or(str::is_empty) {
            return Err(bad_endpoint("is not of the form https://host"));
        }
        if endpoint.query().is_some() {
            return Err(bad_endpoint("has a query"));
        }
        let authorization = match &options.token {
            Some(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let reason = "the token holds white space or characters outside ASCII".to_owned();
                return Err(HubError::InvalidOption { option: "HF_TOKEN", reason });
            }
            token => token.as_ref().map(|token| format!("Bearer {token}")),
        };
        let agent = ureq::Agent::config_builder()
            .proxy(options.proxy())
            .user_agent(concat!("swiftformer/", env!("CARGO_PKG_VERSION")))
            // Redirects are followed here, so that the token stays with the endpoint.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_send_request(Some(options.read_timeout))
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, base, authorization })
    }

    fn file_url(&self, repo: &str, revision: &str, file: &str) -> Result<Uri, HubError> {
        let url =
            format!("{}/{repo}/resolve/{}/{}", self.base, percent_encode(revision, b""), percent_encode(file, b"/"));
        url.parse().map_err(|_| HubError::BadResponse { url, reason: "is not a URL".to_owned() })
    }

    /// Asks what `file` is at the id's revision.
    ///
    /// # Errors
    /// Network failures, refusals, and answers without the Hub's headers.
    pub fn head(&self, id: &ModelId, file: &str) -> Result<Head, HubError> {
        let mut url = self.file_url(&id.repo, &id.revision, file)?;
        let (mut commit, mut linked_etag, mut linked_size) = (None, None, None);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(Method::HEAD, &url, None, id)?;
            let headers = response.headers();
            let status = response.status().as_u16();
            if !(200..400).contains(&status) {
                return self.refusal(&response, &url, id, file).map(|()| Head::Absent {
                    commit: text(headers, "x-repo-commit").filter(|hash| is_commit_hash(hash)).map(str::to_owned),
                });
            }
            commit = commit.or_else(|| text(headers, "x-repo-commit").map(str::to_owned));
            linked_etag = linked_etag.or_else(|| text(headers, "x-linked-etag").map(str::to_owned));
            linked_size = linked_size.or_else(|| number(headers, "x-linked-size"));
            let complete = commit.is_some() && linked_etag.is_some() && linked_size.is_some();
            let location = if (300..400).contains(&status) { Some(redirect(&url, &response)?) } else { None };
            match location {
                // A mirror may pass the question on to the Hub; an answer with a commit points to storage instead.
                Some(next) if !complete && (commit.is_none() || same_origin(&next, &url)) => url = next,
                location => {
                    let etag = linked_etag.as_deref().or_else(|| text(headers, "etag"));
                    // A redirect's own length is that of its note to humans.
                    let own_size = if location.is_none() { number(headers, "content-length") } else { None };
                    return metadata(&url, commit.as_deref(), etag, linked_size.or(own_size)).map(Head::File);
                }
            }
        }
        Err(bad(&url, format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Opens the bytes of `file` at `commit`, from `offset` on.
    ///
    /// # Errors
    /// As [`Client::head`], and a range other than the one asked for.
    pub fn body(&self, id: &ModelId, commit: &str, file: &str, offset: u64) -> Result<Body, HubError> {
        let mut url = self.file_url(&id.repo, commit, file)?;
        let range = (offset > 0).then(|| format!("bytes={offset}-"));
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(Method::GET, &url, range.as_deref(), id)?;
            match response.status().as_u16() {
                200 => {
                    let total = response.body().content_length();
                    return Ok(Body { offset: 0, total, reader: plain_reader(&url, response)? });
                }
                206 if offset > 0 => {
                    let (start, total) = text(response.headers(), "content-range")
                        .and_then(parse_content_range)
                        .ok_or_else(|| bad(&url, "206 without a readable Content-Range"))?;
                    if start != offset {
                        return Err(bad(&url, format!("asked for bytes from {offset}, got them from {start}")));
                    }
                    return Ok(Body { offset, total, reader: plain_reader(&url, response)? });
                }
                // The server cannot continue here: start over.
                416 if offset > 0 => return self.body(id, commit, file, 0),
                300..400 => url = redirect(&url, &response)?,
                201..300 => return Err(bad(&url, format!("HTTP {}", response.status().as_u16()))),
                _ => {
                    self.refusal(&response, &url, id, file)?;
                    return Err(HubError::FileNotFound {
                        repo: id.repo.clone(),
                        revision: commit.to_owned(),
                        file: file.to_owned(),
                    });
                }
            }
        }
        Err(bad(&url, format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn send(
        &self,
        method: Method,
        url: &Uri,
        range: Option<&str>,
        id: &ModelId,
    ) -> Result<Response<ureq::Body>, HubError> {
        // Compression would hide the sizes and break ranges.
        let mut request = Request::builder().method(method).uri(url).header("accept-encoding", "identity");
        if let Some(range) = range {
            request = request.header("range", range);
        }
        if let Some(authorization) = &self.authorization
            && same_origin(url, &self.endpoint)
        {
            request = request.header("authorization", authorization);
        }
        let request = request.body(()).map_err(|error| bad(url, error))?;
        tracing::debug!(url = %without_query(url), range, "hub request");
        self.agent.run(request).map_err(|error| transport_error(error, id, url))
    }

    /// Reads an answer that is neither success nor redirect; `Ok` means that the file does not exist.
    fn refusal<B>(&self, response: &Response<B>, url: &Uri, id: &ModelId, file: &str) -> Result<(), HubError> {
        let status = response.status().as_u16();
        let code = text(response.headers(), "x-error-code");
        // What storage refuses says nothing about the repository.
        if code.is_none() && !same_origin(url, &self.endpoint) {
            return Err(HubError::Status { url: without_query(url), status });
        }
        let repo = id.repo.clone();
        match (status, code) {
            (_, Some("EntryNotFound")) => Ok(()),
            (_, Some("RevisionNotFound")) => Err(HubError::RevisionNotFound { repo, revision: id.revision.clone() }),
            (401 | 403, code) => Err(HubError::AccessDenied {
                repo,
                status,
                gated: code == Some("GatedRepo"),
                had_token: self.authorization.is_some(),
            }),
            (_, Some("RepoNotFound")) => Err(HubError::RepoNotFound { repo, endpoint: self.base.clone() }),
            // Mirrors made of plain files give no reason.
            (404 | 410, None) => {
                tracing::debug!(%id, file, "404 without a reason, taken as a missing file");
                Ok(())
            }
            _ => Err(HubError::Status { url: without_query(url), status }),
        }
    }
}

/// What broke while a body was read, as [`HubError`].
pub(super) fn body_error(error: io::Error, id: &ModelId) -> HubError {
    match ureq::Error::from(error) {
        ureq::Error::Timeout(phase) => {
            HubError::Timeout { id: id.to_string(), endpoint: "the server".to_owned(), phase: phase.to_string() }
        }
        error => HubError::Disconnected {
            id: id.to_string(),
            endpoint: "the server".to_owned(),
            reason: error.into_io().to_string(),
        },
    }
}

fn transport_error(error: ureq::Error, id: &ModelId, url: &Uri) -> HubError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let (id, endpoint) = (id.to_string(), origin(url));
    match error {
        ureq::Error::Timeout(phase) => HubError::Timeout { id, endpoint, phase: phase.to_string() },
        ureq::Error::Io(error)
            if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) =>
        {
            HubError::Disconnected { id, endpoint, reason: error.to_string() }
        }
        ureq::Error::Protocol(error) => bad(url, error),
        error => HubError::Network { id, endpoint, reason: error.to_string() },
    }
}

fn metadata(url: &Uri, commit: Option<&str>, etag: Option<&str>, size: Option<u64>) -> Result<Metadata, HubError> {
    let commit = commit.ok_or_else(|| bad(url, "no X-Repo-Commit header, so this is not a Hugging Face Hub"))?;
    if !is_commit_hash(commit) {
        return Err(bad(url, "X-Repo-Commit is not a commit hash"));
    }
    let etag = etag.ok_or_else(|| bad(url, "no ETag header"))?;
    let etag = normalize_etag(etag).ok_or_else(|| bad(url, "the ETag cannot name a file"))?;
    let size = size.ok_or_else(|| bad(url, "neither X-Linked-Size nor Content-Length"))?;
    Ok(Metadata { commit: commit.to_owned(), etag: etag.to_owned(), size })
}

/// The body, unless it is compressed in spite of what was asked.
fn plain_reader(url: &Uri, response: Response<ureq::Body>) -> Result<ureq::BodyReader<'static>, HubError> {
    match text(response.headers(), "content-encoding") {
        None | Some("" | "identity") => Ok(response.into_body().into_reader()),
        Some(encoding) => Err(bad(url, format!("Content-Encoding {encoding} was not asked for"))),
    }
}

fn redirect<B>(base: &Uri, response: &Response<B>) -> Result<Uri, HubError> {
    let location = text(response.headers(), "location").ok_or_else(|| bad(base, "a redirect without Location"))?;
    let next = resolve(base, location).ok_or_else(|| bad(base, "a redirect to something that is no http(s) URL"))?;
    if base.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
        return Err(bad(base, "a redirect from https to http"));
    }
    Ok(next)
}

/// The absolute URL that `location` means when `base` sends it.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if location.contains("://") && !location.starts_with(['/', '?']) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let url: Uri = absolute.parse().ok()?;
    (matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty()))
        .then_some(url)
}

/// Whether both URLs lead to the same scheme, host and port, the only place that may see the token.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |url: &Uri| url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = |url: &Uri| url.host().map(str::to_ascii_lowercase);
    a.scheme_str() == b.scheme_str() && host(a) == host(b) && port(a) == port(b)
}

/// `(first byte, size of the whole)` of `bytes 5-9/10`.
pub(super) fn parse_content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    Some((start.trim().parse().ok()?, total))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn origin(url: &Uri) -> String {
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default())
}

/// Queries of redirects hold signatures, which do not belong into messages.
fn without_query(url: &Uri) -> String {
    format!("{}{}", origin(url), url.path())
}

fn bad(url: &Uri, reason: impl ToString) -> HubError {
    HubError::BadResponse { url: without_query(url), reason: reason.to_string() }
}

/// Reads until `buffer` is full or the body ends; hides interruptions by signals.
pub(super) fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
