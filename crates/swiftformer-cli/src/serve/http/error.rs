//! Refusals: a status, a code for programs, a sentence for people.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use swiftformer::{image::ImageError, model::ModelError};

/// The longest message, in characters: some of it may be the client's own words.
const MAX_MESSAGE: usize = 500;

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
        Self { status, code, message: shortened(message.into(), MAX_MESSAGE) }
    }

    /// 400: what was sent does not follow the rules of its format.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400: a body that is no JSON, or not that of `what`. The parser's message repeats values that it did not expect, such as a
    /// picture in base64; those belong neither in the answer nor in the log.
    pub fn bad_json(what: &str, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let (line, column) = (error.line(), error.column());
        let fault = match text.rsplit_once(", expected ") {
            Some((_, expected)) if error.is_data() => format!("expected {expected}"),
            _ if error.is_data() && text.contains(['"', '\\']) => format!("wrong at line {line} column {column}"),
            _ => text,
        };
        Self::bad_request("bad_json", format!("the body is not {what}: {fault}"))
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

/// The first `most` characters of a text, and a mark where some are left out.
pub fn shortened(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{ApiError, MAX_MESSAGE, shortened};

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Body {
        shape: Vec<usize>,
    }

    #[test]
    fn what_is_wrong_with_json_is_told_without_its_values() {
        for (json, told) in [
            (r#"{"shape": "secret, expected \"secret\""}"#, "expected a sequence at line 1 column"),
            (r#"{"shape": ["secret"]}"#, "expected usize at line 1"),
            (r#""secret""#, "expected struct Body at line 1"),
            (r#"{"shape": [1], "shape": [1]}"#, "duplicate field `shape` at line 1"),
            (r#"{"secret": 1}"#, "missing field `shape`"),
            (r#"{"shape": [1"#, "EOF while parsing a list at line 1"),
        ] {
            let error = serde_json::from_str::<Body>(json).unwrap_err();
            let message = ApiError::bad_json("a body", &error).message;
            assert!(message.contains(told) && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn messages_have_an_end() {
        assert_eq!(shortened("äöü".to_owned(), 3), "äöü");
        assert_eq!(shortened("äöüß".to_owned(), 3), "äöü…");
        assert_eq!(ApiError::internal("x".repeat(10_000)).message.chars().count(), MAX_MESSAGE + 1);
    }
}
