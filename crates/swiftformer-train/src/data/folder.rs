//! A folder with a folder of images for each class.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use swiftformer::image::{DecodeLimits, Orientation, RgbImage, open};

use super::{DataError, Dataset};

/// How deep folders of a class may be nested; links may form circles.
const MAX_DEPTH: usize = 16;

/// What names of image files end in, in lower case.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jfif"];

/// `root/class/….jpg`: classes are folders in the order of their names, as torchvision's `ImageFolder`. Folders inside a
/// class belong to it. Hidden files and files that are not named like images are passed over.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<String>,
    /// Paths below the root, and labels.
    files: Vec<(PathBuf, usize)>,
}

/// Something in a folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// Whether it is a folder, or a link to one.
    pub(super) is_folder: bool,
}

/// Entries of a folder that are not hidden, by name.
pub(super) fn entries(folder: &Path) -> Result<BTreeMap<String, Entry>, DataError> {
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(DataError::read(folder))? {
        let entry = entry.map_err(DataError::read(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            let path = entry.path();
            // The listing knows already: asking about each of a million files would take seconds.
            let kind = entry.file_type().map_err(DataError::read(&path))?;
            let is_folder = kind.is_dir() || kind.is_symlink() && path.is_dir();
            entries.insert(name, Entry { path, is_folder });
        }
    }
    Ok(entries)
}

/// Whether a file is named like an image.
pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// Folders in `root` by name: its classes.
pub(super) fn class_folders(root: &Path) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let folders = entries(root)?.into_iter().filter(|(_, entry)| entry.is_folder);
    Ok(folders.map(|(name, entry)| (name, entry.path)).collect())
}

fn collect(folder: &Path, label: usize, depth: usize, files: &mut Vec<(PathBuf, usize)>) -> Result<(), DataError> {
    for Entry { path, is_folder } in entries(folder)?.into_values() {
        if is_folder {
            if depth >= MAX_DEPTH {
                return Err(DataError::layout(&path, format!("folders nested deeper than {MAX_DEPTH}")));
            }
            collect(&path, label, depth + 1, files)?;
        } else if is_image(&path) {
            files.push((path, label));
        }
    }
    Ok(())
}

impl ImageFolder {
    /// Lists the images below `root`; no image is read.
    ///
    /// # Errors
    /// When a folder cannot be read, there is no class, or a class has no image.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let folders = class_folders(root)?;
        if folders.is_empty() {
            return Err(DataError::layout(root, "no folders in it; expected one a class, with images"));
        }
        let classes = folders.keys().cloned().collect();
        Self::list(root, folders, classes, true)
    }

    /// Lists the images below `root` with the classes of the training images; some may be missing.
    ///
    /// # Errors
    /// Those of [`Self::open`], and when there is a class that is not among `classes`.
    pub fn open_with_classes(root: &Path, classes: &[String]) -> Result<Self, DataError> {
        let folders = class_folders(root)?;
        if let Some(class) = folders.keys().find(|&class| !classes.contains(class)) {
            return Err(DataError::UnknownClass { path: root.to_owned(), class: class.clone(), count: classes.len() });
        }
        let folder = Self::list(root, folders, classes.to_vec(), false)?;
        if folder.is_empty() {
            return Err(DataError::layout(root, "no images in it"));
        }
        Ok(folder)
    }

    fn list(
        root: &Path,
        folders: BTreeMap<String, PathBuf>,
        classes: Vec<String>,
        all_needed: bool,
    ) -> Result<Self, DataError> {
        let mut files = Vec::new();
        let labels: BTreeMap<&String, usize> =
            classes.iter().enumerate().map(|(label, class)| (class, label)).collect();
        for (class, folder) in folders {
            let before = files.len();
            collect(&folder, labels[&class], 0, &mut files)?;
            if files.len() == before && all_needed {
                return Err(DataError::EmptyClass { path: root.to_owned(), class });
            }
        }
        for (path, _) in &mut files {
            if let Ok(below) = path.strip_prefix(root) {
                *path = below.to_owned();
            }
        }
        drop(labels);
        Ok(Self { root: root.to_owned(), classes, files })
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.files[index].1
    }

    fn name(&self, index: usize) -> String {
        self.root.join(&self.files[index].0).display().to_string()
    }

    fn read(&self, index: usize, orientation: Orientation) -> Result<RgbImage, DataError> {
        read_image(&self.root.join(&self.files[index].0), orientation)
    }
}

/// Reads and decodes an image file.
pub(super) fn read_image(path: &Path, orientation: Orientation) -> Result<RgbImage, DataError> {
    // The image's error has the path already; ours would say it twice.
    open(path, orientation, &DecodeLimits::default()).map_err(|error| match error {
        swiftformer::image::ImageError::Read { path, source } => DataError::Read { path, source },
        swiftformer::image::ImageError::File { path, source } => {
            DataError::Image { name: path.display().to_string(), source: *source }
        }
        source => DataError::Image { name: path.display().to_string(), source },
    })
}
