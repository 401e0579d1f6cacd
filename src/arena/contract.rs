//! Binding contract of a third-party kernel: a WGSL file, and the names that it must contain.
//!
//! | in the file | meaning |
//! |---|---|
//! | bindings `q`, `k`, `v` | inputs (B, H, S, D), (B, HK, SK, D), (B, HK, SK, D), contiguous, f32 or f16, also in vectors |
//! | `o`, `lse` | outputs (B, H, S, D), and (B, H, S) in f32: log Σ exp, if there is one |
//! | `d_o`; `d_q`, `d_k`, `d_v` | gradient of the output; gradients of the inputs |
//! | other storage buffers | scratch, with `const elements_NAME = …;` elements; holds any bits at first |
//! | `override` or `const … // spec` named `B`, `H`, `HK`, `S`, `SK`, `D`, `CAUSAL` | sizes; `CAUSAL` as bool or 0 and 1 |
//! | `var<uniform> params` | a struct with members of these names, and `SCALE` = 1/√D, instead of constants |
//! | `const grid = vec3u(…);`, `grid_NAME` for the entry point `NAME` | workgroups, a constant expression of the sizes |
//! | `// grid: x, y, z`, `// grid NAME: x, y, z`, `// elements NAME: n` | the same in comments, for sizes that are `override` |
//! | entry points `main` or `forward…`, and `backward…` | launched in the order of the file |
//! | `const_assert …;` | a shape for which it fails is not supported |
//!
//! Names of bindings may have other case and no underscores, as `dQ`. `out` is `o`. Buffers are bound in group 0.
//!
//! A kernel for both element types has `const BITS: u32 = 32u; // spec 16` and `alias T = f32; // f16 if BITS is 16`.

use naga::proc::TypeResolution;
use naga::{AddressSpace, Expression, Literal, Scalar, StorageAccess, TypeInner};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::problem::{AttentionProblem, Mask, Pass};
use super::row::Status;
use super::scan;
use crate::gpu::{DType, Kernel, Param};
use crate::kernels::device::probe::MOST_ITERATIONS;

/// Tensor of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tensor {
    Q,
    K,
    V,
    O,
    Lse,
    DO,
    DQ,
    DK,
    DV,
}

impl Tensor {
    /// The tensor that a binding of this name is.
    fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase().replace('_', "");
        let names = [
            ("q", Self::Q),
            ("k", Self::K),
            ("v", Self::V),
            ("o", Self::O),
            ("out", Self::O),
            ("lse", Self::Lse),
            ("do", Self::DO),
            ("dout", Self::DO),
            ("dq", Self::DQ),
            ("dk", Self::DK),
            ("dv", Self::DV),
        ];
        names.iter().find(|(known, _)| *known == name).map(|(_, tensor)| *tensor)
    }

    /// Whether kernels write it.
    pub(super) fn is_output(self) -> bool {
        !matches!(self, Self::Q | Self::K | Self::V | Self::DO)
    }

    pub(super) fn elements(self, problem: &AttentionProblem) -> u64 {
        let [q, k] = problem.elements();
        match self {
            Self::Q | Self::O | Self::DO | Self::DQ => q,
            Self::K | Self::V | Self::DK | Self::DV => k,
            Self::Lse => problem.query_rows(),
        }
    }

    pub(super) fn dtype(self, problem: &AttentionProblem) -> DType {
        if self == Self::Lse { DType::F32 } else { problem.dtype }
    }
}

/// Buffer of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Tensor(Tensor),
    /// Scratch of this many 32-bit words.
    Scratch(u64),
}

