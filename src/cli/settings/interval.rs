//! Intervals of steps, of time or of both, such as `100`, `10min` or `100,10min`.

use std::fmt;
use std::time::Duration;

/// Names of the units with their seconds, longest first.
const UNITS: [(&str, u64); 3] = [("h", 3600), ("min", 60), ("s", 1)];
/// Maximum time in seconds: a year.
const MAX_SECONDS: u64 = 366 * 86_400;

/// Interval that ends after a number of steps or a time, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Number of steps; `None` for no limit.
    pub steps: Option<u64>,
    /// Time; `None` for no limit.
    pub time: Option<Duration>,
}

impl Interval {
    /// Parses steps, a time, or both with a comma between them. `most` is the maximum number of steps.
    ///
    /// # Errors
    /// The message without the name of the key.
    pub fn parse(text: &str, most: u64) -> Result<Self, String> {
        let mut interval = Self { steps: None, time: None };
        for part in text.split(',') {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            let (number, unit) = part.split_at(digits);
            let Ok(number) = number.parse::<u64>() else { return Err(wrong(most)) };
            let of_unit = UNITS.iter().find(|(name, _)| *name == unit);
            match of_unit {
                None if unit.is_empty() && interval.steps.is_none() && (1..=most).contains(&number) => {
                    interval.steps = Some(number);
                }
                Some((_, each)) if interval.time.is_none() && (1..=MAX_SECONDS / each).contains(&number) => {
                    interval.time = Some(Duration::from_secs(number * each));
                }
                _ => return Err(wrong(most)),
            }
        }
        Ok(interval)
    }
}

fn wrong(most: u64) -> String {
    format!("is no interval; give 1 to {most} steps, a time such as 30s, 10min or 2h, or both, such as 100,10min")
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.map(|time| {
            let seconds = time.as_secs();
            let unit = UNITS.iter().find(|(_, each)| seconds.is_multiple_of(*each));
            unit.map_or(format!("{seconds}s"), |(name, each)| format!("{}{name}", seconds / each))
        });
        let parts: Vec<String> = self.steps.map(|steps| steps.to_string()).into_iter().chain(time).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_steps_times_or_both() {
        let parsed = |text: &str| Interval::parse(text, 1000).map(|interval| (interval.steps, interval.time));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(parsed("100"), Ok((Some(100), None)));
        assert_eq!(parsed("30s"), Ok((None, seconds(30))));
        assert_eq!(parsed("10min"), Ok((None, seconds(600))));
        assert_eq!(parsed("100,2h"), Ok((Some(100), seconds(7200))));
        assert_eq!(parsed("2h,100"), Ok((Some(100), seconds(7200))));
        for (text, shown) in [("90s", "90s"), ("120s", "2min"), ("60min,7", "7,1h"), ("100", "100")] {
            assert_eq!(Interval::parse(text, 1000).unwrap().to_string(), shown);
            let again = Interval::parse(shown, 1000).unwrap();
            assert_eq!(again, Interval::parse(text, 1000).unwrap());
        }
        for text in
            ["", "0", "0s", "1001", "-1", "10m", "10 min", "1.5h", "5,5", "1s,1s", "1,", ",", "h", "99999999h", "ten"]
        {
            let said = parsed(text).unwrap_err();
            assert!(said.contains("1000 steps") && said.contains("100,10min"), "{text}: {said}");
        }
    }
}
