//! Inference requests: JSON, with the tensors' values in it or, in Triton's way, as bytes behind it.

use std::fmt;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::{
    Deserialize,
    de::{Deserializer, SeqAccess, Visitor},
};
use swiftformer::tensor::{DType, RawTensor};

use crate::serve::{api::tensors::PIXEL_VALUES, http::error::ApiError};

/// Length of the JSON part, where bytes follow it.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// A request.
pub struct Request {
    /// Given back in the answer.
    pub id: Option<String>,
    /// The images.
    pub images: RawTensor,
    /// What is wanted.
    pub outputs: Vec<Output>,
    /// Whether outputs that do not say otherwise are answered in bytes.
    pub binary: bool,
    /// Longest time for an answer, in microseconds.
    pub timeout: Option<u64>,
}

/// An output that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Whether it is answered in bytes.
    pub binary: Option<bool>,
    /// With a number, that many of the best classes instead of the values.
    pub classes: Option<usize>,
}

#[derive(Deserialize)]
struct Header {
    id: Option<String>,
    #[serde(default)]
    parameters: RequestParameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<WantedOutput>,
}

#[derive(Default, Deserialize)]
struct RequestParameters {
    #[serde(default)]
    binary_data_output: bool,
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: InputParameters,
    data: Option<Values>,
}

#[derive(Default, Deserialize)]
struct InputParameters {
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
struct WantedOutput {
    name: String,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Default, Deserialize)]
struct OutputParameters {
    binary_data: Option<bool>,
    classification: Option<usize>,
}

/// Numbers in lists of any depth, in their order.
struct Values(Vec<f32>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Vec::new();
        deserializer.deserialize_any(Collect(&mut values))?;
        Ok(Self(values))
    }
}

/// Puts numbers into a list as they are read, so that no tree of them is built.
struct Collect<'a>(&'a mut Vec<f32>);

impl<'de> serde::de::DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("numbers or lists of them")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Collect(self.0))?.is_some() {}
        Ok(())
    }
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("bad_request", message)
}

/// Length of the JSON part of a body, which is all of it unless the client says otherwise.
///
/// # Errors
/// 400 when that is no length of a part of it.
pub fn header_length(headers: &HeaderMap, body: usize) -> Result<usize, ApiError> {
    let Some(length) = headers.get(HEADER_LENGTH) else { return Ok(body) };
    let length = length.to_str().ok().and_then(|text| text.parse().ok()).filter(|&length| length <= body);
    length.ok_or_else(|| bad(format!("Inference-Header-Content-Length must be a number up to the body's {body} bytes")))
}

/// Reads a request whose first `header` bytes are JSON.
///
/// # Errors
/// 400 when it does not follow the protocol.
pub fn read(body: &Bytes, header: usize) -> Result<Request, ApiError> {
    let (json, mut rest) = (body.slice(..header.min(body.len())), body.slice(header.min(body.len())..));
    let header: Header =
        serde_json::from_slice(&json).map_err(|error| ApiError::bad_json("an inference request", &error))?;
    let mut images = None;
    for input in header.inputs {
        if input.name != PIXEL_VALUES {
            let name: String = input.name.chars().take(60).collect();
            return Err(bad(format!("no input `{name}`; the input is `{PIXEL_VALUES}`")));
        }
        if images.is_some() {
            return Err(bad(format!("two inputs `{PIXEL_VALUES}`")));
        }
        images = Some(tensor(input, &mut rest)?);
    }
    if !rest.is_empty() {
        return Err(bad(format!("{} bytes behind the tensors that the request describes", rest.len())));
    }
    let images = images.ok_or_else(|| bad(format!("the input `{PIXEL_VALUES}` is missing")))?;
    let output = |WantedOutput { name, parameters: OutputParameters { binary_data, classification } }| Output {
        name,
        binary: binary_data,
        classes: classification,
    };
    Ok(Request {
        id: header.id,
        images,
        outputs: header.outputs.into_iter().map(output).collect(),
        binary: header.parameters.binary_data_output,
        timeout: header.parameters.timeout,
    })
}

