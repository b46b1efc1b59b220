//! [`Preprocessor`]: what happens to an RGB image before a model sees it.

use std::fmt;
use std::ops::Range;

use super::crop::CropSide;
use super::{CropRule, Filter, Image, ImageError, Orientation, PreparedBytes, RgbImage, Window, resize_window};
use crate::tensor::Tensor;

/// ImageNet's mean of red, green and blue, as fractions of 1.
pub const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];

/// ImageNet's standard deviation of red, green and blue, as fractions of 1.
pub const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// The most pixels that preprocessing gives; only a resize without a crop can ask for more.
pub const MAX_OUTPUT_PIXELS: usize = 1 << 26;

/// To which size an image is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resize {
    /// To exactly this size, whatever the aspect ratio.
    Squash {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The shorter side to `size`, the longer one to `int(size * long / short)` (torchvision, transformers).
    ShortestEdge {
        /// Pixels of the shorter side.
        size: usize,
    },
    /// Until the image just covers this size, sides rounded to the nearest (timm's `ResizeKeepRatio`).
    Cover {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Until the image just fits into this size, sides rounded to the nearest (timm's `ResizeKeepRatio(longest=1)`).
    Fit {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
}

impl Resize {
    /// Width and height that an image of `width` × `height` gets.
    fn size(self, width: usize, height: usize) -> (usize, usize) {
        let keep_ratio = |ratio: f64| {
            let side = |side: usize| (side as f64 / ratio).round_ties_even() as usize;
            (side(width), side(height))
        };
        let ratios = |to_height, to_width| (height as f64 / to_height as f64, width as f64 / to_width as f64);
        match self {
            Self::Squash { height, width } => (width, height),
            Self::ShortestEdge { size } if width <= height => (size, long_side(size, height, width)),
            Self::ShortestEdge { size } => (long_side(size, width, height), size),
            Self::Cover { height, width } => {
                let (a, b) = ratios(height, width);
                keep_ratio(a.min(b))
            }
            Self::Fit { height, width } => {
                let (a, b) = ratios(height, width);
                keep_ratio(a.max(b))
            }
        }
    }
}

/// Python's `int(size * long / short)`: one rounded division, cut off.
fn long_side(size: usize, long: usize, short: usize) -> usize {
    ((size as f64 * long as f64) / short as f64) as usize
}

/// A centre crop of fixed size; smaller images are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CenterCrop {
    /// Rows kept.
    pub height: usize,
    /// Columns kept.
    pub width: usize,
    /// How offsets are rounded.
    pub rule: CropRule,
    /// The colour of padding.
    pub fill: [u8; 3],
}

/// Mean and standard deviation of the input channels, after rescaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// What is subtracted, one number a channel.
    pub mean: Vec<f64>,
    /// What the difference is divided by, one number a channel.
    pub std: Vec<f64>,
}

/// A model's preprocessing: resize, crop, rescale, normalise, each of them optional, in this order.
///
/// ```
/// use swiftformer::image::{Preset, RgbImage};
///
/// let preprocessor = Preset::Timm.preprocessor(224, 224);
/// let image = RgbImage::filled(640, 427, [124, 116, 104]);
/// assert_eq!(preprocessor.apply(&image)?.shape(), [3, 224, 224]);
/// assert_eq!(
///     preprocessor.to_string(),
///     "short side to 235 (bicubic), centre crop 224x224, x 1/255, mean 0.485 0.456 0.406, std 0.229 0.224 0.225",
/// );
/// # Ok::<(), swiftformer::image::ImageError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessor {
    /// How the image is scaled, if it is.
    pub resize: Option<Resize>,
    /// The filter of that scaling.
    pub filter: Filter,
    /// Which part of the scaled image is kept; all of it when `None`.
    pub crop: Option<CenterCrop>,
    /// What bytes are multiplied by (1/255).
    pub rescale: Option<f64>,
    /// Normalisation of the rescaled values.
    pub normalize: Option<Normalize>,
    /// Whether files are turned upright when they are decoded for this model.
    pub orientation: Orientation,
    /// Input channels of the model: 3 for RGB, 1 for luma.
    pub channels: usize,
    /// Fields of the configuration this was read from that play no part here; they are written back.
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// Where the output of a [`Preprocessor`] lies in its image; pairs are rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Sides of the scaled image.
    pub resized: [usize; 2],
    /// Place of the output's first pixel in the scaled image; negative where padding comes first.
    pub offset: [isize; 2],
    /// Sides of the output.
    pub output: [usize; 2],
}

/// How one image goes through a [`Preprocessor`].
pub(super) struct Geometry {
    /// Size of the scaled image.
    pub width: usize,
    pub height: usize,
    pub columns: CropSide,
    pub rows: CropSide,
    /// Size of the result.
    out_width: usize,
    out_height: usize,
}

