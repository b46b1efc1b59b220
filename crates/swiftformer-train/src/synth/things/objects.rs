//! Made things: clock, dice, tennis ball, traffic light.

use std::f64::consts::TAU;

use super::{
    super::colour::{Colour, hsv, length_of, mix, noise, scale, segment, step},
    Look,
};

pub(super) fn clock(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let distance = length_of(x, y);
    if distance > 0.95 {
        return None;
    }
    let rim = look.between(0, 0.08, 0.2);
    if distance > 0.95 - rim {
        let colour = look.pick(
            1,
            [[0.15, 0.15, 0.17], [0.75, 0.6, 0.25], [0.7, 0.15, 0.15], [0.5, 0.32, 0.18], [0.2, 0.35, 0.6], [0.75; 3]],
        );
        let bevel =
            1.0 + 0.5 * (x * look.light[0] + y * look.light[1]) * if distance > 0.95 - rim / 2.0 { 1.0 } else { -1.0 };
        return Some(scale(colour, bevel));
    }
    let dark = look.share(2) < 0.18;
    let (face, ink) = if dark { ([0.12, 0.13, 0.16], [0.95; 3]) } else { ([0.97, 0.96, 0.9], [0.08; 3]) };
    let face = scale(face, look.flat(x, y));
    let hand = |turn: f64, length: f64| {
        let to = [libm::sin(turn * TAU) * length, -libm::cos(turn * TAU) * length];
        segment([x, y], [-to[0] * 0.15, -to[1] * 0.15], to)
    };
    let minutes = look.share(4);
    let hours = (look.share(3) * 12.0).floor() + minutes;
    if distance < 0.06 || hand(hours / 12.0, 0.42) < 0.05 || hand(minutes, 0.62) < 0.035 {
        return Some(ink);
    }
    if look.share(5) < 0.5 && hand(look.share(6), 0.68) < 0.014 {
        return Some([0.85, 0.1, 0.1]);
    }
    let turn = libm::atan2(x, -y) / TAU * 12.0;
    let nearest = turn.round();
    let across = libm::fabs(turn - nearest) * TAU / 12.0 * distance;
    let quarter = nearest.rem_euclid(3.0) == 0.0;
    let outer = 0.9 - rim;
    let (inner, wide) = if quarter { (outer - 0.2, 0.035) } else { (outer - 0.11, 0.018) };
    Some(if (inner..outer).contains(&distance) && across < wide { ink } else { face })
}

