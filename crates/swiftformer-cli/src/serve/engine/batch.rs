//! Images that run together.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use swiftformer::{
    model::{Model, OutputRequest, Outputs},
    tensor::Tensor,
};

use super::job::{Item, Output, Pixels};
use crate::serve::{http::error::ApiError, metrics::Metrics};

/// Takes the images that run with the oldest one: up to `most`, and a multiple of `threads` where some remain anyway, because
/// the engine runs as many images side by side.
pub fn take(ready: &mut VecDeque<Item>, most: usize, threads: usize) -> Vec<Item> {
    let fits = |first: &Item, item: &Item| {
        let (a, b) = (first.job.want(), item.job.want());
        Arc::ptr_eq(&a.model, &b.model) && a.maps == b.maps && first.size == item.size
    };
    let Some(first) = ready.front() else { return Vec::new() };
    let alike = ready.iter().filter(|item| fits(first, item)).count();
    let count = match alike {
        few if few <= most => few,
        _ if most >= threads.max(1) => most - most % threads.max(1),
        _ => most,
    };
    if alike == ready.len() {
        return ready.drain(..count).collect();
    }
    let (mut taken, mut kept) = (Vec::with_capacity(count), VecDeque::with_capacity(ready.len()));
    for item in ready.drain(..) {
        match taken.first() {
            Some(first) if taken.len() == count || !fits(first, &item) => kept.push_back(item),
            _ => taken.push(item),
        }
    }
    *ready = kept;
    taken
}

/// Runs a batch and answers for each image when it is done. Where the batch fails, the images that are left run alone, so that
/// one cannot spoil its neighbours.
pub fn run(batch: Vec<Item>, metrics: &Metrics) {
    metrics.batch(batch.len());
    let began = Instant::now();
    let answered: Vec<AtomicBool> = batch.iter().map(|_| AtomicBool::new(false)).collect();
    let finish = |index: usize, output: Output| {
        if let (Some(item), Some(answered)) = (batch.get(index), answered.get(index)) {
            answered.store(true, Ordering::Relaxed);
            item.done(output, batch.len(), began, began.elapsed());
        }
    };
    if let Err(error) = outputs(&batch, finish) {
        if batch.len() > 1 {
            tracing::warn!(images = batch.len(), error = error.message, "a batch failed; its images run one by one");
        }
        let left = batch.iter().enumerate().filter(|&(index, _)| !answered[index].load(Ordering::Relaxed));
        for (index, item) in left {
            let alone = match batch.len() {
                1 => Err(error.clone()),
                _ => outputs(std::slice::from_ref(item), |_, output| finish(index, output)),
            };
            if let Err(error) = alone {
                item.job.fail(error);
            }
        }
    }
    metrics.inference(began.elapsed());
}

/// Computes the outputs, and calls `done` with the place of each image when it has them.
fn outputs(batch: &[Item], done: impl Fn(usize, Output) + Sync) -> Result<(), ApiError> {
    let Some(first) = batch.first() else { return Ok(()) };
    let want = first.job.want();
    let run = || match &want.maps {
        Some(request) => {
            let outputs = with_maps(&want.model.model, batch, first.size, request)?;
            outputs.into_iter().enumerate().for_each(|(index, output)| done(index, output));
            Ok(())
        }
        None => vectors(&want.model.model, batch, first.size, &done),
    };
    let result = catch_unwind(AssertUnwindSafe(run));
    result.unwrap_or_else(|_| Err(ApiError::internal("the engine broke down on this image")))
}

fn vectors(
    model: &Model,
    batch: &[Item],
    size: [usize; 2],
    done: &(impl Fn(usize, Output) + Sync),
) -> Result<(), ApiError> {
    let images = batch.iter().map(|item| match &item.pixels {
        Pixels::Interleaved(pixels) => Ok(&pixels[..]),
        Pixels::Planes(_) => Err(ApiError::internal("an image in the wrong order")),
    });
    let images = images.collect::<Result<Vec<_>, _>>()?;
    let embedding = batch.iter().any(|item| item.job.want().embedding);
    model.run_nhwc_each(&images, size, embedding, |index, vectors| {
        let wanted = batch.get(index).is_some_and(|item| item.job.want().embedding);
        let embedding = vectors.pre_logits.filter(|_| wanted);
        done(index, Output { logits: vectors.logits, embedding, maps: Vec::new() });
    })?;
    Ok(())
}

fn with_maps(
    model: &Model,
    batch: &[Item],
    [height, width]: [usize; 2],
    request: &OutputRequest,
) -> Result<Vec<Output>, ApiError> {
    let channels = model.arch().config.num_channels;
    let mut data = Vec::with_capacity(batch.len() * channels * height * width);
    for item in batch {
        match &item.pixels {
            Pixels::Planes(planes) => data.extend_from_slice(planes),
            Pixels::Interleaved(_) => return Err(ApiError::internal("an image in the wrong order")),
        }
    }
    let images = Tensor::new([batch.len(), channels, height, width], data);
    let images = images.map_err(|error| ApiError::internal(error.to_string()))?;
    let Outputs { logits, last_hidden_state, hidden_states, features, forward_features, pre_logits, .. } =
        model.run(&images, request)?;
    let mut outputs: Vec<Output> = batch.iter().map(|_| Output::default()).collect();
    let numbered = |name: &'static str, tensors: Vec<Tensor>| {
        tensors.into_iter().enumerate().map(move |(index, tensor)| (format!("{name}.{index}"), tensor))
    };
    let maps = [("last_hidden_state".to_owned(), last_hidden_state)].into_iter();
    let maps = maps.chain(forward_features.map(|map| ("forward_features".to_owned(), map)));
    let maps = maps.chain(numbered("hidden_states", hidden_states)).chain(numbered("features", features));
    for (name, tensor) in maps {
        let length = tensor.data().len() / batch.len();
        let shape = tensor.shape().get(1..).unwrap_or_default().to_vec();
        for (output, values) in outputs.iter_mut().zip(tensor.data().chunks_exact(length.max(1))) {
            let tensor = Tensor::new(shape.clone(), values.to_vec());
            output.maps.push((name.clone(), tensor.map_err(|error| ApiError::internal(error.to_string()))?));
        }
    }
    let rows = |tensor: Option<Tensor>| -> Vec<Option<Vec<f32>>> {
        let Some(tensor) = tensor else { return vec![None; batch.len()] };
        let length = tensor.data().len() / batch.len();
        tensor.data().chunks_exact(length.max(1)).map(|row| Some(row.to_vec())).collect()
    };
    for ((output, logits), embedding) in outputs.iter_mut().zip(rows(logits)).zip(rows(pre_logits)) {
        (output.logits, output.embedding) = (logits, embedding);
    }
    Ok(outputs)
}
