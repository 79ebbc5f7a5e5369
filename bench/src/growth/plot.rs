//! The plot of growth: the processor time of a request over live sessions and over accounts, each tenfold at a step.

use std::fmt::Write;

use handstamp_bench::figures::number;

use crate::{FEW_SESSIONS, Size};

const PANEL: (f64, f64) = (440.0, 260.0);
const GAP: f64 = 20.0;
const TOP: f64 = 64.0;
/// The free space within a panel, on the left and below.
const MARGIN: (f64, f64) = (56.0, 44.0);

const STYLE: &str = "text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px;fill:#24292f}\
    .title{font-size:19px;font-weight:600}.name{font-weight:600}.soft{fill:#57606a;font-size:12px}.end{text-anchor:end}\
    .middle{text-anchor:middle}.sheet{fill:#fff}.panel{fill:#f6f8fa;stroke:#d0d7de}.axis{stroke:#d0d7de}\
    .curve{fill:none;stroke:#0969da;stroke-width:2}.point{fill:#0969da}";

/// # Panics
/// Never: writing to a String does not fail.
pub fn svg(sizes: &[Size]) -> String {
    let (width, height) = (2.0 * PANEL.0 + 3.0 * GAP, TOP + PANEL.1 + GAP);
    let most_users = sizes.iter().map(|size| size.users).max().unwrap_or_default();
    let over_sessions =
        sizes.iter().filter(|size| size.users == most_users).map(|size| (size.sessions, size.microseconds));
    let over_users =
        sizes.iter().filter(|size| size.sessions == FEW_SESSIONS).map(|size| (size.users, size.microseconds));
    let highest = sizes.iter().map(|size| size.microseconds).fold(0.0, f64::max) * 1.15;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Processor time of a request, as live sessions and accounts grow</title>\n\
         <style>{STYLE}</style>\n<rect class=\"sheet\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{GAP}\" y=\"40\">Processor time of a request, in µs</text>\n"
    );
    let panels: [(&str, Vec<_>); 2] =
        [("over live sessions", over_sessions.collect()), ("over accounts", over_users.collect())];
    for (place, (name, mut points)) in panels.into_iter().enumerate() {
        points.sort_by_key(|(count, _)| *count);
        points.dedup_by_key(|(count, _)| *count);
        let x = GAP + place as f64 * (PANEL.0 + GAP);
        write!(svg, "<g transform=\"translate({x} {TOP})\">\n{}</g>\n", panel(name, &points, highest))
            .expect("writing to a String never fails");
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(name: &str, points: &[(usize, f64)], highest: f64) -> String {
    let bottom = PANEL.1 - MARGIN.1;
    let log = |count: usize| (count as f64).log10();
    let (first, last) =
        (points.first().map_or(0.0, |point| log(point.0)), points.last().map_or(1.0, |point| log(point.0)));
    let x = |count| MARGIN.0 + 20.0 + (log(count) - first) / (last - first).max(1.0) * (PANEL.0 - MARGIN.0 - 70.0);
    let y = |cost: f64| bottom - cost / highest * (bottom - 40.0);
    let mut panel = format!(
        "<rect class=\"panel\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n<text class=\"name\" x=\"14\" y=\"25\">{name}</text>\n\
         <line class=\"axis\" x1=\"{}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\"/><text class=\"soft end\" x=\"{}\" y=\"{}\">0</text>\n",
        PANEL.0,
        PANEL.1,
        MARGIN.0,
        PANEL.0 - 14.0,
        MARGIN.0 - 8.0,
        bottom + 4.0,
    );
    let line: String = points.iter().map(|(count, cost)| format!("{:.1},{:.1} ", x(*count), y(*cost))).collect();
    writeln!(panel, "<polyline class=\"curve\" points=\"{}\"/>", line.trim_end())
        .expect("writing to a String never fails");
    for (count, cost) in points {
        let (x, y) = (x(*count), y(*cost));
        writeln!(
            panel,
            "<circle class=\"point\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\
             <text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"soft middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            y - 10.0,
            number(*cost),
            bottom + 22.0,
            short(*count)
        )
        .expect("writing to a String never fails");
    }
    panel
}

/// A round number, with a letter for its thousands or millions.
fn short(count: usize) -> String {
    match count {
        1_000_000.. => format!("{}M", count / 1_000_000),
        1_000.. => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}
