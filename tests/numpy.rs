//! The guide's NumPy code, unchanged. Needs Python with numpy and safetensors, which `.ci/run` installs. To run by
//! hand: `pip install numpy safetensors && cargo test --release --test numpy -- --ignored`.

mod program;

use std::fs;
use std::process::Command;

use program::succeeds;
use tempfile::TempDir;

#[test]
#[ignore = "needs Python with numpy and safetensors; .ci/run installs them and runs it"]
fn the_lines_of_the_guide_read_what_a_run_leaves() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide.md")).unwrap();
    let block = guide.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Python");
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    succeeds(path, "train L=16 K=64 steps=4 seed=1 --ptf patch=2x2 Nh=16 nhead=2 ffn=32 --rydberg V=7");
    succeeds(path, "sample out/1 -n 500 -o spins.npy");
    // Further checks of the arrays.
    let checks = "\
import csv
assert spins.shape == (500, 4, 4) and spins.dtype == np.uint8 and set(np.unique(spins)) <= {0, 1}
log_p = np.load('spins.log_p.npy')
assert log_p.shape == (500,) and log_p.dtype == np.float64 and (log_p < 0).all()
assert metrics.shape == (4, 11)
rows = list(csv.DictReader(open('out/1/metrics.csv')))
columns = ['energy', 'variance', 'magnetization', 'magnetization_variance', 'magnetization_abs',
           'magnetization_abs_variance', 'magnetization_squared', 'magnetization_squared_variance',
           'staggered_signed', 'staggered_signed_variance']
assert (metrics[:, :10] == np.array([[float(row[column]) for column in columns] for row in rows])).all()
assert np.allclose(metrics[:, 10], np.cumsum([float(row['seconds']) for row in rows]))
# |M| <= 16, M^2 = mean^2 + variance, and the density is that of M.
assert (metrics[:, 4] <= 16).all() and np.allclose(metrics[:, 6], metrics[:, 2]**2 + metrics[:, 3] * 63 / 64, rtol=1e-4)
assert np.allclose([float(row['density']) for row in rows], (metrics[:, 2] / 16 + 1) / 2, rtol=1e-5)
assert weights and all(array.dtype == np.float32 for array in weights.values())
";
    let python = std::env::var("KETFORMER_PYTHON").unwrap_or("python3".into());
    let output = Command::new(python).args(["-c", &format!("{block}{checks}")]).current_dir(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!output.stdout.is_empty(), "the lines print nothing");
}
