//! The plot of the peers: the processor time of a request for each, as bars on a logarithmic scale.

use std::fmt::Write;

use handstamp_bench::figures::{median, number};

use crate::contest::Results;

const WIDTH: f64 = 940.0;
const TOP: f64 = 84.0;
const ROW: f64 = 34.0;
/// Where bars begin, and where the longest may end.
const BARS: (f64, f64) = (330.0, 850.0);

const STYLE: &str = "text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px;fill:#24292f}\
    .title{font-size:19px;font-weight:600}.soft{fill:#57606a;font-size:12px}.end{text-anchor:end}.middle{text-anchor:middle}\
    .sheet{fill:#fff}.line{stroke:#d0d7de}.bare{fill:#afb8c1}.ours{fill:#0969da}.peer{fill:#bf8700}.spread{stroke:#24292f;stroke-width:1.5}";

/// # Panics
/// Never: writing to a String does not fail.
pub fn svg(results: &Results) -> String {
    let costs: Vec<_> = results.each().map(|(entrant, turns)| (entrant, &turns.microseconds)).collect();
    let all = || costs.iter().flat_map(|(_, costs)| costs.iter().copied());
    // Whole powers of ten around all values.
    let first = all().fold(f64::INFINITY, f64::min).log10().floor();
    let last = all().fold(0.0, f64::max).log10().ceil();
    let place = |cost: f64| BARS.0 + (cost.log10() - first) / (last - first) * (BARS.1 - BARS.0);
    let height = TOP + costs.len() as f64 * ROW + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>Processor time of a request: bare axum, Handstamp, and common alternatives</title>\n\
         <style>{STYLE}</style>\n<rect class=\"sheet\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"20\" y=\"36\">Processor time of a request, in µs</text>\n"
    );
    for power in first as i32..=last as i32 {
        let (x, bottom) = (place(10_f64.powi(power)), height - 20.0);
        writeln!(
            svg,
            "<line class=\"line\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"soft middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
            TOP - 10.0,
            10_f64.powi(power)
        )
        .expect("writing to a String never fails");
    }
    for (row, (entrant, costs)) in costs.iter().enumerate() {
        let (y, cost) = (TOP + row as f64 * ROW + 6.0, median(costs.to_vec()));
        let (least, most) =
            (costs.iter().copied().fold(f64::INFINITY, f64::min), costs.iter().copied().fold(0.0, f64::max));
        let name = entrant.name.replace(['*', '`'], "");
        let class = match entrant.name {
            name if name.starts_with("bare") => "bare",
            name if name.starts_with("**") => "ours",
            _ => "peer",
        };
        let (middle, end) = (y + 16.0, place(cost));
        writeln!(
            svg,
            "<text class=\"end\" x=\"{}\" y=\"{middle}\">{name}</text>\
             <rect class=\"{class}\" x=\"{}\" y=\"{y}\" width=\"{:.1}\" height=\"22\" rx=\"2\"/>\
             <line class=\"spread\" x1=\"{:.1}\" y1=\"{}\" x2=\"{:.1}\" y2=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{middle}\">{}</text>",
            BARS.0 - 12.0,
            BARS.0,
            end - BARS.0,
            place(least),
            y + 11.0,
            place(most),
            y + 11.0,
            place(most) + 10.0,
            number(cost)
        )
        .expect("writing to a String never fails");
    }
    svg.push_str("</svg>\n");
    svg
}
