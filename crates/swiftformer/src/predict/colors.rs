//! A perceptually uniform colour map.

/// Every 16th part of matplotlib's `inferno` (N. Smith and S. van der Walt, CC0); between them, straight lines are within 6 of 255.
const INFERNO: [[u8; 3]; 17] = [
    [0, 0, 4],
    [11, 7, 36],
    [33, 12, 74],
    [60, 9, 101],
    [87, 16, 109],
    [112, 25, 110],
    [137, 34, 106],
    [163, 43, 97],
    [187, 55, 85],
    [209, 70, 68],
    [227, 89, 50],
    [241, 113, 30],
    [249, 141, 10],
    [252, 171, 15],
    [249, 202, 50],
    [242, 232, 101],
    [252, 255, 164],
];

/// The colour of `value` from 0 (near black) over red to 1 (light yellow) in the colour map `inferno`: equal steps look
/// equally far apart, also in print and to colour-blind people. Values outside count as the nearer end.
pub fn inferno(value: f32) -> [u8; 3] {
    let place = value.clamp(0.0, 1.0) * (INFERNO.len() - 1) as f32;
    let index = (place as usize).min(INFERNO.len() - 2);
    let fraction = place - index as f32;
    std::array::from_fn(|channel| {
        let [low, high] = [INFERNO[index], INFERNO[index + 1]].map(|color| f32::from(color[channel]));
        (low + (high - low) * fraction).round() as u8
    })
}
