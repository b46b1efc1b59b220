//! Pictures of a run as SVG: curves over epochs, and which classes are taken for which.

use std::fmt::Write;

/// One curve: its name, its colour and its points (epoch, value).
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Curves over the same epochs, with a heading.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) curves: Vec<Curve>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
/// Room for numbers on the left, the heading above, epochs below.
const LEFT: f64 = 64.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 28.0;

/// Text that is safe inside SVG.
pub(super) fn escaped(text: &str) -> String {
    let visible: String = text.chars().filter(|character| !character.is_control()).collect();
    visible.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A whole picture of `width` x `height` with white behind it.
pub(super) fn document(width: f64, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// Least and greatest of finite numbers; a span where they are equal.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low < high {
        (low, high)
    } else if low.is_finite() {
        (low - 0.5, low + 0.5)
    } else {
        (0.0, 1.0)
    }
}

/// Panels below each other.
pub(super) fn curves(panels: &[Panel]) -> String {
    let mut body = String::new();
    for (at, panel) in panels.iter().enumerate() {
        let top = at as f64 * HEIGHT;
        let points = || panel.curves.iter().flat_map(|curve| &curve.points);
        let (first, last) = range(points().map(|point| point.0));
        let (low, high) = range(points().map(|point| point.1));
        let x = |epoch: f64| LEFT + (epoch - first) / (last - first) * (WIDTH - LEFT - 16.0);
        let y = |value: f64| top + TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
        let line = |body: &mut String, text: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = body.write_fmt(text);
            body.push('\n');
        };
        let (title, base) = (panel.title, top + 18.0);
        line(&mut body, format_args!("<text x=\"{LEFT}\" y=\"{base}\" font-weight=\"bold\">{title}</text>"));
        for share in [0.0, 0.5, 1.0] {
            let value = low + share * (high - low);
            let (at, end, start) = (y(value), WIDTH - 16.0, LEFT - 6.0);
            line(&mut body, format_args!("<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#ddd\"/>"));
            line(
                &mut body,
                format_args!("<text x=\"{start}\" y=\"{:.1}\" text-anchor=\"end\">{value:.4}</text>", at + 4.0),
            );
        }
        for (epoch, anchor) in [(first, "start"), (last, "end")] {
            let (at, below) = (x(epoch), top + HEIGHT - 10.0);
            line(
                &mut body,
                format_args!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"{anchor}\">epoch {epoch:.0}</text>"),
            );
        }
        for (number, Curve { name, colour, points }) in panel.curves.iter().enumerate() {
            let finite = points.iter().filter(|point| point.1.is_finite());
            let path: Vec<String> = finite.map(|&(e, v)| format!("{:.1} {:.1}", x(e), y(v))).collect();
            let path = path.join("L");
            line(
                &mut body,
                format_args!("<path d=\"M{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"),
            );
            let right = 200.0 + 150.0 * number as f64;
            line(&mut body, format_args!("<text x=\"{right}\" y=\"{base}\" fill=\"{colour}\">{name}</text>"));
        }
    }
    document(WIDTH, HEIGHT * panels.len() as f64, &body)
}

/// More classes than this make a picture that nobody can read.
pub(super) const MOST_CLASSES: usize = 100;

/// A table of labels (rows) and answers (columns), darker for more of a row's images.
pub(super) fn confusion(names: &[String], matrix: &[Vec<u64>]) -> String {
    const CELL: f64 = 30.0;
    const SIDE: f64 = 130.0;
    let size = SIDE + CELL * matrix.len() as f64 + 10.0;
    let mut body = String::from("<text x=\"8\" y=\"18\" font-weight=\"bold\">label \\ answer</text>\n");
    for (row, counts) in matrix.iter().enumerate() {
        let at = SIDE + CELL * row as f64;
        let name = escaped(names.get(row).map_or("", String::as_str));
        let (middle, end) = (at + 19.0, SIDE - 6.0);
        let _ = writeln!(body, "<text x=\"{end}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>");
        let _ = writeln!(body, "<text transform=\"translate({middle} {end}) rotate(-90)\">{name}</text>");
        let all = counts.iter().sum::<u64>().max(1);
        for (column, &count) in counts.iter().enumerate() {
            let left = SIDE + CELL * column as f64;
            let share = count as f64 / all as f64;
            let colour = if row == column { "#2a7" } else { "#c33" };
            let _ = writeln!(
                body,
                "<rect x=\"{left}\" y=\"{at}\" width=\"{CELL}\" height=\"{CELL}\" stroke=\"#eee\" fill=\"{colour}\" \
                 fill-opacity=\"{share:.3}\"/>"
            );
            if count > 0 {
                let centre = left + CELL / 2.0;
                let _ = writeln!(body, "<text x=\"{centre}\" y=\"{middle}\" text-anchor=\"middle\">{count}</text>");
            }
        }
    }
    document(size, size, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_without_finite_points_are_drawn_all_the_same() {
        let points = vec![(1.0, f64::NAN), (2.0, f64::INFINITY)];
        let text = curves(&[Panel { title: "loss", curves: vec![Curve { name: "a", colour: "red", points }] }]);
        assert!(
            text.starts_with("<svg") && text.ends_with("</svg>\n") && !text.contains("NaN") && !text.contains("inf")
        );
    }

    #[test]
    fn names_of_classes_cannot_break_the_picture() {
        let text = confusion(&["a<b".into(), "c&\u{1b}".into()], &[vec![3, 1], vec![0, 2]]);
        assert!(text.contains("a&lt;b") && text.contains(">c&amp;<") && !text.contains('\u{1b}'));
    }
}