/// Where pips lie on the faces of 1 to 6, in a square from −1 to 1.
const PIPS: [&[[f64; 2]]; 6] = [
    &[[0.0, 0.0]],
    &[[-1.0, -1.0], [1.0, 1.0]],
    &[[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]],
    &[[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]],
    &[[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [-1.0, 1.0], [1.0, 1.0]],
    &[[-1.0, -1.0], [1.0, -1.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 1.0], [1.0, 1.0]],
];

pub(super) fn dice(look: &Look, x: f64, y: f64) -> Option<Colour> {
    // A corner points at the viewer; the three faces around it are seen.
    let tilt = look.between(0, 0.36, 0.62);
    let side = 0.92;
    let right = [0.866 * side, -tilt * side];
    let left = [-0.866 * side, -tilt * side];
    let down = [0.0, (1.32 - tilt) * side];
    let middle = [0.0, tilt * side - 0.42 + 0.12];
    let point = [x - middle[0], y - middle[1]];
    let place = |a: [f64; 2], b: [f64; 2]| {
        let determinant = a[0] * b[1] - a[1] * b[0];
        let u = (point[0] * b[1] - point[1] * b[0]) / determinant;
        let v = (a[0] * point[1] - a[1] * point[0]) / determinant;
        ((0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v)).then_some([u, v])
    };
    let faces = [(right, left), (right, down), (left, down)];
    let (face, [u, v]) = faces.iter().enumerate().find_map(|(face, &(a, b))| Some((face, place(a, b)?)))?;
    // Rounded corners.
    let corner = length_of((libm::fabs(u - 0.5) - 0.38).max(0.0), (libm::fabs(v - 0.5) - 0.38).max(0.0));
    let (body, pip) = look.pick(
        1,
        [
            ([0.96, 0.95, 0.92], [0.08; 3]),
            ([0.94; 3], [0.7, 0.1, 0.1]),
            ([0.75, 0.1, 0.12], [0.97; 3]),
            ([0.12, 0.25, 0.6], [0.97; 3]),
            ([0.13; 3], [0.95; 3]),
            ([0.15, 0.5, 0.25], [0.95; 3]),
        ],
    );
    let lit = [1.02, 0.66, 0.84][face] * (1.0 - 0.28 * step(0.1, 0.17, corner));
    let number = ((look.share(2) * 6.0) as usize + face * 2 + usize::from(look.share(3) < 0.5 && face == 1)) % 6;
    let spread = 0.26;
    let size = look.between(4, 0.085, 0.125);
    let on_pip = PIPS[number].iter().any(|&[a, b]| length_of(u - 0.5 - a * spread, v - 0.5 - b * spread) < size);
    Some(scale(if on_pip { pip } else { body }, lit))
}

pub(super) fn tennis_ball(look: &Look, x: f64, y: f64) -> Option<Colour> {
    const RADIUS: f64 = 0.9;
    let fuzz = noise(x * 28.0, y * 28.0, look.seed);
    let distance = length_of(x, y);
    if distance > RADIUS - 0.035 * fuzz {
        return None;
    }
    let base = hsv(look.between(0, 0.165, 0.23), look.between(1, 0.65, 0.85), look.between(2, 0.82, 0.98));
    let arc = look.between(3, 0.62, 0.85);
    let offset = look.between(4, 0.95, 1.15);
    let shift = look.between(5, -0.25, 0.25);
    let seam = [-offset, offset]
        .map(|centre| libm::fabs(length_of(x - centre, y - shift * centre.signum()) - arc))
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    let colour = mix([0.97, 0.97, 0.93], base, step(0.045, 0.075, seam));
    Some(scale(colour, look.ball(x, y, RADIUS) * (0.86 + 0.26 * fuzz)))
}

pub(super) fn traffic_light(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let half = look.between(0, 0.27, 0.34);
    let body = look.pick(1, [[0.12, 0.13, 0.13], [0.16, 0.2, 0.17], [0.85, 0.65, 0.1], [0.25, 0.26, 0.28]]);
    // The housing has rounded corners; a pole goes down from it.
    let (u, v) = ((x.abs() - half + 0.1).max(0.0), (libm::fabs(y + 0.06) - 0.78 + 0.1).max(0.0));
    if length_of(u, v) > 0.1 {
        let pole = x.abs() < 0.06 && y > 0.7;
        return pole.then(|| scale([0.4, 0.42, 0.44], 1.0 - 3.0 * x));
    }
    let lit = (look.share(2) * 3.0) as usize;
    for (lamp, hue) in [0.0, 0.125, 0.38].into_iter().enumerate() {
        let (dx, dy) = (x, y + 0.06 - (lamp as f64 - 1.0) * 0.5);
        let distance = length_of(dx, dy);
        let radius = (half - 0.06).min(0.22);
        if distance < radius {
            if lamp == lit {
                return Some(mix([1.0, 1.0, 0.92], hsv(hue, 0.88, 1.0), step(0.0, 0.55, distance / radius)));
            }
            return Some(scale(hsv(hue, 0.75, 0.3), 1.1 - 0.5 * distance / radius));
        }
        // Visors above the lamps.
        if distance < radius + 0.045 && dy < 0.02 {
            return Some(scale(body, 0.55));
        }
    }
    Some(scale(body, look.flat(x * 2.0, y)))
}
