//! Data sets made on the spot.

use std::{fs, path::Path, sync::Arc};

use swiftformer::image::{RgbImage, encode_png};
use swiftformer_train::data::{Dataset, OpenOptions, Splits, open};
use tempfile::TempDir;

/// A folder that is removed in the end.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A small PNG.
    pub fn image(&self, name: &str, colour: [u8; 3]) {
        self.write(name, &png(9, 7, colour));
    }

    pub fn open(&self) -> Splits {
        open(self.path(), &OpenOptions::default()).unwrap()
    }

    /// Why it cannot be opened.
    pub fn error(&self) -> String {
        open(self.path(), &OpenOptions::default()).unwrap_err().to_string()
    }
}

/// A pattern that begins with `colour`.
pub fn png(width: usize, height: usize, colour: [u8; 3]) -> Vec<u8> {
    let mut image = RgbImage::filled(width, height, colour);
    image.data_mut().iter_mut().enumerate().skip(3).for_each(|(at, byte)| *byte = byte.wrapping_add(at as u8));
    let mut bytes = Vec::new();
    encode_png(&image, &mut bytes).unwrap();
    bytes
}

/// Classes `a`, `b`, `c` with `count` images each; red tells the class, green the number.
pub fn three_classes(count: u8) -> Folder {
    let folder = Folder::new();
    for (label, class) in ["a", "b", "c"].into_iter().enumerate() {
        for number in 0..count {
            folder.image(&format!("{class}/{number:03}.png"), [label as u8 * 50, number, 9]);
        }
    }
    folder
}

/// Names without the folder they are in.
pub fn names(data: &Arc<dyn Dataset>, folder: &Folder) -> Vec<String> {
    let root = format!("{}/", folder.path().display());
    (0..data.len()).map(|index| data.name(index).replace(&root, "")).collect()
}
