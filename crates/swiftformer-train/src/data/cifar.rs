//! CIFAR-10 and CIFAR-100 in their binary form.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    str::FromStr,
};

use swiftformer::image::{Orientation, RgbImage};

use super::{DataError, Dataset};

/// Pixels of a side.
const SIDE: usize = 32;
/// Bytes of an image: three planes.
const PIXELS: usize = 3 * SIDE * SIDE;

/// Which of CIFAR-100's labels is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CifarLabels {
    /// The 100 classes.
    #[default]
    Fine,
    /// The 20 groups of classes.
    Coarse,
}

impl CifarLabels {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Coarse => "coarse",
        }
    }
}

impl FromStr for CifarLabels {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Fine, Self::Coarse]
            .into_iter()
            .find(|labels| labels.name() == name)
            .ok_or_else(|| format!("`{name}` are no labels of CIFAR-100: fine or coarse"))
    }
}

/// Records of one or two label bytes and 3072 bytes of red, green and blue planes of 32 × 32 pixels.
#[derive(Debug)]
pub struct Cifar {
    classes: Vec<String>,
    /// Files, and how many records are in them and those before.
    files: Vec<(PathBuf, usize)>,
    labels: Vec<u8>,
    /// Label bytes of a record.
    label_bytes: usize,
}

/// Whether `folder` holds CIFAR-10 or CIFAR-100.
pub(super) fn is_cifar(folder: &Path) -> bool {
    folder.join("data_batch_1.bin").is_file() || folder.join("train.bin").is_file() && folder.join("test.bin").is_file()
}

/// The lines of a file of names; numbers when there is no such file.
fn names(path: &Path, count: usize) -> Result<Vec<String>, DataError> {
    if !path.is_file() {
        return Ok((0..count).map(|class| class.to_string()).collect());
    }
    let text = fs::read_to_string(path).map_err(DataError::read(path))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != count {
        return Err(DataError::malformed(path, format!("{} names, expected {count}", names.len())));
    }
    Ok(names)
}

impl Cifar {
    /// Opens the training or the test records in `folder`, and reads all labels.
    ///
    /// # Errors
    /// When a file is missing, is not a whole number of records, or has a label out of range.
    pub fn open(folder: &Path, training: bool, labels: CifarLabels) -> Result<Self, DataError> {
        let ten = folder.join("data_batch_1.bin").is_file();
        let (files, label_bytes, at, classes) = if ten {
            let batches = (1..).map(|batch| folder.join(format!("data_batch_{batch}.bin")));
            let training_files: Vec<PathBuf> = batches.take_while(|path| path.is_file()).collect();
            let files = if training { training_files } else { vec![folder.join("test_batch.bin")] };
            (files, 1, 0, names(&folder.join("batches.meta.txt"), 10)?)
        } else {
            let file = folder.join(if training { "train.bin" } else { "test.bin" });
            let (at, name, count) = match labels {
                CifarLabels::Coarse => (0, "coarse_label_names.txt", 20),
                CifarLabels::Fine => (1, "fine_label_names.txt", 100),
            };
            (vec![file], 2, at, names(&folder.join(name), count)?)
        };
        let mut cifar = Self { classes, files: Vec::new(), labels: Vec::new(), label_bytes };
        for path in files {
            cifar.add(path, at)?;
        }
        Ok(cifar)
    }

    /// Bytes of a record.
    fn record(&self) -> usize {
        self.label_bytes + PIXELS
    }

    /// Adds the records of a file, whose label is the byte `at`.
    fn add(&mut self, path: PathBuf, at: usize) -> Result<(), DataError> {
        let file = File::open(&path).map_err(DataError::read(&path))?;
        let length = file.metadata().map_err(DataError::read(&path))?.len();
        let record = self.record() as u64;
        if length == 0 || length % record != 0 {
            let detail = format!("{length} bytes are not a whole number of records of {record} bytes");
            return Err(DataError::malformed(&path, detail));
        }
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut bytes = vec![0; self.record()];
        for entry in 0..length / record {
            reader.read_exact(&mut bytes).map_err(DataError::read(&path))?;
            let label = bytes[at];
            if usize::from(label) >= self.classes.len() {
                let (entry, classes) = (format!("record {entry}"), self.classes.len());
                return Err(DataError::Label { path, entry, label: label.into(), classes });
            }
            self.labels.push(label);
        }
        self.files.push((path, self.labels.len()));
        Ok(())
    }

    /// The file of a record, and its number there.
    fn place(&self, index: usize) -> (&Path, usize) {
        let file = self.files.partition_point(|&(_, end)| end <= index);
        let start = file.checked_sub(1).map_or(0, |before| self.files[before].1);
        (&self.files[file].0, index - start)
    }
}

impl Dataset for Cifar {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }

    fn name(&self, index: usize) -> String {
        let (path, record) = self.place(index);
        format!("{}, record {record}", path.display())
    }

    fn read(&self, index: usize, _: Orientation) -> Result<RgbImage, DataError> {
        let (path, record) = self.place(index);
        let mut file = File::open(path).map_err(DataError::read(path))?;
        let start = record * self.record() + self.label_bytes;
        file.seek(SeekFrom::Start(start as u64)).map_err(DataError::read(path))?;
        let mut planes = vec![0; PIXELS];
        file.read_exact(&mut planes).map_err(DataError::read(path))?;
        let data = (0..SIDE * SIDE).flat_map(|at| [0, 1, 2].map(|plane| planes[plane * SIDE * SIDE + at])).collect();
        RgbImage::new(SIDE, SIDE, data).map_err(|source| DataError::Image { name: self.name(index), source })
    }
}
