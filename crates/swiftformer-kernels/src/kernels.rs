//! The choice of an instruction set, and the one place where generic kernels become functions for it.

use crate::isa::Isa;
use crate::precision::Precision;

/// A kernel body, written once for all instruction sets. `run` must be `#[inline(always)]`, and so must every generic
/// function below it, for only then is it compiled with the instructions enabled.
pub(crate) trait Kernel {
    /// What the kernel returns.
    type Output;
    /// Runs with the instructions that `isa` stands for.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// The list of instruction sets: a name in [`IsaKind`], the token type, the condition on the target, and the features
/// to enable. Dispatch, detection and the tests' lists follow from it. Best first.
macro_rules! isa_list {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $token:ty, if $target:meta, enable $features:tt;)+) => {
        /// An instruction set that kernels exist for. All variants exist on all targets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum IsaKind {
            $($(#[$doc])* $name,)+
        }

        impl IsaKind {
            /// Every instruction set that kernels exist for, on any target, best first.
            pub const ALL: &[IsaKind] = &[$(IsaKind::$name),+];

            /// Its name as users write it, e.g. `avx512`.
            pub fn name(self) -> &'static str {
                match self {
                    $(IsaKind::$name => $text,)+
                }
            }
        }

        #[derive(Clone, Copy)]
        enum Token {
            $(#[cfg($target)] $name($token),)+
        }

        impl Token {
            fn detect(kind: IsaKind) -> Option<Self> {
                match kind {
                    $(
                        #[cfg($target)]
                        IsaKind::$name => <$token>::detect().map(Self::$name),
                    )+
                    #[allow(unreachable_patterns, reason = "no target has every instruction set")]
                    _ => None,
                }
            }

            fn kind(self) -> IsaKind {
                match self {
                    $(#[cfg($target)] Self::$name(_) => <$token as Isa>::KIND,)+
                }
            }

            /// Floats in a vector, and vectors across a matrix tile.
            fn widths(self) -> (usize, usize) {
                match self {
                    $(#[cfg($target)] Self::$name(_) => (<$token as Isa>::LEN, <$token as Isa>::TILE_VECTORS),)+
                }
            }

            fn halves(self) -> bool {
                match self {
                    $(#[cfg($target)] Self::$name(_) => <$token as Isa>::HALVES,)+
                }
            }

            #[inline]
            fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
                match self {
                    $(
                        #[cfg($target)]
                        Self::$name(isa) => {
                            isa_list!(@entry $features, $token);
                            // SAFETY: `isa` exists only where `detect` found these features.
                            #[allow(unused_unsafe, reason = "nothing is enabled for baseline instruction sets")]
                            unsafe { entry(isa, kernel) }
                        }
                    )+
                }
            }
        }
    };
    (@entry none, $token:ty) => {
        fn entry<K: Kernel>(isa: $token, kernel: K) -> K::Output {
            kernel.run(isa)
        }
    };
    (@entry $features:literal, $token:ty) => {
        #[target_feature(enable = $features)]
        fn entry<K: Kernel>(isa: $token, kernel: K) -> K::Output {
            kernel.run(isa)
        }
    };
}

isa_list! {
    /// AVX-512 with BF16, and matrix products on AMX tiles.
    Amx = "amx", crate::isa::amx::Amx, if target_arch = "x86_64",
        enable "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma";
    /// AVX-512 F, VL, BW and DQ.
    Avx512 = "avx512", crate::isa::avx512::Avx512, if target_arch = "x86_64",
        enable "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma";
    /// AVX2 and FMA.
    Avx2 = "avx2", crate::isa::avx2::Avx2, if target_arch = "x86_64", enable "avx2,fma";
    /// 64-bit ARM's baseline.
    Neon = "neon", crate::isa::neon::Neon, if target_arch = "aarch64", enable "neon";
    /// WebAssembly SIMD, in modules compiled with it.
    Simd128 = "simd128", crate::isa::simd128::Simd128, if all(target_arch = "wasm32", target_feature = "simd128"),
        enable "simd128";
    /// Plain Rust, on every target.
    Scalar = "scalar", crate::isa::scalar::Scalar, if all(), enable none;
}

impl std::fmt::Display for IsaKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The kernels of one instruction set and one [`Precision`] (`f32` unless changed): proof that this CPU runs them, cheap
/// to copy.
///
/// ```
/// use swiftformer_kernels::{IsaKind, Kernels};
///
/// let best = Kernels::detect();
/// assert!(Kernels::available().contains(&best.kind()));
/// assert!(Kernels::with(IsaKind::Scalar).is_some());
/// ```
#[derive(Clone, Copy)]
pub struct Kernels(Token, Precision);

impl Kernels {
    /// The best instruction set of this CPU.
    pub fn detect() -> Self {
        let best = IsaKind::ALL.iter().find_map(|&kind| Self::with(kind));
        best.expect("the scalar kernels exist everywhere")
    }

    /// A given instruction set, or `None` where this CPU or this build lacks it.
    pub fn with(kind: IsaKind) -> Option<Self> {
        Token::detect(kind).map(|token| Self(token, Precision::F32))
    }

    /// The same instruction set; matrices are packed in `precision`.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self(self.0, precision)
    }

    /// The precision that matrices are packed in.
    pub fn precision(self) -> Precision {
        self.1
    }

    /// The best kernels of this CPU for products of a single row, which would leave most of a tile empty.
    pub fn for_single_rows(self) -> Self {
        let vectors = (self.kind() == IsaKind::Amx).then(|| Self::with(IsaKind::Avx512)).flatten();
        vectors.map_or(self, |kernels| kernels.with_precision(self.1))
    }

    /// All instruction sets of this CPU, best first.
    pub fn available() -> Vec<IsaKind> {
        IsaKind::ALL.iter().copied().filter(|&kind| Self::with(kind).is_some()).collect()
    }

    /// The instruction set chosen.
    pub fn kind(self) -> IsaKind {
        self.0.kind()
    }

    /// Floats in one vector register.
    pub fn vector_len(self) -> usize {
        self.0.widths().0
    }

    /// Vectors across a matrix tile.
    pub(crate) fn tile_vectors(self) -> usize {
        self.0.widths().1
    }

    /// Whether operations on half a vector take half the time of those on a whole one.
    pub(crate) fn halves(self) -> bool {
        self.0.halves()
    }

    #[inline]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.dispatch(kernel)
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Kernels").field(&self.kind()).field(&self.precision()).finish()
    }
}
