//! `swiftformer classify --heatmap`.

use swiftformer::image::{DecodeLimits, Orientation, RgbImage, open};

use crate::support::{Folder, swiftformer};

fn picture(path: &str) -> RgbImage {
    open(path, Orientation::Apply, &DecodeLimits::default()).unwrap()
}

#[test]
fn a_heatmap_has_the_size_of_its_photograph() {
    let folder = Folder::new();
    let photograph = crate::support::testdata("images/exif_6.jpg").to_str().unwrap().to_owned();
    swiftformer(&["classify", &photograph, "--heatmap", &folder.path("maps/deep")]).exits(0);
    let (map, photograph) = (picture(&folder.path("maps/deep/exif_6.png")), picture(&photograph));
    assert_eq!((map.width(), map.height()), (photograph.width(), photograph.height()));
    assert_ne!(map, photograph);
}

#[test]
fn equal_names_get_numbers_and_inputs_stay_as_they_are() {
    let folder = Folder::new();
    let first = folder.copy("images/rgba.png", "maps/photo.png");
    let second = folder.copy("images/gray.png", "elsewhere/photo.PNG");
    let before = std::fs::read(&first).unwrap();
    swiftformer(&["classify", &first, &second, "--heatmap", &folder.path("maps")]).exits(0);
    assert_eq!(folder.names("maps"), ["photo-2.png", "photo-3.png", "photo.png"]);
    assert_eq!(std::fs::read(&first).unwrap(), before);
}

#[test]
fn a_crop_leaves_the_borders_without_overlay() {
    let folder = Folder::new();
    let photograph = crate::support::testdata("images/wide.png").to_str().unwrap().to_owned();
    swiftformer(&["classify", &photograph, "-m", "timm_tiny", "--heatmap", &folder.path("maps")]).exits(0);
    let (map, photograph) = (picture(&folder.path("maps/wide.png")), picture(&photograph));
    let y = photograph.height() / 2;
    let middle = 3 * (photograph.width() / 2);
    assert_eq!(map.row(y)[..3], photograph.row(y)[..3]);
    assert_ne!(map.row(y)[middle..middle + 3], photograph.row(y)[middle..middle + 3]);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    swiftformer(&["classify", "images/china.jpg", "--heatmap", "images/china.jpg"]).exits(2).says(&["heatmaps"]);
}
