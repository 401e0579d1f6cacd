//! Numbers with their significant digits.

/// Maximum number of decimals printed.
const MOST_DECIMALS: i32 = 12;

/// Number of decimals that shows `digits` significant digits of `value`, at least `least`.
pub(crate) fn decimals(value: f64, digits: i32, least: i32) -> usize {
    // Rounding may carry: 0.00996 with two digits is 0.010, one decimal less.
    let rounded: f64 = format!("{:.*e}", (digits - 1).max(0) as usize, value.abs()).parse().unwrap_or(0.0);
    if rounded == 0.0 || !rounded.is_finite() {
        return least as usize;
    }
    (digits - 1 - rounded.log10().floor() as i32).clamp(least, MOST_DECIMALS) as usize
}

/// Formats a number with `digits` significant digits; very small or large numbers have an exponent.
pub fn significant(value: f64, digits: usize) -> String {
    match value.abs() {
        size if size.is_nan() => "unknown".into(),
        size if size != 0.0 && !(1e-6..1e7).contains(&size) => format!("{value:.*e}", digits - 1),
        _ => format!("{value:.*}", decimals(value, digits as i32, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn significant_digits() {
        for (value, shown) in
            [(0.00312, "0.0031"), (0.0996, "0.10"), (3.21, "3.2"), (12.3, "12"), (1234.5, "1234"), (0.0, "0")]
        {
            assert_eq!(significant(value, 2), shown);
        }
        assert_eq!(significant(3.12e-9, 2), "3.1e-9");
    }
}
