//! `POST /v1/forward`: tensors in, tensors out.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use swiftformer::{
    tensor::{RawTensor, TensorMap},
    weights::safetensors::{self, SafetensorsError},
};

use super::{
    parameters::Parameters,
    tensors::{self, PIXEL_VALUES, Wanted},
    with_timings,
};
use crate::serve::{
    engine::{Output, Want},
    http::error::ApiError,
    server::Shared,
};

/// The handler.
pub async fn forward(State(server): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let deadline = server.deadline(request.headers())?;
    server.has_room()?;
    let parameters = Parameters::of_query(request.uri(), &["model", "outputs"])?;
    check_type(request.headers())?;
    let served = server.model(parameters.model.as_deref())?;
    let wanted = Wanted::new(&parameters.outputs, &served)?;
    let (parts, body) = request.into_parts();
    let received = server.room.read(&parts.headers, body).await?;
    let want = Want { model: Arc::clone(&served), embedding: wanted.embedding(), maps: wanted.maps() };
    let (model, maps, any_size) = (Arc::clone(&served), want.maps.is_some(), server.any_size);
    let work = Box::new(move || {
        let images = read(&received.bytes)?;
        tensors::prepare(&images, &model, maps, any_size)
    });
    let mut answer = server.engine.submit(server.admit()?, want, deadline, work).answer().await?;
    let outputs = std::mem::take(&mut answer.outputs);
    let bytes = match maps {
        true => server.engine.call(move || write(&wanted, outputs)).await?,
        false => write(&wanted, outputs)?,
    };
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
    Ok(with_timings((kind, bytes).into_response(), &served, &answer))
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default()) else {
        return Ok(());
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/octet-stream", "application/safetensors", "application/x-safetensors"];
    match known.contains(&kind.as_str()) {
        true => Ok(()),
        false => Err(ApiError::media_type("send a safetensors file as application/octet-stream")),
    }
}

/// The tensor `pixel_values` of a safetensors file.
fn read(bytes: &bytes::Bytes) -> Result<RawTensor, ApiError> {
    let (mut tensors, _) = safetensors::read(bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        match error {
            SafetensorsError::DType { .. } => ApiError::unprocessable("bad_type", error.to_string()),
            _ => ApiError::bad_request("bad_safetensors", format!("{error}{cause}")),
        }
    })?;
    tensors.shift_remove(PIXEL_VALUES).ok_or_else(|| {
        let names: Vec<String> = tensors.into_keys().take(10).map(|name| name.chars().take(40).collect()).collect();
        let message = format!("the file has no tensor `{PIXEL_VALUES}`; found: {}", names.join(", "));
        ApiError::unprocessable("no_tensor", message)
    })
}

fn write(wanted: &Wanted, outputs: Vec<Output>) -> Result<Vec<u8>, ApiError> {
    let mut tensors = TensorMap::new();
    for (name, tensor) in wanted.collect(outputs)? {
        let raw = RawTensor::from_f32(tensor.shape().to_vec(), tensor.data());
        tensors.insert(name, raw.map_err(|error| ApiError::internal(error.to_string()))?);
    }
    safetensors::to_bytes(&tensors).map_err(|error| ApiError::internal(error.to_string()))
}
