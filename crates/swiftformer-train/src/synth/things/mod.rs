//! Things with an outline, painted point by point.
//!
//! A thing lies in the circle of radius 1 about the origin, x to the right and y down. A painter gives the colour at a point,
//! or nothing outside of the outline. All that varies between two apples is drawn once, into a [`Look`].

mod fruit;
mod garden;
mod nature;
mod objects;
mod playthings;

use super::{Class, colour::Colour};
use crate::rng::Rng;

/// What one thing looks like: numbers in 0..1 that painters take their choices from.
#[derive(Clone, Debug)]
pub(super) struct Look {
    choices: [f64; 10],
    seed: u64,
    /// Where light comes from: a unit vector in the picture, turned into the thing's own directions.
    pub(super) light: [f64; 2],
}

impl Look {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self { choices: std::array::from_fn(|_| rng.uniform()), seed: rng.next_u64(), light: [0.0, -1.0] }
    }

    /// Choice `number` in 0..1.
    fn share(&self, number: usize) -> f64 {
        self.choices[number]
    }

    /// Choice `number` between two bounds.
    fn between(&self, number: usize, low: f64, high: f64) -> f64 {
        low + (high - low) * self.choices[number]
    }

    /// Choice `number` out of a list.
    fn pick<T: Copy, const N: usize>(&self, number: usize, list: [T; N]) -> T {
        list[((self.choices[number] * N as f64) as usize).min(N - 1)]
    }

    /// Brightness of a ball of radius `radius` at a point, about 0.45 to 1.2.
    fn ball(&self, x: f64, y: f64, radius: f64) -> f64 {
        let (x, y) = (x / radius, y / radius);
        let towards = (1.0 - x * x - y * y).max(0.0).sqrt();
        0.45 + 0.75 * (0.62 * towards + 0.78 * (x * self.light[0] + y * self.light[1])).max(0.0)
    }

    /// Brightness of something flat, a little towards the light.
    fn flat(&self, x: f64, y: f64) -> f64 {
        1.0 + 0.22 * (x * self.light[0] + y * self.light[1])
    }

    /// Strength of a highlight on a ball of radius `radius`.
    fn glint(&self, x: f64, y: f64, radius: f64) -> f64 {
        let (x, y) = (x / radius - 0.42 * self.light[0], y / radius - 0.42 * self.light[1]);
        libm::exp(-(x * x + y * y) * 16.0)
    }
}

/// The colour of a thing at a point, `None` outside of it.
pub(super) fn paint(class: Class, look: &Look, x: f64, y: f64) -> Option<Colour> {
    if x * x + y * y > 1.0 {
        return None;
    }
    match class {
        Class::Apple => fruit::apple(look, x, y),
        Class::Banana => fruit::banana(look, x, y),
        Class::Clock => objects::clock(look, x, y),
        Class::Dice => objects::dice(look, x, y),
        Class::Fish => nature::fish(look, x, y),
        Class::Flower => nature::flower(look, x, y),
        Class::Leaf => nature::leaf(look, x, y),
        Class::TennisBall => objects::tennis_ball(look, x, y),
        Class::TrafficLight => objects::traffic_light(look, x, y),
        Class::Cactus => garden::cactus(look, x, y),
        Class::Ladybird => garden::ladybird(look, x, y),
        Class::Mushroom => garden::mushroom(look, x, y),
        Class::Pencil => playthings::pencil(look, x, y),
        Class::Snowman => playthings::snowman(look, x, y),
        Class::Umbrella => playthings::umbrella(look, x, y),
        Class::BrickWall | Class::StarrySky | Class::Sunset => None,
    }
}
