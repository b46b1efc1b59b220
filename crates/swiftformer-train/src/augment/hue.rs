//! torchvision's `adjust_hue` over Pillow's 8-bit HSV, bit for bit.

use swiftformer::image::RgbImage;

/// Pillow's conversion to hue, saturation and value, each 0..=255.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|value| f64::from(f32::from(most - value) / range));
    let sector = if r == most {
        (bc as f32 - gc as f32).into()
    } else if g == most {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    // Stored as a float between the steps, as in Pillow.
    let hue = ((f64::from(sector as f32) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

/// Pillow's conversion back.
fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = position.floor();
    let rest = (position - f64::from(sector as f32)) as f32;
    let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
    let level = |fraction: f64| (f64::from(value) * (1.0 - fraction)).round() as u8;
    let p = level(saturation);
    let q = level(f64::from(saturation as f32 * rest));
    let t = level(saturation * (1.0 - f64::from(rest)));
    match sector as u32 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

/// Turns every hue by `shift` (−0.5..=0.5, a share of the colour circle).
pub fn adjust_hue(image: &mut RgbImage, shift: f64) {
    // numpy casts through 32 bits, so that negative shifts wrap around.
    let shift = (shift * 255.0) as i32 as u8;
    for pixel in image.data_mut().as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = to_rgb([hue.wrapping_add(shift), saturation, value]);
    }
}
