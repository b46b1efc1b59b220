//! From a picture's file to what the model takes.

use std::time::Instant;

use swiftformer::image::{Filter, ImageError, RgbImage, decode, resize, sniff};

use crate::serve::{
    engine::{Picture, Pixels, Prepared},
    http::error::ApiError,
    models::Served,
};
use swiftformer::image::FileOptions;

/// Longest side of a picture that is kept for a heat map, in pixels.
const KEPT_SIDE: usize = 1024;

/// How a picture is prepared.
#[derive(Clone, Copy, Debug)]
pub struct Preparation {
    /// Limits, and whether large JPEGs are decoded at a fraction of their size.
    pub files: FileOptions,
    /// Whether the picture is decoded as a whole before it is resized: its size is then known, and both are timed.
    pub whole: bool,
    /// Whether the model will be asked for maps.
    pub maps: bool,
    /// Whether the picture is wanted again.
    pub keep: bool,
}

/// Prepares a picture for a model.
///
/// # Errors
/// When it is no picture, is damaged, or exceeds the limits.
pub fn prepare(file: &[u8], served: &Served, preparation: Preparation) -> Result<Prepared, ApiError> {
    let Preparation { files, whole, maps, keep } = preparation;
    let preprocessor = served.model.preprocessor();
    let channels = served.config.num_channels;
    if channels != preprocessor.channels {
        return Err(ImageError::Channels { found: channels }.into());
    }
    let began = Instant::now();
    let format = sniff(file)?;
    let mut picture = Picture { format: name(format), size: None, placement: None, pixels: None };
    if !whole {
        let (pixels, size) = match maps {
            true => {
                let tensor = preprocessor.apply_to_file(file, &files)?;
                let size = tensor.shape().get(1..).and_then(|sides| <[usize; 2]>::try_from(sides).ok());
                (Pixels::Planes(tensor.into_data()), size.unwrap_or_default())
            }
            false => {
                let (values, size) = preprocessor.apply_to_file_nhwc(file, &files)?;
                (Pixels::Interleaved(values), size)
            }
        };
        let decode = began.elapsed();
        return Ok(Prepared { images: vec![pixels], size, decode, resize: None, picture: Some(picture) });
    }
    let image = decode(file, preprocessor.orientation, &files.limits)?;
    let decoded = Instant::now();
    let (width, height) = (image.width(), image.height());
    let size = preprocessor.output_size(width, height)?;
    let pixels = match (maps, files.scaled_decoding) {
        (true, false) => Pixels::Planes(preprocessor.apply(&image)?.into_data()),
        // The same values as without a heat map.
        (true, true) => Pixels::Planes(preprocessor.apply_to_file(file, &files)?.into_data()),
        (false, true) => Pixels::Interleaved(preprocessor.apply_to_file_nhwc(file, &files)?.0),
        (false, false) => {
            let [rows, columns] = size;
            let mut values = vec![0.0; rows * columns * channels];
            preprocessor.apply_into_nhwc(&image, &mut values)?;
            Pixels::Interleaved(values)
        }
    };
    let resize = decoded.elapsed();
    picture.size = Some([width, height]);
    picture.placement = Some(preprocessor.placement(width, height)?);
    picture.pixels = if keep { Some(small(image)?) } else { None };
    let decode = decoded - began;
    Ok(Prepared { images: vec![pixels], size, decode, resize: Some(resize), picture: Some(picture) })
}

/// The picture at a size that fits a screen.
fn small(image: RgbImage) -> Result<RgbImage, ImageError> {
    let longest = image.width().max(image.height());
    if longest <= KEPT_SIDE {
        return Ok(image);
    }
    let side = |side: usize| (side * KEPT_SIDE / longest).max(1);
    resize(&image, side(image.width()), side(image.height()), Filter::Bilinear)
}

fn name(format: swiftformer::image::ImageFormat) -> &'static str {
    use swiftformer::image::ImageFormat;
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
    }
}
