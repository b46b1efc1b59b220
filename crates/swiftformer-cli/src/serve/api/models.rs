//! The models, and loading them again.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{health::json_response, parameters::Parameters};
use crate::serve::{http::error::ApiError, models::Busy, server::Shared};

/// `GET /v1/models`
pub async fn list(State(server): State<Shared>) -> Response {
    let all = server.registry.all();
    json_response(&json!({ "models": all.iter().map(|served| &served.facts).collect::<Vec<_>>() }))
}

/// `POST /v1/models/reload`, of all models or of `?model=NAME`.
pub async fn reload(State(server): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let parameters = Parameters::of_query(request.uri(), &["model"])?;
    server.ready()?;
    let only = parameters.model;
    server.model(only.as_deref())?;
    let worker = Arc::clone(&server);
    let results = tokio::task::spawn_blocking(move || worker.reload(only.as_deref())).await;
    let results = results.map_err(|_| ApiError::internal("the reload broke down"))?;
    let results = results.map_err(|Busy| {
        ApiError::new(StatusCode::CONFLICT, "reloading", "another reload is under way; try again when it has ended")
    })?;
    let failed: Vec<&str> = results.iter().filter(|result| !result.ok).map(|result| result.model.as_str()).collect();
    let body = match failed[..] {
        [] => json!({ "reloaded": results }),
        _ => {
            let message = format!("not exchanged: {}; the models served before go on", failed.join(", "));
            json!({ "reloaded": results, "error": { "code": "reload_failed", "message": message } })
        }
    };
    let status = if failed.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, json_response(&body)).into_response())
}
