//! Shaders: the host's table of each WGSL module, and the launches that ops request. Nothing here uses a graphics library.
//!
//! The table repeats declarations of the WGSL text, because the host needs them without parsing WGSL (a browser build has no parser). A test checks
//! that the two are equal. The conventions of the modules are in `shaders/README.md`.

mod tile;

use std::ops::Range;

use loralab_cpu::Store;

pub use tile::{Product, Tile, Tiles, UnknownTile};

use crate::graph::memory::{Buffer, Dtype, Tensor, Weight};

/// Invocations of a workgroup of an elementwise shader.
const ELEMENTS_A_GROUP: u32 = 256;
/// Workgroups per dimension that WebGPU guarantees.
const GROUPS_A_SIDE: u32 = 65_535;

/// The type of a parameter or of a buffer's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `u32`.
    U32,
    /// `f32`.
    F32,
    /// `atomic<u32>`.
    Atomic,
}

/// Access mode of a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `read`.
    Read,
    /// `read_write`.
    ReadWrite,
}

/// A storage buffer of a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the WGSL.
    pub name: &'static str,
    /// Access mode.
    pub access: Access,
    /// Element type.
    pub element: Element,
}

/// A file of WGSL, of which modules are made.
#[derive(Debug)]
pub struct Part {
    /// Folder and file, e.g. `lib/decode`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The host's description of a WGSL module.
#[derive(Debug)]
pub struct Shader {
    /// Op and kernel, e.g. `lora_linear/down`.
    pub name: &'static str,
    /// The files that the module consists of: the kernel's own, then the ones that it shares with others.
    pub parts: &'static [Part],
    /// `@workgroup_size`.
    pub workgroup: u32,
    /// Members of `Params`, the uniform at binding 0, four bytes each.
    pub params: &'static [(&'static str, Element)],
    /// Storage buffers, from binding 1 on.
    pub bindings: &'static [Binding],
    /// Pipeline-overridable constants, all u32.
    pub constants: &'static [&'static str],
}

impl Shader {
    /// The text of the module: its parts, one after another. WGSL has declarations in any order.
    pub fn source(&self) -> String {
        self.parts.iter().map(|part| part.text).collect()
    }

    /// A compiler's message about the module, with the file and line of a part wherever it says `wgsl` and a line of the module, as naga does.
    pub fn located(&self, message: &str) -> String {
        let mut pieces = message.split("wgsl:");
        let mut located = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let rest = piece.trim_start_matches(|letter: char| letter.is_ascii_digit());
            let line = piece[..piece.len() - rest.len()].parse().ok();
            match line.and_then(|line| self.place(line)) {
                Some((file, line)) => located.push_str(&format!("shaders/{file}.wgsl:{line}{rest}")),
                None => located.push_str(&format!("wgsl:{piece}")),
            }
        }
        located
    }

    /// The part that a line of the module stands in, and its number there; both count from 1.
    fn place(&self, mut line: usize) -> Option<(&'static str, usize)> {
        for part in self.parts {
            let lines = part.text.lines().count();
            if (1..=lines).contains(&line) {
                return Some((part.file, line));
            }
            line = line.checked_sub(lines)?;
        }
        None
    }
}

