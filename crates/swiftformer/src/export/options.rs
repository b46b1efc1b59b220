//! What to export, and in which of the forms that runtimes prefer.

use std::{fmt, str::FromStr};

use crate::image::MAX_RESIZED_SIDE;

/// Images that one run of the exported model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Always this many, at least one.
    Fixed(usize),
    /// Any number.
    Dynamic,
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "dynamic" => Ok(Self::Dynamic),
            Ok(count) if (1..=65_536).contains(&count) => Ok(Self::Fixed(count)),
            _ => Err(format!("`{text}` is no batch size; give a number from 1 to 65536, or dynamic")),
        }
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(count) => write!(f, "{count}"),
            Self::Dynamic => f.write_str("dynamic"),
        }
    }
}

/// Size of the images that come in where the file resizes them itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Always this `[height, width]`.
    Fixed([usize; 2]),
    /// Any size.
    Any,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |side: &str| side.parse::<usize>().ok().filter(|side| (1..=MAX_RESIZED_SIDE).contains(side));
        let sides = text.split_once(['x', 'X', '×']).and_then(|(height, width)| Some([side(height)?, side(width)?]));
        match sides {
            _ if text == "any" => Ok(Self::Any),
            Some(sides) => Ok(Self::Fixed(sides)),
            None => Err(format!("`{text}` is no size of images; give HEIGHTxWIDTH in pixels, such as 480x640, or any")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed([height, width]) => write!(f, "{height}x{width}"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// A choice by name.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every choice.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|choice| choice.name() == name).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|choice| choice.name()).collect();
                    format!("`{name}` is no {}; choose {}", $what, names.join(", "))
                })
            }
        }
    };
}

pub(super) use named;

named! {
    /// What weights and values are stored as.
    FloatType, "precision" {
        /// 32-bit floats.
        #[default]
        F32 = "f32",
        /// 16-bit IEEE floats.
        F16 = "f16",
    }
}

named! {
    /// How GELU is written.
    GeluForm, "form of GELU" {
        /// `x · ½ (1 + erf(x / √2))`, in a pattern that runtimes know.
        #[default]
        Exact = "exact",
        /// The tanh approximation: other numbers, in the fourth digit, by less costly operations.
        Tanh = "tanh",
        /// The format's own operation.
        Op = "op",
    }
}

named! {
    /// How L2 normalisation is written.
    NormForm, "form of the norm" {
        /// Mul, ReduceSum, Sqrt, Max, Div: every runtime has them.
        #[default]
        Portable = "portable",
        /// ReduceL2, Add, Div: what Qualcomm's compiler recognises as one operation.
        Qnn = "qnn",
    }
}

named! {
    /// What the exported model gives.
    OutputKind, "kind of output" {
        /// `logits [N, labels]`.
        #[default]
        Logits = "logits",
        /// `probabilities [N, labels]`, the softmax of the logits.
        Probabilities = "probabilities",
        /// `features_0`, …: the map behind every stage, `[N, C, H, W]`.
        Features = "features",
        /// `embedding [N, C]`, the pooled features before the heads.
        Embedding = "embedding",
    }
}

/// How to export a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// `[height, width]` of the images; `None` for the size that the model was made for.
    pub size: Option<[usize; 2]>,
    /// Images of a run.
    pub batch: Batch,
    /// What weights and values are stored as.
    pub precision: FloatType,
    /// How GELU is written.
    pub gelu: GeluForm,
    /// How L2 normalisation is written.
    pub norm: NormForm,
    /// What the model gives.
    pub outputs: OutputKind,
    /// Takes bytes `[N, H, W, C]` from 0 to 255 of an image, and normalises them.
    pub with_preprocessing: bool,
    /// With preprocessing: images of this size come in, and are resized and cropped first, as the model's preprocessing
    /// does. `None`: they are resized and cropped already.
    pub source: Option<Source>,
    /// Puts the names of the classes into the file.
    pub embed_labels: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            size: None,
            batch: Batch::Fixed(1),
            precision: FloatType::F32,
            gelu: GeluForm::Exact,
            norm: NormForm::Portable,
            outputs: OutputKind::Logits,
            with_preprocessing: false,
            source: None,
            embed_labels: false,
        }
    }
}
