//! Training, fine-tuning and distilling of SwiftFormer models, without Python.
