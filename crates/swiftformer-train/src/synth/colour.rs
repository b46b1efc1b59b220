//! Colours and noise to paint with.

/// Red, green and blue, 0..=1.
pub(super) type Colour = [f64; 3];

/// `share` of the way from `from` to `to`.
pub(super) fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    let share = share.clamp(0.0, 1.0);
    [0, 1, 2].map(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// Brighter (above 1) or darker.
pub(super) fn scale(colour: Colour, factor: f64) -> Colour {
    colour.map(|value| value * factor)
}

/// Hue as a share of the circle, saturation and value.
pub(super) fn hsv(hue: f64, saturation: f64, value: f64) -> Colour {
    let hue = (hue - hue.floor()) * 6.0;
    [5.0, 3.0, 1.0].map(|shift| {
        let place = (shift + hue) % 6.0;
        value - value * saturation * place.min(4.0 - place).clamp(0.0, 1.0)
    })
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn step(low: f64, high: f64, value: f64) -> f64 {
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// A number in 0..1 for a cell of a grid.
pub(super) fn cell(x: i64, y: i64, seed: u64) -> f64 {
    let mut value =
        seed ^ (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    for multiplier in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        value = (value ^ (value >> 33)).wrapping_mul(multiplier);
    }
    ((value ^ (value >> 33)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Smooth noise in 0..1 with details of size 1.
pub(super) fn noise(x: f64, y: f64, seed: u64) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let (column, row) = (left as i64, top as i64);
    let ease = |share: f64| share * share * (3.0 - 2.0 * share);
    let (across, down) = (ease(x - left), ease(y - top));
    let along = |row: i64| {
        let (from, to) = (cell(column, row, seed), cell(column + 1, row, seed));
        from + (to - from) * across
    };
    let (above, below) = (along(row), along(row + 1));
    above + (below - above) * down
}

/// Noise with details of sizes 1, 1/2, 1/4 and 1/8, in 0..1.
pub(super) fn clouds(x: f64, y: f64, seed: u64) -> f64 {
    let octaves = [(1.0, 8.0), (2.0, 4.0), (4.0, 2.0), (8.0, 1.0)];
    octaves.iter().map(|&(zoom, weight)| weight * noise(x * zoom, y * zoom, seed ^ zoom as u64)).sum::<f64>() / 15.0
}

/// The distance of a point from the line between two others.
pub(super) fn segment(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let share = ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0);
    length_of(offset[0] - share * along[0], offset[1] - share * along[1])
}

/// Length of a vector.
pub(super) fn length_of(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}
