//! Heat maps of an answer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use swiftformer::{
    image::{Placement, encode_png},
    predict::ActivationMap,
    tensor::Tensor,
};

use crate::serve::{engine::Picture, http::error::ApiError, models::Served};

/// The maps of one picture.
pub struct Maps<'a> {
    served: &'a Served,
    features: &'a Tensor,
    size: [usize; 2],
}

impl<'a> Maps<'a> {
    /// From the features behind the final norm, `[channels, height, width]`.
    ///
    /// # Errors
    /// When they are none.
    pub fn new(served: &'a Served, maps: &'a [(String, Tensor)]) -> Result<Self, ApiError> {
        let features = maps.iter().find(|(name, _)| name == "forward_features").map(|(_, tensor)| tensor);
        let features = features.ok_or_else(|| ApiError::internal("the model gave no features"))?;
        let &[_, height, width] = features.shape() else { return Err(ApiError::internal("the features are no map")) };
        Ok(Self { served, features, size: [height, width] })
    }

    /// The map of a class.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn of(&self, class: usize) -> Result<ActivationMap, ApiError> {
        let missing =
            || ApiError::unprocessable("no_classifier", "this model has no classifier, so it gives no heat map");
        let activation = self.served.activation.as_ref().ok_or_else(missing)?;
        let map = activation.map(self.features.data(), self.size, class);
        map.map_err(|error| ApiError::unprocessable("no_heatmap", error.to_string()))
    }

    /// How the values of all maps lie on the picture.
    pub fn layout(&self, picture: &Picture) -> Value {
        let [rows, columns] = self.size;
        json!({ "rows": rows, "columns": columns, "area": picture.placement.map(area) })
    }
}

/// The values of a map, row by row, to a thousandth.
pub fn values(map: &ActivationMap) -> Value {
    map.values().iter().map(|&value| (f64::from(value) * 1e3).round() / 1e3).collect()
}

/// What the model saw, in fractions of the picture's sides.
fn area(Placement { resized, offset, output }: Placement) -> Value {
    let fraction = |part: f64, axis: usize| part / resized[axis] as f64;
    let at = |axis: usize| fraction(offset[axis] as f64, axis);
    let side = |axis: usize| fraction(output[axis] as f64, axis);
    json!({ "left": at(1), "top": at(0), "width": side(1), "height": side(0) })
}

/// The picture with a map over it, as a PNG in base64.
///
/// # Errors
/// When it cannot be drawn.
pub fn png(map: &ActivationMap, picture: &Picture, served: &Served) -> Result<String, ApiError> {
    let photograph = picture.pixels.as_ref().ok_or_else(|| ApiError::internal("the picture is gone"))?;
    let overlay = map.overlay(photograph, served.model.preprocessor());
    let overlay = overlay.map_err(|error| ApiError::unprocessable("no_heatmap", error.to_string()))?;
    let mut png = Vec::new();
    encode_png(&overlay, &mut png).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(STANDARD.encode(png))
}