impl Geometry {
    /// The part of the scaled image that is kept, in an image of the result's size.
    pub(super) fn pad<const CHANNELS: usize>(&self, kept: Image<CHANNELS>, fill: [u8; CHANNELS]) -> Image<CHANNELS> {
        if (kept.width(), kept.height()) == (self.out_width, self.out_height) {
            return kept;
        }
        let mut padded = Image::filled(self.out_width, self.out_height, fill);
        let bytes: Range<usize> = {
            let start = self.columns.before * CHANNELS;
            start..start + kept.width() * CHANNELS
        };
        let rows = padded.data_mut().chunks_exact_mut(self.out_width * CHANNELS).skip(self.rows.before);
        for (row, source) in rows.zip(kept.data().chunks_exact(kept.width() * CHANNELS)) {
            row[bytes.clone()].copy_from_slice(source);
        }
        padded
    }
}

impl Preprocessor {
    /// The same for a model of `channels` input channels. With 1, images become luma before they are scaled, and a mean and
    /// a standard deviation of three channels become their averages.
    ///
    /// # Errors
    /// When `channels` is neither 3 nor 1.
    pub fn with_channels(mut self, channels: usize) -> Result<Self, ImageError> {
        if !matches!(channels, 1 | 3) {
            return Err(ImageError::Channels { found: channels });
        }
        if let Some(Normalize { mean, std }) = &mut self.normalize {
            for values in [mean, std] {
                if values.len() != channels {
                    let average = values.iter().sum::<f64>() / values.len().max(1) as f64;
                    *values = vec![average; channels];
                }
            }
        }
        self.channels = channels;
        Ok(self)
    }

    pub(super) fn geometry(&self, width: usize, height: usize) -> Result<Geometry, ImageError> {
        let (width, height) = self.resize.map_or((width, height), |resize| resize.size(width, height));
        let whole = |length: usize| CropSide { kept: 0..length, before: 0 };
        let geometry = match self.crop {
            Some(crop) => Geometry {
                columns: crop.rule.side(width, crop.width),
                rows: crop.rule.side(height, crop.height),
                out_width: crop.width,
                out_height: crop.height,
                width,
                height,
            },
            None => Geometry {
                columns: whole(width),
                rows: whole(height),
                out_width: width,
                out_height: height,
                width,
                height,
            },
        };
        match geometry.out_width.checked_mul(geometry.out_height) {
            Some(pixels) if pixels <= MAX_OUTPUT_PIXELS => Ok(geometry),
            _ => Err(ImageError::OutputPixels { width, height, limit: MAX_OUTPUT_PIXELS }),
        }
    }

    /// Height and width of the result for an image of `width` × `height` pixels.
    ///
    /// # Errors
    /// When the result would have more than [`MAX_OUTPUT_PIXELS`].
    pub fn output_size(&self, width: usize, height: usize) -> Result<[usize; 2], ImageError> {
        let geometry = self.geometry(width, height)?;
        Ok([geometry.out_height, geometry.out_width])
    }

    /// Where the result lies in an image of `width` × `height` pixels.
    ///
    /// # Errors
    /// When the result would have more than [`MAX_OUTPUT_PIXELS`].
    pub fn placement(&self, width: usize, height: usize) -> Result<Placement, ImageError> {
        let geometry = self.geometry(width, height)?;
        let offset = |side: &CropSide| side.kept.start as isize - side.before as isize;
        Ok(Placement {
            resized: [geometry.height, geometry.width],
            offset: [offset(&geometry.rows), offset(&geometry.columns)],
            output: [geometry.out_height, geometry.out_width],
        })
    }

    /// The image after resize and crop, still in bytes: what the model looks at.
    ///
    /// # Errors
    /// When a side of the scaled image would be zero or beyond Pillow's limits, or the result has more than
    /// [`MAX_OUTPUT_PIXELS`].
    pub fn apply_bytes(&self, image: &RgbImage) -> Result<RgbImage, ImageError> {
        self.scale_and_crop(image, self.fill())
    }

    fn scale_and_crop<const CHANNELS: usize>(
        &self,
        image: &Image<CHANNELS>,
        fill: [u8; CHANNELS],
    ) -> Result<Image<CHANNELS>, ImageError> {
        let geometry = self.geometry(image.width(), image.height())?;
        let window = Window { columns: geometry.columns.kept.clone(), rows: geometry.rows.kept.clone() };
        let kept = resize_window(image, geometry.width, geometry.height, self.filter, &window)?;
        Ok(geometry.pad(kept, fill))
    }

    /// The colour of padding.
    pub(super) fn fill(&self) -> [u8; 3] {
        self.crop.map_or([0; 3], |crop| crop.fill)
    }

    /// The same in luma.
    pub(super) fn gray_fill(&self) -> [u8; 1] {
        let [r, g, b] = self.fill();
        [super::rgb::luma(r, g, b)]
    }

