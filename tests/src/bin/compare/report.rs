//! The results, as tables, JSON and SVG.

use std::fmt::Write as _;
use std::io;

use greenlight_render::format::aligned;
use greenlight_tests::workspace;
use serde_json::{Value, json};

use crate::figures::{Column, Figure, Measured, Section, number};
use crate::growth;

const JSON: &str = "docs/compare.json";

/// A table of medians, with their ratio to the first line.
pub(crate) fn table(section: &Section) -> String {
    let row = |result: &Measured| {
        let cells = (0..).zip(section.columns).map(|(place, column)| {
            let Figure { median, .. } = result.figure(place);
            if median.is_nan() {
                return "-".to_owned();
            }
            format!("{} {}", shown(median, column), times(section.ratio(place, median)))
        });
        std::iter::once(result.name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = section.results.iter().map(row).collect();
    let heads = section.columns.iter().map(|column| column.name.to_uppercase());
    let heads: Vec<_> = std::iter::once(section.name.to_owned()).chain(heads).collect();
    aligned([&heads].into_iter().chain(&rows).map(Vec::as_slice))
}

/// The ratio as text; empty without a reference.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio.is_nan() => String::new(),
        ratio if ratio < 1.0 => format!("({ratio:.2}x)"),
        ratio => format!("({ratio:.1}x)"),
    }
}

fn shown(figure: f64, Column { unit, .. }: &Column) -> String {
    let digits = if figure < 10.0 { 2 } else { usize::from(figure < 1_000.0) };
    format!("{figure:.digits$} {unit}")
}

/// Writes the section into `docs/compare.json`, which keeps the other sections, and writes its SVG
/// files. Returns the paths.
pub(crate) fn write(section: &Section) -> io::Result<Vec<String>> {
    let mut document = document();
    document[section.name] = json_of(section);
    let mut pictures = vec![(format!("docs/compare-{}.svg", section.name), svg(section))];
    if !section.growth.is_empty() {
        document["growth"] = growth::json(&section.growth);
        pictures.push(("docs/compare-growth.svg".to_owned(), growth::svg(&section.growth)));
    }
    for (path, picture) in &pictures {
        std::fs::write(workspace().join(path), picture)?;
    }
    save(document)?;
    let paths = pictures.into_iter().map(|(path, _)| path);
    Ok(std::iter::once(JSON.to_owned()).chain(paths).collect())
}

/// Writes the memory of `serve` by number of events into the same file.
pub(crate) fn write_million(held: &[(u32, f64)]) -> io::Result<()> {
    let mut document = document();
    document["serve held MiB by events"] = json!(held);
    save(document)
}

/// The results of the last run.
fn document() -> Value {
    let known = std::fs::read_to_string(workspace().join(JSON)).unwrap_or_default();
    let known: Value = serde_json::from_str(&known).unwrap_or_default();
    if known.is_object() { known } else { json!({}) }
}

fn save(mut document: Value) -> io::Result<()> {
    document["machine"] = json!(machine());
    std::fs::write(workspace().join(JSON), format!("{document:#}\n"))
}

fn json_of(section: &Section) -> Value {
    let figures = |result: &Measured| {
        let figures = (0..).zip(section.columns).map(|(place, Column { name, unit })| {
            let Figure { median, least, most } = result.figure(place);
            let ratio = section.ratio(place, median);
            json!({"figure": name, "unit": unit, "median": median, "least": least, "most": most, "ratio": ratio})
        });
        let figures: Vec<Value> = figures.collect();
        json!({"name": result.name, "made_of": result.made_of, "figures": figures})
    };
    section.results.iter().map(figures).collect()
}

/// The number of processors and their model.
pub(crate) fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let models: Vec<_> = models.map(|line| line.trim_start_matches([' ', '\t', ':'])).collect();
    format!("{} x {}", models.len(), models.first().copied().unwrap_or("unknown"))
}

/// Bars on a logarithmic scale: on a linear one a bar a hundred times as long would hide the rest.
fn svg(section: &Section) -> String {
    let (left, bar, gap, width) = (150.0, 22.0, 40.0, 460.0);
    let group = number(section.results.len()) * bar + gap;
    let height = number(section.columns.len()) * group + 10.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #1c1e21 }} .bar {{ fill: #9aa0a6 }} .ours {{ fill: #17743b }} @media (prefers-color-scheme: dark) {{ text {{ fill: #e7e8ea }} }}</style>\n"
    );
    for (place, column) in section.columns.iter().enumerate() {
        let top = number(place) * group + 24.0;
        let medians = section.results.iter().map(|it| it.figure(place).median);
        let medians: Vec<f64> = medians.filter(|median| !median.is_nan()).collect();
        let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let most = medians.iter().copied().fold(0.0, f64::max);
        let Column { name, unit } = column;
        let _ = writeln!(
            text,
            "<text x=\"0\" y=\"{top}\" font-weight=\"600\">{name}, {unit} (logarithmic)</text>"
        );
        for (line, result) in section.results.iter().enumerate() {
            let median = result.figure(place).median;
            let y = top + 8.0 + number(line) * bar;
            // The shortest bar stays visible.
            let length =
                20.0 + (width - 20.0) * (median / least).ln() / (most / least).ln().max(0.01);
            let (length, label) = if median.is_nan() {
                (0.0, "-".to_owned())
            } else {
                let ratio = times(section.ratio(place, median));
                (length, format!("{} {ratio}", shown(median, column)))
            };
            let class = if result.name == "greenlight" { "ours" } else { "bar" };
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{length:.1}\" height=\"16\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{label}</text>",
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
