//! Fish, flowers and leaves.

use std::f64::consts::{PI, TAU};

use super::{
    super::colour::{Colour, hsv, length_of, mix, noise, scale, segment, step},
    Look,
};

pub(super) fn fish(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let high = look.between(0, 0.28, 0.44);
    let (hue, saturation) =
        look.pick(1, [(0.06, 0.9), (0.58, 0.75), (0.13, 0.85), (0.5, 0.35), (0.98, 0.75), (0.8, 0.5)]);
    let base = hsv(hue + look.between(2, -0.03, 0.03), saturation, 0.88);
    let fin = scale(mix(base, [0.2, 0.15, 0.2], 0.3), 0.8 + 0.25 * libm::sin((x * 0.4 + y) * 40.0));
    // The head is on the right, at 0.78.
    let (u, v) = ((x - 0.16) / 0.62, y / high);
    let body = u * u + v * v * (1.0 + 0.35 * (-u).max(0.0));
    if body > 1.0 {
        let spread = (-0.36 - x).max(0.0);
        let tail = x > -0.92 && x < -0.4 && y.abs() < 0.08 + 0.85 * spread && x < -0.72 + 0.35 * y.abs();
        let stalk = (-0.8..-0.3).contains(&x) && y.abs() < 0.09;
        let back = (-0.25..0.45).contains(&x) && y < 0.0 && y > -high - 0.2 * libm::sin(PI * (x + 0.25) / 0.7);
        let belly = (-0.05..0.3).contains(&x) && y > 0.0 && y < high + 0.16 * libm::sin(PI * (x + 0.05) / 0.35);
        return (tail || stalk || back || belly).then_some(fin);
    }
    let eye = length_of(x - 0.53, y + 0.3 * high);
    if eye < 0.1 {
        let white = step(0.045, 0.06, eye);
        return Some(scale([0.97; 3], 0.06 + 0.94 * white));
    }
    let mouth = segment([x, y], [0.66, 0.1 * high], [0.8, 0.16 * high]);
    let gill = (length_of(x - 0.7, y) - 0.42).abs();
    let pattern = match look.pick(3, [0, 1, 2]) {
        0 => step(0.35, 0.5, libm::sin(x * look.between(4, 12.0, 24.0))),
        1 => step(0.3, 0.45, libm::sin(y * look.between(4, 18.0, 34.0))),
        _ => step(0.3, 0.5, libm::sin(x * 26.0) * libm::sin(y * 26.0)),
    };
    let second = look.pick(5, [[0.97, 0.97, 0.95], [0.1, 0.1, 0.16], [0.2, 0.3, 0.6], [0.98, 0.85, 0.3]]);
    let mut colour = mix(base, second, 0.85 * pattern * step(0.5, 0.36, x));
    let scales = 0.93 + 0.1 * libm::sin(x * 55.0 + 12.0 * libm::sin(y * 55.0 / 2.0));
    colour = scale(colour, scales * (1.1 - 0.5 * step(-0.2, 1.0, v)));
    let lines = step(0.02, 0.035, mouth) * step(0.01, 0.03, gill);
    Some(scale(colour, look.flat(x, y) * (0.45 + 0.55 * lines)))
}

pub(super) fn flower(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let distance = length_of(x, y);
    let angle = libm::atan2(y, x);
    let centre = look.between(0, 0.17, 0.28);
    if distance < centre {
        let (hue, value) = look.pick(1, [(0.14, 0.95), (0.11, 0.85), (0.08, 0.42), (0.2, 0.75)]);
        let seeds = noise(x * 24.0, y * 24.0, look.seed);
        return Some(scale(hsv(hue, 0.85, value), (0.7 + 0.5 * seeds) * look.ball(x, y, centre * 1.6)));
    }
    let petals = look.pick(2, [5.0, 6.0, 7.0, 8.0, 11.0]);
    let phase = angle * petals / 2.0;
    let round = look.between(3, 0.4, 0.9);
    let reach = 0.34 + (look.between(4, 0.8, 0.98) - 0.34) * libm::pow(libm::fabs(libm::cos(phase)), round);
    if distance > reach {
        return None;
    }
    let (hue, saturation) =
        look.pick(5, [(0.92, 0.55), (0.0, 0.02), (0.78, 0.6), (0.98, 0.8), (0.13, 0.75), (0.62, 0.65), (0.88, 0.85)]);
    let outer = hsv(hue + look.between(6, -0.03, 0.03), saturation, 0.96);
    let inner = mix(outer, hsv(hue + 0.1, 0.8, 0.7), look.between(7, 0.1, 0.7));
    let colour = mix(inner, outer, step(centre, 0.7, distance));
    // Petals darken where they meet, and have fine lines.
    let seam = 0.62 + 0.38 * step(0.0, 0.5, libm::fabs(libm::cos(phase)));
    let lines = 0.95 + 0.07 * libm::sin(phase * 14.0);
    Some(scale(colour, seam * lines * look.flat(x, y)))
}

pub(super) fn leaf(look: &Look, x: f64, y: f64) -> Option<Colour> {
    // The tip is on the right, the stalk on the left.
    let curve = look.between(0, -0.18, 0.18);
    let v = y - curve * (1.0 - x * x);
    let (hue, saturation, value) = look.pick(
        1,
        [
            (0.28, 0.75, 0.6),
            (0.33, 0.7, 0.45),
            (0.24, 0.75, 0.7),
            (0.3, 0.6, 0.55),
            (0.07, 0.85, 0.8),
            (0.02, 0.8, 0.6),
        ],
    );
    let base = hsv(hue + look.between(2, -0.02, 0.02), saturation, value);
    if x < -0.62 {
        return (v.abs() < 0.035).then(|| scale(mix(base, [0.4, 0.3, 0.15], 0.5), 0.8));
    }
    let along = (x + 0.62) / 1.58;
    if along > 1.0 {
        return None;
    }
    let wide = look.between(3, 0.3, 0.5);
    let shape = libm::pow(libm::sin(PI * libm::pow(along, 0.8)).max(0.0), look.between(4, 0.8, 1.1));
    let teeth = look.pick(5, [0.0, 0.06, 0.12]) * (0.5 + 0.5 * libm::sin(along * TAU * 7.0));
    let edge = wide * shape * (1.0 - teeth);
    if v.abs() > edge {
        return None;
    }
    let rib = step(0.012, 0.035, v.abs());
    // Side veins leave the rib at an angle.
    let place = (x - v.abs() * 0.8) * look.between(6, 5.0, 8.0);
    let vein = step(0.04, 0.13, (place - place.round()).abs());
    let mottled = 0.86 + 0.28 * noise(x * 8.0, y * 8.0, look.seed);
    let halves = if v > 0.0 { 0.86 } else { 1.06 };
    let colour = scale(base, mottled * halves * look.flat(x, y));
    let pale = mix(colour, hsv(hue - 0.04, saturation * 0.5, (value + 0.35).min(1.0)), 0.75);
    Some(mix(pale, colour, rib.min(0.45 + 0.55 * vein)))
}
