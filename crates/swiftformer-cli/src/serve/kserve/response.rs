//! Answers to inference requests.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use swiftformer::{config::SwiftFormerConfig, predict::top_k, tensor::Tensor};

use super::{
    VERSION,
    request::{HEADER_LENGTH, Output},
};
use crate::serve::http::error::ApiError;

/// The JSON of an answer, and the bytes behind it.
pub struct Written {
    json: String,
    bytes: Vec<u8>,
}

/// One output's values.
enum Values {
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// Writes the outputs that were asked for.
///
/// # Errors
/// When the model gave none of a name.
pub fn write(
    model: &str,
    id: Option<&str>,
    wanted: &[Output],
    binary: bool,
    tensors: &[(String, Tensor)],
    config: &SwiftFormerConfig,
) -> Result<Written, ApiError> {
    let mut bytes = Vec::new();
    let mut outputs = Vec::new();
    for output in wanted {
        let missing = || ApiError::internal(format!("the model gave no {}", output.name));
        let (name, tensor) = tensors.iter().find(|(name, _)| *name == output.name).ok_or_else(missing)?;
        let (datatype, shape, values) = match output.classes {
            Some(classes) if classes > 0 => {
                let (shape, texts) = best(tensor, classes, config);
                ("BYTES", shape, Values::Texts(texts))
            }
            _ => ("FP32", tensor.shape().to_vec(), Values::Floats(tensor.data().to_vec())),
        };
        let mut entry = json!({ "name": name, "datatype": datatype, "shape": shape });
        if output.binary.unwrap_or(binary) {
            let before = bytes.len();
            values.append_to(&mut bytes);
            entry["parameters"] = json!({ "binary_data_size": bytes.len() - before });
        } else {
            entry["data"] = values.into_json();
        }
        outputs.push(entry);
    }
    let mut answer = json!({ "model_name": model, "model_version": VERSION, "outputs": outputs });
    if let Some(id) = id {
        answer["id"] = id.into();
    }
    Ok(Written { json: answer.to_string(), bytes })
}

/// The best classes of each row as `score:index:label`, which is how Triton writes them.
fn best(tensor: &Tensor, classes: usize, config: &SwiftFormerConfig) -> (Vec<usize>, Vec<String>) {
    let length = tensor.shape().last().copied().unwrap_or(1).max(1);
    let classes = classes.min(length);
    let text = |row: &[f32], index: usize| match config.id2label.get(index) {
        Some(label) if length == config.num_labels => format!("{:.6}:{index}:{label}", row[index]),
        _ => format!("{:.6}:{index}", row[index]),
    };
    let rows = tensor.data().chunks_exact(length);
    let texts = rows.flat_map(|row| top_k(row, classes).into_iter().map(move |index| text(row, index))).collect();
    let mut shape = tensor.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = classes;
    }
    (shape, texts)
}

impl Values {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Floats(floats) => bytes.extend(floats.iter().flat_map(|value| value.to_le_bytes())),
            Self::Texts(texts) => {
                for text in texts {
                    bytes.extend(u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
    }

    fn into_json(self) -> Value {
        match self {
            Self::Floats(floats) => floats.into_iter().collect(),
            Self::Texts(texts) => texts.into_iter().collect(),
        }
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let Self { json, bytes } = self;
        if bytes.is_empty() {
            return ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response();
        }
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (HeaderName::from_static(HEADER_LENGTH), HeaderValue::from(json.len())),
        ];
        (headers, [json.into_bytes(), bytes].concat()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use swiftformer::{config::SwiftFormerConfig, tensor::Tensor};

    use super::best;

    #[test]
    fn best_classes_are_written_with_their_labels() {
        let id2label = ["a", "b", "c"].map(str::to_owned).to_vec();
        let config = SwiftFormerConfig { num_labels: 3, id2label, ..SwiftFormerConfig::default() };
        let tensor = Tensor::new([2, 3], vec![0.5, -1.0, 2.0, 9.0, 8.0, 7.0]).unwrap();
        let (shape, texts) = best(&tensor, 2, &config);
        assert_eq!(shape, [2, 2]);
        assert_eq!(texts, ["2.000000:2:c", "0.500000:0:a", "9.000000:0:a", "8.000000:1:b"]);
        assert_eq!(best(&tensor, 9, &config).0, [2, 3]);
    }
}
