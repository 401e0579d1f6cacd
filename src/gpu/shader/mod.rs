//! Kernel sources: assembly (`#import`, `// spec`), validation and reflection by naga.
//!
//! The WGSL source is the only definition of the bindings of a kernel. Names, order, access and parameter layout come
//! from naga's reflection and are not repeated on the host.
//!
//! A number that sizes registers or selects arithmetic is a constant marked `// spec`, followed by the values for which
//! tests validate the source. A loop bound or a stride is a member of `params`, which is written once into a uniform
//! page when a plan is recorded. Bindings and parameters are passed by name; a missing or unknown name is an error.
//!
//! f16 is a storage type only. A line `alias Weight = f32; // f16 if WEIGHT_BITS is 16` (`shaders/shared/weight.wgsl`,
//! `cache.wgsl`) follows a `// spec` constant, and f16 is enabled only in sources that use it. Record types set the
//! constant from the element type of a view, and a plan refuses a view of the other width. Loads convert to f32, all
//! arithmetic is f32, and a kernel that stores f32 contains no conversion (`tests/shaders.rs`).

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

mod compile;
pub(in crate::gpu) mod rewrite;

use self::rewrite::{TEXTURE_SUFFIX, TEXTURES};
use crate::error::{Error, ErrorKind, Result};

/// WGSL file of a kernel.
#[derive(Debug, Clone, Copy)]
pub struct KernelSource {
    /// The name used everywhere: file, record type, reference, profiler row.
    pub name: &'static str,
    /// The WGSL source, as in the file.
    pub source: &'static str,
    /// Shared sources for `#import NAME`, by name.
    pub shared: &'static [(&'static str, &'static str)],
}

/// One kernel. Its fields are those of its [`KernelSource`].
///
/// The record types of this crate launch its own kernels without the bounds and loop checks of WebGPU. All other kernels,
/// which are made by [`Kernel::new`] or returned by [`crate::kernels::Entry::kernel`], are compiled with them: whatever
/// their source and their [`crate::gpu::Launch`] say, they access nothing but their bindings.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    source: KernelSource,
    /// Entry point.
    entry: &'static str,
    /// Whether it is compiled without checks. Only kernels of this crate are, and only their record types have them.
    trusted: bool,
}

impl std::ops::Deref for Kernel {
    type Target = KernelSource;
    fn deref(&self) -> &KernelSource {
        &self.source
    }
}

/// A line `const NAME: u32 = 8u; // spec 4 8 16` of a kernel: a constant that the host may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecConstant {
    /// Name of the constant.
    pub name: String,
    /// The value if the host does not replace it.
    pub default: u32,
    /// The values for which tests validate and translate the source, including the default.
    pub grid: Vec<u32>,
}

/// A runtime parameter of a kernel: a loop bound, a stride or a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Param {
    /// An unsigned integer.
    U32(u32),
    /// A float.
    F32(f32),
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<f32> for Param {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

/// How a kernel accesses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
    /// `var<uniform>` of an array of vec4s with this many bytes.
    Uniform(u32),
}

/// Reflection of an assembled kernel by naga.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reflection {
    /// Bindings other than `params`: binding number, name, access.
    pub bindings: Vec<(u32, String, Access)>,
    /// Binding number of `var<uniform> params` and its size in bytes, if the kernel has one.
    pub params_binding: Option<(u32, u32)>,
    /// Minimum size in bytes of each storage binding, which the device requires: one element of its array.
    pub least_bytes: Vec<(u32, u32)>,
    /// Binding numbers of the storage bindings whose elements are f16.
    pub halves: Vec<u32>,
    /// Binding numbers of the buffers that are read as textures. The binding number of the texture is larger by 64.
    pub textures: Vec<u32>,
    /// Members of `params`: name, byte offset, whether the type is f32.
    pub params: Vec<(String, u32, bool)>,
    /// Invocations in a workgroup.
    pub workgroup: u32,
}

/// An assembled, parsed and validated kernel.
pub struct Shader {
    /// The source after imports and constant replacement.
    pub text: String,
    /// The naga module.
    pub module: naga::Module,
    /// The naga module info, for translation.
    pub info: ModuleInfo,
    /// The reflection that the host uses for binding.
    pub reflection: Reflection,
}

