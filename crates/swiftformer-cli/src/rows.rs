//! Files of rows: one row of numbers for each image, written while the images are worked on.

use std::{
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::{csv, partial::Partial};

/// Names take more room than this only for millions of images; readers of safetensors refuse larger headers, in bytes.
const MAX_NAMES: usize = 64 << 20;
/// Bytes of an npy header: enough for four sides of 64 bits.
const NPY_HEADER: usize = 192;

/// The format of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One tensor; the images' names are in its metadata under `images`, as a JSON list.
    Safetensors,
    /// NumPy's format 1.0.
    Npy,
    /// `image`, then one column a number.
    Csv,
}

impl Format {
    /// The format that a file's ending asks for.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        Ok(match ending.as_deref() {
            Some("safetensors") => Self::Safetensors,
            Some("npy") => Self::Npy,
            Some("csv") => Self::Csv,
            _ => bail!("cannot tell a format from the name {}: use .safetensors, .npy or .csv", path.display()),
        })
    }
}

/// A file of rows of equal shape, in memory only as far as the last row.
pub struct Rows {
    file: Partial,
    format: Format,
    tensor: &'static str,
    /// Bytes kept free before the numbers, for the header that is known only at the end.
    reserved: usize,
    names: Option<Vec<String>>,
    shape: Vec<usize>,
    count: usize,
}

impl Rows {
    /// Starts the file for rows of the tensor called `tensor`; `names` are all the images that may come.
    pub fn create<'a>(
        path: &Path,
        format: Format,
        tensor: &'static str,
        names: impl Iterator<Item = &'a str>,
    ) -> anyhow::Result<Self> {
        let mut file = Partial::create(path)?;
        let names: Vec<&str> = if format == Format::Safetensors { names.collect() } else { Vec::new() };
        let length = 2 * serde_json::to_string(&names)?.len();
        let kept = format == Format::Safetensors && length <= MAX_NAMES;
        if format == Format::Safetensors && !kept {
            tracing::warn!("too many images to name them all in {}", path.display());
        }
        let reserved = match format {
            Format::Csv => 0,
            Format::Npy => NPY_HEADER,
            // Rows of up to four sides, numbers of up to 20 digits.
            Format::Safetensors => {
                let names = if kept { length } else { 0 };
                (8 + names + tensor.len() + 512).next_multiple_of(64)
            }
        };
        file.writer()?.write_all(&vec![0; reserved]).with_context(|| cannot_write(path))?;
        let names = kept.then(Vec::new);
        Ok(Self { file, format, tensor, reserved, names, shape: Vec::new(), count: 0 })
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes the next row; all have the shape of the first.
    pub fn push(&mut self, name: &str, shape: &[usize], values: &[f32]) -> anyhow::Result<()> {
        let first = self.count == 0;
        if first {
            self.shape = shape.to_vec();
        } else if self.shape != shape {
            bail!("{name} gives a row of shape {shape:?}, those before it have {:?}", self.shape);
        }
        self.count += 1;
        if let Some(names) = &mut self.names {
            names.push(name.to_owned());
        }
        let mut bytes = Vec::with_capacity(4 * values.len());
        if self.format == Format::Csv {
            if first {
                let columns: String = (0..values.len()).map(|column| format!(",e{column}")).collect();
                bytes.extend(format!("image{columns}\n").into_bytes());
            }
            let numbers: String = values.iter().map(|value| format!(",{value}")).collect();
            bytes.extend(format!("{}{numbers}\n", csv::field(name)).into_bytes());
        } else {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let path = self.file.target().to_owned();
        self.file.writer()?.write_all(&bytes).with_context(|| cannot_write(&path))
    }

    /// Completes the file and puts it in its place.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let header = match self.format {
            Format::Csv => Vec::new(),
            Format::Npy => self.npy_header(),
            Format::Safetensors => self.safetensors_header()?,
        };
        if header.len() != self.reserved {
            bail!("the header of {} takes {} bytes, not {}", self.file.target().display(), header.len(), self.reserved);
        }
        let path = self.file.target().to_owned();
        let writer = self.file.writer()?;
        let written = writer.seek(SeekFrom::Start(0)).and_then(|_| writer.write_all(&header));
        written.with_context(|| cannot_write(&path))?;
        self.file.finish()
    }

    fn full_shape(&self) -> Vec<usize> {
        std::iter::once(self.count).chain(self.shape.iter().copied()).collect()
    }

    fn npy_header(&self) -> Vec<u8> {
        let sides: Vec<String> = self.full_shape().iter().map(usize::to_string).collect();
        let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", sides.join(", "));
        text.extend(std::iter::repeat_n(' ', NPY_HEADER.saturating_sub(11 + text.len())));
        text.push('\n');
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((text.len() as u16).to_le_bytes());
        header.extend(text.into_bytes());
        header
    }

    fn safetensors_header(&self) -> anyhow::Result<Vec<u8>> {
        let shape = self.full_shape();
        let length = 4 * shape.iter().product::<usize>();
        let mut metadata = Map::new();
        if let Some(names) = &self.names {
            metadata.insert("images".into(), Value::String(serde_json::to_string(names)?));
        }
        let tensor = json!({ "dtype": "F32", "shape": shape, "data_offsets": [0, length] });
        let header = json!({ "__metadata__": metadata, self.tensor: tensor });
        let mut text = serde_json::to_vec(&header)?;
        // The format lets headers end in spaces.
        text.resize(text.len().max(self.reserved - 8), b' ');
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text);
        Ok(bytes)
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
