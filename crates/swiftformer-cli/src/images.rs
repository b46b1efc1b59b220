//! Images on their way to a model: decoded on several threads, handed on in order and in batches of equal size.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, anyhow, bail};
use swiftformer::{
    image::{FileOptions, Preprocessor, RgbImage, decode, sniff},
    tensor::Tensor,
};

use crate::{
    inputs::Input,
    interrupt,
    ordered::{Caught, ordered_map},
    progress::Progress,
};

/// Longer files are no photographs; refused before they are read, in bytes.
const MAX_FILE: u64 = 160 << 20;
/// Enough of a file to tell what it is.
const HEAD: usize = 512;

/// How images are prepared.
#[derive(Clone, Copy)]
pub struct Preparation<'a> {
    /// What happens to the pixels.
    pub preprocessor: &'a Preprocessor,
    /// Threads that decode.
    pub threads: usize,
    /// Most images in a batch.
    pub batch: usize,
    /// Whether large JPEGs are decoded at a fraction of their size.
    pub fast_decode: bool,
    /// Whether the photograph itself is wanted later.
    pub keep_photograph: bool,
    /// Whether results are printed as they come.
    pub results_to_stdout: bool,
}

/// An image ready for the model.
pub struct Prepared {
    /// `[channels, height, width]`.
    pub pixels: Tensor,
    /// The photograph, where it was asked for.
    pub photograph: Option<RgbImage>,
}

/// One image of a batch, or why it is none.
pub struct Item<'a> {
    /// Where it comes from.
    pub input: &'a Input,
    /// The image.
    pub image: anyhow::Result<Prepared>,
}

/// Hands every input to `consume`, in order. The images of one call have equal sizes; those that failed come along at
/// their place. Ctrl-C ends it early.
///
/// # Errors
/// Those of `consume`.
pub fn for_each_batch<'a>(
    inputs: &'a [Input],
    preparation: Preparation<'_>,
    mut consume: impl FnMut(Vec<Item<'a>>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    interrupt::finish_work_in_hand();
    let mut progress = Progress::images(inputs.len(), preparation.results_to_stdout);
    let mut batch: Vec<Item<'a>> = Vec::new();
    let mut size = None;
    let mut good = 0;
    let window = preparation.threads + preparation.batch;
    ordered_map(
        inputs,
        preparation.threads,
        window,
        |input| prepare(input, preparation),
        |index, result| {
            if interrupt::requested() {
                return Ok(false);
            }
            let image = unpanicked(result);
            if let Ok(image) = &image {
                let its_size = image.pixels.shape().to_vec();
                if good == preparation.batch || size.as_ref().is_some_and(|size| *size != its_size) {
                    consume(std::mem::take(&mut batch))?;
                    good = 0;
                }
                size = Some(its_size);
                good += 1;
            }
            batch.push(Item { input: &inputs[index], image });
            // A failure with nothing good before it has nothing to wait for.
            if good == preparation.batch || good == 0 {
                consume(std::mem::take(&mut batch))?;
                good = 0;
            }
            progress.set(index as u64 + 1);
            anyhow::Ok(true)
        },
    )?;
    if batch.is_empty() { Ok(()) } else { consume(batch) }
}

/// The good images of a batch as one tensor `[N, channels, height, width]`; `None` when there are none.
pub fn stack(items: &[Item<'_>]) -> anyhow::Result<Option<Tensor>> {
    let images: Vec<&Tensor> = items.iter().filter_map(|item| Some(&item.image.as_ref().ok()?.pixels)).collect();
    let Some(first) = images.first() else { return Ok(None) };
    let mut shape = vec![images.len()];
    shape.extend(first.shape());
    let data = images.iter().flat_map(|image| image.data()).copied().collect();
    Ok(Some(Tensor::new(shape, data)?))
}

fn unpanicked<R>(result: Caught<anyhow::Result<R>>) -> anyhow::Result<R> {
    // The panic's own message is on stderr already.
    result.unwrap_or_else(|_| Err(anyhow!("the decoder broke down on this file")))
}

fn prepare(input: &Input, preparation: Preparation<'_>) -> anyhow::Result<Prepared> {
    if let Some(error) = &input.error {
        bail!("{error}");
    }
    let bytes = read(&input.path)?;
    let Preparation { preprocessor, keep_photograph, fast_decode, .. } = preparation;
    let options = FileOptions { scaled_decoding: fast_decode, ..FileOptions::default() };
    if !keep_photograph {
        return Ok(Prepared { pixels: preprocessor.apply_to_file(&bytes, &options)?, photograph: None });
    }
    let photograph = decode(&bytes, preprocessor.orientation, &options.limits)?;
    // The same pixel values, whether or not the photograph is kept.
    let pixels = match fast_decode {
        true => preprocessor.apply_to_file(&bytes, &options)?,
        false => preprocessor.apply(&photograph)?,
    };
    Ok(Prepared { pixels, photograph: Some(photograph) })
}

/// Reads a file that begins like an image. Anything else is refused after its first bytes, however long it is.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || -> std::io::Result<Result<Vec<u8>, anyhow::Error>> {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        file.by_ref().take(HEAD as u64).read_to_end(&mut bytes)?;
        if let Err(error) = sniff(&bytes) {
            return Ok(Err(error.into()));
        }
        let length = file.metadata()?.len();
        if length <= MAX_FILE {
            file.take(MAX_FILE + 1 - bytes.len() as u64).read_to_end(&mut bytes)?;
        }
        if length.max(bytes.len() as u64) > MAX_FILE {
            return Ok(Err(anyhow!("longer than {} MiB, too long for an image", MAX_FILE >> 20)));
        }
        Ok(Ok(bytes))
    };
    read().context("cannot read the file")?
}
