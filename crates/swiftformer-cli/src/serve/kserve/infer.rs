//! `POST /v2/models/NAME/infer`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};

use super::{
    Place,
    request::{self, Output},
    response,
};
use crate::serve::{
    api::{
        tensors::{self, Wanted},
        with_timings,
    },
    engine::Want,
    http::error::ApiError,
    server::Shared,
};

/// A JSON part up to this length is read at once; a longer one holds values, which takes a while.
const SHORT: usize = 16 << 10;

/// Outputs that are one tensor each.
const OUTPUTS: [&str; 4] = ["logits", "pre_logits", "last_hidden_state", "forward_features"];

/// The handler.
pub async fn infer(
    State(server): State<Shared>,
    Path(place): Path<Place>,
    request: Request,
) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let deadline = server.deadline(request.headers())?;
    server.has_room()?;
    let served = server.model(Some(place.name()?))?;
    let (parts, body) = request.into_parts();
    let received = server.room.read(&parts.headers, body).await?;
    let header = request::header_length(&parts.headers, received.bytes.len())?;
    let request = match header {
        ..SHORT => request::read(&received.bytes, header)?,
        _ => {
            let bytes = received.bytes.clone();
            server.engine.call(move || request::read(&bytes, header)).await?
        }
    };
    let request::Request { id, images, outputs, binary, timeout } = request;
    let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !OUTPUTS.contains(&name.as_str())) {
        let name: String = name.chars().take(60).collect();
        let message = format!("no output `{name}`; there are: {}", OUTPUTS.join(", "));
        return Err(ApiError::bad_request("unknown_output", message));
    }
    let wanted = Wanted::new(&names, &served)?;
    let outputs = match outputs.is_empty() {
        true => wanted.names().iter().map(|name| Output { name: name.clone(), binary: None, classes: None }).collect(),
        false => outputs,
    };
    let asked = timeout
        .filter(|&microseconds| microseconds > 0)
        .map(|microseconds| arrived + Duration::from_micros(microseconds.min(1 << 40)));
    let deadline = asked.map_or(deadline, |asked| asked.min(deadline));
    let want = Want { model: Arc::clone(&served), embedding: wanted.embedding(), maps: wanted.maps() };
    let (model, maps, any_size) = (Arc::clone(&served), want.maps.is_some(), server.any_size);
    let work = Box::new(move || {
        let prepared = tensors::prepare(&images, &model, maps, any_size);
        // The body's memory is held until here.
        drop((images, received));
        prepared
    });
    let mut answer = server.engine.submit(server.admit()?, want, deadline, work).answer().await?;
    let computed = std::mem::take(&mut answer.outputs);
    let model = Arc::clone(&served);
    let write = move || {
        let tensors = wanted.collect(computed)?;
        response::write(&model.name, id.as_deref(), &outputs, binary, &tensors, &model.config)
    };
    // Maps are megabytes.
    let written = if maps { server.engine.call(write).await? } else { write()? };
    Ok(with_timings(written.into_response(), &served, &answer))
}
