//! Time of the parts of a step.

use super::markup::{coordinate, escaped, figure, shown};
use crate::vmc::PartTime;

/// Bar chart of the parts, with milliseconds and shares.
pub(super) fn bars(parts: &[PartTime]) -> String {
    let known = |part: &PartTime| part.milliseconds.is_finite() && part.milliseconds >= 0.0;
    let whole: f64 = parts.iter().filter(|part| known(part)).map(|part| part.milliseconds).sum();
    if parts.is_empty() || whole <= 0.0 {
        return "<p>The parts of a step were not timed.</p>\n".into();
    }
    let longest = parts.iter().filter(|part| known(part)).map(|part| part.milliseconds).fold(0.0, f64::max);
    let rows: String = parts
        .iter()
        .map(|part| {
            let milliseconds = if known(part) { part.milliseconds } else { 0.0 };
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"bar\"><i style=\"width:{}%\"></i></td><td>{} ms</td>\
                 <td>{:.0} %</td></tr>\n",
                escaped(part.name),
                coordinate(100.0 * milliseconds / longest),
                shown(part.milliseconds, 3),
                100.0 * milliseconds / whole,
            )
        })
        .collect();
    let table = format!(
        "<table>\n<thead class=\"unseen\"><tr><th scope=\"col\">part</th><th scope=\"col\">bar</th>\
         <th scope=\"col\">time</th><th scope=\"col\">share</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>"
    );
    figure(
        "time",
        &table,
        &format!(
            "Time of each part of a step, {} ms in total. Launches are timed one by one, which takes longer than a step.",
            shown(whole, 3)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &'static str, milliseconds: f64) -> PartTime {
        PartTime { name, milliseconds }
    }

    #[test]
    fn parts_have_bars_and_shares() {
        let html = bars(&[part("sample", 30.0), part("a <move>", 10.0), part("odd", f64::NAN)]);
        assert_eq!(html.matches("class=\"bar\"").count(), 3);
        for text in
            ["width:100%", "width:33.333%", "30.0 ms", "75 %", "25 %", "40.0 ms", "a &lt;move&gt;", "unknown ms"]
        {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(bars(&[]).contains("not timed") && bars(&[part("none", 0.0)]).contains("not timed"));
    }
}
