//! Event files for TensorBoard: records of TFRecord, each an `Event` message of one scalar or several.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    EpochReport, RunError, StepReport,
    folder::{Folder, truncated},
};

/// TensorBoard finds files by the word `tfevents` in their names.
pub const EVENTS: &str = "events.out.tfevents.swiftformer";

/// The curves of a run, as TensorBoard reads them.
#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Events {
    /// Goes on behind the first `bytes` bytes; what follows belongs to steps that are done again.
    pub(super) fn open(folder: &Folder, bytes: u64) -> Result<Self, RunError> {
        let path = folder.file(EVENTS);
        let failed = |source| RunError::Write { path: path.clone(), source };
        let (file, bytes) = truncated(&path, bytes).map_err(failed)?;
        let mut events = Self { path, file, bytes };
        if bytes == 0 {
            let mut version = Vec::new();
            text(&mut version, 3, b"brain.Event:2");
            events.add(0, &version)?;
        }
        Ok(events)
    }

    /// Adds the scalars of a step.
    pub(super) fn add_step(&mut self, report: &StepReport) -> Result<(), RunError> {
        let scalars = [
            ("train/loss", Some(report.loss)),
            ("train/accuracy", Some(report.accuracy)),
            ("train/learning_rate", Some(report.lr)),
            ("train/gradient_norm", Some(report.gradient_norm)),
            ("speed/images_per_second", Some(report.images_per_second)),
            ("speed/wait_share", Some(report.wait_share)),
        ];
        self.add(step_of(report.epoch, report.step, report.steps), &summary(&scalars))
    }

    /// Adds the scalars of an epoch of `steps` batches.
    pub(super) fn add_epoch(&mut self, report: &EpochReport, steps: usize) -> Result<(), RunError> {
        let scalars = [
            ("validation/top1", Some(report.top1)),
            ("validation/loss", Some(report.loss)),
            ("validation/average_top1", report.average_top1),
            ("validation/average_loss", report.average_loss),
            ("epoch/train_loss", Some(report.train_loss)),
            ("epoch/train_accuracy", Some(report.train_accuracy)),
        ];
        self.add(step_of(report.epoch, steps, steps), &summary(&scalars))
    }

    /// Adds one event: its step, and its other field as it stands in the message.
    fn add(&mut self, step: u64, what: &[u8]) -> Result<(), RunError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        let mut event = vec![1 << 3 | 1];
        event.extend(now.to_le_bytes());
        event.push(2 << 3);
        varint(&mut event, step);
        event.extend(what);
        let record = record(&event);
        self.file.write_all(&record).map_err(|source| RunError::Write { path: self.path.clone(), source })?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// How long the file is, once that is on the disk.
    pub(super) fn sync(&mut self) -> Result<u64, RunError> {
        self.file.sync_data().map_err(|source| RunError::Write { path: self.path.clone(), source })?;
        Ok(self.bytes)
    }
}

/// Batches since the run began.
fn step_of(epoch: u64, step: usize, steps: usize) -> u64 {
    epoch.saturating_sub(1) * steps as u64 + step as u64
}

/// The field `summary` of an event: a `Value` of a tag and a number for each scalar there is.
fn summary(scalars: &[(&str, Option<f64>)]) -> Vec<u8> {
    let mut values = Vec::new();
    for (tag, value) in scalars.iter().filter_map(|&(tag, value)| Some((tag, value?))) {
        let mut scalar = Vec::new();
        text(&mut scalar, 1, tag.as_bytes());
        scalar.push(2 << 3 | 5);
        scalar.extend((value as f32).to_le_bytes());
        text(&mut values, 1, &scalar);
    }
    let mut field = Vec::new();
    text(&mut field, 5, &values);
    field
}

/// A field of bytes, text or a message.
fn text(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// A record of TFRecord: length, its checksum, data, their checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length, &masked(&length).to_le_bytes()[..], data, &masked(data).to_le_bytes()].concat()
}

/// TFRecord's checksum: CRC-32C, turned and moved, so that records within records keep meaning something.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C, bit by bit: a few hundred bytes a step need no table.
fn crc32c(data: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_record_is_tensorflows() {
        // What tensorboard's RecordWriter wrote for these bytes.
        let sums = [[134, 21, 245, 4], [99, 31, 249, 1]];
        let length = [11, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(record(b"swiftformer"), [&length, &sums[0][..], b"swiftformer", &sums[1]].concat());
    }

    #[test]
    fn long_numbers_take_several_bytes() {
        let mut bytes = Vec::new();
        varint(&mut bytes, 300);
        assert_eq!(bytes, [0xac, 2]);
    }
}
