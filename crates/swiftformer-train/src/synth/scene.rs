//! Pictures: a background, things upon it, light, and what a camera adds.

use swiftformer::image::RgbImage;

use super::{
    Class,
    colour::{Colour, hsv, mix, scale},
    stuff::Surface,
    things::{Look, paint},
};
use crate::{
    augment::blur::gaussian_blur,
    rng::{Rng, SYNTH},
};

/// The most things in one picture.
const MAX_THINGS: usize = 5;

/// Points a pixel side; odd, so that one of them is the centre.
const SAMPLES: usize = 3;

/// A thing in a picture.
#[derive(Clone, Debug)]
struct Placed {
    class: Class,
    look: Look,
    /// Centre in pixels.
    centre: [f64; 2],
    /// From pixels to the thing's own directions.
    inverse: [f64; 4],
    /// Pixels from the centre that the thing may cover.
    reach: f64,
}

impl Placed {
    /// A thing of radius `radius` pixels, turned, stretched and perhaps mirrored.
    fn draw(class: Class, centre: [f64; 2], radius: f64, rng: &mut Rng) -> Self {
        let mut look = Look::draw(rng);
        // What stands, stands nearly upright; the rest lies any way round.
        let lean = match class {
            Class::TrafficLight | Class::Dice => 0.3,
            Class::Clock => 0.35,
            Class::Apple | Class::Fish => 0.6,
            Class::Cactus | Class::Mushroom | Class::Snowman | Class::Umbrella => 0.35,
            _ => std::f64::consts::PI,
        };
        let angle = rng.range(-lean, lean);
        let stretch = libm::exp(rng.range(-0.16, 0.16));
        let mirror = if rng.chance(0.5) { -1.0 } else { 1.0 };
        let shear = rng.range(-0.12, 0.12);
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        // Rotation, then shear and stretch, over the radius.
        let (a, b) = (cos * stretch, sin * stretch);
        let (c, d) = (-sin / stretch + shear * cos, cos / stretch + shear * sin);
        let inverse = [mirror * a / radius, mirror * b / radius, c / radius, d / radius];
        let light = rng.range(0.0, std::f64::consts::TAU);
        // Light mostly comes from above.
        let light = [libm::cos(light) * 0.8, -libm::fabs(libm::sin(light)) - 0.2];
        let own = [inverse[0] * light[0] + inverse[1] * light[1], inverse[2] * light[0] + inverse[3] * light[1]];
        let length = (own[0] * own[0] + own[1] * own[1]).sqrt();
        look.light = own.map(|part| part / length);
        Self { class, look, centre, inverse, reach: radius * 1.45 }
    }

    fn paint(&self, x: f64, y: f64) -> Option<Colour> {
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        if x.abs() > self.reach || y.abs() > self.reach {
            return None;
        }
        let [a, b, c, d] = self.inverse;
        paint(self.class, &self.look, a * x + b * y, c * x + d * y)
    }
}

/// Something of no class, before or behind the things.
#[derive(Clone, Debug)]
struct Clutter {
    centre: [f64; 2],
    half: [f64; 2],
    turn: [f64; 2],
    round: bool,
    colours: [Colour; 2],
}

impl Clutter {
    fn draw(centre: [f64; 2], size: f64, rng: &mut Rng) -> Self {
        let angle = rng.range(0.0, std::f64::consts::TAU);
        let first = hsv(rng.uniform(), rng.range(0.0, 0.9), rng.range(0.1, 0.95));
        Self {
            centre,
            half: [size * rng.range(0.4, 1.4), size * rng.range(0.3, 1.0)],
            turn: [libm::cos(angle), libm::sin(angle)],
            round: rng.chance(0.4),
            colours: [first, scale(first, rng.range(0.5, 1.0))],
        }
    }

    fn paint(&self, x: f64, y: f64) -> Option<Colour> {
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        let (x, y) = (
            (self.turn[0] * x - self.turn[1] * y) / self.half[0],
            (self.turn[1] * x + self.turn[0] * y) / self.half[1],
        );
        let inside = if self.round { x * x + y * y < 1.0 } else { x.abs() < 1.0 && y.abs() < 1.0 };
        inside.then(|| mix(self.colours[0], self.colours[1], 0.5 + 0.5 * y))
    }
}

/// A picture before it is painted.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    width: usize,
    height: usize,
    stuff: Option<Class>,
    surface: Surface,
    behind: Vec<Clutter>,
    things: Vec<Placed>,
    before: Vec<Clutter>,
    camera: Camera,
}

