//! Masks as COCO writes them: polygons along the edges of pixels, or run lengths.

use std::collections::BTreeMap;

use serde::Serialize;

/// A mask in COCO's `segmentation` field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Segmentation {
    /// One ring a part: x and y of each corner in turn, in pixels from the picture's upper left corner.
    Polygons(Vec<Vec<usize>>),
    /// For masks with holes, which rings cannot say: lengths of runs outside and inside by turns, column by column.
    Runs { counts: Vec<usize>, size: [usize; 2] },
}

/// A mask and the rectangle around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) segmentation: Segmentation,
    /// Left, top, width and height in pixels.
    pub(super) bounds: [usize; 4],
    /// Pixels inside.
    pub(super) area: usize,
}

type Point = (usize, usize);

/// The outline of the pixels of value `owner` in a picture `width` pixels wide; `None` when there are none.
pub(super) fn outline(owners: &[u8], width: usize, owner: u8) -> Option<Outline> {
    let height = owners.len() / width;
    let inside = |x: usize, y: usize| x < width && y < height && owners[y * width + x] == owner;
    let pixels = || (0..owners.len()).filter(|&at| owners[at] == owner).map(|at| (at % width, at / width));
    let (left, right) = (pixels().map(|(x, _)| x).min()?, pixels().map(|(x, _)| x).max()?);
    let (top, bottom) = (pixels().map(|(_, y)| y).min()?, pixels().map(|(_, y)| y).max()?);
    let rings = rings(pixels(), inside);
    let segmentation = if rings.iter().any(|ring| signed_area(ring) < 0) {
        runs(width, height, inside)
    } else {
        let flat = |ring: &Vec<Point>| ring.iter().flat_map(|&(x, y)| [x, y]).collect();
        Segmentation::Polygons(rings.iter().map(flat).collect())
    };
    let bounds = [left, top, right + 1 - left, bottom + 1 - top];
    Some(Outline { segmentation, bounds, area: pixels().count() })
}

fn runs(width: usize, height: usize, inside: impl Fn(usize, usize) -> bool) -> Segmentation {
    let (mut counts, mut current) = (vec![0], false);
    for at in 0..width * height {
        if inside(at / height, at % height) != current {
            current = !current;
            counts.push(0);
        }
        if let Some(count) = counts.last_mut() {
            *count += 1;
        }
    }
    Segmentation::Runs { counts, size: [height, width] }
}

/// Closed lines along the edges of pixels: clockwise around parts, counter-clockwise around holes, corners only.
fn rings(pixels: impl Iterator<Item = Point>, inside: impl Fn(usize, usize) -> bool) -> Vec<Vec<Point>> {
    let mut edges: BTreeMap<Point, Vec<Point>> = BTreeMap::new();
    for (x, y) in pixels {
        let mut edge = |from: Point, to: Point| edges.entry(from).or_default().push(to);
        if y == 0 || !inside(x, y - 1) {
            edge((x, y), (x + 1, y));
        }
        if !inside(x + 1, y) {
            edge((x + 1, y), (x + 1, y + 1));
        }
        if !inside(x, y + 1) {
            edge((x + 1, y + 1), (x, y + 1));
        }
        if x == 0 || !inside(x - 1, y) {
            edge((x, y + 1), (x, y));
        }
    }
    let mut rings = Vec::new();
    while let Some((&start, _)) = edges.first_key_value() {
        let mut ring = vec![start];
        let mut way = (0, 0);
        let mut at = start;
        while let Some(targets) = edges.get_mut(&at) {
            let step = |to: &Point| (to.0 as isize - at.0 as isize, to.1 as isize - at.1 as isize);
            // Where two pixels touch by a corner, the right turn stays with the same pixel.
            let right = targets.iter().position(|to| step(to) == (-way.1, way.0));
            let to = targets.swap_remove(right.unwrap_or(0));
            let next = step(&to);
            if targets.is_empty() {
                edges.remove(&at);
            }
            if next == way {
                ring.pop();
            }
            ring.push(to);
            (way, at) = (next, to);
        }
        // The line ends where it began.
        ring.pop();
        rings.push(ring);
    }
    rings
}

/// Twice the area, positive for clockwise rings.
fn signed_area(ring: &[Point]) -> isize {
    let next = ring.iter().cycle().skip(1);
    let cross = |(&(x, y), &(u, v)): (&Point, &Point)| x as isize * v as isize - u as isize * y as isize;
    ring.iter().zip(next).map(cross).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&str]) -> Outline {
        let owners: Vec<u8> = rows.concat().bytes().map(|byte| byte - b'0').collect();
        outline(&owners, rows[0].len(), 1).unwrap()
    }

    #[test]
    fn a_rectangle_has_four_corners() {
        let found = of(&["0000", "0110", "0110", "0110"]);
        assert_eq!(found.segmentation, Segmentation::Polygons(vec![vec![1, 1, 3, 1, 3, 4, 1, 4]]));
        assert_eq!((found.bounds, found.area), ([1, 1, 2, 3], 6));
    }

    #[test]
    fn parts_that_touch_by_a_corner_are_two_rings() {
        let found = of(&["10", "01"]);
        let rings = vec![vec![0, 0, 1, 0, 1, 1, 0, 1], vec![1, 1, 2, 1, 2, 2, 1, 2]];
        assert_eq!(found.segmentation, Segmentation::Polygons(rings));
        let found = of(&["01", "10"]);
        assert!(matches!(found.segmentation, Segmentation::Polygons(rings) if rings.len() == 2));
    }

    #[test]
    fn a_hole_asks_for_runs() {
        let found = of(&["111", "101", "111"]);
        assert_eq!(found.segmentation, Segmentation::Runs { counts: vec![0, 4, 1, 4], size: [3, 3] });
        assert_eq!(found.area, 8);
    }

    #[test]
    fn nothing_has_no_outline() {
        assert_eq!(outline(&[0; 6], 3, 1), None);
    }
}
