//! Further things that grow and crawl: cactus, ladybird, mushroom.

use super::{
    super::colour::{Colour, hsv, length_of, mix, noise, scale, segment, step},
    Look,
};

pub(super) fn cactus(look: &Look, x: f64, y: f64) -> Option<Colour> {
    if y > 0.62 {
        // A pot, narrower below, with a rim.
        let wide = if y < 0.72 { 0.36 } else { 0.32 - 0.25 * (y - 0.72) };
        let clay = look.pick(0, [[0.72, 0.38, 0.24], [0.85; 3], [0.25, 0.4, 0.65], [0.8, 0.65, 0.3]]);
        let round = 1.1 - 0.6 * libm::fabs(x / wide + 0.3 * look.light[0]);
        return (x.abs() < wide && y < 0.94).then(|| scale(clay, if y < 0.72 { 1.1 * round } else { round }));
    }
    let thick = look.between(1, 0.17, 0.24);
    let high = look.between(2, -0.74, -0.55);
    // The column, and an arm on either side: out, then up.
    let mut limb = (segment([x, y], [0.0, 0.7], [0.0, high]), thick, x);
    for (side, from, out) in
        [(-1.0, look.between(3, 0.0, 0.35), look.between(4, 0.42, 0.55)), (1.0, look.between(5, -0.2, 0.3), 0.48)]
    {
        let (elbow, tip) = ([side * out, from], [side * out, from - look.between(6, 0.28, 0.5)]);
        let across = segment([x, y], [0.0, from], elbow);
        let up = segment([x, y], elbow, tip);
        let arm = 0.62 * thick;
        if across < arm && across / arm < limb.0 / limb.1 {
            limb = (across, arm, y - from);
        }
        if up < arm && up / arm < limb.0 / limb.1 {
            limb = (up, arm, x - side * out);
        }
    }
    let (distance, radius, offset) = limb;
    if distance > radius {
        return None;
    }
    let base = hsv(look.between(7, 0.27, 0.4), look.between(8, 0.5, 0.75), look.between(9, 0.45, 0.7));
    let ribs = 0.78 + 0.22 * libm::cos(offset / radius * 9.5);
    let rounded = 1.1 - 0.5 * distance / radius;
    let spine = noise(x * 30.0, y * 30.0, look.seed) > 0.86;
    Some(if spine { [0.95, 0.93, 0.8] } else { scale(base, ribs * rounded * look.flat(x, y)) })
}

pub(super) fn ladybird(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let black = [0.07, 0.07, 0.08];
    // The head is on the right. Legs and feelers first, for they lie below.
    let (u, v) = ((x + 0.1) / 0.7, y / 0.6);
    let body = length_of(u, v);
    let head = length_of(x - 0.6, y);
    if body > 1.0 && head > 0.26 {
        let legs = [-0.45, -0.05, 0.32].into_iter().any(|at| {
            let lean = 0.22 * (at + 0.1);
            segment([x, y.abs()], [at, 0.4], [at + lean, 0.82]) < 0.035
        });
        let feeler = segment([x, y.abs()], [0.7, 0.12], [0.92, 0.3]) < 0.025;
        return (legs || feeler).then_some(black);
    }
    if body > 1.0 {
        let eye = length_of(x - 0.68, y.abs() - 0.15) < 0.065;
        return Some(if eye { [0.95; 3] } else { scale(black, 0.8 + 0.6 * (0.26 - head)) });
    }
    if x > 0.36 {
        // The shield behind the head, with two pale patches.
        let patch = length_of(x - 0.46, y.abs() - 0.26) < 0.1;
        return Some(if patch { [0.93, 0.92, 0.86] } else { black });
    }
    let shell =
        look.pick(0, [(0.0, 0.88, 0.85), (0.03, 0.9, 0.9), (0.08, 0.9, 0.95), (0.99, 0.8, 0.7), (0.13, 0.85, 0.95)]);
    let size = look.between(1, 0.1, 0.16);
    let shift = look.between(2, -0.06, 0.06);
    let spots = [[-0.52, 0.2], [-0.2, 0.36], [0.12, 0.2], [-0.22, 0.12], [0.14, 0.42]];
    let count = look.pick(3, [2, 3, 4, 5]);
    let spotted = spots.iter().take(count).any(|&[a, b]| length_of(x - a - shift, y.abs() - b) < size);
    let seam = y.abs() < 0.022;
    let shaded = scale(hsv(shell.0, shell.1, shell.2), look.ball(x + 0.1, y, 0.8));
    let colour = if spotted || seam { scale(black, look.ball(x + 0.1, y, 0.8)) } else { shaded };
    Some(mix(colour, [1.0; 3], 0.7 * look.glint(x + 0.1, y, 0.75)))
}

pub(super) fn mushroom(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let brim = look.between(0, 0.0, 0.18);
    let wide = look.between(1, 0.72, 0.92);
    let high = look.between(2, 0.6, 0.85);
    if y < brim + 0.06 {
        // The cap: the upper half of an ellipse with a rounded brim.
        let below = (y - brim).max(0.0) / 0.06;
        let up = (brim - y).max(0.0) / high;
        if length_of(x / wide, up) > 1.0 - 0.1 * below * below {
            return None;
        }
        let (hue, saturation, value) = look
            .pick(3, [(0.0, 0.9, 0.82), (0.02, 0.85, 0.75), (0.07, 0.65, 0.55), (0.09, 0.5, 0.7), (0.97, 0.8, 0.6)]);
        let base = hsv(hue + look.between(4, -0.015, 0.015), saturation, value);
        // Flakes on a grid whose rows are shifted.
        let cells = look.between(5, 2.6, 3.6);
        let row = (up * cells).floor();
        let along = x / wide * cells + 0.5 * (row as i64).rem_euclid(2) as f64;
        let flake = length_of(along - along.round(), up * cells - row - 0.5) < look.between(6, 0.22, 0.36);
        let shade = look.ball(x, (y - brim) * 0.7, wide * 1.1);
        return Some(scale(if flake { [0.96, 0.94, 0.88] } else { base }, shade));
    }
    // The stem grows wider towards the ground and wears a ring.
    let stem = look.between(7, 0.16, 0.26) * (1.0 + 0.5 * (y - 0.3).max(0.0));
    let ring = (brim + 0.2..brim + 0.3).contains(&y) && x.abs() < stem + 0.08;
    if y > 0.92 || x.abs() > stem && !ring {
        return None;
    }
    let fibres = 0.92 + 0.1 * noise(x * 26.0, y * 3.0, look.seed);
    let round = 1.05 - 0.4 * step(0.2, 1.0, libm::fabs(x / stem - 0.3 * look.light[0]));
    let shadow = 0.6 + 0.4 * step(brim + 0.05, brim + 0.25, y);
    Some(scale([0.95, 0.91, 0.82], fibres * round * if ring { 1.05 } else { shadow }))
}
