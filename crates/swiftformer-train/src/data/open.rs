//! Recognising what lies at a path.

use std::{path::Path, sync::Arc};

use super::{
    Category, Cifar, CifarLabels, DataError, Dataset, INaturalist, ImageFolder, WebDataset, cifar,
    folder::{self, class_folders},
    inaturalist,
    shards::{self, Shards},
    split::split,
};

/// How a data set is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Share of each class that is kept for validation where the data set has no such images, 0 to 1 exclusive.
    pub validation_share: f64,
    /// Decides which images those are.
    pub seed: u64,
    /// Which labels of CIFAR-100 are wanted.
    pub cifar_labels: CifarLabels,
    /// Which rank of iNaturalist's categories is wanted.
    pub category: Category,
}

impl Default for OpenOptions {
    /// A tenth, seed 0, fine labels, species.
    fn default() -> Self {
        Self { validation_share: 0.1, seed: 0, cifar_labels: CifarLabels::Fine, category: Category::Name }
    }
}

/// The two parts of a data set, with the same classes.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Images to learn from.
    pub train: Arc<dyn Dataset>,
    /// Images to judge by.
    pub validation: Arc<dyn Dataset>,
}

/// What a path holds, before the parts are checked.
struct Found {
    /// The images to learn from, or all.
    train: Arc<dyn Dataset>,
    /// The images to judge by, where they are set apart.
    validation: Option<Arc<dyn Dataset>>,
}

/// The folder of `root` that is named by one of `names`, in their order.
fn subfolder(root: &Path, names: &[&str]) -> Option<std::path::PathBuf> {
    names.iter().map(|name| root.join(name)).find(|path| path.is_dir())
}

/// Whether a folder in `root` has an image in it, as those of classes have. Looks no further than the first.
fn has_images(root: &Path) -> bool {
    let folders = class_folders(root).unwrap_or_default();
    let files = folders.values().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    files.filter_map(Result::ok).any(|file| folder::is_image(&file.path()))
}

/// Opens both parts, the second with the classes of the first.
fn pair<D: Dataset + 'static>(
    Shards { train, validation }: &Shards,
    open: impl Fn(&[std::path::PathBuf], Option<&[String]>) -> Result<D, DataError>,
) -> Result<Found, DataError> {
    let train = open(train, None)?;
    let validation = match validation.is_empty() {
        true => None,
        false => Some(Arc::new(open(validation, Some(train.classes()))?) as Arc<dyn Dataset>),
    };
    Ok(Found { train: Arc::new(train), validation })
}

#[cfg(feature = "parquet")]
fn parquet(_: &Path, shards: &Shards) -> Result<Found, DataError> {
    pair(shards, super::ParquetImages::open)
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _: &Shards) -> Result<Found, DataError> {
    Err(DataError::layout(path, "Parquet files, which this build does not read (feature `parquet`)"))
}

fn find(path: &Path, options: &OpenOptions) -> Result<Found, DataError> {
    // Says why the path itself cannot be used, before anything is looked for in it.
    std::fs::metadata(path).map_err(DataError::read(path))?;
    let cifar_folder = ["", "cifar-10-batches-bin", "cifar-100-binary"].map(|name| path.join(name));
    if let Some(folder) = cifar_folder.iter().find(|folder| cifar::is_cifar(folder)) {
        let open = |training| Cifar::open(folder, training, options.cifar_labels);
        return Ok(Found { train: Arc::new(open(true)?), validation: Some(Arc::new(open(false)?)) });
    }
    if let Some(year) = inaturalist::year(path) {
        let (train, validation) = INaturalist::open(path, year, options.category)?;
        let validation = validation.map(|validation| Arc::new(validation) as Arc<dyn Dataset>);
        return Ok(Found { train: Arc::new(train), validation });
    }
    let train = subfolder(path, &["train", "training"]);
    let folders = train.as_deref().is_some_and(has_images) || path.is_dir() && has_images(path);
    if !folders && let Some(shards) = shards::find(path, "tar")? {
        return pair(&shards, |files, classes| WebDataset::open(path, files, classes));
    }
    if !folders && let Some(shards) = shards::find(path, "parquet")? {
        return parquet(path, &shards);
    }
    if !path.is_dir() {
        return Err(DataError::layout(path, "it is a file, and neither .tar nor .parquet"));
    }
    let validation = subfolder(path, &["val", "validation", "valid", "test"]);
    if train.is_none()
        && let Some(only) = validation.as_deref().filter(|folder| has_images(folder))
    {
        return Ok(Found { train: Arc::new(ImageFolder::open(only)?), validation: None });
    }
    if let Some(train) = train {
        let train = ImageFolder::open(&train)?;
        let validation = match validation {
            Some(folder) => Some(Arc::new(ImageFolder::open_with_classes(&folder, train.classes())?) as Arc<_>),
            None => None,
        };
        return Ok(Found { train: Arc::new(train), validation });
    }
    if class_folders(path)?.is_empty() {
        let images = folder::entries(path)?.into_values().filter(|entry| folder::is_image(&entry.path)).count();
        let found = match images {
            0 => "no folders in it".to_owned(),
            images => format!("{images} images that are in no folder of a class"),
        };
        let expected = "expected a folder of images a class, train/ and val/ with such folders, .tar or .parquet files, \
                        CIFAR's .bin files, or iNaturalist's .json files";
        return Err(DataError::layout(path, format!("{found}; {expected}")));
    }
    Ok(Found { train: Arc::new(ImageFolder::open(path)?), validation: None })
}

fn at_least_two_classes(path: &Path, data: &dyn Dataset) -> Result<(), DataError> {
    match data.classes() {
        classes @ ([] | [_]) => Err(DataError::TooFewClasses { path: path.to_owned(), classes: classes.to_vec() }),
        _ => Ok(()),
    }
}

/// Opens the data set at `path` for training; see [the table](super) of what is read. Where no validation images are set
/// apart, a share of each class is split off.
///
/// # Errors
/// When nothing there is a data set, a class is empty, there are fewer than two, a label is out of range, or the share is
/// not between 0 and 1.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Splits, DataError> {
    if !(0.0..1.0).contains(&options.validation_share) || options.validation_share == 0.0 {
        let share = options.validation_share;
        return Err(DataError::Setting(format!("a share of {share} for validation: expected above 0 and below 1")));
    }
    let Found { train, validation } = find(path, options)?;
    at_least_two_classes(path, train.as_ref())?;
    match validation {
        Some(validation) => Ok(Splits { train, validation }),
        None => {
            let (train, validation) = split(&train, options.validation_share, options.seed);
            if validation.is_empty() {
                return Err(DataError::layout(path, "one image a class: nothing is left to validate with"));
            }
            Ok(Splits { train: Arc::new(train), validation: Arc::new(validation) })
        }
    }
}

/// Opens the data set at `path` to evaluate a model on it: the validation images where they are set apart, else all. A
/// single class will do.
///
/// # Errors
/// Those of [`open`] but for the number of classes.
pub fn open_for_evaluation(path: &Path, options: &OpenOptions) -> Result<Arc<dyn Dataset>, DataError> {
    let Found { train, validation } = find(path, options)?;
    Ok(validation.unwrap_or(train))
}
