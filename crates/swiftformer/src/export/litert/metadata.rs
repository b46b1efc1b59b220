//! The metadata that MediaPipe's tasks and Android Studio read: what goes in, what comes out, and the names of the classes.

use std::io::{Cursor, Seek, SeekFrom, Write};

use ::zip::{CompressionMethod, ZipWriter, result::ZipError, write::SimpleFileOptions};
use flatbuffers::FlatBufferBuilder;

use super::{
    model::{Table, table},
    schema,
};

/// The name of the file of class names that is packed with the model.
pub(super) const LABELS_FILE: &str = "labels.txt";

/// What the metadata says.
pub(super) struct Metadata<'a> {
    /// Name of the model.
    pub(super) name: &'a str,
    /// What it is.
    pub(super) description: &'a str,
    /// Version of the program that wrote it.
    pub(super) version: &'a str,
    /// Channels of the input.
    pub(super) channels: usize,
    /// What is to be subtracted from the pixels of 0 to 255, a channel each, and what they are to be divided by then;
    /// `None` when the graph does it.
    pub(super) normalization: Option<[Vec<f32>; 2]>,
    /// Smallest and largest value of the input, a channel each.
    pub(super) range: [Vec<f32>; 2],
    /// Name and meaning of each output; whether there are class names for its last axis.
    pub(super) outputs: Vec<(&'a str, &'a str, bool)>,
}

impl Metadata<'_> {
    /// The metadata's flatbuffer.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut builder = FlatBufferBuilder::new();
        let root = self.write(&mut builder);
        builder.finish(root, Some(schema::METADATA_IDENTIFIER));
        builder.finished_data().to_vec()
    }

    fn write(&self, builder: &mut FlatBufferBuilder) -> Table {
        let input = self.input(builder);
        let inputs = builder.create_vector(&[input]);
        let outputs: Vec<Table> = self.outputs.iter().map(|output| write_output(builder, *output)).collect();
        let outputs = builder.create_vector(&outputs);
        let subgraph = table(builder, |fields| {
            fields.push_slot_always(schema::subgraph_metadata::INPUTS, inputs);
            fields.push_slot_always(schema::subgraph_metadata::OUTPUTS, outputs);
        });
        let subgraphs = builder.create_vector(&[subgraph]);
        let name = builder.create_string(self.name);
        let description = builder.create_string(self.description);
        let version = builder.create_string(self.version);
        let parser = builder.create_string(schema::METADATA_PARSER);
        table(builder, |fields| {
            fields.push_slot_always(schema::model_metadata::NAME, name);
            fields.push_slot_always(schema::model_metadata::DESCRIPTION, description);
            fields.push_slot_always(schema::model_metadata::VERSION, version);
            fields.push_slot_always(schema::model_metadata::SUBGRAPHS, subgraphs);
            fields.push_slot_always(schema::model_metadata::MIN_PARSER_VERSION, parser);
        })
    }

    fn input(&self, builder: &mut FlatBufferBuilder) -> Table {
        let (color, description) = match self.channels {
            1 => (schema::COLOR_GRAYSCALE, "grayscale image"),
            3 => (schema::COLOR_RGB, "RGB image"),
            _ => (schema::COLOR_UNKNOWN, "image"),
        };
        let image = table(builder, |fields| {
            fields.push_slot_always(schema::image_properties::COLOR_SPACE, color);
        });
        let content = content(builder, schema::CONTENT_IMAGE, image);
        let units: Vec<Table> = self.normalization.iter().map(|parts| normalization(builder, parts)).collect();
        let units = builder.create_vector(&units);
        let [min, max] = self.range.each_ref().map(|values| builder.create_vector(values));
        let stats = table(builder, |fields| {
            fields.push_slot_always(schema::stats::MAX, max);
            fields.push_slot_always(schema::stats::MIN, min);
        });
        let name = builder.create_string("image");
        let description = builder.create_string(description);
        table(builder, |fields| {
            fields.push_slot_always(schema::tensor_metadata::NAME, name);
            fields.push_slot_always(schema::tensor_metadata::DESCRIPTION, description);
            fields.push_slot_always(schema::tensor_metadata::CONTENT, content);
            fields.push_slot_always(schema::tensor_metadata::PROCESS_UNITS, units);
            fields.push_slot_always(schema::tensor_metadata::STATS, stats);
        })
    }
}

fn write_output(builder: &mut FlatBufferBuilder, (name, description, labels): (&str, &str, bool)) -> Table {
    let feature = table(builder, |_| {});
    let content = content(builder, schema::CONTENT_FEATURE, feature);
    let files = labels.then(|| {
        let name = builder.create_string(LABELS_FILE);
        let description = builder.create_string("Names of the classes, one a line.");
        let file = table(builder, |fields| {
            fields.push_slot_always(schema::associated_file::NAME, name);
            fields.push_slot_always(schema::associated_file::DESCRIPTION, description);
            fields.push_slot_always(schema::associated_file::TYPE, schema::FILE_AXIS_LABELS);
        });
        builder.create_vector(&[file])
    });
    let name = builder.create_string(name);
    let description = builder.create_string(description);
    table(builder, |fields| {
        fields.push_slot_always(schema::tensor_metadata::NAME, name);
        fields.push_slot_always(schema::tensor_metadata::DESCRIPTION, description);
        fields.push_slot_always(schema::tensor_metadata::CONTENT, content);
        if let Some(files) = files {
            fields.push_slot_always(schema::tensor_metadata::ASSOCIATED_FILES, files);
        }
    })
}

fn content(builder: &mut FlatBufferBuilder, kind: u8, properties: Table) -> Table {
    table(builder, |fields| {
        fields.push_slot_always(schema::content::PROPERTIES, properties);
        fields.push_slot_always(schema::content::PROPERTIES_TYPE, kind);
    })
}

fn normalization(builder: &mut FlatBufferBuilder, parts: &[Vec<f32>; 2]) -> Table {
    let [mean, std] = parts.each_ref().map(|values| builder.create_vector(values));
    let options = table(builder, |fields| {
        fields.push_slot_always(schema::normalization::MEAN, mean);
        fields.push_slot_always(schema::normalization::STD, std);
    });
    table(builder, |fields| {
        fields.push_slot_always(schema::process_unit::OPTIONS, options);
        fields.push_slot_always(schema::process_unit::OPTIONS_TYPE, schema::PROCESS_NORMALIZATION);
    })
}

/// Appends the class names to a model, as readers of the metadata look for them: the file is a zip archive too, whose
/// entries stand behind the flatbuffer, uncompressed.
pub(super) fn append_labels(model: Vec<u8>, labels: &[String]) -> Result<Vec<u8>, ZipError> {
    let mut file = Cursor::new(model);
    file.seek(SeekFrom::End(0))?;
    let mut archive = ZipWriter::new(file);
    archive.start_file(LABELS_FILE, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
    for label in labels {
        // A line is a class: a label of several lines would shift those behind it.
        writeln!(archive, "{}", label.replace(['\r', '\n'], " "))?;
    }
    archive.finish().map(Cursor::into_inner)
}
