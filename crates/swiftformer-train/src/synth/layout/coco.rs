//! COCO's layout: one JSON file a part, with boxes and masks.

use std::path::Path;

use serde::Serialize;

use super::{
    super::{
        Class,
        outline::{Outline, Segmentation, outline},
        scene::Picture,
    },
    Note, SynthError, SynthOptions, write_json,
};

/// Things of which less is seen are left out.
const LEAST_AREA: usize = 12;

/// A thing in a picture.
#[derive(Clone, Debug)]
pub(super) struct Object {
    category: usize,
    outline: Outline,
}

#[derive(Serialize)]
struct File<'a> {
    info: Info,
    images: Vec<Image>,
    annotations: Vec<Annotation<'a>>,
    categories: Vec<Category>,
}

#[derive(Serialize)]
struct Info {
    description: String,
}

#[derive(Serialize)]
struct Image {
    id: usize,
    file_name: String,
    height: usize,
    width: usize,
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: usize,
    image_id: usize,
    category_id: usize,
    bbox: [usize; 4],
    area: usize,
    iscrowd: u8,
    segmentation: &'a Segmentation,
}

#[derive(Serialize)]
struct Category {
    id: usize,
    name: &'static str,
    supercategory: &'static str,
}

/// The folder of a part.
pub(super) fn part(validates: bool) -> &'static str {
    if validates { "val2017" } else { "train2017" }
}

pub(super) fn file_name(number: usize) -> String {
    format!("{number:012}.png")
}

/// The visible parts of the things in a picture.
pub(super) fn objects(picture: &Picture) -> Vec<Object> {
    let object = |(at, class): (usize, &Class)| {
        let outline = outline(&picture.owners, picture.image.width(), at as u8 + 1)?;
        let category = Class::THINGS.iter().position(|thing| thing == class)? + 1;
        (outline.area >= LEAST_AREA).then_some(Object { category, outline })
    };
    picture.things.iter().enumerate().filter_map(object).collect()
}

/// Writes the annotations of both parts. Categories are counted from 1 in the order of [`Class::THINGS`].
pub(super) fn write(folder: &Path, options: &SynthOptions, notes: &[Note]) -> Result<(), SynthError> {
    let category = |(at, class): (usize, &Class)| Category { id: at + 1, name: class.name(), supercategory: "thing" };
    for validates in [false, true] {
        let part = part(validates);
        let description = format!("drawn by swiftformer synth, seed {}, {part}", options.seed);
        let mut file = File {
            info: Info { description },
            images: Vec::new(),
            annotations: Vec::new(),
            categories: Class::THINGS.iter().enumerate().map(category).collect(),
        };
        for (number, note) in notes.iter().enumerate().filter(|&(number, _)| options.validates(number) == validates) {
            let Note::Detect { height, width, objects } = note else { continue };
            file.images.push(Image { id: number, file_name: file_name(number), height: *height, width: *width });
            for object in objects {
                file.annotations.push(Annotation {
                    id: file.annotations.len() + 1,
                    image_id: number,
                    category_id: object.category,
                    bbox: object.outline.bounds,
                    area: object.outline.area,
                    iscrowd: 0,
                    segmentation: &object.outline.segmentation,
                });
            }
        }
        write_json(&folder.join("annotations").join(format!("instances_{part}.json")), &file)?;
    }
    Ok(())
}
