//! The formats that a lowered network is printed in.

use std::{fmt, str::FromStr};

use super::{Artifact, ExportError, FloatType, Lowered, coreml, litert, ncnn, onnx, options::named};

named! {
    /// A file format.
    Format, "format" {
        /// ONNX, for ONNX Runtime, OpenVINO, TensorRT, Qualcomm's tools and others.
        #[default]
        Onnx = "onnx",
        /// A Core ML package, for iOS 16, macOS 13 and later.
        CoreMl = "coreml",
        /// LiteRT (TensorFlow Lite), for Android and others.
        LiteRt = "litert",
        /// ncnn, for phones and small computers.
        Ncnn = "ncnn",
    }
}

impl Format {
    /// The end of its files' names, where runtimes and people know them by it.
    pub fn extension(self) -> Option<&'static str> {
        match self {
            Self::Onnx => Some("onnx"),
            Self::CoreMl => Some("mlpackage"),
            Self::LiteRt => Some("tflite"),
            Self::Ncnn => None,
        }
    }

    /// What weights and values are stored as unless one says so: Apple's neural engine computes in 16-bit floats.
    pub fn default_precision(self) -> FloatType {
        if self == Self::CoreMl { FloatType::F16 } else { FloatType::F32 }
    }

    /// Prints a lowered network.
    ///
    /// # Errors
    /// When the format cannot express it.
    pub fn print(self, lowered: &Lowered) -> Result<Artifact, ExportError> {
        if lowered.options.source.is_some() && self != Self::Onnx {
            return Err(ExportError::Inexpressible {
                format: self.name(),
                what: "a resize with antialiasing, as the model was trained with".to_owned(),
                change: "leave out --source-size and resize images before".to_owned(),
            });
        }
        match self {
            Self::Onnx => onnx::print(lowered),
            Self::CoreMl => coreml::print(lowered),
            Self::LiteRt => litert::print(lowered),
            Self::Ncnn => ncnn::print(lowered),
        }
    }
}
