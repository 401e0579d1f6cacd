//! Times of causal attention, forward and backward, at the shapes of transformer wave functions.
//!
//! cargo run --release --example profile

use ketformer::Gpu;
use ketformer::gpu::{Plan, Profile};
use ketformer::kernels::RandomInputs;
use ketformer::kernels::attention::{AttentionBackward, AttentionForward, AttentionShape};

fn main() -> ketformer::Result<()> {
    let gpu = Gpu::new()?;
    println!("{}", gpu.info().name);
    for (b, h, t, d) in [(256u32, 8u32, 16u32, 16u32), (64, 8, 64, 16), (256, 8, 4, 4)] {
        let (rows, width) = (u64::from(b * t), u64::from(h * d));
        let mut random = RandomInputs::new(1);
        let qkv = gpu.upload("qkv", &random.floats((rows * 3 * width) as usize))?.view();
        let d_out = gpu.upload("d_out", &random.floats((rows * width) as usize))?.view();
        let (out, d_qkv) = (gpu.buffer("out", rows * width)?.view(), gpu.buffer("d_qkv", rows * 3 * width)?.view());
        let (lse, delta) =
            (gpu.buffer("lse", rows * u64::from(h))?.view(), gpu.buffer("delta", rows * u64::from(h))?.view());
        let shape = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
        let mut plan = Plan::new(&gpu);
        AttentionForward { qkv: qkv.clone(), out: out.clone(), lse: lse.clone() }.record(&mut plan, &shape)?;
        AttentionBackward { qkv, out, lse, d_out, delta, d_qkv }.record(&mut plan, &shape)?;
        println!("\n{b} samples, {h} heads, {t} tokens, head width {d}");
        for row in &plan.profile(Profile { warmup: 3, runs: 20 })? {
            println!("{row}");
        }
    }
    Ok(())
}