/// Declares the table of one WGSL module; its parts too, unless it is the one file that has its name.
macro_rules! shader {
    ($(#[$doc:meta])* $visibility:vis $NAME:ident = $name:literal, workgroup $workgroup:literal;
     $(parts { $($part:literal),* $(,)? })?
     params { $($param:ident: $kind:ident),* $(,)? }
     buffers { $($access:ident $buffer:ident: $element:ident),* $(,)? }
     constants { $($constant:ident),* }) => {
        $(#[$doc])*
        $visibility const $NAME: $crate::graph::shader::Shader = $crate::graph::shader::Shader {
            name: $name,
            parts: shader!(@parts $name $(, $($part),*)?),
            workgroup: $workgroup,
            params: &[$((stringify!($param), shader!(@element $kind))),*],
            bindings: &[$($crate::graph::shader::Binding {
                name: stringify!($buffer),
                access: shader!(@access $access),
                element: shader!(@element $element),
            }),*],
            constants: &[$(stringify!($constant)),*],
        };
    };
    (@parts $name:literal) => { shader!(@parts $name, $name) };
    (@parts $name:literal, $($file:literal),*) => {
        &[$($crate::graph::shader::Part {
            file: $file,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders/", $file, ".wgsl")),
        }),*]
    };
    (@element u32) => { $crate::graph::shader::Element::U32 };
    (@element f32) => { $crate::graph::shader::Element::F32 };
    (@element atomic) => { $crate::graph::shader::Element::Atomic };
    (@access read) => { $crate::graph::shader::Access::Read };
    (@access write) => { $crate::graph::shader::Access::ReadWrite };
}
pub(crate) use shader;

/// Memory that a launch binds; the device maps each to a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// A buffer of the plan, with the rows of all runs one after the other.
    Rows(Buffer),
    /// Rows of this many columns that are used within one dispatch of the plan only.
    Scratch(u32),
    /// The first token of each row's segment and the one after its last, (N, 2).
    Limits,
    /// The trained tensors of each run, (K, elements).
    Trained,
    /// The frozen second pairs, in the layout of [`Memory::Trained`].
    FrozenPairs,
    /// The gradients, in the layout of [`Memory::Trained`].
    Gradients,
    /// The preconditioned gradients, in the same layout.
    Preconditioned,
    /// (R, R) per run and trained tensor: a factor's Gram matrix, then its inverse for the preconditioner.
    Products,
    /// (R + 1, R) per run and trained tensor: working memory of the inversion.
    Triangles,
    /// A part of a tensor of the frozen base, in its stored precision: the index of the tensor, and that of the part.
    Base(usize, usize),
    /// A table computed on the host.
    Table(usize),
    /// Four per run: scale, learning rate ratio of B to A, weight decay, largest norm of the gradient.
    Settings,
    /// The optimiser's moments.
    Moments,
    /// Two per run: 1 if it has diverged, and its clipping factor.
    States,
    /// 64 partial sums of losses per run, over the passes since its last update.
    Losses,
    /// Partial sums over blocks of a run's gradients.
    Partials,
    /// Learning rates and bias corrections of the coming steps, by slot.
    Rates,
    /// Reports of the steps, by slot and run.
    Reports,
    /// Input rows of the coming steps, by slot.
    Ring,
    /// Index of the current step's slot in the rings.
    Slot,
    /// The offset of each trained tensor and its role for the optimiser.
    Places,
}

/// One launch of a shader: its constants, params, buffers and workgroups.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The shader.
    pub shader: &'static Shader,
    /// Values of the shader's constants, in the order of its table.
    pub constants: Vec<u32>,
    /// Bits of the shader's params, in the order of its table.
    pub params: Vec<u32>,
    /// Memory for the shader's bindings, in the order of its table.
    pub buffers: Vec<Memory>,
    /// Workgroups in each dimension.
    pub groups: [u32; 3],
    /// Name of the matrix product that the launch computes, if its tile can be chosen.
    pub product: Option<String>,
}

impl Launch {
    /// A launch of `groups` workgroups.
    pub fn new(shader: &'static Shader, params: &[u32], buffers: &[Memory], groups: [usize; 3]) -> Launch {
        debug_assert_eq!(params.len(), shader.params.len(), "params of {}", shader.name);
        debug_assert_eq!(buffers.len(), shader.bindings.len(), "buffers of {}", shader.name);
        let constants = vec![0; shader.constants.len()];
        Launch {
            shader,
            constants,
            params: params.into(),
            buffers: buffers.into(),
            groups: groups.map(word),
            product: None,
        }
    }

    /// A launch with one invocation per element.
    pub fn over(shader: &'static Shader, elements: usize, params: &[u32], buffers: &[Memory]) -> Launch {
        Launch::in_rows(shader, elements.div_ceil(ELEMENTS_A_GROUP as usize), params, buffers)
    }