impl Shader {
    /// The source for compilers that follow the WGSL specification to the letter, such as those of browsers: with the
    /// `enable subgroups;` that naga does not accept yet. Shuffles of these kernels are uniform for the grids that
    /// record types choose, which a compiler cannot prove, so that its uniformity diagnostic is off. Local variables without
    /// an initial value get the zero that WGSL implies: Chromium 156 zeroes those inside of loops in the first iteration only.
    pub fn browser_text(&self) -> String {
        let code = |line: &str| line.split("//").next().is_some_and(|code| code.contains("subgroup"));
        let enables = match self.text.lines().any(code) {
            true => "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n",
            false => "",
        };
        let lines = self.text.lines().map(|line| zeroed(line).unwrap_or_else(|| line.into()));
        lines.fold(String::from(enables), |text, line| text + &line + "\n")
    }
}

/// The line with an initial value, if it declares a local variable without one.
fn zeroed(line: &str) -> Option<String> {
    let (declaration, rest) = line.split_once(';')?;
    let (name, ty) = declaration.split_once(": ")?;
    let has_none = name.trim_start().starts_with("var ") && !declaration.contains('=');
    has_none.then(|| format!("{declaration} = {ty}();{rest}"))
}

/// Start of the first line of a source that uses f16. Lines keep their numbers.
const ENABLE_HALF: &str = "enable f16; ";

/// naga capabilities that the kernels may use.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX
}

/// Entry point of the kernels of this crate.
const MAIN: &str = "main";

/// The text with the lifetime of the process, equal texts at one address.
fn interned(text: &str) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    let text: &'static str = Box::leak(text.into());
    texts.insert(text);
    text
}

fn spec_line(line: &str) -> Option<(&str, u32, &str)> {
    let (code, grid) = line.split_once("// spec")?;
    let rest = code.trim().strip_prefix("const ")?;
    let (name, value) = rest.split_once(": u32 =")?;
    let value = value.trim().trim_end_matches(';').trim_end_matches('u');
    Some((name.trim(), value.parse().ok()?, grid))
}

/// Parses a line `alias NAME = f32; // f16 if BITS is 16`: a storage type that depends on a constant marked `// spec`.
/// Returns the names of the type and of the constant.
fn storage_line(line: &str) -> Option<(&str, &str)> {
    let (code, condition) = line.split_once("// f16 if ")?;
    let name = code.trim().strip_prefix("alias ")?.strip_suffix("= f32;")?;
    Some((name.trim(), condition.trim().strip_suffix(" is 16")?))
}

/// Whether a binding of this type holds f16.
fn holds_half(module: &naga::Module, ty: naga::Handle<naga::Type>) -> bool {
    match module.types[ty].inner {
        naga::TypeInner::Array { base, .. } => holds_half(module, base),
        naga::TypeInner::Scalar(scalar) | naga::TypeInner::Vector { scalar, .. } => scalar == naga::Scalar::F16,
        _ => false,
    }
}

