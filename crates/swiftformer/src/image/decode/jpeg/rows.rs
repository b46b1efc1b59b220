//! Planes of samples to rows of RGB: upsampling of chroma, and colours.

use std::ops::Range;

use swiftformer_kernels::{JPEG_STEP, Kernels};

use super::header::Colour;
use super::scan::{ComponentLayout, Layout};

/// Bytes before the first sample of a row, of which the last holds its neighbour, and at least as many after the last.
const MARGIN: usize = 64;

/// How samples of a component become as many as the image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upsampling {
    /// They are as many.
    None,
    /// Interpolated between neighbours: twice as many across, down, or both.
    Across,
    Down,
    Both,
    /// Repeated across and down.
    Repeat(usize, usize),
}

impl Upsampling {
    /// libjpeg's choice for samples `given` across and down in place of `wanted` ones.
    pub(super) fn new(given: (usize, usize), wanted: (usize, usize), interpolates: bool, width: usize) -> Option<Self> {
        let times = |given: usize, wanted: usize| wanted.is_multiple_of(given).then_some(wanted / given);
        Some(match (times(given.0, wanted.0)?, times(given.1, wanted.1)?) {
            (1, 1) => Self::None,
            (2, 1) if interpolates && width > 2 => Self::Across,
            (1, 2) if interpolates => Self::Down,
            (2, 2) if interpolates && width > 2 => Self::Both,
            (across, down) => Self::Repeat(across, down),
        })
    }

    /// Whether rows above and below are read.
    fn reads_neighbour_rows(self) -> bool {
        matches!(self, Self::Down | Self::Both)
    }
}

/// The latest rows of samples of a component.
pub(super) struct Plane {
    data: Vec<u8>,
    stride: usize,
    /// Rows kept of those before a row of units.
    kept: usize,
    width: usize,
    height: usize,
    unit_rows: usize,
    group_rows: usize,
    upsampling: Upsampling,
    /// The row of the component that stands first, in units' rows still to come.
    unit_row: usize,
    /// One upsampled row.
    upsampled: Vec<u8>,
}

impl Plane {
    fn new(layout: &ComponentLayout, keeps: bool, padded: usize) -> Self {
        let kept = if keeps { 2 * layout.group_rows } else { 0 };
        let stride = MARGIN + layout.row.max(padded) + MARGIN;
        Self {
            data: vec![0; stride * (kept + layout.unit_rows)],
            stride,
            kept,
            width: layout.width,
            height: layout.height,
            unit_rows: layout.unit_rows,
            group_rows: layout.group_rows,
            upsampling: layout.upsampling,
            unit_row: 0,
            upsampled: if layout.upsampling == Upsampling::None { Vec::new() } else { vec![0; padded] },
        }
    }

    /// The samples from column `column` of row `row` of the current row of units on, and the distance of rows.
    pub(super) fn unit_rows_mut(&mut self, row: usize, column: usize) -> (&mut [u8], usize) {
        let start = (self.kept + row) * self.stride + MARGIN + column;
        (&mut self.data[start..], self.stride)
    }

    /// Gives the rows of a new row of units their neighbours left and right.
    fn close_rows(&mut self) {
        if matches!(self.upsampling, Upsampling::Across | Upsampling::Both) {
            for row in self.data.chunks_exact_mut(self.stride).skip(self.kept) {
                row[MARGIN - 1] = row[MARGIN];
                row[MARGIN + self.width] = row[MARGIN + self.width - 1];
            }
        }
    }

    /// Keeps the last rows for the next row of units.
    fn keep_rows(&mut self) {
        self.data.copy_within(self.unit_rows * self.stride.., 0);
        self.unit_row += 1;
    }

    /// Where row `row` of the component stands; above and below, the first and the last row are repeated.
    fn start(&self, row: isize) -> usize {
        let row = row.clamp(0, self.height as isize - 1);
        let first = (self.unit_row * self.unit_rows) as isize - self.kept as isize;
        (row - first) as usize * self.stride + MARGIN
    }

