//! Settings of `ketformer bench attention`: kernels, suites, masks, passes and element types.

use std::fs;

use ketformer::arena::{AttentionProblem, Candidate, ForeignKernel, Suite};
use ketformer::bench::{BenchConfig, Subject};
use ketformer::gpu::DType;
use ketformer::{Error, ErrorKind, Result};

use crate::cli::arguments::BenchArguments;

/// Fills in what concerns attention. With `--shape` the only subject is attention.
///
/// # Errors
/// `ErrorKind::Settings` for words that mean nothing and for flags without the subject; `ErrorKind::File` for kernels that
/// cannot be read.
pub fn configure(config: &mut BenchConfig, arguments: &BenchArguments) -> Result<()> {
    let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
    if !config.subjects.contains(&Subject::Attention) {
        let own = ["--kernel", "--baseline", "--suite", "--mask", "--pass", "--dtype", "--timeout", "--min-time"];
        return match arguments.given().into_iter().find(|flag| own.contains(flag)) {
            Some(flag) => {
                error(format!("bench: {flag} belongs to `bench attention`; give that subject or leave it out"))
            }
            None => Ok(()),
        };
    }
    if config.subjects == [Subject::Attention] && !arguments.shape.is_empty() {
        if !arguments.suite.is_empty() {
            return error("bench attention: --suite and --shape both give shapes; leave one of them out".into());
        }
        for word in &arguments.shape {
            let problem = AttentionProblem::parse(word)?;
            config.problems.extend(variations(problem, arguments)?);
        }
        return dtypes_and_kernels(config, arguments);
    }
    if !arguments.suite.is_empty() {
        config.suites.clear();
        for word in &arguments.suite {
            match word.as_str() {
                "all" => config.suites.extend(Suite::ALL),
                word => config.suites.push(word.parse()?),
            }
        }
    }
    config.masks = arguments.mask.iter().map(|word| word.parse()).collect::<Result<_>>()?;
    config.passes = arguments.pass.iter().map(|word| word.parse()).collect::<Result<_>>()?;
    dtypes_and_kernels(config, arguments)
}

/// The problems of a shape: causal unless --mask says otherwise, both passes, for decoding the forward pass.
fn variations(problem: AttentionProblem, arguments: &BenchArguments) -> Result<Vec<AttentionProblem>> {
    let or = |words: &[String], others: &[&str]| match words {
        [] => others.iter().map(|word| word.to_string()).collect(),
        words => words.to_vec(),
    };
    let passes: &[&str] = if problem.is_decode() { &["forward"] } else { &["forward", "forward-backward"] };
    let mut all = Vec::new();
    for mask in or(&arguments.mask, &["causal"]) {
        for pass in or(&arguments.pass, passes) {
            all.push(AttentionProblem { mask: mask.parse()?, pass: pass.parse()?, ..problem });
        }
    }
    Ok(all)
}

fn dtypes_and_kernels(config: &mut BenchConfig, arguments: &BenchArguments) -> Result<()> {
    if !arguments.dtype.is_empty() {
        let dtype = |word: &String| match word.as_str() {
            "f32" => Ok(DType::F32),
            "f16" => Ok(DType::F16),
            _ => Err(Error::new(
                ErrorKind::Settings,
                format!("bench: `{word}` is not an element type; give --dtype f32 or f16"),
            )),
        };
        config.dtypes = arguments.dtype.iter().map(dtype).collect::<Result<_>>()?;
    }
    let mut candidates = Vec::new();
    for word in arguments.kernel.iter().chain(&arguments.baseline) {
        match word.as_str() {
            "ours" => candidates.extend([Candidate::Packed, Candidate::General]),
            "naive" => candidates.push(Candidate::Foreign(ForeignKernel::naive())),
            path => candidates.push(Candidate::Foreign(read(path, &candidates)?)),
        }
    }
    if !arguments.kernel.is_empty() && arguments.baseline.is_empty() {
        candidates.extend([Candidate::Packed, Candidate::General]);
    }
    config.candidates = candidates;
    Ok(())
}

/// The kernel of a file. If another one has its name, its name is the whole path.
fn read(path: &str, others: &[Candidate]) -> Result<ForeignKernel> {
    let text = fs::read_to_string(path).map_err(|e| {
        let message = format!("bench: cannot read {path}; give a WGSL file, or naive or ours as --baseline");
        Error::new(ErrorKind::File, message).caused_by(e)
    })?;
    let kernel = ForeignKernel::new(path, &text);
    let is_taken = others.iter().any(|other| other.name() == kernel.name);
    Ok(if is_taken { ForeignKernel { name: path.into(), ..kernel } } else { kernel })
}
