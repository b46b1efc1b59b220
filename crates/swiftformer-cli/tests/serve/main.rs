//! `swiftformer serve`: the real program over real sockets.
#![cfg(all(feature = "serve", unix))]

mod access;
mod answers;
mod bad_requests;
mod batches;
mod inference_protocol;
mod lifecycle;
mod limits;
mod pages;
mod support;