/// Launch of an entry point.
#[derive(Debug, Clone)]
pub(super) struct ForeignLaunch {
    pub kernel: Kernel,
    pub grid: [u32; 3],
    /// Names in the file, with what they are.
    pub bindings: Vec<(String, Bound)>,
    pub params: Vec<(&'static str, Param)>,
}

/// Why a kernel cannot be launched.
#[derive(Debug, Clone)]
pub(super) struct Rejection {
    pub status: Status,
    pub message: String,
}

impl Rejection {
    pub(super) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn compile(message: impl Into<String>) -> Self {
        Self::new(Status::CompileError, message)
    }
}

/// Third-party kernel: name and WGSL text. The text is checked for each problem, see the module documentation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForeignKernel {
    /// Name in rows, usually the stem of the file.
    pub name: String,
    /// Path in messages.
    pub file: String,
    /// WGSL text.
    pub text: String,
}

impl ForeignKernel {
    /// A kernel from the text of `file`, whose stem is its name.
    pub fn new(file: &str, text: &str) -> Self {
        let last = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let name = last.strip_suffix(".wgsl").unwrap_or(last);
        Self { name: name.into(), file: file.into(), text: text.into() }
    }

    /// One query per invocation, one key after the other: what a first version looks like.
    pub fn naive() -> Self {
        const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kernels/naive.wgsl"));
        Self::new("examples/kernels/naive.wgsl", TEXT)
    }

    /// SHA-256 of the text in hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The launches of `problem`, in order.
    pub(super) fn launches(&self, problem: &AttentionProblem) -> Result<Vec<ForeignLaunch>, Rejection> {
        Specialized::new(self, problem, false)?.launches()
    }

    /// The launches of a kernel whose loops count their turns, in a scratch buffer of [`TURNS`] that is not 0 after an
    /// invocation with more than [`MOST_ITERATIONS`].
    pub(super) fn counting_launches(&self, problem: &AttentionProblem) -> Result<Vec<ForeignLaunch>, Rejection> {
        Specialized::new(self, problem, true)?.launches()
    }
}

/// Name of the buffer that turns of loops are reported in.
pub(super) const TURNS: &str = "ketformer_turns";

/// Declarations for loops that count their turns.
fn turns_text() -> String {
    format!(
        "\n@group(0) @binding(900) var<storage, read_write> {TURNS}: array<u32>;\nconst elements_{TURNS}: u32 = 4u;\n\
         var<private> ketformer_count: u32;\nfn ketformer_turn() {{ ketformer_count += 1u; \
         if (ketformer_count > {MOST_ITERATIONS}u) {{ {TURNS}[0] = 1u; }} }}\n"
    )
}

/// Constants for the lines `// grid: x, y, z`, `// grid NAME: x, y, z` and `// elements NAME: n` of a file.
fn header_constants(text: &str) -> String {
    let constant = |line: &str| {
        let (head, value) = line.trim().strip_prefix("//")?.split_once(':')?;
        let value = value.trim();
        Some(match head.split_whitespace().collect::<Vec<_>>()[..] {
            ["grid"] => format!("const grid = array<u32, {}>({value});\n", value.split(',').count()),
            ["grid", entry] => format!("const grid_{entry} = array<u32, {}>({value});\n", value.split(',').count()),
            ["elements", name] => format!("const elements_{name} = u32({value});\n"),
            _ => return None,
        })
    };
    let constants: String = text.lines().filter_map(constant).collect();
    if constants.is_empty() { constants } else { format!("\n{constants}") }
}

/// The text for one problem, parsed and validated.
struct Specialized<'a> {
    kernel: &'a ForeignKernel,
    problem: &'a AttentionProblem,
    text: String,
    module: naga::Module,
}

/// Value of a constant of the contract.
fn size(problem: &AttentionProblem, name: &str) -> Option<u32> {
    Some(match name {
        "B" => problem.samples,
        "H" => problem.heads,
        "HK" => problem.key_heads,
        "S" => problem.queries,
        "SK" => problem.keys,
        "D" => problem.width,
        "CAUSAL" => u32::from(problem.mask == Mask::Causal),
        "BITS" => problem.dtype.bits(),
        _ => return None,
    })
}

