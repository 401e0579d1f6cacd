//! Bindings of a launch by their names in the WGSL source.

use crate::gpu::View;

/// One binding of a launch: its name in the WGSL source, its range, and the number of elements that the kernel accesses
/// for the shape of the launch.
#[derive(Debug, Clone)]
pub struct Bind<'a> {
    /// Name of the variable in the WGSL source.
    pub name: &'a str,
    /// The range to bind.
    pub view: &'a View,
    /// Minimum number of elements of the range.
    pub elements: u64,
}

/// Array of [`Bind`]s from views, each with the number of elements that the kernel accesses in brackets:
///
/// ```ignore
/// bind!(self.x[rows * k], y[rows * n], self.gram.low[triangle], x4 = self.x[rows * k])
/// ```
///
/// The name in the WGSL source is that of the variable or of the last field, or the one before `=`.
macro_rules! bind {
    (@name $name:ident) => { stringify!($name) };
    (@name $owner:ident . $($field:ident).+) => { $crate::gpu::bind!(@name $($field).+) };
    (@view [$($path:ident).+]) => { &$($path).+ };
    (@view [$($name:ident).+] [$($path:ident).+]) => { &$($path).+ };
    ($($($name:ident).+ $(= $($path:ident).+)? [$elements:expr]),+ $(,)?) => {
        [$($crate::gpu::Bind {
            name: $crate::gpu::bind!(@name $($name).+),
            view: $crate::gpu::bind!(@view [$($name).+] $([$($path).+])?),
            elements: $elements,
        }),+]
    };
}
pub(crate) use bind;
