//! `HxW` on the command line.

use std::str::FromStr;

/// `HxW` in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub [usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |side: &str| side.parse::<usize>().ok();
        let sides = text.split_once(['x', 'X', '×']).and_then(|(height, width)| Some([side(height)?, side(width)?]));
        sides.map(Self).ok_or_else(|| "expected HEIGHTxWIDTH in pixels, such as 192x640".into())
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_are_height_by_width() {
        assert_eq!("192x640".parse(), Ok(Size([192, 640])));
        assert!("224".parse::<Size>().is_err() && "x5".parse::<Size>().is_err());
    }
}
