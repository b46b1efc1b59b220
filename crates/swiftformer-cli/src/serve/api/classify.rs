//! `POST /v1/classify`: the best classes of a picture.

use std::{sync::Arc, time::Instant};

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use serde_json::{Map, Value, json};
use swiftformer::{
    model::OutputRequest,
    predict::{ScoreKind, predictions},
};

use super::{
    answered, finite,
    heatmap::{self, Maps},
    input::{self, Input},
    only,
    parameters::{Heatmap, Parameters},
    picture::{self, Preparation},
};
use crate::serve::{
    engine::{Answer, Picture, Want},
    http::{error::ApiError, observe::RequestId},
    models::Served,
    server::Shared,
};

/// Classes that come with a heat map; each has some dozens of values.
const WITH_MAP: usize = 20;

/// The handler.
pub async fn classify(
    State(server): State<Shared>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let deadline = server.deadline(request.headers())?;
    server.has_room()?;
    let allowed = &["model", "top", "heatmap", "class", "timings"];
    let Input { parameters, file, .. } = &input::receive(&server, request, allowed).await?;
    let served = server.model(parameters.model.as_deref())?;
    if !served.classifies {
        let message = format!("{} has no classifier; /v1/embed gives its features", served.name);
        return Err(ApiError::unprocessable("no_classifier", message));
    }
    let maps = parameters.heatmap != Heatmap::None;
    let preparation = Preparation {
        files: server.files,
        whole: maps || parameters.split,
        maps,
        keep: parameters.heatmap == Heatmap::Png,
    };
    let request = maps.then(|| OutputRequest { forward_features: true, ..OutputRequest::default() });
    let want = Want { model: Arc::clone(&served), embedding: false, maps: request };
    let (file, model) = (file.clone(), Arc::clone(&served));
    let work = Box::new(move || picture::prepare(&file, &model, preparation));
    let mut answer = server.engine.submit(server.admit()?, want, deadline, work).answer().await?;
    let mut body = describe(&served, parameters, &mut answer, &server).await?;
    body.insert("timings_ms".to_owned(), answer.timings.to_json(started.elapsed()));
    body.insert("batch".to_owned(), answer.batch.into());
    body.insert("request_id".to_owned(), id.into());
    Ok(answered(&Value::Object(body), &served, &answer))
}

async fn describe(
    served: &Arc<Served>,
    parameters: &Parameters,
    answer: &mut Answer,
    server: &Shared,
) -> Result<Map<String, Value>, ApiError> {
    let output = only(answer)?;
    let logits = finite(output.logits)?;
    let mut best = predictions(&logits, &served.config, parameters.top());
    if let Some(class) = parameters.class.filter(|class| best.iter().all(|best| best.index != *class)) {
        let all = predictions(&logits, &served.config, logits.len());
        let missing = || ApiError::bad_request("bad_parameter", format!("class {class} of {}", logits.len()));
        best.push(all.into_iter().find(|found| found.index == class).ok_or_else(missing)?);
    }
    let maps = match parameters.heatmap {
        Heatmap::None => None,
        _ => Some(Maps::new(served, &output.maps)?),
    };
    let mut top = Vec::with_capacity(best.len());
    for (rank, class) in best.iter().enumerate() {
        let mut entry = json!({ "index": class.index, "label": class.label, "score": class.score });
        if let (Some(maps), true) = (&maps, rank < WITH_MAP) {
            entry["heatmap"] = heatmap::values(&maps.of(class.index)?);
        }
        top.push(entry);
    }
    let picture = answer.picture.take();
    let mut body = Map::new();
    body.insert("model".to_owned(), served.name.clone().into());
    body.insert("probabilities".to_owned(), ScoreKind::of(&served.config).is_probability().into());
    body.insert("top".to_owned(), top.into());
    body.insert("image".to_owned(), picture.as_ref().map(describe_picture).into());
    if let (Some(maps), Some(picture)) = (maps, picture) {
        let mut layout = maps.layout(&picture);
        let shown = parameters.class.or_else(|| best.first().map(|best| best.index));
        if let (Heatmap::Png, Some(class)) = (parameters.heatmap, shown) {
            let (map, served) = (maps.of(class)?, Arc::clone(served));
            layout["png"] = server.engine.call(move || heatmap::png(&map, &picture, &served)).await?.into();
            layout["class"] = class.into();
        }
        body.insert("heatmap".to_owned(), layout);
    }
    Ok(body)
}

/// What is known of a picture.
pub fn describe_picture(picture: &Picture) -> Value {
    let mut known = json!({ "format": picture.format });
    if let Some([width, height]) = picture.size {
        known["width"] = width.into();
        known["height"] = height.into();
    }
    known
}
