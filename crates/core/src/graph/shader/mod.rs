//! Shaders: the host's table of each WGSL module, and the launches that ops ask for. Nothing here knows a graphics library.
//!
//! The table says again what stands in the WGSL text, because the host has to know it without parsing WGSL (a browser build carries no parser). A
//! test holds the two equal. The contract of the modules themselves is `shaders/README.md`.

mod tile;

use loralab_cpu::Store;

pub use tile::{Product, Tile, Tiles, UnknownTile};

use crate::graph::memory::{Buffer, Dtype, Tensor, Weight};

/// Invocations of a workgroup that goes over elements one by one.
const ELEMENTS_A_GROUP: u32 = 256;
/// Workgroups that WebGPU grants in each direction.
const GROUPS_A_SIDE: u32 = 65_535;

/// The type of a parameter or of a buffer's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// u32.
    U32,
    /// f32.
    F32,
    /// `atomic<u32>`.
    Atomic,
}

/// How a shader uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// read.
    Read,
    /// read_write.
    ReadWrite,
}

/// A storage buffer of a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the WGSL.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// Its elements.
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

/// A WGSL module as the host knows it.
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

    /// What a compiler says of the module, with the file and line of a part wherever it says `wgsl` and a line of the module, as naga does.
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

/// What a launch binds; a device knows where each lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// A buffer of the plan, all runs one after the other.
    Rows(Buffer),
    /// Rows of so many columns that last for one dispatch of the plan only.
    Scratch(u32),
    /// What each run trains, (K, elements).
    Trained,
    /// The frozen second pairs, in the layout of what is trained.
    FrozenPairs,
    /// The gradients, in the layout of what is trained.
    Gradients,
    /// The gradients as the optimiser sees them where they are preconditioned, in the same layout.
    Preconditioned,
    /// (R, R) a run and trained tensor: a factor's product with itself, then the inverse that preconditions.
    Products,
    /// (R + 1, R) a run and trained tensor, for the time of inverting.
    Triangles,
    /// A tensor of the frozen base, as stored.
    Base(usize),
    /// A host-made table.
    Table(usize),
    /// Four a run: scale, B's share of the learning rate, weight decay, largest norm of the gradient.
    Settings,
    /// The optimiser's moments.
    Moments,
    /// Two a run: whether it has diverged, and its clipping factor.
    States,
    /// 64 sums of losses a run, of the passes since its last update.
    Losses,
    /// Sums over blocks of a run's gradients.
    Partials,
    /// Learning rates and bias corrections of the steps to come, by slot.
    Rates,
    /// What steps say of the runs, by slot.
    Reports,
    /// Rows of the steps to come, by slot.
    Ring,
    /// The place of the step that is due in the rings.
    Slot,
    /// Where each trained tensor begins, and what it is to the optimiser.
    Places,
}

/// One run of a shader: what it is given and how many workgroups.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The shader.
    pub shader: &'static Shader,
    /// Values of its constants, in the order of its table.
    pub constants: Vec<u32>,
    /// Bits of its params, in the order of its table.
    pub params: Vec<u32>,
    /// Its buffers, in the order of its table.
    pub buffers: Vec<Memory>,
    /// Workgroups in each direction.
    pub groups: [u32; 3],
    /// The name of the product that it computes, if its tile can be chosen.
    pub product: Option<String>,
}

impl Launch {
    /// A launch with a workgroup for each point of `groups`.
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

    /// A launch with an invocation for each of `elements`.
    pub fn over(shader: &'static Shader, elements: usize, params: &[u32], buffers: &[Memory]) -> Launch {
        Launch::in_rows(shader, elements.div_ceil(ELEMENTS_A_GROUP as usize), params, buffers)
    }

    /// A launch with `groups` workgroups, folded to what one direction allows.
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

/// A cohort's sizes, and the weights it stands on: what an op has to know to be launched.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    /// K.
    pub runs: usize,
    /// B·T of one run.
    pub rows: usize,
    /// Elements that one run trains.
    pub trained: usize,
    /// The frozen base.
    pub base: &'a [Tensor],
    /// How its products are cut.
    pub tiles: &'a Tiles,
}

/// A weight as a shader finds it.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The buffer.
    pub memory: Memory,
    /// The element where it begins.
    pub offset: u32,
    /// Elements from one run's to the next; 0 where all share it.
    pub stride: u32,
    /// The constant `FORMAT`.
    pub format: u32,
}

impl Grid<'_> {
    /// N.
    pub fn all_rows(&self) -> usize {
        self.runs * self.rows
    }

    /// Where a weight lies and how it is stored.
    pub fn weight(&self, weight: Weight) -> Bound {
        match weight {
            Weight::Frozen(index) => {
                let format = format(self.base[index].data.dtype());
                Bound { memory: Memory::Base(index), offset: 0, stride: 0, format }
            }
            Weight::Trained(span) => {
                let (offset, stride) = (word(span.offset), word(self.trained));
                Bound { memory: Memory::Trained, offset, stride, format: 0 }
            }
        }
    }
}

/// The constant `FORMAT` of weights that are stored like these.
pub fn format(stored: Dtype) -> u32 {
    match stored {
        Dtype::F32 | Dtype::U32 => 0,
        Dtype::F16 => 1,
        Dtype::Bf16 => 2,
    }
}

/// A size as a shader reads it. Buffers that a word can't count are refused before anything is launched.
pub fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The param that says whether to add to an output.
pub fn adds(store: Store) -> u32 {
    u32::from(store == Store::Add)
}
