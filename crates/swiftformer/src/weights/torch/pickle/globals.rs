//! The classes and functions that a checkpoint may name. None of them is executed: each is either rebuilt here as
//! plain data or kept as an opaque object.

use crate::tensor::DType;

/// A PyTorch element type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScalarType {
    /// Name without `torch.`, such as `float32`.
    pub(crate) name: &'static str,
    /// Name of the typed storage in `torch`.
    storage: &'static str,
    /// Bytes of one element.
    pub(crate) size: usize,
    /// The element type here, if there is one.
    pub(crate) dtype: Option<DType>,
}

const fn scalar(name: &'static str, storage: &'static str, size: usize, dtype: Option<DType>) -> ScalarType {
    ScalarType { name, storage, size, dtype }
}

static SCALARS: [ScalarType; 21] = [
    scalar("float32", "FloatStorage", 4, Some(DType::F32)),
    scalar("float16", "HalfStorage", 2, Some(DType::F16)),
    scalar("bfloat16", "BFloat16Storage", 2, Some(DType::BF16)),
    scalar("float64", "DoubleStorage", 8, Some(DType::F64)),
    scalar("int64", "LongStorage", 8, Some(DType::I64)),
    scalar("int32", "IntStorage", 4, Some(DType::I32)),
    scalar("uint8", "ByteStorage", 1, Some(DType::U8)),
    scalar("int16", "ShortStorage", 2, None),
    scalar("int8", "CharStorage", 1, None),
    scalar("bool", "BoolStorage", 1, None),
    scalar("complex64", "ComplexFloatStorage", 8, None),
    scalar("complex128", "ComplexDoubleStorage", 16, None),
    scalar("qint8", "QInt8Storage", 1, None),
    scalar("quint8", "QUInt8Storage", 1, None),
    scalar("qint32", "QInt32Storage", 4, None),
    // These have no typed storage; a storage name is never empty in a file that is read.
    scalar("uint16", "", 2, None),
    scalar("uint32", "", 4, None),
    scalar("uint64", "", 8, None),
    scalar("float8_e4m3fn", "", 1, None),
    scalar("float8_e5m2", "", 1, None),
    scalar("complex32", "", 4, None),
];

static UNTYPED: ScalarType = scalar("uint8", "UntypedStorage", 1, Some(DType::U8));

/// A class or function that may be named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Global {
    /// A mapping built from nothing, a mapping, or pairs.
    Dict,
    /// `collections.defaultdict`: the same after a factory.
    DefaultDict,
    List,
    Tuple,
    Set,
    /// `_rebuild_tensor`, `_rebuild_tensor_v2`.
    RebuildTensor,
    /// `_rebuild_tensor_v3`: over an untyped storage, with an element type.
    RebuildTensorV3,
    /// `_rebuild_parameter` and its `_with_state`: the tensor that is the first argument.
    RebuildParameter,
    /// `_rebuild_from_type_v2`: calls its first argument with its third.
    RebuildFromType,
    /// `torch.*Storage`.
    Storage(&'static ScalarType),
    /// `torch.float32` and the like.
    ScalarType(&'static ScalarType),
    /// Anything else that is allowed, by its full name.
    Opaque(&'static str),
}

/// Full names kept as opaque data. Paths, dates and NumPy values reach checkpoints through `args` and `epoch`.
const OPAQUE: &[&str] = &[
    "argparse.Namespace",
    "types.SimpleNamespace",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "_codecs.encode",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.core.numeric._frombuffer",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "pathlib._local.PurePosixPath",
    "pathlib._local.PureWindowsPath",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "torch.torch_version.TorchVersion",
    "builtins.bool",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.float",
    "builtins.int",
    "builtins.object",
    "builtins.range",
    "builtins.slice",
    "builtins.str",
];

impl Global {
    /// The global of this name, or `None` when it is not allowed.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        // Python 2 names.
        let module = if module == "__builtin__" { "builtins" } else { module };
        let name = if (module, name) == ("builtins", "xrange") { "range" } else { name };
        Some(match (module, name) {
            ("collections", "OrderedDict" | "Counter") | ("builtins", "dict") => Self::Dict,
            ("collections", "defaultdict") => Self::DefaultDict,
            ("builtins", "list") => Self::List,
            ("builtins", "tuple") | ("torch", "Size") => Self::Tuple,
            ("builtins", "set" | "frozenset") => Self::Set,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTensorV3,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch.storage" | "torch", "UntypedStorage") => Self::Storage(&UNTYPED),
            ("torch" | "torch.cuda", _) if name.ends_with("Storage") => {
                Self::Storage(SCALARS.iter().find(|scalar| scalar.storage == name)?)
            }
            ("torch", _) if SCALARS.iter().any(|scalar| scalar.name == name) => {
                Self::ScalarType(SCALARS.iter().find(|scalar| scalar.name == name)?)
            }
            _ => Self::Opaque(OPAQUE.iter().find(|full| {
                let (of, ending) = full.rsplit_once('.').unwrap_or_default();
                of == module && ending == name
            })?),
        })
    }

    /// The class's name for opaque objects.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Opaque(name) => name,
            Self::Dict => "collections.OrderedDict",
            Self::DefaultDict => "collections.defaultdict",
            Self::List => "builtins.list",
            Self::Tuple => "builtins.tuple",
            Self::Set => "builtins.set",
            Self::RebuildTensor | Self::RebuildTensorV3 | Self::RebuildParameter | Self::RebuildFromType => {
                "torch.Tensor"
            }
            Self::Storage(scalar) => scalar.storage,
            Self::ScalarType(scalar) => scalar.name,
        }
    }
}