/// The input's values, from JSON or from the bytes behind it.
fn tensor(input: Input, rest: &mut Bytes) -> Result<RawTensor, ApiError> {
    let Input { shape, datatype, parameters, data, .. } = input;
    let dtype = match datatype.as_str() {
        "FP32" => DType::F32,
        "FP16" => DType::F16,
        "BF16" => DType::BF16,
        "FP64" => DType::F64,
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(bad(format!("`{PIXEL_VALUES}` is {other}, expected FP32, FP16, BF16 or FP64")));
        }
    };
    let misfit = |error: swiftformer::tensor::ShapeError| bad(format!("`{PIXEL_VALUES}`: {error}"));
    match (parameters.binary_data_size, data) {
        (Some(size), None) if size <= rest.len() => RawTensor::new(dtype, shape, rest.split_to(size)).map_err(misfit),
        (Some(size), None) => Err(bad(format!("`{PIXEL_VALUES}` has {size} bytes, {} follow", rest.len()))),
        (None, Some(Values(values))) => RawTensor::from_f32(shape, &values).map_err(misfit),
        _ => Err(bad(format!("`{PIXEL_VALUES}` needs either `data` or `binary_data_size`"))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Request, read};
    use crate::serve::http::error::ApiError;

    fn request(json: &str, bytes: &[u8]) -> Result<Request, ApiError> {
        let body = [json.as_bytes(), bytes].concat();
        read(&Bytes::from(body), json.len())
    }

    #[test]
    fn values_come_nested_flat_or_as_bytes() {
        let start = r#"{"inputs": [{"name": "pixel_values", "shape": [1, 2, 1, 2], "datatype": "FP32","#;
        let bytes: Vec<u8> = [1.0f32, 2.5, -3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        for (json, bytes) in [
            (format!(r#"{start} "data": [[[[1, 2.5]], [[-3, 4e0]]]]}}]}}"#), &[][..]),
            (format!(r#"{start} "data": [1, 2.5, -3, 4]}}]}}"#), &[]),
            (format!(r#"{start} "parameters": {{"binary_data_size": 16}}}}]}}"#), &bytes),
        ] {
            let images = request(&json, bytes).unwrap_or_else(|error| panic!("{json}: {error:?}")).images;
            assert_eq!((images.shape(), images.to_f32().as_slice()), (&[1, 2, 1, 2][..], &[1.0, 2.5, -3.0, 4.0][..]));
        }
    }

    #[test]
    fn requests_that_do_not_add_up_are_refused() {
        let input = |rest: &str| format!(r#"{{"inputs": [{{"name": "pixel_values", "datatype": "FP32", {rest}}}]}}"#);
        for (json, bytes) in [
            (r#"{"inputs": []}"#.to_owned(), 0),
            ("[]".to_owned(), 0),
            (input(r#""shape": [4], "data": [1, 2, 3]"#), 0),
            (input(r#""shape": [4], "data": ["1", 2, 3, 4]"#), 0),
            (input(r#""shape": [4]"#), 16),
            (input(r#""shape": [4], "parameters": {"binary_data_size": 16}"#), 12),
            (input(r#""shape": [4], "parameters": {"binary_data_size": 12}"#), 12),
            (input(r#""shape": [4], "parameters": {"binary_data_size": 16}"#), 17),
            (input(r#""shape": [18446744073709551615, 3], "parameters": {"binary_data_size": 0}"#), 0),
            (input(r#""shape": [-1], "data": []"#), 0),
            (
                r#"{"inputs": [{"name": "pixel_values", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}"#
                    .to_owned(),
                0,
            ),
        ] {
            let error = request(&json, &vec![0; bytes]).err().unwrap_or_else(|| panic!("{json} was taken"));
            assert_eq!(error.status.as_u16(), 400, "{json}");
        }
    }
}
