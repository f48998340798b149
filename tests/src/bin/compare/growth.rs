//! The growth of the worker's time, as JSON and SVG.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Milliseconds by a count, such as devices per form.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    pub(crate) of: &'static str,
    pub(crate) points: Vec<(u32, f64)>,
}

impl Growth {
    fn largest(&self) -> (f64, f64) {
        let (numbers, millis): (Vec<u32>, Vec<f64>) = self.points.iter().copied().unzip();
        let number = numbers.into_iter().max().map_or(1.0, f64::from);
        (number, millis.into_iter().fold(1.0, f64::max))
    }
}

pub(crate) fn json(growths: &[Growth]) -> Value {
    let points = |growth: &Growth| json!({"of": growth.of, "ms": growth.points});
    growths.iter().map(points).collect()
}

/// One panel each: measured points, and the line of linear growth from zero to the last point.
pub(crate) fn svg(growths: &[Growth]) -> String {
    let (width, height, left, top) = (280.0, 150.0, 60.0, 40.0);
    let mut text = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 240\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>text { fill: #1c1e21 } .axis { stroke: #9aa0a6 } .even { stroke: #9aa0a6; stroke-dasharray: 4 4 } .dot { fill: #17743b } @media (prefers-color-scheme: dark) { text { fill: #e7e8ea } }</style>\n",
    );
    let mut x = left;
    for growth in growths {
        let (most, longest) = growth.largest();
        let place = |number: f64, millis: f64| {
            (x + number / most * width, top + height - millis / longest * height)
        };
        let bottom = top + height;
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"20\" font-weight=\"600\">ms by {}</text>\
             <line class=\"axis\" x1=\"{x}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\"/>\
             <line class=\"axis\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{longest:.0}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most:.0}</text>",
            growth.of,
            x + width,
            x - 6.0,
            top + 10.0,
            x + width,
            bottom + 20.0,
        );
        if let Some(&(number, millis)) = growth.points.last() {
            let (to_x, to_y) = place(f64::from(number), millis);
            let _ = writeln!(
                text,
                "<line class=\"even\" x1=\"{x}\" y1=\"{bottom}\" x2=\"{to_x:.1}\" y2=\"{to_y:.1}\"/>"
            );
        }
        for &(number, millis) in &growth.points {
            let (dot_x, dot_y) = place(f64::from(number), millis);
            let _ = writeln!(
                text,
                "<circle class=\"dot\" cx=\"{dot_x:.1}\" cy=\"{dot_y:.1}\" r=\"4\"/>"
            );
        }
        x += width + 90.0;
    }
    text + "</svg>\n"
}
