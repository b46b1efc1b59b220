//! The Open Inference Protocol (KServe v2) over REST, with Triton's extensions for binary tensors, classification and the
//! repository of models, so that clients of those servers work unchanged.

mod infer;
mod metadata;
mod request;
mod response;

use axum::{
    Router,
    routing::{get, post},
};

use super::{http::error::ApiError, server::Shared};

/// Every model has this one version; a reload replaces it.
const VERSION: &str = "1";

/// Routes below `/v2`.
pub fn router() -> Router<Shared> {
    let mut router = Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::server_ready))
        .route("/v2/repository/index", post(metadata::index))
        .route("/v2/repository/models/{model}/load", post(metadata::load));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        router = router
            .route(model, get(metadata::model))
            .route(&format!("{model}/ready"), get(metadata::ready))
            .route(&format!("{model}/config"), get(metadata::config))
            .route(&format!("{model}/infer"), post(infer::infer));
    }
    router
}

/// A model in a path.
#[derive(serde::Deserialize)]
struct Place {
    model: String,
    version: Option<String>,
}

impl Place {
    /// The model's name.
    ///
    /// # Errors
    /// 404 for a version that there is not.
    fn name(&self) -> Result<&str, ApiError> {
        match self.version.as_deref() {
            None | Some("" | VERSION) => Ok(&self.model),
            Some(_) => {
                let message = format!("models have one version, {VERSION}");
                Err(ApiError::new(axum::http::StatusCode::NOT_FOUND, "unknown_version", message))
            }
        }
    }
}
