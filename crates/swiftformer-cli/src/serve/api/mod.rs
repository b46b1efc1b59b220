//! The server's own requests, `/v1/…`.

pub mod classify;
pub mod embed;
pub mod forward;
pub mod health;
mod heatmap;
mod input;
pub mod models;
mod parameters;
mod picture;
pub mod tensors;

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    engine::{Answer, Output},
    http::{error::ApiError, observe::Ran},
    models::Served,
};

/// A JSON answer that went through the engine.
fn answered(body: &Value, served: &Served, answer: &Answer) -> Response {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    with_timings((json, body.to_string()).into_response(), served, answer)
}

/// Adds what took how long, for the client and for the log.
pub fn with_timings(mut response: Response, served: &Served, answer: &Answer) -> Response {
    if let Ok(timings) = HeaderValue::from_str(&answer.timings.to_header()) {
        response.headers_mut().insert(HeaderName::from_static("server-timing"), timings);
    }
    let ran = Ran { model: served.name.clone(), timings: answer.timings, batch: answer.batch };
    response.extensions_mut().insert(ran);
    response
}

/// The output of a request's only image.
fn only(answer: &mut Answer) -> Result<Output, ApiError> {
    answer.outputs.pop().ok_or_else(|| ApiError::internal("the engine gave no output"))
}

/// Numbers that are numbers.
pub fn finite(values: Option<Vec<f32>>) -> Result<Vec<f32>, ApiError> {
    let values = values.ok_or_else(|| ApiError::internal("the model gave no such output"))?;
    match values.iter().any(|value| value.is_nan()) {
        true => Err(ApiError::internal("the model's outputs are not numbers (NaN)")),
        false => Ok(values),
    }
}
