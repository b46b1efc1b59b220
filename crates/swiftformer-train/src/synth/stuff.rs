//! What fills a picture: walls, skies, and backgrounds of no class.

use std::f64::consts::TAU;

use super::{
    Class,
    colour::{Colour, cell, clouds, hsv, length_of, mix, noise, scale, step},
};
use crate::rng::Rng;

/// A surface over the whole picture, whose shorter side is 2 long and whose centre is the origin.
#[derive(Clone, Debug)]
pub(super) struct Surface {
    kind: Kind,
    choices: [f64; 10],
    colours: [Colour; 2],
    seed: u64,
    /// Rotation (cosine and sine) and size of patterns.
    turn: [f64; 2],
    zoom: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bricks,
    Stars,
    Sunset,
    Gradient,
    Clouds,
    Boards,
    Checks,
    Grass,
    Table,
    Spots,
}

impl Surface {
    /// A surface of a class of stuff, or with `None` of no class.
    pub(super) fn draw(class: Option<Class>, rng: &mut Rng) -> Self {
        let plain = [Kind::Gradient, Kind::Clouds, Kind::Boards, Kind::Checks, Kind::Grass, Kind::Table, Kind::Spots];
        let (kind, lean) = match class {
            Some(Class::BrickWall) => (Kind::Bricks, 0.3),
            Some(Class::StarrySky) => (Kind::Stars, 0.2),
            Some(Class::Sunset) => (Kind::Sunset, 0.08),
            _ => (*rng.choice(&plain), 3.2),
        };
        let angle = rng.range(-lean, lean);
        let colour = |rng: &mut Rng| hsv(rng.uniform(), rng.range(0.05, 0.7), rng.range(0.2, 0.95));
        let first = colour(rng);
        let other = colour(rng);
        let colours = [first, mix(first, other, rng.range(0.3, 1.0))];
        Self {
            kind,
            choices: std::array::from_fn(|_| rng.uniform()),
            colours,
            seed: rng.next_u64(),
            turn: [libm::cos(angle), libm::sin(angle)],
            zoom: libm::exp(rng.range(-0.4, 0.6)),
        }
    }

    fn between(&self, number: usize, low: f64, high: f64) -> f64 {
        low + (high - low) * self.choices[number]
    }

    /// The colour at a point.
    pub(super) fn paint(&self, x: f64, y: f64) -> Colour {
        let (u, v) = (self.turn[0] * x - self.turn[1] * y, self.turn[1] * x + self.turn[0] * y);
        let (u, v) = (u * self.zoom, v * self.zoom);
        match self.kind {
            Kind::Bricks => self.bricks(u, v),
            Kind::Stars => self.stars(u, v),
            Kind::Sunset => self.sunset(u / self.zoom, v / self.zoom),
            Kind::Gradient => mix(self.colours[0], self.colours[1], 0.5 + 0.5 * u / self.zoom),
            Kind::Clouds => mix(self.colours[0], self.colours[1], 2.0 * clouds(u * 1.6, v * 1.6, self.seed) - 0.5),
            Kind::Boards => {
                let board = (v * 2.5).floor();
                let joint = step(0.0, 0.05, v * 2.5 - board);
                let grain = noise(u * 1.2 + board * 7.3, v * 22.0, self.seed);
                let tone = 0.75 + 0.25 * cell(board as i64, 0, self.seed) + 0.25 * (grain - 0.5);
                scale(hsv(self.between(0, 0.05, 0.1), self.between(1, 0.3, 0.7), 0.75), tone * (0.5 + 0.5 * joint))
            }
            Kind::Checks => {
                let odd = ((u * 2.2).floor() + (v * 2.2).floor()).rem_euclid(2.0);
                self.colours[odd as usize]
            }
            Kind::Grass => {
                let blades = noise(u * 14.0, v * 5.0, self.seed) * 0.6 + noise(u * 31.0, v * 9.0, self.seed ^ 1) * 0.4;
                hsv(self.between(0, 0.2, 0.36), self.between(1, 0.4, 0.8), 0.25 + 0.55 * blades)
            }
            Kind::Table => {
                let horizon = self.between(0, -0.4, 0.35);
                let grain = 0.92 + 0.16 * noise(x * 9.0, y * 9.0, self.seed);
                let near = if y > horizon { self.colours[0] } else { self.colours[1] };
                scale(near, grain * (1.0 - 0.25 * step(0.5, 0.0, y - horizon) * f64::from(y > horizon)))
            }
            Kind::Spots => {
                let (column, row) = ((u * 2.6).floor(), (v * 2.6).floor());
                let centre = length_of(u * 2.6 - column - 0.5, v * 2.6 - row - 0.5);
                mix(self.colours[1], self.colours[0], step(0.28, 0.32, centre))
            }
        }
    }

    fn bricks(&self, u: f64, v: f64) -> Colour {
        let high = self.between(0, 0.22, 0.36);
        let wide = high * self.between(1, 1.9, 2.8);
        let row = (v / high).floor();
        let shift = if row.rem_euclid(2.0) == 0.0 { 0.0 } else { 0.5 };
        let column = (u / wide + shift).floor();
        let across = (u / wide + shift - column) * wide;
        let down = (v / high - row) * high;
        let joint = self.between(2, 0.018, 0.045);
        let rough = 0.012 * (noise(u * 20.0, v * 20.0, self.seed) - 0.5);
        let edge = across.min(wide - across).min(down).min(high - down) + rough;
        let grain = clouds(u * 9.0, v * 9.0, self.seed);
        if edge < joint {
            let tone = self.between(3, 0.45, 0.85);
            return scale([tone, tone * 0.98, tone * 0.93], 0.8 + 0.4 * grain);
        }
        let (hue, saturation) =
            [(0.02, 0.65), (0.04, 0.55), (0.06, 0.4), (0.0, 0.6), (0.08, 0.25)][(self.choices[4] * 5.0) as usize % 5];
        let own = cell(column as i64, row as i64, self.seed);
        let value = self.between(5, 0.45, 0.75) + 0.22 * (own - 0.5);
        // Bricks stand out a little: light above, shade below.
        let relief = 1.0 + 0.22 * step(0.05, 0.0, down - joint) - 0.25 * step(0.06, 0.0, high - down - joint);
        scale(hsv(hue + 0.02 * (own - 0.5), saturation, value), relief * (0.72 + 0.56 * grain))
    }

