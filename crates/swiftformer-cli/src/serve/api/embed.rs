//! `POST /v1/embed`: the pooled features of a picture.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    answered,
    classify::describe_picture,
    finite,
    input::{self, Input},
    only,
    picture::{self, Preparation},
};
use crate::serve::{
    engine::Want,
    http::{error::ApiError, observe::RequestId},
    server::Shared,
};

/// The handler.
pub async fn embed(
    State(server): State<Shared>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let deadline = server.deadline(request.headers())?;
    server.has_room()?;
    let Input { parameters, file, .. } = &input::receive(&server, request, &["model", "encoding", "timings"]).await?;
    let served = server.model(parameters.model.as_deref())?;
    if served.embedding == 0 {
        let message = format!("{} is a backbone without final norm; /v1/forward gives its maps", served.name);
        return Err(ApiError::unprocessable("no_embedding", message));
    }
    let preparation = Preparation { files: server.files, whole: parameters.split, maps: false, keep: false };
    let want = Want { model: Arc::clone(&served), embedding: true, maps: None };
    let (file, model) = (file.clone(), Arc::clone(&served));
    let work = Box::new(move || picture::prepare(&file, &model, preparation));
    let mut answer = server.engine.submit(server.admit()?, want, deadline, work).answer().await?;
    let embedding = finite(only(&mut answer)?.embedding)?;
    let written: Value = match parameters.base64 {
        false => embedding.iter().copied().collect(),
        true => STANDARD.encode(embedding.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).into(),
    };
    let body = json!({
        "model": served.name,
        "dimensions": embedding.len(),
        "embedding": written,
        "image": answer.picture.as_ref().map(describe_picture),
        "timings_ms": answer.timings.to_json(started.elapsed()),
        "batch": answer.batch,
        "request_id": id,
    });
    Ok(answered(&body, &served, &answer))
}
