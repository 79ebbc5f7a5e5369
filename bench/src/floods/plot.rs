//! The plot of the floods: each figure with a goal in a panel of its own, unloaded and loaded, with the goal as a line.

use std::fmt::Write;

use handstamp_bench::figures::{Figure, Goal, number};

const PANEL: (f64, f64) = (460.0, 158.0);
const GAP: f64 = 20.0;
const TOP: f64 = 64.0;
/// Where bars begin, and how long the longest is.
const BARS: (f64, f64) = (92.0, 280.0);

const STYLE: &str = "text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px;fill:#24292f}\
    .title{font-size:19px;font-weight:600}.name{font-weight:600}.soft{fill:#57606a}.met{fill:#1a7f37;font-weight:600}\
    .missed{fill:#cf222e;font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}.sheet{fill:#fff}\
    .panel{fill:#f6f8fa;stroke:#d0d7de}.unloaded{fill:#afb8c1}.loaded{fill:#0969da}\
    .limit{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:5 3}.limit-name{fill:#cf222e;font-size:12px}";

/// # Panics
/// Never: writing to a String does not fail.
pub fn svg(figures: &[Figure]) -> String {
    let promised: Vec<_> = figures.iter().filter_map(|figure| Some((figure, figure.goal?))).collect();
    let rows = promised.len().div_ceil(2) as f64;
    let (width, height) = (2.0 * PANEL.0 + 3.0 * GAP, TOP + rows * (PANEL.1 + GAP));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Floods and slow clients: each figure unloaded and loaded, with what was promised</title>\n\
         <style>{STYLE}</style>\n<rect class=\"sheet\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{GAP}\" y=\"40\">Floods and slow clients</text>\n{}",
        legend(width - GAP)
    );
    for (place, (figure, goal)) in promised.into_iter().enumerate() {
        let (column, row) = ((place % 2) as f64, (place / 2) as f64);
        let (x, y) = (GAP + column * (PANEL.0 + GAP), TOP + row * (PANEL.1 + GAP));
        write!(svg, "<g transform=\"translate({x} {y})\">\n{}</g>\n", panel(figure, goal))
            .expect("writing to a String never fails");
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(right: f64) -> String {
    let (first, second, third) = (right - 280.0, right - 180.0, right - 96.0);
    format!(
        "<rect class=\"unloaded\" x=\"{first}\" y=\"29\" width=\"12\" height=\"12\"/><text x=\"{}\" y=\"40\">unloaded</text>\n\
         <rect class=\"loaded\" x=\"{second}\" y=\"29\" width=\"12\" height=\"12\"/><text x=\"{}\" y=\"40\">loaded</text>\n\
         <line class=\"limit\" x1=\"{third}\" y1=\"35\" x2=\"{}\" y2=\"35\"/><text x=\"{}\" y=\"40\">promised</text>\n",
        first + 18.0,
        second + 18.0,
        third + 24.0,
        third + 30.0
    )
}

fn panel(figure: &Figure, goal: Goal) -> String {
    let limit = goal.limit();
    let values = [Some(figure.loaded), figure.unloaded, Some(limit)];
    let longest = values.into_iter().flatten().filter(|value| !value.is_nan()).fold(0.0, f64::max);
    let scale = |value: f64| if value.is_nan() { 0.0 } else { (value / longest * BARS.1).max(1.5) };
    let (said, class) = if figure.is_met() { ("met", "met") } else { ("not met", "missed") };
    let mut panel = format!(
        "<rect class=\"panel\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n<text class=\"name\" x=\"14\" y=\"25\">{}</text>\n\
         <text class=\"{class}\" x=\"14\" y=\"{}\">{said}</text>\n",
        PANEL.0,
        PANEL.1,
        figure.name,
        PANEL.1 - 18.0,
    );
    for (name, value, y) in [("unloaded", figure.unloaded, 46.0), ("loaded", Some(figure.loaded), 84.0)] {
        let middle = y + 18.0;
        writeln!(panel, "<text class=\"soft end\" x=\"{}\" y=\"{middle}\">{name}</text>", BARS.0 - 10.0)
            .expect("writing to a String never fails");
        let (length, text) = value.map_or((0.0, "–".to_owned()), |value| (scale(value), number(value)));
        let unit = if value.is_some() { figure.unit } else { "" };
        writeln!(
            panel,
            "<rect class=\"{name}\" x=\"{}\" y=\"{y}\" width=\"{length:.1}\" height=\"26\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{middle}\">{text} {unit}</text>",
            BARS.0,
            beside(length, scale(limit)),
        )
        .expect("writing to a String never fails");
    }
    let (x, word) = (BARS.0 + scale(limit), goal.word());
    // Centred below its line, but not beyond the edge.
    let label = x.clamp(130.0, PANEL.0 - 70.0);
    writeln!(
        panel,
        "<line class=\"limit\" x1=\"{x:.1}\" y1=\"40\" x2=\"{x:.1}\" y2=\"120\"/>\
         <text class=\"limit-name middle\" x=\"{label:.1}\" y=\"140\">{word} {} {}</text>",
        number(limit),
        figure.unit,
    )
    .expect("writing to a String never fails");
    panel
}

/// The position of the value of a bar: after its end, or after the line of the goal if that would cross the value.
fn beside(length: f64, limit: f64) -> f64 {
    let (end, width) = (length + 8.0, 70.0);
    let is_crossed = limit > length - 1.0 && limit < end + width;
    BARS.0 + if is_crossed { limit + 8.0 } else { end }
}