    /// A launch of `groups` workgroups, split over two dimensions if they exceed the limit of one.
    pub fn in_rows(shader: &'static Shader, groups: usize, params: &[u32], buffers: &[Memory]) -> Launch {
        let across = groups.clamp(1, GROUPS_A_SIDE as usize);
        Launch::new(shader, params, buffers, [across, groups.div_ceil(across).max(1), 1])
    }

    /// The same launch with these constants.
    #[must_use]
    pub fn with(mut self, constants: &[u32]) -> Launch {
        debug_assert_eq!(constants.len(), self.shader.constants.len(), "constants of {}", self.shader.name);
        self.constants = constants.into();
        self
    }
}

/// The sizes of a cohort and its frozen weights, from which ops make their launches.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    /// Number of runs K.
    pub runs: usize,
    /// Rows per run, B·T.
    pub rows: usize,
    /// Trained elements per run.
    pub trained: usize,
    /// The frozen base.
    pub base: &'a [Tensor],
    /// Largest part of a frozen tensor that a launch can bind, in bytes.
    pub binding: u64,
    /// The tiles of matrix products.
    pub tiles: &'a Tiles,
}

/// The location of a weight for a shader.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The buffer that holds it.
    pub memory: Memory,
    /// Index of the first element.
    pub offset: u32,
    /// Elements between the weights of consecutive runs; 0 if all runs share the weight.
    pub stride: u32,
    /// Value of the constant `FORMAT`.
    pub format: u32,
}

/// Some rows of a weight, as large a part of it as can be bound.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Their location.
    pub bound: Bound,
    /// The rows.
    pub rows: Range<usize>,
}

impl Slice {
    /// The first row.
    pub fn first(&self) -> u32 {
        word(self.rows.start)
    }

    /// The way to store a sum over all parts of which this is one: each but the first adds.
    pub fn store(&self, store: Store) -> Store {
        if self.rows.start == 0 { store } else { Store::Add }
    }
}

impl Grid<'_> {
    /// The parts of a weight of `rows` rows. Trained weights have one.
    pub fn parts(&self, weight: Weight, rows: usize) -> Vec<Slice> {
        let bound = self.weight(weight);
        let Weight::Frozen(index) = weight else { return vec![Slice { bound, rows: 0..rows }] };
        let parts = self.base[index].parts(self.binding).into_iter().enumerate();
        parts.map(|(part, rows)| Slice { bound: Bound { memory: Memory::Base(index, part), ..bound }, rows }).collect()
    }

    /// Rows of all runs, N.
    pub fn all_rows(&self) -> usize {
        self.runs * self.rows
    }

    /// The location and format of a weight that is bound as a whole, such as a gain.
    pub fn weight(&self, weight: Weight) -> Bound {
        match weight {
            Weight::Frozen(index) => {
                let tensor = &self.base[index];
                let format = format(tensor.data.dtype(), tensor.shape[1]);
                Bound { memory: Memory::Base(index, 0), offset: 0, stride: 0, format }
            }
            Weight::Trained(span) => {
                let (offset, stride) = (word(span.offset), word(self.trained));
                Bound { memory: Memory::Trained, offset, stride, format: 0 }
            }
        }
    }
}

/// Value of the constant `FORMAT` for weights of this type in rows of `columns`, which int8 scales one by one.
fn format(stored: Dtype, columns: usize) -> u32 {
    match stored {
        Dtype::F32 | Dtype::U32 => 0,
        Dtype::F16 => 1,
        Dtype::Bf16 => 2,
        Dtype::Nf4 => 3,
        Dtype::Int8 => 4 | word(columns) << 3,
    }
}

/// A size as a 32-bit word. Buffers too large for that are refused before any launch.
pub fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Value of the param that selects adding to an output: 1 to add, 0 to overwrite.
pub fn adds(store: Store) -> u32 {
    u32::from(store == Store::Add)
}
