//! Tensors as the model takes them, and the names of those that it gives.

use std::time::Instant;

use swiftformer::{
    model::OutputRequest,
    tensor::{DType, RawTensor, Tensor},
};
use swiftformer_kernels::{ImageShape, nchw_to_nhwc};

use crate::serve::{
    engine::{Output, Pixels, Prepared},
    http::error::ApiError,
    models::Served,
};

/// The name of the images.
pub const PIXEL_VALUES: &str = "pixel_values";
/// Outputs by name; those with a number come as `name.0`, `name.1` and so on.
pub const OUTPUTS: [&str; 6] =
    ["logits", "pre_logits", "last_hidden_state", "forward_features", "hidden_states", "features"];

/// Which outputs a request wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    names: Vec<String>,
}

impl Wanted {
    /// By name; none stands for the logits, or the last map of a model that has none.
    ///
    /// # Errors
    /// 400 for a name that is none, 422 for what this model does not give.
    pub fn new(names: &[String], served: &Served) -> Result<Self, ApiError> {
        let names = match names {
            [] if served.classifies => vec!["logits".to_owned()],
            [] => vec!["last_hidden_state".to_owned()],
            names => names.to_vec(),
        };
        for name in &names {
            let missing = match name.as_str() {
                name if !OUTPUTS.contains(&name) => {
                    let name: String = name.chars().take(60).collect();
                    let message = format!("no output `{name}`; there are: {}", OUTPUTS.join(", "));
                    return Err(ApiError::bad_request("unknown_output", message));
                }
                "logits" => !served.classifies,
                "pre_logits" | "forward_features" => served.embedding == 0,
                _ => false,
            };
            if missing {
                return Err(ApiError::unprocessable("no_output", format!("{} gives no {name}", served.name)));
            }
        }
        Ok(Self { names })
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name)
    }

    /// Whether pooled features are wanted.
    pub fn embedding(&self) -> bool {
        self.has("pre_logits")
    }

    /// The maps among them, which cost more than vectors.
    pub fn maps(&self) -> Option<OutputRequest> {
        let request = OutputRequest {
            hidden_states: self.has("hidden_states"),
            features: self.has("features"),
            forward_features: self.has("forward_features"),
            pre_logits: self.has("pre_logits"),
            heads: false,
        };
        let any =
            request.hidden_states || request.features || request.forward_features || self.has("last_hidden_state");
        any.then_some(request)
    }

    /// The outputs of all images, put together.
    ///
    /// # Errors
    /// When the model did not give them.
    pub fn collect(&self, outputs: Vec<Output>) -> Result<Vec<(String, Tensor)>, ApiError> {
        let count = outputs.len();
        // Name, sides of one image's part, values of all.
        let mut collected: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
        let mut put = |name: String, sides: Vec<usize>, values: Vec<f32>| match collected
            .iter_mut()
            .find(|(known, ..)| *known == name)
        {
            Some((_, _, all)) => all.extend(values),
            None => collected.push((name, sides, values)),
        };
        for Output { logits, embedding, maps } in outputs {
            let vectors = [("logits", logits), ("pre_logits", embedding)];
            for (name, values) in vectors.into_iter().filter(|(name, _)| self.has(name)) {
                let values = values.ok_or_else(|| ApiError::internal(format!("the model gave no {name}")))?;
                put(name.to_owned(), vec![values.len()], values);
            }
            for (name, tensor) in maps {
                if self.has(name.split('.').next().unwrap_or_default()) {
                    put(name, tensor.shape().to_vec(), tensor.into_data());
                }
            }
        }
        let tensor = |(name, sides, values): (String, Vec<usize>, Vec<f32>)| {
            let shape: Vec<usize> = std::iter::once(count).chain(sides).collect();
            let tensor = Tensor::new(shape, values).map_err(|error| ApiError::internal(error.to_string()))?;
            Ok((name, tensor))
        };
        collected.into_iter().map(tensor).collect()
    }
}

/// Takes images `[N, C, H, W]`, in the order that vectors or, with `maps`, maps are computed from.
///
/// # Errors
/// 422 when they are not such images, or not of the model's size unless `any_size`.
pub fn prepare(images: &RawTensor, served: &Served, maps: bool, any_size: bool) -> Result<Prepared, ApiError> {
    let began = Instant::now();
    let shape = images.shape();
    let bad = |message: String| Err(ApiError::unprocessable("bad_shape", message));
    let &[count, channels, height, width] = shape else {
        return bad(format!("`{PIXEL_VALUES}` has shape {shape:?}, expected [N, C, H, W]"));
    };
    if shape.contains(&0) {
        return bad(format!("`{PIXEL_VALUES}` of shape {shape:?} holds no image"));
    }
    let (taken, size) = (served.config.num_channels, served.config.image_size);
    if channels != taken || (!any_size && [height, width] != size) {
        let [rows, columns] = size;
        return bad(format!(
            "`{PIXEL_VALUES}` has shape {shape:?}, {} takes [N, {taken}, {rows}, {columns}]",
            served.name
        ));
    }
    served
        .model
        .arch()
        .geometry([height, width])
        .map_err(|error| ApiError::unprocessable("bad_shape", error.to_string()))?;
    if !matches!(images.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        let found = images.dtype().name();
        let message = format!("`{PIXEL_VALUES}` holds {found} values, expected F32, F16, BF16 or F64");
        return Err(ApiError::unprocessable("bad_type", message));
    }
    let length = channels * height * width;
    let image_bytes = length * images.dtype().size();
    let mut prepared = Vec::with_capacity(count.min(images.bytes().len() / image_bytes.max(1)));
    for bytes in images.bytes().chunks_exact(image_bytes.max(1)) {
        let planes = || {
            let image = RawTensor::new(images.dtype(), [length], images.bytes().slice_ref(bytes));
            image.map(|image| image.to_f32()).map_err(|error| ApiError::internal(error.to_string()))
        };
        prepared.push(match (maps, images.dtype(), channels) {
            (true, ..) => Pixels::Planes(planes()?),
            (false, DType::F32, 3) => Pixels::Interleaved(interleave(bytes)),
            (false, ..) => {
                let mut values = vec![0.0; length];
                nchw_to_nhwc(&planes()?, ImageShape { height, width, channels }, &mut values);
                Pixels::Interleaved(values)
            }
        });
    }
    Ok(Prepared { images: prepared, size: [height, width], decode: began.elapsed(), resize: None, picture: None })
}

/// Three planes of little-endian floats, pixel by pixel: the common case, in one pass.
fn interleave(bytes: &[u8]) -> Vec<f32> {
    let floats = bytes.as_chunks::<4>().0;
    let (red, rest) = floats.split_at(floats.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    let mut values = vec![0.0; floats.len()];
    for (((pixel, red), green), blue) in values.as_chunks_mut::<3>().0.iter_mut().zip(red).zip(green).zip(blue) {
        *pixel = [red, green, blue].map(|bytes| f32::from_le_bytes(*bytes));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::interleave;

    #[test]
    fn planes_become_pixels() {
        let bytes: Vec<u8> =
            [1.0f32, 2.0, 10.0, 20.0, 100.0, 200.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(interleave(&bytes), [1.0, 10.0, 100.0, 2.0, 20.0, 200.0]);
    }
}
