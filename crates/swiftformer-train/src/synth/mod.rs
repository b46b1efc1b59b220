//! A data set drawn by rule: a dozen classes of things that anybody recognises and six more, for demonstrations and tests.
//!
//! Pose, size, colours, background, light, blur, noise and things in the way vary. Everything follows from a seed: the same
//! options give the same bytes on every machine.

mod class;
mod colour;
mod layout;
mod outline;
mod scene;
mod stuff;
mod things;

use swiftformer::image::RgbImage;

pub use class::Class;
pub use layout::{Classes, SynthError, SynthOptions, Task, generate};
use scene::Scene;

/// Picture `number` of a data set with the seed `seed`: `side` × `side` pixels that show one `class`.
///
/// ```
/// use swiftformer_train::synth::{Class, draw};
///
/// let image = draw(Class::Apple, 1, 0, 64);
/// assert_eq!((image.width(), image.height()), (64, 64));
/// assert_eq!(image, draw(Class::Apple, 1, 0, 64));
/// ```
pub fn draw(class: Class, seed: u64, number: u64, side: usize) -> RgbImage {
    Scene::of_class(class, seed, number, side).paint().image
}
