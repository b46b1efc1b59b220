//! `swiftformer serve`: models over HTTP.
//!
//! ```text
//! socket ─ http (limits, keys, ids) ─ router ─ api, kserve ─▶ engine (prepare, batch, run) ─▶ answer
//! ```

mod api;
pub mod args;
mod engine;
mod http;
mod kserve;
pub mod logs;
mod metrics;
mod models;
mod page;
mod router;
mod server;

pub use self::{args::ServeArgs, server::run};