    /// Row `within` of a group of image rows, `padded` samples wide.
    fn row(&mut self, kernels: Kernels, group: usize, within: usize, padded: usize) -> &[u8] {
        let first = (group * self.group_rows) as isize;
        let within = within as isize;
        let neighbour = |near: isize| if within % 2 == 0 { near - 1 } else { near + 1 };
        match self.upsampling {
            Upsampling::None => {
                let start = self.start(first + within);
                return &self.data[start..start + padded];
            }
            Upsampling::Across => {
                let start = self.start(first + within) - 1;
                kernels.jpeg_upsample_h2v1(&self.data[start..start + padded / 2 + 2], &mut self.upsampled);
            }
            Upsampling::Both => {
                let near = first + within / 2;
                let starts = [near, neighbour(near)].map(|row| self.start(row) - 1);
                let [near, far] = starts.map(|start| &self.data[start..start + padded / 2 + 2]);
                kernels.jpeg_upsample_h2v2(near, far, &mut self.upsampled);
            }
            Upsampling::Down => {
                let near = first + within / 2;
                let starts = [near, neighbour(near)].map(|row| self.start(row));
                let [near, far] = starts.map(|start| &self.data[start..start + padded]);
                kernels.jpeg_upsample_h1v2(near, far, within % 2 == 1, &mut self.upsampled);
            }
            Upsampling::Repeat(across, down) => {
                let start = self.start(first + within / down as isize);
                for (out, &sample) in self.upsampled.chunks_mut(across).zip(&self.data[start..]) {
                    out.fill(sample);
                }
            }
        }
        &self.upsampled
    }
}

/// Rows of RGB in the making.
pub(super) struct Rows {
    kernels: Kernels,
    pub planes: Vec<Plane>,
    colour: Colour,
    width: usize,
    height: usize,
    /// The width in steps of the kernels.
    padded: usize,
    wanted: Range<usize>,
    /// Groups in a row of units, image rows in a group, and the group that comes next.
    groups: usize,
    group_rows: usize,
    next: usize,
    /// Whether the last group of a row of units waits for the rows below.
    waits: bool,
    rgb: Vec<u8>,
}

impl Rows {
    pub(super) fn new(kernels: Kernels, layout: &Layout, colour: Colour, wanted: Range<usize>) -> Self {
        let waits = layout.components.iter().any(|component| component.upsampling.reads_neighbour_rows());
        let padded = layout.width.next_multiple_of(JPEG_STEP);
        Self {
            kernels,
            planes: layout.components.iter().map(|component| Plane::new(component, waits, padded)).collect(),
            colour,
            width: layout.width,
            height: layout.height,
            padded,
            wanted: wanted.start..wanted.end.min(layout.height),
            groups: layout.groups,
            group_rows: layout.group_rows,
            next: 0,
            waits,
            rgb: vec![0; padded * 3],
        }
    }

    /// Hands on the rows that can be made once the row of units `unit_row` is transformed. Returns whether more are
    /// wanted.
    pub(super) fn finish_units(&mut self, unit_row: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        self.planes.iter_mut().for_each(Plane::close_rows);
        let all = self.height.div_ceil(self.group_rows);
        let end = (unit_row + 1) * self.groups;
        let ready = if end >= all { all } else { end - usize::from(self.waits) };
        for group in self.next..ready {
            self.group(group, sink);
        }
        self.next = ready;
        self.planes.iter_mut().for_each(Plane::keep_rows);
        self.next * self.group_rows < self.wanted.end
    }

    fn group(&mut self, group: usize, sink: &mut dyn FnMut(&[u8])) {
        let Self { kernels, padded, colour, .. } = *self;
        for within in 0..self.group_rows {
            if !self.wanted.contains(&(group * self.group_rows + within)) {
                continue;
            }
            let mut planes = self.planes.iter_mut().map(|plane| plane.row(kernels, group, within, padded));
            match (colour, planes.next(), planes.next(), planes.next()) {
                (Colour::Ycc, Some(y), Some(cb), Some(cr)) => kernels.jpeg_ycc_to_rgb(y, cb, cr, &mut self.rgb),
                (Colour::Rgb, Some(r), Some(g), Some(b)) => {
                    let channels = r.iter().zip(g).zip(b);
                    for (pixel, ((&r, &g), &b)) in self.rgb.as_chunks_mut::<3>().0.iter_mut().zip(channels) {
                        *pixel = [r, g, b];
                    }
                }
                (_, Some(y), ..) => {
                    for (pixel, &y) in self.rgb.as_chunks_mut::<3>().0.iter_mut().zip(y) {
                        *pixel = [y; 3];
                    }
                }
                (_, None, ..) => {}
            }
            sink(&self.rgb[..self.width * 3]);
        }
    }
}
