//! WebDataset: tar files in which an image and its label have the same name up to the first dot.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use swiftformer::image::{DecodeLimits, Orientation, RgbImage, decode};

use super::{DataError, Dataset, folder::is_image};

/// The longest label entry that is read, in bytes.
const MAX_LABEL: u64 = 1 << 20;

/// The greatest label that is believed without a list of names.
const MAX_CLASSES: usize = 1 << 20;

/// Files beside the shards that may list the classes, one a line.
const NAME_FILES: [&str; 3] = ["classnames.txt", "classes.txt", "labels.txt"];

/// Images in tar shards: `KEY.jpg` (or another image) with `KEY.cls`, a number or a name, or `KEY.json` with `label` or `cls`.
/// The names of numbered classes come from `classnames.txt` or `classes.txt` beside the shards; else they are the numbers.
#[derive(Debug)]
pub struct WebDataset {
    classes: Vec<String>,
    shards: Vec<PathBuf>,
    images: Vec<Entry>,
}

/// An image in a shard.
#[derive(Debug)]
struct Entry {
    shard: usize,
    name: String,
    offset: u64,
    length: u64,
    label: usize,
}

/// A label as it is written.
#[derive(Clone, Debug)]
enum Written {
    Number(i64),
    Name(String),
}

/// What shares a key.
#[derive(Default)]
struct Sample {
    image: Option<(String, u64, u64)>,
    label: Option<Written>,
}

/// A sample of a shard, in the order of the file.
struct Found {
    shard: usize,
    name: String,
    offset: u64,
    length: u64,
    label: Written,
}

impl WebDataset {
    /// Lists the images of `shards` and reads their labels. `classes` are those of the training images, where these are others.
    ///
    /// # Errors
    /// When a shard cannot be read or is cut off, an image has no label, or a label stands for no class.
    pub fn open(root: &Path, shards: &[PathBuf], classes: Option<&[String]>) -> Result<Self, DataError> {
        let mut found = Vec::new();
        for (number, path) in shards.iter().enumerate() {
            list(path, number, &mut found)?;
        }
        if found.is_empty() {
            return Err(DataError::layout(root, "no images in its tar files"));
        }
        let known = match classes {
            Some(classes) => Some(classes.to_vec()),
            None => names(root)?,
        };
        let by_name = found.iter().any(|found| matches!(found.label, Written::Name(_)));
        let classes = match known {
            Some(known) => known,
            None if by_name => {
                let mut names: Vec<String> = found.iter().map(|found| found.label.text()).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
            None => {
                let greatest = found.iter().map(|found| found.label.number().unwrap_or(0)).max().unwrap_or(0);
                (0..=greatest.clamp(0, MAX_CLASSES as i64 - 1)).map(|class| class.to_string()).collect()
            }
        };
        let numbers: BTreeMap<&str, usize> =
            classes.iter().enumerate().map(|(label, class)| (class.as_str(), label)).collect();
        let mut images = Vec::with_capacity(found.len());
        for Found { shard, name, offset, length, label } in found {
            let label = match (&label, by_name) {
                (Written::Number(number), false) => {
                    let valid = usize::try_from(*number).ok().filter(|&label| label < classes.len());
                    let (path, entry, classes) = (shards[shard].clone(), name.clone(), classes.len());
                    valid.ok_or(DataError::Label { path, entry, label: *number, classes })?
                }
                (label, _) => {
                    let class = label.text();
                    let (path, count) = (shards[shard].clone(), classes.len());
                    *numbers.get(class.as_str()).ok_or(DataError::UnknownClass { path, class, count })?
                }
            };
            images.push(Entry { shard, name, offset, length, label });
        }
        drop(numbers);
        Ok(Self { classes, shards: shards.to_vec(), images })
    }
}

impl Written {
    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }

    fn parse(text: &str) -> Self {
        let text = text.trim();
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number)
    }

    /// A label in `KEY.json`.
    fn of_json(value: &serde_json::Value) -> Option<Self> {
        let label = ["label", "cls", "class"].into_iter().find_map(|key| value.get(key))?;
        match label {
            serde_json::Value::String(name) => Some(Self::parse(name)),
            number => number.as_i64().map(Self::Number),
        }
    }
}

/// Names of classes that lie beside the shards.
fn names(root: &Path) -> Result<Option<Vec<String>>, DataError> {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    let Some(path) = NAME_FILES.map(|name| folder.join(name)).into_iter().find(|path| path.is_file()) else {
        return Ok(None);
    };
    let text = fs::read_to_string(&path).map_err(DataError::read(&path))?;
    Ok(Some(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

/// Adds the samples of a shard.
fn list(path: &Path, shard: usize, found: &mut Vec<Found>) -> Result<(), DataError> {
    let unreadable = |source: std::io::Error| match source.kind() {
        // The crate's word for anything that is no tar file.
        std::io::ErrorKind::Other | std::io::ErrorKind::UnexpectedEof => DataError::malformed(path, source.to_string()),
        _ => DataError::Read { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(DataError::read(path))?;
    let size = file.metadata().map_err(DataError::read(path))?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut order = Vec::new();
    let mut samples: BTreeMap<String, Sample> = BTreeMap::new();
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let file_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let Some(dot) = name[file_start..].find('.').map(|dot| file_start + dot) else { continue };
        let (key, extension) = (&name[..dot], name[dot + 1..].to_ascii_lowercase());
        let (offset, length) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(DataError::malformed(path, format!("{name} goes on beyond the end of the file")));
        }
        let mut text = |what: &str| {
            if length > MAX_LABEL {
                return Err(DataError::malformed(path, format!("{what} {name} has {length} bytes")));
            }
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(unreadable)?;
            Ok(text)
        };
        if !samples.contains_key(key) {
            order.push(key.to_owned());
        }
        let sample = samples.entry(key.to_owned()).or_default();
        match extension.as_str() {
            "cls" => sample.label = Some(Written::parse(&text("the label")?)),
            "json" if sample.label.is_none() => {
                let value: serde_json::Value = serde_json::from_str(&text("the label")?)
                    .map_err(|error| DataError::malformed(path, format!("{name}: {error}")))?;
                sample.label = Written::of_json(&value);
            }
            _ if is_image(Path::new(&name)) => sample.image = Some((name, offset, length)),
            _ => {}
        }
    }
    for key in order {
        let Some(Sample { image: Some((name, offset, length)), label }) = samples.remove(&key) else { continue };
        let Some(label) = label else {
            let detail = format!("{name} has no label: neither {key}.cls nor a `label` in {key}.json");
            return Err(DataError::malformed(path, detail));
        };
        found.push(Found { shard, name, offset, length, label });
    }
    Ok(())
}

impl Dataset for WebDataset {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.images[index].label
    }

    fn name(&self, index: usize) -> String {
        let entry = &self.images[index];
        format!("{}, {}", self.shards[entry.shard].display(), entry.name)
    }

    fn read(&self, index: usize, orientation: Orientation) -> Result<RgbImage, DataError> {
        let entry = &self.images[index];
        let path = &self.shards[entry.shard];
        let mut file = File::open(path).map_err(DataError::read(path))?;
        file.seek(SeekFrom::Start(entry.offset)).map_err(DataError::read(path))?;
        let mut bytes = Vec::new();
        file.take(entry.length).read_to_end(&mut bytes).map_err(DataError::read(path))?;
        decode(&bytes, orientation, &DecodeLimits::default())
            .map_err(|source| DataError::Image { name: self.name(index), source })
    }
}