    fn stars(&self, u: f64, v: f64) -> Colour {
        let hue = self.between(0, 0.58, 0.78);
        let sky = mix(hsv(hue, 0.8, 0.05), hsv(hue - 0.05, 0.75, self.between(1, 0.12, 0.34)), 0.5 + 0.4 * v);
        // A band of faint light across the sky.
        let band = libm::exp(-(u * 0.6 + v * 0.8) * (u * 0.6 + v * 0.8) * 5.0) * self.between(2, 0.0, 0.4);
        let mut colour = mix(sky, [0.6, 0.55, 0.75], band * clouds(u * 2.5, v * 2.5, self.seed));
        for (layer, grid) in [(0, 4.5), (1, 9.0)] {
            let (column, row) = ((u * grid).floor(), (v * grid).floor());
            let (a, b) = (column as i64, row as i64);
            let seed = self.seed ^ (layer + 1);
            let bright = cell(a, b, seed);
            if bright < self.between(3, 0.15, 0.5) {
                continue;
            }
            let place = [cell(a, b, seed ^ 64), cell(a, b, seed ^ 128)].map(|share| 0.2 + 0.6 * share);
            let (dx, dy) = (u * grid - column - place[0], v * grid - row - place[1]);
            let distance = length_of(dx, dy);
            let size = if layer == 0 { 0.1 + 0.13 * bright } else { 0.13 };
            let cross =
                libm::exp(-libm::fabs(dx * dy) * 900.0) * step(0.4, 0.0, distance) * f64::from(layer == 0) * 0.5;
            let light = (step(size, size * 0.3, distance) + cross).min(1.0);
            colour = mix(colour, hsv(cell(a, b, seed ^ 256), 0.2, 1.0), light);
        }
        if self.choices[4] < 0.35 {
            let (x, y) = (u - self.between(5, -0.7, 0.7), v - self.between(6, -0.7, 0.1));
            let shade = length_of(x - 0.12, y + 0.03);
            if length_of(x, y) < 0.24 && (shade > 0.22 || self.choices[7] < 0.3) {
                colour = scale([0.97, 0.95, 0.82], 0.85 + 0.25 * noise(x * 12.0, y * 12.0, self.seed));
            }
        }
        let hills = 0.95 - self.between(8, 0.0, 0.35) + 0.3 * (noise(u * 1.7, 3.0, self.seed) - 0.5);
        if v > hills && self.choices[9] < 0.5 { scale(sky, 0.25) } else { colour }
    }

    fn sunset(&self, x: f64, y: f64) -> Colour {
        let horizon = self.between(0, 0.05, 0.55);
        let warm = self.between(1, 0.0, 0.09);
        let sky = |y: f64| {
            let height = (horizon - y) / (horizon + 1.0);
            let low = mix(hsv(0.12 + warm * 0.3, 0.75, 1.0), hsv(warm, 0.85, 0.95), step(0.0, 0.4, height));
            mix(low, hsv(self.between(2, 0.66, 0.88), 0.6, 0.42), step(0.25, 1.05, height))
        };
        let (sun_x, sun_y) = (self.between(3, -0.6, 0.6), horizon - self.between(4, -0.05, 0.3));
        let radius = self.between(5, 0.17, 0.32);
        let distance = length_of(x - sun_x, y - sun_y);
        let mut colour = sky(y);
        colour = mix(colour, [1.0, 0.85, 0.5], 0.7 * libm::exp(-distance * distance / (radius * radius * 4.0)));
        colour = mix(colour, [1.0, 0.95, 0.75], step(radius + 0.02, radius - 0.02, distance));
        // Flat clouds, lit from below.
        let veil = clouds(x * 1.3 + 5.0, y * 5.0, self.seed);
        let lit = mix(hsv(0.03 + warm, 0.7, 0.95), hsv(0.85, 0.5, 0.4), step(0.5, 0.8, veil));
        colour = mix(colour, lit, self.between(6, 0.0, 0.85) * step(0.48, 0.62, veil));
        if self.choices[7] < 0.6 {
            if y > horizon {
                let depth = (y - horizon) / (1.0 - horizon + 1e-9);
                let wave =
                    libm::sin((y - horizon) * 46.0 / (0.35 + depth) + 4.0 * noise(x * 3.0, y * 30.0, self.seed) * TAU);
                let water = scale(sky(horizon - (y - horizon)), 0.5 + 0.1 * wave);
                let path =
                    libm::exp(-(x - sun_x) * (x - sun_x) / (0.03 + 0.06 * depth)) * (0.45 + 0.55 * wave).max(0.0);
                colour = mix(water, [1.0, 0.82, 0.45], 0.9 * path);
            }
        } else {
            let hills =
                horizon + 0.35 * (noise(x * 1.4 + 9.0, 1.0, self.seed) - 0.5) + 0.05 * noise(x * 9.0, 2.0, self.seed);
            if y > hills {
                colour = scale(hsv(self.between(8, 0.6, 0.95), 0.5, 0.2), 1.0 - 0.5 * (y - hills).min(1.0));
            }
        }
        colour
    }
}
