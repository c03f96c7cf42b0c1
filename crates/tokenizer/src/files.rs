//! The files of a Hugging Face folder that a tokenizer is made of.

/// The bytes of a folder's files; all but the first may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    /// `tokenizer.json`: the tokenizer itself.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`: the names of the special tokens, whether they are added, and in older folders the chat template.
    pub tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`: the names of the special tokens, for what `tokenizer_config.json` does not name.
    pub special_tokens_map: Option<&'a [u8]>,
    /// `generation_config.json`: the tokens at which generation stops.
    pub generation_config: Option<&'a [u8]>,
    /// `config.json`, for what `generation_config.json` does not say.
    pub config: Option<&'a [u8]>,
    /// `chat_template.jinja`.
    pub chat_template: Option<&'a [u8]>,
}

impl Files<'_> {
    /// The name of the tokenizer's own file.
    pub const TOKENIZER: &'static str = "tokenizer.json";
    /// The name of the file of its settings.
    pub const TOKENIZER_CONFIG: &'static str = "tokenizer_config.json";
    /// The name of the file of its special tokens.
    pub const SPECIAL_TOKENS_MAP: &'static str = "special_tokens_map.json";
    /// The name of the file of the settings of generation.
    pub const GENERATION_CONFIG: &'static str = "generation_config.json";
    /// The name of the model's own file.
    pub const CONFIG: &'static str = "config.json";
    /// The name of the chat template's file.
    pub const CHAT_TEMPLATE: &'static str = "chat_template.jinja";
}
