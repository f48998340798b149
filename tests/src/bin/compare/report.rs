//! What was measured, as a table, as JSON and as a picture.

use std::fmt::Write as _;
use std::io;

use greenlight::told::table as plain_table;
use greenlight_tests::workspace;
use serde_json::{Value, json};

use crate::contenders::{Figure, Measured};
use crate::measure::Run;

/// A column: what it is, its unit, and where it comes from.
type Column = (&'static str, &'static str, fn(&Run) -> f64);

const COLUMNS: [Column; 4] = [
    ("spawn to first answer", "ms", |run| run.first_ms),
    ("a warm event", "ms", |run| run.warm_ms),
    ("CPU per warm event", "ms", |run| run.cpu_ms),
    ("peak memory", "MiB", |run| run.peak_mib),
];

/// The first is the floor.
fn floor(results: &[Measured], of: fn(&Run) -> f64) -> f64 {
    results.first().map_or(f64::NAN, |floor| floor.figure(of).median)
}

/// Medians, with their ratio to the floor.
pub(crate) fn table(results: &[Measured]) -> String {
    let row = |result: &Measured| {
        let cell = |(_, unit, of): Column| {
            let Figure { median, .. } = result.figure(of);
            format!("{median:.2} {unit} ({:.1}x)", median / floor(results, of))
        };
        let [first, warm, cpu, peak] = COLUMNS.map(cell);
        let zip = format!("{:.1} MiB", mebibytes(result.zip_bytes));
        [result.name.to_owned(), first, warm, cpu, peak, zip]
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let heads = ["", "FIRST ANSWER", "WARM EVENT", "CPU PER EVENT", "PEAK", "ZIP"];
    plain_table(heads, &rows)
}

/// Writes `docs/compare.json` and `docs/compare.svg`, and names them.
pub(crate) fn write(results: &[Measured]) -> io::Result<Vec<String>> {
    let files = [("docs/compare.json", json_of(results)), ("docs/compare.svg", svg(results))];
    for (path, text) in &files {
        std::fs::write(workspace().join(path), text)?;
    }
    Ok(files.map(|(path, _)| path.to_owned()).to_vec())
}

fn json_of(results: &[Measured]) -> String {
    let figures = |result: &Measured| {
        let figure = |(name, unit, of): Column| {
            let Figure { median, least, most } = result.figure(of);
            let ratio = median / floor(results, of);
            json!({"figure": name, "unit": unit, "median": median, "least": least, "most": most, "to_floor": ratio})
        };
        json!({
            "name": result.name,
            "made_of": result.made_of,
            "zip_bytes": result.zip_bytes,
            "figures": COLUMNS.map(figure),
        })
    };
    let results: Vec<Value> = results.iter().map(figures).collect();
    format!("{:#}\n", json!({"machine": machine(), "contenders": results}))
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let models: Vec<_> = models.map(|line| line.trim_start_matches([' ', '\t', ':'])).collect();
    format!("{} x {}", models.len(), models.first().copied().unwrap_or("unknown"))
}

/// Bars on a scale of powers of ten: what is a hundred times as long would hide the rest otherwise.
fn svg(results: &[Measured]) -> String {
    let (left, bar, gap, width) = (150.0, 22.0, 40.0, 460.0);
    let group = count(results.len()) * bar + gap;
    let height = count(COLUMNS.len()) * group + 30.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #1c1e21 }} .bar {{ fill: #9aa0a6 }} .ours {{ fill: #17743b }} @media (prefers-color-scheme: dark) {{ text {{ fill: #e7e8ea }} }}</style>\n"
    );
    for (number, (name, unit, of)) in (0_u8..).zip(COLUMNS) {
        let top = f64::from(number) * group + 24.0;
        let least = results.iter().map(|it| it.figure(of).median).fold(f64::INFINITY, f64::min);
        let most = results.iter().map(|it| it.figure(of).median).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "<text x=\"0\" y=\"{top}\" font-weight=\"600\">{name}, {unit} (logarithmic)</text>"
        );
        for (place, result) in (0_u8..).zip(results) {
            let median = result.figure(of).median;
            let y = top + 8.0 + f64::from(place) * bar;
            // The shortest bar is seen, too.
            let length =
                20.0 + (width - 20.0) * (median / least).ln() / (most / least).ln().max(0.01);
            let class = if result.name == "greenlight" { "ours" } else { "bar" };
            let ratio = median / floor(results, of);
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{length:.1}\" height=\"16\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{median:.2} ({ratio:.1}x)</text>",
                left - 8.0,
                y + 13.0,
                result.name,
                left + length + 6.0,
                y + 13.0
            );
        }
    }
    text + "</svg>\n"
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
