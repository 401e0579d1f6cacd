//! Formatting of numbers for the terminal.

pub use ketformer::run::{Measurement, duration, relative_error, significant};
use ketformer::vmc::Mean;

/// Final line of `train` and `eval`: `energy -7.2541 ± 0.0004  per site -0.45338  variance 0.0031`.
pub fn energy_line(energy: Measurement, sites: usize, variance: f64) -> String {
    let per_site = energy.mean / sites as f64;
    let decimals = energy.decimals() + 1;
    format!("energy {energy}  per site {per_site:.decimals$}  variance {}", significant(variance, 2))
}

/// A mean and its standard error as JSON.
pub fn pair(mean: Mean) -> serde_json::Value {
    serde_json::json!([mean.value, mean.error])
}

/// Line after [`energy_line`] if the exact energy is known: `exact -7.2546  relative error 7e-5`.
pub fn exact_line(exact: f64, energy: Measurement) -> String {
    let relative = relative_error(energy.mean, exact);
    format!("exact {exact:.*}  relative error {relative:.0e}", energy.decimals())
}

/// Formats a number of bytes with a binary unit: `1.0 GiB`.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (count.max(1).ilog2() / 10).min(units.len() as u32 - 1);
    match power {
        0 => format!("{count} B"),
        _ => format!("{:.1} {}", count as f64 / 1024f64.powi(power as i32), units[power as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_lines_have_their_form() {
        let energy = Measurement { mean: -7.2541, error: 0.0043 };
        assert_eq!(energy_line(energy, 16, 0.00312), "energy -7.2541 ± 0.0043  per site -0.45338  variance 0.0031");
        assert_eq!(exact_line(-7.254611338546482, energy), "exact -7.2546  relative error 7e-5");
    }

    #[test]
    fn bytes_for_people() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(1 << 30)], ["0 B", "1023 B", "1.5 KiB", "1.0 GiB"]);
    }
}
