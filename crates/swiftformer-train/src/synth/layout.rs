//! Pictures and labels as files: ImageFolder, COCO, ADE20K.

mod ade20k;
mod coco;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::Serialize;
use swiftformer::image::{RgbImage, encode_png};

use super::{
    Class,
    scene::{Picture, Scene},
};
use crate::rng::{Rng, SYNTH};

/// What a data set is for, and so how it is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// `train/CLASS/….png` and `val/CLASS/….png`.
    #[default]
    Classify,
    /// COCO 2017: `train2017/`, `val2017/`, `annotations/instances_….json` with boxes and masks.
    Detect,
    /// ADE20K: `images/` and `annotations/` with `training/` and `validation/`, `objectInfo.txt`.
    Segment,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "classify" => Ok(Self::Classify),
            "detect" => Ok(Self::Detect),
            "segment" => Ok(Self::Segment),
            _ => Err(format!("`{name}` is no task: classify, detect or segment")),
        }
    }
}

impl Task {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Detect => "detect",
            Self::Segment => "segment",
        }
    }

    /// Pixels of a side that suit the task.
    pub fn default_side(self) -> usize {
        if self == Self::Classify { 96 } else { 192 }
    }
}

/// Which classes are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// [`Class::ALL`]; to detect, those of them with an outline.
    #[default]
    Dozen,
    /// [`Class::MORE`], to classify only.
    More,
}

impl Classes {
    fn list(self) -> &'static [Class] {
        match self {
            Self::Dozen => &Class::ALL,
            Self::More => &Class::MORE,
        }
    }
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynthOptions {
    /// What it is for.
    pub task: Task,
    /// What there is to see.
    pub classes: Classes,
    /// Pictures in all; a tenth is for validation.
    pub images: usize,
    /// Another seed gives other pictures.
    pub seed: u64,
    /// Pixels of a side; of the longer side where pictures are not square.
    pub side: usize,
    /// Threads that draw; the files do not depend on their number.
    pub threads: usize,
}

impl SynthOptions {
    /// The smallest and the largest side.
    pub const SIDES: std::ops::RangeInclusive<usize> = 16..=2048;

    /// The most pictures; their names have six digits.
    pub const MAX_IMAGES: usize = 999_999;

    /// `images` pictures of the task's own size.
    pub fn new(task: Task, images: usize, seed: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { task, classes: Classes::Dozen, images, seed, side: task.default_side(), threads }
    }

    fn check(&self) -> Result<(), SynthError> {
        // Each class, or each part, needs a picture.
        if self.task != Task::Classify && self.classes != Classes::Dozen {
            return Err(SynthError::Setting("further classes are there to classify only".to_owned()));
        }
        let least = if self.task == Task::Classify { 2 * self.classes.list().len() } else { 2 };
        if !(least..=Self::MAX_IMAGES).contains(&self.images) {
            let (images, most) = (self.images, Self::MAX_IMAGES);
            return Err(SynthError::Setting(format!("{images} pictures: {least} are the fewest, {most} the most")));
        }
        if !Self::SIDES.contains(&self.side) {
            let (least, most) = (Self::SIDES.start(), Self::SIDES.end());
            return Err(SynthError::Setting(format!("{} pixels a side: {least} to {most} are possible", self.side)));
        }
        Ok(())
    }

    /// Whether picture `number` is for validation: the last tenth of each class, or of all, at least one.
    fn validates(&self, number: usize) -> bool {
        let classes = if self.task == Task::Classify { self.classes.list().len() } else { 1 };
        let (turn, class) = (number / classes, number % classes);
        let count = (self.images - class).div_ceil(classes);
        turn >= count - (count / 10).max(1)
    }
}

/// A data set that cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// Options out of range.
    #[error("{0}")]
    Setting(String),
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The caller wanted no more.
    #[error("stopped before all pictures were drawn")]
    Stopped,
}

