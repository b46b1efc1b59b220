//! Whether the server lives, whether it answers, and what it counted.

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::serve::{http::error::ApiError, server::Shared};

/// `GET /healthz`: the process lives.
pub async fn live() -> Response {
    json_response(&json!({ "status": "ok" }))
}

/// `GET /readyz`: models are loaded, and the server is not about to end.
pub async fn ready(State(server): State<Shared>) -> Result<Response, ApiError> {
    server.ready()?;
    Ok(json_response(&json!({ "status": "ready" })))
}

/// `GET /metrics`
pub async fn metrics(State(server): State<Shared>) -> Response {
    server.metrics.queue_depth.set(i64::try_from(server.engine.admitted()).unwrap_or(i64::MAX));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], server.metrics.text()).into_response()
}

/// A JSON answer.
pub fn json_response(body: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.to_string()).into_response()
}
