//! Autoregressive process with known correlations, for tests.

use crate::kernels::RandomInputs;

/// Returns chains of x_{k+1} = φ x_k + noise, with ρ(t) = φ^t and τ = ½ (1 + φ)/(1 − φ).
pub(super) fn autoregression(count: usize, length: usize, phi: f64) -> Vec<Vec<f64>> {
    const FORGOTTEN: usize = 200;
    let mut random = RandomInputs::new(17);
    let mut chain = || {
        let mut x = 0.0;
        let mut next = |noise: f32| {
            x = phi * x + f64::from(noise);
            x
        };
        let all: Vec<f64> = random.floats(length + FORGOTTEN).into_iter().map(&mut next).collect();
        all[FORGOTTEN..].to_vec()
    };
    (0..count).map(|_| chain()).collect()
}

/// Returns τ of [`autoregression`].
pub(super) fn exact_time(phi: f64) -> f64 {
    0.5 * (1.0 + phi) / (1.0 - phi)
}
