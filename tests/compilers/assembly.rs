//! The hot loop of a kernel in the assembly of AMD's compiler.
//!
//! Cycles are those of a subgroup of 64 lanes on a SIMD of 32: two per vector instruction, eight per transcendental
//! function or multiplication of integers. Workgroup memory delivers 128 bytes per cycle to the two SIMDs of a compute
//! unit. A subgroup that is alone waits 400 cycles for memory, 100 for scalar loads and 70 for workgroup memory (AMD,
//! RDNA 2 instruction set and optimization guides; rounded).

use ketformer::bench::CompilerStatistics;

/// Instructions between a label and the branch back to it.
#[derive(Debug, Clone, Copy, Default)]
pub struct HotLoop {
    /// Number of 32-bit multiply-adds.
    pub multiply_adds: u32,
    /// Cycles of vector instructions.
    pub vector_cycles: u32,
    /// Cycles of workgroup memory.
    pub memory_cycles: u32,
    /// Cycles that a subgroup waits if no other hides them.
    pub wait_cycles: u32,
}

/// A label and the instructions that follow it.
type Block<'a> = (&'a str, Vec<&'a str>);

fn blocks(assembly: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in assembly.lines() {
        let code = line.split(';').next().unwrap_or_default().trim();
        if let Some((label, _)) = code.split_once(':').filter(|(label, _)| label.starts_with("BB")) {
            blocks.push((label, Vec::new()));
        } else if let Some((_, instructions)) = blocks.last_mut().filter(|_| line.starts_with('\t') && !code.is_empty())
        {
            instructions.push(code);
        }
    }
    blocks
}