const SIZES: [&str; 8] = ["B", "H", "HK", "S", "SK", "D", "CAUSAL", "BITS"];

impl<'a> Specialized<'a> {
    fn new(kernel: &'a ForeignKernel, problem: &'a AttentionProblem, counts_turns: bool) -> Result<Self, Rejection> {
        // naga knows subgroups without the directive that browsers require.
        let directive = "enable subgroups;";
        let text = kernel.text.replace(directive, &" ".repeat(directive.len()));
        let types = override_types(&text);
        let value = |declaration: &scan::Override| {
            let value = size(problem, &declaration.name)?;
            let ty = declaration
                .ty
                .as_deref()
                .or_else(|| types.iter().find(|(name, _)| *name == declaration.name).map(|(_, ty)| *ty));
            Some(match ty {
                Some("bool") => (value != 0).to_string(),
                Some(ty) => format!("{ty}({value})"),
                None => format!("{value}u"),
            })
        };
        let mut text = scan::with_constants(&text, value).map_err(|name| {
            let known = SIZES.join(", ");
            Rejection::compile(format!("{}: override `{name}` has no value; give it one, or use {known}", kernel.file))
        })?;
        if counts_turns {
            text = scan::in_loops(&text, "ketformer_turn();") + &turns_text();
        }
        text += &header_constants(&kernel.text);
        let source = Kernel::from_text(&kernel.name, &text);
        let rejected = |e: crate::Error| Rejection::compile(e.to_string());
        let constants = source.spec_constants().map_err(rejected)?;
        let values: Vec<(&str, u32)> = constants
            .iter()
            .filter_map(|constant| Some((constant.name.as_str(), size(problem, &constant.name)?)))
            .collect();
        let text = source.assemble(&values).map_err(rejected)?;
        let module = kernel.parse(&text)?;
        Ok(Self { kernel, problem, text, module })
    }

