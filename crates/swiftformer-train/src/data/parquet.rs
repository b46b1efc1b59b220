//! Parquet files in the layout of the Hugging Face Hub: a column of encoded images, a column of labels.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use parquet::{
    column::reader::ColumnReader,
    data_type::ByteArray,
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, FileReader, Length, SerializedFileReader},
};
use serde_json::Value;
use swiftformer::image::{DecodeLimits, Orientation, RgbImage, decode};

use super::{DataError, Dataset};

/// The greatest label that is believed without a list of names.
const MAX_CLASSES: usize = 1 << 20;

/// Label columns to look for, the best first.
const LABEL_COLUMNS: [&str; 4] = ["label", "labels", "fine_label", "class"];

/// Images in Parquet files: a column of the feature type `Image` (`bytes` inside) and one of `ClassLabel`. Without the Hub's
/// description of the columns, `image` and `label` are looked for, and classes have their numbers as names.
///
/// Bytes are read when they are wanted: pages before the wanted one are passed over, so files with page sizes as writers
/// choose them (1 MB) read little more than the image.
#[derive(Debug)]
pub struct ParquetImages {
    classes: Vec<String>,
    shards: Vec<Shard>,
    labels: Vec<u32>,
}

struct Shard {
    path: PathBuf,
    reader: SerializedFileReader<Source>,
    /// The leaf column with the bytes of images.
    image: usize,
    /// Rows of this file and those before, up to the end of each row group.
    ends: Vec<usize>,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("path", &self.path).field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// A file that is opened anew for each read: handles that share a position would disturb each other between threads.
struct Source {
    path: PathBuf,
    length: u64,
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Source {
    type T = std::io::BufReader<File>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(std::io::BufReader::new(file))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // Checked before anything is allocated.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            let text = format!("{length} bytes from {start} on, but the file has {}", self.length);
            return Err(ParquetError::EOF(text));
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Which columns hold what.
struct Columns {
    image: usize,
    label: usize,
    names: Option<Vec<String>>,
}

impl ParquetImages {
    /// Opens `files` and reads all labels. `classes` are those of the training images, where these are others.
    ///
    /// # Errors
    /// When a file cannot be read, has no columns of images and labels, or a label stands for no class.
    pub fn open(files: &[PathBuf], classes: Option<&[String]>) -> Result<Self, DataError> {
        let mut images = Self { classes: Vec::new(), shards: Vec::new(), labels: Vec::new() };
        let mut names: Option<Vec<String>> = classes.map(<[String]>::to_vec);
        for path in files {
            let found = guarded(path, || images.add(path))?;
            names = names.or(found);
        }
        let greatest = images.labels.iter().max().map_or(0, |&label| label as usize);
        let named = names.is_some();
        images.classes = names.unwrap_or_else(|| (0..=greatest).map(|class| class.to_string()).collect());
        if named && greatest >= images.classes.len() {
            let index = images.labels.iter().position(|&label| label as usize == greatest).unwrap_or(0);
            let (shard, row) = images.place(index);
            let (path, entry, classes) =
                (images.shards[shard].path.clone(), format!("row {row}"), images.classes.len());
            return Err(DataError::Label { path, entry, label: greatest as i64, classes });
        }
        Ok(images)
    }

    /// Adds a file; the names of its classes, if it has them.
    fn add(&mut self, path: &Path) -> Result<Option<Vec<String>>, DataError> {
        let malformed = |error: ParquetError| DataError::malformed(path, error.to_string());
        let length = std::fs::metadata(path).map_err(DataError::read(path))?.len();
        let reader = SerializedFileReader::new(Source { path: path.to_owned(), length }).map_err(malformed)?;
        let columns = columns(path, &reader)?;
        let mut ends = Vec::new();
        for group in 0..reader.num_row_groups() {
            let rows = reader.metadata().row_group(group).num_rows();
            let before = self.labels.len();
            let column = reader.get_row_group(group).and_then(|group| group.get_column_reader(columns.label));
            for label in labels(column.map_err(malformed)?, rows).map_err(malformed)? {
                let row = self.labels.len() - before;
                let entry = || format!("row {row} of row group {group}");
                let Some(label) = label else {
                    return Err(DataError::malformed(path, format!("{} has no label", entry())));
                };
                let Some(label) = u32::try_from(label).ok().filter(|&label| (label as usize) < MAX_CLASSES) else {
                    let classes = columns.names.as_ref().map_or(MAX_CLASSES, Vec::len);
                    return Err(DataError::Label { path: path.to_owned(), entry: entry(), label, classes });
                };
                self.labels.push(label);
            }
            if usize::try_from(rows) != Ok(self.labels.len() - before) {
                let found = self.labels.len() - before;
                return Err(DataError::malformed(path, format!("row group {group} of {rows} rows has {found} labels")));
            }
            ends.push(self.labels.len());
        }
        self.shards.push(Shard { path: path.to_owned(), reader, image: columns.image, ends });
        Ok(columns.names)
    }

    /// The file of an image, and the row there.
    fn place(&self, index: usize) -> (usize, usize) {
        let end = |shard: &Shard| shard.ends.last().copied();
        // Files without rows end where those before end.
        let shard = self.shards.partition_point(|shard| end(shard).is_none_or(|end| end <= index));
        let start = self.shards[..shard].iter().filter_map(end).max().unwrap_or(0);
        (shard, index - start)
    }

    fn bytes(&self, index: usize) -> Result<Bytes, DataError> {
        let shard = self.place(index).0;
        let Shard { path, reader, image, ends } = &self.shards[shard];
        let malformed = |error: ParquetError| DataError::malformed(path, format!("{}: {error}", self.name(index)));
        let group = ends.partition_point(|&end| end <= index);
        let rows = reader.metadata().row_group(group).num_rows() as usize;
        let row = index + rows - ends[group];
        let column = reader.get_row_group(group).and_then(|group| group.get_column_reader(*image));
        let ColumnReader::ByteArrayColumnReader(mut column) = column.map_err(malformed)? else {
            return Err(malformed(ParquetError::General("images are no bytes".into())));
        };
        let mut values: Vec<ByteArray> = Vec::new();
        let mut levels = Vec::new();
        column.skip_records(row).map_err(malformed)?;
        column.read_records(1, Some(&mut levels), None, &mut values).map_err(malformed)?;
        match values.pop() {
            Some(value) => Ok(value.data().to_vec().into()),
            None => Err(malformed(ParquetError::General("no bytes in this row; images elsewhere are not read".into()))),
        }
    }
}

/// Runs `work`, and turns a panic into an error: the crate takes some fields of damaged files for granted.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(DataError::malformed(path, "damaged in a way that stops the reader of Parquet")))
}

/// Labels of a column of 32 or 64 bits; `None` for rows without.
fn labels(column: ColumnReader, rows: i64) -> ParquetResult<Vec<Option<i64>>> {
    // The claim of the file decides how much is read, not how much is allocated.
    let rows = usize::try_from(rows).unwrap_or(0);
    let mut levels = Vec::new();
    let (values, most): (Vec<i64>, i16) = match column {
        ColumnReader::Int64ColumnReader(mut column) => {
            let mut values = Vec::new();
            read_all(rows, |rows| Ok(column.read_records(rows, Some(&mut levels), None, &mut values)?.0))?;
            (values, 1)
        }
        ColumnReader::Int32ColumnReader(mut column) => {
            let mut values: Vec<i32> = Vec::new();
            read_all(rows, |rows| Ok(column.read_records(rows, Some(&mut levels), None, &mut values)?.0))?;
            (values.into_iter().map(i64::from).collect(), 1)
        }
        _ => return Err(ParquetError::General("labels are no whole numbers".into())),
    };
    if levels.is_empty() {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels.into_iter().map(|level| if level == most { values.next() } else { None }).collect())
}

/// Reads in steps until `rows` are there or none come any more.
fn read_all(rows: usize, mut read: impl FnMut(usize) -> ParquetResult<usize>) -> ParquetResult<()> {
    let mut missing = rows;
    while missing > 0 {
        match read(missing.min(1 << 16))? {
            0 => break,
            found => missing = missing.saturating_sub(found),
        }
    }
    Ok(())
}

fn columns(path: &Path, reader: &SerializedFileReader<Source>) -> Result<Columns, DataError> {
    let file = reader.metadata().file_metadata();
    let schema = file.schema_descr();
    let leaves: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let described = file.key_value_metadata().and_then(|pairs| {
        let text = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_ref()?;
        serde_json::from_str::<Value>(text).ok()?.pointer("/info/features").cloned()
    });
    let of_type = |kind: &str| -> Vec<String> {
        let features = described.as_ref().and_then(Value::as_object).into_iter().flatten();
        features.filter(|(_, feature)| feature["_type"] == kind).map(|(name, _)| name.clone()).collect()
    };
    let leaf = |name: &str| leaves.iter().position(|leaf| leaf == name);
    let missing = |what: &str| {
        let detail = format!("no column of {what}; the columns are {}", leaves.join(", "));
        DataError::malformed(path, detail)
    };
    let image_names = of_type("Image").into_iter().chain(["image".to_owned(), "img".to_owned()]);
    let image = image_names.into_iter().find_map(|name| leaf(&format!("{name}.bytes")).or_else(|| leaf(&name)));
    let labelled = of_type("ClassLabel");
    let best = LABEL_COLUMNS.iter().map(|&name| name.to_owned()).filter(|name| labelled.contains(name));
    let label_names: Vec<String> = best.chain(labelled.clone()).chain(LABEL_COLUMNS.map(str::to_owned)).collect();
    let label = label_names.iter().find_map(|name| Some((leaf(name)?, name)));
    let (label, name) = label.ok_or_else(|| missing("labels"))?;
    let names = described.as_ref().and_then(|features| {
        let names = features.get(name)?.get("names")?.as_array()?;
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    });
    Ok(Columns { image: image.ok_or_else(|| missing("images"))?, label, names })
}

impl Dataset for ParquetImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    fn name(&self, index: usize) -> String {
        let (shard, row) = self.place(index);
        format!("{}, row {row}", self.shards[shard].path.display())
    }

    fn read(&self, index: usize, orientation: Orientation) -> Result<RgbImage, DataError> {
        let (shard, _) = self.place(index);
        let bytes = guarded(&self.shards[shard].path, || self.bytes(index))?;
        decode(&bytes, orientation, &DecodeLimits::default())
            .map_err(|source| DataError::Image { name: self.name(index), source })
    }
}
