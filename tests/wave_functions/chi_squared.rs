//! Pearson's chi-squared test of frequencies against probabilities.

/// p-value: probability of frequencies at least as far from `p` as those of `counts`. Outcomes expected fewer than 5
/// times are merged.
pub fn chance(counts: &[u64], p: &[f64]) -> f64 {
    assert_eq!(counts.len(), p.len());
    let samples = counts.iter().sum::<u64>() as f64;
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let mut bins: Vec<[f64; 2]> = vec![[0.0; 2]];
    for outcome in order {
        if bins.last().is_some_and(|bin| bin[1] >= 5.0) {
            bins.push([0.0; 2]);
        }
        let last = bins.len() - 1;
        bins[last][0] += counts[outcome] as f64;
        bins[last][1] += samples * p[outcome];
    }
    // The last bin, of the least likely outcomes, may have too small an expectation.
    if let [.., before, last] = &mut bins[..]
        && last[1] < 5.0
    {
        *before = [before[0] + last[0], before[1] + last[1]];
        bins.pop();
    }
    assert!(bins.len() > 1, "too few samples for a test");
    let distance = bins.iter().map(|[seen, expected]| (seen - expected).powi(2) / expected).sum();
    tail(distance, (bins.len() - 1) as f64)
}

/// P(χ² ≥ x) with `freedom` degrees of freedom, Q(freedom/2, x/2): a series below the mean, a continued fraction above.
fn tail(x: f64, freedom: f64) -> f64 {
    let (a, x) = (0.5 * freedom, 0.5 * x);
    if x.is_nan() {
        return 0.0;
    }
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > 1e-16 * sum {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return 1.0 - scale * sum;
    }
    // Lentz's method.
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..100_000 {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    scale * fraction
}

/// ln Γ(a) by Stirling's series, after the recurrence has raised `a` to 10 or more.
fn ln_gamma(a: f64) -> f64 {
    let (mut a, mut shift) = (a, 0.0);
    while a < 10.0 {
        shift += a.ln();
        a += 1.0;
    }
    let series = 1.0 / (12.0 * a) - 1.0 / (360.0 * a.powi(3)) + 1.0 / (1260.0 * a.powi(5)) - 1.0 / (1680.0 * a.powi(7));
    (a - 0.5) * a.ln() - a + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// Closed forms: two degrees of freedom give e^(−x/2), four (1 + x/2) e^(−x/2); one gives quantiles of the normal
/// distribution.
#[test]
fn tails_are_those_of_the_distribution() {
    for x in [0.1, 1.0, 3.9, 4.1, 20.0, 60.0] {
        let half = 0.5f64 * x;
        assert!((tail(x, 2.0) / (-half).exp() - 1.0).abs() < 1e-8, "{x}");
        assert!((tail(x, 4.0) / ((1.0 + half) * (-half).exp()) - 1.0).abs() < 1e-8, "{x}");
    }
    assert!((tail(1.959_963_985f64.powi(2), 1.0) - 0.05).abs() < 1e-8);
    assert!((tail(2.575_829_304f64.powi(2), 1.0) - 0.01).abs() < 1e-8);
    // The median of many degrees of freedom is close to n (1 − 2/(9n))³.
    for freedom in [30.0f64, 1000.0, 20_000.0] {
        let median = freedom * (1.0 - 2.0 / (9.0 * freedom)).powi(3);
        assert!((tail(median, freedom) - 0.5).abs() < 1e-3, "{freedom}");
    }
}

#[test]
fn frequencies_are_accepted_or_rejected() {
    let p = [0.5, 0.3, 0.199, 0.001];
    assert!(chance(&[500, 300, 199, 1], &p) > 0.99);
    assert!(chance(&[520, 290, 189, 1], &p) > 0.1);
    assert!(chance(&[600, 250, 150, 0], &p) < 1e-6);
}
