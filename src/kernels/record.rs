//! Records, the buffers of a kernel with one field per binding, and the buffers of a test case that fill them.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::View;

/// Buffers of a case, by name.
#[derive(Clone)]
pub struct CaseBuffers {
    pub(super) views: BTreeMap<&'static str, View>,
    pub(super) stand_in: Option<View>,
}

impl CaseBuffers {
    /// Returns the buffer called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the case has no such buffer.
    pub fn view(&self, name: &str) -> Result<View> {
        let missing = || Error::new(ErrorKind::Shape, format!("the case has no buffer `{name}`"));
        self.views.get(name).or(self.stand_in.as_ref()).cloned().ok_or_else(missing)
    }

    /// Returns the buffers called `names`.
    ///
    /// # Errors
    /// As [`CaseBuffers::view`].
    pub(crate) fn views<const N: usize>(&self, names: [&str; N]) -> Result<[View; N]> {
        let views = names.iter().map(|name| self.view(name)).collect::<Result<Vec<View>>>()?;
        Ok(views.try_into().unwrap_or_else(|_| unreachable!("one view per name")))
    }

    /// The same buffers and another one.
    pub(super) fn with(&self, name: &'static str, view: &View) -> Self {
        let mut buffers = self.clone();
        buffers.views.insert(name, view.clone());
        buffers
    }

    /// The same buffers, with `name` in place of missing ones, for fields of a record that the kernel does not bind.
    ///
    /// # Errors
    /// As [`CaseBuffers::view`].
    pub(super) fn standing_in(&self, name: &str) -> Result<Self> {
        Ok(Self { stand_in: Some(self.view(name)?), ..self.clone() })
    }
}

/// Field of a record in a case: the buffer called `name`, or a record of several buffers.
pub(super) trait CaseField: Sized {
    /// # Errors
    /// As [`CaseBuffers::view`].
    fn find(buffers: &CaseBuffers, name: &str) -> Result<Self>;
}

impl CaseField for View {
    fn find(buffers: &CaseBuffers, name: &str) -> Result<Self> {
        buffers.view(name)
    }
}

impl CaseField for Option<View> {
    fn find(buffers: &CaseBuffers, name: &str) -> Result<Self> {
        Ok(buffers.views.get(name).cloned())
    }
}

/// Defines a record: the buffers of a kernel, one field per binding. `from_case` finds the buffers of a case by the
/// names of the fields.
macro_rules! record {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty,)+
    }) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $type,)+
        }

        impl $name {
            /// The record of the buffers with the names of its fields.
            pub(in crate::kernels) fn from_case(
                buffers: &$crate::kernels::record::CaseBuffers,
            ) -> $crate::error::Result<Self> {
                Ok(Self { $($field: $crate::kernels::record::CaseField::find(buffers, stringify!($field))?,)+ })
            }
        }

        impl $crate::kernels::record::CaseField for $name {
            fn find(buffers: &$crate::kernels::record::CaseBuffers, _: &str) -> $crate::error::Result<Self> {
                Self::from_case(buffers)
            }
        }
    };
}
pub(crate) use record;
