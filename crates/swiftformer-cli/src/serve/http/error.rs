//! Refusals: a status, a code for programs, a sentence for people.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use swiftformer::{image::ImageError, model::ModelError};

/// A request that is not answered as it asked.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// Of the answer.
    pub status: StatusCode,
    /// One word, the same for every request that fails so.
    pub code: &'static str,
    /// What is wrong with this one.
    pub message: String,
}

/// Marks an answer whose body is for the outermost layer to write, in the form that its path calls for.
#[derive(Clone, Debug)]
pub struct Refusal(pub ApiError);

impl ApiError {
    /// A refusal.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 400: what was sent does not follow the rules of its format.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 422: well-formed, and still nothing that the model can take.
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 413: larger than allowed.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// 415: not of a type that is read here.
    pub fn media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 404.
    pub fn no_model(name: &str, names: &[&str]) -> Self {
        let shown: String = name.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_model",
            format!("no model `{shown}`; there are: {}", names.join(", ")),
        )
    }

    /// 503: later, perhaps.
    pub fn overloaded(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 504: not in the time that there was.
    pub fn too_late() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the request did not finish in its time")
    }

    /// 500: our fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<ImageError> for ApiError {
    fn from(error: ImageError) -> Self {
        let message = error.to_string();
        match error {
            ImageError::Unknown { .. } | ImageError::Unsupported { .. } => {
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_an_image", message)
            }
            ImageError::TooManyPixels { .. } | ImageError::TooMuchMemory { .. } | ImageError::OutputPixels { .. } => {
                Self::too_large(message)
            }
            ImageError::Truncated { .. } => Self::unprocessable("image_truncated", message),
            ImageError::Malformed { .. } | ImageError::ResizedSide { .. } => {
                Self::unprocessable("image_broken", message)
            }
            _ => Self::unprocessable("image_unusable", message),
        }
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Image(error) => error.into(),
            ModelError::Input { .. } | ModelError::Geometry(_) => Self::unprocessable("bad_shape", error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
            StatusCode::UNAUTHORIZED => {
                drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            }
            // What is still to come of the request is not worth waiting for.
            StatusCode::REQUEST_TIMEOUT => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
            _ => {}
        }
        response.extensions_mut().insert(Refusal(self));
        response
    }
}

impl Refusal {
    /// The body of the answer. Clients of the Open Inference Protocol expect a string under `error`.
    pub fn body(&self, inference_protocol: bool, request_id: &str) -> String {
        let ApiError { code, message, .. } = &self.0;
        match inference_protocol {
            true => json!({ "error": format!("{message} [{code}, request {request_id}]") }).to_string(),
            false => json!({ "error": { "code": code, "message": message, "request_id": request_id } }).to_string(),
        }
    }
}