/// Draws a data set into `folder`, which should be empty. `progress` hears how many pictures are done, and stops the work by
/// returning false. The same options give the same bytes. What was written before an error stays.
///
/// # Errors
/// When options are out of range, a file cannot be written, or `progress` says stop.
pub fn generate(
    folder: &Path,
    options: &SynthOptions,
    progress: &(dyn Fn(usize) -> bool + Sync),
) -> Result<(), SynthError> {
    options.check()?;
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(None);
    let notes = Mutex::new(vec![None; options.images]);
    for path in folders(options) {
        create(&folder.join(path))?;
    }
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.images {
                return;
            }
            let outcome = write_picture(folder, options, number).and_then(|note| {
                notes.lock().unwrap_or_else(PoisonError::into_inner)[number] = note;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if progress(done) { Ok(()) } else { Err(SynthError::Stopped) }
            });
            if let Err(error) = outcome {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                // Nobody takes another number.
                next.store(options.images, Ordering::Relaxed);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.threads.clamp(1, 64) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let notes: Vec<Note> = notes.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect();
    match options.task {
        Task::Classify => {}
        Task::Detect => coco::write(folder, options, &notes)?,
        Task::Segment => ade20k::write_table(folder, options, &notes)?,
    }
    write_about(folder, options)
}

/// What is kept of a picture for the files about all of them.
#[derive(Clone, Debug)]
enum Note {
    Detect { height: usize, width: usize, objects: Vec<coco::Object> },
    Segment { pixels: [usize; Class::ALL.len() + 1] },
}

fn folders(options: &SynthOptions) -> Vec<PathBuf> {
    let under = |folders: [&str; 2], names: [&str; 2]| {
        folders.into_iter().flat_map(|folder| names.map(|name| Path::new(folder).join(name))).collect()
    };
    match options.task {
        Task::Classify => {
            let classes = options.classes.list();
            let both = ["train", "val"].into_iter();
            both.flat_map(|part| classes.iter().map(move |class| Path::new(part).join(class.name()))).collect()
        }
        Task::Detect => ["train2017", "val2017", "annotations"].map(PathBuf::from).to_vec(),
        Task::Segment => under(["images", "annotations"], ["training", "validation"]),
    }
}

/// Height and width of a picture with several things: the longer side is `side`.
fn sides(options: &SynthOptions, number: usize) -> [usize; 2] {
    let mut rng = Rng::new(options.seed, &[SYNTH, 2, number as u64]);
    let shorter = (options.side as f64 * rng.range(0.7, 1.0)).round() as usize;
    if rng.chance(0.7) { [shorter, options.side] } else { [options.side, shorter] }
}

fn write_picture(folder: &Path, options: &SynthOptions, number: usize) -> Result<Option<Note>, SynthError> {
    let validates = options.validates(number);
    let of_things = |stuff| Scene::of_things(stuff, options.seed, number as u64, sides(options, number)).paint();
    match options.task {
        Task::Classify => {
            let classes = options.classes.list();
            let class = classes[number % classes.len()];
            let Picture { image, .. } = Scene::of_class(class, options.seed, number as u64, options.side).paint();
            let part = if validates { "val" } else { "train" };
            write_image(&folder.join(part).join(class.name()).join(format!("{number:06}.png")), &image)?;
            Ok(None)
        }
        Task::Detect => {
            let picture = of_things(false);
            write_image(&folder.join(coco::part(validates)).join(coco::file_name(number)), &picture.image)?;
            let (height, width) = (picture.image.height(), picture.image.width());
            Ok(Some(Note::Detect { height, width, objects: coco::objects(&picture) }))
        }
        Task::Segment => {
            let picture = of_things(true);
            let name = ade20k::file_name(number, validates);
            write_image(&folder.join("images").join(&name), &picture.image)?;
            ade20k::write_labels(&folder.join("annotations").join(&name), &picture).map(Some)
        }
    }
}

/// What the data set was made of, for those who find it.
#[derive(Serialize)]
struct About {
    task: &'static str,
    images: usize,
    seed: u64,
    side: usize,
    classes: Vec<&'static str>,
}

fn write_about(folder: &Path, options: &SynthOptions) -> Result<(), SynthError> {
    let &SynthOptions { task, images, seed, side, .. } = options;
    let classes = if task == Task::Detect { &Class::THINGS } else { options.classes.list() };
    let classes = classes.iter().map(|class| class.name()).collect();
    write_json(&folder.join("synth.json"), &About { task: task.name(), images, seed, side, classes })
}

fn create(folder: &Path) -> Result<(), SynthError> {
    fs::create_dir_all(folder).map_err(|source| SynthError::Write { path: folder.to_owned(), source })
}

/// Writes a file whole, or says which one it was.
fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<(), SynthError> {
    let written = File::create(path).map(BufWriter::new).and_then(|mut file| {
        write(&mut file)?;
        file.flush()
    });
    written.map_err(|source| SynthError::Write { path: path.to_owned(), source })
}

fn write_image(path: &Path, image: &RgbImage) -> Result<(), SynthError> {
    write_file(path, |file| encode_png(image, file))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SynthError> {
    write_file(path, |file| {
        serde_json::to_writer(&mut *file, value).map_err(std::io::Error::from)?;
        file.write_all(b"\n")
    })
}
