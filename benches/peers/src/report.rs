//! Report of the comparison: table and JSON file, with provenance.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Measured variant of an engine.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Name of the variant.
    pub form: String,
    /// Milliseconds per call after warm-up, waiting for each call.
    pub ms: Option<f64>,
    /// Reason why it is excluded.
    pub error: Option<String>,
}

/// Times of one engine in one benchmark.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Launched kernels or burn variant.
    pub form: String,
    /// Median in milliseconds per call.
    pub median_ms: f64,
    /// Interquartile range divided by the median.
    pub spread: f64,
    /// 10⁹ floating-point operations per second.
    pub gflops: f64,
    /// Largest error against 64-bit sums, divided by the largest magnitude.
    pub max_error: f64,
    /// Milliseconds per call of each run, in order.
    pub runs_ms: Vec<f64>,
}

/// Row of the comparison. A benchmark that is wrong or cannot run has an error and no times.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub work: String,
    pub shape: String,
    pub ours: Option<Side>,
    pub burn: Option<Side>,
    /// Median of the ratio of burn's time to ours in the same round: above 1 ours is faster.
    pub ratio: Option<f64>,
    /// Quartiles of that ratio.
    pub ratio_quartiles: Option<[f64; 2]>,
    /// Number of calls per run.
    pub calls: usize,
    /// Largest difference between the two engines, divided by the largest magnitude.
    pub difference: Option<f64>,
    /// Variants of burn, as measured before.
    pub tried: Vec<Tried>,
    pub error: Option<String>,
}

/// Report of all benchmarks.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Start time, UTC.
    pub date: String,
    pub adapter: String,
    pub driver: String,
    /// Commit of ketformer.
    pub ketformer: String,
    pub burn: String,
    pub burn_compiler: String,
    /// wgpu versions of ketformer and of burn.
    pub wgpu: [String; 2],
    /// Number of rounds per benchmark.
    pub runs: usize,
    /// Load averages at the start and at the end, if the system reports them.
    pub load: [Option<f64>; 2],
    pub rows: Vec<Row>,
}

/// Versions of a package in the lock file, ascending.
pub fn versions(package: &str) -> Vec<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let mut lines = lock.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line == format!("name = \"{package}\"") {
            found.extend(lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')));
        }
    }
    found
}

/// Load average over the last minute.
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Current time, as 2026-01-31T12:34:56Z.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds)
}

/// Calendar date of seconds since 1970: Richards' algorithm for the Gregorian calendar.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let julian = days + 2_440_588;
    let f = julian + 1401 + (4 * julian + 274_277) / 146_097 * 3 / 4 - 38;
    let e = 4 * f + 3;
    let h = 5 * (e % 1461 / 4) + 2;
    let (day, month) = (h % 153 / 5 + 1, (h / 153 + 2) % 12 + 1);
    let year = e / 1461 - 4716 + (14 - month) / 12;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
}

impl Row {
    /// Result as text, printed while later benchmarks run.
    pub fn line(&self) -> String {
        let tried = |tried: &Tried| {
            let ms = tried.ms.map_or_else(String::new, |ms| format!("{ms:.3} ms"));
            let error = tried.error.as_ref().map_or_else(String::new, |error| format!("; excluded, {error}"));
            format!("    burn, {}: {ms}{error}\n", tried.form)
        };
        let ms = |side: &Option<Side>| cell(side.as_ref().map(|side| side.median_ms), 3);
        let found = match &self.error {
            Some(error) => format!("    {error}"),
            None => {
                let (ours, burn, ratio) = (ms(&self.ours), ms(&self.burn), cell(self.ratio, 2));
                format!("    ours {ours} ms, burn {burn} ms, burn/ours {ratio}; {} calls per run", self.calls)
            }
        };
        self.tried.iter().map(tried).collect::<String>() + &found
    }

    fn cells(&self) -> [String; 10] {
        let (ours, burn) = (self.ours.as_ref(), self.burn.as_ref());
        let ms = |side: Option<&Side>| {
            side.map_or_else(|| "-".into(), |s| format!("{:.3} ±{:.0} %", s.median_ms, 50.0 * s.spread))
        };
        let quartiles =
            self.ratio_quartiles.map_or_else(String::new, |[low, high]| format!(" ({low:.2} to {high:.2})"));
        [
            self.work.clone(),
            self.shape.clone(),
            ms(ours),
            ms(burn),
            cell(ours.map(|s| s.gflops), 1),
            cell(burn.map(|s| s.gflops), 1),
            cell(self.ratio, 2) + &quartiles,
            ours.map_or_else(|| "-".into(), |s| format!("{:.0e}", s.max_error)),
            burn.map_or_else(|| "-".into(), |s| format!("{:.0e}", s.max_error)),
            self.error.clone().unwrap_or_else(|| burn.map_or_else(String::new, |s| s.form.clone())),
        ]
    }
}

impl Report {
    /// Whether a row has an error instead of times.
    pub fn has_errors(&self) -> bool {
        self.rows.iter().any(|row| row.error.is_some())
    }

    /// Formats the rows as an aligned Markdown table, with the provenance below.
    pub fn table(&self) -> String {
        let header = [
            "work",
            "shape",
            "ours, ms",
            "burn, ms",
            "ours, GFLOP/s",
            "burn, GFLOP/s",
            "burn/ours",
            "our error",
            "its error",
            "burn's variant",
        ];
        let mut rows = vec![header.map(String::from)];
        rows.extend(self.rows.iter().map(Row::cells));
        let widths: [usize; 10] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3));
        let line = |row: &[String; 10]| {
            let cell = |column: usize| {
                let (text, width) = (&row[column], widths[column]);
                if (2..9).contains(&column) { format!(" {text:>width$} |") } else { format!(" {text:<width$} |") }
            };
            format!("|{}", (0..10).map(cell).collect::<String>())
        };
        let rule = |column: usize| {
            let end = if (2..9).contains(&column) { ":" } else { "-" };
            format!("{}{end}|", "-".repeat(widths[column] + 1))
        };
        let mut lines = vec![line(&rows[0]), format!("|{}", (0..10).map(rule).collect::<String>())];
        lines.extend(rows[1..].iter().map(line));
        let [before, after] = self.load.map(|load| cell(load, 2));
        lines.push(String::new());
        lines.push(format!(
            "{}; {}; ketformer {} on wgpu {}; burn {} ({}) on wgpu {}; {}; {} rounds per benchmark; load {before} \
             before, {after} after",
            self.adapter,
            self.driver,
            self.ketformer,
            self.wgpu[0],
            self.burn,
            self.burn_compiler,
            self.wgpu[1],
            self.date,
            self.runs,
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(date(1_798_761_599), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn the_lock_file_names_both_engines() {
        assert_eq!(versions("burn-wgpu").len(), 1);
        assert_eq!(versions("wgpu").len(), 2, "{:?}", versions("wgpu"));
    }
}
