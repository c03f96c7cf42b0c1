//! The texts around the fields of records whose shape is no prompt and completion yet.

use std::fmt::Write;

/// Alpaca's prompt for an instruction, with or without an input: `PROMPT_DICT` of `train.py` in github.com/tatsu-lab/stanford_alpaca. The output follows it.
pub fn alpaca(instruction: &str, input: &str) -> String {
    if input.is_empty() {
        return format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
             ### Instruction:\n{instruction}\n\n### Response:"
        );
    }
    format!(
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the \
         request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
    )
}

/// The prompt for a question, `doc_to_text` of `lm_eval/tasks/gsm8k/gsm8k.yaml` in github.com/EleutherAI/lm-evaluation-harness. A space and the answer follow it.
pub fn question(question: &str) -> String {
    format!("Question: {question}\nAnswer:")
}

/// The prompt for a label: a line for each text, named as its field, and `label:`, as in T5 (Raffel et al. 2020, arXiv 1910.10683, appendix D), whose lines
/// are one. A space and the label follow it.
pub fn labelled(texts: &[(&str, String)]) -> String {
    let mut prompt = String::new();
    for (name, text) in texts {
        let _ = writeln!(prompt, "{name}: {text}");
    }
    prompt + "label:"
}
