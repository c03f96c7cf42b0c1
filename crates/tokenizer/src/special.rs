//! Special tokens.

/// The ids of the special tokens that a tokenizer names; `None` where it names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// `bos_token`: begins a text.
    pub bos: Option<u32>,
    /// `eos_token`: ends a text.
    pub eos: Option<u32>,
    /// `pad_token`: fills a sequence up.
    pub pad: Option<u32>,
    /// `unk_token`: stands for characters that no other token has.
    pub unk: Option<u32>,
    /// `cls_token`: begins a text for a classifier.
    pub cls: Option<u32>,
    /// `sep_token`: stands between two texts, and after the last.
    pub sep: Option<u32>,
    /// `mask_token`: hides a token.
    pub mask: Option<u32>,
}
