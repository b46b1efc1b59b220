//! A picture and what is asked of it, in one of three forms: the file itself, a form with it, or JSON with it in base64.

use std::fmt;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
    http::{HeaderMap, header},
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess, Visitor},
};

use super::parameters::Parameters;
use crate::serve::{
    http::{body::Received, error::ApiError},
    server::Shared,
};

/// What clients write: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Names of the field with the picture.
const PICTURE: [&str; 2] = ["image", "file"];

/// A request's picture.
pub struct Input {
    /// What is asked of it.
    pub parameters: Parameters,
    /// The file.
    pub file: Bytes,
    /// Holds the memory of the body.
    _received: Received,
}

/// The form of a body.
enum Form {
    File,
    Multipart,
    Json,
}

fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(Form::File) };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/octet-stream" => Ok(Form::File),
        kind if kind.starts_with("image/") => Ok(Form::File),
        "application/json" => Ok(Form::Json),
        "multipart/form-data" => Ok(Form::Multipart),
        other => {
            let other: String = other.chars().take(60).collect();
            Err(ApiError::media_type(format!(
                "a body of type `{other}`; send a picture as image/… or application/octet-stream, multipart/form-data with \
                 a field `image`, or application/json with `image` in base64"
            )))
        }
    }
}

/// Reads a request whose parameters may be those in `allowed`.
///
/// # Errors
/// When it is not in one of the three forms.
pub async fn receive(server: &Shared, request: Request, allowed: &'static [&'static str]) -> Result<Input, ApiError> {
    let (parts, body) = request.into_parts();
    let mut parameters = Parameters::of_query(&parts.uri, allowed)?;
    let form = form(&parts.headers)?;
    let received = server.room.read(&parts.headers, body).await?;
    let bytes = received.bytes.clone();
    let file = match form {
        Form::File => bytes,
        Form::Multipart => {
            let request = Request::from_parts(parts, Body::from(bytes));
            let runtime = tokio::runtime::Handle::current();
            let read = move || {
                let file = runtime.block_on(multipart(request, &mut parameters, allowed))?;
                Ok((parameters, file))
            };
            // Megabytes are searched for the boundary: not on a thread that others wait for.
            let (parameters, file) = server.engine.call(read).await?;
            return Input::new(parameters, file, received);
        }
        Form::Json => {
            let read = move || json(&bytes, &mut parameters, allowed).map(|file| (parameters, file));
            // As above.
            let (parameters, file) = server.engine.call(read).await?;
            return Input::new(parameters, file, received);
        }
    };
    Input::new(parameters, file, received)
}

impl Input {
    fn new(parameters: Parameters, file: Bytes, received: Received) -> Result<Self, ApiError> {
        match file.is_empty() {
            true => Err(ApiError::bad_request("no_image", "the request holds no picture")),
            false => Ok(Self { parameters, file, _received: received }),
        }
    }
}

async fn multipart(request: Request, parameters: &mut Parameters, allowed: &[&str]) -> Result<Bytes, ApiError> {
    let wrong = |error: MultipartError| ApiError::bad_request("bad_multipart", error.body_text());
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| ApiError::bad_request("bad_multipart", error.body_text()))?;
    let mut file = None;
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let name = field.name().unwrap_or_default().to_owned();
        if PICTURE.contains(&name.as_str()) {
            if file.replace(field.bytes().await.map_err(wrong)?).is_some() {
                let message = "one picture a request; requests that arrive together share a batch";
                return Err(ApiError::bad_request("several_images", message));
            }
        } else {
            parameters.set(&name, &field.text().await.map_err(wrong)?, allowed)?;
        }
    }
    file.ok_or_else(|| ApiError::bad_request("no_image", "the form has no field `image`"))
}

fn json(bytes: &[u8], parameters: &mut Parameters, allowed: &[&str]) -> Result<Bytes, ApiError> {
    let mut fields = Fields { parameters, allowed, image: None, refused: None };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = reader.deserialize_map(&mut fields).and_then(|()| reader.end());
    if let Some(refused) = fields.refused {
        return Err(refused);
    }
    read.map_err(|error| ApiError::bad_json("the JSON object that it should be", &error))?;
    let text = fields.image.ok_or_else(|| ApiError::bad_request("no_image", "the JSON object has no `image`"))?;
    // As browsers write files: data:image/png;base64,…
    let text = match text.split_once(',') {
        Some((start, text)) if start.starts_with("data:") && start.ends_with(";base64") => text,
        _ => &text,
    };
    let file = BASE64.decode(text);
    file.map(Bytes::from).map_err(|error| ApiError::bad_request("bad_base64", format!("`image` is no base64: {error}")))
}

/// The fields of a JSON object, each used as it is read: a tree of a hostile body would take many times its size.
struct Fields<'a> {
    parameters: &'a mut Parameters,
    allowed: &'a [&'a str],
    image: Option<String>,
    refused: Option<ApiError>,
}

impl<'de> Visitor<'de> for &mut Fields<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with `image`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "image" {
                self.image = Some(map.next_value()?);
                continue;
            }
            let set = match map.next_value::<Scalar>()? {
                Scalar(None) => Ok(()),
                Scalar(Some(value)) => self.parameters.set(&name, &value, self.allowed),
            };
            if let Err(refused) = set {
                self.refused = Some(refused);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// A text, number or truth value, as it is written in a query; `null` is none.
struct Scalar(Option<String>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Scalar;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text, a number or a truth value")
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_owned())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar(None))
            }
        }
        deserializer.deserialize_any(Written)
    }
}
