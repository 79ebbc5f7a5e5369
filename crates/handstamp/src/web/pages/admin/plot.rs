//! The plots of the first page of administration: bars in SVG, whose colours come from the stylesheet.

use handstamp_core::Timestamp;
use minijinja::{Value, context};

/// The size of a plot in its own units.
const WIDTH: u64 = 640;
const HEIGHT: u64 = 96;
/// The gap between two bars.
const GAP: u64 = 3;

/// The bars of these numbers: each its left, top, width and height. A number above zero is at least one unit high, so that it shows.
fn bars(numbers: &[u64]) -> Vec<[u64; 4]> {
    let most = numbers.iter().copied().max().unwrap_or(0).max(1);
    let count = numbers.len() as u64;
    let bar = |(index, number): (usize, &u64)| {
        let left = index as u64 * WIDTH / count.max(1);
        let right = (index as u64 + 1) * WIDTH / count.max(1);
        let exact = u128::from(*number) * u128::from(HEIGHT) / u128::from(most);
        let height = u64::try_from(exact).unwrap_or(HEIGHT).max(u64::from(*number > 0));
        [left, HEIGHT - height, (right - left).saturating_sub(GAP).max(1), height]
    };
    numbers.iter().enumerate().map(bar).collect()
}

/// A plot of the numbers of periods, the oldest first, as its template shows it.
pub(super) fn plot(title: &str, name: &str, numbers: &[u64]) -> Value {
    context! {
        title, name, width => WIDTH, height => HEIGHT,
        total => numbers.iter().fold(0_u64, |total, number| total.saturating_add(*number)),
        most => numbers.iter().copied().max().unwrap_or(0),
        bars => bars(numbers).into_iter().filter(|[.., height]| *height > 0).map(|[left, top, width, height]| {
            context! { left, top, width, height }
        }).collect::<Vec<_>>(),
    }
}

/// The label of a period: its hour, or its date.
pub(super) fn label(begins: Timestamp, is_hour: bool) -> String {
    if is_hour { format!("{:02}:00", begins.unix_seconds() / 3600 % 24) } else { crate::format::format_date(begins) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_fills_the_plot_and_the_least_number_shows() {
        let bars = bars(&[0, 1, 1_000_000, 500_000]);
        assert_eq!(
            bars.iter().map(|[_, top, _, height]| (*top, *height)).collect::<Vec<_>>(),
            [(96, 0), (95, 1), (0, 96), (48, 48)]
        );
        assert!(bars.windows(2).all(|pair| pair[0][0] + pair[0][2] < pair[1][0]), "no two touch");
        assert!(bars.iter().all(|[left, _, width, _]| left + width <= WIDTH));
    }

    #[test]
    fn a_plot_without_numbers_or_with_the_largest_ones_is_drawn() {
        assert!(bars(&[]).is_empty());
        assert_eq!(bars(&[0, 0]).len(), 2);
        assert_eq!(bars(&[u64::MAX, 1])[0][3], HEIGHT);
        assert_eq!(label(Timestamp::from_unix_seconds(1_800_000_000), true), "08:00");
        assert_eq!(label(Timestamp::from_unix_seconds(1_800_000_000), false), "15 January 2027");
    }
}
