//! Launches of a plan as data.

use crate::gpu::plan::Dispatch;
use crate::gpu::{Cost, Plan, WRITE_INDIRECT_ARGS};

/// One launch of a plan.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedLaunch<'a> {
    /// Part of the step, as set by [`Plan::scope`].
    pub scope: &'static str,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Spec constants that the launch replaces.
    pub spec: &'a [(String, u32)],
    /// The shape, as in error messages.
    pub shape: &'a str,
    /// Number of workgroups; dynamic rows count up to their capacity.
    pub workgroups: u64,
    /// Invocations per workgroup.
    pub invocations: u32,
    /// Number of executions per replay.
    pub times: u32,
    /// Arithmetic and memory traffic of one execution.
    pub cost: Cost,
}

impl Plan {
    /// Names of the kernels without duplicates, in order of first use.
    pub fn kernels(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for dispatch in self.dispatches.iter().filter(|d| d.label != WRITE_INDIRECT_ARGS.name) {
            if !names.contains(&dispatch.label) {
                names.push(dispatch.label);
            }
        }
        names
    }

    /// The launches in the order of their execution; a repeated launch is listed once.
    pub fn launches(&self) -> impl Iterator<Item = PlannedLaunch<'_>> {
        self.dispatches.iter().map(|dispatch| {
            let Dispatch { label: kernel, scope, cost, times, ref shape, ref compiled, workgroups, .. } = *dispatch;
            let (spec, invocations) = (&compiled.spec, compiled.reflection.workgroup);
            PlannedLaunch { scope, kernel, spec, shape, workgroups, invocations, times, cost }
        })
    }
}

#[cfg(test)]
impl PlannedLaunch<'_> {
    /// Launch of workgroups of 256 invocations, for tests of what depends on launches.
    pub(crate) fn of_test(workgroups: u64, cost: Cost) -> Self {
        Self { scope: "", kernel: "", spec: &[], shape: "", workgroups, invocations: 256, times: 1, cost }
    }
}
