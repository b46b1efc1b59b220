//! The scan: how its components make an image, and their blocks' way to planes of samples.

use std::ops::Range;

use swiftformer_kernels::{DctSize, JPEG_LANES, JpegBlocks, Kernels};

use super::entropy::{Coefficients, Entropy, UnitBlock};
use super::header::{Component, Header};
use super::huffman::Skips;
use super::rows::{Plane, Rows, Upsampling};
use crate::image::decode::Scale;

/// How the components of a file become an image at one scale.
pub(super) struct Layout {
    /// Sides of the decoded image.
    pub width: usize,
    pub height: usize,
    /// Rows of units, and units in each.
    unit_rows: usize,
    unit_columns: usize,
    /// Groups of rows in a row of units: what upsampling makes rows from at a time.
    pub groups: usize,
    /// Image rows of a group.
    pub group_rows: usize,
    pub components: Vec<ComponentLayout>,
}

/// One component in it.
pub(super) struct ComponentLayout {
    /// Samples that its blocks become.
    size: DctSize,
    /// Its sides in samples.
    pub width: usize,
    pub height: usize,
    /// Rows of samples in a row of units and in a group.
    pub unit_rows: usize,
    pub group_rows: usize,
    pub upsampling: Upsampling,
    /// Bytes of a row that transforms write.
    pub row: usize,
}

impl Layout {
    /// libjpeg's choices (jdmaster.c, jdsample.c); `None` for factors of sampling that do not divide each other.
    pub(super) fn new(header: &Header, scale: Scale) -> Option<Self> {
        let most = |factor: fn(&Component) -> usize| header.components.iter().map(factor).max();
        let (across, down) = (most(|component| component.across)?, most(|component| component.down)?);
        let least = 8 / scale.divisor();
        let unit_columns = header.width.div_ceil(8 * across);
        let component = |component: &Component| {
            let mut samples = least;
            // Chroma is scaled up by larger transforms rather than by upsampling.
            while samples < 8
                && (across * least).is_multiple_of(component.across * samples * 2)
                && (down * least).is_multiple_of(component.down * samples * 2)
            {
                samples *= 2;
            }
            let size = match samples {
                1 => DctSize::One,
                2 => DctSize::Two,
                4 => DctSize::Four,
                _ => DctSize::Eight,
            };
            let width = (header.width * component.across * samples).div_ceil(across * 8);
            let height = (header.height * component.down * samples).div_ceil(down * 8);
            let (columns_in, rows_in) = (component.across * samples / least, component.down * samples / least);
            let upsampling = Upsampling::new((columns_in, rows_in), (across, down), least > 1, width)?;
            let row = unit_columns.div_ceil(JPEG_LANES) * JPEG_LANES * component.across * samples;
            let unit_rows = component.down * samples;
            Some(ComponentLayout { size, width, height, unit_rows, group_rows: rows_in, upsampling, row })
        };
        Some(Self {
            width: header.width.div_ceil(scale.divisor()),
            height: header.height.div_ceil(scale.divisor()),
            unit_rows: header.height.div_ceil(8 * down),
            unit_columns,
            groups: least,
            group_rows: down,
            components: header.components.iter().map(component).collect::<Option<_>>()?,
        })
    }
}

/// Decodes the scan and hands the rows `wanted` to `sink`.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    layout: &Layout,
    wanted: Range<usize>,
    sink: &mut dyn FnMut(&[u8]),
) {
    let kernels = Kernels::detect();
    let mut unit = Vec::new();
    let mean_only = |index: usize| layout.components[index].size == DctSize::One;
    let skips: Vec<Option<Box<Skips>>> = header
        .components
        .iter()
        .enumerate()
        .map(|(index, component)| {
            mean_only(index).then(|| header.ac[component.ac].as_ref().map(|table| table.skips())).flatten()
        })
        .collect();
    for &index in &header.order {
        let component = &header.components[index];
        let tables = (&header.dc[component.dc], &header.ac[component.ac]);
        let (Some(dc), Some(ac)) = tables else { return };
        let across = component.across;
        for (row, column) in (0..component.down).flat_map(|row| (0..across).map(move |column| (row, column))) {
            let skips = skips[index].as_deref();
            unit.push(UnitBlock { component: index, first: row * across, across, column, dc, ac, skips });
        }
    }
    let mut coefficients: Vec<Coefficients> = header
        .components
        .iter()
        .map(|component| component.across * component.down)
        .map(|count| Coefficients { blocks: vec![JpegBlocks::default(); count], used: vec![0; count] })
        .collect();
    let mut entropy = Entropy::new(bytes, header);
    let mut rows = Rows::new(kernels, layout, header.colour, wanted);
    for unit_row in 0..layout.unit_rows {
        for start in (0..layout.unit_columns).step_by(JPEG_LANES) {
            let count = JPEG_LANES.min(layout.unit_columns - start);
            entropy.units(count, &unit, &mut coefficients);
            for (index, coefficients) in coefficients.iter_mut().enumerate() {
                let component = (&header.components[index], &layout.components[index]);
                transform(kernels, component, coefficients, start, &mut rows.planes[index]);
            }
        }
        if !rows.finish_units(unit_row, sink) {
            break;
        }
    }
}

/// Transforms what `coefficients` hold to the samples from unit `start` of a plane, and clears them.
fn transform(
    kernels: Kernels,
    (component, layout): (&Component, &ComponentLayout),
    coefficients: &mut Coefficients,
    start: usize,
    plane: &mut Plane,
) {
    let samples = layout.size.samples();
    let blocks = coefficients.blocks.iter_mut().zip(&mut coefficients.used);
    for (index, (blocks, used)) in blocks.enumerate() {
        let (row, column) = (index / component.across, index % component.across);
        let at = (start * component.across + column * JPEG_LANES) * samples;
        let (out, stride) = plane.unit_rows_mut(row * samples, at);
        kernels.jpeg_inverse_dct(layout.size, blocks, *used, &component.quantization, out, stride);
        match *used {
            0 => {}
            1 => blocks.coefficients_mut()[..JPEG_LANES].fill(0),
            _ => blocks.clear(),
        }
        *used = 0;
    }
}
