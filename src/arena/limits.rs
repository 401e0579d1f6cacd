//! Limits of an adapter, to which every row is compared.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gpu::Cost;

/// Maximum rates of an adapter in the probes, and the costs of launches and submissions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Limits {
    /// 10⁹ floating-point operations per second in registers, a multiply-add counting as two.
    pub gflops: f64,
    /// 10⁹ bytes per second of a copy, read and written.
    pub gbytes_per_s: f64,
    /// 10⁹ values per second that lanes read from other lanes; `None` without subgroups of one fixed size.
    pub gshuffles_per_s: Option<f64>,
    /// Microseconds of an empty launch in a pass of many launches.
    pub launch_us: f64,
    /// Microseconds of host time to replay one launch.
    pub host_launch_us: f64,
    /// Microseconds to submit one empty launch and wait for it.
    pub submit_us: f64,
    /// Costs of single operations; those of loads only if they were measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationCost>,
}

/// Cost of a single operation in a probe that does little else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OperationCost {
    /// `multiply-add`, `shuffle`, or the kind of load: `storage f32`, `storage vec4`, `texel vec4`, `uniform vec4`.
    pub operation: String,
    /// 10⁹ operations per second, counted per lane.
    pub g_per_s: f64,
    /// Nanoseconds of one core for the operation of a whole subgroup; only on software adapters with subgroups of one
    /// fixed size.
    pub core_ns: Option<f64>,
}

impl fmt::Display for OperationCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.core_ns {
            Some(ns) if ns >= 10.0 => write!(f, "{ns:.1} ns"),
            Some(ns) => write!(f, "{ns:.2} ns"),
            None => write!(f, "{:.2} G/s", self.g_per_s),
        }
    }
}

impl Limits {
    /// Minimum time for `cost` in percent of `ms` milliseconds; `None` if the cost is zero.
    pub(crate) fn percent(&self, cost: Cost, ms: f64) -> Option<f64> {
        let least_ms = (cost.flops / self.gflops).max(cost.bytes / self.gbytes_per_s) / 1e6;
        Some(100.0 * least_ms / ms).filter(|percent| percent.is_finite() && *percent > 0.0)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits: {:.1} GFLOP/s, {:.1} GB/s, ", self.gflops, self.gbytes_per_s)?;
        if let Some(shuffles) = self.gshuffles_per_s {
            write!(f, "{shuffles:.2} G shuffles/s, ")?;
        }
        write!(
            f,
            "launch {:.2} µs, {:.2} µs of the host, submission {:.1} µs",
            self.launch_us, self.host_launch_us, self.submit_us
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcer_of_arithmetic_and_traffic_counts() {
        let limits = Limits { gflops: 100.0, gbytes_per_s: 10.0, ..Limits::default() };
        let percent = |flops, bytes| limits.percent(Cost { flops, bytes }, 2.0);
        // 10⁸ operations take 1 ms at 100 GFLOP/s, 10⁶ bytes take 0.1 ms at 10 GB/s.
        assert_eq!(percent(1e8, 1e6), Some(50.0));
        assert_eq!(percent(0.0, 1e7), Some(50.0));
        assert_eq!(percent(0.0, 0.0), None);
        assert_eq!(Limits::default().percent(Cost { flops: 1.0, bytes: 1.0 }, 1.0), None);
    }
}
