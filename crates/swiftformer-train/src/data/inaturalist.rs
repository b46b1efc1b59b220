//! iNaturalist 2018 and 2019: images in folders, labels in JSON.

use std::{
    collections::HashMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, de::DeserializeOwned};
use swiftformer::image::{Orientation, RgbImage};

use super::{DataError, Dataset, folder::read_image};

/// The years there are.
const YEARS: [u32; 2] = [2018, 2019];

/// By which rank of the tree of life images are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Category {
    /// The kingdom.
    Kingdom,
    /// The phylum.
    Phylum,
    /// The class.
    Class,
    /// The order.
    Order,
    /// iNaturalist's own rough groups.
    Supercategory,
    /// The family.
    Family,
    /// The genus.
    Genus,
    /// The species.
    #[default]
    Name,
}

impl Category {
    /// The field of the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kingdom => "kingdom",
            Self::Phylum => "phylum",
            Self::Class => "class",
            Self::Order => "order",
            Self::Supercategory => "supercategory",
            Self::Family => "family",
            Self::Genus => "genus",
            Self::Name => "name",
        }
    }
}

impl FromStr for Category {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [
            Self::Kingdom,
            Self::Phylum,
            Self::Class,
            Self::Order,
            Self::Supercategory,
            Self::Family,
            Self::Genus,
            Self::Name,
        ];
        all.into_iter().find(|category| category.name() == name).ok_or_else(|| {
            let names = all.map(Self::name).join(", ");
            format!("`{name}` is no category of iNaturalist: {names}")
        })
    }
}

/// The images that `trainYEAR.json` or `valYEAR.json` lists. Classes are numbered as they first occur in the annotations of
/// the training images, as the reference's training code does. Ranks come from `categories.json` where it is there, because
/// those inside the lists of 2018 were made unreadable on purpose.
#[derive(Debug)]
pub struct INaturalist {
    root: PathBuf,
    classes: Vec<String>,
    /// Paths below the root, and labels.
    images: Vec<(String, usize)>,
}

#[derive(Deserialize)]
struct List {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Ranks>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: i64,
}

#[derive(Deserialize)]
struct Ranks {
    id: i64,
    #[serde(flatten)]
    fields: HashMap<String, serde_json::Value>,
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let file = File::open(path).map_err(DataError::read(path))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|error| DataError::malformed(path, error.to_string()))
}

/// The year of the lists in `folder`.
pub(super) fn year(folder: &Path) -> Option<u32> {
    YEARS.into_iter().find(|year| folder.join(format!("train{year}.json")).is_file())
}

impl INaturalist {
    /// Reads the lists of `year` in `folder`: the training images, and those to validate with where there is a list of them.
    ///
    /// # Errors
    /// When a list cannot be read, an image has no annotation, or a category has no such rank.
    pub fn open(folder: &Path, year: u32, category: Category) -> Result<(Self, Option<Self>), DataError> {
        let path = folder.join(format!("train{year}.json"));
        let mut train: List = parse(&path)?;
        let table = folder.join("categories.json");
        let (source, ranks): (_, Vec<Ranks>) = match table.is_file() {
            true => (&table, parse(&table)?),
            false => (&path, std::mem::take(&mut train.categories)),
        };
        let mut names = HashMap::new();
        for Ranks { id, fields } in ranks {
            let missing = || {
                let mut known: Vec<&str> = fields.keys().map(String::as_str).collect();
                known.sort_unstable();
                let detail = format!("category {id} has no `{}`: its fields are {}", category.name(), known.join(", "));
                DataError::malformed(source, detail)
            };
            let name = fields.get(category.name()).and_then(|name| name.as_str()).ok_or_else(missing)?;
            names.insert(id, name.to_owned());
        }
        let (mut classes, mut labels) = (Vec::new(), HashMap::new());
        for annotation in &train.annotations {
            let name = names.get(&annotation.category_id).ok_or_else(|| {
                DataError::malformed(&path, format!("category {} is in no list of categories", annotation.category_id))
            })?;
            labels.entry(name.clone()).or_insert_with(|| {
                classes.push(name.clone());
                classes.len() - 1
            });
        }
        let label_of = |id: i64| names.get(&id).and_then(|name| labels.get(name)).copied();
        let validation = folder.join(format!("val{year}.json"));
        let other = match validation.is_file() {
            true => Some(Self::list(folder, &validation, parse(&validation)?, &classes, label_of)?),
            false => None,
        };
        Ok((Self::list(folder, &path, train, &classes, label_of)?, other))
    }

    fn list(
        root: &Path,
        path: &Path,
        list: List,
        classes: &[String],
        label_of: impl Fn(i64) -> Option<usize>,
    ) -> Result<Self, DataError> {
        let categories: HashMap<i64, i64> =
            list.annotations.iter().map(|annotation| (annotation.image_id, annotation.category_id)).collect();
        let mut images = Vec::with_capacity(list.images.len());
        for Image { id, file_name } in list.images {
            let Some(&category) = categories.get(&id) else {
                return Err(DataError::malformed(path, format!("{file_name} has no annotation")));
            };
            let Some(label) = label_of(category) else {
                let (path, entry, classes) = (path.to_owned(), file_name, classes.len());
                return Err(DataError::Label { path, entry, label: category, classes });
            };
            // Lists come from elsewhere: their files have to lie below the folder.
            let inside = Path::new(&file_name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if !inside {
                return Err(DataError::malformed(path, format!("{file_name} is no path below the folder")));
            }
            images.push((file_name, label));
        }
        if images.is_empty() {
            return Err(DataError::layout(path, "no images in it"));
        }
        Ok(Self { root: root.to_owned(), classes: classes.to_vec(), images })
    }

    /// The file of an image. Copies without the folders of super-categories, which the reference expects, are found too.
    fn path(&self, index: usize) -> PathBuf {
        let name = &self.images[index].0;
        let path = self.root.join(name);
        let parts: Vec<&str> = name.split('/').collect();
        match parts[..] {
            [folder, _, category, file] if !path.exists() => self.root.join(folder).join(category).join(file),
            _ => path,
        }
    }
}

impl Dataset for INaturalist {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.images[index].1
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn read(&self, index: usize, orientation: Orientation) -> Result<RgbImage, DataError> {
        read_image(&self.path(index), orientation)
    }
}
