//! The errors of reading a GGUF file.

/// Error of reading a GGUF file.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file ends within a value.
    #[error("it ends too early: at byte {at} {what} was expected, but it has {length} bytes; copy it again")]
    End {
        /// Offset of the value.
        at: usize,
        /// Description of the value.
        what: &'static str,
        /// Bytes of the file.
        length: usize,
    },
    /// The version is not supported.
    #[error(
        "it is GGUF of version {0}; versions 2 and 3, little-endian, are read: make it again with a llama.cpp of today"
    )]
    Version(u32),
    /// A count exceeds what the rest of the file can hold.
    #[error("its header counts {count} {what}, more than its {length} bytes can hold; copy it again")]
    Count {
        /// Description of the counted.
        what: &'static str,
        /// The count.
        count: u64,
        /// Bytes of the file.
        length: usize,
    },
    /// A text is not UTF-8.
    #[error("the text at byte {0} is not UTF-8; the file is damaged")]
    Text(usize),
    /// A value of the metadata has an unknown type.
    #[error("its metadata `{key}` has the unknown type {kind}; the file is damaged, or newer than version 3")]
    Kind {
        /// Key of the value.
        key: String,
        /// Number of the type.
        kind: u32,
    },
    /// A key or a tensor occurs twice.
    #[error("`{0}` occurs in it twice; the file is damaged")]
    Twice(String),
    /// A value of the metadata is missing or not what it must be.
    #[error("its metadata `{key}` is {found}, but {needed} is needed")]
    Value {
        /// Key of the value.
        key: String,
        /// The value, or "missing".
        found: String,
        /// Description of a valid value.
        needed: &'static str,
    },
    /// A tensor has no usable shape.
    #[error("tensor `{name}` has the shape {shape:?}, {why}; the file is damaged")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its sizes, the first varying fastest.
        shape: Vec<u64>,
        /// The fault.
        why: &'static str,
    },
    /// A tensor's bytes are not in the file.
    #[error("tensor `{name}` has {bytes} bytes at {offset} of the data, but there are {data}; copy the file again")]
    Outside {
        /// Name of the tensor.
        name: String,
        /// Bytes of the tensor.
        bytes: usize,
        /// Offset in the data.
        offset: u64,
        /// Bytes of the data.
        data: usize,
    },
    /// Two tensors share bytes.
    #[error("the tensors `{one}` and `{other}` overlap; the file is damaged")]
    Overlap {
        /// Name of the one that begins first.
        one: String,
        /// Name of the other.
        other: String,
    },
    /// The architecture is not supported.
    #[error(
        "it is a model of the architecture \"{0}\"; of GGUF files llama, qwen2, qwen3, gemma2 and gemma3 are read. Use the model's safetensors"
    )]
    Architecture(String),
    /// A tensor has a name that no tensor of the architecture has.
    #[error("tensor `{0}` has no place in a model of its architecture")]
    Tensor(String),
    /// A setting has a value that is not supported.
    #[error("its metadata `{key}` is {found}, which no supported model computes")]
    Unsupported {
        /// Key of the setting.
        key: String,
        /// Its value.
        found: String,
    },
    /// The tokenizer is of a kind that is not known.
    #[error(
        "its metadata `{key}` is \"{found}\", a kind of tokenizer that is not read from GGUF files; {known} are. Put the model's own tokenizer.json beside it"
    )]
    Tokenizer {
        /// Key of the kind.
        key: &'static str,
        /// The kind.
        found: String,
        /// The known kinds.
        known: String,
    },
    /// The file is an adapter.
    #[error("it is an adapter for llama.cpp, which belongs to a base of its own; name the base's file")]
    Adapter,
    /// The file is no GGUF.
    #[error("it is no GGUF file")]
    NoMagic,
    /// llama.cpp does not run adapters of such models.
    #[error(
        "there are no adapters for llama.cpp of models of the type \"{0}\"; those of llama, mistral, smollm3, qwen2, qwen3, gemma2, gemma3 and gpt2 can be written"
    )]
    NoAdapters(String),
    /// llama.cpp has no such linear map.
    #[error("llama.cpp has no name for the module `{0}` of such models, so the adapter can't be written for it")]
    NoModule(String),
    /// A number leaves the range of F16.
    #[error("tensor `{0}` holds a number that F16 cannot; write it in F32")]
    Beyond(String),
    /// The factors of the rotary wavelengths are not those of a supported rule.
    #[error("its rotary factors (`rope_freqs.weight`) are not those of Llama 3; use the model's safetensors")]
    Rotary,
    /// A part of the file is not given.
    #[error(
        "it is one of {needed} parts, but {found} were given; all `…-of-{needed:05}.gguf` are needed in one folder"
    )]
    Parts {
        /// Parts needed.
        needed: u64,
        /// Parts given.
        found: usize,
    },
}
