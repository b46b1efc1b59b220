//! Apples and bananas.

use std::f64::consts::PI;

use super::{
    super::colour::{Colour, clouds, hsv, length_of, mix, noise, scale, segment, step},
    Look,
};

pub(super) fn apple(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let bend = look.between(0, -0.14, 0.14);
    let stem = segment([x, y], [0.0, -0.36], [bend, -0.82]);
    if stem < 0.055 {
        return Some(scale([0.36, 0.23, 0.12], look.flat(x * 8.0, y)));
    }
    if look.share(1) < 0.65 {
        // A leaf at the stem: where two circles meet.
        let (u, v) = (x - bend - 0.27, y + 0.68 + 0.25 * (x - bend));
        if length_of(u, v - 0.24) < 0.36 && length_of(u, v + 0.24) < 0.36 {
            let rib = step(0.0, 0.03, v.abs());
            return Some(scale(hsv(look.between(2, 0.27, 0.36), 0.75, 0.62), 0.7 + 0.3 * rib));
        }
    }
    // Two balls side by side give the dents above and below.
    let body = length_of(x.abs() - 0.2, (y - 0.16) * 1.04);
    let narrow = 1.0 - look.between(3, 0.0, 0.22) * (y - 0.1).max(0.0);
    if body > 0.62 * narrow {
        return None;
    }
    let (hue, second) = look.pick(4, [(0.99, 0.10), (0.97, 0.04), (0.26, 0.2), (0.02, 0.14), (0.96, 0.99)]);
    let hue = hue + look.between(5, -0.02, 0.02);
    let streaks = noise(x * 9.0, y * 1.5, look.seed);
    let base = mix(hsv(hue, 0.85, 0.85), hsv(second, 0.75, 0.9), (streaks - 0.45) * look.between(6, 0.2, 1.6));
    let dent = 0.55 + 0.45 * step(0.0, 0.3, length_of(x * 0.8, y + 0.4));
    let shaded = scale(base, look.ball(x, y - 0.16, 0.86) * dent);
    Some(mix(shaded, [1.0; 3], 0.75 * look.glint(x, y - 0.1, 0.8)))
}

pub(super) fn banana(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let radius = look.between(0, 0.82, 1.05);
    let centre = -0.42 - (radius - 0.8) * 0.6;
    let (u, v) = (x, y - centre);
    let angle = libm::atan2(v, u);
    let end = libm::asin((0.22f64 / radius).min(1.0)) * look.between(1, 0.7, 1.3);
    let along = (angle - end) / (PI - 2.0 * end);
    if !(-0.06..=1.04).contains(&along) {
        return None;
    }
    let thick = look.between(2, 0.15, 0.22);
    let body = libm::pow(libm::sin(PI * along.clamp(0.0, 1.0)).max(0.0), 0.5);
    let width = if (0.0..=1.0).contains(&along) { (thick * body).max(0.045) } else { 0.045 };
    let across = length_of(u, v) - radius;
    if across.abs() > width {
        return None;
    }
    let ripe = look.share(3);
    let base = hsv(look.between(4, 0.125, 0.165), 0.85, 0.95);
    let base = mix(base, hsv(0.22, 0.75, 0.75), (0.35 - ripe) * 2.0);
    let tip = step(0.9, 1.0, along) + step(0.07, 0.0, along);
    let spots = step(0.66, 0.74, clouds(x * 7.0, y * 7.0, look.seed)) * step(0.5, 0.9, ripe);
    let base = mix(mix(base, [0.32, 0.2, 0.08], 0.8 * spots), [0.3, 0.22, 0.1], 0.85 * tip);
    // A ridge runs along the fruit; beyond it lies the darker side.
    let side = across / width;
    let ridge = 1.0 - 0.16 * step(0.09, 0.0, (side - 0.2).abs());
    let dark = 1.0 - 0.3 * step(0.2, 1.0, side) - 0.12 * step(-0.5, -1.0, side);
    Some(scale(base, ridge * dark * look.flat(x, y)))
}
