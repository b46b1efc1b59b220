//! What happens between a socket and a handler.

pub mod auth;
pub mod body;
pub mod connection;
pub mod error;
pub mod listener;
pub mod observe;
pub mod origins;
