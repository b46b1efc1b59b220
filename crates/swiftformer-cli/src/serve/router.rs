//! Which request goes where, and through what.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower::{ServiceBuilder, util::option_layer};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    api,
    http::{auth, error::ApiError, observe, origins},
    kserve, page,
    server::Shared,
};

/// Everything that is answered.
///
/// # Errors
/// When an origin is none.
pub fn router(server: &Shared, cors: &[String]) -> anyhow::Result<Router> {
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(server.clone(), observe::observe))
        .layer(CatchPanicLayer::custom(broken))
        .layer(origins::cors(cors)?)
        .layer(option_layer(origins::cross_site(cors)?))
        .layer(from_fn_with_state(server.clone(), auth::check));
    Ok(Router::new()
        .route("/healthz", get(api::health::live))
        .route("/readyz", get(api::health::ready))
        .route("/metrics", get(api::health::metrics))
        .route("/v1/models", get(api::models::list))
        .route("/v1/models/reload", post(api::models::reload))
        .route("/v1/classify", post(api::classify::classify))
        .route("/v1/embed", post(api::embed::embed))
        .route("/v1/forward", post(api::forward::forward))
        .merge(kserve::router())
        .merge(page::router())
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(layers)
        .with_state(server.clone()))
}

async fn nowhere() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path; /docs lists what there is")
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("this path does not answer {}", request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer asks for it")]
fn broken(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("without a message"), "a request broke down");
    ApiError::internal("the request broke down").into_response()
}
