//! Further made things: pencil, snowman, umbrella.

use std::f64::consts::PI;

use super::{
    super::colour::{Colour, hsv, length_of, mix, noise, scale, segment, step},
    Look,
};

pub(super) fn pencil(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let half = look.between(0, 0.12, 0.18);
    let cone = 0.98 - look.between(1, 0.3, 0.42);
    if !(-0.95..=0.98).contains(&x) {
        return None;
    }
    // The point is on the right.
    let edge = if x > cone { half * (0.98 - x) / (0.98 - cone) } else { half };
    if y.abs() > edge {
        return None;
    }
    let (hue, saturation, value) = look.pick(
        2,
        [(0.14, 0.9, 0.95), (0.0, 0.85, 0.8), (0.6, 0.8, 0.75), (0.36, 0.75, 0.6), (0.08, 0.9, 0.95), (0.85, 0.6, 0.8)],
    );
    let coat = hsv(hue + look.between(3, -0.02, 0.02), saturation, value);
    // Three of the six sides are seen.
    let side = [0.8, 1.08, 0.68][if y < -half / 3.0 { 0 } else { usize::from(y > half / 3.0) + 1 }];
    if x > cone {
        let lead = if look.share(4) < 0.5 { [0.16; 3] } else { scale(coat, 0.8) };
        let grain = 0.9 + 0.2 * noise(x * 8.0, y * 40.0, look.seed);
        let tip = step(0.86, 0.88, x);
        return Some(mix(scale([0.86, 0.68, 0.46], grain * (0.75 + 0.25 * side)), lead, tip));
    }
    // The coat ends in small waves at the cone.
    if x > cone - 0.05 * libm::fabs(libm::sin(y / half * 1.5 * PI)) {
        return Some(scale([0.86, 0.68, 0.46], side));
    }
    if look.share(5) < 0.6 {
        if x < -0.78 {
            return Some(scale([0.92, 0.55, 0.56], 1.1 - 0.4 * (y / half).abs()));
        }
        if x < -0.62 {
            let rings = 0.75 + 0.25 * libm::sin(x * 110.0);
            return Some(scale([0.8, 0.78, 0.7], rings * (1.15 - 0.5 * (y / half).abs())));
        }
    }
    Some(scale(coat, side))
}

pub(super) fn snowman(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let head = [0.0, -0.42];
    let radius = look.between(0, 0.24, 0.3);
    // A hat, then the head's face, then the body.
    let hat = look.pick(1, [[0.1, 0.1, 0.12], [0.65, 0.12, 0.12], [0.15, 0.3, 0.6], [0.2, 0.45, 0.25]]);
    let brim = head[1] - radius * 0.72;
    if look.share(2) < 0.8 {
        let (wide, top) = (radius * 0.72, brim - look.between(3, 0.16, 0.24));
        if (top..brim).contains(&y) && x.abs() < wide {
            let band = y > brim - 0.07;
            return Some(if band { mix(hat, [0.9, 0.3, 0.2], 0.6) } else { scale(hat, look.flat(x, y)) });
        }
        if (brim..brim + 0.05).contains(&y) && x.abs() < radius * 1.15 {
            return Some(scale(hat, 0.8));
        }
    }
    let nose = segment([x, y], head, [look.between(4, -0.22, 0.22), head[1] + 0.05]);
    if nose < 0.045 {
        return Some([0.95, 0.5, 0.12]);
    }
    let coal = [0.08; 3];
    let eyes = length_of(x.abs() - 0.09, y - head[1] + 0.09) < 0.038;
    let buttons = x.abs() < 0.045 && y > -0.05 && y < 0.85 && libm::fabs(libm::sin(y * 11.0)) > 0.86;
    if eyes || buttons && length_of(x, y - 0.1) < 0.45 {
        return Some(coal);
    }
    let scarf = (head[1] + radius * 0.78..head[1] + radius * 1.12).contains(&y) && x.abs() < radius * 0.8;
    if scarf && look.share(5) < 0.75 {
        let wool = hsv(look.share(6), 0.75, 0.75);
        return Some(scale(wool, 0.8 + 0.3 * libm::sin(x * 40.0)));
    }
    let low = look.between(7, 0.4, 0.46);
    let balls = [(head, radius), ([0.0, 0.06], 0.34), ([0.0, 0.94 - low], low)];
    let inside = balls.iter().find(|(centre, radius)| length_of(x - centre[0], y - centre[1]) < *radius);
    let Some(&(centre, radius)) = inside else {
        let twig = segment([x.abs(), y], [0.3, 0.0], [0.72, -look.between(8, 0.1, 0.35)]) < 0.028;
        return twig.then_some([0.32, 0.22, 0.14]);
    };
    let bumps = 0.95 + 0.08 * noise(x * 14.0, y * 14.0, look.seed);
    let lit = 0.55 + 0.42 * look.ball(x - centre[0], y - centre[1], radius);
    Some(scale([0.95, 0.97, 1.0], lit * bumps))
}

pub(super) fn umbrella(look: &Look, x: f64, y: f64) -> Option<Colour> {
    let rim = look.between(0, 0.0, 0.15);
    let high = look.between(1, 0.62, 0.85);
    // The lower edge hangs in arcs between the ribs.
    let panels = look.pick(2, [4.0, 5.0, 6.0]);
    // Seen from the side, panels at the edges look narrower.
    let place = (0.5 + libm::asin((x / 0.93).clamp(-1.0, 1.0)) / PI) * panels;
    let panel = place.floor();
    let sag = 0.09 * libm::sin(PI * (place - panel));
    if y < rim - sag + 0.02 && length_of(x / 0.93, (rim - y).max(0.0) / high) < 1.0 {
        let hue = look.share(3);
        let first = hsv(hue, 0.8, 0.85);
        let second = look.pick(4, [[0.95, 0.95, 0.92], hsv(hue + 0.5, 0.75, 0.85), hsv(hue, 0.85, 0.55), first]);
        let colour = if (panel as i64).rem_euclid(2) == 0 { first } else { second };
        let rib = 0.7 + 0.3 * step(0.0, 0.09, (place - place.round()).abs());
        return Some(scale(colour, rib * look.ball(x, (y - rim) * 0.8, 1.15)));
    }
    let steel = look.pick(5, [[0.75; 3], [0.2; 3], [0.45, 0.3, 0.16]]);
    let tip = x.abs() < 0.03 && y < rim - high + 0.05 && y > rim - high - 0.12;
    let pole = x.abs() < 0.032 && y > rim - 0.1 && y < 0.72;
    let crook = y >= 0.72 && libm::fabs(length_of(x - 0.13, y - 0.72) - 0.13) < 0.04;
    (tip || pole || crook).then(|| scale(steel, 1.1 - 5.0 * x.abs().min(0.08)))
}
