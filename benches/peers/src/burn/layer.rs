//! Products of a linear layer by burn, with the weight as `nn.Linear` stores it and transposed.

use burn_backend::ops::FloatTensorOps;
use burn_backend::tensor::FloatTensor;
use burn_cubecl::CubeDevice;

use super::{Fused, arranged, form, tensor};
use crate::engine::Prepared;
use crate::work::{Layer, LayerInputs, Product};

/// All variants in which burn computes the product.
pub fn forms(device: &CubeDevice, s: &Layer, product: Product, inputs: &LayerInputs) -> Vec<Prepared> {
    let form = match product {
        Product::Output => output,
        Product::InputGradient => input_gradient,
        Product::WeightGradient => weight_gradient,
    };
    [true, false].map(|as_given| form(device, s, inputs, as_given)).into()
}

fn output(device: &CubeDevice, s: &Layer, inputs: &LayerInputs, as_given: bool) -> Prepared {
    let x = matrix(device, &inputs.x, [s.rows, s.inner]);
    let weight = stored(device, &inputs.weight, [s.columns, s.inner], as_given);
    let name = if as_given { "x·Wᵀ, W transposed by strides" } else { "x·W, W stored (inner, columns)" };
    form::<Fused>(name, device, move || {
        let weight = if as_given { Fused::float_transpose(weight.clone()) } else { weight.clone() };
        vec![Fused::float_matmul(x.clone(), weight)]
    })
}

fn input_gradient(device: &CubeDevice, s: &Layer, inputs: &LayerInputs, as_given: bool) -> Prepared {
    let d_y = matrix(device, &inputs.d_y, [s.rows, s.columns]);
    let weight = stored(device, &inputs.weight, [s.columns, s.inner], as_given);
    let name = if as_given { "d_y·W" } else { "d_y·Wᵀ, W stored (inner, columns)" };
    form::<Fused>(name, device, move || {
        let weight = if as_given { weight.clone() } else { Fused::float_transpose(weight.clone()) };
        vec![Fused::float_matmul(d_y.clone(), weight)]
    })
}

fn weight_gradient(device: &CubeDevice, s: &Layer, inputs: &LayerInputs, as_given: bool) -> Prepared {
    let x = matrix(device, &inputs.x, [s.rows, s.inner]);
    let d_y = matrix(device, &inputs.d_y, [s.rows, s.columns]);
    let name = if as_given { "d_yᵀ·x" } else { "xᵀ·d_y" };
    let call = move || {
        let (x, d_y) = (x.clone(), d_y.clone());
        let d_bias = Fused::float_sum_dim(d_y.clone(), 0);
        let d_weight = if as_given {
            Fused::float_matmul(Fused::float_transpose(d_y), x)
        } else {
            Fused::float_matmul(Fused::float_transpose(x), d_y)
        };
        vec![d_weight, d_bias]
    };
    let (inner, columns) = (s.inner, s.columns);
    arranged::<Fused>(name, device, call, move |read| match read.as_slice() {
        [d_weight, d_bias] if !as_given => vec![transposed(d_weight, inner, columns), d_bias.clone()],
        _ => read,
    })
}

fn matrix(device: &CubeDevice, values: &[f32], sizes: [usize; 2]) -> FloatTensor<Fused> {
    tensor::<Fused, 2>(device, values, sizes)
}

/// Weight as given, (columns, inner), or stored transposed.
fn stored(device: &CubeDevice, values: &[f32], [columns, inner]: [usize; 2], as_given: bool) -> FloatTensor<Fused> {
    if as_given {
        return matrix(device, values, [columns, inner]);
    }
    matrix(device, &transposed(values, columns, inner), [inner, columns])
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::transposed;

    #[test]
    fn matrices_are_transposed() {
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
