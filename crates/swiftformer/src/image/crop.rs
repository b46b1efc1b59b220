//! Which part of a resized image a centre crop keeps.

use std::ops::Range;

/// A rectangle of pixels: columns and rows, half open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Columns, counted from the left.
    pub columns: Range<usize>,
    /// Rows, counted from the top.
    pub rows: Range<usize>,
}

/// How a centre crop rounds when the margins are odd, and where a smaller image is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CropRule {
    /// torchvision's `CenterCrop` (also timm's and the original code's): half margins are rounded to the even neighbour;
    /// of an odd padding the larger part goes right and below.
    Torchvision,
    /// transformers' `center_crop`: half margins are rounded down; of an odd padding the larger part goes left and above.
    Transformers,
}

/// One side of a centre crop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CropSide {
    /// The positions of the resized image that are kept.
    pub kept: Range<usize>,
    /// Positions of padding before them.
    pub before: usize,
}

impl CropRule {
    /// Crops or pads a side of `length` positions to `crop` ones.
    pub(super) fn side(self, length: usize, crop: usize) -> CropSide {
        let margin = length.abs_diff(crop);
        let half = match self {
            // Python's round() of a half goes to the even neighbour: 0.5 → 0, 1.5 → 2.
            Self::Torchvision if length > crop && margin % 4 == 3 => margin / 2 + 1,
            Self::Transformers if length < crop => margin.div_ceil(2),
            Self::Torchvision | Self::Transformers => margin / 2,
        };
        if length >= crop {
            CropSide { kept: half..half + crop, before: 0 }
        } else {
            CropSide { kept: 0..length, before: half }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_rounds_half_margins_to_even() {
        // int(round(margin / 2.0)) of margins 0..=7 in Python.
        let starts = [0, 0, 1, 2, 2, 2, 3, 4];
        for (margin, start) in starts.into_iter().enumerate() {
            assert_eq!(CropRule::Torchvision.side(10 + margin, 10).kept, start..start + 10, "margin {margin}");
        }
    }

    #[test]
    fn transformers_rounds_half_margins_down() {
        let starts: Vec<usize> = (0..6).map(|margin| CropRule::Transformers.side(10 + margin, 10).kept.start).collect();
        assert_eq!(starts, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn the_two_rules_pad_an_odd_side_differently() {
        assert_eq!(CropRule::Torchvision.side(7, 10), CropSide { kept: 0..7, before: 1 });
        assert_eq!(CropRule::Transformers.side(7, 10), CropSide { kept: 0..7, before: 2 });
    }
}
