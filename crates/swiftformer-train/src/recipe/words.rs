//! Settings of a recipe that are one of a few words.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

words! {
    /// Which residual branches drop.
    DropRule {
        /// As the library that the config comes from.
        Auto,
        /// timm's.
        EveryBlock,
        /// The original's and transformers'.
        AttentionBlocks,
    }
}
words! {
    /// The attention of a stage: the paper's ablation.
    AttentionKind {
        /// SwiftFormer's own.
        Additive,
        /// Multi-head self-attention.
        SelfAttention,
        /// Between channels, as in XCiT.
        Transposed,
        /// With a context of all tokens, as in MobileViT-v2.
        Separable,
    }
}
words! {
    /// Which parts train.
    Parts {
        /// Everything.
        All,
        /// The heads.
        Heads,
    }
}
words! {
    /// What becomes of the heads of a trained model.
    HeadChoice {
        /// They stay where their labels are the classes of the data, and are made anew otherwise.
        Auto,
        /// They stay where their number fits.
        Keep,
        /// They are made anew.
        New,
    }
}
words! {
    /// The loss against the labels.
    BaseKind {
        /// Softmax.
        CrossEntropy,
        /// One sigmoid a class.
        Binary,
    }
}
words! {
    /// How the second head learns from a teacher.
    DistillationKind {
        /// Not at all.
        None,
        /// Towards its class.
        Hard,
        /// Towards its distribution.
        Soft,
    }
}
words! {
    /// The rule of the optimizer.
    RuleKind {
        /// AdamW.
        Adamw,
        /// Stochastic gradient descent.
        Sgd,
    }
}
words! {
    /// How gradients are bounded.
    ClipKind {
        /// Not at all.
        None,
        /// Adaptive, everywhere: the authors' script.
        Agc,
        /// Adaptive, but for the last two tensors: timm's script.
        AgcTimm,
        /// By the norm of all.
        Norm,
        /// By value.
        Value,
    }
}
words! {
    /// How the learning rate falls.
    ScheduleKind {
        /// Not at all.
        Constant,
        /// Half a cosine.
        Cosine,
        /// In steps.
        Step,
        /// By `step_factor` whenever top-1 has not risen for more than `plateau_epochs` epochs.
        Plateau,
    }
}
words! {
    /// Which value of the schedule an epoch trains at.
    StepReading {
        /// Its own.
        Timm,
        /// The one before: the authors' script.
        Original,
    }
}
words! {
    /// The numbers that matrices and convolutions are multiplied in.
    PrecisionKind {
        /// 32-bit floats.
        F32,
        /// bfloat16, on devices that have it; weights, norms, losses and the optimizer stay in 32 bits.
        Bf16,
    }
}
