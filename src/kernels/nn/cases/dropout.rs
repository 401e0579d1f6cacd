//! Test cases of [`crate::kernels::nn::dropout`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::nn::dropout::{DROPOUT, Dropout, DropoutShape, dropout_mask};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry = Entry { kernel: &DROPOUT, summary: "y = residual + x · mask / (1 − rate)", cases };

/// Words of the step.
const STEP: [u32; 4] = [0x1234_5678, 0x9abc_def0, 17, 0];

fn cases(_: &Gpu) -> Vec<Case> {
    let shapes = [
        (4, 0.1, 0, 0),
        (252, 0.5, 3, 5),
        (256, 0.0, 1, 0),
        (260, 0.999_999, 2, 0),
        (70_012, 0.2, 24, u32::MAX - 100),
        (1_048_580, 0.1, 7, 1),
    ];
    let shapes = shapes.map(|(elements, rate, site, first)| DropoutShape { elements, rate, site, first });
    let small = shapes[..5].iter().flat_map(|shape| {
        [(false, false), (true, false), (false, true), (true, true)]
            .map(|(has_residual, in_place)| case(*shape, has_residual, in_place))
    });
    small.chain([case(shapes[5], true, false)]).collect()
}

fn case(shape: DropoutShape, has_residual: bool, in_place: bool) -> Case {
    let mut random = RandomInputs::new(shape.elements);
    let [x, residual] = [(), ()].map(|()| random.floats(shape.elements as usize));
    let mask = dropout_mask(STEP, &shape);
    let added = |residual: f64| if has_residual { residual } else { 0.0 };
    let y = wide(&x).into_iter().zip(wide(&residual)).zip(mask).map(|((x, residual), mask)| added(residual) + x * mask);
    let expected = Expected::Near { values: y.collect(), tolerance: 2e-7 };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let buffers = if in_place { buffers.with("x", &buffers.view("y")?) } else { buffers.clone() };
        let mut dropout = Dropout::from_case(&buffers)?;
        dropout.residual = dropout.residual.filter(|_| has_residual);
        dropout.record(plan, &shape)
    };
    let name = if in_place { "y" } else { "x" };
    Case {
        name: format!("{shape:?} residual {has_residual} in place {in_place}"),
        inputs: vec![(name, x.into()), ("residual", residual.into()), ("step", STEP.to_vec().into())],
        outputs: vec![("y", expected)],
        record: Box::new(record),
    }
}
