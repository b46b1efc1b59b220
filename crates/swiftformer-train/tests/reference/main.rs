//! Against timm, torchvision, Pillow and PyTorch.

mod augment;
mod golden;
mod metrics;