/// Ranges of blocks from the target of a backward branch to the branch, without those that contain another.
fn innermost_loops(blocks: &[Block<'_>]) -> Vec<(usize, usize)> {
    let number = |label: &str| label.trim_start_matches("BB").parse::<u32>().unwrap_or(u32::MAX);
    let mut loops = Vec::new();
    for (end, (_, instructions)) in blocks.iter().enumerate() {
        for instruction in instructions.iter().filter(|i| i.starts_with("s_branch") || i.starts_with("s_cbranch")) {
            let Some(target) = instruction.split_whitespace().nth(1).filter(|label| label.starts_with("BB")) else {
                continue;
            };
            // Labels without instructions may be missing.
            let start = blocks.iter().position(|(label, _)| number(label) >= number(target));
            loops.extend(start.filter(|start| *start <= end).map(|start| (start, end)));
        }
    }
    let contains = |a: &(usize, usize), b: &(usize, usize)| a != b && a.0 <= b.0 && b.1 <= a.1;
    let all = loops.clone();
    loops.retain(|outer| !all.iter().any(|inner| contains(outer, inner)));
    loops
}

/// Bytes per lane of a load from workgroup memory.
fn loaded_bytes(operation: &str) -> u32 {
    let bits = operation.rsplit("_b").next().and_then(|bits| bits.parse::<u32>().ok()).unwrap_or(32);
    let pair = operation.contains("read2") || operation.contains("load_2addr") || operation.contains("load2");
    bits / 8 * if pair { 2 } else { 1 }
}

impl HotLoop {
    fn of_instructions(instructions: &[&str]) -> Self {
        let mut hot = Self::default();
        let (mut memory, mut shared, mut scalar) = (false, false, false);
        for instruction in instructions {
            let operation = instruction.split_whitespace().next().unwrap_or_default();
            let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| operation.starts_with(prefix));
            if operation.starts_with("v_") {
                let is_slow = starts(&[
                    "v_exp_",
                    "v_log_",
                    "v_rcp_",
                    "v_rsq_",
                    "v_sqrt_",
                    "v_sin_",
                    "v_cos_",
                    "v_mul_lo_u32",
                    "v_mul_hi_",
                    "v_mad_u64_u32",
                ]);
                hot.vector_cycles += if is_slow { 8 } else { 2 };
                let is_multiply_add = |word: &str| {
                    let name = word.trim_start_matches("v_dual_").trim_start_matches("v_").trim_start_matches("pk_");
                    ["fma_f32", "fmac_f32", "fmaak_f32", "fmamk_f32", "mad_f32", "mac_f32", "madmk_f32", "madak_f32"]
                        .iter()
                        .any(|known| name.starts_with(known))
                };
                hot.multiply_adds += instruction.split_whitespace().filter(|word| is_multiply_add(word)).count() as u32;
            } else if starts(&["ds_bpermute", "ds_permute", "ds_swizzle"]) {
                hot.memory_cycles += 4;
            } else if starts(&["ds_read", "ds_load"]) {
                hot.memory_cycles += loaded_bytes(operation);
                shared = true;
            } else if starts(&["buffer_load", "global_load", "flat_load", "scratch_load"]) {
                memory = true;
            } else if starts(&["s_load", "s_buffer_load"]) {
                scalar = true;
            } else if operation.starts_with("s_wait") {
                if memory && (instruction.contains("vmcnt") || instruction.contains("loadcnt")) {
                    hot.wait_cycles += 400;
                    memory = false;
                }
                if (shared || scalar) && instruction.contains("lgkmcnt") {
                    hot.wait_cycles += if scalar { 100 } else { 70 };
                    (shared, scalar) = (false, false);
                }
            }
        }
        hot
    }

    /// The innermost loop with most multiply-adds, if it has at least eight.
    pub fn of(assembly: &str) -> Option<Self> {
        let blocks = blocks(assembly);
        let instructions = |(start, end): (usize, usize)| {
            let all: Vec<&str> = blocks[start..=end].iter().flat_map(|(_, all)| all.iter().copied()).collect();
            Self::of_instructions(&all)
        };
        let all = innermost_loops(&blocks).into_iter().map(instructions);
        all.max_by_key(|hot| hot.multiply_adds).filter(|hot| hot.multiply_adds >= 8)
    }

    /// Share of multiply-adds in the cycles of vector instructions.
    pub fn issue(&self) -> f64 {
        f64::from(2 * self.multiply_adds) / f64::from(self.vector_cycles)
    }

    /// Cycles of workgroup memory per cycle of multiply-adds.
    pub fn workgroup_memory(&self) -> f64 {
        f64::from(self.memory_cycles) / f64::from(2 * self.multiply_adds)
    }

    /// As statistics for predictions; `subgroups` of 64 lanes fit onto a SIMD of 32.
    pub fn statistics(&self, (kernel, spec): &super::Form, subgroups: u64) -> CompilerStatistics {
        // A subgroup of 64 lanes is two invocations per lane.
        let waits = f64::from(self.wait_cycles) / f64::from(self.vector_cycles);
        CompilerStatistics {
            kernel: kernel.clone(),
            spec: spec.clone(),
            issue: self.issue(),
            workgroup_memory: self.workgroup_memory(),
            latency: 2.0 * (1.0 + waits) - 1.0,
            occupancy: 2.0 * subgroups as f64,
        }
    }
}

#[test]
fn the_hot_loop_is_the_innermost_with_most_multiply_adds() {
    let multiply_adds = "\tv_fma_f32 v1, v2, v3, v1 ; 00\n".repeat(12);
    let assembly = format!(
        "BB0:\n\ts_mov_b32 s0, 0\nBB1:\n\tbuffer_load_dwordx4 v[0:3], v4, s[0:3], 0\nBB2:\n\tds_read_b128 v[4:7], v0\n\
         \ts_waitcnt lgkmcnt(0)\n{multiply_adds}\tv_exp_f32_e32 v0, v1\n\tv_add_f32 v0, v0, v1\n\ts_cbranch_scc1 BB2\n\
         BB4:\n\ts_branch BB1\nBB5:\n\ts_endpgm\n"
    );
    let hot = HotLoop::of(&assembly).unwrap();
    assert_eq!([hot.multiply_adds, hot.vector_cycles, hot.memory_cycles, hot.wait_cycles], [12, 24 + 8 + 2, 16, 70]);
    assert!(HotLoop::of("BB0:\n\tv_fma_f32 v0, v1, v2, v0\n\ts_endpgm\n").is_none());
}
