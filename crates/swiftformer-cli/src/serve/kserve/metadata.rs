//! What there is: the server, its models, their inputs and outputs.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Value, json};

use super::{Place, VERSION};
use crate::serve::{
    api::{health::json_response, tensors::PIXEL_VALUES},
    http::error::ApiError,
    models::{Busy, Served},
    server::Shared,
};

/// `GET /v2`
pub async fn server() -> Response {
    let extensions = ["binary_tensor_data", "classification", "model_configuration", "model_repository"];
    json_response(&json!({ "name": "swiftformer", "version": env!("CARGO_PKG_VERSION"), "extensions": extensions }))
}

/// `GET /v2/health/live`
pub async fn live() -> Response {
    json_response(&json!({ "live": true }))
}

/// `GET /v2/health/ready`
pub async fn server_ready(State(server): State<Shared>) -> Result<Response, ApiError> {
    server.ready()?;
    Ok(json_response(&json!({ "ready": true })))
}

/// `GET /v2/models/NAME`
pub async fn model(State(server): State<Shared>, Path(place): Path<Place>) -> Result<Response, ApiError> {
    let served = server.model(Some(place.name()?))?;
    let [channels, height, width] = input(&served, server.any_size);
    let tensor = |name: &str, shape: Value| json!({ "name": name, "datatype": "FP32", "shape": shape });
    let outputs: Vec<Value> = outputs(&served, server.any_size)
        .into_iter()
        .map(|(name, sides)| tensor(name, std::iter::once(-1).chain(sides).collect()))
        .collect();
    Ok(json_response(&json!({
        "name": served.name,
        "versions": [VERSION],
        "platform": "swiftformer",
        "inputs": [tensor(PIXEL_VALUES, json!([-1, channels, height, width]))],
        "outputs": outputs,
    })))
}

/// `GET /v2/models/NAME/ready`
pub async fn ready(State(server): State<Shared>, Path(place): Path<Place>) -> Result<Response, ApiError> {
    server.ready()?;
    let served = server.model(Some(place.name()?))?;
    Ok(json_response(&json!({ "name": served.name, "ready": true })))
}

/// `GET /v2/models/NAME/config`, as Triton tells it.
pub async fn config(State(server): State<Shared>, Path(place): Path<Place>) -> Result<Response, ApiError> {
    let served = server.model(Some(place.name()?))?;
    let tensor = |name: &str, dims: Value| json!({ "name": name, "data_type": "TYPE_FP32", "dims": dims });
    let outputs = outputs(&served, server.any_size).into_iter();
    Ok(json_response(&json!({
        "name": served.name,
        "platform": "swiftformer",
        "backend": "swiftformer",
        "max_batch_size": server.engine.sharing().queue,
        "input": [tensor(PIXEL_VALUES, json!(input(&served, server.any_size)))],
        "output": outputs.map(|(name, sides)| tensor(name, json!(sides))).collect::<Vec<_>>(),
        "dynamic_batching": { "max_queue_delay_microseconds": server.engine.sharing().max_wait.as_micros() as u64 },
    })))
}

/// `POST /v2/repository/index`
pub async fn index(State(server): State<Shared>) -> Response {
    let all = server.registry.all();
    let entry = |served: &Arc<Served>| json!({ "name": served.name, "version": VERSION, "state": "READY" });
    json_response(&all.iter().map(entry).collect())
}

/// `POST /v2/repository/models/NAME/load`: loads it again.
pub async fn load(State(server): State<Shared>, Path(place): Path<Place>) -> Result<Response, ApiError> {
    server.ready()?;
    let name = server.model(Some(place.name()?))?.name.clone();
    let worker = Arc::clone(&server);
    let results = tokio::task::spawn_blocking(move || worker.reload(Some(&name))).await;
    let results = results.map_err(|_| ApiError::internal("the reload broke down"))?;
    let results = results
        .map_err(|Busy| ApiError::new(axum::http::StatusCode::CONFLICT, "reloading", "another reload is under way"))?;
    match results.into_iter().find_map(|result| result.error) {
        None => Ok(json_response(&json!({}))),
        Some(error) => Err(ApiError::unprocessable("reload_failed", error)),
    }
}

/// Channels, height and width; -1 for any.
fn input(served: &Served, any_size: bool) -> [i64; 3] {
    let side = |side: usize| if any_size { -1 } else { i64::try_from(side).unwrap_or(-1) };
    let [height, width] = served.config.image_size;
    [i64::try_from(served.config.num_channels).unwrap_or(-1), side(height), side(width)]
}

/// Outputs and the sides of one image's part.
fn outputs(served: &Served, any_size: bool) -> Vec<(&'static str, Vec<i64>)> {
    let number = |number: usize| i64::try_from(number).unwrap_or(-1);
    let mut outputs = Vec::new();
    if served.classifies {
        outputs.push(("logits", vec![number(served.config.num_labels)]));
    }
    if served.embedding > 0 {
        outputs.push(("pre_logits", vec![number(served.embedding)]));
    }
    let stages = served.model.arch().geometry(served.config.image_size).unwrap_or_default();
    if let (Some(stage), Some(&channels)) = (stages.last(), served.config.embed_dims.last()) {
        let [height, width] = stage.size.map(|side| if any_size { -1 } else { number(side) });
        outputs.push(("last_hidden_state", vec![number(channels), height, width]));
    }
    outputs
}
