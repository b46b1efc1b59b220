//! From the bytes of a file to pixel values, without the photograph in between where that can be.
//!
//! The rows of a JPEG go into the resize as they are decoded: a photograph of twelve megapixels takes 36 MB, and filling so
//! much fresh memory takes as long as decoding.

use swiftformer_kernels::Kernels;

use super::decode::{RowDecoder, decode_scaled};
use super::processor::Geometry;
use super::resize::{Sweep, check};
use super::{
    DecodeLimits, Filter, Image, ImageError, ImageFormat, Orientation, Preprocessor, RgbImage, Scale, Window, exif,
    sniff,
};
use crate::tensor::Tensor;

/// How files are read, beyond what a [`Preprocessor`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// What decoding may cost.
    pub limits: DecodeLimits,
    /// Whether large JPEGs are decoded at a fraction of their size, the smallest one at which both sides keep the pixels
    /// that the resize asks for (Pillow's `Image.draft` with that size, then the same preprocessing). Several times
    /// faster for photographs of many megapixels, and **not bit-equal** to decoding in full: what shrinks the image first
    /// is a box, not the antialiasing filter. See [`decode_scaled`] for the files that it concerns.
    pub scaled_decoding: bool,
}

impl Preprocessor {
    /// What [`Self::apply`] gives for the image that [`decode`](super::decode()) gives for `bytes`, without the image being
    /// kept where it need not be turned.
    ///
    /// # Errors
    /// Those of [`decode`](super::decode()) and [`Self::apply`].
    ///
    /// ```
    /// use swiftformer::image::{FileOptions, Preset};
    ///
    /// let gif = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    /// let pixels = Preset::Hf.preprocessor(224, 224).apply_to_file(gif, &FileOptions::default())?;
    /// assert_eq!(pixels.shape(), [3, 224, 224]);
    /// # Ok::<(), swiftformer::image::ImageError>(())
    /// ```
    pub fn apply_to_file(&self, bytes: &[u8], options: &FileOptions) -> Result<Tensor, ImageError> {
        let prepared = self.file_bytes(bytes, options)?;
        Ok(self.planes(&prepared))
    }

    /// The same values in the order `[height, width, channels]`, and height and width.
    ///
    /// # Errors
    /// Those of [`Self::apply_to_file`].
    pub fn apply_to_file_nhwc(
        &self,
        bytes: &[u8],
        options: &FileOptions,
    ) -> Result<(Vec<f32>, [usize; 2]), ImageError> {
        let prepared = self.file_bytes(bytes, options)?;
        Ok((self.interleaved(&prepared), prepared.size))
    }

    /// The bytes that are normalised.
    ///
    /// # Errors
    /// Those of [`Self::apply_to_file`].
    pub fn file_bytes(&self, bytes: &[u8], options: &FileOptions) -> Result<PreparedBytes, ImageError> {
        if !matches!(self.channels, 1 | 3) {
            return Err(ImageError::Channels { found: self.channels });
        }
        let is_jpeg = sniff(bytes)? == ImageFormat::Jpeg;
        let turned = is_jpeg
            && self.orientation == Orientation::Apply
            && exif::turns(exif::orientation_tag(bytes, ImageFormat::Jpeg));
        let choose = |width: usize, height: usize| self.scale(options, turned, (width, height));
        let whole = |scale: Scale| -> Result<PreparedBytes, ImageError> {
            self.prepared(&decode_scaled(bytes, self.orientation, &options.limits, scale)?)
        };
        if !is_jpeg {
            return whole(Scale::Full);
        }
        let mut scale = Scale::Full;
        let decoder = RowDecoder::new(bytes, &options.limits, |width, height| {
            scale = choose(width, height);
            scale
        })?;
        match decoder {
            Some(decoder) if !turned && self.filter != Filter::Nearest => match self.channels {
                3 => self.swept::<3>(decoder, |sweep, row| sweep.push(row), self.fill()),
                _ => {
                    let mut luma = Vec::new();
                    let push = |sweep: &mut Sweep<1>, row: &[u8]| {
                        luma.clear();
                        luma.extend(row.as_chunks::<3>().0.iter().map(|&[r, g, b]| super::rgb::luma(r, g, b)));
                        sweep.push(&luma);
                    };
                    self.swept::<1>(decoder, push, self.gray_fill())
                }
            },
            _ => whole(scale),
        }
    }

    /// The fraction at which a JPEG of such sides, as stored, is decoded.
    fn scale(&self, options: &FileOptions, turned: bool, (width, height): (usize, usize)) -> Scale {
        let (width, height) = if turned { (height, width) } else { (width, height) };
        let target = |geometry: Geometry| (geometry.width, geometry.height);
        match self.geometry(width, height).map(target) {
            Ok(target) if options.scaled_decoding => Scale::draft((width, height), target),
            _ => Scale::Full,
        }
    }

    /// Feeds the decoder's rows to a resize.
    fn swept<const CHANNELS: usize>(
        &self,
        decoder: RowDecoder<'_>,
        mut push: impl FnMut(&mut Sweep<CHANNELS>, &[u8]),
        fill: [u8; CHANNELS],
    ) -> Result<PreparedBytes, ImageError> {
        let (width, height) = decoder.size();
        let geometry = self.geometry(width, height)?;
        let window = Window { columns: geometry.columns.kept.clone(), rows: geometry.rows.kept.clone() };
        check(geometry.width, geometry.height, &window)?;
        let mut sweep =
            Sweep::<CHANNELS>::new((width, height), (geometry.width, geometry.height), self.filter, &window);
        tracing::debug!(width, height, kernels = %Kernels::detect().kind(), "decoding row by row");
        decoder.rows(sweep.source_rows(), &mut |row| push(&mut sweep, row));
        let kept = Image::<CHANNELS>::new(window.columns.len(), window.rows.len(), sweep.into_bytes())?;
        let padded = geometry.pad(kept, fill);
        Ok(PreparedBytes { size: [padded.height(), padded.width()], bytes: padded.into_data() })
    }

    fn prepared(&self, image: &RgbImage) -> Result<PreparedBytes, ImageError> {
        let (bytes, size) = self.input_bytes(image)?;
        Ok(PreparedBytes { bytes, size })
    }
}

/// An image after resize and crop: interleaved bytes of the model's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedBytes {
    /// Row by row.
    pub bytes: Vec<u8>,
    /// Height and width.
    pub size: [usize; 2],
}