/// Bytes of an `array<vec4<f32>, N>`.
fn array_of_vec4s(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Option<u32> {
    let naga::TypeInner::Array { base, size: naga::ArraySize::Constant(count), stride } = module.types[ty].inner else {
        return None;
    };
    let vec4 = naga::TypeInner::Vector { size: naga::VectorSize::Quad, scalar: naga::Scalar::F32 };
    (module.types[base].inner == vec4).then_some(count.get() * stride)
}

impl Kernel {
    /// Creates a kernel with the entry point `main`, which is compiled with all checks of WebGPU.
    pub const fn new(source: KernelSource) -> Self {
        Self { source, entry: MAIN, trusted: false }
    }

    /// Creates a kernel from a text that was read at run time, as by [`Kernel::new`]. The process keeps each distinct name
    /// and text once, until it ends.
    pub fn from_text(name: &str, source: &str) -> Self {
        Self::new(KernelSource { name: interned(name), source: interned(source), shared: &[] })
    }

    /// The same kernel with the entry point `entry` instead of `main`. Of the bindings of a source with several entry
    /// points, a launch takes those that this one uses.
    pub fn with_entry(&self, entry: &str) -> Self {
        Self { entry: interned(entry), ..*self }
    }

    /// Creates a kernel of this crate, which is compiled without checks: it indexes within the elements that its record
    /// type states, and its loops terminate.
    pub(crate) const fn trusted(source: KernelSource) -> Self {
        Self { source, entry: MAIN, trusted: true }
    }

    /// The same kernel, compiled with all checks.
    pub(crate) const fn checked(&self) -> Self {
        Self { trusted: false, ..*self }
    }

    /// Whether the kernel is compiled without checks.
    pub(in crate::gpu) fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(in crate::gpu) fn entry(&self) -> &'static str {
        self.entry
    }

    pub(in crate::gpu) fn error(&self, message: String) -> Error {
        Error::new(ErrorKind::Shader, format!("{}: {message}", self.name))
    }

    /// Returns the source with every `#import` replaced by the shared source of that name, each inserted once.
    fn imported(&self) -> Result<String> {
        let mut text = String::new();
        let mut pasted = Vec::new();
        for line in self.source.source.lines() {
            if let Some(name) = line.trim().strip_prefix("#import ") {
                let name = name.trim();
                let unknown = || self.error(format!("#import {name}: shaders/shared has no such file"));
                let (_, shared) = self.shared.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
                if !pasted.contains(&name) {
                    pasted.push(name);
                    text.push_str(shared);
                }
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        Ok(text)
    }

    /// Returns the constants that the host may replace, including those of imports.
    ///
    /// # Errors
    /// [`ErrorKind::Shader`] for an import that does not exist.
    pub fn spec_constants(&self) -> Result<Vec<SpecConstant>> {
        let text = self.imported()?;
        let constant = |(name, default, grid): (&str, u32, &str)| {
            let mut grid: Vec<u32> = grid.split_whitespace().filter_map(|v| v.parse().ok()).collect();
            if !grid.contains(&default) {
                grid.insert(0, default);
            }
            SpecConstant { name: name.into(), default, grid }
        };
        Ok(text.lines().filter_map(spec_line).map(constant).collect())
    }

    /// Returns the WGSL source with imports inserted and the constants of `spec` replaced. Storage types whose constant
    /// is 16 become f16, which is then enabled.
    ///
    /// # Errors
    /// [`ErrorKind::Shader`] for an import or a constant that does not exist.
    pub fn assemble(&self, spec: &[(&str, u32)]) -> Result<String> {
        let mut unused: Vec<&str> = spec.iter().map(|(name, _)| *name).collect();
        let mut text = String::new();
        for line in self.imported()?.lines() {
            if let Some((name, bits)) = storage_line(line).filter(|(_, bits)| spec.contains(&(bits, 16))) {
                if !text.starts_with(ENABLE_HALF) {
                    text.insert_str(0, ENABLE_HALF);
                }
                text.push_str(&format!("alias {name} = f16; // as {bits} is 16\n"));
                continue;
            }
            let replaced = spec_line(line).and_then(|(name, _, _)| spec.iter().find(|(wanted, _)| *wanted == name));
            match replaced {
                Some((name, value)) => {
                    unused.retain(|other| other != name);
                    text.push_str(&format!("const {name}: u32 = {value}u;"));
                }
                None => text.push_str(line),
            }
            text.push('\n');
        }
        if let Some(name) = unused.first() {
            return Err(self.error(format!("no constant `{name}` with a `// spec` mark in its text")));
        }
        rewrite::unrolled(&text).map_err(|fault| self.error(fault))
    }

    /// Names of the bindings that can be read as textures, including those of imports.
    pub(in crate::gpu) fn texel_bindings(&self) -> impl Iterator<Item = &'static str> {
        let imported = self.shared.iter().filter(|(name, _)| self.source.source.contains(&format!("#import {name}\n")));
        let texts = std::iter::once(self.source.source).chain(imported.map(|(_, text)| *text));
        texts.flat_map(rewrite::vec4_bindings)
    }

    /// Assembles, parses and validates the kernel. Needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Shader`] with naga's message, which includes the line.
    pub fn shader(&self, spec: &[(&str, u32)]) -> Result<Shader> {
        self.parsed(self.assemble(spec)?)
    }

    /// Like [`Kernel::shader`], with every eligible binding read as a texture, see [`crate::gpu::Gpu::reads_texels`].
    ///
    /// # Errors
    /// As [`Kernel::shader`].
    pub fn shader_with_texels(&self, spec: &[(&str, u32)]) -> Result<Shader> {
        self.textured(spec, &self.texel_bindings().collect::<Vec<_>>())
    }

    pub(in crate::gpu) fn textured(&self, spec: &[(&str, u32)], textures: &[&str]) -> Result<Shader> {
        let text = self.assemble(spec)?;
        self.parsed(rewrite::with_texels(&text, textures).map_err(|fault| self.error(fault))?)
    }

    fn parsed(&self, text: String) -> Result<Shader> {
        let module = naga::front::wgsl::parse_str(&text)
            .map_err(|e| self.error(format!("the WGSL does not parse:\n{}", e.emit_to_string(&text))))?;
        let info = Validator::new(ValidationFlags::all(), capabilities())
            .validate(&module)
            .map_err(|e| self.error(format!("the WGSL is not valid:\n{}", e.emit_to_string(&text))))?;
        let reflection = self.reflect(&module, &info)?;
        Ok(Shader { text, module, info, reflection })
    }

    fn reflect(&self, module: &naga::Module, info: &ModuleInfo) -> Result<Reflection> {
        let points = &module.entry_points;
        let at = points.iter().position(|point| point.name == self.entry).ok_or_else(|| {
            let names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
            let names = if names.is_empty() { "none".into() } else { names.join(", ") };
            self.error(format!("expected an entry point `{}`, got {names}", self.entry))
        })?;
        let (entry, uses) = (&points[at], info.get_entry_point(at));
        if self.is_trusted() && points.len() > 1 {
            return Err(self.error("a kernel file of this crate has exactly one entry point, `main`".into()));
        }
        let mut reflection = Reflection {
            bindings: Vec::new(),
            params_binding: None,
            least_bytes: Vec::new(),
            halves: Vec::new(),
            textures: Vec::new(),
            params: Vec::new(),
            workgroup: entry.workgroup_size.iter().product(),
        };
        for (handle, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            if points.len() > 1 && uses[handle].is_empty() {
                continue;
            }
            let name = variable.name.clone().unwrap_or_default();
            match variable.space {
                naga::AddressSpace::Storage { access } => {
                    let writes = access.contains(naga::StorageAccess::STORE);
                    let access = if writes { Access::Write } else { Access::Read };
                    let least = module.types[variable.ty].inner.size(module.to_ctx());
                    reflection.least_bytes.push((binding.binding, least));
                    if holds_half(module, variable.ty) {
                        reflection.halves.push(binding.binding);
                    }
                    reflection.bindings.push((binding.binding, name, access));
                }
                naga::AddressSpace::Uniform if name != "params" => {
                    let bytes = array_of_vec4s(module, variable.ty).ok_or_else(|| {
                        self.error(format!("`{name}`: a uniform other than `params` is an array<vec4<f32>, N>"))
                    })?;
                    reflection.bindings.push((binding.binding, name, Access::Uniform(bytes)));
                }
                naga::AddressSpace::Uniform => {
                    let naga::TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
                        return Err(self.error("`params` must be a struct".into()));
                    };
                    reflection.params_binding = Some((binding.binding, *span));
                    for member in members {
                        let float = match module.types[member.ty].inner {
                            naga::TypeInner::Scalar(naga::Scalar::U32) => false,
                            naga::TypeInner::Scalar(naga::Scalar::F32) => true,
                            _ => return Err(self.error("members of `params` are u32 or f32".into())),
                        };
                        reflection.params.push((member.name.clone().unwrap_or_default(), member.offset, float));
                    }
                }
                naga::AddressSpace::Handle if name.ends_with(TEXTURE_SUFFIX) => {
                    reflection.textures.push(binding.binding - TEXTURES);
                }
                _ => return Err(self.error(format!("`{name}`: only storage and uniform buffers are bound"))),
            }
        }
        reflection.bindings.sort_by_key(|(number, _, _)| *number);
        Ok(reflection)
    }
}

