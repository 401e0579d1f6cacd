//! Sizes in bytes for `--memory SIZE`, such as 1GiB, 512MiB, 1G or 2e9.

/// Parses a size in bytes. K, M, G, T and KiB, MiB, … are powers of 1024; KB, MB, … are powers of 1000.
///
/// # Errors
/// A one-line message with an example.
pub fn parse(text: &str) -> Result<u64, String> {
    const EXAMPLE: &str = "give for example 512MiB or 2GiB";
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..unit].trim(), text[unit..].to_ascii_lowercase());
    let number: f64 = number.parse().map_err(|_| format!("not a size in bytes; {EXAMPLE}"))?;
    let power = |prefix: &str| ["", "k", "m", "g", "t"].iter().position(|known| *known == prefix);
    let factor = match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
        (Some(prefix), _) => power(prefix).filter(|power| *power > 0).map(|power| 1024f64.powi(power as i32)),
        (None, Some(prefix)) => power(prefix).map(|power| 1000f64.powi(power as i32)),
        (None, None) => power(&unit).map(|power| 1024f64.powi(power as i32)),
    };
    let bytes = number * factor.ok_or_else(|| format!("unit `{unit}` is not known; {EXAMPLE}"))?;
    match bytes {
        // Below one byte, which includes negative sizes.
        bytes if bytes < 1.0 => Err(format!("expected at least one byte; {EXAMPLE}")),
        // f64 is exact up to here, far above the memory of any adapter.
        bytes if bytes <= 2f64.powi(53) => Ok(bytes as u64),
        _ => Err(format!("more than any adapter has; {EXAMPLE}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::settings::memory_size::parse;

    #[test]
    fn sizes_are_read_in_the_usual_units() {
        for (text, bytes) in [
            ("1GiB", 1 << 30),
            ("512MiB", 512 << 20),
            ("1G", 1 << 30),
            ("1.5g", 3 << 29),
            ("64 KiB", 65536),
            ("2GB", 2_000_000_000),
            ("100b", 100),
            ("1048576", 1 << 20),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "GiB", "-1GiB", "0", "nan", "inf", "1e30", "1XiB", "1iB", "lots", "99999999TiB"] {
            assert!(parse(text).unwrap_err().contains("512MiB"), "{text}");
        }
    }
}
