//! ADE20K's layout (SceneParsing benchmark): a gray PNG of labels a picture.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    super::{Class, scene::Picture},
    Note, SynthError, SynthOptions, write_file,
};

/// The file of a picture, and of its labels, below `images` and `annotations`.
pub(super) fn file_name(number: usize, validates: bool) -> PathBuf {
    let (folder, part) = if validates { ("validation", "val") } else { ("training", "train") };
    Path::new(folder).join(format!("ADE_{part}_{number:08}.png"))
}

/// Writes the class of each pixel: its label plus 1, 0 where there is none.
pub(super) fn write_labels(path: &Path, picture: &Picture) -> Result<Note, SynthError> {
    let value = |class: &Class| class.label() as u8 + 1;
    let label = |&owner: &u8| match owner {
        0 => picture.stuff.as_ref().map_or(0, value),
        owner => picture.things.get(usize::from(owner) - 1).map_or(0, value),
    };
    let labels: Vec<u8> = picture.owners.iter().map(label).collect();
    let mut pixels = [0; Class::ALL.len() + 1];
    for &label in &labels {
        pixels[usize::from(label)] += 1;
    }
    write_file(path, |file| {
        // Sides are bounded by the options.
        let mut encoder = png::Encoder::new(file, picture.image.width() as u32, picture.image.height() as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&labels)?;
        Ok(writer.finish()?)
    })?;
    Ok(Note::Segment { pixels })
}

/// Writes `objectInfo.txt`: index, share of all labelled pixels, pictures of each part that show it, whether it is stuff, name.
pub(super) fn write_table(folder: &Path, options: &SynthOptions, notes: &[Note]) -> Result<(), SynthError> {
    let mut pixels = [0; Class::ALL.len() + 1];
    let mut pictures = [[0; 2]; Class::ALL.len() + 1];
    for (number, note) in notes.iter().enumerate() {
        let Note::Segment { pixels: seen } = note else { continue };
        for (label, &count) in seen.iter().enumerate() {
            pixels[label] += count;
            pictures[label][usize::from(options.validates(number))] += usize::from(count > 0);
        }
    }
    let labelled: usize = pixels[1..].iter().sum();
    write_file(&folder.join("objectInfo.txt"), |file| {
        writeln!(file, "Idx\tRatio\tTrain\tVal\tStuff\tName")?;
        for class in Class::ALL {
            let index = class.label() + 1;
            let (ratio, [train, val]) = (pixels[index] as f64 / labelled.max(1) as f64, pictures[index]);
            let stuff = u8::from(Class::STUFF.contains(&class));
            writeln!(file, "{index}\t{ratio:.4}\t{train}\t{val}\t{stuff}\t{}", class.name())?;
        }
        Ok(())
    })
}
