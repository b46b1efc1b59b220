use swiftformer::image::{Filter, ImageError, RgbImage, Window, resize, resize_window};

use crate::Golden;

#[test]
fn every_filter_gives_pillows_bytes_at_odd_sizes() {
    let golden = Golden::open("images_more/expected.safetensors");
    let mut checked = 0;
    let mut wrong = Vec::new();
    for name in golden.names("resize.", "") {
        let Some((source, rest)) = name.split_once('.') else { continue };
        let (target, filter) = rest.split_once('.').unwrap();
        let (width, height) = target.split_once('x').unwrap();
        let filter = Filter::from_pillow_number(filter.parse().unwrap()).unwrap();
        let image = golden.rgb(&format!("resize.{source}"));
        let resized = resize(&image, width.parse().unwrap(), height.parse().unwrap(), filter).unwrap();
        let (most, _) = crate::difference(resized.data(), golden.rgb(&format!("resize.{name}")).data());
        if most > 0 {
            wrong.push(format!("{name} {most}"));
        }
        checked += 1;
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(checked, 5 * 8 * 6);
}

#[test]
fn a_window_is_that_part_of_the_whole() {
    let image = Golden::open("images_more/expected.safetensors").rgb("resize.37x23");
    for filter in Filter::ALL {
        for (width, height) in [(90, 70), (20, 23), (37, 40), (37, 23), (11, 9)] {
            let whole = resize(&image, width, height, filter).unwrap();
            let window = Window { columns: 3..9, rows: 2..8 };
            let part = resize_window(&image, width, height, filter, &window).unwrap();
            for (y, row) in window.rows.clone().enumerate() {
                assert_eq!(part.row(y), &whole.row(row)[3 * 3..9 * 3], "{filter:?} {width}x{height} row {row}");
            }
        }
    }
}

#[test]
fn a_window_of_an_enormous_enlargement_is_cheap() {
    // 20000x1 with the short side to 256 would be 5 million columns wide.
    let line: Vec<u8> = (0..20000u32).flat_map(|x| [(x % 251) as u8, (x / 80) as u8, 7]).collect();
    let image = RgbImage::new(20000, 1, line).unwrap();
    let window = Window { columns: 2_559_888..2_560_112, rows: 16..240 };
    for filter in Filter::ALL {
        let part = resize_window(&image, 5_120_000, 256, filter, &window).unwrap();
        assert_eq!((part.width(), part.height()), (224, 224));
        // One source pixel covers 256 columns, so neighbours of the middle are all that is seen.
        assert!(part.data().chunks(3).all(|pixel| (123..=126).contains(&pixel[1]) && pixel[2] == 7), "{filter:?}");
    }
}

#[test]
fn extreme_shrinking_keeps_memory_small_and_values_right() {
    let tall = RgbImage::new(1, 3_000_000, [[10, 20, 30], [30, 40, 50]].concat().repeat(1_500_000)).unwrap();
    let small = resize(&tall, 224, 2, Filter::Bilinear).unwrap();
    assert!(small.data().chunks(3).all(|pixel| pixel == [20, 30, 40]));
    // Pillow gives the same: weights of single source pixels are about one unit of their fixed point here.
    let wide = RgbImage::new(12_000_000, 1, [[10, 20, 30], [30, 40, 50]].concat().repeat(6_000_000)).unwrap();
    let small = resize(&wide, 2, 3, Filter::Lanczos).unwrap();
    assert!(small.data().chunks(3).all(|pixel| pixel == [26, 38, 51]), "{:?}", small.data());
}

#[test]
fn impossible_sizes_and_windows_are_errors() {
    let image = RgbImage::filled(2, 2, [1, 2, 3]);
    for (width, height) in [(0, 4), (4, 0), (usize::MAX, 4), (4, 1 << 30)] {
        let window = Window { columns: 0..1, rows: 0..1 };
        let error = resize_window(&image, width, height, Filter::Bicubic, &window).unwrap_err();
        assert!(matches!(error, ImageError::ResizedSide { .. }), "{error}");
    }
    for (columns, rows) in [(0..5, 0..1), (0..1, 4..5), (1..1, 0..1)] {
        let error = resize_window(&image, 4, 4, Filter::Nearest, &Window { columns, rows }).unwrap_err();
        assert!(matches!(error, ImageError::Window { .. }), "{error}");
    }
}

#[test]
fn filters_have_pillows_numbers_and_timms_names() {
    let names = Filter::ALL.map(Filter::name);
    assert_eq!(names, ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]);
    for (number, filter) in Filter::ALL.into_iter().enumerate() {
        assert_eq!(filter.pillow_number(), number as u64);
        assert_eq!(Filter::from_name(filter.name()), Some(filter));
    }
    assert_eq!(Filter::from_pillow_number(6), None);
}