/// A compiled kernel, ready to be bound.
pub(in crate::gpu) struct CompiledKernel {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    pub reflection: Reflection,
    /// Replaced spec constants.
    pub spec: Vec<(String, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBLE: KernelSource = KernelSource {
        name: "double",
        source: "#import twice\nconst SIZE: u32 = 8u; // spec 4 16\nstruct Params { count: u32, factor: f32 }\n\
                 @group(0) @binding(0) var<uniform> params: Params;\n\
                 @group(0) @binding(2) var<storage, read_write> y: array<f32>;\n\
                 @group(0) @binding(1) var<storage, read> x: array<f32>;\n\
                 @compute @workgroup_size(SIZE) fn main(@builtin(global_invocation_id) id: vec3<u32>) {\n\
                 if (id.x < params.count) { y[id.x] = twice(x[id.x]) * params.factor; } }\n",
        shared: &[("twice", "fn twice(x: f32) -> f32 { return 2.0 * x; }\n")],
    };
    const DOUBLED: Kernel = Kernel::new(DOUBLE);

    #[test]
    fn local_variables_of_a_browser_have_initial_values() {
        let lines = [
            ("    var p: mat4x4<f32>; // zero", Some("    var p: mat4x4<f32> = mat4x4<f32>(); // zero")),
            ("var k: array<f32, 2u * N>;", Some("var k: array<f32, 2u * N> = array<f32, 2u * N>();")),
            ("    var sum = 0.0;", None),
            ("    var sum: f32 = 0.0;", None),
            ("    for (var i: u32 = 0u; i < 4u; i++) {", None),
            ("var<workgroup> tile: array<f32, 4>;", None),
            ("struct Lane { row: u32 } // var x: f32;", None),
        ];
        for (line, expected) in lines {
            assert_eq!(zeroed(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn reflection_reads_names_order_access_and_parameters() {
        let reflection = DOUBLED.shader(&[("SIZE", 16)]).unwrap().reflection;
        let expected = vec![(1, "x".to_string(), Access::Read), (2, "y".to_string(), Access::Write)];
        assert_eq!(reflection.bindings, expected);
        assert_eq!(reflection.params, vec![("count".into(), 0, false), ("factor".into(), 4, true)]);
        assert_eq!((reflection.workgroup, reflection.params_binding), (16, Some((0, 8))));
    }

    #[test]
    fn uniform_arrays_are_bindings_with_a_size() {
        let of_type = |ty: &str| {
            let source = format!(
                "@group(0) @binding(0) var<uniform> table: {ty};\n\
                 @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;\n\
                 @compute @workgroup_size(1) fn main() {{ y[0] = vec4<f32>(table[0]); }}\n"
            );
            let kernel = Kernel::new(KernelSource { name: "table", source: source.leak(), shared: &[] });
            kernel.shader(&[]).map(|shader| shader.reflection)
        };
        let reflection = of_type("array<vec4<f32>, 12>").unwrap();
        let expected = vec![(0, "table".to_string(), Access::Uniform(192)), (1, "y".to_string(), Access::Write)];
        assert_eq!((reflection.bindings, reflection.params_binding), (expected, None));
        for wrong in ["array<vec4<u32>, 12>", "vec4<f32>"] {
            let error = of_type(wrong).unwrap_err().to_string();
            assert!(error.contains("`table`") && error.contains("array<vec4<f32>, N>"), "{error}");
        }
    }

    #[test]
    fn spec_lines_give_default_and_grid() {
        let expected = SpecConstant { name: "SIZE".into(), default: 8, grid: vec![8, 4, 16] };
        assert_eq!(DOUBLED.spec_constants().unwrap(), vec![expected]);
    }

    #[test]
    fn a_storage_type_follows_its_constant() {
        let half = Kernel::new(KernelSource {
            name: "widen",
            source: "// header\nconst X_BITS: u32 = 32u; // spec 16\nalias X = f32; // f16 if X_BITS is 16\n\
                     @group(0) @binding(0) var<storage, read> x: array<vec4<X>>;\n\
                     @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;\n\
                     @compute @workgroup_size(1) fn main() { y[0] = vec4<f32>(x[0]); }\n",
            shared: &[],
        });
        for spec in [&[][..], &[("X_BITS", 32)]] {
            assert!(!half.assemble(spec).unwrap().contains("enable"));
            assert!(half.shader(spec).unwrap().reflection.halves.is_empty());
        }
        let text = half.assemble(&[("X_BITS", 16)]).unwrap();
        assert_eq!(text.matches("enable f16;").count(), 1, "{text}");
        assert_eq!(half.shader(&[("X_BITS", 16)]).unwrap().reflection.halves, [0]);
    }

    #[test]
    fn unknown_names_are_errors() {
        let unknown = DOUBLED.assemble(&[("SIZES", 16)]).unwrap_err();
        assert!(unknown.to_string().contains("`SIZES`"), "{unknown}");
        let import = Kernel::new(KernelSource { shared: &[], ..DOUBLE }).assemble(&[]).unwrap_err();
        assert!(import.to_string().contains("#import twice"), "{import}");
    }

    #[test]
    fn invalid_text_names_the_kernel() {
        let broken = Kernel::new(KernelSource { source: "fn main( {", ..DOUBLE }).shader(&[]).err().unwrap();
        assert!(broken.to_string().starts_with("double: the WGSL does not parse"), "{broken}");
    }
}
