//! The page and the documentation, out of the program itself: nothing is asked of other hosts, and no file is read.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{http::error::ApiError, server::Shared};

/// What a page may load and do: its own files, pictures and camera, requests to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' \
                      blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files below `/assets/`: name, content type, content.
macro_rules! assets {
    ($($kind:ident: $($name:literal)*;)*) => { &[$($(($name, $kind, include_str!(concat!("page/", $name))),)*)*] };
}
const ASSETS: &[(&str, &str, &str)] = assets! {
    SCRIPT: "api.js" "app.js" "batch.js" "camera.js" "csv.js" "docs.js" "elements.js" "heatmap.js" "key.js" "models.js"
        "pictures.js" "results.js" "tabs.js" "theme.js" "timings.js";
    STYLE: "style.css";
    DRAWING: "icon.svg";
};
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const DRAWING: &str = "image/svg+xml";
const HTML: &str = "text/html; charset=utf-8";

/// Routes of the pages.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(|| async { file(HTML, include_str!("page/index.html")) }))
        .route("/docs", get(|| async { file(HTML, include_str!("page/docs.html")) }))
        .route("/openapi.json", get(|| async { file("application/json", &openapi()) }))
        .route("/favicon.ico", get(|| asset(Path("icon.svg".to_owned()))))
        .route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = ASSETS.iter().find(|(known, ..)| *known == name);
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such file");
    found.map(|(_, kind, content)| file(kind, content)).ok_or_else(missing)
}

/// The description of the interface, with this program's version.
fn openapi() -> String {
    include_str!("page/openapi.json").replace("\"0.0.0\"", concat!("\"", env!("CARGO_PKG_VERSION"), "\""))
}

fn file(kind: &'static str, content: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(self), microphone=(), geolocation=()"),
        ),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, content.to_owned()).into_response()
}
