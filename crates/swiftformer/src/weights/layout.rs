//! Which layout a set of tensors uses, and its names brought to that layout's plain form.

use crate::{
    excerpt::excerpt,
    tensor::{RawTensor, TensorMap},
};

use super::names::Layout;

/// Characters of a name that a message shows.
const SHOWN: usize = 200;

/// Tensors whose layout is known, under the plain names of [`super::names::Names`]; TensorFlow's are already turned into
/// PyTorch's names and axes (layout [`Layout::HuggingFace`]).
#[derive(Debug)]
pub struct Recognised {
    /// The layout of the file.
    pub source: Layout,
    /// The layout of the names in `tensors`: `source`, or Hugging Face's for TensorFlow.
    pub layout: Layout,
    /// The tensors.
    pub tensors: TensorMap,
}

/// A set of tensors that is no SwiftFormer.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No name of a stem was found.
    #[error(
        "these {count} tensors are not a SwiftFormer's: no stem convolution under any known name \
         (first tensors: {})", first.iter().map(|name| excerpt(name, SHOWN)).collect::<Vec<_>>().join(", ")
    )]
    Unknown {
        /// How many tensors there are.
        count: usize,
        /// The first names.
        first: Vec<String>,
    },
    /// Two names that mean the same tensor.
    #[error(
        "the tensors `{}` and `{}` are the same parameter under two names",
        excerpt(first, SHOWN),
        excerpt(second, SHOWN)
    )]
    Duplicate {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
}

/// Stem names by layout, as they end; what stands before is a wrapper's prefix such as `backbone.`.
const STEMS: [(&str, Layout); 4] = [
    ("patch_embed.patch_embedding.0.weight", Layout::HuggingFace),
    ("patch_embed.0.weight", Layout::Original),
    ("stem.0.weight", Layout::Timm),
    ("stem_0.weight", Layout::Timm),
];

/// Part of every TensorFlow name; `for_image_classification` or `model` follows.
const TENSORFLOW_ROOT: &str = "tf_swift_former";

/// Finds the layout by the stem's name and brings every name to the layout's plain form: no wrapper's prefix, no
/// flattened `stages_0`, `Proj` where the layout says so.
///
/// # Errors
/// When no stem is found, or two names fall together.
pub fn recognise(tensors: TensorMap) -> Result<Recognised, LayoutError> {
    if tensors.keys().any(|name| name.ends_with(":0") && name.contains(TENSORFLOW_ROOT)) {
        let tensors = renamed(tensors, from_tensorflow)?;
        return Ok(Recognised { source: Layout::TensorFlow, layout: Layout::HuggingFace, tensors });
    }
    let stem = STEMS.iter().find_map(|&(ending, layout)| {
        let prefix = tensors.keys().find_map(|name| name.strip_suffix(ending))?;
        Some((prefix.to_owned(), layout))
    });
    let Some((prefix, layout)) = stem else {
        let first = tensors.keys().take(5).cloned().collect();
        return Err(LayoutError::Unknown { count: tensors.len(), first });
    };
    // transformers' base model has no `swiftformer.`; as part of the classifier that is the prefix.
    let prefix = match layout {
        Layout::HuggingFace => prefix.strip_suffix("swiftformer.").unwrap_or(&prefix).to_owned(),
        _ => prefix,
    };
    let tensors = renamed(tensors, |name, tensor| {
        let plain = plain_name(name.strip_prefix(&prefix).unwrap_or(&name), layout);
        (plain, tensor)
    })?;
    Ok(Recognised { source: layout, layout, tensors })
}

fn renamed(
    tensors: TensorMap,
    rename: impl Fn(String, RawTensor) -> (String, RawTensor),
) -> Result<TensorMap, LayoutError> {
    let mut result = TensorMap::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let (plain, tensor) = rename(name.clone(), tensor);
        if result.contains_key(&plain) {
            return Err(LayoutError::Duplicate { first: plain, second: name });
        }
        result.insert(plain, tensor);
    }
    Ok(result)
}

fn plain_name(name: &str, layout: Layout) -> String {
    match layout {
        Layout::HuggingFace if name.starts_with("patch_embed.") || name.starts_with("encoder.") => {
            format!("swiftformer.{name}")
        }
        Layout::Timm => match name.strip_prefix("stem_").map(|rest| ("stem.", rest)) {
            Some((start, rest)) => format!("{start}{rest}"),
            None => match name.strip_prefix("stages_") {
                Some(rest) => format!("stages.{rest}"),
                None => name.replace(".attn.Proj.", ".attn.proj."),
            },
        },
        Layout::Original => name.replace(".attn.proj.", ".attn.Proj."),
        Layout::HuggingFace | Layout::TensorFlow => name.replace(".attn.Proj.", ".attn.proj."),
    }
}

/// A TensorFlow tensor under transformers' PyTorch name, its axes in PyTorch's order.
///
/// Convolution kernels are HWIO (depthwise ones too, as grouped convolutions), dense kernels are `[in, out]`, layer
/// scales are flat.
fn from_tensorflow(path: String, tensor: RawTensor) -> (String, RawTensor) {
    let inner = match path.find(TENSORFLOW_ROOT).and_then(|at| path[at..].find('/').map(|slash| at + slash + 1)) {
        Some(start) => &path[start..],
        None => &path[..],
    };
    let inner = inner.strip_suffix(":0").unwrap_or(inner);
    let mut parts: Vec<&str> = inner.split('/').collect();
    let leaf = parts.last().copied().unwrap_or_default();
    let rank = tensor.shape().len();
    let tensor = match leaf {
        "kernel" if rank == 4 => tensor.transposed(&[3, 2, 0, 1]),
        "kernel" if rank == 2 => tensor.transposed(&[1, 0]),
        _ if leaf.starts_with("layer_scale") && rank == 1 => {
            let channels = tensor.shape()[0];
            tensor.reshaped([channels, 1, 1]).unwrap_or(tensor)
        }
        _ => tensor,
    };
    if let Some(last) = parts.last_mut() {
        *last = match *last {
            "kernel" | "gamma" => "weight",
            "beta" => "bias",
            "moving_mean" => "running_mean",
            "moving_variance" => "running_var",
            other => other,
        };
    }
    (parts.join(".").replace("_._", "."), tensor)
}

/// A tensor in TensorFlow's axes; the inverse of reading.
pub(super) fn to_tensorflow(tensor: &RawTensor, kind: crate::arch::ParamKind) -> RawTensor {
    use crate::arch::ParamKind;
    match kind {
        ParamKind::ConvWeight | ParamKind::DepthwiseWeight => tensor.transposed(&[2, 3, 1, 0]),
        ParamKind::LinearWeight => tensor.transposed(&[1, 0]),
        ParamKind::LayerScale => {
            let channels = tensor.shape().first().copied().unwrap_or(0);
            tensor.reshaped([channels]).unwrap_or_else(|_| tensor.clone())
        }
        _ => tensor.clone(),
    }
}