/// A picture, and what is where.
pub(super) struct Picture {
    /// The pixels.
    pub(super) image: RgbImage,
    /// For each pixel the number of the thing at its centre, from 1; 0 for the background, 255 for what is in the way.
    pub(super) owners: Vec<u8>,
    /// The class of the background, where it has one.
    pub(super) stuff: Option<Class>,
    /// The classes of the things.
    pub(super) things: Vec<Class>,
}

/// The owner of pixels of things of no class.
const CLUTTER: u8 = 255;

impl Scene {
    /// Picture `number` of a data set with the seed `seed`, of `side` × `side` pixels, that shows one `class`.
    pub(super) fn of_class(class: Class, seed: u64, number: u64, side: usize) -> Self {
        let rng = &mut Rng::new(seed, &[SYNTH, 0, number]);
        let size = side as f64;
        let stuff = Class::STUFF.contains(&class).then_some(class);
        let surface = Surface::draw(stuff, rng);
        let mut scene = Self::empty(side, side, stuff, surface, rng);
        for _ in 0..rng.below(4) {
            let centre = [rng.range(0.0, size), rng.range(0.0, size)];
            if stuff.is_none() {
                scene.behind.push(Clutter::draw(centre, size * rng.range(0.05, 0.22), rng));
            }
        }
        let radius = size * rng.range(0.26, 0.5);
        let room = (size / 2.0 - radius).max(0.0) + 0.06 * size;
        let centre = [0, 1].map(|_| size / 2.0 + rng.range(-room, room));
        if stuff.is_none() {
            scene.things.push(Placed::draw(class, centre, radius, rng));
        }
        if rng.chance(0.3) {
            // Something in the way, off the centre so that enough is left to see.
            let angle = rng.range(0.0, std::f64::consts::TAU);
            let away = radius * rng.range(0.75, 1.1);
            let centre = [centre[0] + away * libm::cos(angle), centre[1] + away * libm::sin(angle)];
            scene.before.push(Clutter::draw(centre, radius * rng.range(0.25, 0.5), rng));
        }
        scene
    }

    /// Picture `number` with several things, `stuff` says whether its background may have a class.
    pub(super) fn of_things(stuff: bool, seed: u64, number: u64, [height, width]: [usize; 2]) -> Self {
        let rng = &mut Rng::new(seed, &[SYNTH, 1, number]);
        let stuff = (stuff && rng.chance(0.5)).then(|| *rng.choice(&Class::STUFF));
        let surface = Surface::draw(stuff, rng);
        let mut scene = Self::empty(width, height, stuff, surface, rng);
        let shorter = width.min(height) as f64;
        for _ in 0..rng.below(3) {
            let centre = [rng.range(0.0, width as f64), rng.range(0.0, height as f64)];
            scene.behind.push(Clutter::draw(centre, shorter * rng.range(0.04, 0.12), rng));
        }
        for _ in 0..rng.inclusive(1, MAX_THINGS) {
            let class = *rng.choice(&Class::THINGS);
            let radius = shorter * rng.range(0.1, 0.3);
            // Things may overlap a little; where there is no room the picture has one less.
            for _ in 0..12 {
                let centre = [
                    rng.range(radius * 0.7, width as f64 - radius * 0.7),
                    rng.range(radius * 0.7, height as f64 - radius * 0.7),
                ];
                let free = scene.things.iter().all(|other| {
                    let (x, y) = (other.centre[0] - centre[0], other.centre[1] - centre[1]);
                    (x * x + y * y).sqrt() > 0.8 * (other.reach / 1.45 + radius)
                });
                if free {
                    scene.things.push(Placed::draw(class, centre, radius, rng));
                    break;
                }
            }
        }
        scene
    }

    fn empty(width: usize, height: usize, stuff: Option<Class>, surface: Surface, rng: &mut Rng) -> Self {
        let (behind, things, before) = (Vec::new(), Vec::new(), Vec::new());
        Self { width, height, stuff, surface, behind, things, before, camera: Camera::draw(rng) }
    }

