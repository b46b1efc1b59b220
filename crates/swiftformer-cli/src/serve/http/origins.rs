//! Pages of other origins: which may ask, and that the others cannot.

use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use tower_http::{
    cors::{AllowOrigin, Any, CorsLayer},
    csrf::{CsrfLayer, ProtectionError},
};

use super::error::ApiError;

/// How long a browser may remember what it was allowed.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Answers browsers that ask whether pages of `origins` may ask.
///
/// # Errors
/// When an origin is none.
pub fn cors(origins: &[String]) -> anyhow::Result<CorsLayer> {
    let origin = match origins {
        origins if origins.iter().any(|origin| origin == "*") => AllowOrigin::from(Any),
        origins => {
            let origin = |origin: &String| {
                origin.parse::<HeaderValue>().with_context(|| format!("--cors {origin} is no origin"))
            };
            AllowOrigin::list(origins.iter().map(origin).collect::<anyhow::Result<Vec<_>>>()?)
        }
    };
    let own = ["x-api-key", "x-request-id", "x-timeout-ms", "inference-header-content-length"];
    let headers = [header::AUTHORIZATION, header::CONTENT_TYPE].into_iter().chain(own.map(HeaderName::from_static));
    let shown = ["x-request-id", "server-timing", "inference-header-content-length"].map(HeaderName::from_static);
    Ok(CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(headers.collect::<Vec<_>>())
        .expose_headers(shown.into_iter().chain([header::RETRY_AFTER]).collect::<Vec<_>>())
        .max_age(MAX_AGE))
}

/// Answers a request that is refused.
type Refuse = fn(ProtectionError) -> Response<Body>;

/// Refuses what a page of another origin has a browser send, which needs no permission where the page does not read the
/// answer: without it, any page that is open on this machine could make a server on loopback work.
///
/// # Errors
/// When an origin is none.
pub fn cross_site(origins: &[String]) -> anyhow::Result<Option<CsrfLayer<Refuse>>> {
    if origins.iter().any(|origin| origin == "*") {
        return Ok(None);
    }
    let trust = |layer: CsrfLayer, origin: &String| {
        layer.add_trusted_origin(origin).map_err(|error| anyhow!("--cors {origin}: {error}"))
    };
    let layer = origins.iter().try_fold(CsrfLayer::new(), trust)?;
    let refuse: Refuse = |_| {
        let message = "pages of another origin may not ask; --cors allows one";
        ApiError::new(StatusCode::FORBIDDEN, "cross_site", message).into_response()
    };
    Ok(Some(layer.with_rejection_response(refuse)))
}
