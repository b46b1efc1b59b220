//! Data sets, and batches of them for training and evaluation.
//!
//! ```text
//! path ─ open ─→ Splits { train, validation } ─ Loader ─ worker threads: read, decode, augment ─→ Batch, in order
//! ```
//!
//! | at the path | read as |
//! |---|---|
//! | folders of images, one a class; or `train/` and `val/` with such folders | [`ImageFolder`] |
//! | `data_batch_1.bin` … `test_batch.bin`, or `train.bin` and `test.bin` | [`Cifar`]-10 or -100 |
//! | `train2018.json` or `train2019.json` | [`INaturalist`] |
//! | `.tar` files, `train` and `val` told by their names or folders | [`WebDataset`] |
//! | `.parquet` files, likewise | `ParquetImages` (feature `parquet`) |

mod batch;
mod cifar;
mod classes;
mod error;
mod folder;
mod inaturalist;
mod loader;
mod open;
mod order;
#[cfg(feature = "parquet")]
mod parquet;
mod shards;
mod split;
mod webdataset;

use std::fmt::Debug;

use swiftformer::image::{Orientation, RgbImage};

pub use batch::Batch;
pub use cifar::{Cifar, CifarLabels};
pub use classes::{ClassMismatch, match_classes};
pub use error::DataError;
pub use folder::ImageFolder;
pub use inaturalist::{Category, INaturalist};
pub use loader::{Broken, Epoch, Loader, LoaderOptions, Position, TrainView, View};
pub use open::{OpenOptions, Splits, open, open_for_evaluation};
pub use order::{Order, Shard};
#[cfg(feature = "parquet")]
pub use parquet::ParquetImages;
pub use split::Subset;
pub use webdataset::WebDataset;

/// Images with one label each, read by number.
pub trait Dataset: Debug + Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes; labels are positions in this list.
    fn classes(&self) -> &[String];

    /// The label of image `index`.
    ///
    /// # Panics
    /// When there is no such image.
    fn label(&self, index: usize) -> usize;

    /// Where image `index` comes from, for messages: a file, and the entry in it.
    ///
    /// # Panics
    /// When there is no such image.
    fn name(&self, index: usize) -> String;

    /// Reads and decodes image `index`.
    ///
    /// # Errors
    /// When the file cannot be read or decoded; the error names it.
    ///
    /// # Panics
    /// When there is no such image.
    fn read(&self, index: usize, orientation: Orientation) -> Result<RgbImage, DataError>;
}
