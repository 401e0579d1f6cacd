//! Ketformer: the calls are recorded once into a plan, which each run replays in one submission.

mod attention;
mod layer;

use ketformer::gpu::{Buffer, Gpu, Plan};

use crate::engine::{Form, Result};
pub use attention::forms as attention_forms;
pub use layer::form as layer_form;

/// Function that records one call.
type Record = Box<dyn Fn(&mut Plan) -> ketformer::Result<()>>;

/// Conversion of the outputs to the layouts of the comparison.
type Arrange = Box<dyn Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>>>;

/// Recorded calls and their buffers.
pub struct Ours {
    gpu: Gpu,
    record: Record,
    plan: Plan,
    calls: usize,
    outputs: Vec<(Buffer, usize)>,
    arrange: Arrange,
}

/// Creates an output whose elements are NaN until a kernel writes them.
fn poisoned(gpu: &Gpu, label: &str, elements: usize) -> ketformer::Result<Buffer> {
    gpu.upload(label, &vec![f32::NAN; elements])
}

impl Ours {
    /// Records one call.
    fn new(
        gpu: &Gpu,
        record: impl Fn(&mut Plan) -> ketformer::Result<()> + 'static,
        outputs: Vec<(Buffer, usize)>,
        arrange: impl Fn(Vec<Vec<f32>>) -> Vec<Vec<f32>> + 'static,
    ) -> Result<Self> {
        let mut plan = Plan::new(gpu);
        record(&mut plan)?;
        let (record, arrange) = (Box::new(record), Box::new(arrange));
        Ok(Self { gpu: gpu.clone(), record, plan, calls: 1, outputs, arrange })
    }
}

impl Form for Ours {
    fn name(&self) -> String {
        self.plan.kernels().join(" ")
    }

    fn run(&mut self, calls: usize) -> Result<()> {
        if calls != self.calls {
            let mut plan = Plan::new(&self.gpu);
            (0..calls).try_for_each(|_| (self.record)(&mut plan))?;
            (self.plan, self.calls) = (plan, calls);
        }
        Ok(self.plan.run()?)
    }

    fn read(&mut self) -> Result<Vec<Vec<f32>>> {
        let read: Result<Vec<Vec<f32>>> =
            self.outputs.iter().map(|(buffer, elements)| Ok(buffer.view().read(&self.gpu, *elements)?)).collect();
        Ok((self.arrange)(read?))
    }
}