    /// The value of a constant, as unsigned numbers.
    fn constant(&self, name: &str) -> Option<Vec<u32>> {
        let (_, constant) =
            self.module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name))?;
        self.numbers(constant.init)
    }

    fn numbers(&self, expression: naga::Handle<Expression>) -> Option<Vec<u32>> {
        match &self.module.global_expressions[expression] {
            Expression::Literal(Literal::U32(value)) => Some(vec![*value]),
            Expression::Literal(Literal::I32(value)) => Some(vec![u32::try_from(*value).ok()?]),
            Expression::Literal(Literal::AbstractInt(value)) => Some(vec![u32::try_from(*value).ok()?]),
            Expression::Constant(constant) => self.numbers(self.module.constants[*constant].init),
            Expression::Compose { components, .. } => {
                let all: Option<Vec<Vec<u32>>> = components.iter().map(|component| self.numbers(*component)).collect();
                Some(all?.concat())
            }
            Expression::Splat { size, value } => Some(self.numbers(*value)?.repeat(*size as usize)),
            _ => None,
        }
    }

    fn grid(&self, entry: &str) -> Result<[u32; 3], Rejection> {
        let names = [format!("grid_{entry}"), "grid".to_string()];
        let Some((name, numbers)) = names.iter().find_map(|name| Some((name, self.constant(name)?))) else {
            let message = format!(
                "{}: the entry point `{entry}` has no grid; add a constant such as `const grid = vec3u((S + 63u) / 64u, H, B);`",
                self.kernel.file
            );
            return Err(Rejection::compile(message));
        };
        let grid: Option<[u32; 3]> = match numbers[..] {
            [x] => Some([x, 1, 1]),
            [x, y] => Some([x, y, 1]),
            [x, y, z] => Some([x, y, z]),
            _ => None,
        };
        let grid = grid.filter(|grid| grid.iter().all(|side| (1..=65_535).contains(side)));
        grid.ok_or_else(|| {
            let message = format!("`{name}` is {numbers:?}; a grid has one to three sides from 1 to 65535");
            Rejection::compile(format!("{}: {message}", self.kernel.file))
        })
    }

    fn launches(&self) -> Result<Vec<ForeignLaunch>, Rejection> {
        let passes = ["main", "forward", "backward"];
        let mut launches = Vec::new();
        let (mut is_forward, mut is_backward) = (false, false);
        for point in &self.module.entry_points {
            let name = point.name.as_str();
            if !passes.iter().any(|pass| name.starts_with(pass)) {
                let message = format!("entry point `{name}`; expected main, forward… or backward…");
                return Err(Rejection::compile(format!("{}: {message}", self.kernel.file)));
            }
            let of_backward = name.starts_with("backward");
            if of_backward && self.problem.pass == Pass::Forward {
                continue;
            }
            is_forward |= !of_backward;
            is_backward |= of_backward;
            launches.push(self.launch(name)?);
        }
        if !is_forward {
            let message = format!("{}: no entry point; expected main or forward…", self.kernel.file);
            return Err(Rejection::compile(message));
        }
        if self.problem.pass == Pass::ForwardBackward && !is_backward {
            let message = format!("{}: no entry point backward…", self.kernel.file);
            return Err(Rejection::new(Status::Unsupported, message));
        }
        self.check_outputs(&launches)?;
        Ok(launches)
    }

    /// Checks that every output has a binding.
    fn check_outputs(&self, launches: &[ForeignLaunch]) -> Result<(), Rejection> {
        let needed: &[(Tensor, &str)] = match self.problem.pass {
            Pass::Forward => &[(Tensor::O, "o")],
            Pass::ForwardBackward => &[(Tensor::O, "o"), (Tensor::DQ, "d_q"), (Tensor::DK, "d_k"), (Tensor::DV, "d_v")],
        };
        let is_bound = |tensor: Tensor| {
            launches.iter().flat_map(|launch| &launch.bindings).any(|(_, bound)| *bound == Bound::Tensor(tensor))
        };
        match needed.iter().find(|(tensor, _)| !is_bound(*tensor)) {
            None => Ok(()),
            Some((_, name)) => {
                Err(Rejection::compile(format!("{}: no entry point uses a binding `{name}`", self.kernel.file)))
            }
        }
    }

    fn launch(&self, entry: &str) -> Result<ForeignLaunch, Rejection> {
        let kernel = Kernel::from_text(&self.kernel.name, &self.text).with_entry(entry);
        let reflection = kernel.shader(&[]).map_err(|e| Rejection::compile(e.to_string()))?.reflection;
        let known = ["B", "H", "HK", "S", "SK", "D", "CAUSAL", "SCALE"];
        let mut params: Vec<(&'static str, Param)> = Vec::new();
        for (member, _, is_float) in &reflection.params {
            let name = known.iter().find(|name| *name == member).ok_or_else(|| {
                let message = format!("params has a member `{member}`; expected {}", known.join(", "));
                Rejection::compile(format!("{}: {message}", self.kernel.file))
            })?;
            let value = match size(self.problem, name) {
                Some(value) if *is_float => Param::F32(value as f32),
                Some(value) => Param::U32(value),
                None => Param::F32((1.0 / f64::from(self.problem.width).sqrt()) as f32),
            };
            params.push((name, value));
        }
        let bindings = reflection.bindings.iter().map(|(_, name, _)| Ok((name.clone(), self.bound(name)?)));
        Ok(ForeignLaunch {
            grid: self.grid(entry)?,
            bindings: bindings.collect::<Result<_, Rejection>>()?,
            params,
            kernel,
        })
    }

    /// What a binding is, after a check of its type.
    fn bound(&self, name: &str) -> Result<Bound, Rejection> {
        let fault =
            |status, message: String| Rejection::new(status, format!("{}: `{name}` {message}", self.kernel.file));
        let compile = |message: String| fault(Status::CompileError, message);
        let mut variables = self.module.global_variables.iter().map(|(_, variable)| variable);
        let variable = variables.find(|variable| variable.name.as_deref() == Some(name));
        let Some((ty, space)) = variable.map(|variable| (variable.ty, variable.space)) else {
            return Err(compile("is not declared".into()));
        };
        let TypeInner::Array { base, size, stride } = &self.module.types[ty].inner else {
            return Err(compile("is not an array".into()));
        };
        let writes = matches!(space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
        let Some(tensor) = Tensor::named(name) else {
            let elements = self.constant(&format!("elements_{name}")).and_then(|numbers| numbers.first().copied());
            let Some(elements) = elements.filter(|elements| *elements > 0) else {
                let message = format!(
                    "is none of q, k, v, o, lse, d_o, d_q, d_k, d_v; for scratch add a constant `elements_{name}` above 0"
                );
                return Err(compile(message));
            };
            if !writes {
                return Err(compile("is scratch and not var<storage, read_write>".into()));
            }
            return Ok(Bound::Scratch((u64::from(elements) * u64::from(*stride)).div_ceil(4)));
        };
        if tensor.is_output() && !writes && self.problem.pass == Pass::Forward {
            return Err(compile("is an output and not var<storage, read_write>".into()));
        }
        let (scalar, lanes) = match self.module.types[*base].inner {
            TypeInner::Scalar(scalar) => (scalar, 1),
            TypeInner::Vector { size, scalar } => (scalar, size as u64),
            _ => return Err(compile("is not an array of numbers or vectors".into())),
        };
        if lanes == 3 {
            return Err(compile("is an array of vec3, which have gaps; use vec4".into()));
        }
        let dtype = tensor.dtype(self.problem);
        let expected = if dtype == DType::F16 { Scalar::F16 } else { Scalar::F32 };
        if scalar != expected {
            let other = [Scalar::F16, Scalar::F32].contains(&scalar);
            let status = if other { Status::Unsupported } else { Status::CompileError };
            return Err(fault(status, format!("is not an array of {dtype}")));
        }
        let elements = tensor.elements(self.problem);
        if let naga::ArraySize::Constant(count) = size
            && u64::from(count.get()) * lanes != elements
        {
            let message = format!("has {} elements, the shape has {elements}", u64::from(count.get()) * lanes);
            return Err(fault(Status::IncorrectShape, message));
        }
        Ok(Bound::Tensor(tensor))
    }
}

impl ForeignKernel {
    /// Parses and validates a text; errors name the file and the line.
    fn parse(&self, text: &str) -> Result<naga::Module, Rejection> {
        let module = naga::front::wgsl::parse_str(text).map_err(|e| {
            let message = e.emit_to_string_with_path(text, &self.file);
            let status = if message.contains("const_assert") { Status::Unsupported } else { Status::CompileError };
            Rejection::new(status, message.trim_end())
        })?;
        let flags = naga::valid::ValidationFlags::all();
        naga::valid::Validator::new(flags, crate::gpu::kernel_capabilities())
            .validate(&module)
            .map_err(|e| Rejection::compile(e.emit_to_string_with_path(text, &self.file).trim_end()))?;
        Ok(module)
    }
}

/// Types of the overrides of a text.
fn override_types(text: &str) -> Vec<(String, &'static str)> {
    // Whether assertions hold is known only with values.
    let module = naga::front::wgsl::parse_str(text);
    let Ok(module) = module else { return Vec::new() };
    let named = |(_, declaration): (_, &naga::Override)| {
        let ty = match TypeResolution::Handle(declaration.ty).inner_with(&module.types) {
            TypeInner::Scalar(Scalar::BOOL) => "bool",
            TypeInner::Scalar(Scalar::I32) => "i32",
            TypeInner::Scalar(Scalar::F32) => "f32",
            _ => "u32",
        };
        Some((declaration.name.clone()?, ty))
    };
    module.overrides.iter().filter_map(named).collect()
}