    /// The colour at a point, and whose it is.
    fn at(&self, x: f64, y: f64) -> (Colour, u8) {
        if let Some(colour) = self.before.iter().rev().find_map(|clutter| clutter.paint(x, y)) {
            return (colour, CLUTTER);
        }
        for (number, thing) in self.things.iter().enumerate().rev() {
            if let Some(colour) = thing.paint(x, y) {
                return (colour, number as u8 + 1);
            }
        }
        if let Some(colour) = self.behind.iter().rev().find_map(|clutter| clutter.paint(x, y)) {
            return (self.shadowed(colour, x, y), CLUTTER);
        }
        let half = self.width.min(self.height) as f64 / 2.0;
        let (u, v) = ((x - self.width as f64 / 2.0) / half, (y - self.height as f64 / 2.0) / half);
        (self.shadowed(self.surface.paint(u, v), x, y), 0)
    }

    /// Darkens what lies below a thing.
    fn shadowed(&self, colour: Colour, x: f64, y: f64) -> Colour {
        let dark = self.things.iter().map(|thing| {
            let radius = thing.reach / 1.45;
            let (x, y) = ((x - thing.centre[0]) / radius, (y - thing.centre[1] - 0.75 * radius) / (radius * 0.45));
            0.45 * libm::exp(-(x * x + y * y) * 1.4)
        });
        scale(colour, 1.0 - dark.fold(0.0, f64::max))
    }

    /// Paints the picture.
    pub(super) fn paint(&self) -> Picture {
        let (width, height) = (self.width, self.height);
        let mut values = Vec::with_capacity(width * height);
        let mut owners = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0; 3];
                for sample in 0..SAMPLES * SAMPLES {
                    let place = |at: usize, share: usize| at as f64 + (share as f64 + 0.5) / SAMPLES as f64;
                    let (colour, owner) = self.at(place(x, sample % SAMPLES), place(y, sample / SAMPLES));
                    sum = [0, 1, 2].map(|channel| sum[channel] + colour[channel].clamp(0.0, 1.0));
                    if sample == SAMPLES * SAMPLES / 2 {
                        owners.push(owner);
                    }
                }
                values.push(scale(sum, 1.0 / (SAMPLES * SAMPLES) as f64));
            }
        }
        let image = self.camera.shoot(&values, width, height);
        Picture { image, owners, stuff: self.stuff, things: self.things.iter().map(|thing| thing.class).collect() }
    }
}

/// Exposure, colour cast, blur and noise.
#[derive(Clone, Debug)]
struct Camera {
    gain: f64,
    cast: Colour,
    saturation: f64,
    /// Light falls from one side: share a picture's half.
    fall: [f64; 2],
    blur: f64,
    noise: f64,
    rng: Rng,
}

impl Camera {
    fn draw(rng: &mut Rng) -> Self {
        let cast = rng.range(-0.1, 0.1);
        Self {
            gain: libm::exp(rng.range(-0.45, 0.3)),
            cast: [1.0 + cast, 1.0, 1.0 - cast],
            saturation: if rng.chance(0.06) { 0.0 } else { rng.range(0.6, 1.15) },
            fall: [rng.range(-0.2, 0.2), rng.range(-0.2, 0.2)],
            blur: if rng.chance(0.4) { rng.range(0.003, 0.009) } else { 0.0 },
            noise: rng.range(0.0, 1.0) * rng.range(0.0, 0.055),
            rng: Rng::new(rng.next_u64(), &[SYNTH]),
        }
    }

    fn shoot(&self, values: &[Colour], width: usize, height: usize) -> RgbImage {
        let mut image = RgbImage::filled(width, height, [0; 3]);
        for (at, (pixel, value)) in image.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(values).enumerate() {
            let x = (at % width) as f64 / width as f64 * 2.0 - 1.0;
            let y = (at / width) as f64 / height as f64 * 2.0 - 1.0;
            let gain = self.gain * (1.0 + self.fall[0] * x + self.fall[1] * y);
            let luma = 0.299 * value[0] + 0.587 * value[1] + 0.114 * value[2];
            *pixel = [0, 1, 2].map(|channel| {
                let value = luma + (value[channel] - luma) * self.saturation;
                (value * gain * self.cast[channel] * 255.0 + 0.5) as u8
            });
        }
        if self.blur > 0.0 {
            gaussian_blur(&mut image, self.blur * width.min(height) as f64);
        }
        let mut rng = self.rng.clone();
        let strength = self.noise * 255.0;
        if strength > 0.5 {
            for byte in image.data_mut() {
                *byte = (f64::from(*byte) + strength * rng.normal() + 0.5) as u8;
            }
        }
        image
    }
}