    /// The bytes that are normalised: those of [`Self::apply_bytes`], or luma for a model of one channel.
    pub(super) fn input_bytes(&self, image: &RgbImage) -> Result<(Vec<u8>, [usize; 2]), ImageError> {
        match self.channels {
            3 => self.apply_bytes(image).map(|image| ([image.height(), image.width()], image.into_data())),
            1 => {
                let gray = self.scale_and_crop(&image.to_gray(), self.gray_fill())?;
                Ok(([gray.height(), gray.width()], gray.into_data()))
            }
            found => Err(ImageError::Channels { found }),
        }
        .map(|(size, bytes)| (bytes, size))
    }

    /// The value of every byte in every channel, computed in the order of the reference implementations.
    fn tables(&self) -> Vec<[f32; 256]> {
        let value = |byte: usize, channel: usize| {
            let rescaled = (byte as f64 * self.rescale.unwrap_or(1.0)) as f32;
            let at = |values: &[f64], default: f64| values.get(channel).copied().unwrap_or(default) as f32;
            match &self.normalize {
                Some(Normalize { mean, std }) => (rescaled - at(mean, 0.0)) / at(std, 1.0),
                None => rescaled,
            }
        };
        (0..self.channels).map(|channel| std::array::from_fn(|byte| value(byte, channel))).collect()
    }

    /// `pixel_values` of one image: `[channels, height, width]`, dimensionless.
    ///
    /// # Errors
    /// Those of [`Self::apply_bytes`], and when [`Self::channels`] is neither 3 nor 1.
    pub fn apply(&self, image: &RgbImage) -> Result<Tensor, ImageError> {
        let (bytes, size) = self.input_bytes(image)?;
        Ok(self.planes(&PreparedBytes { bytes, size }))
    }

    /// Values of prepared bytes, a plane for each channel: `[channels, height, width]`.
    pub(super) fn planes(&self, PreparedBytes { bytes, size: [height, width] }: &PreparedBytes) -> Tensor {
        let mut tensor = Tensor::zeros([self.channels, *height, *width]);
        let planes = tensor.data_mut().chunks_exact_mut(height * width);
        for (channel, (plane, table)) in planes.zip(&self.tables()).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(bytes.chunks_exact(self.channels)) {
                *value = table[usize::from(pixel[channel])];
            }
        }
        tensor
    }

    /// Values of prepared bytes: `[height, width, channels]`.
    pub fn interleaved(&self, prepared: &PreparedBytes) -> Vec<f32> {
        let mut values = vec![0.0; prepared.bytes.len()];
        self.write_interleaved(&prepared.bytes, &mut values);
        values
    }

    fn write_interleaved(&self, bytes: &[u8], out: &mut [f32]) {
        let tables = self.tables();
        for (values, pixel) in out.chunks_exact_mut(self.channels).zip(bytes.chunks_exact(self.channels)) {
            for ((value, &byte), table) in values.iter_mut().zip(pixel).zip(&tables) {
                *value = table[usize::from(byte)];
            }
        }
    }

    /// The same values as [`Self::apply`] in the order `[height, width, channels]`, written into `out`.
    ///
    /// # Errors
    /// Those of [`Self::apply`], and when `out` does not hold exactly the values of the result.
    pub fn apply_into_nhwc(&self, image: &RgbImage, out: &mut [f32]) -> Result<(), ImageError> {
        let [height, width] = self.output_size(image.width(), image.height())?;
        let needed = height * width * self.channels;
        if out.len() != needed {
            return Err(ImageError::OutputBuffer { needed, found: out.len() });
        }
        self.write_interleaved(&self.input_bytes(image)?.0, out);
        Ok(())
    }
}

impl fmt::Display for Preprocessor {
    /// One line for people: every step that changes pixels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let mut steps = Vec::new();
        if self.orientation == Orientation::Apply {
            steps.push("EXIF orientation".to_owned());
        }
        if self.channels == 1 {
            steps.push("luma".to_owned());
        }
        let filter = self.filter.name();
        steps.extend(self.resize.map(|resize| match resize {
            Resize::Squash { height, width } => format!("squash to {width}x{height} ({filter})"),
            Resize::ShortestEdge { size } => format!("short side to {size} ({filter})"),
            Resize::Cover { height, width } => format!("cover {width}x{height} ({filter})"),
            Resize::Fit { height, width } => format!("fit into {width}x{height} ({filter})"),
        }));
        steps.extend(self.crop.map(|crop| format!("centre crop {}x{}", crop.width, crop.height)));
        steps.extend(self.rescale.map(|factor| match 1.0 / factor {
            whole if (whole - whole.round()).abs() < 1e-9 => format!("x 1/{}", whole.round()),
            _ => format!("x {factor}"),
        }));
        if let Some(Normalize { mean, std }) = &self.normalize {
            steps.push(format!("mean {}, std {}", list(mean), list(std)));
        }
        f.write_str(&if steps.is_empty() { "bytes as they are".to_owned() } else { steps.join(", ") })
    }
}
